// SPDX-License-Identifier: Apache-2.0
// SIGTERM and SIGINT while DPDK, ports and tables are made, which may take seconds and cannot be
// left midway: a thread of its own waits for them and ends the process. Nothing is forwarded yet
// and the state file is as a SIGKILL leaves it, so there is nothing to do in order.
#pragma once

#include "dataplane/process/descriptor.h"

#include <functional>
#include <thread>

namespace holdfast::dataplane {

class StartInterruption {
 public:
  // Blocks both signals for the calling thread and those that it makes from now on. `clean_up` runs
  // on the other thread, before the end. Requires: one thread so far.
  explicit StartInterruption(std::function<void()> clean_up);
  StartInterruption(const StartInterruption&) = delete;
  StartInterruption& operator=(const StartInterruption&) = delete;
  // From here on the signals are for whoever reads them.
  ~StartInterruption();

 private:
  void watch() const;

  std::function<void()> clean_up_;
  Descriptor signals_;
  Descriptor over_;  // readable: the start is over
  std::thread thread_;
};

}  // namespace holdfast::dataplane
