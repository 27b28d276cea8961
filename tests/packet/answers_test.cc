// SPDX-License-Identifier: Apache-2.0
// What the dataplane answers itself, through every stage: pings, ARP and neighbour discovery.
#include "tests/support/appliance.h"

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Drop;
using dataplane::kBroadcastMac;
using dataplane::Mode;
using dataplane::Verdict;

constexpr Endpoint kNeighbor = {v4(192, 0, 2, 77), 0, {2, 0, 0, 0, 9, 9}};
constexpr Endpoint kNeighbor6 = {v6(1, 77), 0, {2, 0, 0, 0, 9, 9}};

TEST(Answers, ArpForAVipAndForAPoolAddressWhereTheyAreOnLink) {
  Appliance appliance(three_backends(Mode::kNat));
  const dataplane::Notices& notices = appliance.solo().worker().notices;
  EXPECT_EQ(appliance.send(arp_request(kNeighbor, kVip.address), kWan).verdict, Verdict::kReply);
  EXPECT_EQ(appliance.send(arp_request(kBackend1, kPool.address), kLan).verdict, Verdict::kReply);
  EXPECT_EQ(notices.learned_count, 2);
  EXPECT_EQ(appliance.send(arp_request(kBackend1, kVip.address), kLan).verdict, Verdict::kKernel);
  EXPECT_EQ(appliance.send(arp_request(kNeighbor, kPool.address), kWan).verdict, Verdict::kKernel);
  EXPECT_EQ(notices.learned_count, 2);
}

TEST(Answers, NeighbourSolicitationsWhereTheTargetIsOnLink) {
  Appliance appliance(three_backends(Mode::kNat));
  const Endpoint vip_group = solicited_nodes(kVip6.address);
  const Endpoint pool_group = solicited_nodes(kPool6.address);
  const auto asked = [&](const Endpoint& group, const Address& target, dataplane::PortIndex port) {
    return appliance.send(neighbor_solicitation(kNeighbor6, group, target), port).verdict;
  };
  EXPECT_EQ(asked(vip_group, kVip6.address, kWan), Verdict::kReply);
  EXPECT_EQ(asked(vip_group, kVip6.address, kLan), Verdict::kKernel);
  EXPECT_EQ(asked(pool_group, kPool6.address, kLan), Verdict::kReply);
  EXPECT_EQ(asked(pool_group, kPool6.address, kWan), Verdict::kKernel);
}

TEST(Answers, ATaggedSolicitationIsTheKernels) {
  Appliance appliance(three_backends(Mode::kNat));
  const Packet question =
      neighbor_solicitation(kNeighbor6, solicited_nodes(kVip6.address), kVip6.address).vlan(7);
  EXPECT_EQ(appliance.send(question).verdict, Verdict::kKernel);
  EXPECT_EQ(appliance.solo().worker().notices.learned_count, 0);
}

TEST(Answers, APingToAVipButNotInAFrameToEverybody) {
  Appliance appliance(three_backends(Mode::kNat));
  EXPECT_EQ(appliance.send(echo_request(kClient, kVip)).verdict, Verdict::kReply);
  EXPECT_EQ(appliance.send(echo_request(kClient6, kVip6)).verdict, Verdict::kReply);
  EXPECT_EQ(appliance.send(echo_request(kClient, kVip.at_mac(kBroadcastMac))).reason,
            Drop::kNotOurMac);
  EXPECT_EQ(appliance.send(echo_request(kClient.at_mac(kBroadcastMac), kVip)).reason,
            Drop::kMartian);
  EXPECT_EQ(appliance.send(echo_request(kPool.at_mac(kRouterMac), kVip)).reason, Drop::kVipSource);
  EXPECT_EQ(appliance.send(echo_request(kClient, kVip).upper_byte(0, 8).byte(37, 1)).reason,
            Drop::kBadChecksum);
}

TEST(Answers, NothingGoesToAGroupAddress) {
  Appliance appliance(three_backends(Mode::kNat));
  const Endpoint everybody = kClient.at_mac(kBroadcastMac);
  EXPECT_EQ(appliance.send(tcp(everybody, kVip).ack()).reason, Drop::kMartian);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip.at_mac(kBroadcastMac)).ack()).reason,
            Drop::kNotOurMac);
}

TEST(Answers, AFrameOfVlanZeroIsOnlyPrioritized) {
  Appliance appliance(three_backends(Mode::kNat));
  EXPECT_EQ(appliance.send(echo_request(kClient, kVip).vlan(0)).verdict, Verdict::kReply);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).syn().vlan(0)).verdict, Verdict::kForward);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).syn().vlan(7)).reason, Drop::kVlanUnknown);
}

}  // namespace
}  // namespace holdfast::testing
