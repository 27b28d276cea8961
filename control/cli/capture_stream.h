// SPDX-License-Identifier: Apache-2.0
// Bytes of a capture in order, counted, and integers of either byte order in them. Used by the
// readers of the two formats only.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <istream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::control {

class CaptureStream {
 public:
  enum class Got : std::uint8_t { kAll, kNothing, kPart };

  explicit CaptureStream(std::istream& in) : in_(in) {}

  // Fills `into`, or says that the file ended before its first byte or within it.
  Got read(std::span<std::byte> into);
  // The next `count` bytes; fewer where the file ends before.
  std::vector<std::byte> take(std::size_t count);
  Got skip(std::uint64_t count);
  // Bytes read so far.
  [[nodiscard]] std::uint64_t offset() const { return offset_; }
  // True when reading itself failed: what looks like the file's end is none.
  [[nodiscard]] bool failed() const { return in_.bad(); }
  // "`what` (byte 1234)", or that reading failed.
  [[nodiscard]] std::string complaint(std::string_view what) const;

 private:
  std::istream& in_;
  std::uint64_t offset_ = 0;
};

// How the integers of a capture stand: as on the machine that wrote it.
enum class ByteOrder : std::uint8_t { kLittle, kBig };

// Requires: offset + sizeof(Integer) <= bytes.size().
template <typename Integer>
Integer read_integer(std::span<const std::byte> bytes, std::size_t offset, ByteOrder order) {
  std::array<std::byte, sizeof(Integer)> raw;
  std::ranges::copy(bytes.subspan(offset, raw.size()), raw.begin());
  const bool native = (order == ByteOrder::kLittle) == (std::endian::native == std::endian::little);
  const auto value = std::bit_cast<Integer>(raw);
  return native ? value : std::byteswap(value);
}

}  // namespace holdfast::control
