// SPDX-License-Identifier: Apache-2.0
// Stage 5 of 7: new flows.
#include "dataplane/select.h"

#include "dataplane/affinity.h"
#include "dataplane/choose.h"
#include "dataplane/flow_life.h"
#include "dataplane/nat_open.h"
#include "dataplane/reset.h"
#include "dataplane/track.h"
#include "dataplane/worker_state.h"

#include <array>
#include <optional>

namespace holdfast::dataplane {
namespace {

// While half-open entries have their whole share, a segment without entry most likely completes a
// handshake whose SYN got none: it goes where that went, by the table now in force.
Standing standing_of(const Burst& b, Slot i, WorkerTables& tables) {
  const bool middle = b.is_tcp(i) && !b.is_syn(i) &&
                      !tables.with_table(b.key[i].source.is_v4(),
                                         b.prefixed[i],
                                         [](const auto& table) { return table.half_open_full(); });
  return middle ? Standing::kMiddle : Standing::kBegins;
}

std::optional<Choice> choose(const Burst& b,
                             Slot i,
                             Standing standing,
                             const Generation& generation,
                             WorkerState& state,
                             std::uint64_t now_ms) {
  const CompiledService& service = generation.service(b.service[i]);
  if (service.affinity.seconds != 0) [[unlikely]] {
    if (const auto choice = choose_by_affinity(b, i, generation, state, stamp_of(now_ms))) {
      return choice;
    }
  }
  const std::uint64_t hash = selection_hash(generation, service, b.key[i], b.hash[i]);
  const bool v4 = b.key[i].source.is_v4();
  if (standing != Standing::kBegins) {
    const auto choice =
        choose_for_unknown(generation, service, state.availability(), v4, hash, now_ms);
    if (!choice || choice->by != ChosenBy::kPrevious ||
        (standing == Standing::kMiddle &&
         generation.member(choice->member)->mode == service.mode)) {
      return choice;
    }
  }
  return choose_member(generation, service, state.availability(), v4, hash);
}

// False when there is no room: the flow stays untracked.
template <typename Table>
bool insert(Burst& b,
            Slot i,
            Table& table,
            const Generation& generation,
            WorkerState& state,
            std::uint64_t now_ms) {
  const Stamp now = stamp_of(now_ms);
  const FlowState first = next_state(FlowState::kFree, event_of(b.key[i].protocol, b.tcp_flags[i]));
  auto* entry = make_room(state, table, b.hash[i], first, generation, now);
  if (entry == nullptr) {
    state.stats.flows_untracked.add(1);
    return false;
  }
  entry->set_key(b.key[i], b.binding[i]);
  entry->member = b.member[i].index;
  entry->epoch = b.member[i].epoch;
  entry->stamp = now;
  table.set_state(*entry, first);
  count_begin(state, b.member[i], b.binding[i], now_ms);
  return true;
}

void follow(Burst& b, Slot i, const Choice& choice) {
  b.member[i] = choice.member;
  b.chosen_slot[i] = choice.slot;
}

// What choose_member() looks at first, and finds for nearly every new flow: the slot's own member.
// False: nothing is chosen yet. Of its own, since a Choice is written in small parts, and each copy
// of it waits for them.
bool follow_own_slot(Burst& b, Slot i, const Generation& generation, const WorkerState& state) {
  const CompiledService& service = generation.service(b.service[i]);
  const TierTable* const table = first_table(service.tiers, b.key[i].source.is_v4());
  if (table == nullptr || service.affinity.seconds != 0) [[unlikely]] {
    return false;
  }
  const std::uint64_t hash = selection_hash(generation, service, b.key[i], b.hash[i]);
  const OwnSlot own = own_slot(*table, generation, hash);
  if (state.dispositions.get(own.member) != Disposition::kNew) [[unlikely]] {
    return false;
  }
  b.member[i] = own.member;
  b.chosen_slot[i] = own.slot;
  return true;
}

bool follow_hash(Burst& b, Slot i, const Generation& generation, WorkerState& state) {
  const CompiledService& service = generation.service(b.service[i]);
  const std::uint64_t hash = selection_hash(generation, service, b.key[i], b.hash[i]);
  const auto by_hash =
      choose_member(generation, service, state.availability(), b.key[i].source.is_v4(), hash);
  if (!by_hash) {
    return b.drop(i, Drop::kNoBackend);
  }
  follow(b, i, *by_hash);
  return true;
}

// Whether it is only the share of unproven flows that leaves this one without an entry. Its SYN had
// room, or came before this process: then the previous table is followed without one.
bool lacks_share_only(const Burst& b, Slot i, const WorkerTables& tables) {
  return tables.with_table(b.key[i].source.is_v4(), b.prefixed[i], [&](const auto& table) {
    return table.unproven_full() && table.has_place(b.hash[i]);
  });
}

// An entry for what was chosen. Without room for one the hash decides for the whole flow (P9), so
// the previous table, which its SYN did not follow, is not followed either.
bool enter_flow(Burst& b,
                Slot i,
                ChosenBy by,
                const Generation& generation,
                WorkerState& state,
                std::uint64_t now_ms) {
  const bool v4 = b.key[i].source.is_v4();
  if (b.piece[i] == Piece::kLater) [[unlikely]] {
    return by != ChosenBy::kPrevious || follow_hash(b, i, generation, state);
  }
  const bool entered = state.tables.with_table(v4, b.prefixed[i], [&](auto& table) {
    return insert(b, i, table, generation, state, now_ms);
  });
  if (by != ChosenBy::kPrevious) {
    return true;
  }
  if (entered || lacks_share_only(b, i, state.tables)) {
    state.stats.follow_previous.add(1);
    return true;
  }
  return follow_hash(b, i, generation, state);
}

// Counts a flow that goes on at another member than it had, or than the table it began by says. A
// source's record is right about where its flows live, whatever the tables say.
[[gnu::noinline]] void count_move(const Burst& b,
                                  Slot i,
                                  ChosenBy by,
                                  const Generation& generation,
                                  WorkerState& state,
                                  std::uint64_t now_ms) {
  const MemberId to = b.member[i];
  if (b.has_left(i)) {
    const MemberForward* const left = generation.member(b.left_member[i]);
    const MemberForward* const chosen = generation.member(to);
    const bool same = left != nullptr && chosen != nullptr && left->is_copy_of_same(*chosen);
    const bool moved = b.left_member[i] != to && !same;
    MemberMoves& moves = state.moves[b.left_member[i].index];
    moves.moved[static_cast<std::size_t>(b.left_why[i])].add(moved ? 1 : 0);
    return;
  }
  if (by == ChosenBy::kAffinity || b.piece[i] == Piece::kLater) {
    return;
  }
  const CompiledService& service = generation.service(b.service[i]);
  const std::uint64_t hash = selection_hash(generation, service, b.key[i], b.hash[i]);
  const auto home = home_of(generation, service, b.key[i].source.is_v4(), hash, now_ms);
  state.moves[to.index].untracked.add(home != to ? 1 : 0);
}

bool select_one(
    Burst& b, Slot i, const Generation& generation, WorkerState& state, std::uint64_t now_ms) {
  if (generation.is_ours(b.key[i].source)) {
    return b.drop(i, Drop::kVipSource);
  }
  const bool nat = b.translated[i];
  if (nat && b.piece[i] == Piece::kLater) [[unlikely]] {
    return b.drop(i, Drop::kNoFlow);
  }
  if (nat && b.is_tcp(i) && !b.is_syn(i)) {
    return answer_with_reset(b, i, Drop::kNoFlow, state.stats);
  }
  const Standing standing = standing_of(b, i, state.tables);
  ChosenBy by = ChosenBy::kSlot;
  if (standing != Standing::kBegins || !follow_own_slot(b, i, generation, state)) {
    const std::optional<Choice> choice = choose(b, i, standing, generation, state, now_ms);
    if (!choice) {
      return b.drop(i, Drop::kNoBackend);
    }
    follow(b, i, *choice);
    by = choice->by;
  }
  const bool goes_on = nat ? open_nat_flow(b, i, generation, state, now_ms)
                           : enter_flow(b, i, by, generation, state, now_ms);
  if ((standing == Standing::kMiddle || b.has_left(i)) && goes_on) [[unlikely]] {
    count_move(b, i, by, generation, state, now_ms);
  }
  return goes_on;
}

// The flows that earlier frames of a burst may have opened, by their hashes: a frame whose hash is
// among them asks the tables again, others need not. In a burst of new flows one in 66 asks in
// vain.
class OpenedFlows {
 public:
  [[nodiscard]] bool may_have(std::uint64_t hash) const {
    return any_ && (bits_[word_of(hash)] & bit_of(hash)) != 0;
  }
  void add(std::uint64_t hash) {
    if (!any_) {
      bits_.fill(0);  // most bursts open none
      any_ = true;
    }
    bits_[word_of(hash)] |= bit_of(hash);
  }

