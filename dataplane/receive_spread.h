// SPDX-License-Identifier: Apache-2.0
// Receive-side scaling: by which queue a card hands a frame over, and the other way round, which
// pool port makes a reply come by its owner's queue. The hash is Toeplitz's, as cards compute it
// (Microsoft, "Verifying the RSS Hash Calculation"): a key of bits shifted along the 5-tuple.
//
// The owner rule (owner_of) follows the cards where one is foreseen, so that what arrives there
// stays with the worker that took it. It reckons from the 5-tuple and trusts no card: what comes by
// another queue is handed over, and a card that hashes otherwise costs time, never a flow. Pure;
// the tables are built at start by the main thread and only read afterwards.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/hash.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace holdfast::dataplane {

// As much as any card takes; the hash of an IPv6 5-tuple reads the first 40.
using RssKey = std::array<std::uint8_t, 64>;
inline constexpr std::size_t kRssKeyRead = 40;
// Bits of the hash that choose the queue. Cards have tables of 64 entries and more, most 128.
inline constexpr std::uint32_t kSpreadBits = 7;

// The hash of `input` by `key`, bit by bit. Requires: key.size() >= input.size() + 4.
std::uint32_t toeplitz(std::span<const std::uint8_t> key, std::span<const std::uint8_t> input);

// The key of this node's cards, from its secret, so that nobody can aim at a queue. The bits that
// the low bits of a destination port meet are fixed: among any 2^n consecutive ports from a
// multiple of 2^n, each value of the hash's lowest n bits comes once, whatever the rest of the
// 5-tuple (n <= kSpreadBits).
RssKey build_rss_key(const FlowHasher& hasher);

// The queue of each entry of a card's table, for so many queues. Requires: neither is 0.
std::vector<std::uint16_t> build_rss_table(std::size_t entries, std::uint16_t queues);

// Whether such a table leads to the same queue as one of 2^kSpreadBits entries.
bool agrees_with_spread(std::size_t entries, std::uint16_t queues);

// The families and protocols whose ports all cards hash.
struct HashedPorts {
  bool tcp4 = false;
  bool udp4 = false;
  bool tcp6 = false;
  bool udp6 = false;
  bool operator==(const HashedPorts&) const = default;
};

// Where frames arrive on cards that have a queue for each worker: queue i is worker i's.
class ReceiveSpread {
 public:
  // Requires: 1 <= workers <= 2^kSpreadBits.
  ReceiveSpread(const RssKey& key, std::uint32_t workers, HashedPorts hashed);

  [[nodiscard]] std::uint32_t workers() const { return workers_; }
  // Tells apart what leads some frame to another worker; never 0.
  [[nodiscard]] std::uint64_t id() const;
  // Whether the card looks at the ports of this family and protocol.
  [[nodiscard]] bool covers(const FlowKey& key) const {
    const bool tcp = key.protocol == Protocol::kTcp;
    return key.source.is_v4() ? (tcp ? hashed_.tcp4 : hashed_.udp4)
                              : (tcp ? hashed_.tcp6 : hashed_.udp6);
  }
  // The worker whose queue a frame with this 5-tuple comes by. Requires: covers(key).
  [[nodiscard]] std::uint32_t worker_of(const FlowKey& key) const {
    return worker_of(of_source(key), key.destination, key.destination_port);
  }
  // The same in two steps, for many destinations of one source and family.
  [[nodiscard]] std::uint8_t of_source(const FlowKey& key) const {
    const bool v4 = key.source.is_v4();
    return v4 ? of_bytes<4>(0, key.source) ^ of_port(8, key.source_port)
              : of_bytes<16>(0, key.source) ^ of_port(32, key.source_port);
  }
  [[nodiscard]] std::uint32_t worker_of(std::uint8_t source,
                                        const Address& destination,
                                        Be16 port) const {
    const std::uint8_t target = destination.is_v4()
                                    ? of_bytes<4>(4, destination) ^ of_port(10, port)
                                    : of_bytes<16>(16, destination) ^ of_port(34, port);
    return worker_[source ^ target];
  }

 private:
  static constexpr std::size_t kEntries = std::size_t{1} << kSpreadBits;
  static constexpr std::size_t kTuple = 36;  // bytes of an IPv6 5-tuple

  // The last bytes of an address, which stand at this place of the 5-tuple.
  template <std::size_t kBytes>
  [[nodiscard]] std::uint8_t of_bytes(std::size_t at, const Address& address) const {
    std::uint8_t hash = 0;
    for (std::size_t i = 0; i < kBytes; ++i) {
      hash ^= part_[at + i][address.bytes[address.bytes.size() - kBytes + i]];
    }
    return hash;
  }
  [[nodiscard]] std::uint8_t of_port(std::size_t at, Be16 port) const {
    const std::uint16_t value = port.to_host();
    return part_[at][value >> 8] ^ part_[at + 1][value & 0xff];
  }

  // The hash is linear: what each byte at each place adds to its lowest bits. 9 KiB, of which IPv4
  // reads the first 3.
  std::array<std::array<std::uint8_t, 256>, kTuple> part_{};
  std::array<std::uint8_t, kEntries> worker_{};
  std::uint32_t workers_;
  HashedPorts hashed_;
};

// By which rule flows belong to workers.
struct Ownership {
  std::uint32_t workers = 1;
  const ReceiveSpread* spread = nullptr;  // null where no card's queues are foreseen
};

// Tells two rules for one number of workers apart; 0: by the keyed hash alone.
std::uint64_t id_of(const Ownership& ownership);

}  // namespace holdfast::dataplane
