// SPDX-License-Identifier: Apache-2.0
// The tunnel modes through every stage: outer headers field by field, the inner packet byte for
// byte. Checksums are summed here, the plain way.
#include "dataplane/encapsulate.h"
#include "tests/support/appliance.h"
#include "tests/support/exact_burst.h"

#include <set>
#include <string>
#include <tuple>

#include <gmock/gmock.h>

namespace holdfast::testing {
namespace {

using dataplane::Disposition;
using dataplane::Drop;
using dataplane::GenerationSpec;
using dataplane::Mode;
using dataplane::TunnelSpec;
using dataplane::Verdict;

constexpr MacAddress kInnerMac = {2, 0, 0, 0, 9, 1};
constexpr MacAddress kInnerSource = {2, 0, 0, 0, 9, 0};
constexpr std::size_t kLinkHeader = 14;

GenerationSpec tunnelled(Mode mode, bool to_v4, TunnelSpec tunnel = {}) {
  GenerationSpec spec = three_backends(mode);
  for (dataplane::ServiceSpec& service : spec.services) {
    tunnel.vni = mode == Mode::kVxlan ? 0x123456 : 0;
    tunnel.inner_source = kInnerSource;
    service.tunnel = tunnel;
    std::erase_if(service.members,
                  [&](const auto& member) { return member.address.is_v4() != to_v4; });
    for (dataplane::MemberSpec& member : service.members) {
      member.inner_mac = kInnerMac;
    }
  }
  return spec;
}

std::uint32_t word(const Bytes& bytes, std::size_t at, std::size_t size) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    value = (value << 8) | bytes.at(at + i);
  }
  return value;
}

// RFC 1071, two bytes at a time.
std::uint16_t sum_of(const Bytes& bytes,
                     std::size_t from,
                     std::size_t size,
                     std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < size; ++i) {
    sum += i % 2 == 0 ? std::uint32_t{bytes.at(from + i)} << 8 : bytes.at(from + i);
  }
  while (sum > 0xffff) {
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(sum);
}

// The outer headers of a frame, as an eye reads them.
struct Outer {
  bool v4 = false;
  std::uint32_t length = 0;  // of all behind the link header
  std::uint8_t service = 0;
  std::uint8_t ttl = 0;
  std::uint8_t protocol = 0;
  std::uint32_t identification = 0;
  std::uint32_t fragment = 0;
  Bytes source;
  Bytes destination;
  std::size_t end = 0;  // what stands behind begins here
};

Outer read_outer(const Bytes& frame) {
  Outer outer;
  outer.v4 = word(frame, 12, 2) == 0x0800;
  const auto part = [&](std::size_t at, std::size_t size) {
    return Bytes(frame.begin() + static_cast<int>(at), frame.begin() + static_cast<int>(at + size));
  };
  if (outer.v4) {
    EXPECT_EQ(frame.at(kLinkHeader), 0x45);
    EXPECT_EQ(sum_of(frame, kLinkHeader, 20), 0xffff) << "outer header checksum";
    outer.length = word(frame, kLinkHeader + 2, 2);
    outer.service = frame.at(kLinkHeader + 1);
    outer.ttl = frame.at(kLinkHeader + 8);
    outer.protocol = frame.at(kLinkHeader + 9);
    outer.identification = word(frame, kLinkHeader + 4, 2);
    outer.fragment = word(frame, kLinkHeader + 6, 2);
    outer.source = part(kLinkHeader + 12, 4);
    outer.destination = part(kLinkHeader + 16, 4);
    outer.end = kLinkHeader + 20;
  } else {
    EXPECT_EQ(frame.at(kLinkHeader) >> 4, 6);
    outer.length = 40 + word(frame, kLinkHeader + 4, 2);
    outer.service = static_cast<std::uint8_t>(word(frame, kLinkHeader, 2) >> 4);
    outer.protocol = frame.at(kLinkHeader + 6);
    outer.ttl = frame.at(kLinkHeader + 7);
    outer.source = part(kLinkHeader + 8, 16);
    outer.destination = part(kLinkHeader + 24, 16);
    outer.end = kLinkHeader + 40;
  }
  EXPECT_EQ(frame.size(), kLinkHeader + outer.length);
  return outer;
}

// Whether the outer UDP checksum is right. Requires: `outer.protocol` is UDP.
bool udp_checksum_verifies(const Bytes& frame, const Outer& outer) {
  const std::size_t size = frame.size() - outer.end;
  EXPECT_EQ(word(frame, outer.end + 4, 2), size) << "outer UDP length";
  std::uint32_t pseudo = sum_of(outer.source, 0, outer.source.size());
  pseudo = sum_of(outer.destination, 0, outer.destination.size(), pseudo);
  pseudo += static_cast<std::uint32_t>(size) + 17;
  return sum_of(frame, outer.end, size, pseudo) == 0xffff;
}

