// SPDX-License-Identifier: Apache-2.0
// A port's transmit queue, DPDK's or a tap's. One worker's own, or under a spinlock for several:
// devices with one queue carry 0.4-1.2 Mpps, so there the lock costs nothing that counts. What the
// device's ring has no room for just now waits here, in order, so that a card that its bus or its
// host holds up for some ms costs no packets.
#pragma once

#include "dataplane/process/tap_device.h"
#include "dataplane/stats.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include <rte_mbuf.h>
#include <rte_spinlock.h>

namespace holdfast::dataplane {

// A ring of 256, as virtio's, is full after 26 ms at 10 kpps.
inline constexpr std::size_t kWaitingPackets = 512;
inline constexpr std::uint64_t kLongestWaitNs = 100'000'000;

class TransmitQueue {
 public:
  enum class Users : std::uint8_t { kOne, kSeveral };

  // DPDK's number of the device and of its queue.
  TransmitQueue(std::uint16_t device, std::uint16_t queue, Users users)
      : device_(device), queue_(queue), users_(users) {}
  // Requires: `tap` outlives this.
  TransmitQueue(TapDevice& tap, Users users) : tap_(&tap), users_(users) {}
  TransmitQueue(const TransmitQueue&) = delete;
  TransmitQueue& operator=(const TransmitQueue&) = delete;
  ~TransmitQueue();

  // Returns how many of the first packets were taken; the rest stay the caller's. At most
  // kWaitingPackets wait.
  std::uint16_t transmit(std::span<rte_mbuf*> packets);
  // Offers the device again what waits; gives up when it has taken nothing for kLongestWaitNs.
  // Returns whether anything waited. Any of the users, each turn.
  bool retry(std::uint64_t now_ns);
  // An empty burst, for drivers with frames of their own. Not of a tap. Any of the users.
  void send_nothing();

  // Any thread. What was sent is counted of a tap alone, which no driver counts for.
  [[nodiscard]] std::uint64_t given_up() const { return given_up_.get(); }
  [[nodiscard]] std::uint64_t sent() const { return sent_.get(); }
  [[nodiscard]] std::uint64_t sent_bytes() const { return sent_bytes_.get(); }

 private:
  class Held;
  std::uint16_t transmit_or_wait(std::span<rte_mbuf*> packets);
  std::uint16_t send_waiting();
  std::uint16_t send(std::span<rte_mbuf*> packets);
  std::uint16_t send_to_tap(std::span<rte_mbuf*> packets);

  TapDevice* tap_ = nullptr;
  std::uint16_t device_ = 0;
  std::uint16_t queue_ = 0;
  Users users_;
  // All below is written by who holds the lock.
  std::array<rte_mbuf*, kWaitingPackets> waiting_{};
  std::atomic<std::uint16_t> waiting_count_{0};
  std::uint64_t waiting_since_ns_ = 0;  // 0: nothing does, or since the next retry()
  Counter given_up_, sent_, sent_bytes_;
  alignas(64) rte_spinlock_t lock_ = RTE_SPINLOCK_INITIALIZER;
};

}  // namespace holdfast::dataplane
