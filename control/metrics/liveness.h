// SPDX-License-Identifier: Apache-2.0
// Whether the node forwards by its configuration: what /healthz answers. Remembers each worker's
// poll counter between observations; a worker's loop counts a poll even when it is idle, so a
// counter that stands still is a worker that hangs. Counters that are late themselves (the seam is
// busy with a publication) prove nothing; the seam's deadline ends a connection that stays silent.
// Pure but for that memory; control thread.
#pragma once

#include "control/admin/operator.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace holdfast::control {

class Liveness {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds kStalled{3};

  // Why the node is not well, in one line; empty when it is. `status` is of `now`.
  std::string observe(const StatusView& status, Time now);

 private:
  struct Seen {
    std::uint64_t polls = 0;
    Time since;  // when the counter was first seen at this value
  };
  std::map<std::uint32_t, Seen> workers_;
};

}  // namespace holdfast::control
