// SPDX-License-Identifier: Apache-2.0
// Mode `nat` on cards that spread replies over the workers: pool endpoints are taken so that
// replies come by their owner's queue, as long as there are such.
#include "dataplane/receive_spread.h"
#include "tests/packet/nat_flow.h"
#include "tests/support/appliance.h"

#include <set>
#include <tuple>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Drop;
using dataplane::FlowKey;
using dataplane::HashedPorts;
using dataplane::Mode;
using dataplane::ReceiveSpread;
using dataplane::Verdict;

constexpr HashedPorts kAll = {.tcp4 = true, .udp4 = true, .tcp6 = true, .udp6 = true};
constexpr std::uint32_t kPoolPorts = 64'512;

ReceiveSpread spread_over(std::uint32_t workers, HashedPorts hashed = kAll) {
  return {dataplane::build_rss_key(dataplane::FlowHasher(dataplane::HashKey{5})), workers, hashed};
}

// The appliance has one worker, number 0, which owns every port: that cards have queues for more
// only narrows what it likes best.
class NatSpread : public ::testing::Test {
 protected:
  // The worker whose queue the replies to the flow of this SYN or datagram come by.
  std::uint32_t arrival_of(const Packet& packet, const ReceiveSpread& spread) {
    const Outcome out = appliance_.send(packet);
    EXPECT_EQ(out.verdict, Verdict::kForward);
    ExactBurst burst(out.bytes);
    dataplane::parse(*burst);
    const FlowKey& key = burst->key[0];
    EXPECT_TRUE(taken_
                    .emplace(key.destination.text(),
                             key.destination_port.to_host(),
                             key.source.text(),
                             key.source_port.to_host())
                    .second);
    return spread.worker_of({.source = key.destination,
                             .destination = key.source,
                             .source_port = key.destination_port,
                             .destination_port = key.source_port,
                             .protocol = key.protocol});
  }

  Appliance appliance_{three_backends(Mode::kNat), 200'000};
  std::set<std::tuple<std::string, std::uint16_t, std::string, std::uint16_t>> taken_;
};

TEST_F(NatSpread, BringsRepliesOfBothFamiliesAndProtocolsToTheirOwner) {
  for (const std::uint32_t workers : {2U, 3U, 8U, 64U}) {
    const ReceiveSpread spread = spread_over(workers);
    appliance_.solo().worker().spread = &spread;
    for (std::uint16_t i = 0; i < 100; ++i) {
      const auto port = static_cast<std::uint16_t>(1024 + 100 * workers + i);
      EXPECT_EQ(arrival_of(tcp(kClient.at_port(port), kVip).syn(), spread), 0U);
      EXPECT_EQ(arrival_of(tcp(kClient6.at_port(port), kVip6).syn(), spread), 0U);
      EXPECT_EQ(arrival_of(udp(kClient.at_port(port), kVip.at_port(53)).payload(4), spread), 0U);
    }
  }
}

TEST_F(NatSpread, IsNoneWhereCardsDoNotHashThePorts) {
  const ReceiveSpread spread = spread_over(2, {.udp4 = true});
  appliance_.solo().worker().spread = &spread;
  std::uint32_t elsewhere = 0;
  for (std::uint16_t port = 1; port <= 200; ++port) {
    elsewhere += arrival_of(tcp(kClient.at_port(port), kVip).syn(), spread);
    EXPECT_EQ(arrival_of(udp(kClient.at_port(port), kVip.at_port(53)).payload(4), spread), 0U);
  }
  EXPECT_GT(elsewhere, 50U);
}

// Of 64 512 flows 63 504 have replies that another worker would get first.
TEST_F(NatSpread, CostsNoEndpoint) {
  dataplane::GenerationSpec spec = three_backends(Mode::kNat);
  spec.pools = {{.first = kPool.address, .last = kPool.address}};
  for (dataplane::ServiceSpec& service : spec.services) {
    service.members = {{.backend = "1", .address = kBackend1.address}};
  }
  Appliance appliance(spec, 200'000);
  const ReceiveSpread spread = spread_over(64);
  appliance.solo().worker().spread = &spread;
  const auto client = [](std::uint32_t number) {
    Endpoint result = kClient.at_port(static_cast<std::uint16_t>(1 + number % 50'000));
    result.address = v4(198, 51, static_cast<std::uint8_t>(100 + number / 50'000), 7);
    return result;
  };
  for (std::uint32_t i = 0; i < kPoolPorts; ++i) {
    ASSERT_FALSE(establish(appliance, client(i)).has_value()) << i;
  }
  EXPECT_EQ(establish(appliance, client(kPoolPorts)), Drop::kNatPoolExhausted);
}

}  // namespace
}  // namespace holdfast::testing
