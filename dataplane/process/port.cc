// SPDX-License-Identifier: Apache-2.0
// See port.h.
#include "dataplane/process/port.h"

#include "dataplane/process/eal.h"
#include "dataplane/process/interface.h"
#include "dataplane/process/left_program.h"
#include "dataplane/process/memory_plan.h"
#include "dataplane/process/packet_ring.h"
#include "dataplane/process/port_device.h"
#include "dataplane/vlan.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>

#include <dirent.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/if_packet.h>
#include <rte_bus_vdev.h>
#include <rte_ethdev.h>
#include <sys/socket.h>

namespace holdfast::dataplane {
namespace {

// Of this process, with that address family.
std::set<int> sockets_of(int family) {
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
        domain == family) {
      found.insert(fd);
    }
  }
  ::closedir(folder);
  return found;
}

// The one that is not among `before`; -1: there is none.
int socket_since(const std::set<int>& before, int family) {
  for (const int socket : sockets_of(family)) {
    if (!before.contains(socket)) {
      return socket;
    }
  }
  return -1;
}

}  // namespace

Result<std::unique_ptr<Port>> Port::open(const PortSpec& spec,
                                         const PortPlan& plan,
                                         rte_mempool* pool) {
  std::unique_ptr<Port> port(new Port(spec, plan, pool));
  take_eal_log();
  if (auto created = port->create(); !created) {
    return std::unexpected(created.error());
  }
  const std::set<int> sockets = sockets_of(AF_XDP);
  if (auto started = port->start(); !started) {
    return std::unexpected(started.error());
  }
  port->find_what_tells(sockets);
  if (auto opened = port->open_twin(); !opened) {
    return std::unexpected(opened.error());
  }
  return port;
}

Result<void> Port::create() {
  device_ = device_name(spec_, plan_.index);
  link_ = {.port = plan_.index, .name = spec_.name, .mtu = spec_.mtu, .tags = spec_.vlan};
  switch (spec_.device) {
    case PortDevice::kAfPacket:
      return create_packet_device();
    case PortDevice::kPci:
      return probe_card(spec_.name, device_);
    case PortDevice::kBond:
      return create_bond();
    case PortDevice::kTap:
      return open_tap();
    default:
      return create_virtual_device();
  }
}

