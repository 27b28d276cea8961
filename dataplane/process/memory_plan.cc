// SPDX-License-Identifier: Apache-2.0
// See memory_plan.h.
#include "dataplane/process/memory_plan.h"

#include "dataplane/burst.h"
#include "dataplane/process/port_device.h"
#include "dataplane/process/twin.h"

#include <algorithm>
#include <bit>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <sched.h>

namespace holdfast::dataplane {
namespace {

constexpr std::size_t kMiB = 1U << 20U;
constexpr std::size_t kHugePage = 2 * kMiB;
constexpr std::size_t kProcessBytes = 64 * kMiB;  // generations, netlink, the binary
constexpr std::size_t kEalBytes = 32 * kMiB;      // device structures, packet rings' tables
constexpr std::size_t kBondLinkBytes = 2 * kMiB;  // the driver's buffers for LACP
constexpr std::size_t kRingHeader = 64;           // TPACKET2_HDRLEN, rounded up
constexpr std::size_t kEthernetAndTag = 18;
// struct rte_mbuf, the mempool's header, and room in two rings of pointers whose sizes are powers
// of two: the mempool's own and that of a repeating capture.
constexpr std::size_t kMbufOverhead = 192 + 2 * 16;
// A worker's counters by member and binding, its fragments, its stack: 64 workers were measured.
constexpr std::size_t kWorkerBytes = 4 * kMiB;
constexpr std::uint32_t kDispatchFrames = 1U << 18U;  // of all rings between workers
constexpr std::uint32_t kMostRingFrames = 1024;
constexpr std::uint32_t kLeastRingFrames = 2 * kBurstSize;
constexpr std::uint32_t kMostWorkers = 64;  // that a configuration may ask for
constexpr std::uint32_t kMbufsBase = 8191;  // 2^n - 1: what a mempool's ring holds at best

// One per usable core less one.
std::uint32_t automatic_workers(const MachineMemory& machine) {
  return std::clamp(machine.usable_cores, 2U, kMostWorkers + 1) - 1;
}

std::uint64_t pairs(std::uint32_t workers) { return std::uint64_t{workers} * (workers - 1); }

std::size_t mebibytes(std::size_t bytes) { return (bytes + kMiB - 1) / kMiB; }

// A number from a one-line file such as those of sysfs; `otherwise` for "max" and missing files.
std::uint64_t number_in(const std::string& path, std::uint64_t otherwise) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return file >> value ? value : otherwise;
}

// Of /proc/meminfo, in bytes; `otherwise` when it has no such line.
std::size_t memory_fact(std::string_view wanted, std::size_t otherwise) {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name;
    std::size_t kilobytes = 0;
    if (fields >> name >> kilobytes && name == wanted) {
      return kilobytes * 1024;
    }
  }
  return otherwise;
}

// What the cgroup (version 2) of this process still allows.
std::size_t cgroup_available() {
  constexpr auto kUnlimited = std::numeric_limits<std::uint64_t>::max();
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  std::uint64_t least = kUnlimited;
  while (std::getline(file, line)) {
    if (!line.starts_with("0::")) {
      continue;
    }
    const std::string folder = "/sys/fs/cgroup" + line.substr(3);
    const std::uint64_t most = number_in(folder + "/memory.max", kUnlimited);
    const std::uint64_t used = number_in(folder + "/memory.current", 0);
    least = std::min(least, most == kUnlimited ? kUnlimited : most - std::min(used, most));
  }
  return least;
}

// What the memory is for: the part of a refusal that says where to save.
std::string shares_of(const MemoryPlan& plan, const StartupSpec& startup, std::uint64_t preloaded) {
  std::string text = fmt::format(
      "{} MiB for {} flows with {} workers, {} MiB for the workers themselves, {} MiB "
      "for {} packet buffers",
      mebibytes(plan.state_bytes),
      startup.flows,
      plan.workers,
      mebibytes(plan.worker_bytes),
      mebibytes(plan.buffer_bytes),
      plan.mbufs);
  if (preloaded != 0) {
    text += fmt::format(" ({} of them for captures that repeat)", preloaded);
  }
  return text;
}

