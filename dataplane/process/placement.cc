// SPDX-License-Identifier: Apache-2.0
// See placement.h.
#include "dataplane/process/placement.h"

#include "dataplane/process/port_device.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <numaif.h>
#include <sched.h>

namespace holdfast::dataplane {
namespace {

constexpr std::size_t kHugePageBytes = std::size_t{2} << 20U;
constexpr int kMostNodes = 64;

// The one with the highest count, of several the lowest; kNoNode: there is none.
int commonest(const std::map<int, std::size_t>& counts) {
  int best = kNoNode;
  std::size_t most = 0;
  for (const auto& [node, count] : counts) {
    if (node != kNoNode && count > most) {
      best = node;
      most = count;
    }
  }
  return best;
}

template <typename Range, typename Node>
std::map<int, std::size_t> count_nodes(const Range& range, const Node& node_of) {
  std::map<int, std::size_t> counts;
  for (const auto& one : range) {
    ++counts[node_of(one)];
  }
  return counts;
}

std::vector<std::size_t> workers_elsewhere(std::span<const int> nodes, int node) {
  std::vector<std::size_t> elsewhere;
  for (std::size_t worker = 0; worker < nodes.size(); ++worker) {
    if (nodes[worker] != kNoNode && nodes[worker] != node) {
      elsewhere.push_back(worker);
    }
  }
  return elsewhere;
}

void note_distances(std::span<const PortPlace> ports, Placement& placement) {
  for (const PortPlace& port : ports) {
    const auto distant = workers_elsewhere(placement.nodes, port.node);
    if (port.node != kNoNode && !distant.empty()) {
      placement.notices.push_back(
          fmt::format("port {}: its card is on NUMA node {}, not so the workers {}, and each frame "
                      "crosses: give the workers cores of that node (CPUAffinity)",
                      port.name,
                      port.node,
                      fmt::join(distant, ", ")));
    }
  }
  const auto distant = workers_elsewhere(placement.nodes, placement.buffers);
  if (!distant.empty()) {
    placement.notices.push_back(
        fmt::format("packet buffers are on NUMA node {}, not so the workers {}: fewer workers, or "
                    "cores of one node (CPUAffinity), are faster",
                    placement.buffers,
                    fmt::join(distant, ", ")));
  }
}

int node_in(const std::string& path) {
  std::ifstream file(path);
  int node = kNoNode;
  return file >> node && node >= 0 ? node : kNoNode;
}

int node_of_core(std::size_t core) {
  for (int node = 0; node < kMostNodes; ++node) {
    std::error_code error;
    if (std::filesystem::exists(fmt::format("/sys/devices/system/cpu/cpu{}/node{}", core, node),
                                error)) {
      return node;
    }
  }
  return kNoNode;
}

// Whole pages of whatever size: what is left over at both ends stays where it is.
bool place(std::span<std::byte> memory, int node) {
  const auto begin = reinterpret_cast<std::uintptr_t>(memory.data());
  const std::size_t skipped = (kHugePageBytes - begin % kHugePageBytes) % kHugePageBytes;
  if (memory.size() < skipped + kHugePageBytes) {
    return true;
  }
  const std::size_t length = (memory.size() - skipped) / kHugePageBytes * kHugePageBytes;
  const unsigned long mask = 1UL << static_cast<unsigned>(node);
  return ::mbind(memory.data() + skipped,
                 length,
                 MPOL_PREFERRED,
                 &mask,
                 static_cast<unsigned long>(kMostNodes) + 1,
                 MPOL_MF_MOVE) == 0;
}

}  // namespace

Placement place_workers(std::vector<Core> usable,
                        std::span<const PortPlace> ports,
                        std::uint32_t workers) {
  const auto cards = count_nodes(ports, [](const PortPlace& port) { return port.node; });
  const auto cores = count_nodes(usable, [](const Core& core) { return core.node; });
  int preferred = commonest(cards);
  if (preferred == kNoNode && !usable.empty()) {
    preferred = std::ranges::max(usable, {}, &Core::number).node;
  }
  std::ranges::sort(usable, std::ranges::greater(), [preferred](const Core& core) {
    return std::pair(core.node == preferred, core.number);
  });
  Placement placement;
  placement.nodes.assign(workers, cores.size() == 1 ? cores.begin()->first : kNoNode);
  if (usable.size() >= workers + std::size_t{2}) {
    for (std::uint32_t worker = 0; worker < workers; ++worker) {
      placement.cores.push_back(usable[worker].number);
      placement.nodes[worker] = usable[worker].node;
    }
  }
  placement.buffers = commonest(count_nodes(placement.nodes, [](int node) { return node; }));
  note_distances(ports, placement);
  return placement;
}

std::vector<Core> load_cores() {
  std::vector<Core> cores;
  cpu_set_t usable;
  if (::sched_getaffinity(0, sizeof(usable), &usable) == 0) {
    for (std::size_t core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &usable)) {
        cores.push_back({.number = core, .node = node_of_core(core)});
      }
    }
  }
  return cores;
}

std::vector<PortPlace> load_port_places(const StartupSpec& startup) {
  std::vector<PortPlace> places;
  for (const PortSpec& port : startup.ports) {
    PortPlace& place = places.emplace_back(PortPlace{.name = port.name});
    if (const auto cards = pci_addresses(port); !cards.empty()) {
      place.node = node_in(fmt::format("/sys/bus/pci/devices/{}/numa_node", cards.front()));
    } else if (!port.interface.empty()) {
      place.node = node_in(fmt::format("/sys/class/net/{}/device/numa_node", port.interface));
    }
  }
  return places;
}

std::string place_tables(const SharedState& state, std::span<const int> nodes) {
  for (std::size_t worker = 0; worker < nodes.size(); ++worker) {
    const int node = nodes[worker];
    const auto memory = state.memory_of(static_cast<std::uint32_t>(worker));
    if (node != kNoNode && node < kMostNodes && !place(memory, node)) {
      return fmt::format("the tables of worker {} may be on another NUMA node than {}: {}",
                         worker,
                         node,
                         strerror(errno));
    }
  }
  return {};
}

}  // namespace holdfast::dataplane
