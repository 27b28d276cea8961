// SPDX-License-Identifier: Apache-2.0
// See receive_spread.h.
#include "dataplane/receive_spread.h"

#include "dataplane/fnv.h"

#include <algorithm>
#include <bit>

namespace holdfast::dataplane {
namespace {

constexpr std::uint64_t kKeyPurpose = 0x7273732d6b6579;  // of the hasher's words: "rss-key"

// Bit m of a port adds the key's bit (m + b) before the last that the port meets to the hash's bit
// b. So the lowest n bits of both are tied by an n x n matrix with equal antidiagonals, which has
// to have an inverse for every n up to kSpreadBits. 64 rows of bits do that. With this one the
// ports of a worker lie closest where the number of workers is no power of two: less than 5 times
// that number apart.
constexpr std::uint32_t kPortBits = 0b0111110100101;
constexpr std::size_t kPortBitCount = 2 * kSpreadBits - 1;

// The last bit of the key that a destination port meets: of IPv4 and of IPv6.
constexpr std::array<std::size_t, 2> kLastPortBit = {12 * 8 + 30, 36 * 8 + 30};

void set_bit(RssKey& key, std::size_t bit, bool value) {
  const auto mask = static_cast<std::uint8_t>(0x80U >> (bit % 8));
  std::uint8_t& byte = key[bit / 8];
  byte = static_cast<std::uint8_t>(value ? byte | mask : byte & ~mask);
}

}  // namespace

std::uint32_t toeplitz(std::span<const std::uint8_t> key, std::span<const std::uint8_t> input) {
  std::uint64_t window = 0;  // the next 40 bits of the key, of which 32 count
  for (std::size_t i = 0; i < 4; ++i) {
    window = window << 8 | key[i];
  }
  std::uint32_t hash = 0;
  for (std::size_t i = 0; i < input.size(); ++i) {
    window = window << 8 | key[i + 4];
    for (unsigned bit = 0; bit < 8; ++bit) {
      if ((input[i] & (0x80U >> bit)) != 0) {
        hash ^= static_cast<std::uint32_t>(window >> (8 - bit));
      }
    }
  }
  return hash;
}

RssKey build_rss_key(const FlowHasher& hasher) {
  RssKey key{};
  for (std::size_t i = 0; i < key.size() / 8; ++i) {
    const std::uint64_t word = hasher.words(kKeyPurpose, i);
    for (std::size_t byte = 0; byte < 8; ++byte) {
      key[8 * i + byte] = static_cast<std::uint8_t>(word >> (8 * byte));
    }
  }
  for (const std::size_t last : kLastPortBit) {
    for (std::size_t i = 0; i < kPortBitCount; ++i) {
      set_bit(key, last - i, ((kPortBits >> i) & 1) != 0);
    }
  }
  return key;
}

std::vector<std::uint16_t> build_rss_table(std::size_t entries, std::uint16_t queues) {
  std::vector<std::uint16_t> table(entries);
  for (std::size_t i = 0; i < entries; ++i) {
    table[i] = static_cast<std::uint16_t>(i % (std::size_t{1} << kSpreadBits) % queues);
  }
  return table;
}

bool agrees_with_spread(std::size_t entries, std::uint16_t queues) {
  return std::has_single_bit(entries) && (entries >= std::size_t{1} << kSpreadBits ||
                                          (std::has_single_bit(queues) && entries >= queues));
}

ReceiveSpread::ReceiveSpread(const RssKey& key, std::uint32_t workers, HashedPorts hashed)
    : workers_(workers), hashed_(hashed) {
  std::array<std::uint8_t, kTuple> tuple{};
  for (std::size_t place = 0; place < kTuple; ++place) {
    for (std::size_t value = 0; value < 256; ++value) {
      tuple[place] = static_cast<std::uint8_t>(value);
      part_[place][value] = static_cast<std::uint8_t>(toeplitz(key, tuple) & (kEntries - 1));
    }
    tuple[place] = 0;
  }
  const auto table = build_rss_table(kEntries, static_cast<std::uint16_t>(workers));
  for (std::size_t i = 0; i < kEntries; ++i) {
    worker_[i] = static_cast<std::uint8_t>(table[i]);
  }
}

std::uint64_t ReceiveSpread::id() const {
  std::uint64_t id = fnv1a(std::as_bytes(std::span(part_)));
  id = id * 31 + fnv1a(std::as_bytes(std::span(worker_)));
  for (const bool hashed : {hashed_.tcp4, hashed_.udp4, hashed_.tcp6, hashed_.udp6}) {
    id = id * 2 + (hashed ? 1 : 0);
  }
  return std::max<std::uint64_t>(id, 1);
}

std::uint64_t id_of(const Ownership& ownership) {
  return ownership.spread == nullptr ? 0 : ownership.spread->id();
}

}  // namespace holdfast::dataplane
