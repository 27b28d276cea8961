// SPDX-License-Identifier: Apache-2.0
// A bounded queue with one producing and one consuming thread, for small values between a worker
// and the main thread (notices, announcements). Neither side blocks; a full ring refuses. Packets
// between workers go over rte_ring instead, in bursts.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <optional>

namespace holdfast::dataplane {

template <typename T, std::size_t kCapacity>
class SpscRing {
  static_assert((kCapacity & (kCapacity - 1)) == 0, "a power of two");

 public:
  // Producer. False when full.
  bool push(const T& value) {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_.load(std::memory_order_acquire) == kCapacity) {
      return false;
    }
    slots_[tail % kCapacity] = value;
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  // Consumer. nullopt when empty.
  std::optional<T> pop() {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_acquire)) {
      return std::nullopt;
    }
    const T value = slots_[head % kCapacity];
    head_.store(head + 1, std::memory_order_release);
    return value;
  }

  // Either side; the other may change it at once.
  [[nodiscard]] bool empty() const {
    return head_.load(std::memory_order_acquire) == tail_.load(std::memory_order_acquire);
  }

 private:
  alignas(64) std::atomic<std::size_t> head_{0};
  alignas(64) std::atomic<std::size_t> tail_{0};
  alignas(64) std::array<T, kCapacity> slots_{};
};

}  // namespace holdfast::dataplane
