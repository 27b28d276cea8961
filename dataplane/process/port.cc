// SPDX-License-Identifier: Apache-2.0
// See port.h.
#include "dataplane/process/port.h"

#include "dataplane/process/eal.h"
#include "dataplane/process/interface.h"
#include "dataplane/process/memory_plan.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <set>

#include <dirent.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/if_packet.h>
#include <pcap/pcap.h>
#include <rte_bus_vdev.h>
#include <rte_ethdev.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

namespace holdfast::dataplane {
namespace {

constexpr std::uint16_t kDescriptors = 1024;
constexpr std::uint32_t kRingFrames = 4096;  // below, bursts of a few ms overflow the ring
constexpr std::uint32_t kLeastRingFrames = 128;

std::set<int> packet_sockets() {
  std::set<int> found;
  DIR* folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) {
    return found;
  }
  while (const dirent* entry = ::readdir(folder)) {
    const int fd = std::atoi(entry->d_name);
    int domain = 0;
    socklen_t size = sizeof(domain);
    if (entry->d_name[0] != '.' && ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
        domain == AF_PACKET) {
      found.insert(fd);
    }
  }
  ::closedir(folder);
  return found;
}

Result<std::string> arguments_of(const PortSpec& spec) {
  switch (spec.device) {
    case PortDevice::kPcap: {
      std::string text = "rx_pcap=" + spec.receive_file;
      text += spec.transmit_file.empty() ? "" : ",tx_pcap=" + spec.transmit_file;
      text += spec.repeat ? ",infinite_rx=1" : "";
      return text;
    }
    case PortDevice::kNull:
      return "no-rx=1";
    case PortDevice::kRing:
    case PortDevice::kAfPacket:
      break;
  }
  return std::string();
}

std::string_view driver_of(PortDevice device) {
  switch (device) {
    case PortDevice::kAfPacket:
      return "net_af_packet";
    case PortDevice::kPcap:
      return "net_pcap";
    case PortDevice::kRing:
      return "net_ring";
    case PortDevice::kNull:
      break;
  }
  return "net_null";
}

// DPDK separates device arguments by commas and knows no quoting.
bool usable_in_arguments(const std::string& text) {
  return text.find_first_of(",=[]()\"'") == std::string::npos;
}

}  // namespace

Result<std::unique_ptr<Port>> Port::open(const PortSpec& spec,
                                         const PortPlan& plan,
                                         rte_mempool* pool) {
  std::unique_ptr<Port> port(new Port(spec, plan));
  for (const std::string* text : {&spec.interface, &spec.receive_file, &spec.transmit_file}) {
    if (!usable_in_arguments(*text)) {
      return fail(ExitCode::kInvalid,
                  fmt::format("port {}: DPDK cannot take the name {}: choose one without commas, "
                              "brackets, quotes and equals signs",
                              spec.name,
                              *text));
    }
  }
  if (auto created = port->create(); !created) {
    return std::unexpected(created.error());
  }
  if (auto started = port->start(pool); !started) {
    return std::unexpected(started.error());
  }
  return port;
}

Result<void> Port::create() {
  device_ = fmt::format("{}{}", driver_of(spec_.device), plan_.index);
  link_ = {.port = plan_.index, .name = spec_.name, .mtu = spec_.mtu, .tags = spec_.vlan};
  take_eal_log();
  if (spec_.device == PortDevice::kAfPacket) {
    return create_packet_device(device_);
  }
  const auto arguments = arguments_of(spec_);
  if (rte_vdev_init(device_.c_str(), arguments->c_str()) != 0) {
    return fail(ExitCode::kEnvironment,
                fmt::format("port {}: DPDK refuses {} with '{}': {}",
                            spec_.name,
                            device_,
                            *arguments,
                            take_eal_log()));
  }
  return {};
}

Result<void> Port::create_packet_device(const std::string& device) {
  const auto facts = load_interface(spec_.interface);
  if (!facts) {
    return fail(facts.error().code, fmt::format("port {}: {}", spec_.name, facts.error().text));
  }
  link_ = link_of(*facts, plan_.index, spec_.name);
  const std::uint32_t frame = ring_frame_bytes(facts->mtu);
  const std::uint32_t ring_frames = affordable_ring_frames(frame);
  const std::string arguments = fmt::format("iface={},qpairs=1,framesz={},blocksz={},framecnt={}",
                                            spec_.interface,
                                            frame,
                                            std::max(frame, 4096U),
                                            ring_frames);
  const std::set<int> before = packet_sockets();
  if (rte_vdev_init(device.c_str(), arguments.c_str()) != 0) {
    return fail(ExitCode::kEnvironment,
                fmt::format("port {}: no packet socket on {}: it needs CAP_NET_RAW, CAP_NET_ADMIN "
                            "and {} MiB of locked memory (ulimit -l): {}",
                            spec_.name,
                            spec_.interface,
                            (2 * std::size_t{frame} * ring_frames) >> 20U,
                            take_eal_log()));
  }
  for (const int socket : packet_sockets()) {
    ring_socket_ = before.contains(socket) ? ring_socket_ : socket;
  }
  note_offloads();
  if (ring_frames < kRingFrames) {
    notices_.push_back(
        fmt::format("port {}: packet ring of {} instead of {} frames, bursts may be missed: raise "
                    "the limit on locked memory (ulimit -l)",
                    spec_.name,
                    ring_frames,
                    kRingFrames));
  }
  return join_all_multicast();
}

