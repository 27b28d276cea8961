// SPDX-License-Identifier: Apache-2.0
// SIGTERM and SIGINT while DPDK, ports and tables are made, which may take seconds and cannot be
// left midway: a thread of its own waits for them and ends the process. Nothing is forwarded yet
// and the state file is as a SIGKILL leaves it: what is left to do in order is to take away what a
// stop takes away, the nft table that a killed predecessor left behind included.
#pragma once

#include "dataplane/process/descriptor.h"
#include "dataplane/process/privileges.h"

#include <functional>
#include <thread>

namespace holdfast::dataplane {

class StartInterruption {
 public:
  // `clean_up` runs on the other thread, before the end, with at most the capabilities `keep`. A
  // signal that is pending already counts. Requires: both signals are blocked; one thread so far.
  StartInterruption(CapabilitySet keep, std::function<void()> clean_up);
  StartInterruption(const StartInterruption&) = delete;
  StartInterruption& operator=(const StartInterruption&) = delete;
  // From here on the signals are for whoever reads them.
  ~StartInterruption();

 private:
  void watch() const;

  CapabilitySet keep_;
  std::function<void()> clean_up_;
  Descriptor signals_;
  Descriptor over_;  // readable: the start is over
  std::thread thread_;
};

}  // namespace holdfast::dataplane
