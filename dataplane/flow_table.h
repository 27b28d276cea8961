// SPDX-License-Identifier: Apache-2.0
// The flow table of the modes that do not translate: which member a flow belongs to. Per worker one
// table for each size of entry, written by that worker alone, in the shared state. Exact keys: two
// flows never share an entry.
//
// A flow to a single VIP is told from others without its destination, which its binding knows. One
// to a VIP of a prefix carries it and stands in the next larger size: IPv4 flows of prefixes beside
// the IPv6 flows of single VIPs, IPv6 flows of prefixes in a table of their own.
//
// Affinity records (affinity.h) are entries too, without ports. They are no flows.
//
// What anybody can write with a single forged packet has a short life and at most a quarter of a
// table each: half-open flows (a SYN), unproven ones (one packet from the middle of a flow, one
// datagram), and records. In a full table half-open and unproven flows push out each other,
// unproven ones also records, and a flow that has shown itself all of them; records push out
// nothing.
//
// Buckets of four entries (one, two or three cache lines); a flow may stand in either of two
// buckets. It goes into the first while that has one flow at most, then into the emptier of
// the two (Azar et al., STOC'94): so most flows are found by one cache miss instead of two, and
// both are full as late as possible. When both are full, one resident moves to its other bucket
// (one cuckoo step: Pagh & Rodler, ESA'01). Only then is the flow untracked: the hash decides for
// it, nothing is dropped.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/flow_entry.h"
#include "dataplane/flow_state.h"
#include "dataplane/prefetch.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>

namespace holdfast::dataplane {

template <typename Entry>
class FlowTable {
 public:
  static constexpr std::size_t kWays = 4;
  struct alignas(64) Bucket {
    std::array<Entry, kWays> way;
  };
  // Each bounded kind of entry takes at most this share of the table: no flood can fill it.
  static constexpr std::size_t kBoundedShare = 4;

  // Requires: buckets.size() is a power of two >= 2.
  explicit FlowTable(std::span<Bucket> buckets) : buckets_(buckets), mask_(buckets.size() - 1) {}

  // Buckets for `entries` at 70 % load, a power of two.
  static constexpr std::size_t buckets_for(std::uint64_t entries) {
    std::size_t buckets = 2;
    while (buckets * kWays * 7 / 10 < entries) {
      buckets *= 2;
    }
    return buckets;
  }

  [[nodiscard]] std::size_t first_bucket(std::uint64_t hash) const { return hash & mask_; }
  [[nodiscard]] std::size_t second_bucket(std::uint64_t hash) const {
    const std::size_t second = (hash * kSecondMultiplier >> 20) & mask_;
    return second == first_bucket(hash) ? second ^ 1 : second;
  }

  // The bucket where a flow stands as long as there is room in it.
  void prefetch(std::uint64_t hash) const { prefetch_bucket(first_bucket(hash)); }
  // The other one, if the flow is not in the first.
  void prefetch_rest(std::uint64_t hash, const FlowKey& key, std::uint16_t binding) const {
    if (places_of(buckets_[first_bucket(hash)].way, key, binding) == 0) {
      prefetch_bucket(second_bucket(hash));
    }
  }

  [[nodiscard]] Entry* find(std::uint64_t hash, const FlowKey& key, std::uint16_t binding) const {
    if (Entry* entry = find_in(buckets_[first_bucket(hash)], key, binding)) [[likely]] {
      return entry;
    }
    return find_in(buckets_[second_bucket(hash)], key, binding);
  }

  // False when both buckets of the hash are full: a flow may then be without an entry.
  [[nodiscard]] bool has_place(std::uint64_t hash) const {
    for (const std::size_t bucket : {first_bucket(hash), second_bucket(hash)}) {
      for (const Entry& entry : buckets_[bucket].way) {
        if (entry.state == FlowState::kFree) {
          return true;
        }
      }
    }
    return false;
  }

  // A free place for the flow, key not yet set; nullptr when there is none: the flow stays
  // untracked. `rehash(entry)` gives a resident's hash; `expired(entry)` tells that it may go;
  // `evict(entry)` is told of each resident that goes.
  template <typename Rehash, typename Expired, typename Evict>
  Entry* make_room(std::uint64_t hash,
                   FlowState state,
                   const Rehash& rehash,
                   const Expired& expired,
                   const Evict& evict) {
    const Share share = share_of(state);
    if (share != Share::kUnbounded && full(share)) {
      return nullptr;
    }
    const std::array<std::size_t, 2> choice = {first_bucket(hash), second_bucket(hash)};
    if (Entry* entry = free_place(nearer(choice))) {
      return entry;
    }
    for (const std::size_t bucket : choice) {
      for (Entry& entry : buckets_[bucket].way) {
        if (expired(entry) || gives_way(entry.state, state)) {
          evict(entry);
          clear(entry);
          return &entry;
        }
      }
    }
    return displace(choice, rehash);
  }

