// SPDX-License-Identifier: Apache-2.0
// An operator's walks over an appliance's flows, from beginning to end, as process/flow_walks.h
// has workers do them. Tests only.
#pragma once

#include "dataplane/flow_walk.h"
#include "dataplane/member_copies.h"
#include "tests/support/appliance.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {

class WalkRig {
 public:
  using MemberId = dataplane::MemberId;
  static constexpr std::uint32_t kWindowMs = 2'000;

  explicit WalkRig(const dataplane::GenerationSpec& spec, std::uint64_t flows = 4096)
      : appliance(spec, flows), spec_(spec) {
    worker().resets.window_ms = kWindowMs;
  }

  Appliance appliance;
  std::vector<std::uint16_t> asked;  // ports of clients

  dataplane::WorkerState& worker() { return appliance.solo().worker(); }
  [[nodiscard]] std::uint64_t now_ms() const { return now_ms_; }
  // Time passes without frames; who is asked is noted.
  void pass(std::uint64_t milliseconds, std::uint64_t step = 1) {
    for (std::uint64_t passed = 0; passed < milliseconds; passed += step) {
      appliance.wait(step);
      now_ms_ += step;
      for (std::size_t i = 0; i < worker().questions.count; ++i) {
        asked.push_back(worker().questions.all[i].key.source_port.to_host());
      }
      worker().questions.count = 0;
    }
  }

  // The order for members of that name; empty: all.
  std::unique_ptr<dataplane::FlowOrder> order(dataplane::WalkKind kind,
                                              std::string_view backend = "",
                                              const dataplane::FlowFilter& filter = {}) {
    auto order = std::make_unique<dataplane::FlowOrder>();
    order->kind = kind;
    order->filter = filter;
    order->members.resize(dataplane::kRegistryCapacity);
    const auto records = appliance.solo().shared().member_records();
    for (std::size_t i = 0; i < records.size(); ++i) {
      if (records[i].state == dataplane::RegistryState::kFree ||
          (!backend.empty() && records[i].backend.view() != backend)) {
        continue;
      }
      const MemberId id{static_cast<std::uint16_t>(i), records[i].epoch};
      order->members[i] = {.wanted = true,
                           .being_reset = dispositions().get(id) == dataplane::Disposition::kReset,
                           .epoch = records[i].epoch,
                           .to = std::nullopt};
    }
    return order;
  }
  dataplane::FlowFindings walk(const dataplane::FlowOrder& order) {
    dataplane::FlowWalk walk(order);
    while (!walk_some(walk, worker(), appliance.solo().generation(), now_ms_)) {
    }
    return std::move(walk.found);
  }
  dataplane::FlowFindings list(std::string_view backend = "",
                               const dataplane::FlowFilter& filter = {}) {
    const auto wanted = order(dataplane::WalkKind::kList, backend, filter);
    wanted->most_rows = 1'000;
    return walk(*wanted);
  }
  // Counts, makes the copies, gives flows to them and has these reset.
  dataplane::FlowFindings reset(std::string_view backend = "",
                                const dataplane::FlowFilter& filter = {}) {
    const auto wanted = order(dataplane::WalkKind::kReset, backend, filter);
    const dataplane::FlowFindings counted = walk(*wanted);
    std::vector<MemberId> originals;
    for (std::size_t i = 0; i < counted.by_member.size(); ++i) {
      if (counted.by_member[i] != 0) {
        originals.push_back({static_cast<std::uint16_t>(i), wanted->members[i].epoch});
      }
    }
    const std::vector<MemberId> copies = give_copies(originals);
    for (std::size_t i = 0; i < originals.size(); ++i) {
      wanted->members[originals[i].index].to = copies[i];
    }
    dataplane::FlowFindings found = walk(*wanted);
    dataplane::reset_copies(dispositions(), copies);
    pass(1);
    return found;
  }
  dataplane::FlowFindings move(std::string_view from, std::string_view to) {
    const auto wanted = order(dataplane::WalkKind::kMove, from);
    const auto records = appliance.solo().shared().member_records();
    for (std::size_t i = 0; i < records.size(); ++i) {
      if (!wanted->members[i].wanted) {
        continue;
      }
      const auto target = std::ranges::find_if(records, [&](const dataplane::MemberRecord& record) {
        return record.state == dataplane::RegistryState::kActive && record.copy == 0 &&
               record.service == records[i].service && record.backend.view() == to &&
               record.address.is_v4() == records[i].address.is_v4();
      });
      if (target != records.end()) {
        wanted->members[i].to =
            MemberId{static_cast<std::uint16_t>(target - records.begin()), target->epoch};
      }
    }
    return walk(*wanted);
  }
  // Copies of members, in a generation of their own.
  std::vector<MemberId> give_copies(const std::vector<MemberId>& originals) {
    dataplane::MemberRegistry registry(appliance.solo().shared().member_records());
    const auto copies = dataplane::copy_members(registry, dispositions(), originals);
    EXPECT_TRUE(copies.has_value()) << copies.error();
    ++spec_.number;
    appliance.publish(spec_);
    return copies.value_or(std::vector<MemberId>());
  }
  [[nodiscard]] std::string name_of(MemberId id) {
    return std::string(appliance.solo().member_record(id).backend.view());
  }
  std::uint64_t sum(dataplane::Counter dataplane::MemberMoves::* counter) {
    std::uint64_t all = 0;
    for (const dataplane::MemberMoves& moves : worker().moves) {
      all += (moves.*counter).get();
    }
    return all;
  }
  std::uint64_t live_flows() {
    std::uint64_t all = 0;
    for (const dataplane::MemberStats& stats : worker().members) {
      all += stats.live_flows.get();
    }
    return all;
  }

  [[nodiscard]] dataplane::DispositionTable dispositions() {
    return appliance.solo().shared().dispositions();
  }

 private:
  dataplane::GenerationSpec spec_;
  std::uint64_t now_ms_ = 1'000'000;
};

}  // namespace holdfast::testing