Bytes from(const Bytes& frame, std::size_t at) {
  return {frame.begin() + static_cast<int>(at), frame.end()};
}

Bytes ip_packet(const Packet& packet) { return from(packet.bytes(), kLinkHeader); }

// Mode, IPv4 backends, IPv4 client.
using Way = std::tuple<Mode, bool, bool>;

class Tunnel : public ::testing::TestWithParam<Way> {
 protected:
  [[nodiscard]] Mode mode() const { return std::get<0>(GetParam()); }
  [[nodiscard]] bool outer_v4() const { return std::get<1>(GetParam()); }
  [[nodiscard]] bool inner_v4() const { return std::get<2>(GetParam()); }
  [[nodiscard]] Packet syn() const {
    return inner_v4() ? tcp(kClient, kVip).syn() : tcp(kClient6, kVip6).syn();
  }
  [[nodiscard]] Packet datagram(std::size_t size) const {
    return inner_v4() ? udp(kClient, kVip.at_port(53)).payload(size)
                      : udp(kClient6, kVip6.at_port(53)).payload(size);
  }
  [[nodiscard]] std::size_t behind_outer_ip() const {
    switch (mode()) {
      case Mode::kGue:
        return 8;
      case Mode::kGre:
        return 4;
      case Mode::kVxlan:
        return 8 + 8 + 14;
      default:
        return 0;
    }
  }
  [[nodiscard]] std::uint8_t outer_protocol() const {
    switch (mode()) {
      case Mode::kGre:
        return 47;
      case Mode::kIpip:
        return inner_v4() ? 4 : 41;
      default:
        return 17;
    }
  }
};

TEST_P(Tunnel, CarriesTheClientsPacketUntouchedToTheBackend) {
  Appliance appliance(tunnelled(mode(), outer_v4()));
  for (const Packet& packet : {syn().ttl(1), datagram(0), datagram(9), datagram(1200)}) {
    const Outcome outcome = appliance.send(packet);
    ASSERT_EQ(outcome.verdict, Verdict::kForward);
    EXPECT_EQ(outcome.port, kLan);
    const Outer outer = read_outer(outcome.bytes);
    EXPECT_EQ(outer.v4, outer_v4());
    EXPECT_EQ(outer.protocol, outer_protocol());
    EXPECT_EQ(outer.ttl, 64);
    EXPECT_EQ(from(outcome.bytes, outer.end + behind_outer_ip()), ip_packet(packet));
    const Bytes to =
        outer_v4() ? Bytes{10, 0, 3, static_cast<std::uint8_t>(10 + (outcome.backend.at(0) - '0'))}
                   : Bytes{0x20,
                           0x01,
                           0x0d,
                           0xb8,
                           0,
                           0,
                           0,
                           3,
                           0,
                           0,
                           0,
                           0,
                           0,
                           0,
                           0,
                           static_cast<std::uint8_t>(10 + (outcome.backend.at(0) - '0'))};
    EXPECT_EQ(outer.destination, to);
  }
}

TEST_P(Tunnel, CopiesDscpAndEcn) {
  Appliance appliance(tunnelled(mode(), outer_v4()));
  Packet marked = syn();
  if (inner_v4()) {
    marked.ip_byte(1, 0xb9 + 1);  // EF with ECT(0)
  } else {
    marked.ip_byte(0, 0x6b).ip_byte(1, 0xa0);
  }
  EXPECT_EQ(read_outer(appliance.send(marked).bytes).service, 0xba);
}

TEST_P(Tunnel, MakesTheOuterSourceFromTheClientOrTakesTheConfiguredOne) {
  Appliance derived(tunnelled(mode(), outer_v4()));
  std::set<Bytes> sources;
  for (std::uint16_t port = 1; port <= 64; ++port) {
    const Packet packet = inner_v4() ? tcp(kClient.at_port(port), kVip).syn()
                                     : tcp(kClient6.at_port(port), kVip6).syn();
    const Bytes source = read_outer(derived.send(packet).bytes).source;
    sources.insert(source);
    EXPECT_EQ(word(source, 0, 2), outer_v4() ? 0xac10U : 0x0100U);
  }
  EXPECT_EQ(sources.size(), 64U);
  Appliance configured(
      tunnelled(mode(), outer_v4(), {.source_v4 = v4(192, 0, 2, 5), .source_v6 = v6(9, 5)}));
  const Bytes source = read_outer(configured.send(syn()).bytes).source;
  EXPECT_EQ(source.back(), 5);
  EXPECT_EQ(source.size(), outer_v4() ? 4U : 16U);
}

