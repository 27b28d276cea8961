// SPDX-License-Identifier: Apache-2.0
// Packets that are longer than the way carries, and long frames that it does carry.
#include "dataplane/too_big.h"

#include "tests/packet/nat_flow.h"
#include "tests/support/appliance.h"
#include "tests/support/exact_burst.h"
#include "tests/support/frame_difference.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Drop;
using dataplane::GenerationSpec;
using dataplane::Mode;
using dataplane::Verdict;

constexpr std::array kTooBigModes = {
    Mode::kNat, Mode::kDsr, Mode::kIpip, Mode::kGue, Mode::kGre, Mode::kVxlan};

GenerationSpec spec_with(Mode mode, std::uint16_t mtu) {
  GenerationSpec spec = three_backends(mode);
  for (dataplane::ServiceSpec& service : spec.services) {
    if (is_tunnel(mode)) {
      std::erase_if(service.members, [](const auto& member) { return !member.address.is_v4(); });
    }
    for (dataplane::MemberSpec& member : service.members) {
      member.mtu = mtu;
    }
  }
  return spec;
}

std::size_t overhead_of(Mode mode) {
  switch (mode) {
    case Mode::kNat:
    case Mode::kDsr:
      return 0;
    case Mode::kGue:
      return 28;
    case Mode::kGre:
      return 24;
    case Mode::kVxlan:
      return 50;
    default:
      return 20;
  }
}

Packet datagram(bool four, std::size_t packet) {
  return four ? udp(kClient, kVip.at_port(53)).payload(packet - 28).dont_fragment()
              : udp(kClient6, kVip6.at_port(53)).payload(packet - 48);
}

// The message that answers `frame`, an untagged one, on its way back.
Bytes message(const Bytes& frame, const Endpoint& from, const Endpoint& to, std::uint32_t mtu) {
  const bool four = from.address.is_v4();
  const std::size_t quote = std::min<std::size_t>(frame.size() - 14, four ? 548 : 1232);
  const auto begin = frame.begin() + 14;
  Packet packet(from, to, four ? Protocol::kIcmp : Protocol::kIcmp6);
  packet.icmp(four ? 3 : 2, four ? 4 : 0, mtu)
      .payload(Bytes(begin, begin + static_cast<std::ptrdiff_t>(quote)));
  return four ? packet.dont_fragment().ip_byte(5, 0).bytes() : packet.bytes();
}

TEST(TooBig, IsToldToTheClientInEveryMode) {
  for (const Mode mode : kTooBigModes) {
    for (const bool four : {true, false}) {
      Appliance appliance(spec_with(mode, 1400));
      const std::size_t most = 1400 - overhead_of(mode);
      EXPECT_EQ(appliance.send(datagram(four, most)).verdict, Verdict::kForward);
      const Bytes longer = datagram(four, most + 1).ttl(9).bytes();
      const Outcome outcome = appliance.send(longer);
      ASSERT_EQ(outcome.verdict, Verdict::kReply) << mode_name(mode);
      EXPECT_EQ(outcome.port, kWan);
      expect_same(outcome.bytes,
                  four ? message(longer, kVip, kClient, static_cast<std::uint32_t>(most))
                       : message(longer, kVip6, kClient6, static_cast<std::uint32_t>(most)));
      EXPECT_EQ(appliance.stats().too_big_sent.get(), 1U);
    }
  }
}

TEST(TooBig, IsToldToTheMemberOfATranslatedFlowByThePoolAddress) {
  Appliance appliance(spec_with(Mode::kNat, 0));
  appliance.solo().set_neighborhood(lab_neighborhood(1300, 1500));
  const Translated flow = translated(appliance.send(tcp(kClient, kVip).syn()));
  appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
  const Bytes longer =
      tcp(flow.backend, flow.pool).ack().payload(1261).ttl(77).dont_fragment().bytes();
  const Outcome outcome = appliance.send(longer, kLan);
  ASSERT_EQ(outcome.verdict, Verdict::kReply);
  EXPECT_EQ(outcome.port, kLan);
  expect_same(outcome.bytes, message(longer, flow.pool, flow.backend, 1300));
}

