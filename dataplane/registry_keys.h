// SPDX-License-Identifier: Apache-2.0
// What a record of the registries is about: a specified member or binding with the key of a record
// has its index. Main thread; generation.cc looks up whole generations by it. Keys point into what
// they were made of, which must stay.
#pragma once

#include "dataplane/address_mix.h"
#include "dataplane/registry.h"
#include "dataplane/spec.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <unordered_map>

namespace holdfast::dataplane {

struct MemberKey {
  std::string_view service;
  std::string_view backend;
  Address address;
  std::uint16_t port = 0;
  Mode mode = Mode::kNat;
  bool operator==(const MemberKey&) const = default;
};

struct BindingKey {
  std::string_view service;
  Address vip;
  std::uint8_t prefix_bits = 0;
  Protocol protocol = Protocol::kTcp;
  std::uint16_t first_port = 0;
  std::uint16_t last_port = 0;
  bool operator==(const BindingKey&) const = default;
};

// Of all that many keys may differ in: services may share their backends, or one VIP.
struct KeyHash {
  std::size_t operator()(const MemberKey& key) const {
    constexpr std::hash<std::string_view> kHash;
    return mix_address(key.address, key.port) ^ (31 * kHash(key.service) + kHash(key.backend));
  }
  std::size_t operator()(const BindingKey& key) const {
    return mix_address(key.vip, key.first_port) ^ std::hash<std::string_view>()(key.service);
  }
};

inline MemberKey key_of(const ServiceSpec& service, const MemberSpec& member) {
  return {.service = service.name,
          .backend = member.backend,
          .address = member.address,
          .port = member.port,
          .mode = service.mode};
}
inline MemberKey key_of(const MemberRecord& record) {
  return {.service = record.service.view(),
          .backend = record.backend.view(),
          .address = record.address,
          .port = record.port,
          .mode = record.mode};
}
inline BindingKey key_of(const ServiceSpec& service, const BindingSpec& binding) {
  return {.service = service.name,
          .vip = binding.vip,
          .prefix_bits = binding.prefix_bits,
          .protocol = binding.protocol,
          .first_port = binding.first_port,
          .last_port = binding.last_port};
}
inline BindingKey key_of(const BindingRecord& record) {
  return {.service = record.service.view(),
          .vip = record.vip,
          .prefix_bits = record.prefix_bits,
          .protocol = record.protocol,
          .first_port = record.first_port,
          .last_port = record.last_port};
}

// Whether a specified member can be that one.
inline bool is_meant(const MemberRecord& record) {
  return record.state != RegistryState::kFree && record.copy == 0;
}
inline bool is_meant(const BindingRecord& record) { return record.state != RegistryState::kFree; }

// The records in use by their keys, copies of members aside; of two with the same one the first.
// O(records).
template <typename Key, typename Record>
std::unordered_map<Key, std::uint16_t, KeyHash> index_of(std::span<Record> records) {
  std::unordered_map<Key, std::uint16_t, KeyHash> index(records.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (is_meant(records[i])) {
      index.emplace(key_of(records[i]), static_cast<std::uint16_t>(i));
    }
  }
  return index;
}

}  // namespace holdfast::dataplane
