// SPDX-License-Identifier: Apache-2.0
// The shared state as a file would carry it: bytes in, the same state or a reason out.
#include "dataplane/state.h"

#include "dataplane/dispositions.h"
#include "dataplane/solo.h"
#include "tests/support/appliance.h"
#include "tests/support/exact_burst.h"
#include "tests/support/second_life.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <random>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using testing::Adopted;
using testing::kClient;
using testing::kVip;
using testing::Region;
using testing::tcp;
using testing::three_backends;

constexpr HashKey kKey = {1, 2, 3};
constexpr BootId kBoot{};  // as Solo has it

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
        SharedState::adopt(region.bytes(), appliance.solo().shared().geometry(), kKey, kBoot);
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
  const auto state =
      SharedState::adopt(region.bytes(), appliance.solo().shared().geometry(), kKey, kBoot);
  ASSERT_TRUE(state.has_value());
  for (std::size_t i = 0; i < kRegistryCapacity; ++i) {
    const MemberRecord& record = state->member_records()[i];
    if (record.state == RegistryState::kActive) {
      const MemberId id{static_cast<std::uint16_t>(i), record.epoch};
      EXPECT_EQ(state->dispositions().get(id) == Disposition::kKeep, record.backend.view() == "2");
    }
  }
}

TEST(SharedState, TheRoleSurvivesAndADamagedOneIsNone) {
  testing::Appliance appliance(three_backends(Mode::kDsr));
  const SharedState& shared = appliance.solo().shared();
  EXPECT_EQ(shared.role(), Role::kAlone);
  for (const Role told : {Role::kActive, Role::kStandby, Role{77}}) {
    shared.set_role(told);
    Region region(shared);
    const auto state = SharedState::adopt(region.bytes(), shared.geometry(), kKey, kBoot);
    ASSERT_TRUE(state.has_value());
    EXPECT_EQ(state->role(), told == Role{77} ? Role::kAlone : told);
  }
}

TEST(SharedState, ADispositionThatIsNoneOrNotAvailableBecomesKeep) {
  testing::Appliance appliance(three_backends(Mode::kDsr));
  const SharedState& shared = appliance.solo().shared();
  shared.dispositions().set({.index = 1, .epoch = 1}, static_cast<Disposition>(77));
  shared.dispositions().set({.index = 2, .epoch = 1}, Disposition::kHold);
  shared.dispositions().set({.index = 3, .epoch = 9}, Disposition::kNew);
  Region region(shared);
  const auto state = SharedState::adopt(region.bytes(), shared.geometry(), kKey, kBoot);
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->dispositions().get({.index = 0, .epoch = 1}), Disposition::kNew);
  for (const std::uint16_t index : {std::uint16_t{1}, std::uint16_t{2}, std::uint16_t{3}}) {
    EXPECT_EQ(state->dispositions().get({.index = index, .epoch = 1}), Disposition::kKeep);
  }
  EXPECT_EQ(state->mended_dispositions(), 3U);
}

