// SPDX-License-Identifier: Apache-2.0
// See eal.h.
#include "dataplane/process/eal.h"

#include <chrono>
#include <cstdio>
#include <future>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <rte_alarm.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <sched.h>

namespace holdfast::dataplane {
namespace {

// Keeps DPDK's last messages. DPDK may write from any of its threads.
class KeptLog {
 public:
  KeptLog() {
    const cookie_io_functions_t functions = {
        .read = nullptr, .write = &KeptLog::write, .seek = nullptr, .close = nullptr};
    stream_ = ::fopencookie(this, "w", functions);
    if (stream_ != nullptr) {
      ::setvbuf(stream_, nullptr, _IOLBF, 0);
      rte_openlog_stream(stream_);
    }
  }
  std::string take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(text_, {});
  }

 private:
  static ssize_t write(void* self, const char* bytes, std::size_t size) {
    auto& log = *static_cast<KeptLog*>(self);
    const std::lock_guard lock(log.mutex_);
    log.text_.append(bytes, size);
    if (log.text_.size() > kMost) {
      log.text_.erase(0, log.text_.size() - kMost);
    }
    return static_cast<ssize_t>(size);
  }

  static constexpr std::size_t kMost = 4096;
  std::mutex mutex_;
  std::string text_;
  std::FILE* stream_ = nullptr;
};

// Lives as long as the process: DPDK's threads may write until the very end.
KeptLog& kept_log() {
  static auto* const log = new KeptLog;
  return *log;
}

std::string usable_cores() {
  std::vector<std::size_t> cores;
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (std::size_t core = 0; core < RTE_MAX_LCORE; ++core) {
      if (CPU_ISSET(core, &set)) {
        cores.push_back(core);
      }
    }
  }
  return cores.empty() ? "0" : fmt::format("{}", fmt::join(cores, ","));
}

int init(const std::vector<std::string>& arguments) {
  std::vector<std::string> copies = arguments;
  std::vector<char*> pointers;
  for (std::string& argument : copies) {
    pointers.push_back(argument.data());
  }
  return rte_eal_init(static_cast<int>(pointers.size()), pointers.data());
}

}  // namespace

std::vector<std::string> build_eal_arguments(const MemoryPlan& plan,
                                             const std::string& instance,
                                             const BusNeeds& bus) {
  constexpr std::size_t kMiB = 1U << 20U;
  std::vector<std::string> arguments = {
      "holdfast-dataplane",
      plan.huge_buffers ? "--in-memory" : "--no-huge",
      "--no-shconf",
      "--no-telemetry",
      bus.physical_addresses ? "--iova-mode=pa" : "--iova-mode=va",
      "--file-prefix=holdfast-" + (instance.empty() ? "default" : instance),
      fmt::format("--lcores=0@({})", usable_cores()),
      "-m",
      fmt::format("{}", plan.buffer_bytes / kMiB + 1),
  };
  if (bus.pci) {
    // An allow list, of a device that cannot be: ports are probed one by one, so that each failure
    // has its port's name, and cards of others are left alone.
    arguments.insert(arguments.end(), {"--allow", "ffff:ff:1f.7"});
  } else {
    arguments.emplace_back("--no-pci");
  }
  return arguments;
}

Result<void> start_eal(const MemoryPlan& plan,
                       const std::string& instance,
                       const BusNeeds& bus,
                       CapabilitySet keep) {
  kept_log();
  const std::vector<std::string> arguments = build_eal_arguments(plan, instance, bus);
  int status = -1;
  int error = 0;
  std::thread([&] {
    limit_thread_capabilities(bus.pci ? keep : 0);
    status = init(arguments);
    error = rte_errno;
  }).join();
  if (status < 0) {
    return fail(ExitCode::kEnvironment,
                fmt::format("DPDK does not start with {} MiB of {} ({}): {}",
                            plan.buffer_bytes >> 20U,
                            plan.huge_buffers ? "huge pages" : "ordinary memory",
                            rte_strerror(error),
                            take_eal_log()));
  }
  if (rte_thread_register() != 0) {
    return fail(ExitCode::kEnvironment, "DPDK does not take the main thread: " + take_eal_log());
  }
  return {};
}

Result<void> probe_card(const std::string& port, const std::string& pci_address) {
  if (rte_dev_probe(pci_address.c_str()) != 0) {
    return fail(
        ExitCode::kEnvironment,
        fmt::format("port {}: DPDK cannot take the device {}, which is bound to {}: everything in "
                    "its IOMMU group has to be bound so, and its VFIO group be ours to open: {}",
                    port,
                    pci_address,
                    bound_driver(pci_address),
                    take_eal_log()));
  }
  return {};
}

// Alarms are run by that thread.
bool drop_eal_capabilities() {
  static std::promise<bool> dropped;  // outlives a thread that answers late
  const auto drop = [](void*) { dropped.set_value(drop_thread_capabilities()); };
  constexpr std::chrono::seconds kLimit{2};
  std::future<bool> answer = dropped.get_future();
  return rte_eal_alarm_set(1, drop, nullptr) == 0 &&
         answer.wait_for(kLimit) == std::future_status::ready && answer.get();
}

std::string take_eal_log() { return kept_log().take(); }

}  // namespace holdfast::dataplane
