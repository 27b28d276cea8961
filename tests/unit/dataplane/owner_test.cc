// SPDX-License-Identifier: Apache-2.0
// The owner rule: which worker's tables hold a frame's flow.
#include "dataplane/nat_table.h"
#include "dataplane/pipeline.h"
#include "dataplane/receive_spread.h"
#include "tests/packet/icmp_quote.h"
#include "tests/support/appliance.h"
#include "tests/support/fragmenting.h"
#include "tests/support/second_life.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using testing::Bytes;
using testing::kClient;
using testing::kPool;
using testing::kVip;
using testing::tcp;
using testing::three_backends;

class Owner : public ::testing::Test {
 protected:
  std::uint32_t of(const Bytes& frame,
                   std::uint32_t self,
                   std::uint32_t workers,
                   const ReceiveSpread* spread = nullptr) {
    testing::ExactBurst burst(frame);
    parse(*burst);
    hash_keys(*burst, appliance_.solo().generation().hasher());
    return owner_of(*burst, 0, appliance_.solo().generation(), self, {workers, spread});
  }

 private:
  testing::Appliance appliance_{three_backends(Mode::kNat)};
};

TEST_F(Owner, OfAReplyIsTheWorkerInWhoseBlockThePoolPortLies) {
  for (const std::uint32_t workers : {2U, 3U, 7U}) {
    for (std::uint32_t worker = 0; worker < workers; ++worker) {
      const PortBlock block = port_block(worker, workers);
      for (const int port : {int{block.first}, block.first + block.count - 1}) {
        const testing::Endpoint pool = kPool.at_port(static_cast<std::uint16_t>(port));
        for (const testing::Endpoint& member : {testing::kBackend1, testing::kBackend2}) {
          EXPECT_EQ(of(tcp(member, pool).ack().bytes(), 0, workers), worker) << port;
        }
      }
    }
  }
}

TEST_F(Owner, OfAPoolPortThatNobodyGivesOutIsStillAWorker) {
  for (const std::uint32_t workers : {2U, 3U, 7U}) {
    for (const int port : {0, 1, 1023, 65535}) {
      const testing::Endpoint pool = kPool.at_port(static_cast<std::uint16_t>(port));
      EXPECT_LT(of(tcp(testing::kBackend1, pool).ack().bytes(), 0, workers), workers);
    }
  }
}

TEST_F(Owner, OfAClientsFlowDependsOnItsKeyAloneAndIsSpreadEvenly) {
  std::map<std::uint32_t, int> share;
  for (std::uint16_t port = 1; port <= 3000; ++port) {
    const auto client = kClient.at_port(port);
    const std::uint32_t owner = of(tcp(client, kVip).syn().bytes(), 0, 3);
    EXPECT_EQ(of(tcp(client, kVip).ack().payload(9).bytes(), 2, 3), owner);
    ++share[owner];
  }
  for (std::uint32_t worker = 0; worker < 3; ++worker) {
    EXPECT_NEAR(share[worker], 1000, 150) << worker;
  }
}

TEST_F(Owner, OfAClientsFlowIsTheWorkerThatTheCardBringsItTo) {
  const RssKey key = build_rss_key(FlowHasher(testing::kApplianceKey));
  for (const std::uint32_t workers : {2U, 3U, 8U}) {
    const ReceiveSpread spread(key, workers, {.tcp4 = true, .tcp6 = true});
    std::map<std::uint32_t, int> share;
    for (std::uint16_t port = 1; port <= 600; ++port) {
      const auto client = kClient.at_port(port);
      const std::uint32_t owner = of(tcp(client, kVip).syn().bytes(), 0, workers, &spread);
      EXPECT_EQ(owner,
                spread.worker_of({.source = client.address,
                                  .destination = kVip.address,
                                  .source_port = Be16::from_host(port),
                                  .destination_port = Be16::from_host(kVip.port),
                                  .protocol = Protocol::kTcp}));
      EXPECT_EQ(of(tcp(client, kVip).ack().payload(9).bytes(), 1, workers, &spread), owner);
      const Bytes quoted = testing::quote_of(tcp(kVip, client).ack(), 8);
      EXPECT_EQ(
          of(testing::too_big(testing::kFarRouter, kVip, quoted).bytes(), 0, workers, &spread),
          owner);
      const auto dns = testing::udp(client, kVip.at_port(53)).payload(1).bytes();
      EXPECT_EQ(of(dns, 0, workers, &spread), of(dns, 0, workers));  // no card hashes its ports
      ++share[owner];
    }
    EXPECT_EQ(share.size(), workers);
  }
}

