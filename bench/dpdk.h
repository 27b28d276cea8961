// SPDX-License-Identifier: Apache-2.0
// DPDK's environment for a benchmark: without huge pages and devices of the machine, on whatever
// core the thread runs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace holdfast::dataplane::bench {

// Once per process. `more` is added to the arguments. False: it does not start.
bool start_dpdk(std::uint32_t mebibytes, const std::vector<std::string>& more = {});

}  // namespace holdfast::dataplane::bench
