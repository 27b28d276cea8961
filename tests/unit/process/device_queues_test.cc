// SPDX-License-Identifier: Apache-2.0
// How many receive queues a port gets and how they are filled: the decision alone, and on DPDK's
// null device, which keeps what it is told.
#include "dataplane/process/device_queues.h"

#include "tests/support/capture_file.h"
#include "tests/unit/process/worker_rig.h"

#include <filesystem>
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <rte_ethdev.h>

namespace holdfast::dataplane {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kTcp4 = RTE_ETH_RSS_NONFRAG_IPV4_TCP;
constexpr std::uint64_t kUdp6 = RTE_ETH_RSS_NONFRAG_IPV6_UDP;
constexpr QueueOffer kCard = {.receive = 16,
                              .transmit = 16,
                              .hash_types = RTE_ETH_RSS_IPV4 | kTcp4 | RTE_ETH_RSS_SCTP,
                              .table_size = 128,
                              .key_bytes = 40};

TEST(QueuePlan, HasAQueueForEachWorkerAndTheHashesThatBothKnow) {
  const QueuePlan plan = plan_queues(kCard, 4);
  EXPECT_EQ(plan.receive, 4);
  EXPECT_EQ(plan.hash_types, RTE_ETH_RSS_IPV4 | kTcp4);
  EXPECT_EQ(hash_names(plan.hash_types), "ipv4,tcp4");
}

TEST(QueuePlan, HasNoMoreQueuesThanTheDeviceAndItsTable) {
  EXPECT_EQ(plan_queues(kCard, 40).receive, 16);
  QueueOffer small = kCard;
  small.table_size = 8;
  EXPECT_EQ(plan_queues(small, 40).receive, 8);
  small.table_size = 0;  // not told
  EXPECT_EQ(plan_queues(small, 40).receive, 16);
}

TEST(QueuePlan, HasOneQueueWhereMoreCannotBeOrWouldNotHelpAndSaysWhy) {
  EXPECT_EQ(plan_queues(kCard, 1).receive, 1);
  EXPECT_EQ(plan_queues(kCard, 1).hash_types, 0U);
  EXPECT_EQ(plan_queues(kCard, 1).why_one, "one worker");
  EXPECT_EQ(plan_queues({}, 2).receive, 1);
  EXPECT_THAT(plan_queues({}, 2).why_one, HasSubstr("has no more"));
  QueueOffer other = kCard;
  other.hash_types = RTE_ETH_RSS_SCTP;
  EXPECT_EQ(plan_queues(other, 2).receive, 1);
  EXPECT_EQ(plan_queues(other, 2).hash_types, 0U);
  EXPECT_THAT(plan_queues(other, 2).why_one, HasSubstr("hashes nothing"));
}

TEST(QueuePlan, HasATransmitQueueForEachWorkerOrOneForAll) {
  EXPECT_EQ(plan_queues(kCard, 16).transmit, 16);
  EXPECT_EQ(plan_queues(kCard, 17).transmit, 1);
  EXPECT_EQ(plan_queues(kCard, 1).transmit, 1);
  QueueOffer few = kCard;
  few.transmit = 3;
  EXPECT_EQ(plan_queues(few, 4).transmit, 1);
  EXPECT_EQ(plan_queues(few, 4).receive, 4);
  few.hash_types = 0;
  EXPECT_EQ(plan_queues(few, 2).transmit, 1);
}

TEST(QueuePlan, TellsWhosePortsAreHashed) {
  EXPECT_EQ(hashed_ports(kTcp4 | kUdp6), (HashedPorts{.tcp4 = true, .udp6 = true}));
  EXPECT_EQ(hashed_ports(RTE_ETH_RSS_IPV4), HashedPorts{});
}

TEST(QueuePlan, GivesEveryQueueOneWorkerAndQueueIToWorkerIWhereEachHasOne) {
  for (std::uint16_t workers = 1; workers <= 8; ++workers) {
    for (std::size_t port = 0; port < 4; ++port) {
      EXPECT_EQ(worker_of_queue(port, 0, 1, workers), port % workers);
      for (std::uint16_t queues = 1; queues <= workers; ++queues) {
        std::set<std::uint32_t> seen;
        for (std::uint16_t queue = 0; queue < queues; ++queue) {
          seen.insert(worker_of_queue(port, queue, queues, workers));
          EXPECT_TRUE(queues < workers || worker_of_queue(port, queue, queues, workers) == queue);
        }
        EXPECT_EQ(seen.size(), queues);
        EXPECT_LT(*seen.rbegin(), workers);
      }
    }
  }
}

TEST(QueuePlan, ForeseesWhatAllForeseenDevicesHash) {
  const DeviceQueues one = {.receive = 1};
  const DeviceQueues both = {.receive = 2, .hash_types = kTcp4 | kUdp6, .foreseen = true};
  const DeviceQueues tcp = {.receive = 2, .hash_types = kTcp4, .foreseen = true};
  const RssKey key = build_rss_key(FlowHasher(HashKey{7}));
  const FlowKey tcp4{.source = address("10.0.3.11"), .protocol = Protocol::kTcp};
  const FlowKey udp6{.source = address("2001:db8::1"), .protocol = Protocol::kUdp};
  EXPECT_EQ(foresee(std::array{one, one}, key, 2), nullptr);
  const auto alone = foresee(std::array{one, both}, key, 2);
  ASSERT_NE(alone, nullptr);
  EXPECT_EQ(alone->workers(), 2U);
  EXPECT_TRUE(alone->covers(tcp4) && alone->covers(udp6));
  const auto together = foresee(std::array{both, tcp}, key, 2);
  EXPECT_TRUE(together->covers(tcp4) && !together->covers(udp6));
}

TEST(TransmitOffloads, AreSegmentsWhereTheDeviceHasThemAndAPortMayDeliverThem) {
  constexpr std::uint64_t kAll = ~std::uint64_t{0};
  EXPECT_EQ(plan_transmit_offloads(kAll, true), RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
  EXPECT_EQ(plan_transmit_offloads(kAll, false), 0U);
  EXPECT_EQ(plan_transmit_offloads(RTE_ETH_TX_OFFLOAD_IPV4_CKSUM, true), 0U);
}

TEST(TransmitOffloads, LetFramesOfSeveralSegmentsLeaveWholeWhetherAskedForOrNot) {
  rte_mempool* pool = Devices::get().pool.get();
  for (const bool chains : {false, true}) {
    const PortIndex index = chains ? 8 : 7;
    const TempDirectory folder;
    std::ofstream(folder.file("in")) << testing::FileBytes(false).pcap_header(0xa1b2c3d4, 1).text();
    auto port = Port::open({.name = "file",
                            .device = PortDevice::kPcap,
                            .receive_file = folder.file("in"),
                            .transmit_file = folder.file("out")},
                           {.index = index, .chains = chains},
                           pool);
    ASSERT_TRUE(port) << port.error().text;
    rte_mbuf* packet = rte_pktmbuf_alloc(pool);
    rte_mbuf* rest = rte_pktmbuf_alloc(pool);
    rte_pktmbuf_append(packet, 400);
    rte_pktmbuf_append(rest, 1100);
    ASSERT_EQ(rte_pktmbuf_chain(packet, rest), 0);
    EXPECT_EQ((*port)->transmit(0, std::span(&packet, 1)), 1);
    port->reset();
    EXPECT_EQ(std::filesystem::file_size(folder.file("out")), 24U + 16U + 1500U) << chains;
  }
}

class NullDevice : public ::testing::Test {
 protected:
  // A device stays with DPDK, so each is another one.
  std::unique_ptr<Port> open(PortIndex index, std::uint32_t workers) {
    auto port = Port::open({.name = "card", .device = PortDevice::kNull},
                           {.index = index, .workers = workers, .rss_key = key_},
                           Devices::get().pool.get());
    EXPECT_TRUE(port) << port.error().text;
    return std::move(*port);
  }
  const RssKey key_ = build_rss_key(FlowHasher(HashKey{7}));
};

TEST_F(NullDevice, SpreadsByOurTableAndOurKeyAndSaysSo) {
  const auto port = open(5, 3);
  EXPECT_EQ(port->queues().receive, 3);
  EXPECT_TRUE(port->queues().foreseen);
  EXPECT_THAT(port->queues().text, HasSubstr("queues=3 transmit=3 hash=ipv4,frag4,tcp4,udp4,ipv6"));
  EXPECT_THAT(port->queues().text, HasSubstr("table=128 flows=to their owners"));
  std::uint16_t device = 0;
  ASSERT_EQ(rte_eth_dev_get_port_by_name("net_null5", &device), 0);
  std::array<rte_eth_rss_reta_entry64, 2> groups{};
  groups[0].mask = groups[1].mask = ~std::uint64_t{0};
  ASSERT_EQ(rte_eth_dev_rss_reta_query(device, groups.data(), 128), 0);
  for (std::size_t i = 0; i < 128; ++i) {
    EXPECT_EQ(groups[i / 64].reta[i % 64], i % 3) << i;
  }
  RssKey key{};
  rte_eth_rss_conf used = {.rss_key = key.data(), .rss_key_len = 40, .rss_hf = 0};
  ASSERT_EQ(rte_eth_dev_rss_hash_conf_get(device, &used), 0);
  EXPECT_TRUE(std::equal(key.begin(), key.begin() + 40, key_.begin()));
}

TEST_F(NullDevice, OfOneWorkerHasOneQueue) {
  const auto port = open(6, 1);
  EXPECT_EQ(port->queues().receive, 1);
  EXPECT_FALSE(port->queues().foreseen);
  EXPECT_EQ(port->queues().text, "queues=1: one worker");
}

TEST(RingDevice, WithoutHashesHasOneQueue) {
  EXPECT_EQ(Devices::get().in->queues().text,
            "queues=1: software dispatch, the device hashes nothing that we know");
}

}  // namespace
}  // namespace holdfast::dataplane
