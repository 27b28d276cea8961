// SPDX-License-Identifier: Apache-2.0
// DPDK's environment layer: started once per process, from the memory plan, with its messages kept
// back unless it fails. Start-up only.
#pragma once

#include "dataplane/process/failure.h"
#include "dataplane/process/memory_plan.h"
#include "dataplane/process/port_device.h"
#include "dataplane/process/privileges.h"

#include <string>
#include <vector>

namespace holdfast::dataplane {

// The EAL's command line. `--in-memory` and `--no-huge` exclude each other; both leave no file that
// a second instance could trip over. Pure but for the CPU affinity it reads.
std::vector<std::string> build_eal_arguments(const MemoryPlan& plan,
                                             const std::string& instance,
                                             const BusNeeds& bus);

// Starts the EAL; the calling thread is registered with it. Without PCI devices that happens on a
// thread without capabilities, so that its helper threads have none; with them it takes `keep`, and
// drop_eal_capabilities() ends that. Once per process.
Result<void> start_eal(const MemoryPlan& plan,
                       const std::string& instance,
                       const BusNeeds& bus,
                       CapabilitySet keep);

// Has DPDK drive a card of the port. Main thread.
Result<void> probe_card(const std::string& port, const std::string& pci_address);

// Takes the capabilities of the EAL's helper thread, which inherited those that started it, when
// the devices are open. False: it does not answer.
bool drop_eal_capabilities();

// What DPDK has said since the last call, last lines first cut: for the text of a failure.
std::string take_eal_log();

}  // namespace holdfast::dataplane
