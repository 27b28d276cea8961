// SPDX-License-Identifier: Apache-2.0
// Resets are spread over their window: each flow goes on until its turn, and those that send
// nothing are asked.
#include "dataplane/reset_spread.h"

#include "dataplane/asking.h"
#include "tests/packet/nat_flow.h"
#include "tests/support/appliance.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Disposition;
using dataplane::Mode;
using dataplane::Verdict;

constexpr std::uint32_t kWindowMs = 2'000;
constexpr std::uint16_t kFlows = 600;

TEST(ResetSpread, TurnsAreSpreadEvenlyOverTheWindow) {
  std::array<int, 10> tenths{};
  const dataplane::FlowHasher hasher(dataplane::HashKey{1});
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    const std::uint32_t turn = dataplane::turn_within(kWindowMs, hasher.words(i, 0));
    ASSERT_LT(turn, kWindowMs);
    ++tenths.at(turn * tenths.size() / kWindowMs);
  }
  for (const int each : tenths) {
    EXPECT_NEAR(each, 1'000, 150);
  }
}

class Spread : public ::testing::TestWithParam<Mode> {
 protected:
  // Flows that stand, of which those of "1" are reset from now on.
  Spread() {
    worker().resets.window_ms = kWindowMs;
    for (std::uint16_t port = 1; port <= kFlows; ++port) {
      const Endpoint client = kClient.at_port(port);
      const Outcome syn = appliance.send(tcp(client, kVip).syn());
      if (GetParam() == Mode::kNat) {
        const Translated flow = translated(syn);
        appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
      }
      appliance.send(tcp(client, kVip).ack());
      if (syn.backend == "1") {
        ports.push_back(port);
      }
    }
    appliance.set("1", Disposition::kReset);
    pass(1);
  }
  dataplane::WorkerState& worker() { return appliance.solo().worker(); }
  Outcome send(std::uint16_t port) {
    return appliance.send(tcp(kClient.at_port(port), kVip).ack().acknowledgment(777));
  }
  std::uint64_t sum(dataplane::Counter dataplane::MemberMoves::* counter) {
    std::uint64_t all = 0;
    for (const dataplane::MemberMoves& moves : worker().moves) {
      all += (moves.*counter).get();
    }
    return all;
  }
  // Time passes without frames; those who are asked are noted.
  void pass(std::uint64_t milliseconds) {
    for (; milliseconds > 0; --milliseconds) {
      appliance.wait(1);
      for (std::size_t i = 0; i < worker().questions.count; ++i) {
        asked.push_back(worker().questions.all[i].key.source_port.to_host());
      }
      worker().questions.count = 0;
    }
  }

  Appliance appliance{three_backends(GetParam())};
  std::vector<std::uint16_t> ports;  // of the flows of "1"
  std::vector<std::uint16_t> asked;
};

INSTANTIATE_TEST_SUITE_P(Modes,
                         Spread,
                         ::testing::Values(Mode::kNat, Mode::kDsr, Mode::kGue),
                         [](const auto& mode) { return std::string(mode_name(mode.param)); });

TEST_P(Spread, AFlowGoesOnUntilItsTurnAndIsResetFromThenOn) {
  ASSERT_GT(ports.size(), 100U);
  std::size_t reset = 0;
  for (int tenth = 1; tenth <= 10; ++tenth) {
    for (const std::uint16_t port : std::vector(ports)) {
      const Outcome outcome = send(port);
      if (outcome.verdict == Verdict::kReply) {
        ++reset;
        std::erase(ports, port);
      } else {
        EXPECT_EQ(outcome.backend, "1");
      }
    }
    const auto whole = static_cast<double>(reset + ports.size());
    EXPECT_NEAR(static_cast<double>(reset), whole * (tenth - 1) / 10, whole / 8);
    pass(200);
  }
  for (const std::uint16_t port : ports) {
    EXPECT_EQ(send(port).verdict, Verdict::kReply);
  }
  EXPECT_EQ(sum(&dataplane::MemberMoves::reset), reset + ports.size());
}

TEST_P(Spread, WhoSendsNothingIsAskedOnceAndWhoDoesNotAnswerIsCounted) {
  const std::uint16_t middle = ports[ports.size() / 2];
  std::size_t answered = 0;
  for (std::size_t seen = asked.size(), ms = 0; ms < 8'000; ++ms) {
    pass(1);
    for (; seen < asked.size(); ++seen) {
      if (asked[seen] < middle) {
        ++answered;
        EXPECT_EQ(send(asked[seen]).verdict, Verdict::kReply) << "the answer has the numbers";
      }
    }
  }
  std::ranges::sort(asked);
  EXPECT_EQ(asked, ports);
  EXPECT_EQ(answered, ports.size() / 2);
  EXPECT_EQ(sum(&dataplane::MemberMoves::asked), ports.size());
  EXPECT_EQ(sum(&dataplane::MemberMoves::reset), answered);
  EXPECT_EQ(sum(&dataplane::MemberMoves::unanswered), ports.size() - answered);
  EXPECT_EQ(worker().asking.begun_ms, 0U) << "the walk has ended";
  EXPECT_EQ(send(ports.back()).verdict, Verdict::kReply) << "late, but still";
}

TEST_P(Spread, WhoeverTakesQuestionsSlowlyGetsThemAll) {
  std::size_t taken = 0;
  for (int i = 0; i < 60'000 && taken < ports.size(); ++i) {
    appliance.wait(1);
    if (i % 50 == 0) {
      EXPECT_LE(worker().questions.count, worker().questions.all.size());
      taken += worker().questions.count;
      worker().questions.count = 0;
    }
  }
  EXPECT_EQ(taken + asked.size(), ports.size());
}

TEST_P(Spread, AMemberThatTakesFlowsAgainIsResetNoMore) {
  pass(500);
  appliance.set("1", Disposition::kNew);
  const std::size_t before = asked.size();
  pass(6'000);
  EXPECT_EQ(asked.size(), before);
  for (const std::uint16_t port : ports) {
    EXPECT_EQ(send(port).backend, "1");
  }
}

TEST(Question, IsAnAckFromTheVipThatTcpdumpWouldTake) {
  for (const bool is_v4 : {true, false}) {
    const Endpoint client = is_v4 ? kClient : kClient6;
    const Endpoint vip = is_v4 ? kVip : kVip6;
    const dataplane::Question question{
        .key = {.source = client.address,
                .destination = vip.address,
                .source_port = dataplane::Be16::from_host(client.port),
                .destination_port = dataplane::Be16::from_host(vip.port),
                .protocol = dataplane::Protocol::kTcp},
        .number = 777};
    std::array<std::byte, 74> room{};
    const std::size_t length = build_question(room, question, client.mac, kLanMac);
    Endpoint source = vip;
    source.mac = kLanMac;
    Packet exact = tcp(source, client).ack().sequence(777).acknowledgment(777);
    if (is_v4) {
      exact.ip_byte(5, 0).ip_byte(6, 0x40);
    }
    exact.upper_byte(14, 0).upper_byte(15, 0);
    const auto* at = reinterpret_cast<const std::uint8_t*>(room.data());
    EXPECT_EQ(Bytes(at, at + length), exact.bytes());
  }
}

}  // namespace
}  // namespace holdfast::testing
