// SPDX-License-Identifier: Apache-2.0
// Maglev population.
#include "dataplane/maglev.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

namespace holdfast::dataplane {
namespace {

constexpr std::uint16_t kEmpty = 0xffff;

struct Walker {
  std::uint32_t position = 0;  // next slot of its permutation
  std::uint32_t skip = 1;
  std::uint32_t weight = 0;
  std::uint16_t index = 0;
};

// Absorbs a name into 64 bits under the key, eight bytes at a time.
std::uint64_t hash_name(const FlowHasher& hasher, std::string_view name, std::uint64_t domain) {
  std::uint64_t state = hasher.words(domain, name.size());
  for (std::size_t at = 0; at < name.size(); at += 8) {
    std::uint64_t chunk = 0;
    for (std::size_t i = 0; i < 8 && at + i < name.size(); ++i) {
      chunk |= std::uint64_t{static_cast<unsigned char>(name[at + i])} << (8 * i);
    }
    state = hasher.words(state, chunk);
  }
  return state;
}

std::vector<Walker> make_walkers(std::span<const MaglevMember> members,
                                 std::uint32_t slots,
                                 const FlowHasher& hasher) {
  std::vector<MaglevMember> sorted(members.begin(), members.end());
  std::ranges::sort(sorted, {}, &MaglevMember::key);
  std::vector<Walker> walkers;
  walkers.reserve(sorted.size());
  for (const MaglevMember& member : sorted) {
    if (member.weight != 0) {
      const std::uint64_t offset = hash_name(hasher, member.key, 1);
      const std::uint64_t skip = hash_name(hasher, member.key, 2);
      walkers.push_back({.position = static_cast<std::uint32_t>(offset % slots),
                         .skip = static_cast<std::uint32_t>(skip % (slots - 1) + 1),
                         .weight = member.weight,
                         .index = member.index});
    }
  }
  return walkers;
}

// Gives the walker its next free slot. Requires: one is left.
void take_slot(Walker& walker, std::vector<std::uint16_t>& table) {
  const auto slots = static_cast<std::uint32_t>(table.size());
  while (table[walker.position] != kEmpty) {
    walker.position += walker.skip;
    walker.position -= walker.position >= slots ? slots : 0;
  }
  table[walker.position] = walker.index;
}

// A walker's next turn, at time numerator / weight.
struct Turn {
  std::uint64_t numerator = 1;
  std::uint32_t walker = 0;
  std::uint32_t weight = 1;
};

// True when `left` comes after `right`: times compared as fractions, ties by walker.
bool later(const Turn& left, const Turn& right) {
  const std::uint64_t a = left.numerator * right.weight;
  const std::uint64_t b = right.numerator * left.weight;
  return a != b ? a > b : left.walker > right.walker;
}

void populate_weighted(std::vector<Walker>& walkers, std::vector<std::uint16_t>& table) {
  std::priority_queue<Turn, std::vector<Turn>, decltype(&later)> turns(&later);
  for (std::uint32_t i = 0; i < walkers.size(); ++i) {
    turns.push({.numerator = 1, .walker = i, .weight = walkers[i].weight});
  }
  for (std::size_t filled = 0; filled < table.size(); ++filled) {
    Turn turn = turns.top();
    turns.pop();
    take_slot(walkers[turn.walker], table);
    ++turn.numerator;
    turns.push(turn);
  }
}

void populate_equal(std::vector<Walker>& walkers, std::vector<std::uint16_t>& table) {
  for (std::size_t filled = 0; filled < table.size(); ++filled) {
    take_slot(walkers[filled % walkers.size()], table);
  }
}

}  // namespace

std::vector<std::uint16_t> build_maglev(std::span<const MaglevMember> members,
                                        std::uint32_t slots,
                                        const FlowHasher& hasher) {
  std::vector<Walker> walkers = make_walkers(members, slots, hasher);
  if (walkers.empty()) {
    return {};
  }
  std::vector<std::uint16_t> table(slots, kEmpty);
  const bool equal = std::ranges::all_of(
      walkers, [&](const Walker& walker) { return walker.weight == walkers.front().weight; });
  if (equal) {
    populate_equal(walkers, table);
  } else {
    populate_weighted(walkers, table);
  }
  return table;
}

TableChange compare_tables(std::span<const std::uint16_t> before,
                           std::span<const std::uint16_t> after) {
  if (before.size() != after.size()) {
    const auto all = static_cast<std::uint32_t>(std::max(before.size(), after.size()));
    return {.moved = all, .least = all};
  }
  TableChange change;
  std::unordered_map<std::uint16_t, std::int64_t> share;
  for (std::size_t i = 0; i < before.size(); ++i) {
    change.moved += before[i] != after[i] ? 1U : 0U;
    --share[before[i]];
    ++share[after[i]];
  }
  for (const auto& [member, difference] : share) {
    change.least += difference > 0 ? static_cast<std::uint32_t>(difference) : 0;
  }
  return change;
}

}  // namespace holdfast::dataplane
