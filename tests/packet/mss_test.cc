// SPDX-License-Identifier: Apache-2.0
// MSS clamping through every stage, byte for byte: what the test's packet builder makes of the
// lower value is what has to leave.
#include "dataplane/mss.h"

#include "tests/packet/nat_flow.h"
#include "tests/support/appliance.h"
#include "tests/support/exact_burst.h"
#include "tests/support/frame_difference.h"

#include <array>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::GenerationSpec;
using dataplane::Mode;
using dataplane::MssSpec;
using dataplane::Verdict;
using Rule = dataplane::MssSpec::Rule;

constexpr MssSpec kClamp = {.rule = Rule::kClamp, .most = 0};

Bytes mss(std::uint16_t value) {
  return {2, 4, static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
}

Bytes joined(Bytes first, const Bytes& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

GenerationSpec spec_with(Mode mode, MssSpec rule, std::uint16_t mtu = 0) {
  GenerationSpec spec = three_backends(mode);
  for (dataplane::ServiceSpec& service : spec.services) {
    service.mss = rule;
    for (dataplane::MemberSpec& member : service.members) {
      member.mtu = mtu;
    }
  }
  return spec;
}

// A client's SYN as it has to reach the member that it was given to, with these options.
Bytes translated_syn(const Outcome& outcome, const Bytes& options, std::size_t payload = 0) {
  const Translated flow = translated(outcome);
  return tcp(flow.pool, flow.backend).syn().ttl(63).tcp_options(options).payload(payload).bytes();
}

TEST(Mss, IsLoweredInNatToWhatTheBackendsWayCarriesInBothDirections) {
  Appliance appliance(spec_with(Mode::kNat, {}, 1400));
  const Outcome syn = appliance.send(tcp(kClient, kVip).syn().tcp_options(mss(1460)));
  ASSERT_EQ(syn.verdict, Verdict::kForward);
  expect_same(syn.bytes, translated_syn(syn, mss(1360)));

  const Translated flow = translated(syn);
  const Outcome answer =
      appliance.send(tcp(flow.backend, flow.pool).syn().ack().tcp_options(mss(1460)), kLan);
  expect_same(answer.bytes, tcp(kVip, kClient).syn().ack().ttl(63).tcp_options(mss(1360)).bytes());
  EXPECT_EQ(appliance.stats().mss_clamped.get(), 2U);
}

TEST(Mss, IsLoweredInNatToTheNarrowerOfBothLinks) {
  Appliance appliance(spec_with(Mode::kNat, {}, 1400));
  appliance.solo().set_neighborhood(lab_neighborhood(1300, 1500));
  const Outcome syn = appliance.send(tcp(kClient, kVip).syn().tcp_options(mss(1460)));
  expect_same(syn.bytes, translated_syn(syn, mss(1260)));
  const Translated flow = translated(syn);
  const Outcome answer =
      appliance.send(tcp(flow.backend, flow.pool).syn().ack().tcp_options(mss(1460)), kLan);
  expect_same(answer.bytes, tcp(kVip, kClient).syn().ack().ttl(63).tcp_options(mss(1260)).bytes());
}

TEST(Mss, CountsTheLongerHeaderOfIpv6) {
  Appliance appliance(spec_with(Mode::kDsr, kClamp, 1400));
  const Outcome syn = appliance.send(tcp(kClient6, kVip6).syn().tcp_options(mss(1440)));
  const Endpoint link =
      kVip6.at_mac({2, 0, 0, 0, 2, static_cast<std::uint8_t>(syn.backend.at(0) - '0' + 10)});
  expect_same(syn.bytes, tcp(kClient6.at_mac(kLanMac), link).syn().tcp_options(mss(1340)).bytes());
}

TEST(Mss, OnlyEverFalls) {
  Appliance appliance(spec_with(Mode::kNat, {}, 1400));
  for (const std::uint16_t value : std::to_array<std::uint16_t>({1360, 1000, 536, 64, 0})) {
    const Outcome syn =
        appliance.send(tcp(kClient.at_port(static_cast<std::uint16_t>(30000 + value)), kVip)
                           .syn()
                           .tcp_options(mss(value)));
    expect_same(syn.bytes, translated_syn(syn, mss(value)));
  }
  EXPECT_EQ(appliance.stats().mss_clamped.get(), 0U);
}

TEST(Mss, IsThatOfSegmentsWithSynOnly) {
  Appliance appliance(spec_with(Mode::kNat, {}, 1400));
  const Outcome syn = appliance.send(tcp(kClient, kVip).syn());
  const Translated flow = translated(syn);
  appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
  const Outcome ack = appliance.send(tcp(kClient, kVip).ack().tcp_options(mss(1460)));
  expect_same(ack.bytes, tcp(flow.pool, flow.backend).ack().ttl(63).tcp_options(mss(1460)).bytes());
  const Outcome datagram = appliance.send(udp(kClient, kVip.at_port(53)).payload(mss(1460)));
  EXPECT_EQ(datagram.verdict, Verdict::kForward);
  EXPECT_EQ(appliance.stats().mss_clamped.get(), 0U);
}

TEST(Mss, FollowsTheServicesRule) {
  const std::vector<std::pair<MssSpec, std::uint16_t>> in_nat = {
      {{}, 1360},
      {{.rule = Rule::kKeep, .most = 0}, 1460},
      {kClamp, 1360},
      {{.rule = Rule::kClamp, .most = 1200}, 1200},
      {{.rule = Rule::kClamp, .most = 1400}, 1360}};
  for (const auto& [rule, expected] : in_nat) {
    Appliance appliance(spec_with(Mode::kNat, rule, 1400));
    const Outcome syn = appliance.send(tcp(kClient, kVip).syn().tcp_options(mss(1460)));
    expect_same(syn.bytes, translated_syn(syn, mss(expected)));
  }
}

// What stands behind the outer headers.
Bytes inner(const Outcome& outcome, std::size_t overhead) {
  const auto begin = outcome.bytes.begin() + 14 + static_cast<std::ptrdiff_t>(overhead);
  return {begin, outcome.bytes.end()};
}

TEST(Mss, IsKeptInTunnelsUnlessAskedForAndLeavesRoomForTheOuterHeadersThen) {
  struct Case {
    Mode mode;
    std::size_t overhead;
  };
  for (const auto& [mode, overhead] : {Case{Mode::kIpip, 20},
                                       Case{Mode::kGre, 24},
                                       Case{Mode::kGue, 28},
                                       Case{Mode::kVxlan, 50}}) {
    for (const MssSpec rule : {MssSpec{}, kClamp}) {
      GenerationSpec spec = spec_with(mode, rule, 1400);
      for (dataplane::ServiceSpec& service : spec.services) {
        std::erase_if(service.members, [](const auto& member) { return !member.address.is_v4(); });
      }
      Appliance appliance(spec);
      const Outcome syn = appliance.send(tcp(kClient, kVip).syn().tcp_options(mss(1460)));
      ASSERT_EQ(syn.verdict, Verdict::kForward);
      const auto value =
          static_cast<std::uint16_t>(rule == kClamp ? 1400 - 40 - overhead : std::size_t{1460});
      const Bytes expected = tcp(kClient, kVip).syn().tcp_options(mss(value)).bytes();
      EXPECT_EQ(inner(syn, overhead), Bytes(expected.begin() + 14, expected.end()));
    }
  }
}

TEST(Mss, IsAddedWhereItsAbsenceMeansTooMuch) {
  Appliance appliance(spec_with(Mode::kNat, {}));
  appliance.solo().set_neighborhood(lab_neighborhood(500, 1500));
  const Bytes window = {3, 3, 7, 1};
  const Outcome plain = appliance.send(tcp(kClient, kVip).syn());
  expect_same(plain.bytes, translated_syn(plain, mss(460)));
  const Outcome with_others =
      appliance.send(tcp(kClient.at_port(2), kVip).syn().tcp_options(window).payload(100));
  expect_same(with_others.bytes, translated_syn(with_others, joined(mss(460), window), 100));
  EXPECT_EQ(appliance.stats().mss_clamped.get(), 2U);

  appliance.solo().set_neighborhood(lab_neighborhood(576, 1500));  // 536: what absence means
  const Outcome enough = appliance.send(tcp(kClient.at_port(3), kVip).syn());
  expect_same(enough.bytes, translated_syn(enough, {}));
}

TEST(Mss, IsAddedBehindIpv4OptionsAndIpv6ExtensionHeaders) {
  GenerationSpec spec = spec_with(Mode::kDsr, {.rule = Rule::kClamp, .most = 536});
  Appliance appliance(spec);
  const auto with_backend = [](Packet packet, const Outcome& outcome, std::uint8_t net) {
    const auto number = static_cast<std::uint8_t>(outcome.backend.at(0) - '0');
    const MacAddress mac = net == 1 ? MacAddress{2, 0, 0, 0, 1, number}
                                    : MacAddress{2, 0, 0, 0, 2, std::uint8_t(10 + number)};
    return net == 1 ? packet.from(kClient.at_mac(kLanMac)).to(kVip.at_mac(mac)).bytes()
                    : packet.from(kClient6.at_mac(kLanMac)).to(kVip6.at_mac(mac)).bytes();
  };
  const auto six = [] { return tcp(kClient6, kVip6).syn().extension(60, 16).payload("data"); };
  const Outcome extended = appliance.send(six());
  expect_same(extended.bytes, with_backend(six().tcp_options(mss(536)), extended, 2));

  appliance.publish([] {
    GenerationSpec narrow = spec_with(Mode::kDsr, kClamp, 576);
    for (dataplane::ServiceSpec& service : narrow.services) {
      for (dataplane::MemberSpec& member : service.members) {
        member.mtu = member.address.is_v4() ? 576 : 1280;
      }
    }
    narrow.number = 2;
    return narrow;
  }());
  appliance.solo().set_neighborhood(lab_neighborhood(1500, 540));
  const auto four = [] { return tcp(kClient, kVip).syn().options({7, 4, 4, 0}).payload("data"); };
  const Outcome optioned = appliance.send(four());
  expect_same(optioned.bytes, with_backend(four().tcp_options(mss(500)), optioned, 1));
}

TEST(Mss, LeavesMalformedOptionsAlone) {
  const std::vector<Bytes> odd = {{5, 1, 2, 4, 0xff, 0xff, 1, 1},  // shorter than itself
                                  {2, 0, 5, 0xb4},                 // no length
                                  {2, 1, 5, 0xb4},                 // shorter than itself
                                  {2, 3, 0xff, 1},                 // an MSS of one byte
                                  {2, 6, 0xff, 0xff, 1, 1, 1, 1},
                                  {1, 1, 1, 2},  // no room for a length
                                  {1, 1, 2, 4},  // past the end
                                  {3, 41, 2, 4, 0xff, 0xff, 1, 1},
                                  {0, 2, 4, 0xff, 0xff, 0, 0, 0},  // behind the last
                                  {5, 10, 2, 4, 0xff, 0xff, 2, 4, 0xff, 0xff, 1, 1}};
  for (const Bytes& options : odd) {
    Appliance appliance(spec_with(Mode::kNat, {.rule = Rule::kClamp, .most = 600}));
    const Outcome syn = appliance.send(tcp(kClient, kVip).syn().tcp_options(options));
    expect_same(syn.bytes, translated_syn(syn, options));
    EXPECT_EQ(appliance.stats().mss_clamped.get(), 0U);
  }
}

TEST(Mss, IsLoweredWhereverAReceiverFindsIt) {
  const std::vector<std::pair<Bytes, Bytes>> cases = {
      {{1, 2, 4, 0x05, 0xb4, 1, 1, 1}, {1, 2, 4, 0x02, 0x58, 1, 1, 1}},     // at an odd place
      {{1, 1, 1, 1, 2, 4, 0xff, 0xff}, {1, 1, 1, 1, 2, 4, 0x02, 0x58}},     // the last
      {{2, 4, 5, 0xb4, 2, 4, 9, 9}, {2, 4, 0x02, 0x58, 2, 4, 0x02, 0x58}},  // twice
      {{2, 4, 2, 0, 2, 4, 9, 9}, {2, 4, 2, 0, 2, 4, 0x02, 0x58}},           // the second
      {{2, 3, 9, 2, 4, 9, 9, 1}, {2, 3, 9, 2, 4, 0x02, 0x58, 1}},           // behind a wrong one
      {{2, 4, 9, 9, 3, 0, 1, 1}, {2, 4, 0x02, 0x58, 3, 0, 1, 1}}};          // before one
  for (const auto& [came, expected] : cases) {
    Appliance appliance(spec_with(Mode::kNat, {.rule = Rule::kClamp, .most = 600}));
    const Outcome syn = appliance.send(tcp(kClient, kVip).syn().tcp_options(came));
    expect_same(syn.bytes, translated_syn(syn, expected));
    EXPECT_EQ(appliance.stats().mss_clamped.get(), 1U);
  }
}

// Nothing behind the header is touched or read: AddressSanitizer sees it otherwise.
TEST(Mss, IsLoweredAtTheVeryEndOfAFrame) {
  Appliance appliance(spec_with(Mode::kNat, {.rule = Rule::kClamp, .most = 600}));
  for (const Bytes& options : {mss(1460), Bytes{1, 1, 1, 1, 1, 1, 2, 4}, Bytes{1, 1, 1, 2}}) {
    ExactBurst burst(tcp(kClient, kVip).syn().tcp_options(options).bytes(), {.head = 128});
    appliance.solo().run(*burst, 1'000'000);
    EXPECT_EQ(burst->verdict[0], Verdict::kForward);
  }
  EXPECT_EQ(appliance.stats().mss_clamped.get(), 1U);
}

TEST(Mss, IsNotAddedWithoutRoomForIt) {
  Appliance appliance(spec_with(Mode::kNat, {}));
  appliance.solo().set_neighborhood(lab_neighborhood(500, 1500));
  const Bytes full(40, 1);
  const Outcome no_place = appliance.send(tcp(kClient, kVip).syn().tcp_options(full));
  expect_same(no_place.bytes, translated_syn(no_place, full));
  // 500 bytes are all that the way carries.
  const Outcome too_long = appliance.send(tcp(kClient.at_port(2), kVip).syn().payload(457));
  expect_same(too_long.bytes, translated_syn(too_long, {}, 457));
  EXPECT_EQ(appliance.stats().mss_no_room.get(), 2U);
  const Outcome fits = appliance.send(tcp(kClient.at_port(3), kVip).syn().payload(456));
  expect_same(fits.bytes, translated_syn(fits, mss(460), 456));

  ExactBurst burst(tcp(kClient.at_port(4), kVip).syn().bytes(), {.head = 3});
  appliance.solo().run(*burst, 1'000'000);
  EXPECT_EQ(burst->verdict[0], Verdict::kForward);
  EXPECT_EQ(burst->frame[0].length, 54U);
  EXPECT_EQ(appliance.stats().mss_no_room.get(), 3U);
}

TEST(Mss, OfADamagedSegmentIsLoweredAndLeavesItDamaged) {
  Appliance appliance(spec_with(Mode::kNat, {}, 1400));
  Bytes damaged = tcp(kClient, kVip).syn().tcp_options(mss(1460)).payload("data").bytes();
  damaged.back() ^= 0x10;
  const Outcome syn = appliance.send(damaged);
  const Translated flow = translated(syn);
  Bytes expected =
      tcp(flow.pool, flow.backend).syn().ttl(63).tcp_options(mss(1360)).payload("data").bytes();
  expected.back() ^= 0x10;
  expect_same(syn.bytes, expected);
}

TEST(Mss, IsLoweredAndAddedWhereThePayloadIsNotContiguous) {
  for (const Bytes& options : {mss(1460), Bytes{}}) {
    Appliance appliance(spec_with(Mode::kNat, {}));
    appliance.solo().set_neighborhood(lab_neighborhood(500, 1500));
    const Bytes whole = tcp(kClient, kVip).syn().tcp_options(options).payload(300).bytes();
    const std::size_t kept = 60 + options.size();
    ExactBurst burst(
        Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(kept)),
        {.head = 128, .tail = 0, .beyond = static_cast<std::uint32_t>(whole.size() - kept)});
    appliance.solo().run(*burst, 1'000'000);
    ASSERT_EQ(burst->verdict[0], Verdict::kForward);
    const auto& record = appliance.solo().worker().tables.nat.record(burst->record[0]);
    const Bytes left = burst.bytes();
    const std::string backend{appliance.solo().member_record(burst->member[0]).backend.view()};
    const Outcome outcome{.backend = backend, .bytes = left};
    EXPECT_EQ(record.pool_port.to_host(), source_port_of(left));
    const Bytes expected = translated_syn(outcome, mss(460), 300);
    EXPECT_EQ(burst->frame[0].length, expected.size());
    expect_same(
        left, Bytes(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(left.size())));
  }
}

}  // namespace
}  // namespace holdfast::testing
