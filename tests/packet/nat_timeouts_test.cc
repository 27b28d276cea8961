// SPDX-License-Identifier: Apache-2.0
// How long a translated flow lives without traffic: what each row of the table says, in both
// families, by the timeouts of its own service, and the same for the client's packets and for the
// member's. A probe at the last second finds the flow, one a second later does not.
#include "tests/support/appliance.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Drop;
using dataplane::FlowState;
using dataplane::kTcpAck;
using dataplane::kTcpFin;
using dataplane::kTcpRst;
using dataplane::kTcpSyn;
using dataplane::Mode;
using dataplane::NatRecord;
using dataplane::TimeoutSpec;
using dataplane::Verdict;

enum class From : std::uint8_t { kClient, kMember };

struct Step {
  From from = From::kClient;
  std::uint8_t tcp_flags = 0;
};

constexpr Step kSyn = {From::kClient, kTcpSyn};
constexpr Step kSynAck = {From::kMember, kTcpSyn | kTcpAck};
constexpr Step kClientAck = {From::kClient, kTcpAck};
constexpr Step kMemberAck = {From::kMember, kTcpAck};
constexpr Step kClientFin = {From::kClient, kTcpFin | kTcpAck};
constexpr Step kMemberFin = {From::kMember, kTcpFin | kTcpAck};
constexpr Step kClientRst = {From::kClient, kTcpRst};
constexpr Step kMemberRst = {From::kMember, kTcpRst | kTcpAck};

// Which time applies: one of the service's, or how long a closed flow keeps its endpoint.
enum class Time : std::uint8_t { kHalfOpen, kEstablished, kClosing, kUdp, kClientFirst, kOther };

std::uint16_t seconds(Time time, const TimeoutSpec& timeouts) {
  switch (time) {
    case Time::kHalfOpen:
      return timeouts.half_open;
    case Time::kEstablished:
      return timeouts.established;
    case Time::kClosing:
      return timeouts.closing;
    case Time::kUdp:
      return timeouts.udp;
    case Time::kClientFirst:
      return dataplane::kQuarantineClientFirst;
    case Time::kOther:
      break;
  }
  return dataplane::kQuarantine;
}

struct Row {
  const char* what;
  std::vector<Step> steps;  // of TCP; of UDP only who sends matters
  FlowState state;
  Time time;
};

const std::vector<Row>& tcp_rows() {
  static const std::vector<Row> rows = {
      {"a SYN", {kSyn}, FlowState::kHalfOpen, Time::kHalfOpen},
      {"a SYN, again", {kSyn, kSyn}, FlowState::kHalfOpen, Time::kHalfOpen},
      {"answered, not completed", {kSyn, kSynAck}, FlowState::kHalfOpen, Time::kHalfOpen},
      {"an ACK that nothing was answered to",
       {kSyn, kClientAck},
       FlowState::kHalfOpen,
       Time::kHalfOpen},
      {"the client's FIN before the handshake is over",
       {kSyn, kClientFin},
       FlowState::kHalfOpen,
       Time::kHalfOpen},
      {"the client's reset before that",
       {kSyn, kSynAck, kClientRst},
       FlowState::kHalfOpen,
       Time::kHalfOpen},
      {"a handshake", {kSyn, kSynAck, kClientAck}, FlowState::kEstablished, Time::kEstablished},
      {"data of the member",
       {kSyn, kSynAck, kClientAck, kMemberAck},
       FlowState::kEstablished,
       Time::kEstablished},
      {"the client's FIN",
       {kSyn, kSynAck, kClientAck, kClientFin},
       FlowState::kClosing,
       Time::kClosing},
      {"the member's FIN",
       {kSyn, kSynAck, kClientAck, kMemberFin},
       FlowState::kClosing,
       Time::kClosing},
      {"half closed, data goes on",
       {kSyn, kSynAck, kClientAck, kClientFin, kMemberAck},
       FlowState::kClosing,
       Time::kClosing},
      {"both FINs, the client first",
       {kSyn, kSynAck, kClientAck, kClientFin, kMemberFin},
       FlowState::kClosing,
       Time::kClientFirst},
      {"both FINs, the member first",
       {kSyn, kSynAck, kClientAck, kMemberFin, kClientFin},
       FlowState::kClosing,
       Time::kOther},
      {"and the last ACK of it",
       {kSyn, kSynAck, kClientAck, kMemberFin, kClientFin, kMemberAck},
       FlowState::kClosing,
       Time::kOther},
      {"the client's reset",
       {kSyn, kSynAck, kClientAck, kClientRst},
       FlowState::kClosing,
       Time::kClosing},
      {"the client's reset, then a SYN",
       {kSyn, kSynAck, kClientAck, kClientRst, kSyn},
       FlowState::kClosing,
       Time::kClosing},
      {"the client's reset, a SYN, and a handshake again",
       {kSyn, kSynAck, kClientAck, kClientRst, kSyn, kSynAck, kClientAck},
       FlowState::kEstablished,
       Time::kEstablished},
      {"the client's FIN, then its reset",
       {kSyn, kSynAck, kClientAck, kClientFin, kClientRst},
       FlowState::kClosing,
       Time::kClosing},
      {"the member's FIN, then the client's reset",
       {kSyn, kSynAck, kClientAck, kMemberFin, kClientRst},
       FlowState::kClosing,
       Time::kClientFirst},
      {"the member's reset",
       {kSyn, kSynAck, kClientAck, kMemberRst},
       FlowState::kClosing,
       Time::kClientFirst},
      {"refused", {kSyn, kMemberRst}, FlowState::kHalfOpen, Time::kClientFirst},
      {"a reset that both sides ignored",
       {kSyn, kSynAck, kClientAck, kClientRst, kMemberAck, kClientAck},
       FlowState::kEstablished,
       Time::kEstablished},
  };
  return rows;
}

