// SPDX-License-Identifier: Apache-2.0
// What parse finds in whole, valid frames: offsets, lengths, flags, keys and kinds.
#include "dataplane/parse.h"

#include "tests/support/exact_burst.h"
#include "tests/support/packet.h"

#include <gmock/gmock.h>

namespace holdfast::testing {
namespace {

using dataplane::Drop;
using dataplane::FlowKey;
using dataplane::kEtherServiceVlan;
using dataplane::Kind;
using dataplane::kTcpSyn;
using dataplane::nonsense_flags;
using dataplane::Slot;
using dataplane::Verdict;
using dataplane::VlanTags;

ExactBurst parsed(const Bytes& frame, Room room = {}) {
  ExactBurst burst(frame, room);
  parse(*burst);
  return burst;
}

void expect_transport(const Packet& packet,
                      const Endpoint& from,
                      const Endpoint& to,
                      Protocol protocol) {
  const Bytes frame = packet.bytes();
  for (const Room room : {Room{}, Room{.head = 1, .tail = 0, .beyond = 0}}) {
    ExactBurst burst = parsed(frame, room);
    ASSERT_EQ(burst->kind[0], Kind::kTransport)
        << (burst->kind[0] == Kind::kFaulty ? drop_name(burst->fault[0]) : "another kind");
    EXPECT_EQ(burst->verdict[0], Verdict::kPending);
    EXPECT_EQ(burst->key[0],
              (FlowKey{.source = from.address,
                       .destination = to.address,
                       .source_port = Be16::from_host(from.port),
                       .destination_port = Be16::from_host(to.port),
                       .protocol = protocol}));
    EXPECT_EQ(burst->l3_offset[0], packet.l3_offset());
    EXPECT_EQ(burst->l4_offset[0], packet.l4_offset());
  }
}

TEST(Parse, ReadsTcpAndUdpOfBothFamilies) {
  expect_transport(tcp(kClient, kVip).syn(), kClient, kVip, Protocol::kTcp);
  expect_transport(tcp(kClient6, kVip6).syn(), kClient6, kVip6, Protocol::kTcp);
  expect_transport(udp(kClient, kVip).payload(3), kClient, kVip, Protocol::kUdp);
  expect_transport(udp(kClient6, kVip6), kClient6, kVip6, Protocol::kUdp);
}

TEST(Parse, KeepsTcpFlagsAndClearsThemForUdp) {
  const std::vector<Bytes> frames = {tcp(kClient, kVip).syn().bytes(),
                                     tcp(kClient, kVip).flags(0xff & ~0x07).bytes(),
                                     udp(kClient, kVip).bytes()};
  ExactBurst burst(frames);
  burst->tcp_flags.fill(0xaa);
  parse(*burst);
  EXPECT_EQ(burst->tcp_flags[0], kTcpSyn);
  EXPECT_EQ(burst->tcp_flags[1], 0xf8);
  EXPECT_EQ(burst->tcp_flags[2], 0);
}

TEST(Parse, SkipsIpv4Options) {
  Packet packet = tcp(kClient, kVip).options(Bytes(40, 1));
  expect_transport(packet, kClient, kVip, Protocol::kTcp);
  EXPECT_EQ(packet.l4_offset(), 14 + 60u);
}

TEST(Parse, SkipsFourExtensionHeaders) {
  expect_transport(udp(kClient6, kVip6)
                       .extension(0, 8)
                       .extension(60, 24)
                       .extension(43, 8, {2, 0})
                       .extension(51, 16),
                   kClient6,
                   kVip6,
                   Protocol::kUdp);
}

TEST(Parse, TakesAtomicFragmentForAWholePacket) {
  expect_transport(tcp(kClient6, kVip6).fragment(0, false), kClient6, kVip6, Protocol::kTcp);
}

TEST(Parse, LooksBehindOneAndTwoVlanTags) {
  const std::vector<std::pair<Packet, VlanTags>> cases = {
      {tcp(kClient, kVip), {}},
      {tcp(kClient, kVip).vlan(7), {0, 7}},
      {tcp(kClient6, kVip6).vlan(0xe007), {0, 7}},
      {tcp(kClient, kVip).vlan(100, kEtherServiceVlan).vlan(7), {100, 7}},
      {tcp(kClient, kVip).vlan(0xa000), {}},
      {tcp(kClient, kVip).vlan(0).vlan(7), {0, 7}},
      {tcp(kClient, kVip).vlan(7).vlan(0), {0, 7}}};
  for (const auto& [packet, tags] : cases) {
    ExactBurst burst = parsed(packet.bytes());
    EXPECT_EQ(burst->kind[0], Kind::kTransport);
    EXPECT_EQ(burst->tags[0], tags);
    EXPECT_EQ(burst->l3_offset[0], packet.l3_offset());
  }
}

TEST(Parse, TellsTagsOfOtherKindsOrderAndNumberApart) {
  const std::array<Packet, 7> packets = {
      tcp(kClient, kVip),
      tcp(kClient, kVip).vlan(7),
      tcp(kClient, kVip).vlan(7, kEtherServiceVlan),
      tcp(kClient, kVip).vlan(7).vlan(7),
      tcp(kClient, kVip).vlan(7, kEtherServiceVlan).vlan(7),
      tcp(kClient, kVip).vlan(7).vlan(7, kEtherServiceVlan),
      tcp(kClient, kVip).vlan(7, kEtherServiceVlan).vlan(7, kEtherServiceVlan)};
  for (std::size_t i = 0; i < packets.size(); ++i) {
    for (std::size_t j = 0; j < packets.size(); ++j) {
      EXPECT_EQ(parsed(packets[i].bytes())->tags[0] == parsed(packets[j].bytes())->tags[0], i == j);
    }
  }
}

TEST(Parse, LeavesThirdVlanTagToTheKernel) {
  ExactBurst burst = parsed(tcp(kClient, kVip).vlan(1).vlan(2).vlan(3).bytes());
  EXPECT_EQ(burst->kind[0], Kind::kOther);
  EXPECT_TRUE(burst->tags[0].any());
}

TEST(Parse, TellsPaddingFromThePacket) {
  ExactBurst burst = parsed(tcp(kClient, kVip).pad_to(60).bytes());
  EXPECT_EQ(burst->kind[0], Kind::kTransport);
  EXPECT_EQ(burst->l3_length[0], 40);
  EXPECT_EQ(parsed(udp(kClient6, kVip6).payload(5).pad_to(100).bytes())->l3_length[0], 53);
}

TEST(Parse, AcceptsPayloadBehindTheContiguousBytes) {
  Bytes frame = tcp(kClient, kVip).payload(1000).bytes();
  frame.resize(256);
  ExactBurst burst = parsed(frame, {.head = 0, .tail = 0, .beyond = 798});
  EXPECT_EQ(burst->kind[0], Kind::kTransport);
  EXPECT_EQ(burst->l3_length[0], 1040);
}

TEST(Parse, RecognisesEchoRequestsOfBothFamilies) {
  for (const Bytes& frame : {echo_request(kClient, kVip).payload(56).bytes(),
                             echo_request(kClient6, kVip6).payload(56).bytes()}) {
    ExactBurst burst = parsed(frame);
    EXPECT_EQ(burst->kind[0], Kind::kEchoRequest);
    EXPECT_EQ(burst->key[0].source_port, Be16{});
  }
}

TEST(Parse, RecognisesArpOnlyForEthernetAndIpv4) {
  const Bytes request = arp_request(kClient, kVip.address);
  EXPECT_EQ(parsed(request)->kind[0], Kind::kArp);
  EXPECT_EQ(parsed(arp_reply(kClient, kVip))->kind[0], Kind::kArp);
  for (const std::size_t offset : {14u, 15u, 16u, 17u, 18u, 19u}) {
    Bytes other = request;
    other[offset] ^= 0x40;
    EXPECT_EQ(parsed(other)->kind[0], Kind::kOther) << offset;
  }
  for (std::size_t size = 14; size < 42; ++size) {
    EXPECT_EQ(parsed({request.begin(), request.begin() + static_cast<int>(size)})->kind[0],
              Kind::kOther);
  }
}

TEST(Parse, RecognisesNeighborDiscoveryAlsoFromUnspecifiedAndLinkLocalSources) {
  const Endpoint group = solicited_nodes(kVip6.address);
  Endpoint local = kClient6;
  local.address = {{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}};
  Endpoint nobody = kClient6;
  nobody.address = {};
  for (const Endpoint& from : {kClient6, local, nobody}) {
    ExactBurst burst = parsed(neighbor_solicitation(from, group, kVip6.address).bytes());
    EXPECT_EQ(burst->kind[0], Kind::kNeighborSolicitation) << from.address.text();
    burst = parsed(neighbor_solicitation(from, group, kVip6.address).icmp(136, 0).bytes());
    EXPECT_EQ(burst->kind[0], Kind::kNeighborAdvertisement) << from.address.text();
  }
}

TEST(Parse, LeavesNeighborDiscoveryThatWasForwardedToTheKernel) {
  const Endpoint group = solicited_nodes(kVip6.address);
  const Packet valid = neighbor_solicitation(kClient6, group, kVip6.address);
  EXPECT_EQ(parsed(Packet(valid).ttl(254).bytes())->kind[0], Kind::kOther);
  EXPECT_EQ(parsed(Packet(valid).ttl(0).bytes())->kind[0], Kind::kOther);
  EXPECT_EQ(parsed(Packet(valid).icmp(135, 1).bytes())->kind[0], Kind::kOther);
}

TEST(Parse, DoesNotBelieveDiscoveryBehindAFragmentHeader) {
  const Packet valid = neighbor_solicitation(kClient6, kVip6, kVip6.address);
  ExactBurst burst = parsed(Packet(valid).fragment(0, false).bytes());
  EXPECT_EQ(burst->kind[0], Kind::kFaulty);
  EXPECT_EQ(burst->fault[0], Drop::kIcmpUnsupported);
}

TEST(Parse, LeavesUnknownEtherTypesToTheKernel) {
  for (const std::uint16_t type : std::initializer_list<std::uint16_t>{0x88cc, 0x0026, 0x8847}) {
    EXPECT_EQ(parsed(tcp(kClient, kVip).ether_type(type).bytes())->kind[0], Kind::kOther);
  }
}

TEST(Parse, DropsOnlyWhatIsTooShortForItsAddresses) {
  const std::vector<Bytes> frames = {Bytes{},
                                     tcp(kClient, kVip).cut(13).bytes(),
                                     tcp(kClient, kVip).cut(14).bytes(),
                                     tcp(kClient, kVip).cut(33).bytes(),
                                     tcp(kClient, kVip).cut(34).bytes(),
                                     tcp(kClient6, kVip6).cut(53).bytes(),
                                     tcp(kClient6, kVip6).cut(54).bytes(),
                                     tcp(kClient, kVip).vlan(7).cut(17).bytes()};
  ExactBurst burst(frames);
  parse(*burst);
  EXPECT_THAT(burst->live_slots(), ::testing::ElementsAre(4, 6));
  for (const Slot slot : std::initializer_list<Slot>{0, 1, 2, 3, 5, 7}) {
    EXPECT_EQ(burst->verdict[slot], Verdict::kDrop) << int{slot};
    EXPECT_EQ(burst->reason[slot], Drop::kTruncated) << int{slot};
  }
}

TEST(Parse, TouchesOnlyLiveSlots) {
  const std::vector<Bytes> frames = {tcp(kClient, kVip).bytes(), udp(kClient, kVip).bytes()};
  ExactBurst burst(frames);
  burst->kind.fill(Kind::kArp);
  burst->filter([&](Slot slot) { return slot == 1 || burst->end(slot, Verdict::kKernel); });
  parse(*burst);
  EXPECT_EQ(burst->kind[0], Kind::kArp);
  EXPECT_EQ(burst->kind[1], Kind::kTransport);
}

TEST(Parse, NonsenseFlagsAreThoseThatNoTcpSends) {
  for (const int sane : {0x02,
                         0x12,
                         0x10,
                         0x18,
                         0x11,
                         0x19,
                         0x04,
                         0x14,
                         0x30,
                         0x38,
                         0x39,
                         0x42,
                         0xc2,
                         0x52,
                         0x90,
                         0x22}) {
    EXPECT_FALSE(nonsense_flags(static_cast<std::uint8_t>(sane))) << sane;
  }
  for (const int nonsense :
       {0x00, 0x01, 0x03, 0x06, 0x07, 0x13, 0x16, 0x08, 0x20, 0x29, 0x3f, 0xff, 0xc0}) {
    EXPECT_TRUE(nonsense_flags(static_cast<std::uint8_t>(nonsense))) << nonsense;
  }
}

}  // namespace
}  // namespace holdfast::testing
