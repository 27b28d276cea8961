// SPDX-License-Identifier: Apache-2.0
// Start-up, in the order that keeps privileges short: what needs root's rights first (locks,
// sockets, state file, limits), then the drop, then DPDK and the ports. Main thread, once; every
// failure is one line that says what to do.
#pragma once

#include "dataplane/process/descriptor.h"
#include "dataplane/process/failure.h"
#include "dataplane/process/frame_pool.h"
#include "dataplane/process/memory_plan.h"
#include "dataplane/process/neighbor_mirror.h"
#include "dataplane/process/placement.h"
#include "dataplane/process/port.h"
#include "dataplane/process/predecessor.h"
#include "dataplane/process/privileges.h"
#include "dataplane/process/seam_socket.h"
#include "dataplane/process/start_interruption.h"
#include "dataplane/process/state_file.h"
#include "dataplane/process/vip_routes.h"
#include "dataplane/spec.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace holdfast::dataplane {

// What start-up leaves to the running process. Members die in reverse order: ports before the pool.
struct Booted {
  MemoryPlan plan;
  Placement placement;
  Descriptor name;  // holds the instance's nft table; not open without one, or when it is not ours
  SeamSockets sockets;
  StateFile state;
  std::unique_ptr<NeighborMirror> mirror;  // null where the kernel has no interface of ours
  std::unique_ptr<VipRoutes> routes;       // null without `routes`
  FramePoolMemory pool;
  std::vector<std::unique_ptr<Port>> ports;
  Descriptor handover;    // where a successor asks
  Descriptor child_lock;  // of `holdfast run`; not open without one
  CapabilitySet running_capabilities = 0;
  std::vector<std::string> notices;                 // degraded modes, one line each
  std::unique_ptr<StartInterruption> interruption;  // until the main loop reads signals
};

// What can be said of a start without taking anything: the interfaces are there, the flows of the
// process that runs can be gone on with. A line for the operator.
Result<std::string> rehearse(const StartupSpec& startup);

// `user` as in find_account(). With a predecessor the state is still that one's, and its file is
// shared; `dropped` is called behind the change of the user. Requires: SIGTERM and SIGINT are
// blocked; `startup` outlives the result.
Result<Booted> boot(const StartupSpec& startup,
                    const std::string& user,
                    Predecessor* predecessor = nullptr,
                    const std::function<void()>& dropped = {});

}  // namespace holdfast::dataplane
