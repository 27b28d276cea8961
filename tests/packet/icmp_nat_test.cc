// SPDX-License-Identifier: Apache-2.0
// ICMP errors about translated flows, from both sides. What is expected is built by the packet
// builder out of what the receiver itself sent, so every checksum is computed anew, its own plain
// way, and compared byte for byte.
#include "tests/packet/icmp_quote.h"
#include "tests/support/appliance.h"
#include "tests/support/frame_difference.h"

#include <string>
#include <tuple>

#include <gmock/gmock.h>

namespace holdfast::testing {
namespace {

using dataplane::Disposition;
using dataplane::Drop;
using dataplane::load;
using dataplane::Mode;
using dataplane::Verdict;

Address address_at(const Bytes& frame, std::size_t at, bool is_v4) {
  const auto* const bytes = reinterpret_cast<const std::byte*>(frame.data() + at);
  return is_v4 ? Address::v4(load<Be32>(bytes)) : Address::v6(bytes);
}

std::uint16_t port_at(const Bytes& frame, std::size_t at) {
  return static_cast<std::uint16_t>(frame[at] * 256 + frame[at + 1]);
}

// Family, TCP.
class IcmpErrorsNat : public ::testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  // Opens a flow, and learns how it is translated.
  IcmpErrorsNat() {
    const Outcome first = appliance_.send(segment(client(), vip()));
    EXPECT_EQ(first.verdict, Verdict::kForward);
    const std::size_t addresses = v4() ? 26 : 22;
    const std::size_t size = v4() ? 4 : 16;
    const std::size_t ports = addresses + 2 * size;
    pool_ = {address_at(first.bytes, addresses, v4()), port_at(first.bytes, ports), kLanMac};
    member_ = {
        address_at(first.bytes, addresses + size, v4()), port_at(first.bytes, ports + 2), {}};
    std::copy_n(first.bytes.begin(), 6, member_.mac.begin());
    const Outcome answer = appliance_.send(segment(member_, pool_), kLan);
    EXPECT_EQ(answer.verdict, Verdict::kForward);
    backend_ = first.backend;
  }

  [[nodiscard]] bool v4() const { return std::get<0>(GetParam()); }
  [[nodiscard]] bool is_tcp() const { return std::get<1>(GetParam()); }
  [[nodiscard]] Endpoint client() const { return v4() ? kClient : kClient6; }
  // All but the one that ends within a TCP checksum, of which half cannot be right.
  [[nodiscard]] static std::vector<std::size_t> lengths() {
    std::vector<std::size_t> all;
    for (std::size_t upper = 8; upper <= 80; ++upper) {
      if (upper != 17) {
        all.push_back(upper);
      }
    }
    return all;
  }
  // A port that is another one at the member, of TCP.
  [[nodiscard]] Endpoint vip() const { return (v4() ? kVip : kVip6).at_port(is_tcp() ? 443 : 53); }
  [[nodiscard]] Endpoint router() const { return v4() ? kFarRouter : kFarRouter6; }
  [[nodiscard]] Endpoint lan_router() const {
    return {v4() ? testing::v4(10, 0, 3, 99) : v6(3, 99), 0, {2, 0, 0, 0, 1, 99}};
  }
  [[nodiscard]] Packet segment(const Endpoint& from, const Endpoint& to) const {
    return is_tcp() ? tcp(from, to).syn().payload(60) : udp(from, to).payload(60);
  }
  // As it leaves: other MAC addresses, one hop less.
  static Bytes sent(Packet packet, const MacAddress& from, const MacAddress& to) {
    Bytes bytes = packet.ttl(63).bytes();
    std::ranges::copy(to, bytes.begin());
    std::ranges::copy(from, bytes.begin() + 6);
    return bytes;
  }

