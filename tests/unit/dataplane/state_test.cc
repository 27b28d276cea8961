// SPDX-License-Identifier: Apache-2.0
// The shared state as a file would carry it: bytes in, the same state or a reason out.
#include "dataplane/state.h"

#include "dataplane/dispositions.h"
#include "dataplane/solo.h"
#include "tests/support/appliance.h"

#include <cstring>
#include <map>
#include <random>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using testing::kClient;
using testing::kVip;
using testing::tcp;
using testing::three_backends;

constexpr HashKey kKey = {1, 2, 3};

// The bytes of an appliance's state, 64-byte aligned.
class Region {
 public:
  explicit Region(const SharedState& state)
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
  static const std::byte* start_of(const SharedState& state) {
    return reinterpret_cast<const std::byte*>(state.member_records().data()) - 4096;
  }
  std::size_t size_;
  std::vector<Cell> cells_;
};

// A second life over the same bytes.
struct Adopted {
  SharedState state;
  MemberRegistry members{state.member_records()};
  BindingRegistry bindings{state.binding_records()};
  FlowHasher hasher{kKey};
  std::unique_ptr<const Generation> generation;
  WorkerState worker{state, 0, 1};
  AdoptionReport report;

  Adopted(const SharedState& shared, const GenerationSpec& spec) : state(shared) {
    auto built = build_generation(spec, members, bindings, hasher, nullptr, 0);
    EXPECT_TRUE(built.has_value());
    generation = std::move(built->generation);
    report = validate_tables(worker.tables, *generation, state.dispositions());
    worker.count_adopted();
  }
};

TEST(SharedState, EveryFlowIsStillThereInASecondLife) {
  for (const Mode mode : {Mode::kDsr, Mode::kNat}) {
    const GenerationSpec spec = three_backends(mode);
    testing::Appliance appliance(spec);
    for (std::uint16_t port = 1; port <= 300; ++port) {
      appliance.send(tcp(kClient.at_port(port), kVip).syn());
      appliance.send(tcp(testing::kClient6.at_port(port), testing::kVip6).syn());
    }
    Region region(appliance.solo().shared());
    const auto state =
        SharedState::adopt(region.bytes(), appliance.solo().shared().geometry(), kKey);
    ASSERT_TRUE(state.has_value()) << state.error();
    const Adopted second(*state, spec);
    EXPECT_EQ(second.report.kept, 600U);
    EXPECT_EQ(second.report.dropped, 0U);
    std::uint64_t live = 0;
    for (std::size_t i = 0; i < second.worker.members.size(); ++i) {
      const std::uint64_t flows = second.worker.members[i].live_flows.get();
      EXPECT_EQ(flows, appliance.solo().worker().members[i].live_flows.get());
      live += flows;
    }
    EXPECT_EQ(live, 600U);
  }
}

TEST(SharedState, DispositionsSurvive) {
  testing::Appliance appliance(three_backends(Mode::kDsr));
  appliance.set("2", Disposition::kKeep);
  Region region(appliance.solo().shared());
  const auto state = SharedState::adopt(region.bytes(), appliance.solo().shared().geometry(), kKey);
  ASSERT_TRUE(state.has_value());
  for (std::size_t i = 0; i < kRegistryCapacity; ++i) {
    const MemberRecord& record = state->member_records()[i];
    if (record.state == RegistryState::kActive) {
      const MemberId id{static_cast<std::uint16_t>(i), record.epoch};
      EXPECT_EQ(state->dispositions().get(id) == Disposition::kKeep, record.backend.view() == "2");
    }
  }
}

TEST(SharedState, SaysWhyAFileCannotBeUsed) {
  testing::Appliance appliance(three_backends(Mode::kDsr));
  const StateGeometry geometry = appliance.solo().shared().geometry();
  const auto reason = [&](auto&& change, StateGeometry wanted, HashKey key) {
    Region region(appliance.solo().shared());
    change(region.bytes());
    const auto state = SharedState::adopt(region.bytes(), wanted, key);
    return state ? std::string("used") : state.error();
  };
  const auto nothing = [](std::span<std::byte>) {};
  StateGeometry other = geometry;
  other.workers = 2;
  EXPECT_EQ(reason(nothing, geometry, kKey), "used");
  EXPECT_EQ(reason(nothing, other, kKey), "other sizes: worker count or `flows` changed");
  EXPECT_EQ(reason(nothing, geometry, {9}), "written under another hash key");
  EXPECT_EQ(reason([](auto bytes) { bytes[0] ^= std::byte{1}; }, geometry, kKey),
            "not a state file");
  EXPECT_EQ(reason([](auto bytes) { bytes[20] ^= std::byte{1}; }, geometry, kKey),
            "damaged header");
  EXPECT_EQ(reason([](auto bytes) { bytes[4096 + 63] = std::byte{1}; }, geometry, kKey),
            "damaged registry");
  EXPECT_FALSE(SharedState::adopt({}, geometry, kKey).has_value());
}

TEST(SharedState, DamagedFilesAreRefusedOrLoseOnlyWhatIsDamaged) {
  const GenerationSpec spec = three_backends(Mode::kNat);
  testing::Appliance appliance(spec, 256);
  for (std::uint16_t port = 1; port <= 100; ++port) {
    appliance.send(tcp(kClient.at_port(port), kVip).syn());
  }
  const StateGeometry geometry = appliance.solo().shared().geometry();
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    Region region(appliance.solo().shared());
    for (int i = 0; i < 64; ++i) {
      region.bytes()[random() % region.bytes().size()] = static_cast<std::byte>(random());
    }
    const auto state = SharedState::adopt(region.bytes(), geometry, kKey);
    if (state) {
      Adopted second(*state, spec);
      EXPECT_LE(second.report.kept, 100U);
      sweep(second.worker, *second.generation, 1);
      sweep(second.worker, *second.generation, 60'000);
    }
  }
}

TEST(StateGeometry, BytesPerFlowStayInTheirBounds) {
  const StateGeometry geometry = StateGeometry::from(1'000'000, 1);
  const double v4 = static_cast<double>(geometry.buckets_v4 * sizeof(FlowTable4::Bucket)) / 1e6;
  EXPECT_LE(v4, 40.0);
  EXPECT_GE(geometry.buckets_v4 * FlowTable4::kWays * 7 / 10, 1'000'000U);
}

}  // namespace
}  // namespace holdfast::dataplane
