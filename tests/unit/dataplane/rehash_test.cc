// SPDX-License-Identifier: Apache-2.0
// Flows of a state of other sizes: they go on, at the worker that owns them now.
#include "dataplane/rehash.h"

#include "tests/support/life.h"

#include <memory>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using testing::Fate;
using testing::kLan;
using testing::KnownFlow;
using testing::kWan;
using testing::Life;
using testing::StateMemory;
using testing::three_backends;

constexpr std::uint16_t kEach = 100;
constexpr std::uint64_t kNow = 1'000'000;

// A state of some workers, and another one that takes its flows over.
class Rehash : public ::testing::Test {
 protected:
  static SharedState formatted(StateMemory& memory, const StateGeometry& geometry) {
    return SharedState::format(
        memory.bytes(), geometry, testing::kApplianceKey, testing::kApplianceBoot);
  }

  void begin(const GenerationSpec& spec, std::uint32_t workers) {
    const StateGeometry geometry = StateGeometry::from(4096, workers);
    former_memory_ = std::make_unique<StateMemory>(geometry.bytes());
    former_ = std::make_unique<SharedState>(formatted(*former_memory_, geometry));
    Life life(*former_, spec);
    ASSERT_TRUE(life.ok());
    life.set_dispositions(spec);
    flows_ = testing::open_flows(life, kEach, kNow);
  }

  RehashReport go_on(const GenerationSpec& spec,
                     std::uint32_t workers,
                     std::uint64_t flows = 4096,
                     const ReceiveSpread* spread = nullptr) {
    const StateGeometry geometry = StateGeometry::from(flows, workers);
    memory_ = std::make_unique<StateMemory>(geometry.bytes());
    SharedState state = formatted(*memory_, geometry);
    state.begin_as(*former_);
    life_ = std::make_unique<Life>(state, spec, spread);
    EXPECT_TRUE(life_->ok());
    const RehashReport report =
        rehash_tables(*former_, state, life_->generation(), life_->ownership(), stamp_of(kNow));
    state.complete();
    kept_ = life_->adopt();
    return report;
  }

  // The same state, behind cards that bring frames to workers in another way.
  RehashReport go_on_behind(const ReceiveSpread* spread, const GenerationSpec& spec) {
    life_ = std::make_unique<Life>(*former_, spec, spread);
    EXPECT_TRUE(life_->ok());
    const RehashReport report =
        reown_tables(*former_, life_->generation(), life_->ownership(), stamp_of(kNow));
    kept_ = life_->adopt();
    return report;
  }

  // How many flows go on, each at its backend, and in `nat` from its endpoint and back.
  std::uint64_t count_going_on() {
    std::uint64_t lived = 0;
    for (const KnownFlow& flow : flows_) {
      const Fate fate = life_->send(flow.next(), kWan, kNow + 1);
      if (fate.began || fate.pool != flow.fate.pool || fate.pool_port != flow.fate.pool_port) {
        continue;
      }
      ++lived;
      EXPECT_EQ(fate.backend, flow.fate.backend);
      if (fate.pool_port != 0) {
        EXPECT_EQ(life_->send(flow.reply(), kLan, kNow + 1).verdict, Verdict::kForward);
      }
    }
    return lived;
  }

  std::unique_ptr<StateMemory> former_memory_;
  std::unique_ptr<SharedState> former_;
  std::vector<KnownFlow> flows_;
  std::unique_ptr<StateMemory> memory_;
  std::unique_ptr<Life> life_;
  AdoptionReport kept_;
};

TEST_F(Rehash, EveryFlowWithoutTranslationGoesOnAtItsBackendWhateverTheWorkersAre) {
  for (const auto& [before, after] : {std::pair(1U, 2U), {2U, 1U}, {3U, 7U}, {8U, 3U}}) {
    const GenerationSpec spec = three_backends(Mode::kDsr);
    begin(spec, before);
    const RehashReport report = go_on(spec, after);
    EXPECT_EQ(report.moved, flows_.size());
    EXPECT_EQ(report.dropped + report.parted + report.crowded, 0U);
    EXPECT_EQ(kept_.kept, flows_.size());
    EXPECT_EQ(kept_.dropped, 0U);
    EXPECT_EQ(count_going_on(), flows_.size());
  }
}

TEST_F(Rehash, TranslatedFlowsGoOnWhereBothSidesMeetAndTheOthersEnd) {
  for (const auto& [before, after] : {std::pair(2U, 1U), {1U, 2U}, {2U, 3U}, {4U, 2U}}) {
    const GenerationSpec spec = three_backends(Mode::kNat);
    begin(spec, before);
    const RehashReport report = go_on(spec, after);
    EXPECT_EQ(report.moved + report.parted, flows_.size());
    EXPECT_EQ(report.dropped + report.crowded, 0U);
    EXPECT_EQ(kept_.dropped, 0U);
    EXPECT_EQ(count_going_on(), report.moved);
    EXPECT_EQ(report.parted == 0, before % after == 0) << before << " -> " << after;
  }
}

