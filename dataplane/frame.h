// SPDX-License-Identifier: Apache-2.0
// A frame as the stages see it. The worker builds frames from mbufs, replay and tests from heap
// buffers of the exact size; the stages cannot tell.
#pragma once

#include "dataplane/address.h"
#include "dataplane/drop.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace holdfast::dataplane {

using PortIndex = std::uint8_t;

// What a fragment is told of its datagram (fragments.h). It stays with the frame on its way from
// the worker that keeps the datagram to the one that owns the flow.
struct FragmentNote {
  enum class What : std::uint8_t {
    kNothing,  // not asked for yet, or the first fragment has not come
    kFlow,     // the first fragment's ports, flags and upper protocol
    kFault,    // the datagram is dropped as `fault`
  };
  Be16 source_port{};
  Be16 destination_port{};
  Protocol protocol = Protocol::kTcp;
  std::uint8_t tcp_flags = 0;
  Drop fault = Drop::kFragment;
  What what = What::kNothing;
};
static_assert(sizeof(FragmentNote) == 8);

struct Frame {
  std::byte* data = nullptr;     // first byte of the Ethernet header
  std::uint32_t length = 0;      // of the whole frame, all segments
  std::uint16_t contiguous = 0;  // bytes readable and writable at data
  std::uint16_t headroom = 0;    // bytes writable before data
  std::uint16_t tailroom = 0;    // bytes writable after data + contiguous
  PortIndex port = 0;            // where it came from; where it goes once forwarded
  FragmentNote note{};           // of a fragment that was held; else empty
  void* handle = nullptr;        // its owner's token, opaque here

  [[nodiscard]] std::span<std::byte> bytes() const { return {data, contiguous}; }

  // Begins `size` bytes earlier, in the headroom; less than 0: later. Requires: they are there.
  void grow_front(int size) {
    data -= size;
    length = static_cast<std::uint32_t>(static_cast<int>(length) + size);
    contiguous = static_cast<std::uint16_t>(contiguous + size);
    headroom = static_cast<std::uint16_t>(headroom - size);
  }
  // Ends after `size` bytes, all of them contiguous: what was behind becomes tailroom.
  // Requires: size <= contiguous + tailroom.
  void end_at(std::uint16_t size) {
    tailroom = static_cast<std::uint16_t>(tailroom + contiguous - size);
    contiguous = size;
    length = size;
  }
};

}  // namespace holdfast::dataplane
