// SPDX-License-Identifier: Apache-2.0
// The model's Maglev tables (Eisenbud et al., NSDI'16, §3.4) and the choice of a member by
// dataplane/choose.h. The keyed hash is the product's: it is specified as opaque. Tests only.
#pragma once

#include "dataplane/hash.h"
#include "dataplane/spec.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace holdfast::testing {

using MemberIndex = std::size_t;  // in Model::members()

struct Candidate {
  std::string key;  // its place's, else its name
  std::uint32_t weight = 0;
  MemberIndex member = 0;
};

// The members of one tier that serve one family: its own, behind a tunnel all.
struct Tier {
  std::uint8_t tier = 0;
  bool v4 = true;
  std::vector<MemberIndex> members;  // by their keys
  std::vector<MemberIndex> slots;
  bool operator==(const Tier&) const = default;
};

// All tiers, lowest first. Members of weight 0 have no part.
std::vector<Tier> build_tiers(const dataplane::ServiceSpec& service,
                              const std::vector<MemberIndex>& members,
                              const dataplane::FlowHasher& hasher);

std::size_t slot_of(std::uint64_t hash, std::size_t slots);

// The first tier of that family.
const Tier* first_tier(const std::vector<Tier>& tiers, bool v4);

using TakesNew = std::function<bool(MemberIndex)>;

// A new flow's member: per tier the slot's own, else one of up to eight rehashes, else the next in
// order of the keys.
std::optional<MemberIndex> choose_new(const std::vector<Tier>& tiers,
                                      bool v4,
                                      std::uint64_t hash,
                                      const dataplane::FlowHasher& hasher,
                                      const TakesNew& takes_new);

// Where else a flow may live, most likely first: the member of `former`, if there is such a tier,
// the slot's own, those of up to eight rehashes; at most `most`, without `chosen`, none twice.
std::vector<MemberIndex> choose_others(const Tier* former,
                                       const Tier* now,
                                       std::uint64_t hash,
                                       const dataplane::FlowHasher& hasher,
                                       MemberIndex chosen,
                                       std::size_t most);

// Which of 64 groups of sources an address belongs to: by itself, in IPv6 by its first 64 bits.
std::uint64_t group_of_source(const dataplane::Address& source,
                              const dataplane::FlowHasher& hasher);

// The bits of a fragment's id that change when its source `from` becomes `to`.
std::uint32_t other_id(const dataplane::Address& from,
                       const dataplane::Address& to,
                       const dataplane::FlowHasher& hasher);

}  // namespace holdfast::testing
