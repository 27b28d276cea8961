// SPDX-License-Identifier: Apache-2.0
// DPDK's rte_hash as a flow table: 16-byte IPv4 keys, CRC32C, lookups in bulk with signatures
// computed before, in memory of ours on the same pages as the subject's. One thread.
#pragma once

#include "bench/region.h"
#include "dataplane/burst.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

struct rte_hash;

namespace holdfast::dataplane::bench {

class HashPeer {
 public:
  struct alignas(16) Key {
    std::uint32_t source = 0;
    std::uint32_t destination = 0;
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    std::uint32_t protocol = 0;
    static Key of(const FlowKey& key);
  };

  // A table with room for `flows` and a quarter more. Null when it cannot be made.
  // Requires: start_dpdk() (dpdk.h).
  static std::unique_ptr<HashPeer> create(std::uint64_t flows);
  HashPeer(const HashPeer&) = delete;
  HashPeer& operator=(const HashPeer&) = delete;
  ~HashPeer();

  // False when there is no room.
  bool insert(const Key& key);
  // How many are there. Requires: at most a burst of keys.
  std::size_t find(std::span<const Key> burst) const;

 private:
  HashPeer(Region region, std::string name) : region_(std::move(region)), name_(std::move(name)) {}

  Region region_;
  std::string name_;
  rte_hash* table_ = nullptr;
};

}  // namespace holdfast::dataplane::bench
