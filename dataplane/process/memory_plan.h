// SPDX-License-Identifier: Apache-2.0
// How much memory the process takes, decided before any of it is taken: everything is allocated at
// start, so that it fails there with a figure and not later under load. Start-up only.
#pragma once

#include "dataplane/process/failure.h"
#include "dataplane/spec.h"
#include "dataplane/state.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace holdfast::dataplane {

inline constexpr std::uint16_t kDeviceDescriptors = 1024;  // of each of a port's queues

struct MemoryPlan {
  std::uint32_t workers = 1;
  StateGeometry geometry;
  std::size_t state_bytes = 0;
  std::uint32_t mbufs = 0;
  std::uint16_t mbuf_data_room = 0;  // with headroom
  std::size_t buffer_bytes = 0;      // what the EAL gets: mbufs, device structures
  std::size_t worker_bytes = 0;      // heap: each worker's own, and the rings between them
  bool huge_buffers = false;         // buffers on huge pages
  bool huge_state = false;           // state on huge pages
  std::string notice;                // what was asked for in vain; empty: nothing

  // With room for generations and the process itself.
  [[nodiscard]] std::size_t total_bytes() const;
  // Of the state file: a whole number of huge pages, wherever it is.
  [[nodiscard]] std::size_t state_file_bytes() const;
};

// A state file that is there: what an earlier process left, with the memory it still holds.
struct StateFound {
  std::size_t file_bytes = 0;  // its size; 0: there is none
  std::size_t held_bytes = 0;
};

// What the machine offers, as far as it matters here.
struct MachineMemory {
  std::size_t available_bytes = 0;  // for 4 KiB pages: the least of the machine's and the cgroup's
  std::size_t huge_free_bytes = 0;  // in 2 MiB pages
  std::size_t total_bytes = 0;      // of the machine; 0: not known
  std::uint32_t usable_cores = 1;
  StateFound huge_state;      // on huge pages
  StateFound ordinary_state;  // elsewhere
};
// All but the state files (state_file.h).
MachineMemory load_machine_memory();

// Frames of the ring from one worker to another, a power of two: 1024, less where so many pairs
// would need more than 256 Ki buffers for full rings, but two bursts at least.
std::uint32_t dispatch_ring_frames(std::uint32_t workers);

// A frame of a kernel's packet ring for this MTU: a power of two that holds the frame, a VLAN tag
// and the ring's own header.
std::uint32_t ring_frame_bytes(std::uint16_t mtu);
// The longest packet that such a frame holds.
std::uint16_t ring_mtu(std::uint32_t frame_bytes);

// `mtus` are those of the af_packet and owned ports; `preloaded` counts frames that repeating pcap
// ports keep in memory. The state goes where one of its size already is, whose memory it takes
// over; else onto huge pages when there is room. Fails when `memory_bytes` or the machine is too
// small, or a network card would have no huge pages for its buffers: the text says how much is
// needed and what to change. Pure.
Result<MemoryPlan> plan_memory(const StartupSpec& startup,
                               const std::vector<std::uint16_t>& mtus,
                               std::uint64_t preloaded,
                               const MachineMemory& machine);

}  // namespace holdfast::dataplane