TEST(TooBig, IsNotToldToASenderThatAllowsFragments) {
  Appliance appliance(spec_with(Mode::kDsr, 1400));
  EXPECT_EQ(appliance.send(udp(kClient, kVip.at_port(53)).payload(1373)).reason, Drop::kMtu);
  EXPECT_EQ(appliance.stats().too_big_sent.get(), 0U);
  EXPECT_EQ(appliance.stats().too_big_limited.get(), 0U);
}

TEST(TooBig, NeverSaysLessThanEveryHostOfIpv6Has) {
  Appliance appliance(spec_with(Mode::kVxlan, 1300));
  const Bytes longer = datagram(false, 1251).bytes();
  const Outcome outcome = appliance.send(longer);
  ASSERT_EQ(outcome.verdict, Verdict::kReply);
  expect_same(outcome.bytes, message(longer, kVip6, kClient6, 1280));
}

TEST(TooBig, QuotesIpv4OptionsAndKeepsAPriorityTag) {
  Appliance appliance(spec_with(Mode::kDsr, 1400));
  const auto packet = [] {
    return udp(kClient, kVip.at_port(53)).options({7, 4, 4, 0}).payload(1400).dont_fragment();
  };
  const Outcome outcome = appliance.send(packet().vlan(0xe000));
  Bytes expected = message(packet().bytes(), kVip, kClient, 1400);
  const Bytes tag = {0x81, 0x00, 0xe0, 0x00};
  expected.insert(expected.begin() + 12, tag.begin(), tag.end());
  expect_same(outcome.bytes, expected);
}

TEST(TooBig, QuotesWhatIsContiguous) {
  Appliance appliance(spec_with(Mode::kDsr, 1400));
  const Bytes whole = datagram(true, 1401).bytes();
  ExactBurst burst(
      Bytes(whole.begin(), whole.begin() + 256),
      {.head = 128, .tail = 0, .beyond = static_cast<std::uint32_t>(whole.size()) - 256});
  appliance.solo().run(*burst, 1'000'000);
  ASSERT_EQ(burst->verdict[0], Verdict::kReply);
  EXPECT_EQ(burst->frame[0].length, burst->frame[0].contiguous);
  expect_same(burst.bytes(),
              message(Bytes(whole.begin(), whole.begin() + 256), kVip, kClient, 1400));
}

TEST(TooBig, IsToldAClientFiftyTimesAtOnceAndEachFourthMillisecond) {
  Appliance appliance(spec_with(Mode::kDsr, 1400));
  const Bytes longer = datagram(true, 1401).bytes();
  const auto told = [&](int times) {
    int answers = 0;
    for (int i = 0; i < times; ++i) {
      const Outcome outcome = appliance.send(longer);
      answers += outcome.verdict == Verdict::kReply ? 1 : 0;
      EXPECT_TRUE(outcome.verdict == Verdict::kReply || outcome.reason == Drop::kMtu);
    }
    return answers;
  };
  EXPECT_EQ(told(300), 50);
  EXPECT_EQ(appliance.stats().too_big_limited.get(), 250U);
  appliance.advance(7 * 4);
  EXPECT_EQ(told(20), 7);
  appliance.advance(3'600'000);
  EXPECT_EQ(told(300), 50);
}

TEST(TooBig, IsToldOneClientWhateverAnotherHasUsedUp) {
  Appliance appliance(spec_with(Mode::kDsr, 1400));
  const auto answered = [&](const Endpoint& client) {
    const Endpoint vip = client.address.is_v4() ? kVip : kVip6;
    const Packet longer = udp(client, vip.at_port(53)).payload(1400).dont_fragment();
    return appliance.send(longer).verdict == Verdict::kReply;
  };
  for (int i = 0; i < 1000; ++i) {
    // All of a /64 may be one host.
    Endpoint same = kClient6;
    same.address.bytes[15] = static_cast<std::uint8_t>(i);
    EXPECT_EQ(answered(same), i < 50) << i;
  }
  Endpoint neighbour = kClient6;
  neighbour.address.bytes[7] ^= 1;
  EXPECT_TRUE(answered(neighbour));
  EXPECT_TRUE(answered(kClient));
}

