// SPDX-License-Identifier: Apache-2.0
// The 5-tuples that flow entries and NAT records stand for. Entries keep a binding and a member
// instead of addresses; with the generation they become packets' keys again: for validation, for
// moving an entry, for taking a record out of its indexes. Pure.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/flow_table.h"
#include "dataplane/generation.h"
#include "dataplane/nat_table.h"
#include "dataplane/prefix.h"

#include <optional>

namespace holdfast::dataplane {

// What the client sends. nullopt when the binding is gone, or is none of this table's.
template <typename Entry>
std::optional<FlowKey> client_key_of(const Entry& entry, const Generation& generation) {
  const BindingForward* binding = generation.binding(entry.binding);
  const bool v4 = entry.source_address().is_v4();
  if (binding == nullptr || binding->protocol == kNoProtocol || v4 != binding->vip.is_v4() ||
      !Entry::takes(v4, binding->prefixed())) {
    return std::nullopt;
  }
  const Address destination = entry.destination_of(binding->vip);
  if (!holds(binding->vip, binding->prefix_bits, destination)) {
    return std::nullopt;
  }
  return FlowKey{.source = entry.source_address(),
                 .destination = destination,
                 .source_port = Be16::from_wire(entry.source_port),
                 .destination_port = Be16::from_wire(entry.destination_port),
                 .protocol = binding->protocol};
}

// What stands for all flows of a source prefix. Ports and protocol are 0, and the destination is
// the family's zero address.
inline FlowKey prefix_key(const Address& prefix) {
  return {.source = prefix,
          .destination = prefix.is_v4() ? Address::v4(Be32{}) : Address{},
          .source_port = {},
          .destination_port = {},
          .protocol = kNoProtocol};
}

// The hash that places a service's affinity record for a prefix in its table. Of its own for each
// service, so that one source's records of many services do not crowd in one bucket.
inline std::uint64_t affinity_place(const FlowKey& of_prefix,
                                    std::uint16_t affinity_binding,
                                    const FlowHasher& hasher) {
  return hasher.words(hasher(of_prefix), affinity_binding);
}

// What places an entry in its table: of a flow the hash of its key, of an affinity record
// affinity_place(). nullopt when it cannot have been written for the generation's bindings.
template <typename Entry>
std::optional<std::uint64_t> place_of_entry(const Entry& entry, const Generation& generation) {
  if (entry.state != FlowState::kAffinity) {
    const std::optional<FlowKey> key = client_key_of(entry, generation);
    return key ? std::optional(generation.hasher()(*key)) : std::nullopt;
  }
  const BindingForward* binding = generation.binding(entry.binding);
  const Address source = entry.source_address();
  if (binding == nullptr || binding->protocol != kNoProtocol || entry.source_port != 0 ||
      entry.destination_port != 0 || !Entry::takes(source.is_v4(), false)) {
    return std::nullopt;
  }
  return affinity_place(prefix_key(source), entry.binding, generation.hasher());
}

// The id of a fragment (Be16 in IPv4, Be32 in IPv6) whose source becomes another; twice, it is as
// it was. Many senders share an address then, each with ids of its own: two that count in step
// would have their datagrams put together from each other's pieces. As RFC 6864 §5.3 asks, and as
// RFC 8200 §4.5 makes it necessary (an id is unique for a pair of addresses), the id is changed
// with the address: by a number for the pair of addresses that nobody outside can tell, the same
// for all pieces, and without any two ids of one sender becoming the same, as a hash of the id
// would.
template <typename Identification>
Identification changed_identification(Identification id,
                                      const Address& from,
                                      const Address& to,
                                      const FlowHasher& hasher) {
  constexpr std::uint64_t kDomain = 6864;  // what shows on the wire is no hash used elsewhere
  const std::uint64_t change = hasher.words(hasher.address_pair(from, to), kDomain);
  return Identification::from_host(static_cast<decltype(id.to_host())>(id.to_host() ^ change));
}

// The client of the slot's flow, whichever way the packet goes. Requires: track and select have
// run.
inline const Address& client_of(const Burst& burst, Slot slot, const NatTable& nat) {
  const std::uint32_t record = burst.record[slot];
  return record == kNoRecord ? burst.key[slot].source : nat.record(record).client;
}

// The address that the client of a translated flow asked for. Requires: `binding` is the record's.
inline const Address& vip_of(const NatTable& nat,
                             std::uint32_t index,
                             const BindingForward& binding) {
  return binding.prefixed() ? nat.vip(index) : binding.vip;
}

inline std::optional<FlowKey> client_key_of(const NatTable& nat,
                                            std::uint32_t index,
                                            const Generation& generation) {
  const NatRecord& record = nat.record(index);
  const BindingForward* binding = generation.binding(record.binding);
  if (binding == nullptr || binding->protocol == kNoProtocol ||
      record.client.is_v4() != binding->vip.is_v4()) {
    return std::nullopt;
  }
  const Address& vip = vip_of(nat, index, *binding);
  if (!holds(binding->vip, binding->prefix_bits, vip)) {
    return std::nullopt;
  }
  return FlowKey{.source = record.client,
                 .destination = vip,
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

// Whether that is the key of a record's replies: reply_key_of(), compared without being put
// together.
inline bool replies_bear(const FlowKey& key,
                         const NatRecord& record,
                         const Generation& generation) {
  if (record.pool_port != key.destination_port || record.pool != key.destination) {
    return false;
  }
  const BindingForward* binding = generation.binding(record.binding);
  const MemberForward* member = generation.member({record.member, record.epoch});
  return binding != nullptr && member != nullptr && binding->protocol == key.protocol &&
         member->address == key.source &&
         member_port_of(*member, record.service_port) == key.source_port;
}

// The record whose replies bear this key; kNoRecord: none. `hash` is the key's. Requires: both
// addresses are of one family.
inline std::uint32_t find_reply(const NatTable& nat,
                                const Generation& generation,
                                std::uint64_t hash,
                                const FlowKey& key) {
  return nat.reply().find(hash, [&](std::uint32_t candidate) {
    return replies_bear(key, nat.record(candidate), generation);
  });
}

}  // namespace holdfast::dataplane
