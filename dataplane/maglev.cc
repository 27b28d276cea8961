// SPDX-License-Identifier: Apache-2.0
// Maglev population.
#include "dataplane/maglev.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace holdfast::dataplane {
namespace {

struct Walker {
  std::uint32_t position = 0;  // next slot of its permutation
  std::uint32_t skip = 1;
  std::uint32_t steps_per_slot = 0;  // the inverse of skip modulo the slots; 0: not yet needed
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

// Of a number modulo a prime, by Fermat's theorem. Requires: 0 < value < prime.
std::uint32_t inverse(std::uint32_t value, std::uint32_t prime) {
  std::uint64_t result = 1;
  std::uint64_t power = value;
  for (std::uint32_t exponent = prime - 2; exponent != 0; exponent >>= 1) {
    if ((exponent & 1) != 0) {
      result = result * power % prime;
    }
    power = power * power % prime;
  }
  return static_cast<std::uint32_t>(result);
}

// Looking for a free slot step by step costs slots / free ones: below so few it is cheaper to ask
// of each free slot how far it is away.
constexpr std::size_t kFewFree = 128;

// The table while it is filled, and which of its slots are free: as bits, since most looks are at
// taken ones and 8 KiB stay in the first-level cache where 128 KiB of table do not.
class Filling {
 public:
  explicit Filling(std::uint32_t slots)
      : slots_(slots), taken_((slots + 63) / 64), table_(slots), free_count_(slots) {}

  // Gives the walker its next free slot. Requires: one is left.
  void take_slot(Walker& walker) {
    if (free_count_ > kFewFree) {
      while (is_taken(walker.position)) {
        walker.position += walker.skip;
        walker.position -= walker.position >= slots_ ? slots_ : 0;
      }
    } else {
      walker.position = nearest_free(walker);
    }
    taken_[walker.position / 64] |= std::uint64_t{1} << (walker.position % 64);
    table_[walker.position] = walker.index;
    if (--free_count_ == kFewFree) {
      list_free();
    }
  }

  std::vector<std::uint16_t> table() && { return std::move(table_); }

 private:
  [[nodiscard]] bool is_taken(std::uint32_t slot) const {
    return ((taken_[slot / 64] >> (slot % 64)) & 1) != 0;
  }

  void list_free() {
    for (std::uint32_t slot = 0; slot < slots_; ++slot) {
      if (!is_taken(slot)) {
        free_.push_back(slot);
      }
    }
  }

  // The free slot that the walker comes to first, taken out of the list.
  std::uint32_t nearest_free(Walker& walker) {
    if (free_.empty()) {
      list_free();  // a table that never had more
    }
    if (walker.steps_per_slot == 0) {
      walker.steps_per_slot = inverse(walker.skip, slots_);
    }
    const auto steps_to = [&](std::uint32_t slot) {
      const std::uint64_t distance =
          slot >= walker.position ? slot - walker.position : slot + slots_ - walker.position;
      return distance * walker.steps_per_slot % slots_;
    };
    const auto nearest = std::ranges::min_element(free_, {}, steps_to);
    const std::uint32_t slot = *nearest;
    *nearest = free_.back();
    free_.pop_back();
    return slot;
  }

  std::uint32_t slots_;
  std::vector<std::uint64_t> taken_;
  std::vector<std::uint16_t> table_;
  std::size_t free_count_;
  std::vector<std::uint32_t> free_;  // once there are few
};

// Whose turn it is, slot by slot. A walker's n-th turn is at time n / weight; turns at the same
// time go by walker.
//
// Within the time (slots + walkers) / sum of weights there are at least `slots` turns. They are put
// into as many buckets of time, one in each on average, and sorted there.
class Turns {
 public:
  Turns(std::span<const Walker> walkers, std::uint32_t slots) : walkers_(walkers) {
    std::uint64_t weights = 0;
    for (const Walker& walker : walkers) {
      weights += walker.weight;
    }
    const std::uint64_t most = std::uint64_t{slots} + walkers.size();
    ends_.resize(most + 2);
    const double buckets_per_time = static_cast<double>(weights);
    for_each_turn(
        most, weights, [&](Turn turn) { ++ends_[bucket_of(turn, buckets_per_time) + 1]; });
    std::partial_sum(ends_.begin(), ends_.end(), ends_.begin());
    turns_.resize(ends_.back());
    for_each_turn(most, weights, [&](Turn turn) {
      turns_[ends_[bucket_of(turn, buckets_per_time)]++] = turn;
    });
    sort_buckets();
  }

