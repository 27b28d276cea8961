// SPDX-License-Identifier: Apache-2.0
// Workers turned by hand: the owner rule, accounting and mbufs.
#include "dataplane/respond.h"
#include "tests/unit/process/worker_rig.h"

#include <gtest/gtest.h>
#include <poll.h>

namespace holdfast::dataplane {
namespace {

TEST(Worker, ForwardsAndAccountsForEveryFrame) {
  Workers workers(1);
  const unsigned level = workers.free_mbufs();
  for (std::uint16_t i = 0; i < 100; ++i) {
    workers.receive(syn(static_cast<std::uint16_t>(1024 + i)));
  }
  workers.receive(tcp(kClient, kVip.at_port(81)).syn().bytes());  // no service
  while (workers[0].turn(kSecond)) {
  }
  EXPECT_EQ(workers.sum(&WorkerStats::received), 101U);
  EXPECT_EQ(workers.sum(&WorkerStats::forwarded), 100U);
  EXPECT_EQ(workers.sum(&WorkerStats::transmitted), 100U);
  const WorkerStats& stats = workers[0].state().stats;
  EXPECT_EQ(stats.drops[static_cast<std::size_t>(Drop::kNoService)].get(), 1U);
  workers.expect_accounted();
  EXPECT_EQ(workers.free_mbufs(), level);
}

TEST(Worker, EveryFlowHasOneOwner) {
  Workers workers(2);
  const unsigned level = workers.free_mbufs();
  constexpr std::uint16_t kFlows = 200;
  for (int round = 0; round < 3; ++round) {
    for (std::uint16_t i = 0; i < kFlows; ++i) {
      workers.receive(syn(static_cast<std::uint16_t>(1024 + i)));
    }
    while (workers[0].turn(kSecond) | workers[1].turn(kSecond)) {
    }
  }
  EXPECT_EQ(workers.sum(&WorkerStats::received), 3U * kFlows);
  EXPECT_EQ(workers.sum(&WorkerStats::forwarded), 3U * kFlows);
  EXPECT_EQ(workers.sum(&WorkerStats::flows_inserted), kFlows);
  const std::uint64_t crossed = workers[0].state().stats.handed_over.get();
  EXPECT_EQ(workers[1].state().stats.taken_over.get(), crossed);
  EXPECT_NEAR(static_cast<double>(crossed), 1.5 * kFlows, 0.5 * kFlows);
  workers.expect_accounted();
  EXPECT_EQ(workers.free_mbufs(), level);
}

TEST(Worker, CountsWhatTheOwnersRingDoesNotTake) {
  Workers workers(2);
  const unsigned level = workers.free_mbufs();
  constexpr std::uint16_t kFrames = 4000;
  for (std::uint16_t i = 0; i < kFrames; ++i) {
    workers.receive(syn(static_cast<std::uint16_t>(1024 + i)));
    workers[0].turn(kSecond);
  }
  const WorkerStats& stats = workers[0].state().stats;
  const std::uint64_t full = stats.drops[static_cast<std::size_t>(Drop::kDispatchFull)].get();
  EXPECT_EQ(stats.handed_over.get(), dispatch_ring_frames(2) - 1);
  EXPECT_GT(full, 0U);
  EXPECT_EQ(stats.received.get() + stats.handed_over.get(), kFrames);
  workers.expect_accounted();
  while (workers[1].turn(kSecond)) {
  }
  workers.expect_accounted();
  EXPECT_EQ(workers.free_mbufs(), level);
}

TEST(Worker, WakesTheOwnerOfWhatItHandsOverAndOnlyAnOwnerThatSleeps) {
  Workers workers(2);
  const auto called = [&](std::size_t worker) {
    pollfd polled{.fd = workers.waker(worker).descriptor(), .events = POLLIN, .revents = 0};
    return ::poll(&polled, 1, 0) == 1;
  };
  const auto hand_over = [&](std::uint16_t first) {
    for (std::uint16_t i = 0; i < 64; ++i) {
      workers.receive(syn(static_cast<std::uint16_t>(first + i)));
    }
    const std::uint64_t before = workers[0].state().stats.handed_over.get();
    while (workers[0].turn(kSecond)) {
    }
    EXPECT_GT(workers[0].state().stats.handed_over.get(), before);
  };
  hand_over(1024);
  EXPECT_FALSE(called(1));
  workers.waker(0).arm();
  workers.waker(1).arm();
  hand_over(2048);
  EXPECT_TRUE(called(1));
  EXPECT_FALSE(called(0));
  workers.run();
}

TEST(Worker, IsBusyFromATurnWithFramesUntilTheNextTurn) {
  Workers workers(1);
  const Counter& busy = workers[0].state().stats.busy_ns;
  workers[0].turn(kSecond);
  workers[0].turn(kSecond + 700);
  EXPECT_EQ(busy.get(), 0U);
  workers.receive(syn(1024));
  EXPECT_TRUE(workers[0].turn(kSecond + 1000));
  EXPECT_FALSE(workers[0].turn(kSecond + 1400));
  EXPECT_EQ(busy.get(), 400U);
  workers[0].turn(2 * kSecond);  // asleep meanwhile
  EXPECT_EQ(busy.get(), 400U);
}

TEST(Worker, AnnouncementsAreGeneratedAndTransmitted) {
  Workers workers(1);
  workers[0].announcements.push({.address = address("203.0.113.10"), .mac = {2}, .port = 1});
  workers[0].announcements.push({.address = address("2001:db8::10"), .mac = {2}, .port = 1});
  EXPECT_TRUE(workers[0].turn(kSecond));
  const auto kind = static_cast<std::size_t>(Generated::kAnnouncement);
  EXPECT_EQ(workers[0].state().stats.generated[kind].get(), 2U);
  EXPECT_EQ(workers.sum(&WorkerStats::transmitted), 2U);
  workers.expect_accounted();
}

TEST(Worker, AnnouncesWithTheTagsOfThePort) {
  Devices& devices = Devices::get();
  const PortSpec spec{.name = "vlan", .device = PortDevice::kRing, .vlan = {200, 100}};
  auto port = Port::open(spec, {.index = 2, .workers = 2}, devices.pool.get());
  ASSERT_TRUE(port.has_value()) << port.error().text;
  EXPECT_EQ((*port)->link().tags, VlanTags(200, 100));
  Workers workers(1, std::move(*port));
  workers[0].announcements.push({.address = address("203.0.113.10"), .mac = {2}, .port = 2});
  workers[0].announcements.push({.address = address("2001:db8::10"), .mac = {2}, .port = 2});
  EXPECT_TRUE(workers[0].turn(kSecond));
  const std::vector<Bytes> sent = workers.take_from(2);
  ASSERT_EQ(sent.size(), 2U);
  const Bytes tags = {0x88, 0xa8, 0, 200, 0x81, 0, 0, 100};
  for (const Bytes& frame : sent) {
    EXPECT_EQ(Bytes(frame.begin() + 12, frame.begin() + 20), tags);
  }
  EXPECT_EQ(sent[0].size(), kGratuitousArpSize + 8);
  EXPECT_EQ(sent[0].at(20), 0x08);
  EXPECT_EQ(sent[0].at(21), 0x06);
  EXPECT_EQ(sent[1].size(), kAdvertisementSize + 8);
}

TEST(Worker, LeavesASnapshotBetweenBursts) {
  Workers workers(1);
  workers[0].request_snapshot();
  EXPECT_FALSE(workers[0].snapshot_ready());
  workers.receive(syn(1024));
  workers[0].turn(kSecond);
  ASSERT_TRUE(workers[0].snapshot_ready());
  EXPECT_EQ(workers[0].snapshot().received.get(), 1U);
  EXPECT_EQ(unaccounted(workers[0].snapshot()), 0U);
}

TEST(Worker, MeetsTheNewGenerationAtItsNextBurst) {
  Workers workers(1);
  GenerationSpec other = small_generation(2);
  other.services[0].bindings[0].first_port = 81;
  other.services[0].bindings[0].last_port = 81;
  ASSERT_TRUE(workers.publisher().publish(other).has_value());
  workers.receive(syn(1024));
  workers[0].turn(kSecond);
  const WorkerStats& stats = workers[0].state().stats;
  EXPECT_EQ(stats.drops[static_cast<std::size_t>(Drop::kNoService)].get(), 1U);
}

// Clients of one network meet one worker, and what it opens comes back to it.
TEST(Worker, AsksTheClientsOfIdleFlowsOfAMemberThatIsReset) {
  Workers workers(1);
  for (std::uint16_t port = 1024; port < 1124; ++port) {
    workers.receive(syn(port));
    workers.receive(tcp(kClient.at_port(port), kVip).ack().bytes());
    workers.run();
  }
  const std::uint64_t flows = workers[0].state().members[0].live_flows.get();
  ASSERT_GT(flows, 20U);
  const unsigned before = workers.free_mbufs();
  ASSERT_TRUE(workers.publisher().set_disposition("web", "a", Disposition::kReset));
  for (std::uint64_t ms = 1'000; ms < 10'000; ++ms) {
    workers[0].turn(ms * 1'000'000);
  }
  constexpr auto kKind = static_cast<std::size_t>(Generated::kQuestion);
  EXPECT_EQ(workers[0].state().stats.generated[kKind].get(), flows);
  EXPECT_EQ(workers[0].state().moves[0].asked.get(), flows);
  EXPECT_EQ(workers[0].state().moves[0].unanswered.get(), flows);
  EXPECT_EQ(workers.free_mbufs(), before);
  workers.expect_accounted();
}

TEST(Worker, EverySourcePrefixWithAffinityHasOneOwner) {
  Workers workers(2);
  GenerationSpec spec = small_generation(2);
  spec.services[0].affinity = {.seconds = 600, .prefix_v4 = 24, .prefix_v6 = 64};
  ASSERT_TRUE(workers.publisher().publish(spec).has_value());
  workers.receive(syn(1024));
  workers.receive(tcp(kClient.at_port(1024), kVip).ack().bytes());  // its source is on record now
  workers.run();
  for (std::uint16_t i = 1; i < 100; ++i) {
    workers.receive(syn(static_cast<std::uint16_t>(1024 + i)));
  }
  workers.run();
  const std::uint64_t first = workers[0].state().stats.flows_inserted.get();
  EXPECT_TRUE(first == 0 || first == 100) << first;
  EXPECT_EQ(workers.sum(&WorkerStats::flows_inserted), 100U);
  EXPECT_EQ(workers.sum(&WorkerStats::affinity_hits), 99U);
  workers.expect_accounted();
}

TEST(Worker, ARepliesOwnerIsTheOneOfItsPoolPort) {
  Workers workers(2);
  ASSERT_TRUE(workers.publisher().publish(nat_generation(2)).has_value());
  const unsigned level = workers.free_mbufs();
  constexpr std::uint16_t kFlows = 200;
  for (std::uint16_t i = 0; i < kFlows; ++i) {
    workers.receive(syn(static_cast<std::uint16_t>(1024 + i)));
  }
  workers.run();
  std::array<std::uint64_t, 2> flows{};
  std::vector<Bytes> replies;
  for (std::uint32_t worker = 0; worker < 2; ++worker) {
    const PortBlock block = port_block(worker, 2);
    for (const NatRecord& record : workers[worker].state().tables.nat.records()) {
      if (record.state == FlowState::kFree) {
        continue;
      }
      ++flows[worker];
      EXPECT_GE(record.pool_port.to_host(), block.first);
      EXPECT_LT(record.pool_port.to_host(), std::uint32_t{block.first} + block.count);
      const Address member = workers.shared().member_records()[record.member].address;
      replies.push_back(tcp({member, 80}, {record.pool, record.pool_port.to_host()})
                            .flags(kTcpSyn | kTcpAck)
                            .bytes());
    }
  }
  EXPECT_EQ(flows[0] + flows[1], kFlows);
  EXPECT_GT(flows[0], kFlows / 4U);
  EXPECT_GT(flows[1], kFlows / 4U);
  const std::uint64_t crossed = workers[0].state().stats.handed_over.get();
  EXPECT_EQ(crossed, flows[1]);
  for (const Bytes& reply : replies) {  // all arrive at worker 0's port
    workers.receive(reply);
  }
  workers.run();
  EXPECT_EQ(workers[0].state().stats.handed_over.get(), 2 * crossed);
  EXPECT_EQ(workers[1].state().stats.taken_over.get(), 2 * crossed);
  EXPECT_EQ(workers.sum(&WorkerStats::forwarded), 2U * kFlows);
  for (std::uint32_t worker = 0; worker < 2; ++worker) {
    for (const NatRecord& record : workers[worker].state().tables.nat.records()) {
      EXPECT_TRUE(record.state == FlowState::kFree || record.member_side != SideState::kIdle);
    }
    std::uint64_t to_client = 0;
    for (const MemberStats& member : workers[worker].state().members) {
      to_client += member.packets_to_client.get();
    }
    EXPECT_EQ(to_client, flows[worker]);
  }
  workers.expect_accounted();
  EXPECT_EQ(workers.free_mbufs(), level);
}

TEST(Port, KeepsWhatAFullRingDoesNotTakeInOrderAndGivesUpAfterAWhile) {
  Workers workers(1);
  constexpr std::size_t kBurst = 32;
  constexpr std::uint64_t kLater = kSecond + 2 * kLongestWaitNs;
  std::uint16_t next = 0;
  const auto fill = [&] {
    std::size_t taken = 0;
    for (std::size_t now = kBurst; now == kBurst; taken += now) {
      now = workers.offer(kBurst, next);
    }
    return taken;
  };
  const unsigned before = workers.free_mbufs();
  const std::size_t held = fill();
  EXPECT_GT(held, kWaitingPackets);
  for (std::size_t i = 0; i < held; ++i) {
    workers.in().retry(0, kSecond);
    ASSERT_EQ(workers.take_number(), i) << "in order, and none lost";
  }
  EXPECT_EQ(workers.in().counters().transmit_errors, 0U);
  next = 0;
  fill();
  workers.in().retry(0, kSecond);
  workers.in().retry(0, kLater);
  EXPECT_EQ(workers.in().counters().transmit_errors, kWaitingPackets);
  while (workers.take_number()) {
  }
  EXPECT_EQ(workers.free_mbufs(), before);
}

}  // namespace
}  // namespace holdfast::dataplane