TEST_F(Owner, OfAnIcmpErrorIsWhoOwnsTheFlowThatItIsAbout) {
  for (const std::uint32_t workers : {2U, 3U, 7U}) {
    for (std::uint16_t port = 1; port < 200; ++port) {
      const auto client = kClient.at_port(port);
      const auto pool = kPool.at_port(static_cast<std::uint16_t>(port * 321));
      const Bytes outside = testing::quote_of(tcp(kVip, client).ack(), 8);
      EXPECT_EQ(of(testing::too_big(testing::kFarRouter, kVip, outside).bytes(), 0, workers),
                of(tcp(client, kVip).syn().bytes(), 0, workers));
      const Bytes inside = testing::quote_of(tcp(pool, testing::kBackend1).ack(), 8);
      EXPECT_EQ(of(testing::too_big(testing::kBackend2, pool, inside).bytes(), 0, workers),
                of(tcp(testing::kBackend1, pool).ack().bytes(), 0, workers));
    }
  }
}

// Whatever the cards do.
TEST_F(Owner, WithAffinityIsOneForAllFlowsOfASourcePrefixAndTheOthersAreAsBefore) {
  const ReceiveSpread spread(build_rss_key(FlowHasher(testing::kApplianceKey)), 3, {.tcp4 = true});
  GenerationSpec spec = three_backends(Mode::kNat);
  spec.services[0].affinity = {.seconds = 600, .prefix_v4 = 24, .prefix_v6 = 64};
  testing::Appliance appliance(spec);
  const auto owner = [&](const testing::Packet& packet) {
    testing::ExactBurst burst(packet.bytes());
    parse(*burst);
    hash_keys(*burst, appliance.solo().generation().hasher());
    return owner_of(*burst, 0, appliance.solo().generation(), 0, {3, &spread});
  };
  std::map<std::uint32_t, int> share;
  for (std::uint8_t network = 0; network < 200; ++network) {
    const auto client = [&](std::uint8_t host, std::uint16_t port) {
      return testing::Endpoint{testing::v4(198, 18, network, host), port, testing::kRouterMac};
    };
    const std::uint32_t first = owner(tcp(client(1, 1), kVip).syn());
    ++share[first];
    for (std::uint8_t host = 2; host < 20; ++host) {
      EXPECT_EQ(owner(tcp(client(host, host), kVip).ack()), first);
    }
    const auto dns = [&](std::uint16_t port) {
      return testing::udp(client(1, port), kVip.at_port(53)).payload(1);
    };
    for (std::uint16_t port = 1; port < 9; ++port) {
      EXPECT_EQ(owner(dns(port)), of(dns(port).bytes(), 0, 3));
    }
  }
  EXPECT_EQ(share.size(), 3U);
  EXPECT_GT(share[0], 40);
}

// What the worker that keeps the record opens comes back to it.
TEST_F(Owner, WithAffinityOfAReplyIsStillByThePortBlock) {
  GenerationSpec spec = three_backends(Mode::kNat);
  spec.services[0].affinity = {.seconds = 600, .prefix_v4 = 24, .prefix_v6 = 64};
  testing::Appliance appliance(spec);
  for (std::uint32_t worker = 0; worker < 3; ++worker) {
    const testing::Endpoint pool = kPool.at_port(port_block(worker, 3).first);
    testing::ExactBurst burst(tcp(testing::kBackend1, pool).ack().bytes());
    parse(*burst);
    hash_keys(*burst, appliance.solo().generation().hasher());
    EXPECT_EQ(owner_of(*burst, 0, appliance.solo().generation(), 0, {.workers = 3}), worker);
  }
}

// Only the first piece has ports by which its service could be found.
TEST_F(Owner, WithAffinityOfADatagramsPiecesIsOne) {
  GenerationSpec spec = three_backends(Mode::kDsr);
  spec.services[0].affinity = {.seconds = 600, .prefix_v4 = 24, .prefix_v6 = 64};
  testing::Appliance appliance(spec);
  for (std::uint16_t id = 1; id < 50; ++id) {
    const Bytes whole = tcp(kClient.at_port(id), kVip).syn().payload(300).bytes();
    std::set<std::uint32_t> owners;
    for (const Bytes& piece : testing::fragments_of(whole, {64, 128}, id)) {
      testing::ExactBurst burst(piece);
      parse(*burst);
      hash_keys(*burst, appliance.solo().generation().hasher());
      owners.insert(owner_of(*burst, 0, appliance.solo().generation(), 0, {.workers = 3}));
    }
    EXPECT_EQ(owners.size(), 1U) << id;
  }
}

TEST_F(Owner, OfAFrameWithoutAFlowIsWhoReceivedIt) {
  EXPECT_EQ(of(testing::Packet(kClient, kVip, Protocol::kIcmp).icmp(8, 0).bytes(), 1, 3), 1U);
  EXPECT_EQ(of(tcp(kClient, kVip).cut(20).bytes(), 2, 3), 2U);
  EXPECT_EQ(of(tcp(kClient, kVip).syn().bytes(), 0, 1), 0U);
}

}  // namespace
}  // namespace holdfast::dataplane
