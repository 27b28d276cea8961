// SPDX-License-Identifier: Apache-2.0
// Damages valid frames the way broken and hostile senders do. The same seed does the same. Tests
// only.
#pragma once

#include "tests/support/packet.h"

#include <cstdint>
#include <random>

namespace holdfast::testing {

enum class Mutation : std::uint8_t {
  kNone,
  kBit,        // one bit turned
  kByte,       // one byte made anything
  kSwap,       // two bytes swapped
  kBoundary,   // a field of two bytes at its least, its greatest, or one off
  kCut,        // the end is missing
  kGrown,      // something stands behind the end
  kLength,     // a length field lies by a little
  kHeaderBit,  // IHL or data offset says something else
  kTag,        // a VLAN tag, or two
  kTwice,      // a header stands there twice
  kFragment,   // says that it is a part
  kSource,     // from an address that cannot send, or from ours
  kCount
};

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  // One to three mutations; afterwards the IPv4 header checksum is right again, mostly.
  void mutate(Bytes& frame);
  // 0 to bound - 1.
  std::size_t below(std::size_t bound) { return random_() % bound; }

 private:
  void apply(Bytes& frame, Mutation mutation);
  void put_boundary(Bytes& frame, std::size_t at);
  void lie_about_a_length(Bytes& frame);
  void insert_tags(Bytes& frame);
  void repeat_a_header(Bytes& frame);

  std::mt19937_64 random_;
};

// Makes the checksum of an untagged or tagged frame's IPv4 header right, if it has a whole one.
void mend_ipv4_checksum(Bytes& frame);

// Where the network header begins: behind up to two tags. Past the end when there is none.
std::size_t network_offset(const Bytes& frame);

}  // namespace holdfast::testing
