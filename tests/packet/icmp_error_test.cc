// SPDX-License-Identifier: Apache-2.0
// ICMP errors about flows of the modes without translation: they go whole to the flow's backend.
// And what is the same in every mode: which errors are believed, and that none changes a flow.
#include "dataplane/parse.h"
#include "tests/packet/icmp_quote.h"
#include "tests/support/appliance.h"
#include "tests/support/exact_burst.h"

#include <string>
#include <tuple>

#include <gmock/gmock.h>

namespace holdfast::testing {
namespace {

using dataplane::Disposition;
using dataplane::Drop;
using dataplane::GenerationSpec;
using dataplane::Kind;
using dataplane::Mode;
using dataplane::Verdict;

// An inner packet and what stands before it.
struct Split {
  Bytes outer;
  Bytes inner;
};

// Requires: the inner packet has `size` bytes.
Split split(const Bytes& frame, std::size_t size) {
  const auto at = frame.end() - static_cast<std::ptrdiff_t>(size);
  return {.outer = {frame.begin(), at}, .inner = {at, frame.end()}};
}

Bytes packet_of(const Packet& packet) {
  const Bytes frame = packet.bytes();
  return {frame.begin() + static_cast<std::ptrdiff_t>(packet.l3_offset()), frame.end()};
}

GenerationSpec untranslated(Mode mode, bool to_v4) {
  GenerationSpec spec = three_backends(mode);
  for (dataplane::ServiceSpec& service : spec.services) {
    if (mode == Mode::kDsr) {
      continue;
    }
    service.tunnel.vni = mode == Mode::kVxlan ? 7 : 0;
    service.tunnel.inner_source = {2, 0, 0, 0, 9, 0};
    std::erase_if(service.members,
                  [&](const auto& member) { return member.address.is_v4() != to_v4; });
    for (dataplane::MemberSpec& member : service.members) {
      member.inner_mac = {2, 0, 0, 0, 9, 1};
    }
  }
  return spec;
}

// Sums a UDP datagram behind an IP header without options or extensions at 14.
bool outer_udp_verifies(const Bytes& frame) {
  const bool v4 = frame[14] >> 4 == 4;
  Bytes all(frame.begin() + (v4 ? 26 : 22), frame.end());  // from the addresses on
  const std::size_t length = frame.size() - (v4 ? 34 : 54);
  all.resize(all.size() + length % 2);
  const Bytes rest = {
      0, 17, static_cast<std::uint8_t>(length / 256), static_cast<std::uint8_t>(length % 256)};
  all.insert(all.end(), rest.begin(), rest.end());
  return ones_complement_sum(all) == 0xffff;
}

// Mode, IPv4 backends, IPv4 client.
using Way = std::tuple<Mode, bool, bool>;

class IcmpErrorUntranslated : public ::testing::TestWithParam<Way> {
 protected:
  [[nodiscard]] Mode mode() const { return std::get<0>(GetParam()); }
  [[nodiscard]] bool v4() const { return std::get<2>(GetParam()); }
  [[nodiscard]] Endpoint client() const { return v4() ? kClient : kClient6; }
  [[nodiscard]] Endpoint vip() const { return v4() ? kVip : kVip6; }
  [[nodiscard]] Endpoint router() const { return v4() ? kFarRouter : kFarRouter6; }
  // What the backend sent to the client, and the router could not deliver.
  [[nodiscard]] Packet answer() const { return tcp(vip(), client()).ack().payload(100); }
};

TEST_P(IcmpErrorUntranslated, GoesWholeToTheBackendOfTheQuotedFlow) {
  Appliance appliance(untranslated(mode(), std::get<1>(GetParam())));
  for (std::uint16_t port = 1; port < 20; ++port) {
    const Endpoint from = client().at_port(port);
    const Packet segment = tcp(from, vip()).syn();
    const Outcome syn = appliance.send(segment);
    for (const std::size_t upper : {std::size_t{8}, std::size_t{9}, std::size_t{20}, kWhole}) {
      const Packet error =
          too_big(router(), vip(), quote_of(tcp(vip(), from).ack().payload(100), upper));
      appliance.advance(8);  // one client's errors do not come faster
      const Outcome outcome = appliance.send(error);
      ASSERT_EQ(outcome.verdict, Verdict::kForward);
      EXPECT_EQ(outcome.backend, syn.backend);
      EXPECT_EQ(outcome.port, syn.port);
      const Bytes packet = packet_of(error);
      const Split is = split(outcome.bytes, packet.size());
      EXPECT_EQ(is.inner, packet);
      // Same length of outer headers, same addresses, same source port: the same queue.
      const Bytes as_the_flow = split(syn.bytes, packet_of(segment).size()).outer;
      ASSERT_EQ(is.outer.size(), as_the_flow.size());
      EXPECT_TRUE(std::equal(is.outer.begin(), is.outer.begin() + 14, as_the_flow.begin()));
      if (is.outer.size() > 14) {
        const bool outer_v4 = as_the_flow[14] >> 4 == 4;
        const int addresses = outer_v4 ? 26 : 22;
        const int ports = outer_v4 ? 38 : 58;
        EXPECT_TRUE(
            std::equal(is.outer.begin() + addresses,
                       is.outer.begin() + std::min<int>(ports, static_cast<int>(is.outer.size())),
                       as_the_flow.begin() + addresses));
      }
      if (mode() == Mode::kGue || (mode() == Mode::kVxlan && !std::get<1>(GetParam()))) {
        EXPECT_TRUE(outer_udp_verifies(outcome.bytes)) << upper;
      }
    }
  }
  EXPECT_EQ(appliance.stats().icmp_errors_forwarded.get(), 19U * 4);
}

TEST_P(IcmpErrorUntranslated, LeavesTtlAndDamageAsTheyCame) {
  Appliance appliance(untranslated(mode(), std::get<1>(GetParam())));
  appliance.send(tcp(client(), vip()).syn());
  const Packet error = too_big(router(), vip(), quote_of(answer(), 8)).ttl(1);
  const Outcome outcome = appliance.send(error);
  ASSERT_EQ(outcome.verdict, Verdict::kForward);
  const Bytes packet = packet_of(error);
  EXPECT_EQ(split(outcome.bytes, packet.size()).inner, packet);
}

INSTANTIATE_TEST_SUITE_P(
    EveryTunnelAndFamily,
    IcmpErrorUntranslated,
    ::testing::Combine(::testing::Values(Mode::kIpip, Mode::kGue, Mode::kGre, Mode::kVxlan),
                       ::testing::Bool(),
                       ::testing::Bool()));
INSTANTIATE_TEST_SUITE_P(Dsr,
                         IcmpErrorUntranslated,
                         ::testing::Values(Way{Mode::kDsr, true, true},
                                           Way{Mode::kDsr, false, false}));

TEST(IcmpErrorsHops, ComeBehindTheHopListOfTheirFlow) {
  GenerationSpec spec = untranslated(Mode::kGue, true);
  for (dataplane::ServiceSpec& service : spec.services) {
    service.tunnel.hops = 2;
  }
  Appliance appliance(spec);
  for (std::uint16_t port = 1; port < 20; ++port) {
    const Endpoint client = kClient.at_port(port);
    const Packet segment = tcp(client, kVip).syn();
    const Bytes flow = split(appliance.send(segment).bytes, packet_of(segment).size()).outer;
    const Packet error = too_big(kFarRouter, kVip, quote_of(tcp(kVip, client).ack(), 8));
    const Bytes frame = appliance.send(error).bytes;
    const Bytes is = split(frame, packet_of(error).size()).outer;
    ASSERT_EQ(is.size(), flow.size());
    ASSERT_GE(is.size(), 14U + 20 + 8 + 8 + 4) << "one hop at least";
    EXPECT_TRUE(std::equal(is.begin() + 42, is.end(), flow.begin() + 42));
    EXPECT_TRUE(outer_udp_verifies(frame));
  }
}

// One flow of each family in `dsr`, and errors about it.
class IcmpErrors : public ::testing::TestWithParam<bool> {
 protected:
  IcmpErrors() {
    appliance_.send(tcp(client(), vip()).syn());
    appliance_.send(tcp(client(), vip()).ack());
  }
  [[nodiscard]] bool v4() const { return GetParam(); }
  [[nodiscard]] Endpoint client() const { return v4() ? kClient : kClient6; }
  [[nodiscard]] Endpoint vip() const { return v4() ? kVip : kVip6; }
  [[nodiscard]] Endpoint router() const { return v4() ? kFarRouter : kFarRouter6; }
  [[nodiscard]] Packet answer() const { return tcp(vip(), client()).ack().payload(100); }
  [[nodiscard]] Packet error(Bytes quote) const {
    return too_big(router(), vip(), std::move(quote));
  }
  [[nodiscard]] Packet error() const { return error(quote_of(answer(), 8)); }
  std::optional<Drop> drop_of(const Packet& packet) { return appliance_.send(packet).reason; }
  [[nodiscard]] bool forwards(const Packet& packet) {
    return appliance_.send(packet).verdict == Verdict::kForward;
  }

