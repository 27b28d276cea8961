// SPDX-License-Identifier: Apache-2.0
// The twin of an owned port: a TAP interface with the port's MAC address and MTU, by which the
// kernel has addresses, routes, neighbours and sockets on a network whose frames it never sees.
//
//   worker ── offer() ──▶ a queue per class ──▶ deliver() ──▶ kernel      (kernel's thread)
//   worker ◀── take() ─── one queue ◀────────── collect() ◀── kernel
//
// The kernel's share under a flood: the classes of kernel_class.h have a queue each, the kernel's
// thread serves them in turn, and what is in no class that routing, neighbours or an operator need
// is held to a rate. The interface stays when the process ends, without carrier: addresses, routes
// and TCP sessions are there when the next process takes it over.
#pragma once

#include "dataplane/neighborhood.h"
#include "dataplane/process/failure.h"
#include "dataplane/process/kernel_class.h"
#include "dataplane/process/tap_device.h"
#include "dataplane/process/waker.h"
#include "dataplane/stats.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>

namespace holdfast::dataplane {

inline constexpr std::uint32_t kTwinQueueFrames = 1024;  // of each class, and towards the worker
inline constexpr std::uint32_t kTwinFrames =
    kTwinQueueFrames * (static_cast<std::uint32_t>(kKernelClasses) + 1);

class Twin {
 public:
  // `link`: the port's, with its MAC address, MTU and tags. Main thread.
  static Result<std::unique_ptr<Twin>> open(const std::string& name,
                                            const Link& link,
                                            rte_mempool* pool);
  Twin(const Twin&) = delete;
  Twin& operator=(const Twin&) = delete;
  ~Twin();

  [[nodiscard]] std::uint32_t interface_index() const { return tap_.interface_index(); }
  [[nodiscard]] int descriptor() const { return tap_.descriptor(); }
  void set_carrier(bool up) const { tap_.set_carrier(up); }

  // Takes the packet over. Any worker.
  void offer(KernelClass kind, rte_mbuf* packet);
  // Counts one that could not be offered. Any worker.
  void count_dropped(KernelClass kind);
  // At most packets.size() frames that the kernel sent; returns how many. The port's worker only.
  std::uint16_t take(std::span<rte_mbuf*> packets);
  // Whom to wake for frames towards the kernel, and for those from it. Both null: nobody. Before
  // the kernel's thread runs.
  void set_kernel_waker(Waker* waker) { kernel_waker_ = waker; }
  void set_worker_waker(Waker* waker) { worker_waker_ = waker; }

  // The kernel's thread: one round in each direction; true when anything moved.
  bool deliver(std::uint64_t now_ns);
  bool collect();
  // Whether frames wait that the next deliver() would move, or may move later, when there is
  // budget.
  [[nodiscard]] bool has_waiting(std::uint64_t now_ns) const;
  [[nodiscard]] bool is_over_budget() const;
  // Whether collect() has room.
  [[nodiscard]] bool can_collect() const;

  // Any thread.
  [[nodiscard]] std::uint64_t delivered() const { return delivered_.get(); }
  [[nodiscard]] std::uint64_t collected() const { return collected_.get(); }
  [[nodiscard]] std::uint64_t dropped(KernelClass kind) const {
    return dropped_[static_cast<std::size_t>(kind)].load(std::memory_order_relaxed);
  }

 private:
  Twin(TapDevice tap, const Link& link, rte_mempool* pool);
  Result<void> create_queues();
  bool deliver_some(KernelClass kind, unsigned most);
  [[nodiscard]] rte_ring* queue(KernelClass kind) const {
    return queues_[static_cast<std::size_t>(kind)];
  }

  TapDevice tap_;
  Link link_;
  rte_mempool* pool_;
  Waker* kernel_waker_ = nullptr;
  Waker* worker_waker_ = nullptr;
  std::array<rte_ring*, kKernelClasses> queues_{};
  rte_ring* outgoing_ = nullptr;
  std::uint64_t budget_at_ns_ = 0;
  std::uint32_t budget_ = 0;  // frames of class kOther that may be delivered now
  Counter delivered_;
  Counter collected_;
  std::array<std::atomic<std::uint64_t>, kKernelClasses> dropped_{};
};

}  // namespace holdfast::dataplane
