// SPDX-License-Identifier: Apache-2.0
// VLAN tags in front of a packet: put there, changed and taken away, byte for byte.
#include "dataplane/vlan.h"

#include "tests/support/exact_burst.h"
#include "tests/support/frame_difference.h"

#include <array>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::kEtherServiceVlan;
using dataplane::put_tags;
using dataplane::VlanTags;

constexpr std::array<VlanTags, 3> kStacks = {VlanTags{}, VlanTags{0, 100}, VlanTags{200, 4094}};

Packet with_tags(Packet packet, VlanTags tags) {
  if (tags.service() != 0) {
    packet.vlan(tags.service(), kEtherServiceVlan);
  }
  return tags.customer() != 0 ? packet.vlan(tags.customer()) : packet;
}

TEST(PutTags, ReplacesAnyByAny) {
  for (const Packet& packet : {tcp(kClient, kVip).payload("x"), udp(kClient6, kVip6).payload(3)}) {
    for (const VlanTags from : kStacks) {
      for (const VlanTags to : kStacks) {
        const Packet before = with_tags(packet, from);
        const Packet after = with_tags(packet, to);
        ExactBurst burst(before.bytes(), {.head = 8, .tail = 0, .beyond = 7});
        const auto end = burst.frame().data + burst.frame().contiguous;
        const auto l3 = static_cast<std::uint8_t>(before.l3_offset());
        EXPECT_EQ(put_tags(burst.frame(), l3, to), after.l3_offset());
        expect_same(burst.bytes(), after.bytes());
        EXPECT_EQ(burst.frame().length, after.bytes().size() + 7);
        EXPECT_EQ(burst.frame().data + burst.frame().contiguous, end);
        EXPECT_EQ(burst.frame().headroom + after.l3_offset(), 8U + before.l3_offset());
      }
    }
  }
}

TEST(PutTags, DropsPrioritiesAndOtherTags) {
  const Packet packet = tcp(kClient, kVip);
  ExactBurst burst(Packet(packet).vlan(0xe000).vlan(0x6007).bytes());
  EXPECT_EQ(put_tags(burst.frame(), 22, {0, 9}), 18);
  expect_same(burst.bytes(), Packet(packet).vlan(9).bytes());
}

TEST(PutTags, NeedsRoomBeforeTheFrameAndTouchesNothingWithout) {
  const Bytes frame = tcp(kClient, kVip).bytes();
  ExactBurst burst(frame, {.head = 3, .tail = 50, .beyond = 0});
  EXPECT_EQ(put_tags(burst.frame(), 14, {0, 9}), std::nullopt);
  expect_same(burst.bytes(), frame);
  ExactBurst exact(frame, {.head = 4, .tail = 0, .beyond = 0});
  EXPECT_EQ(put_tags(exact.frame(), 14, {0, 9}), 18);
  EXPECT_EQ(exact.frame().headroom, 0);
}

TEST(VlanTags, AreTheSameOnlyInKindOrderAndNumber) {
  VlanTags service;
  service.add(true, 100);
  VlanTags customer;
  customer.add(false, 0xf000);
  EXPECT_FALSE(customer.any());
  customer.add(false, 0xf064);
  EXPECT_EQ(customer, VlanTags(0, 100));
  EXPECT_NE(service, customer);
  service.add(false, 7);
  EXPECT_EQ(service, VlanTags(100, 7));
  EXPECT_EQ(service.count(), 2U);
  customer.add(false, 7);
  EXPECT_NE(customer, service);
}

}  // namespace
}  // namespace holdfast::testing