TEST_P(Tunnel, CountsTheOuterHeadersForTheMtu) {
  Appliance appliance(tunnelled(mode(), outer_v4()));
  const std::size_t overhead = (outer_v4() ? 20 : 40) + behind_outer_ip();
  const std::size_t headers = (inner_v4() ? 20 : 40) + 8;
  EXPECT_EQ(appliance.send(datagram(1500 - overhead - headers)).verdict, Verdict::kForward);
  const Outcome longer = appliance.send(datagram(1500 - overhead - headers + 1));
  if (inner_v4()) {  // which may be fragmented, though not here
    EXPECT_EQ(longer.reason, Drop::kMtu);
  } else {
    EXPECT_EQ(longer.verdict, Verdict::kReply);
    EXPECT_EQ(word(longer.bytes, kLinkHeader + 40 + 4, 4), 1500 - overhead);
  }
}

std::string way_name_of(const ::testing::TestParamInfo<Way>& way) {
  return std::string(mode_name(std::get<0>(way.param))) +
         (std::get<1>(way.param) ? "Over4" : "Over6") +
         (std::get<2>(way.param) ? "Carries4" : "Carries6");
}

INSTANTIATE_TEST_SUITE_P(
    EveryModeAndFamily,
    Tunnel,
    ::testing::Combine(::testing::Values(Mode::kIpip, Mode::kGue, Mode::kGre, Mode::kVxlan),
                       ::testing::Bool(),
                       ::testing::Bool()),
    way_name_of);

class TunnelOverUdp : public Tunnel {};

TEST_P(TunnelOverUdp, DerivesItsChecksum) {
  Appliance appliance(tunnelled(mode(), outer_v4()));
  for (std::size_t size = 0; size < 40; ++size) {
    const Bytes frame = appliance.send(datagram(size)).bytes;
    const Outer outer = read_outer(frame);
    if (mode() == Mode::kVxlan && outer_v4()) {
      EXPECT_EQ(word(frame, outer.end + 6, 2), 0U) << "RFC 7348: zero over IPv4";
    } else {
      EXPECT_TRUE(udp_checksum_verifies(frame, outer)) << size;
    }
  }
  const Bytes first = appliance.send(syn().tcp_options({1, 1, 1, 0})).bytes;
  if (mode() == Mode::kGue) {
    EXPECT_TRUE(udp_checksum_verifies(first, read_outer(first)));
  }
}

TEST_P(TunnelOverUdp, LeavesADamagedSegmentDamaged) {
  Appliance appliance(tunnelled(mode(), outer_v4()));
  Packet damaged = datagram(20);
  damaged.byte(damaged.l4_offset() + 12, 0xee);
  const Bytes frame = appliance.send(damaged).bytes;
  const Outer outer = read_outer(frame);
  const bool absent = word(frame, outer.end + 6, 2) == 0;
  EXPECT_EQ(absent, mode() == Mode::kVxlan && outer_v4());
  EXPECT_TRUE(absent || !udp_checksum_verifies(frame, outer));
}

// RFC 768 leaves it open, RFC 9868 uses it: what stands behind the datagram is the packet's too.
TEST_P(TunnelOverUdp, DoesNotMistakeADatagramForThePacketThatIsLonger) {
  Appliance appliance(tunnelled(mode(), outer_v4()));
  for (const std::size_t surplus : {1U, 2U, 5U, 38U}) {
    const Packet packet = datagram(3).surplus(surplus);
    const Outcome outcome = appliance.send(packet);
    ASSERT_EQ(outcome.verdict, Verdict::kForward);
    const Outer outer = read_outer(outcome.bytes);
    const Bytes inner = ip_packet(packet);
    EXPECT_EQ(from(outcome.bytes, outcome.bytes.size() - inner.size()), inner);
    const bool absent = word(outcome.bytes, outer.end + 6, 2) == 0;
    EXPECT_EQ(absent, outer_v4());
    EXPECT_TRUE(absent || udp_checksum_verifies(outcome.bytes, outer)) << surplus;
  }
}

INSTANTIATE_TEST_SUITE_P(EveryFamily,
                         TunnelOverUdp,
                         ::testing::Combine(::testing::Values(Mode::kGue, Mode::kVxlan),
                                            ::testing::Bool(),
                                            ::testing::Bool()),
                         way_name_of);

