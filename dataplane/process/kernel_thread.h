// SPDX-License-Identifier: Apache-2.0
// The kernel's thread: carries frames between the twins (twin.h) and the kernel, apart from the
// workers, which make no system call per frame, and from the main thread, which may be busy with a
// publication for longer than BFD waits. Sleeps while there is nothing to do. Made and ended by the
// main thread.
#pragma once

#include "dataplane/process/failure.h"
#include "dataplane/process/twin.h"
#include "dataplane/process/waker.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <poll.h>

namespace holdfast::dataplane {

class KernelThread {
 public:
  // Starts it. The twins outlive it.
  static Result<std::unique_ptr<KernelThread>> start(std::vector<Twin*> twins);
  KernelThread(const KernelThread&) = delete;
  KernelThread& operator=(const KernelThread&) = delete;
  // Ends it; what is queued stays in the twins. No worker offers frames any more.
  ~KernelThread();

 private:
  KernelThread(std::vector<Twin*> twins, std::unique_ptr<Waker> waker);
  void run();
  bool serve();
  void rest();
  void forget_removed();

  std::vector<Twin*> twins_;
  std::unique_ptr<Waker> waker_;
  std::vector<pollfd> polled_;  // the waker, then the twins
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace holdfast::dataplane