  Appliance appliance_{three_backends(Mode::kDsr)};
};

TEST_P(IcmpErrors, OfTheTypesThatReportADeliveryAreForwardedWithAnyCode) {
  const auto of = [&](std::uint8_t type, std::uint8_t code) {
    return icmp_error(router(), vip(), type, code, 1400, quote_of(answer(), 8));
  };
  const std::vector<std::uint8_t> types =
      v4() ? std::vector<std::uint8_t>{3, 11, 12} : std::vector<std::uint8_t>{1, 2, 3, 4};
  for (int type = 0; type < 256; ++type) {
    const bool reports = std::ranges::find(types, type) != types.end();
    const std::uint8_t echo = v4() ? 8 : 128;
    if (type == echo || (!v4() && (type == 135 || type == 136))) {
      continue;
    }
    for (const std::uint8_t code : {std::uint8_t{0}, std::uint8_t{4}, std::uint8_t{255}}) {
      const Outcome outcome = appliance_.send(of(static_cast<std::uint8_t>(type), code));
      EXPECT_EQ(outcome.verdict == Verdict::kForward, reports) << type;
      EXPECT_EQ(outcome.reason.value_or(Drop::kIcmpUnsupported), Drop::kIcmpUnsupported) << type;
    }
  }
}

TEST_P(IcmpErrors, NeedEightBytesBehindTheQuotedHeader) {
  const Bytes whole = quote_of(answer(), kWhole);
  const std::size_t header = v4() ? 20 : 40;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    appliance_.advance(4);
    const Outcome outcome = appliance_.send(error(cut));
    if (size < header + 8) {
      EXPECT_EQ(outcome.reason, Drop::kTruncated) << size;
    } else {
      EXPECT_EQ(outcome.verdict, Verdict::kForward) << size;
    }
  }
}

TEST_P(IcmpErrors, CutAtEveryByteAreTruncated) {
  const Bytes whole = error(quote_of(answer(), 28)).bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(drop_of(error(quote_of(answer(), 28)).cut(size)), Drop::kTruncated) << size;
  }
}