TEST(TooBig, IsToldTwoHundredTimesAtOnceAndAThousandTimesASecond) {
  Appliance appliance(spec_with(Mode::kDsr, 1400));
  const auto told_to_many = [&] {
    int answers = 0;
    for (std::uint32_t host = 0; host < 4000; ++host) {
      const Endpoint client = {v4(198, 51, static_cast<std::uint8_t>(host >> 8), host & 0xff), 5};
      const Packet longer = udp(client, kVip.at_port(53)).payload(1400).dont_fragment();
      answers += appliance.send(longer).verdict == Verdict::kReply ? 1 : 0;
    }
    return answers;
  };
  EXPECT_EQ(told_to_many(), 200);
  appliance.advance(80);
  EXPECT_EQ(told_to_many(), 80);
}

TEST(TooBig, OpensTheFlowAsAnyFirstPacketDoes) {
  for (const Mode mode : {Mode::kNat, Mode::kDsr}) {
    Appliance appliance(spec_with(mode, 1400));
    EXPECT_EQ(appliance.send(datagram(true, 1401)).verdict, Verdict::kReply);
    EXPECT_EQ(appliance.stats().flows_inserted.get(), 1U);
    EXPECT_EQ(appliance.send(datagram(true, 1400)).verdict, Verdict::kForward);
    EXPECT_EQ(appliance.stats().flows_inserted.get(), 1U) << "the shorter one found it";
  }
}

// The stage's part alone, on frames that classify would not let come so far.
class Refused : public ::testing::Test {
 protected:
  Drop reason_of(const Bytes& frame, std::uint16_t head) {
    ExactBurst burst(frame, {.head = head});
    parse(*burst);
    EXPECT_FALSE(refuse_too_big(*burst, 0, 1400, generation(), worker(), 1'000'000));
    return burst->verdict[0] == Verdict::kDrop ? burst->reason[0] : Drop::kCount;
  }
  const dataplane::Generation& generation() { return appliance_.solo().generation(); }
  dataplane::WorkerState& worker() { return appliance_.solo().worker(); }

  Appliance appliance_{spec_with(Mode::kDsr, 1400)};
};

TEST_F(Refused, WithoutAnswerWhereThereIsNoRoomForItsHeaders) {
  EXPECT_EQ(reason_of(datagram(true, 1401).bytes(), 27), Drop::kMtu);
  EXPECT_EQ(reason_of(datagram(true, 1401).bytes(), 28), Drop::kCount);
  EXPECT_EQ(reason_of(datagram(false, 1401).bytes(), 47), Drop::kMtu);
  EXPECT_EQ(reason_of(datagram(false, 1401).bytes(), 48), Drop::kCount);
}

