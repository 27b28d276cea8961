// SPDX-License-Identifier: Apache-2.0
// A frame as the stages see it. The worker builds frames from mbufs, replay and tests from heap
// buffers of the exact size; the stages cannot tell.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace holdfast::dataplane {

using PortIndex = std::uint8_t;

struct Frame {
  std::byte* data = nullptr;     // first byte of the Ethernet header
  std::uint32_t length = 0;      // of the whole frame, all segments
  std::uint16_t contiguous = 0;  // bytes readable and writable at data
  std::uint16_t headroom = 0;    // bytes writable before data
  std::uint16_t tailroom = 0;    // bytes writable after data + contiguous
  PortIndex port = 0;            // where it came from; where it goes once forwarded
  void* handle = nullptr;        // its owner's token, opaque here

  [[nodiscard]] std::span<std::byte> bytes() const { return {data, contiguous}; }
};

}  // namespace holdfast::dataplane
