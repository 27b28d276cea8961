// SPDX-License-Identifier: Apache-2.0
// See boot.h.
#include "dataplane/process/boot.h"

#include "dataplane/process/child_lock.h"
#include "dataplane/process/core_file.h"
#include "dataplane/process/eal.h"
#include "dataplane/process/handover.h"
#include "dataplane/process/interface.h"
#include "dataplane/process/lock.h"
#include "dataplane/process/nft_ingress.h"
#include "dataplane/process/packet_ring.h"
#include "dataplane/process/port_device.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

namespace holdfast::dataplane {
namespace {

void take(std::vector<std::string>& to, const std::vector<std::string>& from) {
  std::ranges::copy(from, std::back_inserter(to));
}

// What is known of the ports before they are open: links, the MTUs that buffers must hold, frames
// of repeated captures.
struct PortDemands {
  std::vector<Link> links;
  std::vector<std::uint16_t> mtus;
  std::uint64_t preloaded = 0;
  bool has_kernel = false;  // a netdev or a twin, so that there is something to mirror
  BusNeeds bus;
};

Result<void> demand_of(const PortSpec& port, PortDemands& demands) {
  Link& link = demands.links.emplace_back();
  link.port = static_cast<PortIndex>(demands.links.size() - 1);
  link.name = port.name;
  link.mtu = port.mtu;
  link.tags = port.vlan;
  if (has_netdev(port.device)) {
    const auto facts = load_interface(port.interface);
    if (!facts) {
      return fail(facts.error().code, fmt::format("port {}: {}", port.name, facts.error().text));
    }
    if (facts->loopback) {
      return fail(ExitCode::kInvalid,
                  fmt::format("port {}: {} is the loopback interface, whose frames reach no other "
                              "machine: take one with a link, or in a lab a veth pair",
                              port.name,
                              port.interface));
    }
    link.mtu = facts->mtu;
    if (port.device == PortDevice::kAfPacket) {
      link = link_of(*facts, link.port, port.name);
    }
  } else if (port.device == PortDevice::kPcap) {
    const auto frames = count_capture(port.receive_file);
    if (!frames) {
      return fail(frames.error().code, fmt::format("port {}: {}", port.name, frames.error().text));
    }
    demands.preloaded += port.repeat ? *frames : 0;
  }
  if (port.device == PortDevice::kAfPacket || is_owned(port.device)) {
    demands.mtus.push_back(link.mtu);
  }
  demands.has_kernel |= port.device == PortDevice::kAfPacket || !port.twin.empty();
  return {};
}

Result<PortDemands> demands_of(const StartupSpec& startup) {
  PortDemands demands;
  for (const PortSpec& port : startup.ports) {
    if (auto noted = demand_of(port, demands); !noted) {
      return std::unexpected(noted.error());
    }
  }
  const auto bus = bus_needs(startup);
  if (!bus) {
    return std::unexpected(bus.error());
  }
  demands.bus = *bus;
  return demands;
}

Result<MemoryPlan> plan_for(const StartupSpec& startup, const PortDemands& demands) {
  if (startup.ports.empty()) {
    return fail(ExitCode::kInvalid, "no ports: name at least one in the configuration");
  }
  if (startup.ports.size() > RTE_MAX_ETHPORTS) {
    return fail(ExitCode::kInvalid, fmt::format("more than {} ports", RTE_MAX_ETHPORTS));
  }
  if (startup.socket.empty() || startup.directory.empty()) {
    return fail(ExitCode::kInvalid, "the start-up message names no socket or no directory");
  }
  MachineMemory machine = load_machine_memory();
  const StatesFound states = load_states_found(startup);
  machine.huge_state = states.huge;
  machine.ordinary_state = states.ordinary;
  return plan_memory(startup, demands.mtus, demands.preloaded, machine);
}

Result<void> open_mirror(const PortDemands& demands, Booted& booted) {
  if (!demands.has_kernel) {
    return {};
  }
  auto mirror = NeighborMirror::open(demands.links, booted.state.state().learned());
  if (!mirror) {
    return std::unexpected(mirror.error());
  }
  booted.mirror = std::move(*mirror);
  return {};
}

// Behind the ports: of a killed process the kernel closes what was opened last first, and each
// packet socket makes it wait for several grace periods (16 ms each here). So the routes are gone
// 16 to 47 ms after the kill, not 109 to 185.
Result<void> open_routes(const StartupSpec& startup, Predecessor* predecessor, Booted& booted) {
  if (startup.routes.device.empty()) {
    return {};
  }
  auto routes = VipRoutes::open(
      startup.routes,
      predecessor == nullptr ? Descriptor() : predecessor->take(HandedOver::kRoutes));
  if (!routes) {
    return std::unexpected(routes.error());
  }
  booted.routes = std::move(*routes);
  return {};
}

// Their drivers cut a frame that is longer than a buffer into segments.
bool may_chain(const StartupSpec& startup) {
  return std::ranges::any_of(startup.ports, [](const PortSpec& port) {
    return port.device == PortDevice::kMemif || port.device == PortDevice::kPcap;
  });
}

Result<void> open_port(PortSpec spec, const StartupSpec& startup, Booted& booted) {
  const PortPlan plan{.index = static_cast<PortIndex>(booted.ports.size()),
                      .workers = booted.plan.workers,
                      .rss_key = build_rss_key(FlowHasher(startup.hash_key)),
                      .chains = may_chain(startup)};
  if (spec.mac == MacAddress{}) {
    spec.mac = made_up_mac(startup.instance, spec.name);
  }
  auto port = Port::open(spec, plan, booted.pool.get());
  if (!port) {
    return std::unexpected(port.error());
  }
  take(booted.notices, (*port)->notices());
  if (booted.mirror && spec.device != PortDevice::kAfPacket) {
    booted.mirror->attach((*port)->link());
  }
  booted.ports.push_back(std::move(*port));
  return {};
}

Result<void> open_ports(const StartupSpec& startup, Booted& booted) {
  auto pool = create_frame_pool(booted.plan, booted.placement.buffers);
  if (!pool) {
    return std::unexpected(pool.error());
  }
  booted.pool = std::move(*pool);
  for (const PortSpec& spec : startup.ports) {
    if (auto opened = open_port(spec, startup, booted); !opened) {
      return std::unexpected(opened.error());
    }
  }
  return {};
}

void note_memory(const StartupSpec& startup, Booted& booted) {
  if (startup.huge_pages && !booted.plan.huge_buffers) {
    booted.notices.push_back(fmt::format(
        "packet buffers are not on huge pages, of which {} MiB would do: `sysctl vm.nr_hugepages`",
        (booted.plan.buffer_bytes >> 20U) + 1));
  }
  if (!booted.plan.notice.empty()) {
    booted.notices.push_back(booted.plan.notice);
  }
  take(booted.notices, booted.state.notices());
}

// On a machine with one NUMA node nothing is asked of the kernel.
void place_memory(const StartupSpec& startup, Booted& booted) {
  const auto cores = load_cores();
  booted.placement = place_workers(cores, load_port_places(startup), booted.plan.workers);
  take(booted.notices, booted.placement.notices);
  const auto elsewhere = [&](const Core& core) { return core.node != cores.front().node; };
  if (std::ranges::any_of(cores, elsewhere)) {
    const auto notice = place_tables(booted.state.state(), booted.placement.nodes);
    if (!notice.empty()) {
      booted.notices.push_back(notice);
    }
  } else {
    booted.placement.buffers = kNoNode;
  }
}

// Two processes with one nft table would replace, and at their end remove, each other's guard. The
// table lives in the network namespace, and so does the lock.
Result<HeldName> take_instance(const StartupSpec& startup) {
  if (packet_interfaces(startup).empty()) {
    return HeldName();
  }
  return acquire_name(
      nft_table_of(startup.instance),
      fmt::format("dataplane.instance {}, which names the firewall table of this network "
                  "namespace,",
                  startup.instance.empty() ? "default" : startup.instance));
}

// What a stop takes away, for one during the start: the nft table may be a killed predecessor's.
void clean_up(const StartupSpec& startup) {
  NftIngress(startup.instance, guard(packet_interfaces(startup), load_vlan)).remove();
  unlink_seam_sockets(startup.socket);
}

Booted files_of(const MemoryPlan& plan, HeldName name, SeamSockets sockets, StateFile state) {
  std::vector<std::string> notices;
  if (!name.notice.empty()) {
    notices.push_back(name.notice);
  }
  return Booted{.plan = plan,
                .placement = {},
                .name = std::move(name.socket),
                .sockets = std::move(sockets),
                .state = std::move(state),
                .mirror = nullptr,
                .routes = nullptr,
                .pool = nullptr,
                .ports = {},
                .handover = {},
                .child_lock = {},
                .running_capabilities = 0,
                .notices = std::move(notices),
                .interruption = nullptr};
}

// What a predecessor has opened, locks included.
Result<Booted> take_files(const StartupSpec& startup,
                          const MemoryPlan& plan,
                          Predecessor& predecessor) {
  auto state = StateFile::share(startup, plan, predecessor.take(HandedOver::kState));
  if (!state) {
    return std::unexpected(state.error());
  }
  Booted booted = files_of(plan,
                           {.socket = predecessor.take(HandedOver::kInstance), .notice = {}},
                           {.lock = predecessor.take(HandedOver::kSeamLock),
                            .writer = predecessor.take(HandedOver::kWriter),
                            .reader = predecessor.take(HandedOver::kReader),
                            .path = startup.socket},
                           std::move(*state));
  booted.handover = predecessor.take(HandedOver::kHandover);
  booted.child_lock = predecessor.take(HandedOver::kChildLock);
  if (!booted.sockets.lock.valid() || !booted.sockets.writer.valid() ||
      !booted.sockets.reader.valid() || !booted.handover.valid()) {
    return fail(ExitCode::kRefused, "the running dataplane did not hand over all that it has");
  }
  return booted;
}

// Everything that may need root's rights.
Result<Booted> open_files(const StartupSpec& startup,
                          const MemoryPlan& plan,
                          const Account& account) {
  auto name = take_instance(startup);
  if (!name) {
    return std::unexpected(name.error());
  }
  auto sockets = open_seam_sockets(startup.socket, account.gid);
  if (!sockets) {
    return std::unexpected(sockets.error());
  }
  if (auto made = make_directory(startup.directory, account.uid, account.gid); !made) {
    return std::unexpected(made.error());
  }
  auto state = StateFile::open(startup, plan);
  if (!state) {
    return std::unexpected(state.error());
  }
  auto handover = Handover::listen(startup.socket);
  if (!handover) {
    return std::unexpected(handover.error());
  }
  Booted booted = files_of(plan, std::move(*name), std::move(*sockets), std::move(*state));
  booted.handover = std::move(*handover);
  booted.child_lock = inherited_child_lock();
  return booted;
}

// DPDK's environment, and what is opened through it.
Result<void> open_devices(const StartupSpec& startup,
                          const MemoryPlan& plan,
                          const PortDemands& demands,
                          Predecessor* predecessor,
                          CapabilitySet starting,
                          Booted& booted) {
  if (auto opened = open_mirror(demands, booted); !opened) {
    return opened;
  }
  if (auto started = start_eal(plan, startup.instance, demands.bus, starting); !started) {
    return started;
  }
  if (auto opened = open_ports(startup, booted); !opened) {
    return opened;
  }
  if (auto opened = open_routes(startup, predecessor, booted); !opened) {
    return opened;
  }
  if (!drop_eal_capabilities()) {
    return fail(ExitCode::kEnvironment, "cannot drop the capabilities of DPDK's thread");
  }
  return {};
}

}  // namespace

Result<std::string> rehearse(const StartupSpec& startup) {
  if (const auto demands = demands_of(startup); !demands) {
    return std::unexpected(demands.error());
  }
  return examine_state(startup);
}

Result<Booted> boot(const StartupSpec& startup,
                    const std::string& user,
                    Predecessor* predecessor,
                    const std::function<void()>& dropped) {
  const auto account = find_account(user);
  if (!account) {
    return std::unexpected(account.error());
  }
  const auto demands = demands_of(startup);
  if (!demands) {
    return std::unexpected(demands.error());
  }
  const auto plan = plan_for(startup, *demands);
  if (!plan) {
    return std::unexpected(plan.error());
  }
  auto booted = predecessor == nullptr ? open_files(startup, *plan, *account)
                                       : take_files(startup, *plan, *predecessor);
  if (!booted) {
    return booted;
  }
  note_memory(startup, *booted);
  place_memory(startup, *booted);
  raise_lock_limit();
  const CapabilityNeeds needs = capability_needs(startup, demands->bus);
  booted->running_capabilities = needs.running;
  const auto became = drop_privileges(*account, needs.starting);
  if (!became) {
    return std::unexpected(became.error());
  }
  ask_for_core();
  if (dropped) {
    dropped();
  }
  if (!became->empty()) {
    booted->notices.push_back(*became);
  }
  // What stands there with a predecessor is that one's.
  booted->interruption =
      std::make_unique<StartInterruption>(needs.running, [&startup, predecessor] {
        if (predecessor == nullptr) {
          clean_up(startup);
        }
      });
  if (auto opened = open_devices(startup, *plan, *demands, predecessor, needs.starting, *booted);
      !opened) {
    return std::unexpected(opened.error());
  }
  return booted;
}

}  // namespace holdfast::dataplane
