// SPDX-License-Identifier: Apache-2.0
// Answers and announcements: compared field by field with frames that the builder makes, checksums
// for all values, and everything that must not be answered.
#include "dataplane/respond.h"

#include "dataplane/parse.h"
#include "tests/support/exact_burst.h"
#include "tests/support/frame_difference.h"
#include "tests/support/packet.h"

#include <gmock/gmock.h>

namespace holdfast::testing {
namespace {

using dataplane::ArpPacket;
using dataplane::kAdvertisementSize;
using dataplane::kBroadcastMac;
using dataplane::kGratuitousArpSize;
using dataplane::Kind;
using dataplane::kOptionTargetLinkLayer;
using dataplane::LearnedNeighbor;

constexpr Room kAnswerRoom = {.head = 2, .tail = 64, .beyond = 0};

ExactBurst parsed_to_answer(const Bytes& frame, Room room = kAnswerRoom) {
  ExactBurst burst(frame, room);
  parse(*burst);
  return burst;
}

Bytes echoed(const Bytes& frame) {
  ExactBurst burst = parsed_to_answer(frame);
  EXPECT_EQ(burst->kind[0], Kind::kEchoRequest);
  EXPECT_TRUE(answer_echo(burst.frame(), *burst, 0));
  return burst.bytes();
}

// A request whose reply the builder cannot have made by mistake in the same way.
TEST(AnswerEcho, SwapsAddressesAndTurnsTheTypeForBothFamilies) {
  expect_same(echoed(echo_request(kClient, kVip).payload(56).ttl(3).bytes()),
              echo_reply(kVip, kClient).payload(56).bytes());
  expect_same(echoed(echo_request(kClient6, kVip6).payload(57).ttl(3).bytes()),
              echo_reply(kVip6, kClient6).payload(57).bytes());
}

TEST(AnswerEcho, KeepsTagsAndPadding) {
  expect_same(echoed(echo_request(kClient, kVip).vlan(7).pad_to(64).bytes()),
              echo_reply(kVip, kClient).vlan(7).pad_to(64).bytes());
}

TEST(AnswerEcho, OverwritesIpv4OptionsWithNoOperations) {
  const Bytes record_route = {7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  expect_same(echoed(echo_request(kClient, kVip).options(record_route).payload(9).bytes()),
              echo_reply(kVip, kClient).options(Bytes(12, 1)).payload(9).bytes());
}

TEST(AnswerEcho, ReturnsIpv6ExtensionHeadersAsTheyCame) {
  expect_same(echoed(echo_request(kClient6, kVip6).extension(60, 16, {1, 4}).bytes()),
              echo_reply(kVip6, kClient6).extension(60, 16, {1, 4}).bytes());
}

// The last two payload bytes run through all values, so the checksum does too; an update that
// forgets the end-around carry fails for 8 of them in IPv4.
TEST(AnswerEcho, ChecksumIsRightForAllValues) {
  for (const bool v6 : {false, true}) {
    Bytes request = v6 ? echo_request(kClient6, kVip6).payload(2).bytes()
                       : echo_request(kClient, kVip).payload(2).bytes();
    const std::size_t l4 = v6 ? 54 : 34;
    const std::uint8_t delta = 8;  // of the type byte in IPv4: 8 -> 0
    for (unsigned value = 0; value < 65536; ++value) {
      Bytes upper(request.begin() + static_cast<int>(l4), request.end());
      upper[2] = upper[3] = 0;
      upper[8] = static_cast<std::uint8_t>(value >> 8);
      upper[9] = static_cast<std::uint8_t>(value);
      Bytes summed = upper;
      if (v6) {
        summed.insert(summed.end(), request.begin() + 22, request.begin() + 54);
        summed.insert(summed.end(), {0, 58, 0, static_cast<std::uint8_t>(upper.size())});
      }
      const auto checksum = static_cast<std::uint16_t>(~ones_complement_sum(summed));
      upper[2] = static_cast<std::uint8_t>(checksum >> 8);
      upper[3] = static_cast<std::uint8_t>(checksum);
      std::ranges::copy(upper, request.begin() + static_cast<int>(l4));

      const Bytes reply = echoed(request);
      summed[0] = v6 ? 129 : static_cast<std::uint8_t>(summed[0] - delta);
      const auto expected = static_cast<std::uint16_t>(~ones_complement_sum(summed));
      ASSERT_EQ(reply[l4 + 2] << 8 | reply[l4 + 3], expected) << value;
    }
  }
}

// Nothing but zeros: the one message whose sum is 0 and whose checksum is therefore 0xffff.
TEST(AnswerEcho, ChecksumOfAnAllZeroReplyIsAllOnes) {
  for (const std::size_t size : {0U, 56U}) {
    const Bytes request = echo_request(kClient, kVip).icmp(8, 0, 0).payload(Bytes(size, 0)).bytes();
    const Bytes reply = echoed(request);
    EXPECT_EQ(reply[36], 0xff);
    EXPECT_EQ(reply[37], 0xff);
  }
}

TEST(AnswerEcho, RefusesEveryWrongChecksumAndLeavesTheFrameAlone) {
  for (const Packet& request :
       {echo_request(kClient, kVip).payload(5), echo_request(kClient6, kVip6).payload(5)}) {
    for (std::size_t bit = 0; bit < 16; ++bit) {
      Bytes frame = request.bytes();
      frame[request.l4_offset() + 2 + bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      ExactBurst burst = parsed_to_answer(frame);
      EXPECT_FALSE(answer_echo(burst.frame(), *burst, 0));
      expect_same(burst.bytes(), frame);
    }
  }
}

TEST(AnswerEcho, RefusesGroupMacAddresses) {
  const MacAddress group = {0x33, 0x33, 0, 0, 0, 1};
  for (const Bytes& frame : {echo_request(kClient, kVip.at_mac(kBroadcastMac)).bytes(),
                             echo_request(kClient.at_mac(group), kVip).bytes()}) {
    ExactBurst burst = parsed_to_answer(frame);
    EXPECT_FALSE(answer_echo(burst.frame(), *burst, 0));
    expect_same(burst.bytes(), frame);
  }
}

TEST(AnswerEcho, UpdatesAChecksumOverBytesItCannotReach) {
  const Bytes whole = echo_request(kClient, kVip).payload(1000).bytes();
  const Bytes first(whole.begin(), whole.begin() + 256);
  ExactBurst burst(first, {.head = 0, .tail = 0, .beyond = 1042 - 256});
  parse(*burst);
  ASSERT_EQ(burst->kind[0], Kind::kEchoRequest);
  ASSERT_TRUE(answer_echo(burst.frame(), *burst, 0));
  const Bytes reply = echo_reply(kVip, kClient).payload(1000).bytes();
  expect_same(burst.bytes(), {reply.begin(), reply.begin() + 256});
}

// Of a frame that has one.
ArpPacket arp_of(const ExactBurst& burst) {
  return read_arp(burst->frame[0], 14).value_or(ArpPacket{});
}

TEST(AnswerArp, TellsOurMacForTheAddressAskedFor) {
  ExactBurst burst(arp_request(kClient, kVip.address));
  EXPECT_EQ(arp_target(arp_of(burst)), kVip.address);
  EXPECT_EQ(arp_sender(arp_of(burst)), kClient.address);
  ASSERT_TRUE(answer_arp(burst.frame(), 14, kOurMac));
  expect_same(burst.bytes(), arp_reply(kVip, kClient));
}

TEST(AnswerArp, LeavesTagsWhereTheyAre) {
  Bytes request = arp_request(kClient, kVip.address);
  Bytes reply = arp_reply(kVip, kClient);
  const Bytes tags = {0x88, 0xa8, 0, 200, 0x81, 0, 0, 100};
  request.insert(request.begin() + 12, tags.begin(), tags.end());
  reply.insert(reply.begin() + 12, tags.begin(), tags.end());
  ExactBurst burst(request);
  ASSERT_TRUE(answer_arp(burst.frame(), 22, kOurMac));
  expect_same(burst.bytes(), reply);
}

TEST(AnswerArp, AnswersAProbeWithAnEmptySender) {
  Endpoint nobody = kClient;
  nobody.address = v4(0, 0, 0, 0);
  ExactBurst burst(arp_request(nobody, kVip.address));
  ASSERT_TRUE(answer_arp(burst.frame(), 14, kOurMac));
  expect_same(burst.bytes(), arp_reply(kVip, nobody));
}

TEST(AnswerArp, DoesNotAnswerRepliesAnnouncementsAndGroups) {
  for (const Bytes& frame : {arp_reply(kClient, kVip),
                             arp_request(kVip, kVip.address),
                             arp_request(kClient.at_mac(kBroadcastMac), kVip.address),
                             tcp(kClient, kVip).bytes(),
                             Bytes(14, 0)}) {
    ExactBurst burst(frame);
    EXPECT_FALSE(answer_arp(burst.frame(), 14, kOurMac));
    expect_same(burst.bytes(), frame);
  }
}

Bytes advertisement(const Endpoint& from, const Endpoint& to, std::uint32_t flags) {
  Packet packet = neighbor_solicitation(from, to, from.address);
  Bytes body(from.address.bytes.begin(), from.address.bytes.end());
  body.insert(body.end(), {kOptionTargetLinkLayer, 1});
  body.insert(body.end(), kOurMac.begin(), kOurMac.end());
  return packet.icmp(136, 0, flags).payload(std::move(body)).bytes();
}

constexpr Endpoint kAllNodes = {
    {{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}, 0, {0x33, 0x33, 0, 0, 0, 1}};

TEST(AnswerSolicitation, AdvertisesTheTargetToItsSender) {
  for (const Endpoint& to : {solicited_nodes(kVip6.address), kVip6}) {
    ExactBurst burst =
        parsed_to_answer(neighbor_solicitation(kClient6, to, kVip6.address).bytes(), {});
    EXPECT_EQ(solicited_target(burst.frame(), *burst, 0), kVip6.address);
    ASSERT_TRUE(answer_neighbor_solicitation(burst.frame(), *burst, 0, kOurMac));
    expect_same(burst.bytes(), advertisement(kVip6, kClient6, 0x60000000));
    EXPECT_EQ(burst->l3_length[0], 72);
  }
}

// Without options: a unicast probe of a known neighbour (RFC 4861 §7.3.3) needs 8 bytes more.
Packet bare_solicitation(const Endpoint& from, const Endpoint& to) {
  Packet packet = neighbor_solicitation(from, to, kVip6.address);
  return packet.payload(Bytes(kVip6.address.bytes.begin(), kVip6.address.bytes.end()));
}

TEST(AnswerSolicitation, UsesTheLinkSourceWhenThereIsNoOption) {
  ExactBurst burst = parsed_to_answer(bare_solicitation(kClient6, kVip6).bytes(),
                                      {.head = 0, .tail = 8, .beyond = 0});
  ASSERT_TRUE(answer_neighbor_solicitation(burst.frame(), *burst, 0, kOurMac));
  expect_same(burst.bytes(), advertisement(kVip6, kClient6, 0x60000000));
  EXPECT_EQ(burst.frame().length, 86u);
  EXPECT_EQ(burst.frame().tailroom, 0);
}

TEST(AnswerSolicitation, RefusesWithoutRoomForTheAnswer) {
  const Bytes frame = bare_solicitation(kClient6, kVip6).bytes();
  for (const Room room : {Room{},
                          Room{.head = 0, .tail = 7, .beyond = 0},
                          Room{.head = 0, .tail = 64, .beyond = 100}}) {
    ExactBurst burst = parsed_to_answer(frame, room);
    ASSERT_EQ(burst->kind[0], Kind::kNeighborSolicitation);
    EXPECT_FALSE(answer_neighbor_solicitation(burst.frame(), *burst, 0, kOurMac));
    expect_same(burst.bytes(), frame);
  }
}

TEST(AnswerSolicitation, CutsOtherOptionsAndKeepsATag) {
  Bytes body(kVip6.address.bytes.begin(), kVip6.address.bytes.end());
  body.insert(body.end(), {14, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14});  // nonce
  Packet request = neighbor_solicitation(kClient6, kVip6, kVip6.address).vlan(7);
  ExactBurst burst = parsed_to_answer(request.payload(std::move(body)).bytes());
  ASSERT_TRUE(answer_neighbor_solicitation(burst.frame(), *burst, 0, kOurMac));
  Bytes expected = advertisement(kVip6, kClient6, 0x60000000);
  expected.insert(expected.begin() + 12, {0x81, 0x00, 0, 7});
  expect_same(burst.bytes(), expected);
}

TEST(AnswerSolicitation, AnswersDuplicateDetectionToAllNodes) {
  Endpoint nobody = kClient6;
  nobody.address = {};
  ExactBurst burst =
      parsed_to_answer(bare_solicitation(nobody, solicited_nodes(kVip6.address)).bytes());
  ASSERT_TRUE(answer_neighbor_solicitation(burst.frame(), *burst, 0, kOurMac));
  expect_same(burst.bytes(), advertisement(kVip6, kAllNodes, 0x20000000));
}

void expect_refused(const Bytes& frame, const char* why) {
  ExactBurst burst = parsed_to_answer(frame);
  ASSERT_EQ(burst->kind[0], Kind::kNeighborSolicitation) << why;
  EXPECT_FALSE(answer_neighbor_solicitation(burst.frame(), *burst, 0, kOurMac)) << why;
  EXPECT_EQ(learn_from_solicitation(burst.frame(), *burst, 0), std::nullopt) << why;
  expect_same(burst.bytes(), frame);
}

TEST(AnswerSolicitation, RefusesWhatRfc4861CallsInvalid) {
  const Endpoint group = solicited_nodes(kVip6.address);
  const Packet valid = neighbor_solicitation(kClient6, group, kVip6.address);
  Endpoint nobody = kClient6;
  nobody.address = {};
  const auto with_option = [&](std::uint8_t type, std::uint8_t length) {
    Packet packet = valid;
    return packet.upper_byte(24, type).upper_byte(25, length).bytes();
  };
  expect_refused(Packet(valid).byte(56, 0x12).bytes(), "checksum");
  expect_refused(neighbor_solicitation(kClient6, group, kAllNodes.address).bytes(),
                 "multicast target");
  expect_refused(with_option(1, 0), "option of length 0");
  expect_refused(with_option(9, 0), "unknown option of length 0");
  expect_refused(with_option(1, 2), "option past the end");
  Bytes odd(kVip6.address.bytes.begin(), kVip6.address.bytes.end());
  odd.insert(odd.end(), {14, 1, 0, 0});
  expect_refused(Packet(valid).payload(odd).bytes(), "half an option");
  expect_refused(neighbor_solicitation(nobody, group, kVip6.address).bytes(),
                 "unspecified source with its MAC");
  expect_refused(bare_solicitation(nobody, kVip6).bytes(), "unspecified source to unicast");
  expect_refused(
      neighbor_solicitation(kClient6.at_mac(kBroadcastMac), group, kVip6.address).bytes(),
      "group MAC");
}

TEST(Learn, TakesTheSenderOfRequestsAndSolicitations) {
  ExactBurst arp(arp_request(kClient, kVip.address));
  EXPECT_EQ(learn_from_arp(arp_of(arp)),
            (LearnedNeighbor{.address = kClient.address, .mac = kClient.mac}));
  ExactBurst burst = parsed_to_answer(
      neighbor_solicitation(kClient6, solicited_nodes(kVip6.address), kVip6.address).bytes());
  EXPECT_EQ(learn_from_solicitation(burst.frame(), *burst, 0),
            (LearnedNeighbor{.address = kClient6.address, .mac = kClient6.mac}));
}

TEST(Learn, TakesNothingFromProbesRepliesAndGroups) {
  Endpoint nobody = kClient;
  nobody.address = v4(0, 0, 0, 0);
  for (const Bytes& frame : {arp_request(nobody, kVip.address),
                             arp_reply(kClient, kVip),
                             arp_request(kClient.at_mac(kBroadcastMac), kVip.address),
                             arp_request(kClient.at_mac({}), kVip.address)}) {
    ExactBurst burst(frame);
    EXPECT_EQ(learn_from_arp(arp_of(burst)), std::nullopt);
  }
  ExactBurst bare = parsed_to_answer(bare_solicitation(kClient6, kVip6).bytes());
  EXPECT_EQ(learn_from_solicitation(bare.frame(), *bare, 0), std::nullopt);
}

TEST(Announce, GratuitousArpIsABroadcastRequestForItself) {
  std::array<std::byte, kGratuitousArpSize> buffer{};
  ASSERT_EQ(build_gratuitous_arp(buffer, kOurMac, kVip.address), 42u);
  Bytes frame(42);
  std::memcpy(frame.data(), buffer.data(), frame.size());
  expect_same(frame, arp_request(kVip, kVip.address));
}

TEST(Announce, UnsolicitedAdvertisementGoesToAllNodes) {
  std::array<std::byte, kAdvertisementSize> buffer{};
  ASSERT_EQ(build_unsolicited_advertisement(buffer, kOurMac, kVip6.address), 86u);
  Bytes frame(86);
  std::memcpy(frame.data(), buffer.data(), frame.size());
  expect_same(frame, advertisement(kVip6, kAllNodes, 0x20000000));
}

TEST(Announce, WritesNothingIntoAShortBuffer) {
  std::array<std::byte, kAdvertisementSize> buffer{};
  EXPECT_EQ(build_gratuitous_arp(std::span(buffer).first(41), kOurMac, kVip.address), 0u);
  EXPECT_EQ(build_unsolicited_advertisement(std::span(buffer).first(85), kOurMac, kVip6.address),
            0u);
  EXPECT_THAT(buffer, ::testing::Each(std::byte{}));
}

}  // namespace
}  // namespace holdfast::testing
