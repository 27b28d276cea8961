// SPDX-License-Identifier: Apache-2.0
// A port: one device with one receive and one transmit queue, DPDK's or a tap. Opened by the main
// thread;
// received from by the worker that owns it; transmitted to by every worker, under a spinlock when
// there are several: kernel-facing devices carry 0.4-1.2 Mpps, so the lock costs nothing that
// counts. Counters may be read by the main thread at any time.
//
// af_packet: the driver sets DEFRAG and ROLLOVER on its sockets, so there is one queue and our own
// dispatch behind it. All multicast frames are asked for by a socket of our own, whose membership
// ends with the process, instead of by link flags, which would outlive a SIGKILL.
//
// Owned ports (tap, memif, pci, af_xdp) give the kernel its view by a twin (twin.h).
#pragma once

#include "dataplane/frame.h"
#include "dataplane/neighborhood.h"
#include "dataplane/process/descriptor.h"
#include "dataplane/process/failure.h"
#include "dataplane/process/tap_device.h"
#include "dataplane/process/twin.h"
#include "dataplane/spec.h"

#include <array>
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

// A card that its bus or its host holds up for some ms must not cost packets: a ring of 256, as
// virtio's, is full after 26 ms at 10 kpps.
inline constexpr std::size_t kWaitingPackets = 512;
inline constexpr std::uint64_t kLongestWaitNs = 100'000'000;

struct PortCounters {
  std::uint64_t received = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t missed = 0;     // the kernel's or the device's ring was full
  std::uint64_t no_buffer = 0;  // the mbuf pool was empty
  std::uint64_t receive_errors = 0;
  std::uint64_t transmitted = 0;
  std::uint64_t transmitted_bytes = 0;
  std::uint64_t transmit_errors = 0;  // taken from us, not taken by the kernel or the device
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
  // Returns how many of the first packets were taken; the rest stay the caller's. What the device's
  // ring has no room for just now waits here, in order, up to kWaitingPackets. Any worker.
  std::uint16_t transmit(std::span<rte_mbuf*> packets);
  // Offers the device again what waits; gives up when it has taken nothing for kLongestWaitNs. The
  // port's worker, each turn. Returns whether anything waited.
  bool retry(std::uint64_t now_ns);

  [[nodiscard]] const PortSpec& spec() const { return spec_; }
  [[nodiscard]] const Link& link() const { return link_; }
  // Null where the kernel has the interface itself, or is to have none.
  [[nodiscard]] Twin* twin() const { return twin_.get(); }
  // Readable while there is something to receive; -1 where nothing tells.
  [[nodiscard]] int wake_descriptor() const { return ring_socket_; }
  // Main thread.
  [[nodiscard]] PortCounters counters();
  [[nodiscard]] bool is_link_up() const;
  [[nodiscard]] const std::vector<std::string>& notices() const { return notices_; }

 private:
  Port(PortSpec spec, const PortPlan& plan, rte_mempool* pool)
      : spec_(std::move(spec)), plan_(plan), pool_(pool) {}
  std::uint16_t receive_tap(std::span<rte_mbuf*> packets);
  std::uint16_t transmit_tap(std::span<rte_mbuf*> packets);
  std::uint16_t transmit_burst(std::span<rte_mbuf*> packets);
  std::uint16_t transmit_or_wait(std::span<rte_mbuf*> packets);
  std::uint16_t send_waiting();
  Result<void> create();
  Result<void> create_packet_device();
  Result<void> create_virtual_device();
  Result<void> create_pci_device();
  Result<void> open_tap();
  Result<void> start();
  void receive_groups();
  Result<void> open_twin();
  Result<void> join_all_multicast();
  void note_offloads();
  void note_queues();

  PortSpec spec_;
  PortPlan plan_;
  rte_mempool* pool_;
  Link link_;
  std::string device_;
  std::uint16_t id_ = 0;  // DPDK's
  bool started_ = false;
  Descriptor membership_;
  int ring_socket_ = -1;      // the driver's, for its drop counter and to wait; not ours to close
  std::uint64_t missed_ = 0;  // the kernel's counter starts again at each reading
  std::unique_ptr<TapDevice> tap_;  // the device itself, where it is a tap
  std::unique_ptr<Twin> twin_;
  // Of a tap, which no driver counts for; those sent are added to under the lock.
  Counter received_, received_bytes_, transmitted_, transmitted_bytes_;
  std::vector<std::string> notices_;
  std::array<rte_mbuf*, kWaitingPackets> waiting_{};
  std::atomic<std::uint16_t> waiting_count_{0};  // written under the lock
  std::uint64_t waiting_since_ns_ = 0;           // 0: nothing does, or since the next retry()
  Counter given_up_;
  alignas(64) rte_spinlock_t transmit_lock_ = RTE_SPINLOCK_INITIALIZER;
};

}  // namespace holdfast::dataplane
