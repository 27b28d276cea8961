// SPDX-License-Identifier: Apache-2.0
// Flows of a member that is down, by what its service wants for them.
#include "tests/packet/nat_flow.h"
#include "tests/support/appliance.h"

#include <string>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Disposition;
using dataplane::Mode;
using dataplane::MoveCause;
using dataplane::Verdict;

class OnDown : public ::testing::TestWithParam<Mode> {
 protected:
  // The backend of a TCP connection that stands.
  std::string connect() {
    const Outcome syn = appliance.send(tcp(kClient, kVip).syn());
    if (GetParam() == Mode::kNat) {
      const Translated flow = translated(syn);
      appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
    }
    appliance.send(tcp(kClient, kVip).ack());
    return syn.backend;
  }

  Appliance appliance{three_backends(GetParam())};
};

INSTANTIATE_TEST_SUITE_P(Modes, OnDown, ::testing::ValuesIn(all_modes()), [](const auto& mode) {
  return std::string(mode_name(mode.param));
});

TEST_P(OnDown, DatagramsGoElsewhereOnceAndStayThereWhenTheirMemberIsBack) {
  for (const Disposition down : {Disposition::kRehashDatagrams, Disposition::kRehash}) {
    const auto port = static_cast<std::uint16_t>(1000 + static_cast<int>(down));
    const Packet packet = udp(kClient.at_port(port), kVipDns).payload(9);
    const std::string first = appliance.send(packet).backend;
    const std::uint64_t before = appliance.moved(MoveCause::kDown);
    appliance.set(first, down);
    const Outcome next = appliance.send(packet);
    EXPECT_EQ(next.verdict, Verdict::kForward);
    EXPECT_NE(next.backend, first);
    appliance.set(first, Disposition::kNew);
    EXPECT_EQ(appliance.send(packet).backend, next.backend);
    EXPECT_EQ(appliance.moved(MoveCause::kDown), before + 1);
  }
}

TEST_P(OnDown, ConnectionsWaitForTheirMemberWhereDatagramsDoNot) {
  const std::string first = connect();
  appliance.set(first, Disposition::kRehashDatagrams);
  const Outcome next = appliance.send(tcp(kClient, kVip).ack());
  EXPECT_EQ(next.verdict, Verdict::kForward);
  EXPECT_EQ(next.backend, first);
  EXPECT_EQ(appliance.moved(MoveCause::kDown), 0U);
}

TEST_P(OnDown, ASynAsksForAnotherMember) {
  const std::string first = connect();
  appliance.set(first, Disposition::kRehashDatagrams);
  EXPECT_NE(appliance.send(tcp(kClient, kVip).syn()).backend, first);
}

TEST_P(OnDown, RehashedConnectionsGoToAnotherMemberAndTranslatedOnesAreReset) {
  const std::string first = connect();
  appliance.set(first, Disposition::kRehash);
  const Outcome next = appliance.send(tcp(kClient, kVip).ack());
  const bool translated = GetParam() == Mode::kNat;
  EXPECT_EQ(next.verdict, translated ? Verdict::kReply : Verdict::kForward);
  EXPECT_NE(next.backend, first);
  EXPECT_EQ(appliance.moved(MoveCause::kDown), translated ? 0U : 1U);
}

TEST_P(OnDown, NewFlowsNeverMeetAMemberThatIsDown) {
  for (const Disposition down : {Disposition::kRehashDatagrams, Disposition::kRehash}) {
    appliance.set("1", down);
    for (std::uint16_t port = 1; port < 100; ++port) {
      EXPECT_NE(appliance.send(tcp(kClient.at_port(port), kVip).syn()).backend, "1");
      EXPECT_NE(appliance.send(udp(kClient.at_port(port), kVipDns).payload(9)).backend, "1");
    }
  }
}

}  // namespace
}  // namespace holdfast::testing
