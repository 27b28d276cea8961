// SPDX-License-Identifier: Apache-2.0
// Tables by going round, choices by trying.
#include "tests/support/model/choosing.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

namespace holdfast::testing {
namespace {

using dataplane::FlowHasher;

constexpr MemberIndex kNobody = ~MemberIndex{0};

// A name's hash as dataplane/maglev.h defines it.
std::uint64_t hash_name(const FlowHasher& hasher, std::string_view name, std::uint64_t domain) {
  std::uint64_t state = hasher.words(domain, name.size());
  while (!name.empty()) {
    const std::string_view chunk = name.substr(0, 8);
    std::uint64_t little_endian = 0;
    for (std::size_t i = chunk.size(); i-- > 0;) {
      little_endian = little_endian * 256 + static_cast<unsigned char>(chunk[i]);
    }
    state = hasher.words(state, little_endian);
    name.remove_prefix(chunk.size());
  }
  return state;
}

// A candidate on its way through its permutation of the slots.
struct Walk {
  const Candidate* who = nullptr;
  std::uint64_t next = 0;
  std::uint64_t skip = 0;
  std::uint64_t turns = 0;
};

// Whose turn comes first: at (turns + 1) / weight; walks stand in order of their keys.
Walk& next_walk(std::vector<Walk>& walks) {
  Walk* best = walks.data();
  for (Walk& walk : walks) {
    if ((walk.turns + 1) * best->who->weight < (best->turns + 1) * walk.who->weight) {
      best = &walk;
    }
  }
  return *best;
}

std::vector<MemberIndex> fill_maglev(const std::vector<Candidate>& by_key,
                                     std::uint32_t slots,
                                     const FlowHasher& hasher) {
  std::vector<Walk> walks;
  for (const Candidate& candidate : by_key) {
    walks.push_back({.who = &candidate,
                     .next = hash_name(hasher, candidate.key, 1) % slots,
                     .skip = hash_name(hasher, candidate.key, 2) % (slots - 1) + 1,
                     .turns = 0});
  }
  std::vector<MemberIndex> table(slots, kNobody);
  for (std::uint32_t filled = 0; filled < slots; ++filled) {
    Walk& walk = next_walk(walks);
    ++walk.turns;
    while (table[walk.next] != kNobody) {
      walk.next = (walk.next + walk.skip) % slots;
    }
    table[walk.next] = walk.who->member;
  }
  return table;
}

}  // namespace

std::vector<Tier> build_tiers(const dataplane::ServiceSpec& service,
                              const std::vector<MemberIndex>& members,
                              const FlowHasher& hasher) {
  std::map<std::pair<std::uint8_t, bool>, std::vector<Candidate>> groups;
  for (std::size_t i = 0; i < members.size(); ++i) {
    const dataplane::MemberSpec& spec = service.members[i];
    const Candidate candidate{.key = spec.slot_key.empty() ? spec.backend : spec.slot_key,
                              .weight = spec.weight,
                              .member = members[i]};
    for (const bool v4 : {false, true}) {
      if (spec.weight > 0 && (is_tunnel(service.mode) || spec.address.is_v4() == v4)) {
        groups[{spec.tier, v4}].push_back(candidate);
      }
    }
  }
  std::vector<Tier> tiers;
  for (auto& [place, candidates] : groups) {
    std::ranges::sort(candidates, {}, &Candidate::key);
    Tier& tier = tiers.emplace_back();
    tier.tier = place.first;
    tier.v4 = place.second;
    for (const Candidate& candidate : candidates) {
      tier.members.push_back(candidate.member);
    }
    tier.slots = fill_maglev(candidates, service.slots, hasher);
  }
  return tiers;
}

std::size_t slot_of(std::uint64_t hash, std::size_t slots) {
  return ((hash >> 32) * slots) >> 32;  // the upper half as a fraction of the table
}

const Tier* first_tier(const std::vector<Tier>& tiers, bool v4) {
  const auto found = std::ranges::find(tiers, v4, &Tier::v4);
  return found == tiers.end() ? nullptr : &*found;
}

std::optional<MemberIndex> choose_new(const std::vector<Tier>& tiers,
                                      bool v4,
                                      std::uint64_t hash,
                                      const FlowHasher& hasher,
                                      const TakesNew& takes_new) {
  for (const Tier& tier : tiers) {
    if (tier.v4 != v4) {
      continue;
    }
    std::vector<MemberIndex> asked = {tier.slots[slot_of(hash, tier.slots.size())]};
    for (std::uint64_t attempt = 1; attempt <= 8; ++attempt) {
      asked.push_back(tier.slots[slot_of(hasher.words(hash, attempt), tier.slots.size())]);
    }
    for (std::size_t i = 0; i < tier.members.size(); ++i) {
      asked.push_back(tier.members[(hash + i) % tier.members.size()]);
    }
    if (const auto found = std::ranges::find_if(asked, takes_new); found != asked.end()) {
      return *found;
    }
  }
  return std::nullopt;
}

std::vector<MemberIndex> choose_others(const Tier* former,
                                       const Tier* now,
                                       std::uint64_t hash,
                                       const FlowHasher& hasher,
                                       MemberIndex chosen,
                                       std::size_t most) {
  std::vector<MemberIndex> likely;
  if (former != nullptr) {
    likely.push_back(former->slots[slot_of(hash, former->slots.size())]);
  }
  if (now != nullptr) {
    likely.push_back(now->slots[slot_of(hash, now->slots.size())]);
    for (std::uint64_t attempt = 1; attempt <= 8; ++attempt) {
      likely.push_back(now->slots[slot_of(hasher.words(hash, attempt), now->slots.size())]);
    }
  }
  std::vector<MemberIndex> others;
  for (const MemberIndex member : likely) {
    if (others.size() < most && member != chosen &&
        std::ranges::find(others, member) == others.end()) {
      others.push_back(member);
    }
  }
  return others;
}

std::uint64_t group_of_source(const dataplane::Address& source,
                              const dataplane::FlowHasher& hasher) {
  dataplane::Address one = source;
  if (!source.is_v4()) {
    std::fill(one.bytes.begin() + 8, one.bytes.end(), std::uint8_t{0});
  }
  return hasher.address_pair(one, one) % 64;
}

std::uint32_t other_id(const dataplane::Address& from,
                       const dataplane::Address& to,
                       const dataplane::FlowHasher& hasher) {
  return static_cast<std::uint32_t>(hasher.words(hasher.address_pair(from, to), 6864) & 0xffffffff);
}

}  // namespace holdfast::testing
