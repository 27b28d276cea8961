// SPDX-License-Identifier: Apache-2.0
// Frames damaged in every single way: cut at each byte, each header byte set to 0, 0xff, its
// complement and random values. Parse and the responders must stay inside exact-size buffers (the
// address sanitizer watches), give each frame one known outcome, and never grow a frame beyond its
// room.
#include "dataplane/parse.h"
#include "dataplane/respond.h"
#include "tests/packet/icmp_quote.h"
#include "tests/support/exact_burst.h"
#include "tests/support/packet.h"

#include <random>

#include <gmock/gmock.h>

namespace holdfast::testing {
namespace {

using dataplane::Drop;
using dataplane::Frame;
using dataplane::kEtherServiceVlan;
using dataplane::Kind;
using dataplane::Verdict;

std::vector<Packet> specimens() {
  const Endpoint group = solicited_nodes(kVip6.address);
  return {
      tcp(kClient, kVip).syn().tcp_options({2, 4, 5, 0xb4}).payload(3),
      tcp(kClient, kVip).options(Bytes(8, 1)).payload(1),
      udp(kClient, kVip).payload(5),
      udp(kClient, kVip).vlan(1, kEtherServiceVlan).vlan(2),
      echo_request(kClient, kVip).payload(7),
      echo_request(kClient, kVip).options(Bytes(40, 7)),
      tcp(kClient6, kVip6).syn().payload(3),
      udp(kClient6, kVip6).extension(0, 8).extension(43, 24, {2, 0}).extension(51, 16).payload(2),
      udp(kClient6, kVip6).fragment(0, false),
      echo_request(kClient6, kVip6).vlan(5).payload(7),
      echo_request(kClient6, kVip6).extension(60, 16),
      neighbor_solicitation(kClient6, group, kVip6.address),
      neighbor_solicitation(kClient6, kVip6, kVip6.address).vlan(9),
      too_big(kFarRouter, kVip, quote_of(tcp(kVip, kClient).options(Bytes(8, 1)), 8)),
      too_big(kFarRouter6, kVip6, quote_of(udp(kVip6, kClient6).extension(60, 8), 8)),
  };
}

void respond_to(ExactBurst& burst) {
  Frame& frame = burst.frame();
  const std::uint32_t room = std::uint32_t{frame.contiguous} + frame.tailroom;
  switch (burst->kind[0]) {
    case Kind::kArp:
      if (const auto arp = read_arp(frame, burst->l3_offset[0])) {
        learn_from_arp(*arp);
        answer_arp(frame, burst->l3_offset[0], kOurMac);
      }
      break;
    case Kind::kEchoRequest:
      answer_echo(frame, *burst, 0);
      break;
    case Kind::kNeighborSolicitation:
      learn_from_solicitation(frame, *burst, 0);
      answer_neighbor_solicitation(frame, *burst, 0, kOurMac);
      break;
    default:
      break;
  }
  EXPECT_EQ(std::uint32_t{frame.contiguous} + frame.tailroom, room);
}

void expect_one_outcome(const Bytes& bytes, Room room) {
  ExactBurst burst(bytes, room);
  burst->fault[0] = Drop::kCount;
  parse(*burst);
  if (burst->verdict[0] == Verdict::kDrop) {
    EXPECT_EQ(burst->reason[0], Drop::kTruncated);
    EXPECT_TRUE(burst->live_slots().empty());
    return;
  }
  ASSERT_EQ(burst->verdict[0], Verdict::kPending);
  if (burst->kind[0] == Kind::kFaulty) {
    ASSERT_LT(burst->fault[0], Drop::kCount);
  }
  if (burst->kind[0] == Kind::kTransport) {
    const std::size_t header = burst->key[0].protocol == Protocol::kTcp ? 20 : 8;
    ASSERT_LE(burst->l4_offset[0] + header, burst.frame().contiguous);
    ASSERT_LE(burst->l3_offset[0] + std::uint32_t{burst->l3_length[0]}, burst.frame().length);
  }
  if (burst->kind[0] == Kind::kIcmpError) {
    ASSERT_LE(burst->quoted_l4_offset[0] + 8, burst.frame().contiguous);
    ASSERT_LE(burst->quoted_l4_offset[0] + 8, burst->l3_offset[0] + int{burst->l3_length[0]});
  }
  respond_to(burst);
}

constexpr std::array<Room, 4> kRooms = {Room{},
                                        Room{.head = 1, .tail = 0, .beyond = 0},
                                        Room{.head = 3, .tail = 64, .beyond = 0},
                                        Room{.head = 0, .tail = 0, .beyond = 2000}};

std::vector<Bytes> all_specimens() {
  std::vector<Bytes> frames = {arp_request(kClient, kVip.address), arp_reply(kClient, kVip)};
  for (const Packet& packet : specimens()) {
    frames.push_back(packet.bytes());
  }
  return frames;
}

TEST(ParseHostile, SurvivesFramesCutAtEveryByte) {
  for (const Bytes& whole : all_specimens()) {
    for (std::size_t size = 0; size <= whole.size(); ++size) {
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      for (const Room room : kRooms) {
        expect_one_outcome(cut, room);
      }
    }
  }
}

TEST(ParseHostile, NamesEveryCutOfAPacketTruncated) {
  for (const Packet& packet : specimens()) {
    const Bytes whole = packet.bytes();
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      ExactBurst burst(cut);
      parse(*burst);
      const bool dropped = burst->verdict[0] == Verdict::kDrop;
      ASSERT_TRUE(dropped || burst->kind[0] == Kind::kFaulty) << size << " of " << whole.size();
      ASSERT_EQ(dropped ? burst->reason[0] : burst->fault[0], Drop::kTruncated) << size;
    }
  }
}

TEST(ParseHostile, SurvivesEveryByteFlipped) {
  std::mt19937 random(5);
  for (const Bytes& whole : all_specimens()) {
    for (std::size_t offset = 0; offset < whole.size(); ++offset) {
      Bytes flipped = whole;
      const auto with = [&](std::uint8_t value) {
        flipped[offset] = value;
        for (const Room room : kRooms) {
          expect_one_outcome(flipped, room);
        }
      };
      with(0);
      with(0xff);
      with(static_cast<std::uint8_t>(~whole[offset]));
      for (int i = 0; i < 4; ++i) {
        with(static_cast<std::uint8_t>(random()));
      }
    }
  }
}

// An IPv4 header damaged anywhere and mended with a right checksum reaches the layers behind it.
TEST(ParseHostile, SurvivesHeadersThatLieUnderARightChecksum) {
  std::mt19937 random(6);
  for (const Packet& packet : specimens()) {
    const std::size_t header = packet.l4_offset() - packet.l3_offset();
    for (std::size_t offset = 0; offset < header; ++offset) {
      for (int value = 0; value < 256; value += 5) {
        Packet lying = packet;
        expect_one_outcome(lying.ip_byte(offset, static_cast<std::uint8_t>(value)).bytes(),
                           kRooms[random() % kRooms.size()]);
      }
    }
  }
}

TEST(ParseHostile, SurvivesRandomBytesBehindARealStart) {
  std::mt19937 random(7);
  const std::vector<Bytes> frames = all_specimens();
  for (int round = 0; round < 20'000; ++round) {
    Bytes frame = frames[random() % frames.size()];
    const std::size_t changes = 1 + random() % 6;
    for (std::size_t i = 0; i < changes; ++i) {
      frame[random() % frame.size()] = static_cast<std::uint8_t>(random());
    }
    frame.resize(random() % (frame.size() + 40));
    expect_one_outcome(frame, kRooms[random() % kRooms.size()]);
  }
}

}  // namespace
}  // namespace holdfast::testing
