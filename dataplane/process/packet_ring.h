// SPDX-License-Identifier: Apache-2.0
// What the drivers of virtual devices keep in memory: packet rings, under the limit on locked
// memory, and captures that repeat. Main thread, at start.
#pragma once

#include "dataplane/process/failure.h"

#include <cstdint>
#include <string>

namespace holdfast::dataplane {

inline constexpr std::uint32_t kRingFrames = 4096;  // below, bursts of a few ms overflow the ring

// Records of a capture file, for what a repeating pcap port keeps in memory.
Result<std::uint64_t> count_capture(const std::string& file);

// Raises the limit on locked memory, by which packet rings are sized, as far as it may go.
// Call it before CAP_SYS_RESOURCE is dropped.
void raise_lock_limit();

// Frames per packet ring that may be locked, as the driver does: kRingFrames if possible, at least
// 128.
std::uint32_t affordable_ring_frames(std::uint32_t frame_bytes);

}  // namespace holdfast::dataplane