// A packet seen behind Katran: 31.3.7.140:14216 came from 172.16.143.187.
TEST(TunnelSource, IsKatransConstruction) {
  const dataplane::FlowKey key = {.source = v4(31, 3, 7, 140),
                                  .destination = kVip.address,
                                  .source_port = Be16::from_host(14216),
                                  .destination_port = Be16::from_host(80)};
  EXPECT_EQ(dataplane::tunnel_source4({}, key), v4(172, 16, 143, 187).v4_bits());
  EXPECT_EQ(dataplane::tunnel_source6({}, key),
            address("100::288b:78c"));  // 1f03 ^ 3788, 078c
}

TEST(TunnelHeader, OfIpipKeepsDfAndIdentificationOfAnIpv4Packet) {
  Appliance appliance(tunnelled(Mode::kIpip, true));
  Packet packet = tcp(kClient, kVip).syn().ip_byte(4, 0x12).ip_byte(5, 0x34);
  const Outer may = read_outer(appliance.send(Packet(packet).ip_byte(6, 0)).bytes);
  EXPECT_EQ(std::pair(may.fragment, may.identification), std::pair(0U, 0x1234U));
  const Outer must_not = read_outer(appliance.send(packet.ip_byte(6, 0x40)).bytes);
  EXPECT_EQ(std::pair(must_not.fragment, must_not.identification), std::pair(0x4000U, 0U));
  const Outer of_v6 = read_outer(appliance.send(tcp(kClient6, kVip6).syn()).bytes);
  EXPECT_EQ(std::pair(of_v6.fragment, of_v6.identification), std::pair(0x4000U, 0U));
}

TEST(TunnelHeader, OfGreNamesTheProtocolInside) {
  Appliance appliance(tunnelled(Mode::kGre, true));
  const Bytes four = appliance.send(tcp(kClient, kVip).syn()).bytes;
  EXPECT_EQ(word(four, read_outer(four).end, 4), 0x00000800U);
  const Bytes six = appliance.send(tcp(kClient6, kVip6).syn()).bytes;
  EXPECT_EQ(word(six, read_outer(six).end, 4), 0x000086ddU);
}

TEST(TunnelHeader, OfVxlanHasTheVniAndTheBackendsInnerMac) {
  Appliance appliance(tunnelled(Mode::kVxlan, true));
  const Bytes frame = appliance.send(tcp(kClient, kVip).syn()).bytes;
  const std::size_t udp = read_outer(frame).end;
  EXPECT_GE(word(frame, udp, 2), 49152U);
  EXPECT_EQ(word(frame, udp + 2, 2), 4789U);
  EXPECT_EQ(word(frame, udp + 8, 4), 0x08000000U);
  EXPECT_EQ(word(frame, udp + 12, 4), 0x12345600U);
  const Bytes inner = from(frame, udp + 16);
  EXPECT_TRUE(std::ranges::equal(kInnerMac, std::span(inner).first(6)));
  EXPECT_TRUE(std::ranges::equal(kInnerSource, std::span(inner).subspan(6, 6)));
}

TEST(TunnelHeader, OfGueWithoutAListIsThePacketOnPort6080) {
  Appliance appliance(tunnelled(Mode::kGue, true));
  const Bytes frame = appliance.send(tcp(kClient, kVip).syn()).bytes;
  const std::size_t udp = read_outer(frame).end;
  EXPECT_EQ(word(frame, udp + 2, 2), 6080U);
  EXPECT_EQ(frame.at(udp + 8) >> 4, 4);
  Appliance other(tunnelled(Mode::kGue, true, {.port = 7000}));
  EXPECT_EQ(word(other.send(tcp(kClient, kVip).syn()).bytes, udp + 2, 2), 7000U);
}

TEST(TunnelHeader, OfGueWithAListNamesOtherBackendsAsGlbDoes) {
  Appliance appliance(tunnelled(Mode::kGue, true, {.hops = 2}));
  const Packet packet = tcp(kClient, kVip).syn();
  const Outcome outcome = appliance.send(packet);
  const Bytes& frame = outcome.bytes;
  const std::size_t udp = read_outer(frame).end;
  EXPECT_EQ(word(frame, udp + 2, 2), 19523U);
  EXPECT_GE(word(frame, udp, 2), 0x8000U);
  EXPECT_EQ(word(frame, udp + 8, 4), 0x03040000U);   // three words behind, IPv4, no flags
  EXPECT_EQ(word(frame, udp + 12, 4), 0x00000002U);  // type 0, at hop 0 of 2
  const std::set<std::uint32_t> named = {word(read_outer(frame).destination, 0, 4),
                                         word(frame, udp + 16, 4),
                                         word(frame, udp + 20, 4)};
  EXPECT_EQ(named, (std::set<std::uint32_t>{0x0a00030b, 0x0a00030c, 0x0a00030d}));
  EXPECT_EQ(from(frame, udp + 24), ip_packet(packet));
  EXPECT_TRUE(udp_checksum_verifies(frame, read_outer(frame)));
}

