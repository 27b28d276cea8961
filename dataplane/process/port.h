// SPDX-License-Identifier: Apache-2.0
// A port: one DPDK device with one receive and one transmit queue. Opened by the main thread;
// received from by the worker that owns it; transmitted to by every worker, under a spinlock when
// there are several: kernel-facing devices carry 0.4-1.2 Mpps, so the lock costs nothing that
// counts. Counters may be read by the main thread at any time.
//
// af_packet: the driver sets DEFRAG and ROLLOVER on its sockets, so there is one queue and our own
// dispatch behind it. All multicast frames are asked for by a socket of our own, whose membership
// ends with the process, instead of by link flags, which would outlive a SIGKILL.
#pragma once

#include "dataplane/frame.h"
#include "dataplane/neighborhood.h"
#include "dataplane/process/descriptor.h"
#include "dataplane/process/failure.h"
#include "dataplane/spec.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_spinlock.h>

namespace holdfast::dataplane {

struct PortCounters {
  std::uint64_t received = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t missed = 0;     // the kernel's or the device's ring was full
  std::uint64_t no_buffer = 0;  // the mbuf pool was empty
  std::uint64_t receive_errors = 0;
  std::uint64_t transmitted = 0;
  std::uint64_t transmitted_bytes = 0;
  std::uint64_t transmit_errors = 0;  // taken from us, not taken by the kernel
  bool link_up = false;
};

// How a port is opened.
struct PortPlan {
  PortIndex index = 0;
  bool shared = false;  // several workers transmit
};

class Port {
 public:
  // Makes and starts the device. The failure is one line that says what to do.
  static Result<std::unique_ptr<Port>> open(const PortSpec& spec,
                                            const PortPlan& plan,
                                            rte_mempool* pool);
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port();

  // At most packets.size() packets; returns how many came. Owner worker only.
  std::uint16_t receive(std::span<rte_mbuf*> packets);
  // Returns how many of the first packets were taken; the rest stay the caller's. Any worker.
  std::uint16_t transmit(std::span<rte_mbuf*> packets);

  [[nodiscard]] const PortSpec& spec() const { return spec_; }
  [[nodiscard]] const Link& link() const { return link_; }
  [[nodiscard]] bool in_process() const { return spec_.device != PortDevice::kAfPacket; }
  // Main thread.
  [[nodiscard]] PortCounters counters();
  [[nodiscard]] const std::vector<std::string>& notices() const { return notices_; }

 private:
  Port(PortSpec spec, const PortPlan& plan) : spec_(std::move(spec)), plan_(plan) {}
  Result<void> create();
  Result<void> create_packet_device(const std::string& device);
  Result<void> start(rte_mempool* pool);
  Result<void> join_all_multicast();
  void note_offloads();

  PortSpec spec_;
  PortPlan plan_;
  Link link_;
  std::string device_;
  std::uint16_t id_ = 0;  // DPDK's
  bool started_ = false;
  Descriptor membership_;
  int ring_socket_ = -1;      // the driver's, for its drop counter; not ours to close
  std::uint64_t missed_ = 0;  // the kernel's counter starts again at each reading
  std::vector<std::string> notices_;
  alignas(64) rte_spinlock_t transmit_lock_ = RTE_SPINLOCK_INITIALIZER;
};

// Records of a capture file, for what a repeating pcap port keeps in memory.
Result<std::uint64_t> count_capture(const std::string& file);

// Raises the limit on locked memory, by which packet rings are sized, as far as it may go.
// Call it before CAP_SYS_RESOURCE is dropped.
void raise_lock_limit();

// Frames per packet ring that may be locked, as the driver does: 4096 if possible, at least 128.
std::uint32_t affordable_ring_frames(std::uint32_t frame_bytes);

}  // namespace holdfast::dataplane
