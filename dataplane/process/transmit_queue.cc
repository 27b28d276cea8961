// SPDX-License-Identifier: Apache-2.0
// See transmit_queue.h.
#include "dataplane/process/transmit_queue.h"

#include <algorithm>

#include <rte_ethdev.h>

namespace holdfast::dataplane {

// The lock, where there is anybody to lock out.
class TransmitQueue::Held {
 public:
  explicit Held(TransmitQueue& queue)
      : lock_(queue.users_ == Users::kSeveral ? &queue.lock_ : nullptr) {
    if (lock_ != nullptr) {
      rte_spinlock_lock(lock_);
    }
  }
  ~Held() {
    if (lock_ != nullptr) {
      rte_spinlock_unlock(lock_);
    }
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  rte_spinlock_t* lock_;
};

TransmitQueue::~TransmitQueue() {
  rte_pktmbuf_free_bulk(waiting_.data(), waiting_count_.load(std::memory_order_relaxed));
}

std::uint16_t TransmitQueue::transmit(std::span<rte_mbuf*> packets) {
  const Held held(*this);
  return transmit_or_wait(packets);
}

std::uint16_t TransmitQueue::transmit_or_wait(std::span<rte_mbuf*> packets) {
  const std::uint16_t before = waiting_count_.load(std::memory_order_relaxed);
  const bool may_send = before == 0 || send_waiting() == 0;
  const std::uint16_t sent = may_send ? send(packets) : std::uint16_t{0};
  if (sent == packets.size()) [[likely]] {
    return sent;
  }
  const std::size_t waiting = waiting_count_.load(std::memory_order_relaxed);
  const std::size_t more = std::min(packets.size() - sent, kWaitingPackets - waiting);
  std::ranges::copy(packets.subspan(sent, more), waiting_.begin() + waiting);
  waiting_count_.store(static_cast<std::uint16_t>(waiting + more), std::memory_order_relaxed);
  return static_cast<std::uint16_t>(sent + more);
}

// Returns how many go on waiting.
std::uint16_t TransmitQueue::send_waiting() {
  const std::uint16_t before = waiting_count_.load(std::memory_order_relaxed);
  const std::uint16_t sent = send(std::span(waiting_).first(before));
  const auto left = static_cast<std::uint16_t>(before - sent);
  std::copy_n(waiting_.begin() + sent, left, waiting_.begin());
  waiting_count_.store(left, std::memory_order_relaxed);
  waiting_since_ns_ = sent > 0 ? 0 : waiting_since_ns_;
  return left;
}

void TransmitQueue::send_nothing() {
  const Held held(*this);
  rte_eth_tx_burst(device_, queue_, nullptr, 0);
}

bool TransmitQueue::retry(std::uint64_t now_ns) {
  if (waiting_count_.load(std::memory_order_relaxed) == 0) [[likely]] {
    return false;
  }
  const Held held(*this);
  const std::uint16_t left = send_waiting();
  if (left == 0 || waiting_since_ns_ == 0) {
    waiting_since_ns_ = left == 0 ? 0 : now_ns;
  } else if (now_ns > waiting_since_ns_ && now_ns - waiting_since_ns_ > kLongestWaitNs) {
    rte_pktmbuf_free_bulk(waiting_.data(), left);
    given_up_.add(left);
    waiting_count_.store(0, std::memory_order_relaxed);
    waiting_since_ns_ = 0;
  }
  return true;
}

std::uint16_t TransmitQueue::send(std::span<rte_mbuf*> packets) {
  if (tap_ != nullptr) [[unlikely]] {
    return send_to_tap(packets);
  }
  return rte_eth_tx_burst(
      device_, queue_, packets.data(), static_cast<std::uint16_t>(packets.size()));
}

std::uint16_t TransmitQueue::send_to_tap(std::span<rte_mbuf*> packets) {
  std::uint16_t taken = 0;
  while (taken < packets.size() && tap_->transmit(packets[taken])) {
    sent_.add(1);
    sent_bytes_.add(packets[taken]->pkt_len);
    rte_pktmbuf_free(packets[taken++]);
  }
  return taken;
}

}  // namespace holdfast::dataplane
