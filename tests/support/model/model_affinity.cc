// SPDX-License-Identifier: Apache-2.0
// Source-address affinity by the contract of dataplane/affinity.h.
#include "tests/support/model/model_burst.h"

#include <algorithm>

namespace holdfast::testing {
namespace {

// What a packet begins, as far as anybody can tell who has not seen it before.
bool may_begin(const Reading& packet) { return !packet.tcp() || packet.syn(); }

Address without_host_bits(Address address, std::size_t kept) {
  for (std::size_t bit = kept; bit < 128; ++bit) {
    const int others = 0xff ^ (0x80 >> bit % 8);
    address.bytes.at(bit / 8) = static_cast<std::uint8_t>(address.bytes.at(bit / 8) & others);
  }
  return address;
}

}  // namespace

SourceName BurstRun::source_name(const Travelling& t) const {
  const dataplane::AffinitySpec& affinity = service(t).affinity;
  const std::size_t kept = t.packet.v4 ? 96U + affinity.prefix_v4 : std::size_t{affinity.prefix_v6};
  return {.service = service(t).name, .prefix = without_host_bits(t.packet.source, kept)};
}

// A new flow needs a member that takes new ones and has a weight; a packet in the middle of one
// only one that keeps its flows. Members of another mode would not know what to do with it.
std::optional<MemberIndex> BurstRun::remembered(const Travelling& t) const {
  if (!has_affinity(t)) {
    return std::nullopt;
  }
  const auto found = m_.memory_.find(source_name(t));
  if (found == m_.memory_.end() || m_.is_over(found->first, found->second, now_s_)) {
    return std::nullopt;
  }
  const MemberIndex index = found->second.member;
  const Member& member = m_.members_[index];
  if (member.mode != service(t).mode) {
    return std::nullopt;
  }
  if (!may_begin(t.packet)) {
    return keeps_flows(index) ? std::optional(index) : std::nullopt;
  }
  const bool weighted = std::ranges::any_of(service(t).members, [&](const auto& spec) {
    return member.is(service(t).name, spec) && spec.weight != 0;
  });
  const bool takes = member.disposition == Disposition::kNew && weighted;
  return takes ? std::optional(index) : std::nullopt;
}

// In a full table what is over gives way; to a flow that has shown itself also what is half-open,
// and what is only remembered. Which of them is the product's choice. Where one frame needs room
// twice, the second time is for a record, to which only what is over gives way.
bool BurstRun::make_room_in(Width width, FlowState state) {
  if (!m_.is_full(width)) {
    return true;
  }
  const bool shown = state != FlowState::kHalfOpen && state != FlowState::kAffinity;
  bool may_have_room = false;
  for (const bool over : {false, true}) {
    for (auto entry = m_.entries_.begin(); entry != m_.entries_.end(); ++entry) {
      const auto& [name, one] = *entry;
      const bool is_over = m_.is_over(name, one, now_s_);
      if (m_.width_of(name) != width || is_over != over ||
          !(over || (shown && one.state == FlowState::kHalfOpen))) {
        continue;
      }
      may_have_room = true;
      if (!entry_stands_(name)) {
        m_.end_entry(entry);
        return true;
      }
    }
    for (auto found = m_.memory_.begin(); found != m_.memory_.end(); ++found) {
      const auto& [name, one] = *found;
      if (Model::width_of(name) != width || m_.is_over(name, one, now_s_) != over ||
          !(over || shown)) {
        continue;
      }
      may_have_room = true;
      if (!memory_stands_(name)) {
        m_.forget(found);
        return true;
      }
    }
  }
  if (may_have_room) {
    throw Impossible("a full table made no room, though it could");
  }
  return false;
}

void BurstRun::remember(const Travelling& t) {
  if (!has_affinity(t) || !may_begin(t.packet)) {
    return;
  }
  const SourceName name = source_name(t);
  auto found = m_.memory_.find(name);
  if (found == m_.memory_.end()) {
    const Width width = Model::width_of(name);
    if (m_.remembered(t.packet.v4) >= m_.capacity(width) / 4 ||
        !make_room_in(width, FlowState::kAffinity)) {
      ++m_.counts_.affinity_full;
      return;
    }
    found = m_.memory_.emplace(name, Remembered{}).first;
  } else {
    --m_.members_[found->second.member].counts.entries;
  }
  found->second = {.member = t.member, .seen_s = now_s_};
  ++m_.members_[t.member].counts.entries;
}

}  // namespace holdfast::testing
