// SPDX-License-Identifier: Apache-2.0
// Writes a classic pcap of Ethernet frames, for `holdfast replay`: little endian, microseconds or
// nanoseconds. The caller watches the stream's state.
#pragma once

#include "control/cli/capture.h"

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <span>

namespace holdfast::control {

enum class CaptureResolution : std::uint8_t { kMicroseconds, kNanoseconds };

class CaptureWriter {
 public:
  // Writes the file's header. `out` must outlive the writer.
  CaptureWriter(std::ostream& out, CaptureResolution resolution);

  // Requires: original_length >= bytes.size(). Of the seconds the lower 32 bits are kept.
  void write(CaptureTime time, std::span<const std::byte> bytes, std::uint32_t original_length);
  // Records so far, so the index of the next one.
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  std::ostream& out_;
  CaptureResolution resolution_;
  std::uint64_t count_ = 0;
};

}  // namespace holdfast::control
