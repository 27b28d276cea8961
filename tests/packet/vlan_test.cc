// SPDX-License-Identifier: Apache-2.0
// Ports with VLAN tags: what is theirs, and what leaves by them. The forwarded bytes are held
// against those of a balancer without tags.
#include "tests/packet/every_mode.h"
#include "tests/packet/nat_flow.h"
#include "tests/support/frame_difference.h"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Disposition;
using dataplane::Drop;
using dataplane::kEtherServiceVlan;
using dataplane::Mode;
using dataplane::Verdict;
using dataplane::VlanTags;

constexpr VlanTags kNone;
constexpr VlanTags kSingle = {0, 100};
constexpr VlanTags kDouble = {200, 100};
constexpr Endpoint kVlanNeighbor = {v4(192, 0, 2, 77), 0, {2, 0, 0, 0, 9, 9}};
constexpr Endpoint kVlanNeighbor6 = {v6(1, 77), 0, {2, 0, 0, 0, 9, 9}};

// The frame with these tags behind its MAC addresses.
Bytes tagged(Bytes frame, VlanTags tags) {
  Bytes between;
  const auto add = [&](std::uint8_t high, std::uint8_t low, std::uint16_t id) {
    between.insert(between.end(),
                   {high, low, static_cast<std::uint8_t>(id >> 8), static_cast<std::uint8_t>(id)});
  };
  if (tags.service() != 0) {
    add(0x88, 0xa8, tags.service());
  }
  if (tags.customer() != 0) {
    add(0x81, 0x00, tags.customer());
  }
  frame.insert(frame.begin() + 12, between.begin(), between.end());
  return frame;
}
Bytes tagged(const Packet& packet, VlanTags tags) { return tagged(packet.bytes(), tags); }

class TaggedAppliance : public Appliance {
 public:
  TaggedAppliance(const dataplane::GenerationSpec& spec, VlanTags wan, VlanTags lan)
      : Appliance(spec) {
    solo().set_neighborhood(lab_neighborhood({.wan = wan, .lan = lan}));
  }
};

class VlanIn : public ::testing::TestWithParam<Mode> {};

INSTANTIATE_TEST_SUITE_P(EveryMode, VlanIn, ::testing::ValuesIn(all_modes()), name_of_mode);

TEST_P(VlanIn, AFrameLeavesWithTheTagsOfItsEgressPortAndNoOthers) {
  const std::vector<Packet> packets = {tcp(kClient, kVip).syn().payload("to v4"),
                                       udp(kClient, kVip.at_port(53)).payload(7),
                                       tcp(kClient6, kVip6).syn().payload("to v6"),
                                       udp(kClient6, kVip6.at_port(53)).payload(8)};
  for (const VlanTags wan : {kNone, kSingle, kDouble}) {
    for (const VlanTags lan : {kNone, kSingle, kDouble, VlanTags(0, 7), VlanTags(200, 101)}) {
      Appliance plain(in_mode(GetParam()));
      TaggedAppliance appliance(in_mode(GetParam()), wan, lan);
      for (const Packet& packet : packets) {
        const Outcome expected = plain.send(packet);
        ASSERT_EQ(expected.verdict, Verdict::kForward);
        const Outcome outcome = appliance.send(tagged(packet, wan));
        ASSERT_EQ(outcome.verdict, Verdict::kForward);
        EXPECT_EQ(outcome.backend, expected.backend);
        EXPECT_EQ(outcome.port, kLan);
        expect_same(outcome.bytes, tagged(expected.bytes, lan));
      }
    }
  }
}

TEST_P(VlanIn, ThePriorityOfAFrameIsNotCarriedOn) {
  Appliance plain(in_mode(GetParam()));
  const Bytes expected = plain.send(tcp(kClient, kVip).syn()).bytes;
  TaggedAppliance appliance(in_mode(GetParam()), kSingle, kDouble);
  const Outcome tag = appliance.send(tcp(kClient, kVip).syn().vlan(0xe000 | 100));
  expect_same(tag.bytes, tagged(expected, kDouble));
  TaggedAppliance same(in_mode(GetParam()), kSingle, kSingle);
  expect_same(same.send(tcp(kClient, kVip).syn().vlan(0xe000 | 100)).bytes,
              tagged(expected, kSingle));
  Appliance other(in_mode(GetParam()));
  expect_same(other.send(tcp(kClient, kVip).syn().vlan(0xe000)).bytes, expected);
}

