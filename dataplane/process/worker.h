// SPDX-License-Identifier: Apache-2.0
// A worker: the loop around the stages (pipeline.h). It polls its queues, hands frames of other
// workers' flows to them, runs the stages on its own, transmits, frees, sweeps, and reports that it
// has left the generation. Each worker is one thread; everything in it is that thread's, but for
// the atomics, the rings' other ends, and `state().stats` and friends, which others may read.
//
// Owner rule: every flow has one owner worker (owner_of). Frames are parsed where they arrive, go
// to the owner over a single-producer ring per pair of workers, and are parsed again there; the
// forwarding pointer is loaded after that, so a frame never meets an older generation than the
// frames before it. A fragment goes first to the worker that keeps its datagram, and from there,
// with a note in its mbuf, to the owner of the flow: so only one worker knows a datagram.
//
// Held frames (early fragments) keep their mbufs. Released ones make a burst of their own right
// behind the one that released them.
//
// The kernel's frames (twin.h) go out before the worker's own of the same turn, and wait for the
// next turn when the port takes no more: they have no part in P5.
//
// Idle: sleeper.h. Who hands frames over wakes their owner, if that sleeps, once a burst.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/flow_walk.h"
#include "dataplane/pipeline.h"
#include "dataplane/process/port.h"
#include "dataplane/process/quiescence.h"
#include "dataplane/process/sleeper.h"
#include "dataplane/process/spsc_ring.h"
#include "dataplane/process/waker.h"
#include "dataplane/receive_spread.h"
#include "dataplane/worker_state.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>

namespace holdfast::dataplane {

// What a worker tells the main thread.
struct Notice {
  enum class What : std::uint8_t { kLearned, kUnresolved, kRefusal };
  What what = What::kLearned;
  PortIndex port = 0;
  MacAddress mac{};
  Address address;
  MemberId member{};  // of kRefusal, which has nothing else
};

// What the main thread lets worker 0 send: that `address` is at the port's MAC.
struct Announcement {
  Address address;
  MacAddress mac{};
  PortIndex port = 0;
};

// Shared by all workers; outlives them.
struct WorkerSurroundings {
  std::vector<std::unique_ptr<Port>> ports;
  rte_mempool* pool = nullptr;
  const FlowHasher* hasher = nullptr;
  const ReceiveSpread* spread = nullptr;  // null where no card's queues are foreseen
  Quiescence* quiescence = nullptr;
  std::atomic<const Forwarding*> forwarding{nullptr};  // never null once a worker runs
  std::atomic<bool> stop{false};
  AddressFilter members;  // whose frames to the kernel are probes' answers
  int wake_main = -1;     // eventfd that ends the main thread's wait
  std::uint32_t workers = 1;
  Idle idle = Idle::kSleep;
  std::vector<std::unique_ptr<Waker>> wakers;  // by worker
};

// Rings between every two workers; null on the diagonal. In memory of our own: of DPDK's named
// zones there are fewer than 64 workers have pairs.
class DispatchRings {
 public:
  // Null when there is no memory for them.
  static std::unique_ptr<DispatchRings> create(std::uint32_t workers);
  ~DispatchRings();
  [[nodiscard]] rte_ring* from_to(std::uint32_t from, std::uint32_t to) const {
    return rings_[from * workers_ + to].get();
  }

 private:
  explicit DispatchRings(std::uint32_t workers) : workers_(workers), rings_(workers * workers) {}
  struct FreeRing {
    void operator()(rte_ring* ring) const;
  };
  std::uint32_t workers_;
  std::vector<std::unique_ptr<rte_ring, FreeRing>> rings_;
};

class Worker {
 public:
  Worker(WorkerSurroundings& surroundings,
         const DispatchRings& rings,
         const SharedState& shared,
         std::uint32_t index);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // The loop, until surroundings.stop. Runs on the worker's own thread.
  void run();
  // One turn of it; true when there was work. For tests, without a thread.
  bool turn(std::uint64_t now_ns);

