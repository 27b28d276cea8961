// SPDX-License-Identifier: Apache-2.0
// See interface.h.
#include "dataplane/process/interface.h"

#include "dataplane/process/descriptor.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>

#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/if_vlan.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace holdfast::dataplane {
namespace {

Descriptor control_socket() { return Descriptor(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }

ifreq request_for(const std::string& name) {
  ifreq request{};
  std::ranges::copy(std::string_view(name).substr(0, IFNAMSIZ - 1), request.ifr_name);
  return request;
}

struct Offload {
  std::uint32_t command;
  std::string_view name;
  bool only_veth;
};
constexpr std::array kOffloads = {
    Offload{ETHTOOL_GTXCSUM, "tx", true},
    Offload{ETHTOOL_GTSO, "tso", true},
    Offload{ETHTOOL_GGSO, "gso", true},
    Offload{ETHTOOL_GGRO, "gro", false},
};

bool is_on(const Descriptor& socket, const std::string& name, std::uint32_t command) {
  ethtool_value value{.cmd = command, .data = 0};
  ifreq request = request_for(name);
  request.ifr_data = reinterpret_cast<char*>(&value);
  return ::ioctl(socket.get(), SIOCETHTOOL, &request) == 0 && value.data != 0;
}

bool is_veth(const Descriptor& socket, const std::string& name) {
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  ifreq request = request_for(name);
  request.ifr_data = reinterpret_cast<char*>(&info);
  return ::ioctl(socket.get(), SIOCETHTOOL, &request) == 0 &&
         std::string_view(info.driver) == "veth";
}

}  // namespace

Result<InterfaceFacts> load_interface(const std::string& name) {
  InterfaceFacts facts{.name = name, .index = ::if_nametoindex(name.c_str())};
  if (facts.index == 0) {
    return fail(
        ExitCode::kEnvironment,
        fmt::format("there is no interface {} in this network namespace: make it, or change "
                    "the port in the configuration (`ip link` lists what there is)",
                    name));
  }
  const Descriptor socket = control_socket();
  ifreq request = request_for(name);
  if (::ioctl(socket.get(), SIOCGIFHWADDR, &request) != 0) {
    return fail(ExitCode::kEnvironment,
                fmt::format("cannot read interface {}: {}", name, strerror(errno)));
  }
  if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER &&
      request.ifr_hwaddr.sa_family != ARPHRD_LOOPBACK) {
    return fail(ExitCode::kEnvironment,
                fmt::format("interface {} is no Ethernet device: ports need one", name));
  }
  facts.loopback = request.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK;
  std::memcpy(facts.mac.data(), request.ifr_hwaddr.sa_data, facts.mac.size());
  if (::ioctl(socket.get(), SIOCGIFMTU, &request) == 0) {
    facts.mtu = static_cast<std::uint16_t>(std::clamp(request.ifr_mtu, 68, 65535));
  }
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) == 0) {
    facts.up = (request.ifr_flags & IFF_UP) != 0 && (request.ifr_flags & IFF_RUNNING) != 0;
  }
  return facts;
}

Link link_of(const InterfaceFacts& facts, PortIndex port, const std::string& port_name) {
  return {.port = port,
          .name = port_name,
          .interface_index = facts.index,
          .mac = facts.mac,
          .mtu = facts.mtu,
          .up = facts.up};
}

std::optional<VlanPlace> load_vlan(const std::string& name) {
  const Descriptor socket = control_socket();
  vlan_ioctl_args parent{};
  parent.cmd = GET_VLAN_REALDEV_NAME_CMD;
  std::ranges::copy(std::string_view(name).substr(0, sizeof(parent.device1) - 1), parent.device1);
  vlan_ioctl_args id = parent;
  id.cmd = GET_VLAN_VID_CMD;
  if (::ioctl(socket.get(), SIOCGIFVLAN, &parent) != 0 ||
      ::ioctl(socket.get(), SIOCGIFVLAN, &id) != 0) {
    return std::nullopt;  // also where the kernel knows no VLANs
  }
  return VlanPlace{.parent = parent.u.device2, .id = static_cast<std::uint16_t>(id.u.VID)};
}

std::vector<std::string> harmful_offloads(const std::string& name) {
  const Descriptor socket = control_socket();
  const bool veth = is_veth(socket, name);
  std::vector<std::string> on;
  for (const Offload& offload : kOffloads) {
    if ((veth || !offload.only_veth) && is_on(socket, name, offload.command)) {
      on.emplace_back(offload.name);
    }
  }
  return on;
}

std::size_t receive_queues(const std::string& name) {
  std::error_code error;
  const std::filesystem::directory_iterator queues("/sys/class/net/" + name + "/queues", error);
  return static_cast<std::size_t>(std::ranges::count_if(queues, [](const auto& entry) {
    return entry.path().filename().string().starts_with("rx-");
  }));
}

}  // namespace holdfast::dataplane