Result<void> Port::create_virtual_device() {
  const auto arguments = device_arguments(spec_);
  if (!arguments) {
    return std::unexpected(arguments.error());
  }
  if (spec_.device == PortDevice::kAfXdp) {
    const auto facts = load_interface(spec_.interface);
    if (!facts) {
      return fail(facts.error().code, fmt::format("port {}: {}", spec_.name, facts.error().text));
    }
    if (const auto left = detach_left_program(spec_.interface); !left) {
      return fail(left.error().code, fmt::format("port {}: {}", spec_.name, left.error().text));
    }
    link_.mtu = facts->mtu;
    note_offloads();
    note_queues();
  }
  remove_stale_socket(spec_);
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

Result<void> Port::create_bond() {
  auto bond = Bond::create(spec_, device_);
  if (!bond) {
    return std::unexpected(bond.error());
  }
  bond_ = std::move(*bond);
  return {};
}

Result<void> Port::open_tap() {
  auto tap = TapDevice::open(
      {.name = spec_.interface, .mtu = spec_.mtu, .mac = std::nullopt, .stays = false});
  if (!tap) {
    return fail(tap.error().code, fmt::format("port {}: {}", spec_.name, tap.error().text));
  }
  tap_ = std::make_unique<TapDevice>(std::move(*tap));
  link_.mac = spec_.mac;
  return {};
}

Result<void> Port::create_packet_device() {
  if (const auto usable = device_arguments(spec_); !usable) {
    return std::unexpected(usable.error());
  }
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
  const std::set<int> before = sockets_of(AF_PACKET);
  if (rte_vdev_init(device_.c_str(), arguments.c_str()) != 0) {
    return fail(ExitCode::kEnvironment,
                fmt::format("port {}: no packet socket on {}: it needs CAP_NET_RAW, CAP_NET_ADMIN "
                            "and {} MiB of locked memory (ulimit -l): {}",
                            spec_.name,
                            spec_.interface,
                            (2 * std::size_t{frame} * ring_frames) >> 20U,
                            take_eal_log()));
  }
  ring_socket_ = socket_since(before, AF_PACKET);
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

// Frames of other queues go past the program's socket, to the kernel.
void Port::note_queues() {
  const std::size_t queues = receive_queues(spec_.interface);
  if (queues > 1) {
    notices_.push_back(fmt::format(
        "port {}: {} has {} receive queues, and only the first one's frames come here: `ethtool -L "
        "{} combined 1`",
        spec_.name,
        spec_.interface,
        queues,
        spec_.interface));
  }
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

Result<void> Port::start() {
  if (tap_) {
    queues_.text = "queues=1: " + plan_queues({}, plan_.workers).why_one;
    make_transmit_queues();
    return {};
  }
  QueueSetup setup{
      .workers = plan_.workers, .key = plan_.rss_key, .chains = plan_.chains, .pool = pool_};
  if (is_owned(spec_.device)) {
    // Tags do not count as a packet's; drivers leave room for one at most.
    constexpr auto kTag = static_cast<std::uint32_t>(kVlanTagSize);
    setup.mtu = link_.mtu + kTag * spec_.vlan.count();
  }
  const bool known = rte_eth_dev_get_port_by_name(device_.c_str(), &id_) == 0;
  setup.device = id_;
  setup.interrupts = has_interrupts();
  setup.most_receive = bond_ ? 1 : UINT16_MAX;
  auto queues = known ? start_queues(setup) : fail(ExitCode::kEnvironment, take_eal_log());
  if (!queues) {
    return fail(
        ExitCode::kEnvironment,
        fmt::format("port {}: {} does not start: {}", spec_.name, device_, queues.error().text));
  }
  queues_ = std::move(*queues);
  started_ = true;
  make_transmit_queues();
  if (spec_.device != PortDevice::kAfPacket) {
    rte_ether_addr mac{};
    rte_eth_macaddr_get(id_, &mac);
    std::ranges::copy(mac.addr_bytes, link_.mac.begin());
  }
  if (is_owned(spec_.device)) {
    receive_groups();
  }
  return {};
}

void Port::make_transmit_queues() {
  const bool own = queues_.transmit == plan_.workers;
  const auto users = own ? TransmitQueue::Users::kOne : TransmitQueue::Users::kSeveral;
  for (std::uint16_t queue = 0; queue < queues_.transmit; ++queue) {
    transmit_queues_.push_back(tap_ ? std::make_unique<TransmitQueue>(*tap_, users)
                                    : std::make_unique<TransmitQueue>(id_, queue, users));
  }
}

// How an idle worker may learn of frames.
void Port::find_what_tells(const std::set<int>& sockets_before) {
  if (spec_.device == PortDevice::kAfXdp) {
    ring_socket_ = socket_since(sockets_before, AF_XDP);
    return;
  }
  for (std::uint16_t queue = 0; has_interrupts() && queue < queues_.receive; ++queue) {
    if (const auto interrupt = ReceiveInterrupt::find(id_, queue)) {
      interrupts_.push_back(*interrupt);
    }
  }
  if (interrupts_.size() < queues_.receive) {
    interrupts_.clear();
  }
}

bool Port::has_interrupts() const {
  return spec_.device == PortDevice::kPci && bound_driver(device_) == "vfio-pci";
}

int Port::wake_descriptor(std::uint16_t queue) const {
  if (tap_) {
    return tap_->descriptor();
  }
  return interrupts_.empty() ? ring_socket_ : interrupts_[queue].descriptor();
}

// Neighbour discovery and routing protocols speak to groups. A device that filters none (memif) can
// neither.
void Port::receive_groups() {
  if (rte_eth_allmulticast_enable(id_) != 0) {
    rte_eth_promiscuous_enable(id_);
  }
}

Result<void> Port::open_twin() {
  if (spec_.twin.empty()) {
    return {};
  }
  auto twin = Twin::open(spec_.twin, link_, pool_);
  if (!twin) {
    return std::unexpected(twin.error());
  }
  twin_ = std::move(*twin);
  link_.interface_index = twin_->interface_index();
  link_.up = is_link_up();
  twin_->set_carrier(link_.up);
  return {};
}

Port::~Port() {
  transmit_queues_.clear();
  if (started_) {
    rte_eth_dev_stop(id_);
    rte_eth_dev_close(id_);
  }
}

std::uint16_t Port::receive(std::uint16_t queue, std::span<rte_mbuf*> packets) {
  if (tap_) [[unlikely]] {
    return receive_tap(packets);
  }
  return rte_eth_rx_burst(id_, queue, packets.data(), static_cast<std::uint16_t>(packets.size()));
}

std::uint16_t Port::receive_tap(std::span<rte_mbuf*> packets) {
  std::uint16_t count = 0;
  while (count < packets.size()) {
    rte_mbuf* packet = tap_->receive(pool_);
    if (packet == nullptr) {
      break;
    }
    received_.add(1);
    received_bytes_.add(packet->pkt_len);
    packets[count++] = packet;
  }
  return count;
}

bool Port::retry(std::uint32_t worker, std::uint64_t now_ns) {
  if (bond_ && bond_->has_heartbeat()) [[unlikely]] {
    keep_bond_alive(worker, now_ns);
  }
  return transmit_queue(worker).retry(now_ns);
}

// LACP's frames leave with our bursts, be they empty.
void Port::keep_bond_alive(std::uint32_t worker, std::uint64_t now_ns) {
  if (worker == plan_.index % plan_.workers && now_ns - heartbeat_ns_ >= kBondHeartbeatNs) {
    heartbeat_ns_ = now_ns;
    transmit_queue(worker).send_nothing();
  }
}

// The driver of af_xdp says always that it is up.
bool Port::is_link_up() const {
  if (tap_) {
    return tap_->is_up();
  }
  if (spec_.device == PortDevice::kAfXdp) {
    const auto facts = load_interface(spec_.interface);
    return facts && facts->up;
  }
  if (bond_) {
    return bond_->is_up();
  }
  rte_eth_link link{};
  return rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

PortCounters Port::counters() {
  std::uint64_t given_up = 0;
  for (const auto& queue : transmit_queues_) {
    given_up += queue->given_up();
  }
  if (tap_) {
    return {.received = received_.get(),
            .received_bytes = received_bytes_.get(),
            .transmitted = transmit_queues_[0]->sent(),
            .transmitted_bytes = transmit_queues_[0]->sent_bytes(),
            .transmit_errors = given_up,
            .link_up = is_link_up()};
  }
  rte_eth_stats stats{};
  rte_eth_stats_get(id_, &stats);
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
          .transmit_errors = stats.oerrors + given_up,
          .link_up = is_link_up()};
}

}  // namespace holdfast::dataplane