TEST_F(Refused, WithoutAnswerToAGroup) {
  const Endpoint everybody = kVip.at_port(53).at_mac({0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
  EXPECT_EQ(reason_of(udp(kClient, everybody).payload(1400).dont_fragment().bytes(), 128),
            Drop::kMtu);
}

TEST_F(Refused, WithNoLessThanIpv4Demands) {
  ExactBurst burst(datagram(true, 600).bytes(), {.head = 128});
  parse(*burst);
  EXPECT_FALSE(refuse_too_big(*burst, 0, 10, generation(), worker(), 1'000'000));
  expect_same(burst.bytes(), message(datagram(true, 600).bytes(), kVip, kClient, 68));
}

TEST(LongFrames, DoNotCountWhatStandsBehindThePacket) {
  for (const Mode mode : kTooBigModes) {
    Appliance appliance(spec_with(mode, 1400));
    const std::size_t most = 1400 - overhead_of(mode);
    const Outcome padded = appliance.send(datagram(true, most).pad_to(1500));
    ASSERT_EQ(padded.verdict, Verdict::kForward);
    EXPECT_EQ(padded.bytes.size(), 14U + 1400U);
  }
}

// Of a frame in several segments the first 256 bytes are contiguous.
TEST(LongFrames, OfSeveralSegmentsAreForwardedInEveryModeAndLoseTheirPadding) {
  for (const Mode mode : kTooBigModes) {
    for (const std::uint32_t padding : {0U, 6U, 700U}) {
      Appliance appliance(spec_with(mode, 9100));
      appliance.solo().set_neighborhood(lab_neighborhood(9200, 9200));
      const Bytes whole = datagram(true, 9000).bytes();
      ExactBurst burst(Bytes(whole.begin(), whole.begin() + 256),
                       {.head = 128,
                        .tail = 0,
                        .beyond = static_cast<std::uint32_t>(whole.size()) - 256 + padding});
      appliance.solo().run(*burst, 1'000'000);
      ASSERT_EQ(burst->verdict[0], Verdict::kForward) << mode_name(mode);
      EXPECT_EQ(burst->frame[0].length, 14 + overhead_of(mode) + 9000);
      EXPECT_EQ(burst->frame[0].contiguous, 256 + overhead_of(mode));
    }
  }
}

TEST(LongFrames, WhosePacketEndsInTheFirstSegmentEndThere) {
  Appliance appliance(spec_with(Mode::kDsr, 1400));
  const Bytes padded = datagram(true, 100).pad_to(200).bytes();
  ExactBurst burst(padded, {.head = 128, .tail = 0, .beyond = 1400});
  appliance.solo().run(*burst, 1'000'000);
  ASSERT_EQ(burst->verdict[0], Verdict::kForward);
  EXPECT_EQ(burst->frame[0].length, 114U);
  EXPECT_EQ(burst->frame[0].contiguous, 114U);
  EXPECT_EQ(burst->frame[0].tailroom, 86U);
}

TEST(BackendMtu, MayChangeWithoutMovingAFlow) {
  Appliance appliance(spec_with(Mode::kDsr, 0));
  const Outcome before = appliance.send(tcp(kClient, kVip).syn());
  for (const std::uint16_t mtu : std::to_array<std::uint16_t>({1400, 1300, 0})) {
    GenerationSpec spec = spec_with(Mode::kDsr, mtu);
    spec.number = 2U + mtu;
    appliance.publish(spec);
    EXPECT_EQ(appliance.send(tcp(kClient, kVip).ack()).backend, before.backend);
    const std::size_t most = mtu == 0 ? 1500 : mtu;
    EXPECT_EQ(appliance.send(datagram(true, most)).verdict, Verdict::kForward);
    EXPECT_EQ(appliance.send(datagram(true, most + 1)).verdict, Verdict::kReply);
  }
  EXPECT_EQ(appliance.stats().flows_inserted.get(), 2U);
  EXPECT_EQ(appliance.stats().flows_ended.get(), 0U);
}

TEST(BackendMtu, DoesNotWidenThePort) {
  Appliance appliance(spec_with(Mode::kDsr, 9000));
  EXPECT_EQ(appliance.send(datagram(true, 1500)).verdict, Verdict::kForward);
  EXPECT_EQ(appliance.send(datagram(true, 1501)).verdict, Verdict::kReply);
}

TEST(BackendMtu, BelowWhatItsFamilyNeedsIsRefused) {
  Appliance appliance(spec_with(Mode::kDsr, 0));
  EXPECT_FALSE(appliance.solo().publish(spec_with(Mode::kDsr, 575)).has_value());
  EXPECT_FALSE(appliance.solo().publish(spec_with(Mode::kDsr, 1279)).has_value());
  EXPECT_TRUE(appliance.solo().publish(spec_with(Mode::kDsr, 1280)).has_value());
}

TEST(BackendMtu, OfARetiredBackendStays) {
  Appliance appliance(spec_with(Mode::kDsr, 1400));
  const Outcome first = appliance.send(datagram(true, 1000));
  GenerationSpec spec = spec_with(Mode::kDsr, 1500);
  spec.number = 2;
  for (dataplane::ServiceSpec& service : spec.services) {
    std::erase_if(service.members,
                  [&](const auto& member) { return member.backend == first.backend; });
  }
  appliance.publish(spec);
  const Outcome later = appliance.send(datagram(true, 1400));
  EXPECT_EQ(later.backend, first.backend);
  EXPECT_EQ(appliance.send(datagram(true, 1401)).verdict, Verdict::kReply);
}

}  // namespace
}  // namespace holdfast::testing
