// SPDX-License-Identifier: Apache-2.0
// Laying out the buffers. Tests and fuzzers.
#include "tests/support/exact_burst.h"

#include "tests/support/frame_record.h"

#include <cstring>

namespace holdfast::testing {

ExactBurst::ExactBurst(std::span<const Bytes> frames, Room room) {
  record_frames(frames);
  for (const Bytes& bytes : frames) {
    storage_.emplace_back(new std::byte[room.head + bytes.size() + room.tail]);
    std::byte* data = storage_.back().get() + room.head;
    if (!bytes.empty()) {
      std::memcpy(data, bytes.data(), bytes.size());
    }
    burst_.frame[storage_.size() - 1] = {
        .data = data,
        .length = static_cast<std::uint32_t>(bytes.size()) + room.beyond,
        .contiguous = static_cast<std::uint16_t>(bytes.size()),
        .headroom = room.head,
        .tailroom = room.tail,
        .port = 0,
        .handle = nullptr};
  }
  burst_.begin(static_cast<std::uint16_t>(frames.size()));
}

Bytes ExactBurst::bytes(dataplane::Slot slot) const {
  const auto span = burst_.frame[slot].bytes();
  Bytes result(span.size());
  if (!span.empty()) {
    std::memcpy(result.data(), span.data(), span.size());
  }
  return result;
}

}  // namespace holdfast::testing
