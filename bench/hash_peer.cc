// SPDX-License-Identifier: Apache-2.0
// See hash_peer.h. The table stands in an external heap (rte_malloc.h), because the environment's
// own memory is on 4 KB pages where there is no hugetlbfs.
#include "bench/hash_peer.h"

#include <array>
#include <utility>

#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_malloc.h>

namespace holdfast::dataplane::bench {
namespace {

constexpr std::size_t kPage = std::size_t{2} << 20;
// Entries of 32 bytes, buckets of 64 for eight, free slots of 4, each rounded to a power of two.
constexpr std::uint64_t kBytesPerEntry = 72;
constexpr std::size_t kSlack = std::size_t{64} << 20;

}  // namespace

HashPeer::Key HashPeer::Key::of(const FlowKey& key) {
  return {.source = key.source.v4_bits().wire(),
          .destination = key.destination.v4_bits().wire(),
          .source_port = key.source_port.wire(),
          .destination_port = key.destination_port.wire(),
          .protocol = static_cast<std::uint32_t>(key.protocol)};
}

std::unique_ptr<HashPeer> HashPeer::create(std::uint64_t flows) {
  static int number = 0;
  const auto entries = static_cast<std::uint32_t>(flows * 5 / 4 + 64);
  std::string name = "peer_" + std::to_string(number++);
  std::unique_ptr<HashPeer> peer(
      new HashPeer(Region(entries * kBytesPerEntry * 2 + kSlack), std::move(name)));
  const auto memory = peer->region_.bytes();
  if (rte_malloc_heap_create(peer->name_.c_str()) != 0 ||
      rte_malloc_heap_memory_add(
          peer->name_.c_str(), memory.data(), memory.size(), nullptr, 0, kPage) != 0) {
    return nullptr;
  }
  rte_hash_parameters parameters{};
  parameters.name = peer->name_.c_str();
  parameters.entries = entries;
  parameters.key_len = sizeof(Key);
  parameters.hash_func = rte_hash_crc;
  parameters.socket_id = rte_malloc_heap_get_socket(peer->name_.c_str());
  peer->table_ = rte_hash_create(&parameters);
  return peer->table_ == nullptr ? nullptr : std::move(peer);
}

HashPeer::~HashPeer() {
  rte_hash_free(table_);
  rte_malloc_heap_memory_remove(name_.c_str(), region_.bytes().data(), region_.bytes().size());
  rte_malloc_heap_destroy(name_.c_str());
}

bool HashPeer::insert(const Key& key) { return rte_hash_add_key(table_, &key) >= 0; }

std::size_t HashPeer::find(std::span<const Key> burst) const {
  std::array<const void*, kBurstSize> keys{};
  std::array<hash_sig_t, kBurstSize> signatures{};
  std::array<std::int32_t, kBurstSize> positions{};
  const auto count = static_cast<std::uint32_t>(burst.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    keys[i] = &burst[i];
    signatures[i] = rte_hash_crc(&burst[i], sizeof(Key), 0);
  }
  rte_hash_lookup_with_hash_bulk(table_, keys.data(), signatures.data(), count, positions.data());
  std::size_t found = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    found += positions[i] >= 0 ? 1U : 0U;
  }
  return found;
}

}  // namespace holdfast::dataplane::bench