TEST_P(IcmpErrors, AreReadAsFarAsTheyAreContiguous) {
  const Bytes whole = error(quote_of(answer(), kWhole)).bytes();
  const std::size_t needed = error().bytes().size() + 10;  // with the TCP checksum
  for (std::size_t size = error().l4_offset() + 8; size < whole.size(); ++size) {
    const Bytes first(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    ExactBurst burst(
        first, {.head = 0, .tail = 0, .beyond = static_cast<std::uint32_t>(whole.size() - size)});
    parse(*burst);
    ASSERT_EQ(burst->kind[0], size < needed ? Kind::kFaulty : Kind::kIcmpError) << size;
    if (size < needed) {
      EXPECT_EQ(burst->fault[0], Drop::kExtensionChain) << size;
    }
  }
}

TEST_P(IcmpErrors, WithAWrongChecksumAreDropped) {
  const std::size_t checksum = error().l4_offset() + 2;
  for (const std::size_t at : {checksum, checksum + 1, checksum + 20, checksum + 30}) {
    const std::uint8_t was = error().bytes().at(at);
    EXPECT_EQ(drop_of(error().byte(at, static_cast<std::uint8_t>(was ^ 0x10))), Drop::kBadChecksum);
  }
}

TEST_P(IcmpErrors, QuotingOptionsOrExtensionHeadersAreForwarded) {
  Packet odd = answer();
  if (v4()) {
    odd.options(Bytes(40, 1));
  } else {
    odd.extension(0, 8).extension(43, 24, {0, 2}).extension(51, 16).extension(60, 200);
  }
  const std::size_t header = odd.l4_offset() - odd.l3_offset();
  const Bytes whole = quote_of(odd, 8);
  EXPECT_TRUE(forwards(error(whole)));
  for (std::size_t size = 0; size < header + 8; ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(drop_of(error(cut)), Drop::kTruncated) << size;
  }
}

TEST(IcmpErrorsIpv6, QuotingMoreExtensionHeadersThanAreFollowedAreDropped) {
  Appliance appliance(three_backends(Mode::kDsr));
  appliance.send(tcp(kClient6, kVip6).syn());
  Packet five = tcp(kVip6, kClient6).ack();
  Packet longer = five;
  for (int i = 0; i < 5; ++i) {
    five.extension(60, 8);
  }
  longer.extension(60, 264);
  for (const Packet& packet : {five, longer}) {
    EXPECT_EQ(appliance.send(too_big(kFarRouter6, kVip6, quote_of(packet, 8))).reason,
              Drop::kExtensionChain);
  }
}

TEST_P(IcmpErrors, AboutFragmentsAreForwardedIfThosePortsAreThere) {
  EXPECT_TRUE(forwards(error(quote_of(answer().fragment(0, true), 8))));
  EXPECT_EQ(drop_of(error(quote_of(answer().fragment(8, true), 8))), Drop::kFragment);
  EXPECT_EQ(drop_of(error(quote_of(answer().fragment(0xff0, false), 8))), Drop::kFragment);
}

TEST_P(IcmpErrors, AboutPingsAndOtherProtocolsAreNobodys) {
  EXPECT_EQ(drop_of(error(quote_of(echo_reply(vip(), client()), 8))), Drop::kIcmpUnsupported);
  EXPECT_EQ(drop_of(error(quote_of(answer().next_protocol(132), 8))), Drop::kIcmpUnsupported);
  EXPECT_EQ(drop_of(error(quote_of(answer().next_protocol(50), 8))), Drop::kIcmpUnsupported);
  // An error about an error.
  EXPECT_EQ(drop_of(error(quote_of(too_big(vip(), client(), quote_of(answer(), 8)), 8))),
            Drop::kIcmpUnsupported);
}

TEST_P(IcmpErrors, ThatTheFlowCannotHaveCausedAreImplausible) {
  const std::uint8_t other_version = v4() ? 0x65 : 0x40;
  std::vector<Packet> all = {
      error(quote_of(tcp(client(), vip()).ack(), 8)),  // what the client sent, not the VIP
      error(quote_of(tcp(v4() ? kBackend1 : kBackend6, client()).ack(), 8)),
      error(quote_of(answer().ip_byte(0, other_version), 8)),
      error(quote_of(tcp(vip().at_port(0), client()).ack(), 8)),
      error(quote_of(tcp(vip(), client().at_port(0)).ack(), 8)),
  };
  if (v4()) {
    all.push_back(error(quote_of(answer().ip_byte(0, 0x44), 8)));
    all.push_back(error(Bytes(60, 0)));
  } else {
    Bytes mapped = quote_of(answer(), 8);
    std::ranges::copy(kClient.address.bytes, mapped.begin() + 24);
    all.push_back(error(mapped));
  }
  for (const Packet& packet : all) {
    EXPECT_EQ(drop_of(packet), Drop::kIcmpImplausible);
  }
}

TEST_P(IcmpErrors, OfAnMtuThatNoPathHasAreImplausible) {
  const Bytes quote = quote_of(answer(), 8);
  const std::uint32_t least = v4() ? 552 : 1280;
  for (const std::uint32_t mtu : {std::uint32_t{1}, std::uint32_t{68}, least - 1}) {
    EXPECT_EQ(drop_of(too_big(router(), vip(), quote, mtu)), Drop::kIcmpImplausible) << mtu;
  }
  for (const std::uint32_t mtu : {least, std::uint32_t{9000}, std::uint32_t{0xffff}}) {
    EXPECT_TRUE(forwards(too_big(router(), vip(), quote, mtu))) << mtu;
  }
  if (v4()) {
    EXPECT_TRUE(forwards(too_big(router(), vip(), quote, 0))) << "an old router";
    EXPECT_TRUE(forwards(icmp_error(router(), vip(), 3, 1, 100, quote))) << "no MTU at all";
    EXPECT_TRUE(forwards(icmp_error(router(), vip(), 11, 4, 100, quote)));
  } else {
    EXPECT_EQ(drop_of(too_big(router(), vip(), quote, 0)), Drop::kIcmpImplausible);
    EXPECT_TRUE(forwards(icmp_error(router(), vip(), 4, 0, 100, quote))) << "a pointer";
  }
}

TEST_P(IcmpErrors, AboutUnknownFlowsAreAPeers) {
  EXPECT_EQ(drop_of(error(quote_of(tcp(vip(), client().at_port(4)).ack(), 8))), Drop::kToPeer);
  EXPECT_EQ(drop_of(error(quote_of(udp(vip().at_port(53), client()), 8))), Drop::kToPeer);
  EXPECT_EQ(drop_of(error(quote_of(tcp(vip().at_port(81), client()).ack(), 8))), Drop::kNoService);
}

TEST_P(IcmpErrors, FollowTheRulesForTheOuterHeader) {
  const Bytes quote = quote_of(answer(), 8);
  EXPECT_EQ(
      drop_of(too_big(v4() ? kVip.at_mac(kRouterMac) : kVip6.at_mac(kRouterMac), vip(), quote)),
      Drop::kLand);
  EXPECT_EQ(drop_of(error().vlan(7)), Drop::kVlanUnknown);
  EXPECT_EQ(drop_of(error().to(vip().at_mac({1, 0, 0x5e, 0, 0, 1}))), Drop::kNotOurMac);
  EXPECT_EQ(drop_of(error().ttl(0)), Drop::kTtlExpired);
  Endpoint martian = router();
  martian.address = address(v4() ? "127.0.0.1" : "fe80::1");
  EXPECT_EQ(drop_of(too_big(martian, vip(), quote)), Drop::kMartian);
  const Endpoint station = {v4() ? testing::v4(192, 0, 2, 9) : v6(2, 99), 80, kOurMac};
  EXPECT_EQ(appliance_.send(too_big(router(), station, quote_of(tcp(station, client()).ack(), 8)))
                .verdict,
            Verdict::kKernel);
}

// Routers on links that are numbered so; of IPv6 they have another address to tell from (RFC 4443
// §2.2), where the packet goes further than the link.
TEST_P(IcmpErrors, MayComeFromALinkLocalIpv4Address) {
  const Bytes quote = quote_of(answer(), 8);
  Endpoint router = this->router();
  for (const char* at : {"169.254.0.1", "169.254.255.255"}) {
    router.address = address(v4() ? at : "fe80::1");
    const std::optional<Drop> reason = drop_of(too_big(router, vip(), quote));
    EXPECT_EQ(reason, v4() ? std::nullopt : std::optional(Drop::kMartian)) << at;
  }
  if (v4()) {
    const Bytes other = quote_of(tcp(vip(), client().at_port(4)).ack(), 8);
    EXPECT_EQ(drop_of(too_big(router, vip(), other)), Drop::kToPeer);
    EXPECT_EQ(drop_of(too_big(router, vip(), quote).fragment(0, true)), Drop::kMartian);
    EXPECT_EQ(drop_of(icmp_error(router, vip(), 8, 0, 0, {})), Drop::kMartian) << "a ping";
  }
}

TEST_P(IcmpErrors, KeepNoFlowAlive) {
  for (int second = 0; second < 10; ++second) {
    const std::uint64_t inserted = appliance_.stats().flows_inserted.get();
    appliance_.advance(second == 0 ? 7'400'000 : 5'000);
    if (second < 8) {
      EXPECT_TRUE(forwards(error())) << second;
    }
    EXPECT_EQ(appliance_.stats().flows_inserted.get(), inserted);
  }
  EXPECT_EQ(drop_of(error()), Drop::kToPeer);
}

TEST_P(IcmpErrors, OfAFlowWhoseMemberIsResetAreDropped) {
  const std::string backend = appliance_.send(tcp(client(), vip()).ack()).backend;
  appliance_.set(backend, Disposition::kReset);
  EXPECT_EQ(drop_of(error()), Drop::kMemberReset);
  EXPECT_EQ(appliance_.stats().resets_sent.get(), 0U);
  appliance_.set(backend, Disposition::kKeep);
  EXPECT_TRUE(forwards(error()));
}

TEST_P(IcmpErrors, FollowAFlowIntoTheModeItBeganIn) {
  const std::string backend = appliance_.send(tcp(client(), vip()).ack()).backend;
  dataplane::GenerationSpec spec = three_backends(Mode::kNat);
  spec.number = 2;
  appliance_.publish(spec);
  EXPECT_EQ(appliance_.send(error()).backend, backend);
}

TEST_P(IcmpErrors, AreForwardedAtALimitedRate) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(forwards(error())) << i;
  }
  EXPECT_EQ(drop_of(error()), Drop::kIcmpRateLimited);
  // What is not forwarded anyway takes nothing.
  appliance_.advance(4);
  EXPECT_EQ(drop_of(error(quote_of(tcp(vip(), client().at_port(4)).ack(), 8))), Drop::kToPeer);
  EXPECT_TRUE(forwards(error()));
  EXPECT_EQ(drop_of(error()), Drop::kIcmpRateLimited);
  appliance_.advance(100'000);
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(forwards(error())) << i;
  }
  EXPECT_EQ(drop_of(error()), Drop::kIcmpRateLimited);
}