TEST_P(VlanIn, TagsAreNoPartOfTheMtu) {
  Appliance plain(in_mode(GetParam()));
  TaggedAppliance appliance(in_mode(GetParam()), kSingle, kDouble);
  std::size_t carried = 0;
  for (std::size_t size = 1380; size <= 1461; ++size) {
    const Packet packet = tcp(kClient, kVip).syn().payload(size);
    const Outcome expected = plain.send(packet);
    const Outcome outcome = appliance.send(tagged(packet, kSingle));
    EXPECT_EQ(outcome.reason, expected.reason) << size;
    carried += outcome.verdict == Verdict::kForward ? 1 : 0;
  }
  EXPECT_EQ(appliance.send(tagged(tcp(kClient, kVip).syn().payload(1461), kSingle)).reason,
            Drop::kMtu);
  EXPECT_GT(carried, 0U);
}

TEST(Vlan, ARepliesWayBackHasTheTagsOfTheClientsPort) {
  TaggedAppliance appliance(three_backends(Mode::kNat), kSingle, kDouble);
  const Outcome there = appliance.send(tagged(tcp(kClient, kVip).syn(), kSingle));
  ASSERT_EQ(there.verdict, Verdict::kForward);
  Outcome bare = there;
  bare.bytes.erase(bare.bytes.begin() + 12, bare.bytes.begin() + 20);
  const Translated flow = translated(bare);
  expect_same(there.bytes, tagged(tcp(flow.pool, flow.backend).syn().ttl(63), kDouble));
  const Packet answer = tcp(flow.backend, flow.pool).syn().ack().ttl(64).payload("yes");
  const Outcome back = appliance.send(tagged(answer, kDouble), kLan);
  ASSERT_EQ(back.verdict, Verdict::kForward);
  EXPECT_EQ(back.port, kWan);
  expect_same(back.bytes, tagged(tcp(kVip, kClient).syn().ack().ttl(63).payload("yes"), kSingle));
  EXPECT_EQ(appliance.send(answer, kLan).reason, Drop::kVlanUnknown);
}

// What does not carry exactly the port's tags.
std::vector<Packet> foreigners(const Packet& packet, VlanTags port) {
  std::vector<Packet> all = {Packet(packet).vlan(7),
                             Packet(packet).vlan(100, kEtherServiceVlan),
                             Packet(packet).vlan(100).vlan(100),
                             Packet(packet).vlan(100).vlan(200, kEtherServiceVlan),
                             Packet(packet).vlan(200).vlan(100),
                             Packet(packet).vlan(200, kEtherServiceVlan).vlan(101),
                             Packet(packet).vlan(201, kEtherServiceVlan).vlan(100),
                             Packet(packet).vlan(200, kEtherServiceVlan)};
  if (port.any()) {
    all.push_back(packet);
    all.push_back(Packet(packet).vlan(0));
    all.push_back(Packet(packet).vlan(0).vlan(0));
  }
  if (port != kSingle) {
    all.push_back(Packet(packet).vlan(100));
    all.push_back(Packet(packet).vlan(0).vlan(100));
  }
  if (port != kDouble) {
    all.push_back(Packet(packet).vlan(200, kEtherServiceVlan).vlan(100));
  }
  return all;
}

TEST(Vlan, OfAnotherIsDroppedForAVipAndElseTheKernels) {
  for (const VlanTags port : {kNone, kSingle, kDouble}) {
    TaggedAppliance appliance(three_backends(Mode::kNat), port, kNone);
    for (const Packet& to_vip : {tcp(kClient, kVip).syn(),
                                 udp(kClient6, kVip6.at_port(53)),
                                 echo_request(kClient, kVip),
                                 tcp(kClient, kVip).ttl(0),
                                 tcp(kClient, kPool.at_port(2000).at_mac(kOurMac))}) {
      for (const Packet& packet : foreigners(to_vip, port)) {
        EXPECT_EQ(appliance.send(packet).reason, Drop::kVlanUnknown);
      }
    }
    const Endpoint other = {v4(192, 0, 2, 9), 22, kOurMac};
    for (const Packet& to_other :
         {tcp(kClient, other).syn(),
          tcp(kClient, other).ttl(0),
          neighbor_solicitation(kVlanNeighbor6, solicited_nodes(kVip6.address), kVip6.address)}) {
      for (const Packet& packet : foreigners(to_other, port)) {
        const Outcome outcome = appliance.send(packet);
        EXPECT_EQ(outcome.verdict, Verdict::kKernel);
        expect_same(outcome.bytes, packet.bytes());
      }
    }
    EXPECT_EQ(appliance.stats().flows_inserted.get(), 0U);
    EXPECT_EQ(appliance.solo().worker().notices.learned_count, 0);
  }
}

