// SPDX-License-Identifier: Apache-2.0
// Which member a new flow goes to: a pure function of the flow's hash, the service's tables and the
// dispositions, the same on every node. Shared by the select stage and by `trace`, which tells why.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/generation.h"
#include "dataplane/state.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace holdfast::dataplane {

// How the member was found.
enum class ChosenBy : std::uint8_t {
  kSlot,        // the slot's own member
  kRehash,      // the slot's member takes no new flows; a keyed rehash found this one
  kNextUsable,  // neither did; the next member in order of their keys
  kPrevious,    // a packet without entry: the previous table's member, which disagrees
  kAffinity,    // on record for the source (affinity.h)
};

struct Choice {
  MemberId member;
  std::uint32_t slot = 0;  // of the table, before any rehash; kOnRecord by affinity
  std::uint8_t tier = 0;
  ChosenBy by = ChosenBy::kSlot;
};

// The tiers of which a worker found no member that takes new flows, as long as no disposition
// changes: packets for a service that is down cost one look through its members, not one each.
class BarrenTiers {
 public:
  [[nodiscard]] bool has(const TierTable& tier, std::uint64_t generation, std::uint64_t version) {
    return place(tier) == Found{&tier, generation, version};
  }
  void add(const TierTable& tier, std::uint64_t generation, std::uint64_t version) {
    place(tier) = {&tier, generation, version};
  }

 private:
  // The generation too: the address of a tier that is gone may be another's.
  struct Found {
    const TierTable* tier = nullptr;
    std::uint64_t generation = 0;
    std::uint64_t version = 0;
    bool operator==(const Found&) const = default;
  };
  static constexpr std::size_t kPlaces = 64;
  Found& place(const TierTable& tier) {
    return found_[reinterpret_cast<std::uintptr_t>(&tier) / sizeof(TierTable) % kPlaces];
  }
  std::array<Found, kPlaces> found_{};
};

// What the choice looks at beside the generation.
struct Availability {
  const DispositionTable& dispositions;
  BarrenTiers& barren;
};

// The hash that the service's `hash` fields select, each other field taken as 0, or, where the
// service has affinity, that of the source prefix; `five_tuple` is the hash of the whole key.
std::uint64_t selection_hash(const Generation& generation,
                             const CompiledService& service,
                             const FlowKey& key,
                             std::uint64_t five_tuple);

// The first table of that family that has slots; nullptr when there is none.
template <typename Tables>
auto first_table(const Tables& tables, bool v4) -> decltype(tables->data()) {
  if (tables != nullptr) {
    for (const auto& table : *tables) {
      if (table.v4 == v4 && !table.slots.empty()) {
        return &table;
      }
    }
  }
  return nullptr;
}

// The slot of a hash in a table, and whose it is.
struct OwnSlot {
  MemberId member;
  std::uint32_t slot = 0;
};
inline OwnSlot own_slot(const TierTable& table, const Generation& generation, std::uint64_t hash) {
  const std::uint32_t slot = maglev_slot(hash, static_cast<std::uint32_t>(table.slots.size()));
  const std::uint16_t index = table.slots[slot];
  return {.member = {index, generation.members()[index].epoch}, .slot = slot};
}

// For a new flow: the lowest tier that has a member with disposition kNew. nullopt: none has. In
// the tier that is the slot's own, else the first such one of the slots of words(hash, 1) to
// words(hash, 8), else of its members in order of their keys, from number (hash mod count) on.
std::optional<Choice> choose_member(const Generation& generation,
                                    const CompiledService& service,
                                    const Availability& availability,
                                    bool v4,
                                    std::uint64_t hash);

// For a packet in the middle of a flow that has no entry: where the flow most likely lives, that is
// the previous table's member while that table is followed and disagrees, else the slot's member
// when it keeps its flows; otherwise as choose_member().
std::optional<Choice> choose_for_unknown(const Generation& generation,
                                         const CompiledService& service,
                                         const Availability& availability,
                                         bool v4,
                                         std::uint64_t hash,
                                         std::uint64_t now_ms);

// Where the table that a flow began by leads, whatever has become of that member: the previous one
// while it is followed, else the one in force; nullopt when there is none.
std::optional<MemberId> home_of(const Generation& generation,
                                const CompiledService& service,
                                bool v4,
                                std::uint64_t hash,
                                std::uint64_t now_ms);

// Where else a flow may live, most likely first: at the member that the previous table leads to, at
// the slot's own, at those of the keyed rehashes; never at `chosen`, none twice. For a hop list.
// Returns how many of `places` are written. O(places).
std::size_t find_alternatives(const Generation& generation,
                              const CompiledService& service,
                              bool v4,
                              std::uint64_t hash,
                              MemberId chosen,
                              std::span<MemberId> places);

}  // namespace holdfast::dataplane