TEST_P(IcmpErrors, AboutOneClientLeaveRoomForThoseAboutAnother) {
  Endpoint other = client();
  other.address.bytes[v4() ? 15 : 7] ^= 1;
  ASSERT_TRUE(forwards(tcp(other, vip()).syn()));
  for (int i = 0; i < 1000; ++i) {
    appliance_.send(error());
  }
  EXPECT_EQ(drop_of(error()), Drop::kIcmpRateLimited);
  EXPECT_TRUE(forwards(error(quote_of(tcp(vip(), other).syn().ack(), 8))));
}

TEST_P(IcmpErrors, FindWhatTheSameBurstHasBegunAndLeaveInOrder) {
  const Endpoint other = client().at_port(999);
  const std::vector<Bytes> frames = {
      error(quote_of(tcp(vip(), other).syn().ack(), 8)).bytes(),
      tcp(other, vip()).syn().bytes(),
      error().bytes(),
      tcp(client(), vip()).ack().bytes(),
  };
  const std::vector<Outcome> outcomes = appliance_.send_burst(frames);
  for (const Outcome& outcome : outcomes) {
    EXPECT_EQ(outcome.verdict, Verdict::kForward);
  }
  EXPECT_EQ(outcomes[0].backend, outcomes[1].backend);
  EXPECT_EQ(outcomes[2].backend, outcomes[3].backend);
}