TEST(SharedState, ARecordOfMixedFamiliesOrWithImpossibleFlagsIsDropped) {
  const GenerationSpec spec = three_backends(Mode::kNat);
  const auto kept_after = [&](auto&& change) {
    testing::Appliance appliance(spec);
    appliance.send(tcp(kClient, kVip).syn());
    for (NatRecord& record : appliance.solo().worker().tables.nat.records()) {
      if (record.state != FlowState::kFree) {
        change(record);
      }
    }
    Region region(appliance.solo().shared());
    const auto state =
        SharedState::adopt(region.bytes(), appliance.solo().shared().geometry(), kKey, kBoot);
    return Adopted(*state, spec).report.kept;
  };
  EXPECT_EQ(kept_after([](NatRecord&) {}), 1U);
  EXPECT_EQ(kept_after([](NatRecord& record) {
              record.pool = testing::kPool6.address;
              record.member = 3;  // web/1v6
            }),
            0U);
  const auto spoil = [](auto& flag) { std::memset(&flag, 2, sizeof(flag)); };
  EXPECT_EQ(kept_after([&](NatRecord& record) { spoil(record.client_closed_first); }), 0U);
  EXPECT_EQ(kept_after([&](NatRecord& record) { spoil(record.detached); }), 0U);
  EXPECT_EQ(kept_after([&](NatRecord& record) { spoil(record.ended); }), 0U);
  // Handshakes that no segments lead to.
  for (const SideState member_side : {SideState::kIdle, SideState::kSyn, SideState::kReset}) {
    const auto awaiting = [&](std::int32_t to) {
      return kept_after([&](NatRecord& record) {
        record.member_side = member_side;
        record.sequence_delta = {-5, to};
      });
    };
    EXPECT_EQ(awaiting(65'530), member_side == SideState::kReset ? 0U : 1U);
    EXPECT_EQ(awaiting(65'531), 0U);
  }
  EXPECT_EQ(kept_after([](NatRecord& record) { record.member_side = SideState::kFin; }), 0U);
  EXPECT_EQ(kept_after([](NatRecord& record) { record.client_side = SideState::kOpen; }), 0U);
  EXPECT_EQ(kept_after([](NatRecord& record) {
              record.state = FlowState::kEstablished;
              record.sequence_delta[1] = 1;
            }),
            0U);
}

TEST(SharedState, SaysWhyAFileCannotBeUsed) {
  testing::Appliance appliance(three_backends(Mode::kDsr));
  const StateGeometry geometry = appliance.solo().shared().geometry();
  const auto reason = [&](auto&& change, StateGeometry wanted, HashKey key, BootId boot = kBoot) {
    Region region(appliance.solo().shared());
    change(region.bytes());
    const auto state = SharedState::adopt(region.bytes(), wanted, key, boot);
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
  EXPECT_EQ(reason(nothing, geometry, kKey, {7}),
            "written before the machine last started: its times mean nothing now");
  EXPECT_EQ(reason([](auto bytes) { bytes[20] ^= std::byte{1}; }, geometry, kKey),
            "damaged header");
  EXPECT_EQ(reason([](auto bytes) { bytes[4096 + 63] = std::byte{1}; }, geometry, kKey),
            "damaged registry");
  EXPECT_FALSE(SharedState::adopt({}, geometry, kKey, kBoot).has_value());
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
    const auto state = SharedState::adopt(region.bytes(), geometry, kKey, kBoot);
    if (state) {
      Adopted second(*state, spec);
      EXPECT_LE(second.report.kept, 100U);
      sweep(second.worker, *second.generation, 1);
      sweep(second.worker, *second.generation, 60'000);
    }
  }
}

// Where the entries in use stand, as bytes of the region.
template <typename Entries>
void add_places(const Entries& entries, const std::byte* start, std::vector<std::size_t>& places) {
  for (const auto& entry : entries) {
    if (entry.state != FlowState::kFree) {
      const auto* at = reinterpret_cast<const std::byte*>(&entry);
      for (std::size_t i = 0; i < sizeof(entry); ++i) {
        places.push_back(static_cast<std::size_t>(at + i - start));
      }
    }
  }
}

// Packets of the clients that had flows, and replies to every pool address.
void run_traffic(Adopted& adopted, const std::vector<testing::Bytes>& frames) {
  const Neighborhood neighborhood = testing::lab_neighborhood();
  const std::vector<NextHop> hops = build_member_hops(*adopted.generation, neighborhood);
  const Forwarding forwarding{.generation = adopted.generation.get(),
                              .neighborhood = &neighborhood,
                              .member_hops = hops,
                              .check_macs = false};
  for (std::size_t at = 0; at < frames.size(); at += kBurstSize) {
    const std::size_t count = std::min(kBurstSize, frames.size() - at);
    const std::span<const testing::Bytes> here(frames.data() + at, count);
    testing::ExactBurst burst(here, {.head = 128, .tail = 128, .beyond = 0});
    parse(*burst);
    hash_keys(*burst, adopted.hasher);
    run_stages(*burst, forwarding, adopted.worker, 1'000'000);
    for (Slot i = 0; i < count; ++i) {
      EXPECT_NE(burst->verdict[i], Verdict::kPending);
    }
  }
}

TEST(SharedState, DamagedEntriesHarmNoPacketOfTheNextLife) {
  for (const Mode mode : {Mode::kDsr, Mode::kNat}) {
    const GenerationSpec spec = three_backends(mode);
    testing::Appliance appliance(spec, 256);
    std::vector<testing::Bytes> frames;
    for (std::uint16_t port = 1; port <= 60; ++port) {
      appliance.send(tcp(kClient.at_port(port), kVip).syn());
      appliance.send(tcp(testing::kClient6.at_port(port), testing::kVip6).syn());
      frames.push_back(tcp(kClient.at_port(port), kVip).ack().bytes());
      frames.push_back(tcp(testing::kClient6.at_port(port), testing::kVip6).ack().bytes());
    }
    WorkerTables& tables = appliance.solo().worker().tables;
    for (const NatRecord& record : tables.nat.records()) {
      if (record.state != FlowState::kFree) {
        const testing::Endpoint member =
            record.pool.is_v4() ? testing::kBackend1.at_port(80) : testing::kBackend6.at_port(80);
        const testing::Endpoint pool{record.pool, record.pool_port.to_host(), testing::kLanMac};
        frames.push_back(tcp(member, pool).ack().bytes());
      }
    }
    const auto* start =
        reinterpret_cast<const std::byte*>(appliance.solo().shared().member_records().data()) -
        4096;
    std::vector<std::size_t> places;
    for (FlowTable4::Bucket& bucket : tables.v4.buckets()) {
      add_places(bucket.way, start, places);
    }
    for (FlowTable6::Bucket& bucket : tables.v6.buckets()) {
      add_places(bucket.way, start, places);
    }
    add_places(tables.nat.records(), start, places);
    std::mt19937_64 random(3);
    for (int round = 0; round < 100; ++round) {
      Region region(appliance.solo().shared());
      for (int i = 0; i < 200; ++i) {
        region.bytes()[places[random() % places.size()]] = static_cast<std::byte>(random());
      }
      const auto state =
          SharedState::adopt(region.bytes(), appliance.solo().shared().geometry(), kKey, kBoot);
      ASSERT_TRUE(state.has_value());
      Adopted second(*state, spec);
      EXPECT_GT(second.report.dropped, 0U);
      run_traffic(second, frames);
      sweep(second.worker, *second.generation, 1'000'001);
      sweep(second.worker, *second.generation, 1'090'000);
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