  // What a router says of the answer, to the VIP; and what is to become of it.
  [[nodiscard]] Packet from_outside(Bytes quote) const {
    return too_big(router(), vip(), std::move(quote));
  }
  [[nodiscard]] Bytes to_member(Bytes quote) const {
    return sent(too_big(router(), member_, std::move(quote)), kLanMac, member_.mac);
  }
  // What the member's side says of the question, to the pool; and what is to become of it.
  [[nodiscard]] Packet from_inside(const Endpoint& from, Bytes quote) const {
    return icmp_error(from, pool_, v4() ? 3 : 1, v4() ? 3 : 4, 0, std::move(quote));
  }
  [[nodiscard]] Bytes to_client(Bytes quote) const {
    return sent(icmp_error(vip(), client(), v4() ? 3 : 1, v4() ? 3 : 4, 0, std::move(quote)),
                kOurMac,
                kRouterMac);
  }
  [[nodiscard]] Packet answer_outside() const { return segment(vip(), client()); }
  [[nodiscard]] Packet answer_inside() const { return segment(member_, pool_); }
  [[nodiscard]] Packet question_outside() const { return segment(client(), vip()); }
  [[nodiscard]] Packet question_inside() const { return segment(pool_, member_); }

  void expect_forwarded(const Outcome& outcome, const Bytes& expected) {
    ASSERT_EQ(outcome.verdict, Verdict::kForward);
    EXPECT_EQ(outcome.backend, backend_);
    EXPECT_EQ(outcome.bytes, expected) << difference(outcome.bytes, expected);
  }

