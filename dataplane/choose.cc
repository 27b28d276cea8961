// SPDX-License-Identifier: Apache-2.0
// Member selection.
#include "dataplane/choose.h"

#include "dataplane/affinity.h"
#include "dataplane/flow_keys.h"
#include "dataplane/maglev.h"

#include <algorithm>

namespace holdfast::dataplane {
namespace {

constexpr std::uint64_t kRehashes = 8;

MemberId id_of(const Generation& generation, std::uint16_t index) {
  return {index, generation.members()[index].epoch};
}

bool takes_new(const DispositionTable& dispositions, MemberId id) {
  return dispositions.get(id) == Disposition::kNew;
}

std::optional<Choice> choose_in(const TierTable& table,
                                const Generation& generation,
                                const Availability& availability,
                                std::uint64_t hash) {
  const DispositionTable& dispositions = availability.dispositions;
  const auto slots = static_cast<std::uint32_t>(table.slots.size());
  const auto [own, slot] = own_slot(table, generation, hash);
  if (takes_new(dispositions, own)) [[likely]] {
    return Choice{.member = own, .slot = slot, .tier = table.tier, .by = ChosenBy::kSlot};
  }
  const std::uint64_t version = dispositions.version();  // before any look that it is to stand for
  if (availability.barren.has(table, generation.number(), version)) {
    return std::nullopt;
  }
  for (std::uint64_t attempt = 1; attempt <= kRehashes; ++attempt) {
    const std::uint64_t again = generation.hasher().words(hash, attempt);
    const MemberId member = id_of(generation, table.slots[maglev_slot(again, slots)]);
    if (takes_new(dispositions, member)) {
      return Choice{.member = member, .slot = slot, .tier = table.tier, .by = ChosenBy::kRehash};
    }
  }
  const std::size_t count = table.members.size();
  const std::size_t start = hash % count;
  for (std::size_t i = 0; i < count; ++i) {
    const MemberId member = id_of(generation, table.members[(start + i) % count]);
    if (takes_new(dispositions, member)) {
      return Choice{
          .member = member, .slot = slot, .tier = table.tier, .by = ChosenBy::kNextUsable};
    }
  }
  availability.barren.add(table, generation.number(), version);
  return std::nullopt;
}

// The table before the last change, as long as it is followed.
const FormerTable* followed_table(const CompiledService& service, bool v4, std::uint64_t now_ms) {
  return now_ms < service.previous_until_ms ? first_table(service.previous, v4) : nullptr;
}

MemberId member_of(const FormerTable& table, std::uint64_t hash) {
  return table.slots[maglev_slot(hash, static_cast<std::uint32_t>(table.slots.size()))];
}

bool keeps_flows(const DispositionTable& dispositions, MemberId id) {
  const Disposition disposition = dispositions.get(id);
  return disposition == Disposition::kNew || disposition == Disposition::kKeep;
}

}  // namespace

std::uint64_t selection_hash(const Generation& generation,
                             const CompiledService& service,
                             const FlowKey& key,
                             std::uint64_t five_tuple) {
  if (service.affinity.seconds != 0) [[unlikely]] {
    return generation.hasher()(affinity_key(service.affinity, key.source));
  }
  if (service.hash == HashFields::kFiveTuple) [[likely]] {
    return five_tuple;
  }
  FlowKey chosen = prefix_key(key.source);
  if (service.hash == HashFields::kDestinationPort) {
    chosen.source = chosen.destination;  // the family's zero address
  }
  if (service.hash != HashFields::kSource) {
    chosen.destination_port = key.destination_port;
  }
  return generation.hasher()(chosen);
}

std::optional<Choice> choose_member(const Generation& generation,
                                    const CompiledService& service,
                                    const Availability& availability,
                                    bool v4,
                                    std::uint64_t hash) {
  for (const TierTable& table : *service.tiers) {
    if (table.v4 == v4 && !table.slots.empty()) {
      if (const auto choice = choose_in(table, generation, availability, hash)) {
        return choice;
      }
    }
  }
  return std::nullopt;
}

std::optional<Choice> choose_for_unknown(const Generation& generation,
                                         const CompiledService& service,
                                         const Availability& availability,
                                         bool v4,
                                         std::uint64_t hash,
                                         std::uint64_t now_ms) {
  const TierTable* now = first_table(service.tiers, v4);
  if (now == nullptr) {
    return std::nullopt;
  }
  const std::uint32_t slot = maglev_slot(hash, static_cast<std::uint32_t>(now->slots.size()));
  const MemberId own = id_of(generation, now->slots[slot]);
  if (const FormerTable* before = followed_table(service, v4, now_ms)) {
    const std::uint32_t old_slot =
        maglev_slot(hash, static_cast<std::uint32_t>(before->slots.size()));
    const MemberId former = before->slots[old_slot];
    if (former != own && generation.member(former) != nullptr &&
        keeps_flows(availability.dispositions, former)) {
      return Choice{
          .member = former, .slot = old_slot, .tier = before->tier, .by = ChosenBy::kPrevious};
    }
  }
  if (keeps_flows(availability.dispositions, own)) {
    return Choice{.member = own, .slot = slot, .tier = now->tier, .by = ChosenBy::kSlot};
  }
  return choose_member(generation, service, availability, v4, hash);
}

std::optional<MemberId> home_of(const Generation& generation,
                                const CompiledService& service,
                                bool v4,
                                std::uint64_t hash,
                                std::uint64_t now_ms) {
  if (const FormerTable* before = followed_table(service, v4, now_ms)) {
    return member_of(*before, hash);
  }
  const TierTable* now = first_table(service.tiers, v4);
  return now == nullptr ? std::nullopt : std::optional(own_slot(*now, generation, hash).member);
}

std::size_t find_alternatives(const Generation& generation,
                              const CompiledService& service,
                              bool v4,
                              std::uint64_t hash,
                              MemberId chosen,
                              std::span<MemberId> places) {
  std::size_t count = 0;
  const auto offer = [&](MemberId member) {
    const auto taken = places.first(count);
    if (count < places.size() && member != chosen && generation.member(member) != nullptr &&
        std::ranges::find(taken, member) == taken.end()) {
      places[count++] = member;
    }
  };
  if (const FormerTable* before = first_table(service.previous, v4)) {
    offer(member_of(*before, hash));
  }
  if (const TierTable* now = first_table(service.tiers, v4)) {
    const auto slots = static_cast<std::uint32_t>(now->slots.size());
    offer(id_of(generation, now->slots[maglev_slot(hash, slots)]));
    for (std::uint64_t attempt = 1; attempt <= kRehashes; ++attempt) {
      const std::uint64_t again = generation.hasher().words(hash, attempt);
      offer(id_of(generation, now->slots[maglev_slot(again, slots)]));
    }
  }
  return count;
}

}  // namespace holdfast::dataplane