// What the device's rings and the twins' queues of owned ports hold at most. A card may have a
// queue of each kind for each worker.
std::uint64_t owned_port_frames(const StartupSpec& startup, std::uint32_t workers) {
  std::uint64_t frames = 0;
  for (const PortSpec& port : startup.ports) {
    const std::uint64_t queues = port.device == PortDevice::kPci ? workers : 1;
    const std::uint64_t devices = std::max<std::uint64_t>(port.links.size(), 1);
    frames += is_owned(port.device) ? 2 * devices * queues * kDeviceDescriptors : 0;
    frames += port.twin.empty() ? 0 : kTwinFrames;
  }
  return frames;
}

std::size_t bond_links(const StartupSpec& startup) {
  std::size_t links = 0;
  for (const PortSpec& port : startup.ports) {
    links += port.links.size();
  }
  return links;
}

// The name of the first one; empty: there is none.
std::string network_card(const StartupSpec& startup) {
  const auto found = std::ranges::find_if(
      startup.ports, [](const PortSpec& port) { return !pci_addresses(port).empty(); });
  return found == startup.ports.end() ? std::string() : found->name;
}

// `left`: huge pages that nobody holds. An old state on huge pages gives way to a new one.
bool state_on_huge_pages(std::size_t size, std::size_t left, const MachineMemory& machine) {
  const bool fits = size <= left + machine.huge_state.held_bytes;
  const bool elsewhere =
      machine.huge_state.file_bytes != size && machine.ordinary_state.file_bytes == size;
  return fits && !elsewhere;
}

// Ordinary memory that the state needs beyond what the file to be adopted holds.
std::size_t new_state_bytes(const MemoryPlan& plan, const MachineMemory& machine) {
  const StateFound& found = machine.ordinary_state;
  const std::size_t held = found.file_bytes == plan.state_file_bytes() ? found.held_bytes : 0;
  return plan.state_bytes - std::min(held, plan.state_bytes);
}

}  // namespace

std::size_t MemoryPlan::total_bytes() const {
  return state_bytes + buffer_bytes + worker_bytes + kProcessBytes;
}

std::size_t MemoryPlan::state_file_bytes() const {
  return (state_bytes + kHugePage - 1) / kHugePage * kHugePage;
}

MachineMemory load_machine_memory() {
  MachineMemory machine;
  constexpr auto kUnknown = std::numeric_limits<std::size_t>::max();
  machine.available_bytes = std::min(memory_fact("MemAvailable:", kUnknown), cgroup_available());
  machine.total_bytes = memory_fact("MemTotal:", 0);
  machine.huge_free_bytes =
      number_in("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", 0) * kHugePage;
  cpu_set_t cores;
  if (::sched_getaffinity(0, sizeof(cores), &cores) == 0) {
    machine.usable_cores = static_cast<std::uint32_t>(CPU_COUNT(&cores));
  }
  return machine;
}

std::uint32_t dispatch_ring_frames(std::uint32_t workers) {
  const auto share = static_cast<std::uint32_t>(kDispatchFrames / std::max(pairs(workers), 1UL));
  return std::clamp(std::bit_floor(share), kLeastRingFrames, kMostRingFrames);
}

std::uint32_t ring_frame_bytes(std::uint16_t mtu) {
  return std::bit_ceil(
      static_cast<std::uint32_t>(std::max<std::size_t>(mtu + kEthernetAndTag + kRingHeader, 2048)));
}

std::uint16_t ring_mtu(std::uint32_t frame_bytes) {
  return static_cast<std::uint16_t>(
      std::min<std::size_t>(frame_bytes - kEthernetAndTag - kRingHeader, UINT16_MAX));
}