  // Changes an entry's state, keeping the counts.
  void set_state(Entry& entry, FlowState state) {
    if (entry.state == state) {
      return;
    }
    --count_of(entry.state);
    ++count_of(state);
    used_ += (state != FlowState::kFree ? 1 : 0) - (entry.state != FlowState::kFree ? 1 : 0);
    entry.state = state;
  }
  void clear(Entry& entry) {
    set_state(entry, FlowState::kFree);
    entry = Entry{};
  }

  // Counts what stands in the table; call once after mapping an old one.
  void recount() {
    used_ = 0;
    counts_ = {};
    for (const Bucket& bucket : buckets_) {
      for (const Entry& entry : bucket.way) {
        used_ += entry.state != FlowState::kFree ? 1 : 0;
        ++count_of(entry.state);
      }
    }
  }

  [[nodiscard]] std::span<Bucket> buckets() const { return buckets_; }
  [[nodiscard]] std::size_t capacity() const { return buckets_.size() * kWays; }
  // Entries that went to their other bucket, so far.
  [[nodiscard]] std::uint64_t displaced() const { return displaced_; }
  [[nodiscard]] std::size_t used() const { return static_cast<std::size_t>(used_); }
  [[nodiscard]] std::size_t half_open() const { return count(Share::kHalfOpen); }
  [[nodiscard]] bool half_open_full() const { return full(Share::kHalfOpen); }
  [[nodiscard]] std::size_t unproven() const { return count(Share::kUnproven); }
  [[nodiscard]] bool unproven_full() const { return full(Share::kUnproven); }
  [[nodiscard]] std::size_t affinities() const { return count(Share::kAffinity); }

 private:
  static constexpr std::uint64_t kSecondMultiplier = 0x9e3779b97f4a7c15;

  std::int64_t& count_of(FlowState state) {
    return counts_[static_cast<std::size_t>(share_of(state))];
  }
  [[nodiscard]] std::size_t count(Share share) const {
    return static_cast<std::size_t>(counts_[static_cast<std::size_t>(share)]);
  }
  [[nodiscard]] bool full(Share share) const { return count(share) >= capacity() / kBoundedShare; }

  void prefetch_bucket(std::size_t bucket) const {
    for (std::size_t line = 0; line < sizeof(Bucket); line += 64) {
      dataplane::prefetch(reinterpret_cast<const std::byte*>(&buckets_[bucket]) + line);
    }
  }

  // Which way it is nobody can predict: so there is no branch on it.
  static Entry* find_in(Bucket& bucket, const FlowKey& key, std::uint16_t binding) {
    for (Places left = places_of(bucket.way, key, binding); left != 0; left &= left - 1) {
      Entry& entry = bucket.way[first_place(left)];
      if (entry.state != FlowState::kFree) [[likely]] {
        return &entry;
      }
    }
    return nullptr;
  }

  static std::ptrdiff_t count_free(const Bucket& bucket) {
    return std::ranges::count(bucket.way, FlowState::kFree, &Entry::state);
  }

  // The bucket for a new entry: the first while it has one entry at most, else the emptier; full
  // only where both are. Filled further before the second is looked at, both are full sooner, and
  // flows go without a place at 70 % load.
  Bucket& nearer(const std::array<std::size_t, 2>& choice) {
    Bucket& first = buckets_[choice[0]];
    const std::ptrdiff_t free = count_free(first);
    if (free >= std::ptrdiff_t{kWays} - 1) [[likely]] {
      return first;
    }
    Bucket& second = buckets_[choice[1]];
    return count_free(second) > free ? second : first;
  }

  static Entry* free_place(Bucket& bucket) {
    for (Entry& entry : bucket.way) {
      if (entry.state == FlowState::kFree) {
        return &entry;
      }
    }
    return nullptr;
  }

  // Moves one resident of either bucket to its other bucket and returns its old place.
  template <typename Rehash>
  Entry* displace(const std::array<std::size_t, 2>& choice, const Rehash& rehash) {
    for (const std::size_t bucket : choice) {
      for (Entry& resident : buckets_[bucket].way) {
        const std::uint64_t hash = rehash(resident);
        const std::size_t other =
            first_bucket(hash) == bucket ? second_bucket(hash) : first_bucket(hash);
        if (Entry* place = free_place(buckets_[other])) {
          *place = resident;
          resident = Entry{};
          ++displaced_;
          return &resident;
        }
      }
    }
    return nullptr;
  }

  std::span<Bucket> buckets_;
  std::size_t mask_;
  std::uint64_t displaced_ = 0;
  std::int64_t used_ = 0;
  std::array<std::int64_t, kShares> counts_{};  // by Share; what is unbounded means nothing
};

using FlowTable4 = FlowTable<FlowEntry4>;
using FlowTable6 = FlowTable<FlowEntry6>;
using FlowTableWide = FlowTable<FlowEntryWide>;

}  // namespace holdfast::dataplane