const std::vector<Row>& udp_rows() {
  static const std::vector<Row> rows = {
      {"a datagram", {{From::kClient}}, FlowState::kHalfOpen, Time::kHalfOpen},
      {"one way only", {{From::kClient}, {From::kClient}}, FlowState::kHalfOpen, Time::kHalfOpen},
      {"answered", {{From::kClient}, {From::kMember}}, FlowState::kUdp, Time::kUdp},
      {"after an answer",
       {{From::kClient}, {From::kMember}, {From::kClient}},
       FlowState::kUdp,
       Time::kUdp},
  };
  return rows;
}

// Every time of a service differs from every other, so that none can stand for another.
constexpr TimeoutSpec kWeb = {.half_open = 7, .established = 100, .closing = 20, .udp = 31};
constexpr TimeoutSpec kDns = {.half_open = 9, .established = 90, .closing = 23, .udp = 41};
constexpr TimeoutSpec kMapped = {.half_open = 11, .established = 70, .closing = 17, .udp = 51};

struct Subject {
  std::uint16_t port = 80;
  TimeoutSpec timeouts;
  bool v4 = true;
  bool tcp = true;
};

// One flow of a subject, on a balancer of its own.
class Play {
 public:
  // The sweeper is past the flow's record and does not come round to it: what ends the flow is the
  // packet that finds it too old.
  explicit Play(const Subject& subject) : subject_(subject), appliance_(spec(), 20'000) {
    for (int i = 0; i < 2; ++i) {
      appliance_.send(tcp(kClient, kVip.at_port(81)).syn());  // nothing listens
      appliance_.advance(1);
    }
  }

