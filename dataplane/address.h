// SPDX-License-Identifier: Apache-2.0
// Wire integers and addresses. Used by every stage, by the seam and by tests; pure, any thread.
//
// Big-endian integers are classes without implicit conversion, so that a host-order value cannot
// reach the wire by accident. An Address holds both families in 16 bytes: IPv4 is kept in the
// v4-mapped form of RFC 4291 §2.5.5.2 (::ffff:a.b.c.d), which must never appear on the wire and
// is dropped as a martian when it does.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::dataplane {

// A big-endian unsigned integer as it stands in a header.
template <typename Integer>
class BigEndian {
 public:
  constexpr BigEndian() = default;
  static constexpr BigEndian from_host(Integer value) { return BigEndian(swap(value)); }
  // Takes the bytes as they stand on the wire.
  static constexpr BigEndian from_wire(Integer raw) { return BigEndian(raw); }
  [[nodiscard]] constexpr Integer to_host() const { return swap(raw_); }
  [[nodiscard]] constexpr Integer wire() const { return raw_; }
  constexpr bool operator==(const BigEndian&) const = default;

 private:
  explicit constexpr BigEndian(Integer raw) : raw_(raw) {}
  static constexpr Integer swap(Integer value) {
    if constexpr (std::endian::native == std::endian::little) {
      return std::byteswap(value);
    }
    return value;
  }
  Integer raw_ = 0;
};

using Be16 = BigEndian<std::uint16_t>;
using Be32 = BigEndian<std::uint32_t>;

// An IPv4 or IPv6 address, 16 bytes, IPv4 v4-mapped.
struct alignas(16) Address {
  std::array<std::uint8_t, 16> bytes{};

  static constexpr Address v4(Be32 address) {
    const std::array<std::uint32_t, 4> words = {0, 0, mapped_word(), address.wire()};
    return {std::bit_cast<std::array<std::uint8_t, 16>>(words)};
  }
  // Requires: 16 readable bytes.
  static Address v6(const void* wire) {
    Address result;
    std::memcpy(result.bytes.data(), wire, 16);
    return result;
  }
  // Reads "192.0.2.1" or "2001:db8::1"; nullopt for anything else.
  static std::optional<Address> parse(std::string_view text);

  [[nodiscard]] constexpr bool is_v4() const {
    const auto words = std::bit_cast<std::array<std::uint32_t, 4>>(bytes);
    return (words[0] | words[1] | (words[2] ^ mapped_word())) == 0;
  }
  // The last four bytes.
  [[nodiscard]] constexpr Be32 low_bits() const {
    return Be32::from_wire(std::bit_cast<std::uint32_t>(
        std::array<std::uint8_t, 4>{bytes[12], bytes[13], bytes[14], bytes[15]}));
  }
  // Requires: is_v4().
  [[nodiscard]] constexpr Be32 v4_bits() const { return low_bits(); }
  [[nodiscard]] std::string text() const;

  // By words: the array's own operators call memcmp.
  constexpr bool operator==(const Address& other) const {
    const std::array<std::uint64_t, 2> ours = words();
    const std::array<std::uint64_t, 2> theirs = other.words();
    return ((ours[0] ^ theirs[0]) | (ours[1] ^ theirs[1])) == 0;
  }
  constexpr std::strong_ordering operator<=>(const Address& other) const {
    const std::array<std::uint64_t, 2> ours = words();
    const std::array<std::uint64_t, 2> theirs = other.words();
    const std::size_t word = ours[0] == theirs[0] ? 1 : 0;
    return BigEndian<std::uint64_t>::from_wire(ours[word]).to_host() <=>
           BigEndian<std::uint64_t>::from_wire(theirs[word]).to_host();
  }

 private:
  [[nodiscard]] constexpr std::array<std::uint64_t, 2> words() const {
    return std::bit_cast<std::array<std::uint64_t, 2>>(bytes);
  }
  // Bytes 8 to 11 of a v4-mapped address, as they stand in memory.
  static constexpr std::uint32_t mapped_word() {
    return std::bit_cast<std::uint32_t>(std::array<std::uint8_t, 4>{0, 0, 0xff, 0xff});
  }
};
static_assert(sizeof(Address) == 16);

using MacAddress = std::array<std::uint8_t, 6>;
// Multicast or broadcast (IEEE 802, the group bit): nobody's own address.
constexpr bool is_group(const MacAddress& mac) { return (mac[0] & 1) != 0; }

// IANA protocol numbers that the pipeline names.
enum class Protocol : std::uint8_t { kIcmp = 1, kTcp = 6, kUdp = 17, kIcmp6 = 58 };

}  // namespace holdfast::dataplane
