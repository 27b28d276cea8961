// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nat_table.h"

#include <random>
#include <unordered_map>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

TEST(NatIndex, BehavesLikeAMultimapUnderRandomUse) {
  std::vector<NatIndex::Bucket> buckets(NatIndex::buckets_for(4000));
  NatIndex index(buckets);
  std::unordered_map<std::uint32_t, std::uint64_t> model;
  std::mt19937_64 random(7);
  for (int step = 0; step < 100'000; ++step) {
    const auto record = static_cast<std::uint32_t>(random() % 4000);
    const auto found = model.find(record);
    if (found != model.end()) {
      const auto it_is = [&](std::uint32_t candidate) { return candidate == record; };
      ASSERT_EQ(index.find(found->second, it_is), record);
      index.erase(found->second, record);
      ASSERT_EQ(index.find(found->second, it_is), kNoRecord);
      model.erase(found);
    } else {
      const std::uint64_t hash = random();
      ASSERT_TRUE(index.insert(hash, record));
      model[record] = hash;
    }
  }
}

TEST(NatIndex, TellsWhenThereIsNoRoom) {
  std::vector<NatIndex::Bucket> buckets(2);
  NatIndex index(buckets);
  std::uint32_t inserted = 0;
  for (std::uint32_t record = 0; record < 40; ++record) {
    inserted += index.insert(std::uint64_t{record} << 32 | record, record) ? 1U : 0U;
  }
  EXPECT_EQ(inserted, 16U);
}

TEST(NatTable, HalfOpenRecordsGiveWayOldestFirst) {
  std::vector<NatRecord> records(8);
  std::vector<Address> vips(8);
  std::vector<NatIndex::Bucket> forward(2);
  std::vector<NatIndex::Bucket> reply(2);
  NatTable nat(records, vips, forward, reply);
  std::vector<std::uint32_t> taken;
  for (int i = 0; i < 4; ++i) {
    taken.push_back(nat.take());
    nat.record(taken.back()).state = FlowState::kHalfOpen;
    nat.begin_half_open(taken.back());
  }
  nat.begin_burst();
  EXPECT_EQ(nat.oldest_half_open(), taken[0]);
  nat.end_half_open(taken[0]);
  nat.record(taken[0]).state = FlowState::kEstablished;
  nat.give(taken[2]);
  EXPECT_EQ(nat.oldest_half_open(), taken[1]);
  nat.give(taken[1]);
  EXPECT_EQ(nat.oldest_half_open(), taken[3]);
  EXPECT_EQ(nat.half_open(), 1U);
  EXPECT_EQ(nat.used(), 2U);
  nat.rebuild_lists();
  EXPECT_EQ(nat.half_open(), 1U);
  EXPECT_EQ(nat.used(), 2U);
}

TEST(NatTable, AHalfOpenRecordOfThisBurstDoesNotGiveWay) {
  std::vector<NatRecord> records(8);
  std::vector<Address> vips(8);
  std::vector<NatIndex::Bucket> forward(2);
  std::vector<NatIndex::Bucket> reply(2);
  NatTable nat(records, vips, forward, reply);
  for (std::uint32_t i = 0; i < 3; ++i) {
    ASSERT_EQ(nat.take(), i);
    nat.record(i).state = FlowState::kHalfOpen;
    nat.begin_half_open(i);
  }
  nat.begin_burst();
  nat.renew_half_open(0);
  EXPECT_EQ(nat.oldest_half_open(), 1U);
  nat.renew_half_open(1);
  nat.renew_half_open(2);
  EXPECT_EQ(nat.oldest_half_open(), kNoRecord);
  nat.begin_burst();
  EXPECT_EQ(nat.oldest_half_open(), 0U);
}

TEST(NatTable, GivesOutEveryRecordOnce) {
  std::vector<NatRecord> records(3);
  std::vector<Address> vips(3);
  std::vector<NatIndex::Bucket> forward(2);
  std::vector<NatIndex::Bucket> reply(2);
  NatTable nat(records, vips, forward, reply);
  EXPECT_EQ(nat.take(), 0U);
  EXPECT_EQ(nat.take(), 1U);
  EXPECT_EQ(nat.take(), 2U);
  EXPECT_EQ(nat.take(), kNoRecord);
  nat.give(1);
  EXPECT_EQ(nat.take(), 1U);
}

struct Exchange {
  bool client;
  std::uint8_t flags;
  std::uint32_t sequence = 0xffffffff;  // so that numbers go round
  std::uint32_t acknowledgment = 0;
  std::uint32_t payload = 0;
};

