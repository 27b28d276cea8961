// SPDX-License-Identifier: Apache-2.0
// The classic pcap format, written.
#include "control/cli/capture_writer.h"

#include <array>
#include <bit>

namespace holdfast::control {
namespace {

constexpr std::uint32_t kMicrosecondMagic = 0xa1b2c3d4;
constexpr std::uint32_t kNanosecondMagic = 0xa1b23c4d;
constexpr std::uint32_t kVersion = 2 | (4U << 16);
constexpr std::uint32_t kEthernetLink = 1;

template <std::size_t count>
void write_words(std::ostream& out, std::array<std::uint32_t, count> words) {
  if constexpr (std::endian::native == std::endian::big) {
    for (std::uint32_t& word : words) {
      word = std::byteswap(word);
    }
  }
  out.write(reinterpret_cast<const char*>(words.data()), sizeof words);
}

}  // namespace

CaptureWriter::CaptureWriter(std::ostream& out, CaptureResolution resolution)
    : out_(out), resolution_(resolution) {
  const bool nanoseconds = resolution == CaptureResolution::kNanoseconds;
  write_words<6>(out_,
                 {nanoseconds ? kNanosecondMagic : kMicrosecondMagic,
                  kVersion,
                  0,
                  0,
                  kMaxCaptured,
                  kEthernetLink});
}

void CaptureWriter::write(CaptureTime time,
                          std::span<const std::byte> bytes,
                          std::uint32_t original_length) {
  const bool nanoseconds = resolution_ == CaptureResolution::kNanoseconds;
  write_words<4>(out_,
                 {static_cast<std::uint32_t>(time.seconds),
                  nanoseconds ? time.nanoseconds : time.nanoseconds / 1000,
                  static_cast<std::uint32_t>(bytes.size()),
                  original_length});
  out_.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  ++count_;
}

}  // namespace holdfast::control
