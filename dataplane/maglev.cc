// SPDX-License-Identifier: Apache-2.0
// Maglev population.
#include "dataplane/maglev.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <utility>

namespace holdfast::dataplane {
namespace {

// How many places of a walk are looked at before asking whether one is free; below, while more than
// half are. Measured over tables of 65 537.
constexpr std::size_t kLooks = 8;
constexpr std::size_t kLooksWhileHalfFree = 4;

struct Walker {
  std::array<std::uint32_t, kLooks + 1> ahead{};  // 0 to 8 steps: their distance in the table
  std::uint32_t position = 0;                     // next slot of its permutation
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

std::array<std::uint32_t, kLooks + 1> steps_ahead(std::uint64_t skip, std::uint32_t slots) {
  std::array<std::uint32_t, kLooks + 1> ahead{};
  for (std::size_t i = 0; i < ahead.size(); ++i) {
    ahead[i] = static_cast<std::uint32_t>(i * skip % slots);
  }
  return ahead;
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
      walkers.push_back({.ahead = steps_ahead(skip % (slots - 1) + 1, slots),
                         .position = static_cast<std::uint32_t>(offset % slots),
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

// How many steps of a walk lead to the next slot of the table: the inverse of the skip modulo the
// slots; and that as a part of the slots, in 2^-32, rounded down.
struct Steps {
  std::uint32_t per_slot = 0;
  std::uint32_t ratio = 0;
};

// All inverses by way of one, that of the skips' product (Montgomery, Math. Comp. 48 (1987),
// §10.3.1).
std::vector<Steps> count_steps(std::span<const Walker> walkers, std::uint32_t slots) {
  std::vector<std::uint32_t> products;  // of the skips before
  products.reserve(walkers.size());
  std::uint64_t product = 1;
  for (const Walker& walker : walkers) {
    products.push_back(static_cast<std::uint32_t>(product));
    product = product * walker.ahead[1] % slots;
  }
  std::vector<Steps> steps(walkers.size());
  std::uint64_t inverted = inverse(static_cast<std::uint32_t>(product), slots);
  for (std::size_t i = walkers.size(); i-- > 0;) {
    const std::uint64_t per_slot = inverted * products[i] % slots;
    steps[i] = {.per_slot = static_cast<std::uint32_t>(per_slot),
                .ratio = static_cast<std::uint32_t>((per_slot << 32) / slots)};
    inverted = inverted * walkers[i].ahead[1] % slots;
  }
  return steps;
}

// Looking for a free slot step by step costs slots / free ones: below so few it is cheaper to ask
// of each free slot how far it is away.
constexpr std::size_t kFewFree = 256;

// The table while it is filled, and which of its slots are free: as bytes beside it, since most
// looks are at taken ones and 64 KiB are nearer than 128 KiB of table. Bits would be nearer still,
// but taking them out costs more than that saves.
class Filling {
 public:
  Filling(std::span<const Walker> walkers, std::uint32_t slots)
      : slots_(slots), walkers_(walkers.begin(), walkers.end()), free_(slots, 1), table_(slots) {
    few_.reserve(kFewFree);
  }

  // Gives slot after slot to the walkers whose turns `walker_of(turn)` names, from turn 0 on.
  template <typename WalkerOf>
  std::vector<std::uint16_t> fill(WalkerOf walker_of) && {
    std::uint32_t turn = 0;
    for (; slots_ - turn > slots_ / 2; ++turn) {
      Walker& walker = walkers_[walker_of(turn)];
      take_slot(walker, next_free<kLooksWhileHalfFree>(walker));
    }
    for (; turn + kFewFree < slots_; ++turn) {
      Walker& walker = walkers_[walker_of(turn)];
      take_slot(walker, next_free<kLooks>(walker));
    }
    list_free();
    for (; turn < slots_; ++turn) {
      const std::uint32_t walker = walker_of(turn);
      take_slot(walkers_[walker], nearest_free(walker));
    }
    return std::move(table_);
  }

 private:
  void take_slot(Walker& walker, std::uint32_t slot) {
    walker.position = slot;
    free_[slot] = 0;
    table_[slot] = walker.index;
  }

  // Requires: position < 2 * slots_.
  [[nodiscard]] std::uint32_t wrapped(std::uint32_t position) const {
    return std::min(position, position - slots_);
  }

  // Looks at several places of the walk at a time: one by one, whether another look is needed is a
  // guess that the processor loses in nearly every turn.
  template <std::size_t kPlaces>
  [[nodiscard]] std::uint32_t next_free(const Walker& walker) const {
    std::uint32_t begin = walker.position;
    for (;;) {
      std::uint32_t found = 0;
      for (std::size_t i = 0; i < kPlaces; ++i) {
        found |= std::uint32_t{free_[wrapped(begin + walker.ahead[i])]} << i;
      }
      if (found != 0) {
        return wrapped(begin + walker.ahead[static_cast<std::size_t>(std::countr_zero(found))]);
      }
      begin = wrapped(begin + walker.ahead[kPlaces]);
    }
  }

  // The free slot that the walker comes to first, taken out of the list.
  std::uint32_t nearest_free(std::uint32_t walker) {
    std::array<std::uint32_t, kFewFree> steps;
    std::uint32_t least = slots_;
    for (std::size_t i = 0; i < few_.size(); ++i) {
      steps[i] = steps_to(few_[i], walkers_[walker].position, steps_[walker]);
      least = std::min(least, steps[i]);
    }
    const auto nearest = few_.begin() + (std::ranges::find(steps, least) - steps.begin());
    const std::uint32_t slot = *nearest;
    *nearest = few_.back();
    few_.pop_back();
    return slot;
  }

  // distance * steps per slot modulo the slots, without a division: with the ratio rounded down the
  // quotient is too small by one at most (Shoup's way; Harvey, J. Symb. Comp. 60 (2014), §3).
  [[nodiscard]] std::uint32_t steps_to(std::uint32_t slot,
                                       std::uint32_t position,
                                       Steps steps) const {
    const std::uint32_t ahead = slot - position;  // or, below 0, by way of the table's end
    const std::uint32_t distance = std::min(ahead, ahead + slots_);
    const auto quotient = static_cast<std::uint32_t>((std::uint64_t{distance} * steps.ratio) >> 32);
    return wrapped(distance * steps.per_slot - quotient * slots_);
  }

  void list_free() {
    for (std::uint32_t slot = 0; slot < slots_; ++slot) {
      if (free_[slot] != 0) {
        few_.push_back(slot);
      }
    }
    steps_ = count_steps(walkers_, slots_);
  }

  std::uint32_t slots_;
  std::vector<Walker> walkers_;
  std::vector<std::uint8_t> free_;  // 1: it is
  std::vector<std::uint16_t> table_;
  std::vector<std::uint32_t> few_;  // the free ones, once there are few
  std::vector<Steps> steps_;        // by walker, from then on
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
  const std::vector<Walker> walkers = make_walkers(members, slots, hasher);
  if (walkers.empty()) {
    return {};
  }
  Filling filling(walkers, slots);
  const bool equal = std::ranges::all_of(
      walkers, [&](const Walker& walker) { return walker.weight == walkers.front().weight; });
  if (!equal) {
    const Turns turns(walkers, slots);
    return std::move(filling).fill([&](std::uint32_t turn) { return turns.walker_of(turn); });
  }
  const auto count = static_cast<std::uint32_t>(walkers.size());
  return std::move(filling).fill([count, next = count](std::uint32_t) mutable {
    next = next + 1 >= count ? 0 : next + 1;
    return next;
  });
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