NatRecord after(std::initializer_list<Exchange> packets) {
  NatRecord record;
  record.state = FlowState::kHalfOpen;
  record.client_side = SideState::kSyn;
  for (const Exchange& packet : packets) {
    const std::uint32_t control = (packet.flags & kTcpSyn) != 0 || (packet.flags & kTcpFin) != 0;
    const Segment segment{.sequence = packet.sequence,
                          .acknowledgment = packet.acknowledgment,
                          .length = packet.payload + control,
                          .flags = packet.flags};
    record.state == FlowState::kHalfOpen ? advance_handshake(record, packet.client, segment)
                                         : advance_tcp(record, packet.client, packet.flags);
    EXPECT_TRUE(plausible_handshake(record, Protocol::kTcp));
  }
  return record;
}

constexpr std::uint8_t kSynAck = kTcpSyn | kTcpAck;
constexpr std::uint8_t kFinAck = kTcpFin | kTcpAck;

bool stands(std::initializer_list<Exchange> packets) {
  const NatRecord record = after(packets);
  EXPECT_TRUE(record.state == FlowState::kHalfOpen || record.sequence_delta[0] == 0);
  return record.state == FlowState::kEstablished;
}

TEST(AdvanceHandshake, OnlyAnAcknowledgmentOfTheMembersSynCompletesIt) {
  const Exchange answer = {false, kSynAck, 700};
  EXPECT_TRUE(stands({answer, {true, kTcpAck, 1, 701}}));
  EXPECT_TRUE(stands({answer, {true, kTcpAck, 1, 701, 100}})) << "with data";
  EXPECT_TRUE(stands({answer, answer, {true, kTcpAck, 1, 701}})) << "sent again";
  for (const std::uint32_t wrong : {0U, 700U, 702U, 701U + 0x80000000U}) {
    EXPECT_FALSE(stands({answer, {true, kTcpAck, 1, wrong}})) << wrong;
  }
  EXPECT_FALSE(stands({{true, kTcpAck, 1, 701}, answer})) << "before there was one";
  EXPECT_FALSE(stands({answer, {true, kTcpRst, 1, 701}}));
  EXPECT_FALSE(stands({answer, {true, kTcpRst | kTcpAck, 1, 701}}));
  EXPECT_FALSE(stands({answer, {true, kTcpSyn, 1, 701}}));
  EXPECT_TRUE(stands({answer, {true, kTcpFin, 1, 0}, {true, kTcpAck, 1, 701}}))
      << "a forged FIN is no obstacle";
  EXPECT_EQ(after({answer, {true, kFinAck, 1, 701}}).state, FlowState::kClosing);
}

TEST(AdvanceHandshake, TheNewestSynOfTheMemberCounts) {
  const Exchange challenge = {false, kTcpAck, 5000, 9};
  const Exchange old = {false, kSynAck, 700};
  const Exchange fresh = {false, kSynAck, 90};
  EXPECT_TRUE(
      stands({challenge, {true, kTcpRst, 9}, {true, kTcpSyn}, fresh, {true, kTcpAck, 1, 91}}));
  EXPECT_FALSE(stands({challenge, {true, kTcpAck, 1, 5000}}));
  EXPECT_TRUE(stands({old, fresh, {true, kTcpAck, 1, 91}}));
  EXPECT_FALSE(stands({old, fresh, {true, kTcpAck, 1, 701}}));
  EXPECT_FALSE(stands({old, {false, kTcpRst}, {true, kTcpAck, 1, 701}}));
  EXPECT_TRUE(stands({old, {false, kTcpRst}, fresh, {true, kTcpAck, 1, 91}}));
  EXPECT_TRUE(stands({{false, kTcpSyn, 700}, {true, kSynAck, 1, 701}})) << "simultaneous open";
}

TEST(AdvanceHandshake, DataBeforeItsEndMayBeAcknowledgedWithTheSyn) {
  const Exchange answer = {false, kSynAck, 700};
  const Exchange data = {false, kTcpAck, 701, 0, 100};
  for (const std::uint32_t acknowledged : {701U, 750U, 801U}) {
    EXPECT_TRUE(stands({answer, data, {true, kTcpAck, 1, acknowledged}})) << acknowledged;
    EXPECT_TRUE(stands({answer, data, answer, {true, kTcpAck, 1, acknowledged}})) << acknowledged;
  }
  EXPECT_FALSE(stands({answer, data, {true, kTcpAck, 1, 802}}));
  // No window of a SYN has room for that.
  EXPECT_FALSE(
      stands({answer, {false, kTcpAck, 701 + 65'536, 0, 1}, {true, kTcpAck, 1, 702 + 65'536}}));
}