 private:
  static constexpr std::size_t kWords = 16;
  static std::size_t word_of(std::uint64_t hash) { return (hash >> 6) % kWords; }
  static std::uint64_t bit_of(std::uint64_t hash) { return std::uint64_t{1} << (hash & 63); }

  bool any_ = false;
  std::array<std::uint64_t, kWords> bits_;
};

}  // namespace

// Of its own, so that choose() stays a part of select: a call costs every new flow 6 to 8 ns.
std::optional<Choice> choose_for_packet(const Burst& b,
                                        Slot i,
                                        Standing standing,
                                        const Generation& generation,
                                        WorkerState& state,
                                        std::uint64_t now_ms) {
  return choose(b, i, standing, generation, state, now_ms);
}

void select(Burst& b, const Generation& generation, WorkerState& state, std::uint64_t now_ms) {
  OpenedFlows opened;
  b.filter([&](Slot i) {
    if (b.known[i]) {
      return true;
    }
    if (opened.may_have(b.hash[i])) {
      if (!track_slot(b, i, generation, state, stamp_of(now_ms))) {
        return false;
      }
      if (b.known[i]) {
        return true;
      }
    }
    opened.add(b.hash[i]);
    return select_one(b, i, generation, state, now_ms);
  });
}

}  // namespace holdfast::dataplane
