// SPDX-License-Identifier: Apache-2.0
// The state that an Appliance leaves behind, and a second process that adopts it. Tests only.
#pragma once

#include "dataplane/solo.h"
#include "dataplane/state.h"
#include "tests/support/appliance.h"

#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {

inline constexpr dataplane::HashKey kApplianceKey = {1, 2, 3};
inline constexpr dataplane::BootId kApplianceBoot{};

// The bytes of an appliance's state, 64-byte aligned.
class Region {
 public:
  explicit Region(const dataplane::SharedState& state)
      : size_(state.geometry().bytes()), cells_(size_ / 64 + 1) {
    std::memcpy(cells_.data(), start_of(state), size_);
  }
  [[nodiscard]] std::span<std::byte> bytes() {
    return {reinterpret_cast<std::byte*>(cells_.data()), size_};
  }

 private:
  struct alignas(64) Cell {
    std::array<std::byte, 64> bytes;
  };
  // The registry stands 4096 bytes behind the start.
  static const std::byte* start_of(const dataplane::SharedState& state) {
    return reinterpret_cast<const std::byte*>(state.member_records().data()) - 4096;
  }
  std::size_t size_;
  std::vector<Cell> cells_;
};

// A second life over the same bytes.
struct Adopted {
  dataplane::SharedState state;
  dataplane::MemberRegistry members{state.member_records()};
  dataplane::BindingRegistry bindings{state.binding_records()};
  dataplane::FlowHasher hasher{kApplianceKey};
  std::unique_ptr<const dataplane::Generation> generation;
  dataplane::WorkerState worker{state, 0, 1};
  dataplane::AdoptionReport report;

  Adopted(const dataplane::SharedState& shared, const dataplane::GenerationSpec& spec)
      : state(shared) {
    auto built = build_generation(spec, members, bindings, hasher, nullptr, 0);
    EXPECT_TRUE(built.has_value());
    generation = std::move(built->generation);
    report = validate_tables(worker.tables, *generation, state.dispositions());
    worker.count_adopted();
  }

  // Where a frame goes now; empty: it is not forwarded.
  std::string send(const Bytes& frame, std::uint64_t now_ms) {
    const dataplane::Neighborhood neighborhood = lab_neighborhood();
    const std::vector<dataplane::NextHop> hops = build_member_hops(*generation, neighborhood);
    ExactBurst burst(std::span(&frame, 1), {.head = 128, .tail = 128, .beyond = 0});
    burst.frame(0).port = kWan;
    parse(*burst);
    hash_keys(*burst, hasher);
    run_stages(*burst,
               {.generation = generation.get(), .neighborhood = &neighborhood, .member_hops = hops},
               worker,
               now_ms);
    return burst->verdict[0] == dataplane::Verdict::kForward
               ? std::string(state.member_records()[burst->member[0].index].backend.view())
               : std::string();
  }
};

inline dataplane::SharedState adopted_state(Region& region, Appliance& appliance) {
  auto state = dataplane::SharedState::adopt(
      region.bytes(), appliance.solo().shared().geometry(), kApplianceKey, kApplianceBoot);
  EXPECT_TRUE(state.has_value()) << (state ? "" : state.error());
  return *state;
}

}  // namespace holdfast::testing