  [[nodiscard]] std::uint32_t walker_of(std::size_t turn) const { return turns_[turn].walker; }

 private:
  struct Turn {
    std::uint32_t number = 0;  // of the walker's turns, from 1
    std::uint32_t walker = 0;
  };

  template <typename Each>
  void for_each_turn(std::uint64_t most, std::uint64_t weights, const Each& each) const {
    for (std::uint32_t i = 0; i < walkers_.size(); ++i) {
      const std::uint64_t count = most * walkers_[i].weight / weights;
      for (std::uint32_t number = 1; number <= count; ++number) {
        each(Turn{.number = number, .walker = i});
      }
    }
  }

  // A quotient is rounded, but never past that of a later time.
  [[nodiscard]] std::size_t bucket_of(Turn turn, double buckets_per_time) const {
    const double time =
        static_cast<double>(turn.number) / static_cast<double>(walkers_[turn.walker].weight);
    return std::min(static_cast<std::size_t>(time * buckets_per_time), ends_.size() - 2);
  }

  // Times compared as fractions.
  [[nodiscard]] bool before(Turn left, Turn right) const {
    const std::uint64_t a = std::uint64_t{left.number} * walkers_[right.walker].weight;
    const std::uint64_t b = std::uint64_t{right.number} * walkers_[left.walker].weight;
    return a != b ? a < b : left.walker < right.walker;
  }

  // Turns at one time stand in order already: so many equal weights cost no sorting.
  void sort_buckets() {
    const auto in_order = [this](Turn left, Turn right) { return before(left, right); };
    std::size_t begin = 0;
    for (const std::uint32_t end : ends_) {
      const auto bucket = std::span(turns_).subspan(begin, end - begin);
      if (!std::ranges::is_sorted(bucket, in_order)) {
        std::ranges::sort(bucket, in_order);
      }
      begin = end;
    }
  }

  std::span<const Walker> walkers_;
  std::vector<std::uint32_t> ends_;  // of the buckets, in turns_
  std::vector<Turn> turns_;
};

}  // namespace

std::vector<std::uint16_t> build_maglev(std::span<const MaglevMember> members,
                                        std::uint32_t slots,
                                        const FlowHasher& hasher) {
  std::vector<Walker> walkers = make_walkers(members, slots, hasher);
  if (walkers.empty()) {
    return {};
  }
  Filling filling(slots);
  const bool equal = std::ranges::all_of(
      walkers, [&](const Walker& walker) { return walker.weight == walkers.front().weight; });
  if (equal) {
    for (std::uint32_t turn = 0, next = 0; turn < slots; ++turn) {
      filling.take_slot(walkers[next]);
      next = next + 1 == walkers.size() ? 0 : next + 1;
    }
  } else {
    const Turns turns(walkers, slots);
    for (std::uint32_t turn = 0; turn < slots; ++turn) {
      filling.take_slot(walkers[turns.walker_of(turn)]);
    }
  }
  return std::move(filling).table();
}

TableChange compare_tables(std::span<const std::uint16_t> before,
                           std::span<const std::uint16_t> after) {
  if (before.size() != after.size()) {
    const auto all = static_cast<std::uint32_t>(std::max(before.size(), after.size()));
    return {.moved = all, .least = all};
  }
  TableChange change;
  std::vector<std::int32_t> share(std::size_t{0xffff} + 1);
  for (std::size_t i = 0; i < before.size(); ++i) {
    change.moved += before[i] != after[i] ? 1U : 0U;
    --share[before[i]];
    ++share[after[i]];
  }
  for (const std::int32_t difference : share) {
    change.least += difference > 0 ? static_cast<std::uint32_t>(difference) : 0;
  }
  return change;
}

}  // namespace holdfast::dataplane
