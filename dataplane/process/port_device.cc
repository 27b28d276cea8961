// SPDX-License-Identifier: Apache-2.0
// See port_device.h.
#include "dataplane/process/port_device.h"

#include "dataplane/fnv.h"
#include "dataplane/process/descriptor.h"
#include "dataplane/process/memory_plan.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

std::string_view driver_of(PortDevice device) {
  switch (device) {
    case PortDevice::kAfPacket:
      return "net_af_packet";
    case PortDevice::kAfXdp:
      return "net_af_xdp";
    case PortDevice::kMemif:
      return "net_memif";
    case PortDevice::kPcap:
      return "net_pcap";
    case PortDevice::kRing:
      return "net_ring";
    case PortDevice::kBond:
      return "net_bonding";
    case PortDevice::kNull:
    case PortDevice::kTap:
    case PortDevice::kPci:
      break;
  }
  return "net_null";
}

// DPDK separates device arguments by commas and knows no quoting.
bool usable_in_arguments(const std::string& text) {
  return text.find_first_of(",=[]()\"'") == std::string::npos;
}

std::string memif_arguments(const PortSpec& spec) {
  return fmt::format("role={},id={},socket={},socket-abstract=no,bsize={},mac={:02x}",
                     spec.role == MemifRole::kServer ? "server" : "client",
                     spec.memif_id,
                     spec.socket,
                     ring_frame_bytes(spec.mtu),
                     fmt::join(spec.mac, ":"));
}

}  // namespace

std::vector<std::string> packet_interfaces(const StartupSpec& startup) {
  std::vector<std::string> names;
  for (const PortSpec& port : startup.ports) {
    if (port.device == PortDevice::kAfPacket) {
      names.push_back(port.interface);
    }
  }
  return names;
}

std::vector<std::string> pci_addresses(const PortSpec& spec) {
  if (spec.device == PortDevice::kPci) {
    return {spec.pci_address};
  }
  std::vector<std::string> addresses;
  std::ranges::copy_if(spec.links, std::back_inserter(addresses), is_pci_address);
  return addresses;
}

std::string device_name(const PortSpec& spec, PortIndex index) {
  return spec.device == PortDevice::kPci ? spec.pci_address
                                         : fmt::format("{}{}", driver_of(spec.device), index);
}

Result<std::string> device_arguments(const PortSpec& spec) {
  for (const std::string* text :
       {&spec.interface, &spec.receive_file, &spec.transmit_file, &spec.socket}) {
    if (!usable_in_arguments(*text)) {
      return fail(ExitCode::kInvalid,
                  fmt::format("port {}: DPDK cannot take the name {}: choose one without commas, "
                              "brackets, quotes and equals signs",
                              spec.name,
                              *text));
    }
  }
  switch (spec.device) {
    case PortDevice::kPcap: {
      std::string text = "rx_pcap=" + spec.receive_file;
      text += spec.transmit_file.empty() ? "" : ",tx_pcap=" + spec.transmit_file;
      text += spec.repeat ? ",infinite_rx=1" : "";
      return text;
    }
    case PortDevice::kNull:
      return "no-rx=1";
    case PortDevice::kMemif:
      return memif_arguments(spec);
    case PortDevice::kAfXdp:
      return fmt::format("iface={},start_queue=0,queue_count=1", spec.interface);
    case PortDevice::kRing:
    case PortDevice::kAfPacket:
    case PortDevice::kTap:
    case PortDevice::kPci:
    case PortDevice::kBond:
      break;
  }
  return std::string();
}

MacAddress made_up_mac(const std::string& instance, const std::string& port) {
  std::uint64_t hash = fnv1a(fmt::format("{}/{}", instance, port));
  MacAddress mac{};
  for (std::uint8_t& byte : mac) {
    byte = static_cast<std::uint8_t>(hash);
    hash >>= 8U;
  }
  mac[0] = 0x02;
  return mac;
}

std::string bound_driver(const std::string& pci_address) {
  std::error_code error;
  const auto target =
      std::filesystem::read_symlink("/sys/bus/pci/devices/" + pci_address + "/driver", error);
  return error ? std::string() : target.filename().string();
}

namespace {

Result<void> note_card(const PortSpec& port, const std::string& address, BusNeeds& needs) {
  const std::string driver = bound_driver(address);
  const bool uio = driver == "uio_pci_generic";
  if (driver != "vfio-pci" && !uio) {
    return fail(ExitCode::kEnvironment,
                fmt::format("port {}: the device {} is {}, not bound to vfio-pci: `lspci -D` "
                            "lists what there is, and `driverctl set-override {} vfio-pci` binds "
                            "it, which takes it from the kernel",
                            port.name,
                            address,
                            driver.empty() ? "not there or bound to nothing" : "bound to " + driver,
                            address));
  }
  needs.pci = true;
  needs.physical_addresses |= uio;
  return {};
}

}  // namespace

Result<BusNeeds> bus_needs(const StartupSpec& startup) {
  BusNeeds needs;
  for (const PortSpec& port : startup.ports) {
    for (const std::string& address : pci_addresses(port)) {
      if (auto noted = note_card(port, address, needs); !noted) {
        return std::unexpected(noted.error());
      }
    }
  }
  return needs;
}

void remove_stale_socket(const PortSpec& spec) {
  if (spec.device != PortDevice::kMemif || spec.role != MemifRole::kServer) {
    return;
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::ranges::copy(std::string_view(spec.socket).substr(0, sizeof(address.sun_path) - 1),
                    address.sun_path);
  // memif speaks over sequenced packets.
  const Descriptor probe(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (probe.get() >= 0 &&
      ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 &&
      errno == ECONNREFUSED) {
    ::unlink(spec.socket.c_str());
  }
}

}  // namespace holdfast::dataplane
