// SPDX-License-Identifier: Apache-2.0
// Stage 4 of 7: known flows.
#include "dataplane/track.h"

#include "dataplane/affinity.h"
#include "dataplane/flow_keys.h"
#include "dataplane/flow_life.h"
#include "dataplane/reset.h"
#include "dataplane/segment.h"
#include "dataplane/worker_state.h"

#include <array>
#include <span>

namespace holdfast::dataplane {
namespace {

// A flow of a draining member for which a SYN begins a new connection must have been silent for so
// long: nobody who forges a FIN or a RST and a SYN moves one that is in use. A port is used again
// later than that, so that a client who comes again and again does not hold up a drain.
constexpr std::uint16_t kQuietSeconds = 5;

// What the SYN rule and the disposition make of an entry that was found.
enum class Found : std::uint8_t { kStays, kChooseAgain, kReset };

bool starts(const Burst& b, Slot i) { return b.is_syn(i) && b.piece[i] != Piece::kLater; }

// Whether no packet of the flow goes to a member that is down.
bool leaves(const Burst& b, Slot i, Disposition disposition) {
  return disposition == Disposition::kRehash ||
         (disposition == Disposition::kRehashDatagrams && !b.is_tcp(i));
}

[[gnu::noinline]] Found judge(const Burst& b, Slot i, FlowState entry, Disposition disposition) {
  if (disposition == Disposition::kReset) {
    return b.is_tcp(i) && !starts(b, i) ? Found::kReset : Found::kChooseAgain;
  }
  if (leaves(b, i, disposition)) {
    return Found::kChooseAgain;
  }
  if (!starts(b, i)) {
    return Found::kStays;
  }
  const bool takes_new = disposition == Disposition::kNew;
  switch (entry) {
    case FlowState::kEstablished:
      return takes_new || disposition == Disposition::kKeep ? Found::kStays : Found::kChooseAgain;
    case FlowState::kClosing:
    case FlowState::kDoubtful:
    case FlowState::kHalfOpen:
    case FlowState::kUnproven:
    case FlowState::kUnprovenEnd:
      return takes_new ? Found::kStays : Found::kChooseAgain;
    case FlowState::kUdp:
    case FlowState::kFree:
    case FlowState::kAffinity:
      break;
  }
  return Found::kStays;
}

// Whether a flow of a member that is being reset goes on for now. A datagram and a SYN have nothing
// to wait for. `hash` is that of the client's packets.
bool waits_for_turn(
    const Burst& b, Slot i, const ResetSpread& resets, MemberId member, std::uint64_t hash) {
  return b.is_tcp(i) && !starts(b, i) && !resets.has_turn(member, hash);
}

// Neither the SYN rule nor a member that flows have to leave: most packets ask no further.
bool goes_on(const Burst& b, Slot i, Disposition disposition) {
  return disposition < Disposition::kReset && !starts(b, i);
}

// Whether a source is to come back to that member. What is about to be reset by order says nothing.
bool is_worth_remembering(MemberId id, const CompiledService& service, const Generation& of) {
  const MemberForward* member = service.affinity.seconds == 0 ? nullptr : of.member(id);
  return member != nullptr && !member->copy;
}

// The flow has shown itself with this packet: from now on its source is remembered.
[[gnu::noinline]] void remember(
    Burst& b, Slot i, const Generation& generation, WorkerState& state, Stamp now) {
  const CompiledService& service = generation.service(b.service[i]);
  if (is_worth_remembering(b.member[i], service, generation)) {
    remember_affinity(b.key[i].source, service, b.member[i], generation, state, now);
  }
}

// Why a packet that is to choose again leaves its flow's member.
MoveCause why_left(const Burst& b, Slot i, Disposition disposition) {
  if (starts(b, i)) {
    return MoveCause::kReopened;
  }
  return disposition == Disposition::kReset ? MoveCause::kReset : MoveCause::kDown;
}

// Answers for a flow that was `member`'s and is over.
bool reset_flow(Burst& b, Slot i, MemberId member, WorkerState& state) {
  answer_with_reset(b, i, Drop::kMemberReset, state.stats);
  state.moves[member.index].reset.add(b.verdict[i] == Verdict::kReply ? 1 : 0);
  return false;
}

// What a SYN on an entry, or any packet towards a member that flows leave, leads to. True: the
// packet is of the flow, or of a new one, and then without `entry`.
template <typename Table, typename Entry>
[[gnu::noinline]] bool judge_entry(
    Burst& b, Slot i, Table& table, Entry*& entry, WorkerState& state, Stamp now) {
  const MemberId member{entry->member, entry->epoch};
  const Disposition disposition = state.dispositions.get(member);
  const bool in_use = entry->state != FlowState::kHalfOpen && disposition == Disposition::kKeep &&
                      age_of(entry->stamp, now) < kQuietSeconds;
  if (disposition == Disposition::kReset && waits_for_turn(b, i, state.resets, member, b.hash[i])) {
    return true;
  }
  const Found found = in_use ? Found::kStays : judge(b, i, entry->state, disposition);
  if (found == Found::kStays) {
    return true;
  }
  end_flow(state, table, *entry);
  entry = nullptr;
  if (found == Found::kReset) {
    return reset_flow(b, i, member, state);
  }
  state.stats.flows_rechosen.add(1);
  b.leave(i, member, why_left(b, i, disposition));
  return true;
}

// One slot against a flow table. False: the slot has a verdict.
template <typename Table>
[[gnu::always_inline]] inline bool track_entry(
    Burst& b, Slot i, Table& table, const Generation& generation, WorkerState& state, Stamp now) {
  auto* entry = table.find(b.hash[i], b.key[i], b.binding[i]);
  if (entry == nullptr) {
    return true;
  }
  const MemberId member{entry->member, entry->epoch};
  if (expired(*entry, generation, now) || generation.member(member) == nullptr) [[unlikely]] {
    end_flow(state, table, *entry);
    return true;
  }
  if (!goes_on(b, i, state.dispositions.get(member))) [[unlikely]] {
    if (!judge_entry(b, i, table, entry, state, now)) {
      return false;
    }
    if (entry == nullptr) {
      return true;
    }
  }
  b.known[i] = true;
  b.member[i] = member;
  entry->stamp = now;
  if (b.piece[i] != Piece::kLater) [[likely]] {
    const FlowState before = entry->state;
    const FlowState after = next_state(before, event_of(b.key[i].protocol, b.tcp_flags[i]));
    if (after != before) [[unlikely]] {
      table.set_state(*entry, after);
      if (proved(before, after)) {
        remember(b, i, generation, state, now);  // last: it may move the entry
      }
    }
  }
  return true;
}

// As remember(), of a translated flow, which a packet of either side may prove.
void remember_client(const NatRecord& record,
                     const Generation& generation,
                     WorkerState& state,
                     Stamp now) {
  const BindingForward* binding = generation.binding(record.binding);
  if (binding == nullptr || binding->service == kNoService) {
    return;
  }
  const CompiledService& service = generation.service(binding->service);
  const MemberId member{record.member, record.epoch};
  if (is_worth_remembering(member, service, generation)) {
    remember_affinity(record.client, service, member, generation, state, now);
  }
}

// Of a handshake, as the member's answer to this client; answers_another() has left out others.
bool refuses(const Burst& b, Slot i) {
  return b.direction[i] == Direction::kToClient && (b.tcp_flags[i] & kTcpRst) != 0;
}

// Advances a record by one packet.
[[gnu::noinline]] void advance(Burst& b,
                               Slot i,
                               const Generation& generation,
                               WorkerState& state,
                               std::uint32_t index,
                               Stamp now) {
  NatTable& nat = state.tables.nat;
  NatRecord& record = nat.record(index);
  const bool was_half_open = record.state == FlowState::kHalfOpen;
  if (b.piece[i] == Piece::kLater) [[unlikely]] {
    // The first fragment has said everything.
  } else if (b.is_tcp(i)) {
    const bool from_client = b.direction[i] == Direction::kToMember;
    was_half_open ? advance_handshake(record, from_client, segment_of(b, i))
                  : advance_tcp(record, from_client, b.tcp_flags[i]);
    if (was_half_open && refuses(b, i)) {
      note_refusal(state, {record.member, record.epoch});
    }
  } else if (b.direction[i] == Direction::kToClient) {
    record.state = FlowState::kUdp;
  }
  if (was_half_open) {
    record.state == FlowState::kHalfOpen ? nat.renew_half_open(index) : nat.end_half_open(index);
    if (proved(FlowState::kHalfOpen, record.state)) {
      remember_client(record, generation, state, now);
    }
  }
  if (!record.ended && finished(record)) {
    record.ended = 1;
    count_end(state, {record.member, record.epoch});
  }
  record.stamp = now;
}

// The packet belongs to this record.
[[gnu::always_inline]] inline void follow(Burst& b,
                                          Slot i,
                                          const Generation& generation,
                                          WorkerState& state,
                                          std::uint32_t index,
                                          Stamp now) {
  NatRecord& record = state.tables.nat.record(index);
  if (is_steady(record, b.direction[i] == Direction::kToMember) && b.is_tcp(i) &&
      (b.tcp_flags[i] & (kTcpSyn | kTcpFin | kTcpRst)) == 0) [[likely]] {
    record.stamp = now;
  } else if (!given_up(record)) {
    advance(b, i, generation, state, index, now);
  }
  b.known[i] = true;
  b.record[i] = index;
  b.member[i] = {record.member, record.epoch};
}

// Gives a record up and answers for it; for one that was over already without counting it again.
[[gnu::noinline]] bool reset_nat_flow(Burst& b,
                                      Slot i,
                                      const Generation& generation,
                                      WorkerState& state,
                                      std::uint32_t index,
                                      Stamp now) {
  const NatRecord& record = state.tables.nat.record(index);
  const bool was_over = record.ended != 0;
  give_up_nat_flow(state, generation, index, now);
  return was_over ? answer_with_reset(b, i, Drop::kMemberReset, state.stats)
                  : reset_flow(b, i, {record.member, record.epoch}, state);
}

// What a SYN finds: a flow that the client alone has closed still stands, for its member at least.
FlowState state_for_syn(const NatRecord& record) {
  return record.state == FlowState::kClosing && !member_is_over(record) ? FlowState::kEstablished
                                                                        : record.state;
}

// What a SYN on a record, or any packet towards a member that flows leave, leads to.
[[gnu::noinline]] bool begin_or_reset(Burst& b,
                                      Slot i,
                                      const Generation& generation,
                                      WorkerState& state,
                                      std::uint32_t index,
                                      Stamp now) {
  const NatRecord& record = state.tables.nat.record(index);
  const MemberId member{record.member, record.epoch};
  const Disposition disposition = state.dispositions.get(member);
  if (disposition == Disposition::kReset && waits_for_turn(b, i, state.resets, member, b.hash[i])) {
    follow(b, i, generation, state, index, now);
    return true;
  }
  switch (judge(b, i, state_for_syn(record), disposition)) {
    case Found::kReset:
      return reset_nat_flow(b, i, generation, state, index, now);
    case Found::kChooseAgain:
      state.stats.flows_rechosen.add(1);
      b.leave(i, member, why_left(b, i, disposition));
      give_up_nat_flow(state, generation, index, now);
      return true;
    case Found::kStays:
      break;
  }
  if (starts(b, i) && member_is_over(record)) {
    // A new connection on the old 5-tuple: it gets an endpoint of its own, since the member may
    // still hold the old one in TIME_WAIT; the old record serves late replies until it ends. As
    // long as the member is not over, the SYN goes to it as it is: should it hold the connection,
    // it challenges the client (RFC 5961 §4), so that a forged SYN moves nothing; should it not, it
    // answers as to any SYN.
    detach_nat_flow(state, generation, index);
    return true;
  }
  follow(b, i, generation, state, index, now);
  return true;
}

[[gnu::always_inline]] inline bool track_client(
    Burst& b, Slot i, const Generation& generation, WorkerState& state, Stamp now) {
  NatTable& nat = state.tables.nat;
  const FlowKey& key = b.key[i];
  const std::uint32_t index = nat.forward().find(b.hash[i], [&](std::uint32_t candidate) {
    const NatRecord& record = nat.record(candidate);
    return record.binding == b.binding[i] && record.client_port == key.source_port &&
           record.service_port == key.destination_port && record.client == key.source &&
           (!b.prefixed[i] || nat.vip(candidate) == key.destination);
  });
  if (index == kNoRecord) {
    return true;
  }
  const NatRecord& record = nat.record(index);
  const MemberId member{record.member, record.epoch};
  if (expired(record, generation, now) || generation.member(member) == nullptr) [[unlikely]] {
    end_nat_flow(state, generation, index);
    return true;
  }
  const Disposition disposition = state.dispositions.get(member);
  if (goes_on(b, i, disposition)) [[likely]] {
    follow(b, i, generation, state, index, now);
    return true;
  }
  return begin_or_reset(b, i, generation, state, index, now);
}

// The member's answer to who had the endpoint before: half-open flows give theirs up at once when
// the pool ends, and the member has not heard of it.
[[gnu::noinline]] bool is_of_another(const Burst& b, Slot i, const NatRecord& record) {
  return b.is_tcp(i) && b.piece[i] != Piece::kLater && answers_another(record, segment_of(b, i));
}

[[gnu::noinline]] bool has_turn(const Generation& generation,
                                const WorkerState& state,
                                std::uint32_t index) {
  const NatRecord& record = state.tables.nat.record(index);
  const auto key = client_key_of(state.tables.nat, index, generation);
  return !key || state.resets.has_turn({record.member, record.epoch}, generation.hasher()(*key));
}

bool is_reset_now(const Generation& generation, const WorkerState& state, std::uint32_t index) {
  const NatRecord& record = state.tables.nat.record(index);
  return state.dispositions.get({record.member, record.epoch}) == Disposition::kReset &&
         has_turn(generation, state, index);
}

[[gnu::always_inline]] inline bool track_member(
    Burst& b, Slot i, const Generation& generation, WorkerState& state, Stamp now) {
  const NatTable& nat = state.tables.nat;
  const std::uint32_t index = find_reply(nat, generation, b.hash[i], b.key[i]);
  if (index == kNoRecord || expired(nat.record(index), generation, now)) {
    return b.drop(i, Drop::kNoNatFlow);
  }
  const NatRecord& record = nat.record(index);
  // A flow that was given up is over for its member too, should it still live.
  if (b.is_tcp(i) && (given_up(record) || is_reset_now(generation, state, index))) {
    return reset_nat_flow(b, i, generation, state, index, now);
  }
  if (record.state == FlowState::kHalfOpen && is_of_another(b, i, record)) [[unlikely]] {
    return b.drop(i, Drop::kNoNatFlow);
  }
  follow(b, i, generation, state, index, now);
  b.binding[i] = nat.record(index).binding;
  return true;
}

const NatIndex& index_of(const Burst& b, Slot i, const NatTable& nat) {
  return b.direction[i] == Direction::kToClient ? nat.reply() : nat.forward();
}

// So few flows stay in the second-level cache: there the look for what to prefetch costs more than
// the misses.
constexpr std::size_t kCachedFlows = 4096;

// In rounds, so that the misses of a burst overlap in each: a flow stands in the second bucket only
// if it is not in the first, and a record is found by way of its index.
void prefetch(const Burst& b, WorkerTables& tables) {
  for (const Slot i : b.live_slots()) {
    if (b.translated[i]) {
      index_of(b, i, tables.nat).prefetch(b.hash[i]);
    } else {
      tables.with_table(b.key[i].source.is_v4(), b.prefixed[i], [&](const auto& table) {
        table.prefetch(b.hash[i]);
      });
    }
  }
  if (tables.v4.used() + tables.v6.used() + tables.wide.used() + tables.nat.used() <=
      kCachedFlows) {
    return;
  }
  std::array<Slot, kBurstSize> elsewhere;
  std::size_t count = 0;
  for (const Slot i : b.live_slots()) {
    if (!b.translated[i]) {
      tables.with_table(b.key[i].source.is_v4(), b.prefixed[i], [&](const auto& table) {
        table.prefetch_rest(b.hash[i], b.key[i], b.binding[i]);
      });
    } else if (const std::uint32_t record = index_of(b, i, tables.nat).near_candidate(b.hash[i]);
               record != kNoRecord) {
      tables.nat.prefetch(record);
    } else {
      index_of(b, i, tables.nat).prefetch_far(b.hash[i]);
      elsewhere[count++] = i;
    }
  }
  for (const Slot i : std::span(elsewhere).first(count)) {
    const std::uint32_t record = index_of(b, i, tables.nat).far_candidate(b.hash[i]);
    if (record != kNoRecord) {
      tables.nat.prefetch(record);
    }
  }
}

[[gnu::always_inline]] inline bool track_untranslated(
    Burst& b, Slot i, const Generation& generation, WorkerState& state, Stamp now) {
  return state.tables.with_table(b.key[i].source.is_v4(), b.prefixed[i], [&](auto& table) {
    return track_entry(b, i, table, generation, state, now);
  });
}

// What a packet of a flow finds, or not; the rest of it is for few packets, and calls.
[[gnu::always_inline]] inline bool track_one(
    Burst& b, Slot i, const Generation& generation, WorkerState& state, Stamp now) {
  if (b.direction[i] == Direction::kToClient) {
    return track_member(b, i, generation, state, now);
  }
  return b.translated[i] ? track_client(b, i, generation, state, now)
                         : track_untranslated(b, i, generation, state, now);
}

// After a change of a service's mode its older flows stand in the tables of the other mode.
[[gnu::noinline]] bool track_in_other_mode(
    Burst& b, Slot i, const Generation& generation, WorkerState& state, Stamp now) {
  const std::uint16_t binding = b.binding[i];
  if (b.translated[i]) {
    return state.binding_entries[binding].get() == state.binding_records[binding] ||
           track_untranslated(b, i, generation, state, now);
  }
  return state.binding_records[binding] == 0 || track_client(b, i, generation, state, now);
}

}  // namespace

bool track_slot(Burst& b, Slot i, const Generation& generation, WorkerState& state, Stamp now) {
  return track_one(b, i, generation, state, now) &&
         (b.known[i] || track_in_other_mode(b, i, generation, state, now));
}

void track(Burst& b, const Generation& generation, WorkerState& state, std::uint64_t now_ms) {
  const Stamp now = stamp_of(now_ms);
  state.tables.nat.begin_burst();
  state.resets.now_ms = now_ms;
  prefetch(b, state.tables);
  b.filter([&](Slot i) {
    return track_one(b, i, generation, state, now) &&
           (b.known[i] || track_in_other_mode(b, i, generation, state, now));
  });
}

}  // namespace holdfast::dataplane