// A receiver of lists reads the header of every packet.
TEST(TunnelHeader, OfGueWithAListIsThereWhenThereIsNobodyToName) {
  GenerationSpec spec = tunnelled(Mode::kGue, true, {.hops = 2});
  spec.services[0].members.resize(1);
  Appliance appliance(spec);
  const Packet packet = tcp(kClient, kVip).syn();
  const Bytes frame = appliance.send(packet).bytes;
  const std::size_t udp = read_outer(frame).end;
  EXPECT_EQ(word(frame, udp + 2, 2), 19523U);
  EXPECT_EQ(word(frame, udp + 8, 4), 0x01040000U);
  EXPECT_EQ(word(frame, udp + 12, 4), 0U);
  EXPECT_EQ(from(frame, udp + 16), ip_packet(packet));
  EXPECT_TRUE(udp_checksum_verifies(frame, read_outer(frame)));
}

TEST(TunnelHeader, OfUdpWithoutChecksumHasNoneOverIpv4AndAWholeOneOverIpv6) {
  const Packet packet = udp(kClient, kVip.at_port(53)).payload(33).no_checksum();
  Appliance over4(tunnelled(Mode::kGue, true));
  const Bytes four = over4.send(packet).bytes;
  EXPECT_EQ(word(four, read_outer(four).end + 6, 2), 0U);
  Appliance over6(tunnelled(Mode::kGue, false));
  const Bytes six = over6.send(packet).bytes;
  EXPECT_TRUE(udp_checksum_verifies(six, read_outer(six)));
}

TEST(TunnelHeader, OfUdpWithAListHasNoChecksumAroundADatagramThatEndsBeforeItsPacket) {
  Appliance appliance(tunnelled(Mode::kGue, true, {.hops = 2}));
  const Bytes frame = appliance.send(udp(kClient, kVip.at_port(53)).payload(3).surplus(5)).bytes;
  EXPECT_EQ(word(frame, read_outer(frame).end + 6, 2), 0U);
}

TEST(TunnelFlow, StaysWithItsBackendAsInDsr) {
  Appliance appliance(tunnelled(Mode::kIpip, true));
  const std::string backend = appliance.send(tcp(kClient, kVip).syn()).backend;
  appliance.send(tcp(kClient, kVip).ack());
  appliance.set(backend, Disposition::kKeep);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).ack()).backend, backend);
  EXPECT_NE(appliance.send(tcp(kClient.at_port(7), kVip).syn()).backend, backend);
}

TEST(TunnelFlow, OfARemovedBackendKeepsItsOuterHeaders) {
  const GenerationSpec spec =
      tunnelled(Mode::kGue, true, {.source_v4 = v4(192, 0, 2, 5), .port = 7000});
  Appliance appliance(spec);
  const Outcome before = appliance.send(tcp(kClient, kVip).syn());
  appliance.send(tcp(kClient, kVip).ack());
  GenerationSpec next = spec;
  next.number = 2;
  std::erase_if(next.services.at(0).members,
                [&](const auto& member) { return member.backend == before.backend; });
  next.services.at(0).tunnel.port = 7001;
  appliance.publish(next);
  const Outcome after = appliance.send(tcp(kClient, kVip).ack());
  EXPECT_EQ(after.backend, before.backend);
  const std::size_t udp = read_outer(after.bytes).end;
  EXPECT_EQ(word(after.bytes, udp + 2, 2), 7000U);
  EXPECT_EQ(read_outer(after.bytes).source, read_outer(before.bytes).source);
}

TEST(TunnelRoom, IsNeededBeforeThePacket) {
  Appliance appliance(tunnelled(Mode::kVxlan, false));
  ExactBurst burst(tcp(kClient, kVip).syn().bytes(), {.head = 69});
  appliance.solo().run(*burst, 1'000'000);
  EXPECT_EQ(burst->verdict[0], Verdict::kDrop);
  EXPECT_EQ(burst->reason[0], Drop::kNoHeadroom);
  ExactBurst enough(tcp(kClient, kVip).syn().bytes(), {.head = 70});
  appliance.solo().run(*enough, 1'000'000);
  EXPECT_EQ(enough->verdict[0], Verdict::kForward);
}

}  // namespace
}  // namespace holdfast::testing
