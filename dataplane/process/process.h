// SPDX-License-Identifier: Apache-2.0
// The whole dataplane process, in the order of its life: locks and state file, ports, persisted
// generation, workers, then the main loop (seam, netlink, nft, announcements, liveness) until
// SIGTERM or SIGINT. Main thread.
#pragma once

#include "dataplane/process/failure.h"
#include "dataplane/spec.h"

#include <cstdint>
#include <string>

namespace holdfast::dataplane {

struct ProcessOptions {
  StartupSpec startup;
  std::string user;              // to become; empty: "holdfast" when there is one
  std::string version;           // of this build
  std::uint64_t startup_id = 0;  // fnv1a() of the start-up message
  bool rehearse = false;
  bool succeed = false;  // take over from the dataplane that runs
};

// Runs until it is told to stop. Once per process.
Result<void> run_process(const ProcessOptions& options);

}  // namespace holdfast::dataplane
