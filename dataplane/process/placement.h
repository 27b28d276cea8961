// SPDX-License-Identifier: Apache-2.0
// Which core a worker gets, and on which NUMA node its memory lies. place_workers() decides and is
// pure; the rest reads sysfs and asks the kernel. Main thread, at start.
#pragma once

#include "dataplane/process/state_file.h"
#include "dataplane/spec.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace holdfast::dataplane {

inline constexpr int kNoNode = -1;  // not known, or none in particular

struct Core {
  std::size_t number = 0;
  int node = kNoNode;
  bool operator==(const Core&) const = default;
};

struct PortPlace {
  std::string name;
  int node = kNoNode;  // of its card; kNoNode: no card, or the machine does not say
};

struct Placement {
  // By worker: its own core. Empty: too few cores, so the scheduler decides.
  std::vector<std::size_t> cores;
  // By worker; kNoNode where the scheduler decides between several.
  std::vector<int> nodes;
  // Of the packet buffers: where most workers are.
  int buffers = kNoNode;
  std::vector<std::string> notices;  // what is distant from what, one line each
};

// Each worker gets a core of its own when two more are left for everything else; on smaller
// machines the scheduler does better. Those of the node with most cards come first, where no card
// tells that of the last core; then from the last core down. Pure.
Placement place_workers(std::vector<Core> usable,
                        std::span<const PortPlace> ports,
                        std::uint32_t workers);

// The cores that this process may use.
std::vector<Core> load_cores();
// The nodes of the ports' cards.
std::vector<PortPlace> load_port_places(const StartupSpec& startup);

// Asks the kernel to keep each worker's tables on its node and to move what lies elsewhere. Where
// nodes are not known or all the same, nothing is asked. The notice says what the kernel refused;
// empty: nothing.
std::string place_tables(const SharedState& state, std::span<const int> nodes);

}  // namespace holdfast::dataplane
