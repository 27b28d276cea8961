// SPDX-License-Identifier: Apache-2.0
// The 5-tuples that flow entries and NAT records stand for. Entries keep a binding and a member
// instead of addresses; with the generation they become packets' keys again: for validation, for
// moving an entry, for taking a record out of its indexes. Pure.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/flow_table.h"
#include "dataplane/generation.h"
#include "dataplane/nat_table.h"

#include <optional>

namespace holdfast::dataplane {

// What the client sends. nullopt when the binding is gone.
template <typename Entry>
std::optional<FlowKey> client_key_of(const Entry& entry, const Generation& generation) {
  const BindingForward* binding = generation.binding(entry.binding);
  if (binding == nullptr || entry.source_address().is_v4() != binding->vip.is_v4()) {
    return std::nullopt;
  }
  return FlowKey{.source = entry.source_address(),
                 .destination = binding->vip,
                 .source_port = Be16::from_wire(entry.source_port),
                 .destination_port = Be16::from_wire(entry.destination_port),
                 .protocol = binding->protocol};
}

inline std::optional<FlowKey> client_key_of(const NatRecord& record, const Generation& generation) {
  const BindingForward* binding = generation.binding(record.binding);
  if (binding == nullptr || record.client.is_v4() != binding->vip.is_v4()) {
    return std::nullopt;
  }
  return FlowKey{.source = record.client,
                 .destination = binding->vip,
                 .source_port = record.client_port,
                 .destination_port = record.service_port,
                 .protocol = binding->protocol};
}

// The member's port that a client reaches by asking for `service_port`.
inline Be16 member_port_of(const MemberForward& member, Be16 service_port) {
  return member.port == Be16{} ? service_port : member.port;
}

// What the member sends back. nullopt when the binding or the member is gone.
inline std::optional<FlowKey> reply_key_of(const NatRecord& record, const Generation& generation) {
  const BindingForward* binding = generation.binding(record.binding);
  const MemberForward* member = generation.member({record.member, record.epoch});
  if (binding == nullptr || member == nullptr || member->address.is_v4() != record.pool.is_v4()) {
    return std::nullopt;
  }
  return FlowKey{.source = member->address,
                 .destination = record.pool,
                 .source_port = member_port_of(*member, record.service_port),
                 .destination_port = record.pool_port,
                 .protocol = binding->protocol};
}

}  // namespace holdfast::dataplane