  Appliance appliance_{three_backends(Mode::kNat)};
  Endpoint pool_;
  Endpoint member_;
  std::string backend_;
};

TEST_P(IcmpErrorsNat, FromTheClientsSideQuoteWhatTheMemberSent) {
  for (const std::size_t upper : lengths()) {
    appliance_.advance(8);  // one client's errors do not come faster
    const Outcome outcome = appliance_.send(from_outside(quote_of(answer_outside(), upper)));
    EXPECT_EQ(outcome.port, kLan);
    expect_forwarded(outcome, to_member(quote_of(answer_inside(), upper)));
  }
}

TEST_P(IcmpErrorsNat, FromTheMembersSideQuoteWhatTheClientSentAndHideTheLan) {
  for (const Endpoint& from : {member_, lan_router()}) {
    for (const std::size_t upper : lengths()) {
      appliance_.advance(8);
      const Outcome outcome =
          appliance_.send(from_inside(from, quote_of(question_inside(), upper)), kLan);
      EXPECT_EQ(outcome.port, kWan);
      expect_forwarded(outcome, to_client(quote_of(question_outside(), upper)));
    }
  }
}

TEST_P(IcmpErrorsNat, QuotingOptionsOrExtensionHeadersAreTranslatedBehindThem) {
  const auto odd = [&](Packet packet) {
    return v4() ? packet.options(Bytes(40, 1)) : packet.extension(0, 8).extension(60, 200);
  };
  expect_forwarded(appliance_.send(from_outside(quote_of(odd(answer_outside()), 30))),
                   to_member(quote_of(odd(answer_inside()), 30)));
  expect_forwarded(
      appliance_.send(from_inside(lan_router(), quote_of(odd(question_inside()), 30)), kLan),
      to_client(quote_of(odd(question_outside()), 30)));
}

TEST_P(IcmpErrorsNat, WithOptionsOfTheirOwnAreTranslated) {
  const auto odd = [&](Packet packet) {
    return v4() ? packet.options(Bytes(12, 1)) : packet.extension(60, 40);
  };
  expect_forwarded(
      appliance_.send(odd(from_outside(quote_of(answer_outside(), 8)))),
      sent(odd(too_big(router(), member_, quote_of(answer_inside(), 8))), kLanMac, member_.mac));
}

// RFC 4884: the quote is padded to 128 bytes, then come objects, here of RFC 4950 (MPLS).
TEST_P(IcmpErrorsNat, CarryExtensions) {
  const auto extended = [&](const Endpoint& from, const Endpoint& to, Bytes quote) {
    quote.resize(128);
    const Bytes objects = {0x20, 0, 0xd1, 0x2c, 0, 8, 1, 1, 0, 0x2a, 0x11, 1};
    quote.insert(quote.end(), objects.begin(), objects.end());
    return icmp_error(from, to, v4() ? 11 : 3, 0, v4() ? 32U << 16 : 16U << 24, std::move(quote));
  };
  expect_forwarded(
      appliance_.send(extended(router(), vip(), quote_of(answer_outside(), kWhole))),
      sent(extended(router(), member_, quote_of(answer_inside(), kWhole)), kLanMac, member_.mac));
}

TEST_P(IcmpErrorsNat, QuotingADatagramWithoutChecksumLeaveItWithout) {
  if (is_tcp()) {
    return;
  }
  expect_forwarded(appliance_.send(from_outside(quote_of(answer_outside().no_checksum(), kWhole))),
                   to_member(quote_of(answer_inside().no_checksum(), kWhole)));
}

TEST_P(IcmpErrorsNat, QuotingADamagedPacketLeaveItDamaged) {
  const std::size_t at = answer_outside().l4_offset() + 30;
  const auto damaged = [&](Packet packet) { return quote_of(packet.byte(at, 0x55), kWhole); };
  expect_forwarded(appliance_.send(from_outside(damaged(answer_outside()))),
                   to_member(damaged(answer_inside())));
}

TEST_P(IcmpErrorsNat, AreAHopFurther) {
  const Packet outside = from_outside(quote_of(answer_outside(), 8));
  const Packet inside = from_inside(member_, quote_of(question_inside(), 8));
  EXPECT_EQ(appliance_.send(Packet(outside).ttl(1)).reason, Drop::kTtlExpired);
  EXPECT_EQ(appliance_.send(Packet(inside).ttl(1), kLan).reason, Drop::kTtlExpired);
  EXPECT_EQ(appliance_.send(Packet(outside).ttl(2)).verdict, Verdict::kForward);
}

TEST_P(IcmpErrorsNat, AboutUnknownFlowsAreDropped) {
  const Packet stranger = segment(vip(), client().at_port(9));
  EXPECT_EQ(appliance_.send(from_outside(quote_of(stranger, 8))).reason, Drop::kToPeer);
  const Packet nobody = segment(pool_, member_.at_port(9));
  EXPECT_EQ(appliance_.send(from_inside(member_, quote_of(nobody, 8)), kLan).reason,
            Drop::kNoNatFlow);
}

TEST_P(IcmpErrorsNat, FromOneSideAboutTheOthersPacketsAreImplausible) {
  EXPECT_EQ(appliance_.send(from_outside(quote_of(question_outside(), 8))).reason,
            Drop::kIcmpImplausible);
  EXPECT_EQ(appliance_.send(from_inside(member_, quote_of(answer_inside(), 8)), kLan).reason,
            Drop::kIcmpImplausible);
  EXPECT_EQ(
      appliance_.send(from_inside(vip().at_mac(member_.mac), quote_of(question_inside(), 8)), kLan)
          .reason,
      Drop::kVipSource);
}

TEST_P(IcmpErrorsNat, OfAFlowThatWasGivenUpAreDropped) {
  const Packet inside = from_inside(member_, quote_of(question_inside(), 8));
  appliance_.set(backend_, Disposition::kReset);
  EXPECT_EQ(appliance_.send(inside, kLan).reason, Drop::kMemberReset);
  EXPECT_EQ(appliance_.send(from_outside(quote_of(answer_outside(), 8))).reason,
            Drop::kMemberReset);
  appliance_.send(segment(client(), vip()));  // chooses another member
  appliance_.set(backend_, Disposition::kNew);
  EXPECT_EQ(appliance_.send(inside, kLan).reason, Drop::kMemberReset);
  EXPECT_EQ(appliance_.stats().resets_sent.get(), 0U);
}

TEST_P(IcmpErrorsNat, ChangeNothingOfTheFlow) {
  const auto& nat = appliance_.solo().worker().tables.nat;
  const auto bytes_of_records = [&] {
    const auto bytes = std::as_bytes(nat.records());
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  const auto before = bytes_of_records();
  appliance_.advance(1000);
  appliance_.send(from_outside(quote_of(answer_outside(), 8)));
  appliance_.send(from_inside(member_, quote_of(question_inside(), 8)), kLan);
  EXPECT_EQ(bytes_of_records(), before);
  EXPECT_EQ(appliance_.stats().icmp_errors_forwarded.get(), 2U);
  EXPECT_EQ(appliance_.solo().worker().notices.learned_count, 0);
  for (const auto& member : appliance_.solo().worker().members) {
    EXPECT_LE(member.packets_to_member.get(), 1U);
    EXPECT_LE(member.packets_to_client.get(), 1U);
  }
}

TEST_P(IcmpErrorsNat, FollowAFlowIntoTheModeItBeganIn) {
  dataplane::GenerationSpec spec = three_backends(Mode::kNat);
  spec.number = 2;
  for (dataplane::ServiceSpec& service : spec.services) {
    service.mode = Mode::kDsr;
    for (dataplane::MemberSpec& member : service.members) {
      member.port = 0;
    }
  }
  appliance_.publish(spec);
  expect_forwarded(appliance_.send(from_outside(quote_of(answer_outside(), 8))),
                   to_member(quote_of(answer_inside(), 8)));
}

// A record that only an error names may give way in the same burst: the error must not go the way
// of the flow that took its place.
TEST_P(IcmpErrorsNat, NeverGoTheWayOfAFlowThatTookTheRecord) {
  Appliance small(three_backends(Mode::kNat), 16);
  const auto& nat = small.solo().worker().tables.nat;
  std::uint16_t port = 1000;
  const auto open = [&] { return segment(client().at_port(port++), vip()).bytes(); };
  while (!nat.half_open_full()) {
    small.send(open());
  }
  const Packet oldest = segment(vip(), client().at_port(1000));
  const std::vector<Bytes> frames = {from_outside(quote_of(oldest, 8)).bytes(), open()};
  EXPECT_EQ(small.send_burst(frames).front().reason, Drop::kToPeer);
}

INSTANTIATE_TEST_SUITE_P(EveryFamilyAndProtocol,
                         IcmpErrorsNat,
                         ::testing::Combine(::testing::Bool(), ::testing::Bool()),
                         [](const auto& way) {
                           return std::string(std::get<0>(way.param) ? "Ipv4" : "Ipv6") +
                                  (std::get<1>(way.param) ? "Tcp" : "Udp");
                         });

// A member that is a client of the VIP: both ends on the LAN.
TEST(IcmpErrorsHairpin, GoToTheOtherEndByTheSamePort) {
  Appliance appliance(three_backends(Mode::kNat));
  const Endpoint inside = {v4(10, 0, 3, 11), 5000, kBackend1.mac};
  const Endpoint vip = kVip.at_mac(kLanMac);
  const Outcome syn = appliance.send(tcp(inside, vip).syn(), kLan);
  ASSERT_EQ(syn.verdict, Verdict::kForward);
  ASSERT_EQ(syn.port, kLan);
  const Packet error =
      too_big({v4(10, 0, 3, 99), 0, {2, 0, 0, 0, 1, 99}}, vip, quote_of(tcp(vip, inside).ack(), 8));
  const Outcome outcome = appliance.send(error, kLan);
  EXPECT_EQ(outcome.verdict, Verdict::kForward);
  EXPECT_EQ(outcome.port, kLan);
  EXPECT_EQ(outcome.backend, syn.backend);
}

}  // namespace
}  // namespace holdfast::testing
