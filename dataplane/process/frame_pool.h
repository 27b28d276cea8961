// SPDX-License-Identifier: Apache-2.0
// The one pool of packet buffers that ports, workers and answers share. Made once, at start, after
// the EAL; the workers take from it and give back through their caches.
#pragma once

#include "dataplane/process/failure.h"
#include "dataplane/process/memory_plan.h"

#include <memory>

#include <rte_mempool.h>

namespace holdfast::dataplane {

struct FreePool {
  void operator()(rte_mempool* pool) const { rte_mempool_free(pool); }
};
using FramePoolMemory = std::unique_ptr<rte_mempool, FreePool>;

// `plan.mbufs` buffers with `plan.mbuf_data_room` each, side by side. Requires: the EAL runs with
// plan.buffer_bytes. On this NUMA node (-1: on any) as long as it has room, else elsewhere. Fails
// with what the pool takes and what to change.
Result<FramePoolMemory> create_frame_pool(const MemoryPlan& plan, int node);

}  // namespace holdfast::dataplane
