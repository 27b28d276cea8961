// SPDX-License-Identifier: Apache-2.0
// Wakes one thread that sleeps on an eventfd: workers the kernel's thread, the kernel's thread and
// other workers a worker. Where the other is awake, a call costs a fence and no system call.
//
// The sleeper arms it, looks round once more, and only then sleeps: what is put before it behind
// that look finds it armed, what came before is found by the look. Both sides have a fence between
// their store and their load, so that one of them sees the other's (Dekker).
#pragma once

#include "dataplane/process/descriptor.h"
#include "dataplane/process/failure.h"

#include <atomic>
#include <memory>

namespace holdfast::dataplane {

class Waker {
 public:
  // Fails when no descriptor is left.
  static Result<std::unique_ptr<Waker>> create();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;
  ~Waker() = default;

  // Behind what there is to find. Any thread.
  void wake();

  // The sleeper's. Readable once somebody woke it while it was armed.
  [[nodiscard]] int descriptor() const { return event_.get(); }
  void arm() { armed_.store(true, std::memory_order_seq_cst); }
  // Takes a call that came meanwhile.
  void disarm();

 private:
  explicit Waker(Descriptor event) : event_(std::move(event)) {}

  Descriptor event_;
  alignas(64) std::atomic<bool> armed_{false};  // read by others with each burst
};

}  // namespace holdfast::dataplane