namespace {

// Whether the plan can be had: by the card, by what the configuration allows, by the machine.
Result<void> judge(const MemoryPlan& plan,
                   const StartupSpec& startup,
                   std::uint64_t preloaded,
                   const MachineMemory& machine) {
  if (const std::string card = network_card(startup); !card.empty() && !plan.huge_buffers) {
    return fail(
        ExitCode::kEnvironment,
        fmt::format("port {}: a network card needs its packet buffers on huge pages, {} MiB "
                    "of them, and {} MiB are free: `sysctl vm.nr_hugepages={}`, and "
                    "dataplane.huge_pages true",
                    card,
                    mebibytes(plan.buffer_bytes),
                    machine.huge_free_bytes / kMiB,
                    (plan.buffer_bytes + kHugePage - 1) / kHugePage));
  }
  if (startup.memory_bytes != 0 && plan.total_bytes() > startup.memory_bytes) {
    return fail(
        ExitCode::kInvalid,
        fmt::format("the dataplane needs {} MiB, dataplane.memory allows {} MiB: raise it or "
                    "lower dataplane.flows or dataplane.workers ({})",
                    mebibytes(plan.total_bytes()),
                    startup.memory_bytes / kMiB,
                    shares_of(plan, startup, preloaded)));
  }
  const std::size_t ordinary = kProcessBytes + plan.worker_bytes +
                               (plan.huge_buffers ? 0 : plan.buffer_bytes) +
                               (plan.huge_state ? 0 : new_state_bytes(plan, machine));
  if (ordinary > machine.available_bytes) {
    return fail(ExitCode::kEnvironment,
                fmt::format("too little memory: the dataplane needs {} MiB, {} MiB are available: "
                            "stop something, raise the memory limit or lower dataplane.flows or "
                            "dataplane.workers ({})",
                            mebibytes(ordinary),
                            machine.available_bytes / kMiB,
                            shares_of(plan, startup, preloaded)));
  }
  return {};
}

}  // namespace

Result<MemoryPlan> plan_memory(const StartupSpec& startup,
                               const std::vector<std::uint16_t>& mtus,
                               std::uint64_t preloaded,
                               const MachineMemory& machine) {
  MemoryPlan plan;
  plan.workers = startup.workers != 0 ? startup.workers : automatic_workers(machine);
  plan.geometry = StateGeometry::from(startup.flows, plan.workers);
  plan.state_bytes = plan.geometry.bytes();
  std::uint32_t frame = 2048;
  for (const std::uint16_t mtu : mtus) {
    frame = std::max(frame, ring_frame_bytes(mtu));
  }
  plan.mbuf_data_room =
      static_cast<std::uint16_t>(std::min<std::uint32_t>(frame + RTE_PKTMBUF_HEADROOM, UINT16_MAX));
  const std::uint64_t mbufs = kMbufsBase + preloaded + owned_port_frames(startup, plan.workers) +
                              pairs(plan.workers) * dispatch_ring_frames(plan.workers);
  plan.mbufs = static_cast<std::uint32_t>(std::min<std::uint64_t>(mbufs, 1U << 26U));
  plan.buffer_bytes = plan.mbufs * (plan.mbuf_data_room + kMbufOverhead) + kEalBytes +
                      bond_links(startup) * kBondLinkBytes;
  plan.worker_bytes =
      plan.workers * kWorkerBytes +
      pairs(plan.workers) *
          static_cast<std::size_t>(rte_ring_get_memsize(dispatch_ring_frames(plan.workers)));
  if (startup.huge_pages) {
    plan.huge_buffers = plan.buffer_bytes <= machine.huge_free_bytes;
    const std::size_t left = machine.huge_free_bytes - (plan.huge_buffers ? plan.buffer_bytes : 0);
    plan.huge_state = state_on_huge_pages(plan.state_file_bytes(), left, machine);
  }
  if (const auto fits = judge(plan, startup, preloaded, machine); !fits) {
    return std::unexpected(fits.error());
  }
  if (machine.total_bytes != 0 && startup.memory_bytes > machine.total_bytes) {
    plan.notice = fmt::format(
        "dataplane.memory is {} MiB, more than the {} MiB that this machine has: it limits nothing",
        startup.memory_bytes / kMiB,
        machine.total_bytes / kMiB);
  }
  return plan;
}

}  // namespace holdfast::dataplane