TEST_F(Rehash, APartedFlowKeepsItsEndpointForTheQuarantine) {
  const GenerationSpec spec = three_backends(Mode::kNat);
  begin(spec, 1);
  ASSERT_GT(go_on(spec, 2).parted, 0U);
  for (std::uint32_t worker = 0; worker < 2; ++worker) {
    for (const NatRecord& record : life_->worker(worker).tables.nat.records()) {
      if (record.state != FlowState::kFree) {
        EXPECT_EQ(worker_of_pool_port(record.pool_port, 2), worker);
        EXPECT_EQ(record.detached, record.ended);
      }
    }
  }
}

TEST_F(Rehash, AffinityRecordsGoWithTheFlowsOfTheirSource) {
  GenerationSpec spec = three_backends(Mode::kDsr);
  spec.services.front().affinity = {.seconds = 600, .prefix_v4 = 24, .prefix_v6 = 56};
  begin(spec, 3);
  const RehashReport report = go_on(spec, 5);
  EXPECT_EQ(report.dropped + report.crowded, 0U);
  EXPECT_GT(report.moved, flows_.size());
  const std::string before = flows_.front().fate.backend;
  const Fate fate = life_->send(
      tcp(testing::kClient.at_port(60'000), testing::kVip).syn().bytes(), kWan, kNow + 1);
  EXPECT_EQ(fate.backend, before);
}

TEST_F(Rehash, WhatASmallerStateHasNoRoomForIsCounted) {
  for (const Mode mode : {Mode::kDsr, Mode::kNat}) {
    const GenerationSpec spec = three_backends(mode);
    begin(spec, 1);
    const RehashReport report = go_on(spec, 1, 64);
    EXPECT_GT(report.crowded, 0U);
    EXPECT_EQ(report.moved + report.crowded, flows_.size());
    EXPECT_EQ(kept_.kept, report.moved);
  }
}

ReceiveSpread spread_over(std::uint32_t workers) {
  return {build_rss_key(FlowHasher(testing::kApplianceKey)),
          workers,
          {.tcp4 = true, .udp4 = true, .tcp6 = true, .udp6 = true}};
}

TEST_F(Rehash, FlowsGoToTheWorkersThatOtherCardsBringThemTo) {
  for (const std::uint32_t workers : {2U, 3U}) {
    const ReceiveSpread spread = spread_over(workers);
    const GenerationSpec spec = three_backends(Mode::kDsr);
    begin(spec, workers);
    const RehashReport there = go_on_behind(&spread, spec);
    EXPECT_GT(there.moved, flows_.size() / 4);
    EXPECT_LT(there.moved, flows_.size());
    EXPECT_EQ(there.dropped + there.parted + there.crowded, 0U);
    EXPECT_EQ(count_going_on(), flows_.size());
    EXPECT_EQ(go_on_behind(&spread, spec).moved, 0U);
    EXPECT_EQ(go_on_behind(nullptr, spec).moved, there.moved);
    EXPECT_EQ(count_going_on(), flows_.size());
  }
}

TEST_F(Rehash, TranslatedFlowsGoOnBehindOtherCardsWhereBothSidesMeet) {
  const ReceiveSpread spread = spread_over(2);
  const GenerationSpec spec = three_backends(Mode::kNat);
  begin(spec, 2);
  const RehashReport report = go_on_behind(&spread, spec);
  EXPECT_GT(report.parted, 0U);
  EXPECT_EQ(report.dropped + report.crowded, 0U);
  EXPECT_EQ(kept_.kept, flows_.size());
  EXPECT_EQ(count_going_on(), flows_.size() - report.parted);
}

TEST_F(Rehash, AnotherNumberOfWorkersMayFollowTheCards) {
  const ReceiveSpread spread = spread_over(3);
  const GenerationSpec spec = three_backends(Mode::kDsr);
  begin(spec, 2);
  EXPECT_EQ(go_on(spec, 3, 4096, &spread).moved, flows_.size());
  EXPECT_EQ(count_going_on(), flows_.size());
}

TEST_F(Rehash, AStateThatWasNotFilledIsNotAdopted) {
  begin(three_backends(Mode::kDsr), 1);
  const StateGeometry geometry = former_->geometry();
  StateMemory memory(geometry.bytes());
  SharedState state = formatted(memory, geometry);
  state.begin_as(*former_);
  EXPECT_TRUE(SharedState::is_unfilled(memory.bytes()));
  const auto adopt = [&] {
    return SharedState::adopt(
        memory.bytes(), geometry, testing::kApplianceKey, testing::kApplianceBoot);
  };
  EXPECT_EQ(adopt().error(), "its process ended while it moved the flows of before into it");
  state.complete();
  EXPECT_FALSE(SharedState::is_unfilled(memory.bytes()));
  EXPECT_TRUE(adopt().has_value());
}

TEST_F(Rehash, TheRoleAndTheRuleGoOnWithTheFlows) {
  begin(three_backends(Mode::kDsr), 1);
  former_->set_role(Role::kActive);
  former_->set_owner_rule(7);
  const StateGeometry geometry = StateGeometry::from(4096, 2);
  StateMemory memory(geometry.bytes());
  SharedState state = formatted(memory, geometry);
  EXPECT_EQ(state.role(), Role::kAlone);
  EXPECT_EQ(state.owner_rule(), id_of({.workers = 2}));
  state.begin_as(*former_);
  EXPECT_EQ(state.role(), Role::kActive);
  EXPECT_EQ(state.owner_rule(), 7U);
}

}  // namespace
}  // namespace holdfast::dataplane
