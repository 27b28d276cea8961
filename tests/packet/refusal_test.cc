// SPDX-License-Identifier: Apache-2.0
// Members that refuse what they are sent, in `nat`: counted, and told to whoever judges them.
#include "tests/packet/icmp_quote.h"
#include "tests/packet/nat_flow.h"
#include "tests/support/appliance.h"

#include <cstdint>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Mode;
using dataplane::Verdict;

class Refusal : public ::testing::Test {
 protected:
  // The client's SYN has gone to a member.
  void SetUp() override { flow_ = translated(appliance_.send(tcp(kClient, kVip).syn())); }

  std::uint64_t counted() {
    std::uint64_t sum = 0;
    for (const dataplane::Counter& one : appliance_.solo().worker().refusals) {
      sum += one.get();
    }
    return sum;
  }
  // Of members that were told of since the last call.
  std::uint8_t told() {
    dataplane::Notices& notices = appliance_.solo().worker().notices;
    const std::uint8_t count = notices.refusing_count;
    notices.clear();
    return count;
  }
  // A reset that answers the client's SYN.
  [[nodiscard]] Packet refusing() const { return tcp(flow_.backend, flow_.pool).rst().ack(); }
  [[nodiscard]] Packet error(std::uint8_t type, std::uint8_t code) const {
    return icmp_error(flow_.backend, flow_.pool, type, code, 0, quote_of(question(), 8));
  }
  [[nodiscard]] Packet question() const { return tcp(flow_.pool, flow_.backend).syn(); }

  Appliance appliance_{three_backends(Mode::kNat)};
  Translated flow_;
};

TEST_F(Refusal, IsTheResetOfAHandshakeAndGoesOnToTheClient) {
  EXPECT_EQ(appliance_.send(refusing(), kLan).verdict, Verdict::kForward);
  EXPECT_EQ(counted(), 1U);
  EXPECT_EQ(told(), 1U);
}

TEST_F(Refusal, IsNotTheResetOfAConnectionThatStands) {
  appliance_.send(tcp(flow_.backend, flow_.pool).syn().ack(), kLan);
  appliance_.send(tcp(kClient, kVip).ack());
  appliance_.send(refusing(), kLan);
  EXPECT_EQ(counted(), 0U);
  EXPECT_EQ(told(), 0U);
}

TEST_F(Refusal, IsNotTheClientsOwnReset) {
  appliance_.send(tcp(kClient, kVip).rst().sequence(1));
  EXPECT_EQ(counted(), 0U);
}

TEST_F(Refusal, IsAnErrorThatTheMemberOrItsPortCannotBeReached) {
  std::uint64_t expected = 0;
  for (const int code : {0, 1, 3, 13}) {
    appliance_.send(error(3, static_cast<std::uint8_t>(code)), kLan);
    EXPECT_EQ(counted(), ++expected) << code;
    EXPECT_EQ(told(), 1U);
  }
}

TEST_F(Refusal, IsNoErrorAboutThePathsSizeOrTheTimeOnIt) {
  appliance_.send(error(3, 4), kLan);
  appliance_.send(error(11, 0), kLan);
  EXPECT_EQ(counted(), 0U);
}

TEST_F(Refusal, IsNoErrorAboutTheWayToTheClient) {
  const Bytes quote = quote_of(tcp(kVip, kClient).syn().ack(), 8);
  appliance_.send(icmp_error(kFarRouter, kVip, 3, 1, 0, quote));
  EXPECT_EQ(counted(), 0U);
  EXPECT_EQ(told(), 0U);
}

TEST_F(Refusal, IsToldOfForAsManyAsABurstHasRoomFor) {
  dataplane::Notices notices;
  for (std::uint16_t i = 0; i < 20; ++i) {
    notices.refuse({i, 0});
  }
  EXPECT_EQ(notices.refusing_count, notices.refusing.size());
}

}  // namespace
}  // namespace holdfast::testing