INSTANTIATE_TEST_SUITE_P(EveryFamily, IcmpErrors, ::testing::Bool(), [](const auto& way) {
  return way.param ? "Ipv4" : "Ipv6";
});

// A SYN flood has all places of half-open flows: the client's flow has no entry.
TEST(IcmpErrorsUntracked, GoByTheHashLikeTheFlowItself) {
  Appliance appliance(three_backends(Mode::kDsr), 1000);
  const auto& table = appliance.solo().worker().tables.v4;
  for (std::uint16_t port = 1; !table.half_open_full(); ++port) {
    appliance.send(tcp(kClient.at_port(port), kVip).syn());
  }
  for (std::uint16_t port = 60000; port < 60040; ++port) {
    const Endpoint client = kClient.at_port(port);
    const std::string backend = appliance.send(tcp(client, kVip).syn()).backend;
    const Packet error = too_big(kFarRouter, kVip, quote_of(tcp(kVip, client).syn().ack(), 8));
    appliance.advance(8);
    EXPECT_EQ(appliance.send(error).backend, backend);
  }
  EXPECT_EQ(appliance.stats().flows_untracked.get(), 40U);
  appliance.set("1", Disposition::kAvoid);
  appliance.set("2", Disposition::kAvoid);
  appliance.set("3", Disposition::kAvoid);
  EXPECT_EQ(
      appliance
          .send(too_big(kFarRouter, kVip, quote_of(tcp(kVip, kClient.at_port(60000)).ack(), 8)))
          .reason,
      Drop::kNoBackend);
}

// Both buckets of a flow are full of established ones.
TEST(IcmpErrorsUntracked, GoByTheHashWhereTheTableHasNoPlace) {
  Appliance appliance(three_backends(Mode::kDsr), 64);
  std::size_t untracked = 0;
  for (std::uint16_t port = 1; port < 600; ++port) {
    const Endpoint client = kClient.at_port(port);
    const std::uint64_t before = appliance.stats().flows_untracked.get();
    const std::string backend = appliance.send(tcp(client, kVip).ack()).backend;
    if (appliance.stats().flows_untracked.get() != before) {
      ++untracked;
      appliance.advance(8);
      EXPECT_EQ(
          appliance.send(too_big(kFarRouter, kVip, quote_of(tcp(kVip, client).ack(), 8))).backend,
          backend);
    }
  }
  EXPECT_GT(untracked, 100U);
}

}  // namespace
}  // namespace holdfast::testing
