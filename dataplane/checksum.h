// SPDX-License-Identifier: Apache-2.0
// The Internet checksum: RFC 1071 sums, RFC 1624 updates, pseudo headers of RFC 9293 §3.1, RFC 768
// and RFC 8200 §8.1. Sums are kept in the byte order of memory, which RFC 1071 §2(B) allows, so a
// folded sum is stored as it is. Used by parse, respond and rewrite; pure, any thread.
#pragma once

#include "dataplane/address.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace holdfast::dataplane {

// A one's-complement sum not yet folded to 16 bits. Sums of disjoint parts may be added with `+`,
// as long as every part but the last has an even length.
class ChecksumSum {
 public:
  constexpr ChecksumSum() = default;
  // The 16-bit words of `bytes`, an odd last byte padded with zero.
  explicit ChecksumSum(std::span<const std::byte> bytes) { add(bytes); }

  // Any alignment and length.
  void add(std::span<const std::byte> bytes) {
    const std::byte* at = bytes.data();
    std::size_t left = bytes.size();
    for (; left >= 4; left -= 4, at += 4) {
      std::uint32_t word = 0;
      std::memcpy(&word, at, 4);
      sum_ += word;
    }
    if (left >= 2) {
      std::uint16_t word = 0;
      std::memcpy(&word, at, 2);
      sum_ += word;
      at += 2;
      left -= 2;
    }
    if (left == 1) {
      const auto last = std::to_integer<std::uint16_t>(*at);
      add(Be16::from_host(static_cast<std::uint16_t>(last << 8)));
    }
  }
  constexpr void add(Be16 word) { sum_ += word.wire(); }
  constexpr void add(Be32 word) { sum_ += word.wire(); }
  // The 4 or 16 bytes that stand in a header of its family.
  void add(const Address& address) {
    const auto bytes = std::as_bytes(std::span(address.bytes));
    add(address.is_v4() ? bytes.subspan(12) : bytes);
  }

  // Counts `from` as taken away and `to` as put in its place (~m + m' of RFC 1624 eqn. 3).
  constexpr void replace(Be16 from, Be16 to) {
    sum_ += static_cast<std::uint16_t>(~from.wire());
    sum_ += to.wire();
  }
  constexpr void replace(Be32 from, Be32 to) {
    sum_ += static_cast<std::uint32_t>(~from.wire());
    sum_ += to.wire();
  }
  // As replace() of the words that stand in a header of their family.
  constexpr void replace(const Address& from, const Address& to) {
    if (from.is_v4() && to.is_v4()) [[likely]] {
      return replace(from.v4_bits(), to.v4_bits());
    }
    const auto gone = std::bit_cast<std::array<std::uint32_t, 4>>(from.bytes);
    const auto come = std::bit_cast<std::array<std::uint32_t, 4>>(to.bytes);
    for (std::size_t i = 0; i < gone.size(); ++i) {
      replace(Be32::from_wire(gone[i]), Be32::from_wire(come[i]));
    }
  }

  [[nodiscard]] constexpr std::uint16_t folded() const {
    std::uint64_t sum = (sum_ & 0xffffffff) + (sum_ >> 32);
    sum = (sum & 0xffff) + (sum >> 16);  // at most 0x1_ffff + 0xffff
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>((sum & 0xffff) + (sum >> 16));
  }
  // What a header carries: the complement of the sum.
  [[nodiscard]] constexpr Be16 checksum() const {
    return Be16::from_wire(static_cast<std::uint16_t>(~folded()));
  }
  // True for data that contains its own valid checksum. A sum folds to its remainder modulo 0xffff,
  // and to 0xffff where that is 0.
  [[nodiscard]] constexpr bool verifies() const { return sum_ % 0xffff == 0 && sum_ != 0; }

  constexpr ChecksumSum operator+(const ChecksumSum& other) const {
    ChecksumSum result;
    result.sum_ = sum_ + other.sum_;
    return result;
  }

 private:
  std::uint64_t sum_ = 0;  // room for 2^32 words
};

// The pseudo header in front of TCP, UDP and ICMPv6. `length` is that of the upper-layer header and
// its payload.
inline ChecksumSum pseudo_header(const Address& source,
                                 const Address& destination,
                                 Protocol protocol,
                                 std::uint32_t length) {
  ChecksumSum sum;
  sum.add(source);
  sum.add(destination);
  sum.add(Be32::from_host(length));
  sum.add(Be16::from_host(static_cast<std::uint16_t>(protocol)));
  return sum;
}

// RFC 1624 eqn. 3: the checksum after the changes that `changes` collected with replace(). Exact
// for all values: equal to recomputing it over data that is not all zero.
constexpr Be16 update_checksum(Be16 checksum, const ChecksumSum& changes) {
  ChecksumSum sum = changes;
  sum.add(Be16::from_wire(static_cast<std::uint16_t>(~checksum.wire())));
  return sum.checksum();
}

// UDP: 0 means "none" and stays; a computed 0 is sent as its other form, 0xffff (RFC 768).
constexpr Be16 update_udp_checksum(Be16 checksum, const ChecksumSum& changes) {
  if (checksum == Be16{}) {
    return checksum;
  }
  const Be16 updated = update_checksum(checksum, changes);
  return updated == Be16{} ? Be16::from_host(0xffff) : updated;
}

}  // namespace holdfast::dataplane