// Whether an answer with that acknowledgment is for the client, after the SYNs that it has sent.
bool is_for_the_client(std::initializer_list<Segment> syns,
                       std::uint32_t acknowledgment,
                       std::uint8_t flags = kSynAck) {
  NatRecord record;
  record.state = FlowState::kHalfOpen;
  bool first = true;
  for (const Segment& syn : syns) {
    first ? begin_handshake(record, syn) : advance_handshake(record, true, syn);
    first = false;
  }
  EXPECT_TRUE(plausible_handshake(record, Protocol::kTcp));
  return !answers_another(
      record, {.sequence = 9, .acknowledgment = acknowledgment, .length = 1, .flags = flags});
}

constexpr Segment syn_of(std::uint32_t sequence, std::uint32_t data = 0) {
  return {.sequence = sequence, .length = 1 + data, .flags = kTcpSyn};
}

TEST(AnswersAnother, AllButTheAcknowledgmentOfTheClientsSynDoes) {
  for (const std::uint32_t number : {0U, 700U, 0x7fffffffU, 0xfffffffeU}) {
    EXPECT_TRUE(is_for_the_client({syn_of(number)}, number + 1));
    EXPECT_TRUE(is_for_the_client({syn_of(number), syn_of(number)}, number + 1));
    EXPECT_TRUE(is_for_the_client({syn_of(number)}, number + 1, kTcpRst | kTcpAck));
    for (const std::uint32_t wrong : {number, number + 2, number + 0x80000001U}) {
      EXPECT_FALSE(is_for_the_client({syn_of(number)}, wrong));
      EXPECT_FALSE(is_for_the_client({syn_of(number)}, wrong, kTcpRst | kTcpAck));
      EXPECT_TRUE(is_for_the_client({syn_of(number)}, wrong, kTcpAck)) << "it answers no SYN";
      EXPECT_TRUE(is_for_the_client({syn_of(number)}, wrong, kTcpRst));
    }
  }
}

