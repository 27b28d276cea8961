// SPDX-License-Identifier: Apache-2.0
// What the kernel says of a network interface, by ioctl: for the af_packet and af_xdp ports at
// start. Main thread.
#pragma once

#include "dataplane/address.h"
#include "dataplane/neighborhood.h"
#include "dataplane/process/failure.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace holdfast::dataplane {

struct InterfaceFacts {
  std::string name;
  std::uint32_t index = 0;
  MacAddress mac{};
  std::uint16_t mtu = 1500;
  bool up = false;  // administratively up and running
  bool loopback = false;
};

// The port's link as the pipeline knows it.
Link link_of(const InterfaceFacts& facts, PortIndex port, const std::string& port_name);

// The failure names the interface and what to do: missing, or no Ethernet.
Result<InterfaceFacts> load_interface(const std::string& name);

// What a VLAN interface stands on, and its VLAN there.
struct VlanPlace {
  std::string parent;
  std::uint16_t id = 0;
};

// nullopt: the interface is none.
std::optional<VlanPlace> load_vlan(const std::string& name);

// The offloads that hand packet sockets unfinished or merged frames (ethtool's names), of those
// that are on: receive merging on every device, on veth also what its peer leaves unfinished.
std::vector<std::string> harmful_offloads(const std::string& name);

// Receive queues in use; reads sysfs. 0: not known.
std::size_t receive_queues(const std::string& name);

}  // namespace holdfast::dataplane
