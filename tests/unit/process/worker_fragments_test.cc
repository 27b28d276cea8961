// SPDX-License-Identifier: Apache-2.0
// Fragments over several workers, and the buffers of those that wait.
#include "tests/support/fragmenting.h"
#include "tests/unit/process/worker_rig.h"

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

// A SYN in three fragments.
std::vector<Bytes> fragmented_syn(std::uint16_t client_port) {
  const Bytes whole = tcp(kClient.at_port(client_port), kVip).syn().payload(300).bytes();
  return holdfast::testing::fragments_of(whole, {64, 128}, client_port);
}

// kFragmentedFlows SYNs, whose fragments come one at a time, in the three orders that rotation
// makes.
constexpr std::uint16_t kFragmentedFlows = 200;
void receive_rotated(Workers& workers) {
  for (std::uint16_t i = 0; i < kFragmentedFlows; ++i) {
    std::vector<Bytes> fragments = fragmented_syn(static_cast<std::uint16_t>(1024 + i));
    std::ranges::rotate(fragments, fragments.begin() + i % 3);
    for (const Bytes& fragment : fragments) {
      workers.receive(fragment);
      workers.run();
    }
  }
}

TEST(Worker, FragmentsReachTheOwnerOfTheirFlowInAnyOrder) {
  Workers workers(3);
  const unsigned level = workers.free_mbufs();
  receive_rotated(workers);
  EXPECT_EQ(workers.sum(&WorkerStats::received), 3U * kFragmentedFlows);
  EXPECT_EQ(workers.sum(&WorkerStats::fragments), 3U * kFragmentedFlows);
  EXPECT_EQ(workers.sum(&WorkerStats::forwarded), 3U * kFragmentedFlows);
  EXPECT_EQ(workers.sum(&WorkerStats::held), workers.sum(&WorkerStats::released));
  EXPECT_EQ(workers.sum(&WorkerStats::flows_inserted), kFragmentedFlows);
  for (std::uint16_t i = 0; i < kFragmentedFlows; ++i) {
    workers.receive(tcp(kClient.at_port(static_cast<std::uint16_t>(1024 + i)), kVip).ack().bytes());
  }
  workers.run();
  EXPECT_EQ(workers.sum(&WorkerStats::flows_inserted), kFragmentedFlows)
      << "whole packets found the flows";
  for (std::uint32_t worker = 0; worker < 3; ++worker) {
    EXPECT_GT(workers[worker].state().stats.fragments.get(), 0U);
    EXPECT_GT(workers[worker].state().stats.released.get(), 0U);
  }
  workers.expect_accounted();
  EXPECT_EQ(workers.free_mbufs(), level);
}

// A later fragment opens no translated flow: it has to reach the owner behind its first one.
TEST(Worker, FragmentsOfATranslatedFlowsFirstPacketReachItsOwnerInAnyOrder) {
  Workers workers(3);
  ASSERT_TRUE(workers.publisher().publish(nat_generation(2)).has_value());
  const unsigned level = workers.free_mbufs();
  receive_rotated(workers);
  EXPECT_EQ(workers.sum(&WorkerStats::received), 3U * kFragmentedFlows);
  EXPECT_EQ(workers.sum(&WorkerStats::forwarded), 3U * kFragmentedFlows);
  EXPECT_EQ(workers.sum(&WorkerStats::flows_inserted), kFragmentedFlows);
  workers.expect_accounted();
  EXPECT_EQ(workers.free_mbufs(), level);
}

TEST(Worker, FragmentsOfRepliesReachTheOwnerOfTheirPoolPort) {
  Workers workers(2);
  ASSERT_TRUE(workers.publisher().publish(nat_generation(2)).has_value());
  const unsigned level = workers.free_mbufs();
  constexpr std::uint16_t kReplies = 100;
  for (std::uint16_t i = 0; i < kReplies; ++i) {
    workers.receive(syn(static_cast<std::uint16_t>(1024 + i)));
  }
  workers.run();
  std::uint32_t number = 0;
  for (std::uint32_t worker = 0; worker < 2; ++worker) {
    for (const NatRecord& record : workers[worker].state().tables.nat.records()) {
      if (record.state == FlowState::kFree) {
        continue;
      }
      const Address member = workers.shared().member_records()[record.member].address;
      const Bytes whole = tcp({member, 80}, {record.pool, record.pool_port.to_host()})
                              .flags(kTcpSyn | kTcpAck)
                              .payload(200)
                              .bytes();
      const auto fragments = holdfast::testing::fragments_of(whole, {64}, ++number);
      workers.receive(fragments[1]);
      workers.receive(fragments[0]);
    }
  }
  ASSERT_EQ(number, kReplies);
  workers.run();
  EXPECT_EQ(workers.sum(&WorkerStats::forwarded), 3U * kReplies);
  EXPECT_EQ(workers.sum(&WorkerStats::held), workers.sum(&WorkerStats::released));
  workers.expect_accounted();
  EXPECT_EQ(workers.free_mbufs(), level);
}

TEST(Worker, EarlyFragmentsGiveTheirBuffersBackWhenTheirTimeIsOver) {
  Workers workers(2);
  const unsigned level = workers.free_mbufs();
  for (std::uint16_t i = 0; i < 20; ++i) {
    workers.receive(fragmented_syn(static_cast<std::uint16_t>(1024 + i))[1]);
  }
  workers.run();
  EXPECT_EQ(workers.sum(&WorkerStats::held), 20U);
  EXPECT_EQ(workers.free_mbufs(), level - 20);
  workers.expect_accounted();
  for (std::uint32_t worker = 0; worker < 2; ++worker) {
    workers[worker].turn(2 * kSecond);
  }
  EXPECT_EQ(workers.sum(&WorkerStats::released), 20U);
  workers.expect_accounted();
  EXPECT_EQ(workers.free_mbufs(), level);
}

TEST(Worker, EarlyFragmentsGiveTheirBuffersBackWhenTheWorkerEnds) {
  const unsigned level = rte_mempool_avail_count(Devices::get().pool.get());
  {
    Workers workers(2);
    for (std::uint16_t i = 0; i < 20; ++i) {
      workers.receive(fragmented_syn(static_cast<std::uint16_t>(1024 + i))[1]);
    }
    workers.run();
    EXPECT_EQ(workers.free_mbufs(), level - 20);
  }
  EXPECT_EQ(rte_mempool_avail_count(Devices::get().pool.get()), level);
}

}  // namespace
}  // namespace holdfast::dataplane
