// SPDX-License-Identifier: Apache-2.0
// A port: one device, DPDK's or a tap, with a receive and a transmit queue for each worker where
// the device can spread frames (device_queues.h), else one of each (transmit_queue.h). Opened by
// the main thread; each receive queue is one worker's; any worker transmits. Counters may be read
// by the main thread at any time.
//
// af_packet: the driver sets DEFRAG and ROLLOVER on its sockets, so there is one queue and our own
// dispatch behind it. All multicast frames are asked for by a socket of our own, whose membership
// ends with the process, instead of by link flags, which would outlive a SIGKILL.
//
// Owned ports (tap, memif, pci, af_xdp, bond) give the kernel its view by a twin (twin.h).
#pragma once

#include "dataplane/frame.h"
#include "dataplane/neighborhood.h"
#include "dataplane/process/bond.h"
#include "dataplane/process/descriptor.h"
#include "dataplane/process/device_queues.h"
#include "dataplane/process/failure.h"
#include "dataplane/process/receive_interrupt.h"
#include "dataplane/process/tap_device.h"
#include "dataplane/process/transmit_queue.h"
#include "dataplane/process/twin.h"
#include "dataplane/spec.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <rte_mbuf.h>
#include <rte_mempool.h>

namespace holdfast::dataplane {

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
  std::uint32_t workers = 1;  // that transmit, and receive where there are queues for them
  RssKey rss_key{};
  bool chains = false;  // some port may deliver frames of several segments
};

class Port;
// A receive queue, of the worker that polls it.
struct PolledQueue {
  Port* port = nullptr;
  std::uint16_t queue = 0;
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

  // At most packets.size() packets; returns how many came. The queue's worker only.
  std::uint16_t receive(std::uint16_t queue, std::span<rte_mbuf*> packets);
  // See TransmitQueue; of the queue that is this worker's, or everybody's.
  std::uint16_t transmit(std::uint32_t worker, std::span<rte_mbuf*> packets) {
    return transmit_queue(worker).transmit(packets);
  }
  // Calls a bond's driver too, as often as that wants.
  bool retry(std::uint32_t worker, std::uint64_t now_ns);

  [[nodiscard]] const PortSpec& spec() const { return spec_; }
  [[nodiscard]] const Link& link() const { return link_; }
  [[nodiscard]] const DeviceQueues& queues() const { return queues_; }
  // Null where the kernel has the interface itself, or is to have none.
  [[nodiscard]] Twin* twin() const { return twin_.get(); }
  // Readable while the queue has something to receive, or once something came since arm(); -1 where
  // nothing tells.
  [[nodiscard]] int wake_descriptor(std::uint16_t queue) const;
  // Whether it is an interrupt, which a driver may set up and a card never raise.
  [[nodiscard]] bool wakes_by_interrupt() const { return !interrupts_.empty(); }
  // Before and after a sleep that the descriptor may end; look for frames between arm() and it. The
  // queue's worker.
  void arm(std::uint16_t queue) const {
    if (!interrupts_.empty()) {
      interrupts_[queue].arm();
    }
  }
  // Whether an interrupt came in between.
  bool disarm(std::uint16_t queue) const {
    return !interrupts_.empty() && interrupts_[queue].disarm();
  }
  // Main thread.
  [[nodiscard]] PortCounters counters();
  [[nodiscard]] bool is_link_up() const;
  // Null where the port is none.
  [[nodiscard]] const Bond* bond() const { return bond_ ? &*bond_ : nullptr; }
  [[nodiscard]] const std::vector<std::string>& notices() const { return notices_; }

 private:
  Port(PortSpec spec, const PortPlan& plan, rte_mempool* pool)
      : spec_(std::move(spec)), plan_(plan), pool_(pool) {}
  std::uint16_t receive_tap(std::span<rte_mbuf*> packets);
  TransmitQueue& transmit_queue(std::uint32_t worker) {
    return *transmit_queues_[transmit_queues_.size() == 1 ? 0 : worker];
  }
  void make_transmit_queues();
  void keep_bond_alive(std::uint32_t worker, std::uint64_t now_ns);
  Result<void> create();
  Result<void> create_packet_device();
  Result<void> create_virtual_device();
  Result<void> create_bond();
  Result<void> open_tap();
  Result<void> start();
  [[nodiscard]] bool has_interrupts() const;
  void find_what_tells(const std::set<int>& sockets_before);
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
  DeviceQueues queues_;
  Descriptor membership_;
  int ring_socket_ = -1;  // the driver's, for its drop counter and to wait; not ours to close
  std::vector<ReceiveInterrupt> interrupts_;  // by receive queue; empty: none, or not of all
  std::uint64_t missed_ = 0;                  // the kernel's counter starts again at each reading
  std::unique_ptr<TapDevice> tap_;            // the device itself, where it is a tap
  std::unique_ptr<Twin> twin_;
  std::optional<Bond> bond_;        // the device itself, where it is one
  std::uint64_t heartbeat_ns_ = 0;  // of one worker
  std::vector<std::unique_ptr<TransmitQueue>> transmit_queues_;  // one, or by worker
  Counter received_, received_bytes_;  // of a tap, which no driver counts for
  std::vector<std::string> notices_;
};

}  // namespace holdfast::dataplane