  [[nodiscard]] WorkerState& state() { return *state_; }
  [[nodiscard]] const WorkerState& state() const { return *state_; }
  // Monotonic nanoseconds of the last turn.
  [[nodiscard]] std::uint64_t last_tick_ns() const {
    return tick_ns_.load(std::memory_order_relaxed);
  }
  // Main thread: asks for a copy of the counters as they stand between two bursts, where P5 holds,
  // and tells whether it is there.
  void request_snapshot() { snapshot_wanted_.store(true, std::memory_order_release); }
  [[nodiscard]] bool snapshot_ready() const {
    return !snapshot_wanted_.load(std::memory_order_acquire);
  }
  // Requires: snapshot_ready().
  [[nodiscard]] const WorkerStats& snapshot() const { return *snapshot_; }

  // Main thread: has the worker go through its flows, some in each turn, until is_walking() says no
  // more; then what was found may be read. Requires: !is_walking(); `walk` stays until then.
  void begin_walk(FlowWalk& walk);
  [[nodiscard]] bool is_walking() const { return walk_.load(std::memory_order_acquire) != nullptr; }

  SpscRing<Notice, 256> notices;              // to the main thread
  SpscRing<Announcement, 256> announcements;  // from the main thread; worker 0 only

 private:
  bool serve_queue(Port& port, std::uint16_t queue, std::uint64_t now_ms);
  bool serve_kernel(std::size_t place);
  bool serve_ring(rte_ring* ring, std::uint64_t now_ms);
  void serve_released(std::uint64_t now_ms);
  // Only those of another worker bear a note.
  enum class Origin : std::uint8_t { kPort, kWorker };
  void begin(std::span<rte_mbuf*> packets, Origin origin);
  void dispatch();
  void hand_over(Slot slot, std::uint32_t owner);
  void wake(std::uint64_t owners);
  void keep_own(const std::array<bool, kBurstSize>& gone);
  void process(std::uint64_t now_ms);
  void finish();
  void give_to_kernel(Slot slot);
  void free_held();
  void enqueue(PortIndex port, rte_mbuf* packet);
  void flush();
  void forward_notices(std::uint64_t now_ms);
  void tell(const Notice& notice, std::uint64_t now_ms);
  void tell_refusal(MemberId member, std::uint64_t now_ms);
  void push(const Notice& notice);
  bool announce();
  bool ask(const Neighborhood& neighborhood);
  void leave_snapshot();
  bool go_on_walking(FlowWalk* walk, const Generation& generation, std::uint64_t now_ms);

  // Outgoing packets of one turn, by port.
  struct Outbox {
    std::array<rte_mbuf*, kBurstSize> packets;
    std::uint16_t count = 0;
  };
  // What was told lately, so that a flood of frames does not become a flood of notices.
  struct Told {
    Address address;
    std::uint64_t at_ms = 0;
  };
  struct ToldRefusal {
    MemberId member{};
    std::uint64_t at_ms = 0;
  };
  static constexpr std::size_t kToldEntries = 256;
  static constexpr std::size_t kToldRefusals = 64;

  WorkerSurroundings& surroundings_;
  const std::uint32_t index_;
  std::unique_ptr<WorkerState> state_;
  std::vector<PolledQueue> queues_;
  std::vector<Port*> ports_;         // whose kernel's frames this worker sends
  std::vector<Outbox> from_kernel_;  // of these, what the port has not taken yet
  std::vector<rte_ring*> handed_to_us_;
  std::vector<rte_ring*> handed_by_us_;  // by owner; null for ourselves
  std::vector<Outbox> outboxes_;
  std::array<Told, kToldEntries> told_{};
  std::array<ToldRefusal, kToldRefusals> told_refusals_{};
  Burst burst_;
  Sleeper sleeper_;
  bool busy_ = false;  // the last turn
  alignas(64) std::atomic<std::uint64_t> tick_ns_{0};
  std::atomic<bool> snapshot_wanted_{false};
  std::atomic<FlowWalk*> walk_{nullptr};
  std::unique_ptr<WorkerStats> snapshot_;
};

}  // namespace holdfast::dataplane