// A VLAN interface gets what those below it leave unfinished. Tags taken off by the kernel (rxvlan)
// do no harm: they are told beside the frame.
void Port::note_offloads() {
  std::optional<VlanPlace> below;
  std::string interface = spec_.interface;
  do {
    if (const auto offloads = harmful_offloads(interface); !offloads.empty()) {
      notices_.push_back(fmt::format(
          "port {}: {} has {} on, so unfinished checksums and merged frames may arrive: `ethtool "
          "-K {} {} off`, and the same on a veth's other end",
          spec_.name,
          interface,
          fmt::join(offloads, ", "),
          interface,
          fmt::join(offloads, " off ")));
    }
    below = load_vlan(interface);
    interface = below ? below->parent : interface;
  } while (below);
}

Result<void> Port::join_all_multicast() {
  // Protocol 0 receives nothing: the socket only carries the membership.
  membership_ = Descriptor(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  packet_mreq request{};
  request.mr_ifindex = static_cast<int>(link_.interface_index);
  request.mr_type = PACKET_MR_ALLMULTI;
  if (!membership_.valid() ||
      ::setsockopt(
          membership_.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof(request)) != 0) {
    return fail(ExitCode::kEnvironment,
                fmt::format("port {}: cannot receive multicast on {}: {}",
                            spec_.name,
                            spec_.interface,
                            strerror(errno)));
  }
  return {};
}

Result<void> Port::start(rte_mempool* pool) {
  const rte_eth_conf configuration{};
  const auto socket = static_cast<unsigned>(SOCKET_ID_ANY);
  if (rte_eth_dev_get_port_by_name(device_.c_str(), &id_) != 0 ||
      rte_eth_dev_configure(id_, 1, 1, &configuration) != 0 ||
      rte_eth_rx_queue_setup(id_, 0, kDescriptors, socket, nullptr, pool) != 0 ||
      rte_eth_tx_queue_setup(id_, 0, kDescriptors, socket, nullptr) != 0 ||
      rte_eth_dev_start(id_) != 0) {
    return fail(ExitCode::kEnvironment,
                fmt::format("port {}: {} does not start: {}", spec_.name, device_, take_eal_log()));
  }
  started_ = true;
  if (in_process()) {
    rte_ether_addr mac{};
    rte_eth_macaddr_get(id_, &mac);
    std::ranges::copy(mac.addr_bytes, link_.mac.begin());
  }
  return {};
}

Port::~Port() {
  if (started_) {
    rte_eth_dev_stop(id_);
    rte_eth_dev_close(id_);
  }
}

std::uint16_t Port::receive(std::span<rte_mbuf*> packets) {
  return rte_eth_rx_burst(id_, 0, packets.data(), static_cast<std::uint16_t>(packets.size()));
}

std::uint16_t Port::transmit(std::span<rte_mbuf*> packets) {
  const auto count = static_cast<std::uint16_t>(packets.size());
  if (!plan_.shared) {
    return rte_eth_tx_burst(id_, 0, packets.data(), count);
  }
  rte_spinlock_lock(&transmit_lock_);
  const std::uint16_t taken = rte_eth_tx_burst(id_, 0, packets.data(), count);
  rte_spinlock_unlock(&transmit_lock_);
  return taken;
}

PortCounters Port::counters() {
  rte_eth_stats stats{};
  rte_eth_link link{};
  rte_eth_stats_get(id_, &stats);
  rte_eth_link_get_nowait(id_, &link);
  tpacket_stats ring{};
  socklen_t size = sizeof(ring);
  if (ring_socket_ >= 0 &&
      ::getsockopt(ring_socket_, SOL_PACKET, PACKET_STATISTICS, &ring, &size) == 0) {
    missed_ += ring.tp_drops;
  }
  return {.received = stats.ipackets,
          .received_bytes = stats.ibytes,
          .missed = stats.imissed + missed_,
          .no_buffer = stats.rx_nombuf,
          .receive_errors = stats.ierrors,
          .transmitted = stats.opackets,
          .transmitted_bytes = stats.obytes,
          .transmit_errors = stats.oerrors,
          .link_up = link.link_status == RTE_ETH_LINK_UP};
}

Result<std::uint64_t> count_capture(const std::string& file) {
  std::array<char, PCAP_ERRBUF_SIZE> error{};
  pcap_t* capture = pcap_open_offline(file.c_str(), error.data());
  if (capture == nullptr) {
    return fail(ExitCode::kEnvironment, fmt::format("cannot read {}: {}", file, error.data()));
  }
  std::uint64_t count = 0;
  pcap_pkthdr* header = nullptr;
  const u_char* bytes = nullptr;
  while (pcap_next_ex(capture, &header, &bytes) == 1) {
    ++count;
  }
  pcap_close(capture);
  return count;
}

void raise_lock_limit() {
  const rlimit unlimited{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  rlimit limit{};
  if (::setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0 || ::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
    return;
  }
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_MEMLOCK, &limit);
}

// The kernel compares the length of each locked mapping with the limit, but charges a packet
// ring's pages to nobody: so a trial of that length, without access and therefore without pages,
// tells, and every port gets the same.
std::uint32_t affordable_ring_frames(std::uint32_t frame_bytes) {
  std::uint32_t frames = kRingFrames;
  while (frames > kLeastRingFrames) {
    const std::size_t both_rings = 2 * std::size_t{frame_bytes} * frames;
    void* trial =
        ::mmap(nullptr, both_rings, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
    if (trial != MAP_FAILED) {
      ::munmap(trial, both_rings);
      break;
    }
    frames /= 2;
  }
  return frames;
}

}  // namespace holdfast::dataplane