TEST(AnswersAnother, DataOfTheSynMayBeAcknowledgedOrNot) {
  for (const std::uint32_t acknowledged : {701U, 750U, 801U}) {
    EXPECT_TRUE(is_for_the_client({syn_of(700, 100)}, acknowledged));
    EXPECT_TRUE(is_for_the_client({syn_of(700, 100), syn_of(700)}, acknowledged)) << "sent again";
    EXPECT_TRUE(is_for_the_client({syn_of(700), syn_of(700, 100)}, acknowledged));
  }
  EXPECT_FALSE(is_for_the_client({syn_of(700, 100)}, 802));
  Segment fragment = syn_of(700, 8);
  fragment.first_fragment = true;
  EXPECT_TRUE(is_for_the_client({fragment}, 701 + 3000)) << "how much follows is not known";
  EXPECT_FALSE(is_for_the_client({fragment}, 702 + 65'535));
}

TEST(AnswersAnother, TheClientsNewestSynCountsUntilTheMemberHasAnswered) {
  EXPECT_TRUE(is_for_the_client({syn_of(700), syn_of(90)}, 91));
  EXPECT_FALSE(is_for_the_client({syn_of(700), syn_of(90)}, 701));
  NatRecord record;
  record.state = FlowState::kHalfOpen;
  begin_handshake(record, syn_of(700));
  advance_handshake(
      record, false, {.sequence = 50, .acknowledgment = 701, .length = 1, .flags = kSynAck});
  advance_handshake(record, true, syn_of(90));
  EXPECT_EQ(awaited_from(record), 51U) << "of the member's SYN";
}

TEST(AnswersAnother, NothingDoesWhereTheClientsNumberIsNotKnown) {
  NatRecord record;
  record.state = FlowState::kHalfOpen;
  record.client_side = SideState::kSyn;
  EXPECT_FALSE(answers_another(record, {.acknowledgment = 5, .length = 1, .flags = kSynAck}));
  advance_handshake(record, true, syn_of(700));
  EXPECT_TRUE(answers_another(record, {.acknowledgment = 5, .length = 1, .flags = kSynAck}));
}

TEST(AdvanceHandshake, ARefusedConnectionIsSoonOver) {
  const NatRecord refused = after({{false, kTcpRst | kTcpAck}});
  EXPECT_EQ(refused.state, FlowState::kHalfOpen);
  EXPECT_TRUE(member_is_over(refused));
  EXPECT_EQ(lifetime_of(refused, {}), kQuarantineClientFirst);
}

TEST(AdvanceTcp, WhatTheClientAloneSaysNeitherEndsAFlowSoonNorMakesRoomForAnother) {
  const TimeoutSpec timeouts;
  const Exchange answer = {false, kSynAck};
  const Exchange done = {true, kTcpAck};
  for (const std::uint8_t last : {kFinAck, kTcpFin, kTcpRst, kSynAck}) {
    const NatRecord record = after({answer, done, {true, last}, {true, kTcpRst}});
    EXPECT_FALSE(member_is_over(record));
    EXPECT_EQ(lifetime_of(record, timeouts), timeouts.closing);
  }
  // It comes back with a SYN, and the member takes it.
  const NatRecord again =
      after({answer, done, {true, kTcpFin}, {true, kTcpSyn}, answer, {true, kTcpAck}});
  EXPECT_EQ(again.state, FlowState::kEstablished);
}

TEST(AdvanceTcp, FollowsAConnectionFromHandshakeToQuarantine) {
  const TimeoutSpec timeouts;
  const std::uint8_t syn_ack = kSynAck;
  const std::uint8_t fin_ack = kFinAck;
  EXPECT_EQ(after({{false, syn_ack}}).state, FlowState::kHalfOpen);
  EXPECT_EQ(after({{false, syn_ack}, {true, kTcpAck}}).state, FlowState::kEstablished);
  const NatRecord half_closed = after({{false, syn_ack}, {true, kTcpAck}, {true, fin_ack}});
  EXPECT_EQ(half_closed.state, FlowState::kClosing);
  EXPECT_EQ(lifetime_of(half_closed, timeouts), timeouts.closing);
  const NatRecord client_first =
      after({{false, syn_ack}, {true, kTcpAck}, {true, fin_ack}, {false, fin_ack}});
  EXPECT_EQ(lifetime_of(client_first, timeouts), kQuarantineClientFirst);
  const NatRecord member_first =
      after({{false, syn_ack}, {true, kTcpAck}, {false, fin_ack}, {true, fin_ack}});
  EXPECT_EQ(lifetime_of(member_first, timeouts), kQuarantine);
  const NatRecord reset = after({{false, syn_ack}, {true, kTcpAck}, {false, kTcpRst}});
  EXPECT_EQ(reset.state, FlowState::kClosing);
  EXPECT_EQ(lifetime_of(reset, timeouts), kQuarantineClientFirst);
}

TEST(AdvanceTcp, TrafficAfterAResetTakesItBack) {
  const TimeoutSpec timeouts;
  const std::uint8_t syn_ack = kTcpSyn | kTcpAck;
  const std::uint8_t fin_ack = kTcpFin | kTcpAck;
  for (const bool client : {true, false}) {
    const NatRecord ignored = after({{false, syn_ack},
                                     {true, kTcpAck},
                                     {client, kTcpRst},
                                     {!client, kTcpAck},
                                     {client, kTcpAck}});
    EXPECT_EQ(ignored.state, FlowState::kEstablished);
    EXPECT_EQ(lifetime_of(ignored, timeouts), timeouts.established);
    const NatRecord taken =
        after({{false, syn_ack}, {true, kTcpAck}, {client, kTcpRst}, {!client, kTcpAck}});
    EXPECT_EQ(lifetime_of(taken, timeouts), client ? timeouts.closing : kQuarantineClientFirst);
    const NatRecord closed_later = after({{false, syn_ack},
                                          {true, kTcpAck},
                                          {client, kTcpRst},
                                          {client, fin_ack},
                                          {!client, fin_ack}});
    EXPECT_EQ(lifetime_of(closed_later, timeouts), client ? kQuarantineClientFirst : kQuarantine);
  }
}

TEST(PortBlock, EveryPortBelongsToTheWorkerWhoseBlockHoldsIt) {
  for (const std::uint32_t workers : {1U, 2U, 3U, 8U}) {
    for (std::uint32_t worker = 0; worker < workers; ++worker) {
      const PortBlock block = port_block(worker, workers);
      for (const std::uint32_t port :
           {std::uint32_t{block.first}, std::uint32_t{block.first} + block.count - 1}) {
        const Be16 wire = Be16::from_host(static_cast<std::uint16_t>(port));
        EXPECT_EQ(worker_of_pool_port(wire, workers), worker);
      }
    }
  }
  EXPECT_EQ(worker_of_pool_port(Be16::from_host(0), 4), 0U);
  EXPECT_EQ(worker_of_pool_port(Be16::from_host(65535), 5), 4U);
}

}  // namespace
}  // namespace holdfast::dataplane
