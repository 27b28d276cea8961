// SPDX-License-Identifier: Apache-2.0
// How a port is called in DPDK: the driver, its arguments, the device's name. What the process is
// linked with is in CMakeLists.txt. Pure, but for the files of sysfs that it says it reads. Main
// thread, at start.
#pragma once

#include "dataplane/neighborhood.h"
#include "dataplane/process/failure.h"
#include "dataplane/spec.h"

#include <cstdint>
#include <string>
#include <vector>

namespace holdfast::dataplane {

// Whether DPDK drives the device. A tap is ours (tap_device.h).
constexpr bool is_dpdk(PortDevice device) { return device != PortDevice::kTap; }
// Whether the port's frames come from a netdev of the kernel's.
constexpr bool has_netdev(PortDevice device) {
  return device == PortDevice::kAfPacket || device == PortDevice::kAfXdp;
}

// The interfaces of the af_packet ports.
std::vector<std::string> packet_interfaces(const StartupSpec& startup);

// A bond's link is a card when it is written as one.
inline bool is_pci_address(const std::string& link) { return link.contains(':'); }
// The cards that the port stands on.
std::vector<std::string> pci_addresses(const PortSpec& spec);

// DPDK's name of the port's device: the PCI address, or driver and index.
std::string device_name(const PortSpec& spec, PortIndex index);

// Arguments of a virtual device, but for af_packet's, which depend on the machine. The failure
// names what DPDK cannot take: it knows no quoting.
Result<std::string> device_arguments(const PortSpec& spec);

// A port's own MAC address where neither the configuration nor a device says one: the same at each
// start, so that neighbours need not learn another; locally administered.
MacAddress made_up_mac(const std::string& instance, const std::string& port);

// How a PCI device is bound: the kernel driver's name; empty: to none, or there is no such device.
// Reads sysfs.
std::string bound_driver(const std::string& pci_address);

// Of all ports: what the environment layer has to prepare.
struct BusNeeds {
  bool pci = false;
  bool physical_addresses = false;  // a device without IOMMU (uio)
};
// Refuses devices that no driver of ours can take, and says how to bind them. Reads sysfs.
Result<BusNeeds> bus_needs(const StartupSpec& startup);

// Frames for a memif server's socket that nobody listens on any more: the driver would refuse it.
void remove_stale_socket(const PortSpec& spec);

}  // namespace holdfast::dataplane