TEST(Vlan, BehindAThirdTagIsTheKernels) {
  TaggedAppliance appliance(three_backends(Mode::kNat), kDouble, kNone);
  const Packet packet = tcp(kClient, kVip).syn().vlan(200, kEtherServiceVlan).vlan(100).vlan(0);
  EXPECT_EQ(appliance.send(packet).verdict, Verdict::kKernel);
}

TEST(Vlan, AnswersHaveTheTagsOfTheirQuestions) {
  for (const VlanTags port : {kSingle, kDouble}) {
    Appliance plain(three_backends(Mode::kNat));
    TaggedAppliance appliance(three_backends(Mode::kNat), port, kNone);
    const std::vector<Bytes> questions = {
        echo_request(kClient, kVip).payload("ping").bytes(),
        echo_request(kClient6, kVip6).payload("ping").bytes(),
        arp_request(kVlanNeighbor, kVip.address),
        neighbor_solicitation(kVlanNeighbor6, solicited_nodes(kVip6.address), kVip6.address)
            .bytes(),
        tcp(kClient, kVip).ack().bytes()};  // of no flow: a reset
    for (const Bytes& question : questions) {
      const Outcome expected = plain.send(question);
      ASSERT_EQ(expected.verdict, Verdict::kReply);
      const Outcome outcome = appliance.send(tagged(question, port));
      ASSERT_EQ(outcome.verdict, Verdict::kReply);
      EXPECT_EQ(outcome.port, kWan);
      expect_same(outcome.bytes, tagged(expected.bytes, port));
      EXPECT_EQ(appliance.solo().worker().notices.learned_count,
                plain.solo().worker().notices.learned_count);
    }
    EXPECT_EQ(appliance.send(arp_request(kVlanNeighbor, kVip.address)).verdict, Verdict::kKernel);
  }
}

TEST(Vlan, AnAnswerKeepsThePriorityOfItsQuestion) {
  TaggedAppliance appliance(three_backends(Mode::kNat), kSingle, kNone);
  const Outcome outcome = appliance.send(echo_request(kClient, kVip).vlan(0x6000 | 100));
  expect_same(outcome.bytes, echo_reply(kVip, kClient).vlan(0x6000 | 100).bytes());
  Bytes question = arp_request(kVlanNeighbor, kVip.address);
  const Bytes priority = {0x81, 0x00, 0xa0, 0x00};
  question.insert(question.begin() + 12, priority.begin(), priority.end());
  Appliance untagged(three_backends(Mode::kNat));
  EXPECT_EQ(untagged.send(question).verdict, Verdict::kReply) << "VLAN 0 is no VLAN";
}

TEST(Vlan, AResetOfAMembersFlowStaysInTheClientsVlan) {
  TaggedAppliance appliance(three_backends(Mode::kDsr), kDouble, kSingle);
  const Bytes segment = tagged(tcp(kClient, kVip).ack(), kDouble);
  const Outcome first = appliance.send(segment);
  appliance.set(first.backend, Disposition::kReset);
  const Outcome reset = appliance.send(segment);
  ASSERT_EQ(reset.verdict, Verdict::kReply);
  EXPECT_EQ(Bytes(reset.bytes.begin() + 12, reset.bytes.begin() + 22),
            (Bytes{0x88, 0xa8, 0, 200, 0x81, 0, 0, 100, 0x08, 0x00}));
  EXPECT_EQ(reset.bytes.at(22 + 20 + 13) & dataplane::kTcpRst, dataplane::kTcpRst);
}

TEST(Vlan, TagsNeedRoomBeforeTheFrame) {
  TaggedAppliance appliance(three_backends(Mode::kDsr), kNone, kSingle);
  for (const std::uint16_t head : {std::uint16_t{3}, std::uint16_t{4}}) {
    ExactBurst burst(tcp(kClient, kVip).syn().bytes(), {.head = head, .tail = 0, .beyond = 0});
    appliance.solo().run(*burst, 1'000'000);
    if (head < 4) {
      ASSERT_EQ(burst->verdict[0], Verdict::kDrop);
      EXPECT_EQ(burst->reason[0], Drop::kNoHeadroom);
    } else {
      EXPECT_EQ(burst->verdict[0], Verdict::kForward);
    }
  }
}

}  // namespace
}  // namespace holdfast::testing