  Outcome send(const Step& step) {
    const Endpoint& client = subject_.v4 ? kClient : kClient6;
    const Endpoint vip = (subject_.v4 ? kVip : kVip6).at_port(subject_.port);
    if (step.from == From::kClient) {
      return appliance_.send(packet(client, vip, step), kWan);
    }
    const NatRecord& known = *first_;
    const Address address = appliance_.solo().member_record({known.member, known.epoch}).address;
    const std::uint16_t port = subject_.port == 443 ? 8080 : subject_.port;
    return appliance_.send(
        packet(
            {address, port, kBackend1.mac}, {known.pool, known.pool_port.to_host(), kLanMac}, step),
        kLan);
  }
  // Plays the steps and remembers the record that they made.
  void play(const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      ASSERT_EQ(send(step).verdict, Verdict::kForward);
      first_ = first_ ? first_ : record();
    }
  }
  // The one that is there; none, or a second one, is a failure of the caller's expectation.
  [[nodiscard]] std::optional<NatRecord> record() {
    std::optional<NatRecord> found;
    for (const NatRecord& record : appliance_.solo().worker().tables.nat.records()) {
      if (record.state != FlowState::kFree) {
        EXPECT_FALSE(found) << "two records";
        found = record;
      }
    }
    return found;
  }
  // True when a packet from that side, so much later, finds the flow.
  bool lives(From from, std::uint32_t seconds_later) {
    appliance_.advance(std::uint64_t{seconds_later} * 1000);
    const Outcome outcome = send({from, kTcpAck});
    if (from == From::kMember) {
      EXPECT_TRUE(outcome.verdict == Verdict::kForward || outcome.reason == Drop::kNoNatFlow);
      return outcome.verdict == Verdict::kForward;
    }
    const auto now = record();
    return outcome.verdict == Verdict::kForward && now && now->pool == first_->pool &&
           now->pool_port == first_->pool_port;
  }

 private:
  [[nodiscard]] static dataplane::GenerationSpec spec() {
    dataplane::GenerationSpec spec = three_backends(Mode::kNat);
    spec.services[0].timeouts = kWeb;
    spec.services[1].timeouts = kDns;
    spec.services[2].timeouts = kMapped;
    return spec;
  }
  [[nodiscard]] Bytes packet(const Endpoint& from, const Endpoint& to, const Step& step) const {
    return subject_.tcp ? tcp(from, to).flags(step.tcp_flags).bytes()
                        : udp(from, to).payload(4).bytes();
  }

  Subject subject_;
  Appliance appliance_;
  std::optional<NatRecord> first_;
};

void expect_row(const Row& row, const Subject& subject) {
  const std::uint16_t lifetime = seconds(row.time, subject.timeouts);
  Play seen(subject);
  seen.play(row.steps);
  const auto record = seen.record();
  ASSERT_TRUE(record);
  EXPECT_EQ(record->state, row.state);
  EXPECT_EQ(lifetime_of(*record, subject.timeouts), lifetime);
  for (const From from : {From::kClient, From::kMember}) {
    SCOPED_TRACE(from == From::kClient ? "asked by the client" : "asked by the member");
    Play in_time(subject);
    in_time.play(row.steps);
    EXPECT_TRUE(in_time.lives(from, lifetime));
    Play late(subject);
    late.play(row.steps);
    EXPECT_FALSE(late.lives(from, lifetime + 1U));
  }
}

void expect_rows(const std::vector<Row>& rows, const std::vector<Subject>& subjects) {
  for (const Subject& subject : subjects) {
    for (const Row& row : rows) {
      SCOPED_TRACE(std::string(row.what) + ", port " + std::to_string(subject.port) +
                   (subject.v4 ? ", IPv4" : ", IPv6"));
      expect_row(row, subject);
    }
  }
}

TEST(NatTimeouts, BothDirectionsAgreeOnStateAndLifetimeOfTcp) {
  expect_rows(tcp_rows(),
              {{.port = 80, .timeouts = kWeb, .v4 = true},
               {.port = 80, .timeouts = kWeb, .v4 = false},
               {.port = 443, .timeouts = kMapped, .v4 = true},
               {.port = 443, .timeouts = kMapped, .v4 = false}});
}

TEST(NatTimeouts, BothDirectionsAgreeOnStateAndLifetimeOfUdp) {
  expect_rows(udp_rows(),
              {{.port = 53, .timeouts = kDns, .v4 = true, .tcp = false},
               {.port = 53, .timeouts = kDns, .v4 = false, .tcp = false}});
}

// Each direction renews the flow for the other.
TEST(NatTimeouts, TrafficOfEitherSideKeepsTheFlowAlive) {
  for (const From from : {From::kClient, From::kMember}) {
    Play play({.port = 80, .timeouts = kWeb});
    play.play({kSyn, kSynAck, kClientAck});
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(play.lives(from, kWeb.established));
    }
    EXPECT_TRUE(
        play.lives(from == From::kClient ? From::kMember : From::kClient, kWeb.established));
  }
}

}  // namespace
}  // namespace holdfast::testing
