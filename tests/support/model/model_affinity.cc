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

bool has_weight(const dataplane::ServiceSpec& service, const Member& member) {
  return std::ranges::any_of(service.members, [&](const auto& spec) {
    return member.is(service.name, spec) && spec.weight != 0;
  });
}

}  // namespace

SourceName BurstRun::source_name(const dataplane::ServiceSpec& service, const Address& client) {
  const dataplane::AffinitySpec& affinity = service.affinity;
  const std::size_t kept =
      client.is_v4() ? 96U + affinity.prefix_v4 : std::size_t{affinity.prefix_v6};
  return {.service = service.name, .prefix = without_host_bits(client, kept)};
}

// A new flow needs a member that takes new ones and has a weight; a packet in the middle of one
// only one that keeps its flows. Members of another mode would not know what to do with it.
std::optional<MemberIndex> BurstRun::remembered(const Travelling& t) const {
  if (!has_affinity(t)) {
    return std::nullopt;
  }
  const auto found = m_.memory_.find(source_name(service(t), t.packet.source));
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
  const bool weighted = has_weight(service(t), member);
  const bool takes = member.disposition == Disposition::kNew && weighted;
  return takes ? std::optional(index) : std::nullopt;
}

// In a full table what is over gives way. Half-open and unproven flows give way to each other, and
// what is only remembered to unproven ones. Which of them is the product's choice.
bool BurstRun::make_room_in(Width width, FlowState state) {
  if (!m_.is_full(width)) {
    return true;
  }
  const bool is_unproven = state == FlowState::kUnproven || state == FlowState::kUnprovenEnd;
  const auto yields = [&](FlowState resident) {
    return (is_unproven && resident == FlowState::kHalfOpen) ||
           (state == FlowState::kHalfOpen &&
            (resident == FlowState::kUnproven || resident == FlowState::kUnprovenEnd));
  };
  bool may_have_room = false;
  for (const bool over : {false, true}) {
    for (auto entry = m_.entries_.begin(); entry != m_.entries_.end(); ++entry) {
      const auto& [name, one] = *entry;
      const bool is_over = m_.is_over(name, one, now_s_);
      if (m_.width_of(name) != width || is_over != over || !(over || yields(one.state))) {
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
          !(over || is_unproven)) {
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

// Of members that the service has no new flows for nothing is remembered.
void BurstRun::remember(const FlowName& flow, MemberIndex to) {
  const std::optional<std::size_t>& of = m_.bindings_[flow.binding].in_service;
  if (!of || m_.spec_.services[*of].affinity.seconds == 0) {
    return;
  }
  const dataplane::ServiceSpec& service = m_.spec_.services[*of];
  const Member& member = m_.members_[to];
  if (member.mode != service.mode || !has_weight(service, member)) {
    return;
  }
  const SourceName name = source_name(service, flow.client);
  auto found = m_.memory_.find(name);
  if (found == m_.memory_.end()) {
    const Width width = Model::width_of(name);
    if (m_.remembered(flow.client.is_v4()) >= m_.capacity(width) / 4 ||
        !make_room_in(width, FlowState::kAffinity)) {
      ++m_.counts_.affinity_full;
      return;
    }
    found = m_.memory_.emplace(name, Remembered{}).first;
  } else {
    --m_.members_[found->second.member].counts.entries;
  }
  found->second = {.member = to, .seen_s = now_s_};
  ++m_.members_[to].counts.entries;
}

}  // namespace holdfast::testing
