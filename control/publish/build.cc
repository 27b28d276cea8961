// SPDX-License-Identifier: Apache-2.0
// See build.h.
#include "control/publish/build.h"

#include <algorithm>
#include <bit>
#include <map>
#include <utility>

namespace holdfast::control {
namespace {

using dataplane::Address;
using dataplane::ServiceSpec;

// The enumerators of both sides stand in the same order, on purpose.
template <typename To, typename From>
constexpr To same_enumerator(From value) {
  return static_cast<To>(std::to_underlying(value));
}
static_assert(same_enumerator<dataplane::Mode>(config::Mode::kVxlan) == dataplane::Mode::kVxlan);
static_assert(same_enumerator<dataplane::HashFields>(config::HashFields::kDestinationPort) ==
              dataplane::HashFields::kDestinationPort);
static_assert(same_enumerator<dataplane::MemifRole>(config::MemifRole::kClient) ==
              dataplane::MemifRole::kClient);
static_assert(same_enumerator<dataplane::MssSpec::Rule>(config::MssRule::kClamp) ==
              dataplane::MssSpec::Rule::kClamp);
static_assert(same_enumerator<dataplane::Idle>(config::Idle::kPoll) == dataplane::Idle::kPoll);
static_assert(same_enumerator<dataplane::BondMode>(config::BondMode::kActiveBackup) ==
              dataplane::BondMode::kActiveBackup);
static_assert(config::kDefaultPortMtu == dataplane::kDefaultPortMtu);
static_assert(same_enumerator<dataplane::PortDevice>(config::PortDevice::kBond) ==
              dataplane::PortDevice::kBond);

dataplane::Protocol protocol_of(config::Protocol protocol) {
  return protocol == config::Protocol::kTcp ? dataplane::Protocol::kTcp : dataplane::Protocol::kUdp;
}

dataplane::TimeoutSpec build_timeouts(const config::Timeouts& timeouts) {
  return {.half_open = static_cast<std::uint16_t>(timeouts.half_open.count()),
          .established = static_cast<std::uint16_t>(timeouts.established.count()),
          .closing = static_cast<std::uint16_t>(timeouts.closing.count()),
          .udp = static_cast<std::uint16_t>(timeouts.udp.count())};
}

dataplane::TunnelSpec build_tunnel(const config::Service& service) {
  if (service.mode == config::Mode::kNat || service.mode == config::Mode::kDsr) {
    return {};
  }
  const config::Tunnel& tunnel = service.tunnel;
  dataplane::TunnelSpec spec{.source_v4 = {},
                             .source_v6 = {},
                             .port = tunnel.port,
                             .hops = tunnel.hops,
                             .vni = tunnel.vni,
                             .inner_source = tunnel.inner_mac};
  for (const config::IpAddress& source : tunnel.source) {
    (source.v6 ? spec.source_v6 : spec.source_v4) = to_dataplane(source);
  }
  return spec;
}

std::vector<std::string> keys_of(const config::Service& service, const ServiceDecision& decision) {
  std::vector<std::string> names;
  std::vector<std::string> ordered;
  for (std::size_t i = 0; i < service.backends.size(); ++i) {
    names.push_back(service.backends[i].name);
    ordered.push_back(decision.members[i].slots);
  }
  return slot_keys(names, ordered);
}

ServiceSpec build_service(const config::Service& service, const ServiceDecision& decision) {
  ServiceSpec spec{.name = service.name,
                   .mode = same_enumerator<dataplane::Mode>(service.mode),
                   .slots = service.balance.slots,
                   .hash = same_enumerator<dataplane::HashFields>(service.balance.hash),
                   .timeouts = build_timeouts(service.timeouts),
                   .tunnel = build_tunnel(service),
                   .mss = {.rule = same_enumerator<dataplane::MssSpec::Rule>(service.mss.rule),
                           .most = service.mss.most},
                   .affinity = build_affinity(service.affinity),
                   .bindings = {},
                   .members = {}};
  for (const config::Vip& vip : service.vips) {
    const dataplane::VipPrefix prefix = vip_prefix(vip);
    for (const config::ServicePort& port : service.ports) {
      spec.bindings.push_back({.vip = prefix.address,
                               .protocol = protocol_of(port.protocol),
                               .first_port = port.first,
                               .last_port = port.last,
                               .prefix_bits = prefix.bits});
    }
  }
  const std::vector<std::string> keys = keys_of(service, decision);
  for (std::size_t i = 0; i < service.backends.size(); ++i) {
    const config::Backend& backend = service.backends[i];
    if (!decision.members[i].in_generation) {
      continue;
    }
    spec.members.push_back({.backend = backend.name,
                            .address = to_dataplane(backend.address),
                            .port = backend.port,
                            .weight = decision.members[i].weight,
                            .tier = backend.tier,
                            .inner_mac = backend.inner_mac,
                            .mtu = backend.mtu,
                            .disposition = decision.members[i].disposition,
                            .slot_key = keys[i] == backend.name ? "" : keys[i]});
  }
  return spec;
}

}  // namespace

Address to_dataplane(const config::IpAddress& address) {
  if (address.v6) {
    return Address::v6(address.bytes.data());
  }
  std::array<std::uint8_t, 4> bytes{};
  std::copy_n(address.bytes.begin(), bytes.size(), bytes.begin());
  return Address::v4(dataplane::Be32::from_wire(std::bit_cast<std::uint32_t>(bytes)));
}

dataplane::VipPrefix vip_prefix(const config::Vip& vip) {
  const std::size_t before = vip.address.v6 ? 0 : dataplane::kMappedBits;
  return {.address = to_dataplane(vip.address),
          .bits = static_cast<std::uint8_t>(before + vip.length)};
}

dataplane::AffinitySpec build_affinity(const config::Affinity& affinity) {
  if (affinity.time.count() == 0) {
    return {};
  }
  return {.seconds = static_cast<std::uint16_t>(affinity.time.count()),
          .prefix_v4 = affinity.prefix_v4,
          .prefix_v6 = affinity.prefix_v6};
}

dataplane::VlanTags vlan_tags(const config::Vlan& vlan) { return {vlan.service, vlan.id}; }

dataplane::GenerationSpec build_generation(const config::Config& config,
                                           std::span<const ServiceDecision> decisions,
                                           std::uint64_t number) {
  dataplane::GenerationSpec spec;
  spec.number = number;
  for (std::size_t i = 0; i < config.services.size(); ++i) {
    spec.services.push_back(build_service(config.services[i], decisions[i]));
  }
  for (const config::AddressRange& range : config.nat.pool) {
    spec.pools.push_back({.first = to_dataplane(range.first), .last = to_dataplane(range.last)});
  }
  return spec;
}

std::vector<std::string> slot_keys(std::span<const std::string> names,
                                   std::span<const std::string> ordered) {
  std::map<std::string_view, std::string_view> takers;  // by the key that was taken
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!ordered[i].empty()) {
      takers.emplace(ordered[i], names[i]);
    }
  }
  std::vector<std::string> keys(ordered.begin(), ordered.end());
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!keys[i].empty()) {
      continue;
    }
    std::string_view key = names[i];
    // Ends: takers are as many as keys, so a chain that came back would begin with a taker.
    for (auto taker = takers.find(key); taker != takers.end(); taker = takers.find(key)) {
      key = taker->second;
    }
    keys[i] = key;
  }
  return keys;
}

std::vector<ServiceDecision> all_up(const config::Config& config) {
  std::vector<ServiceDecision> decisions;
  for (const config::Service& service : config.services) {
    ServiceDecision& decision = decisions.emplace_back();
    for (const config::Backend& backend : service.backends) {
      decision.members.push_back({.disposition = Disposition::kNew, .weight = backend.weight});
    }
  }
  return decisions;
}

dataplane::StartupSpec startup_spec(const config::Config& config, const HashKey& hash_key) {
  const config::Dataplane& from = config.dataplane;
  dataplane::StartupSpec spec;
  for (const config::Port& port : config.ports) {
    spec.ports.push_back({.name = port.name,
                          .device = same_enumerator<dataplane::PortDevice>(port.device),
                          .interface = port.interface,
                          .receive_file = port.receive_file,
                          .transmit_file = port.transmit_file,
                          .repeat = port.repeat,
                          .mtu = port.mtu,
                          .vlan = vlan_tags(port.vlan),
                          .pci_address = port.pci_address,
                          .socket = port.socket,
                          .role = same_enumerator<dataplane::MemifRole>(port.role),
                          .memif_id = port.memif_id,
                          .bond_mode = same_enumerator<dataplane::BondMode>(port.bond_mode),
                          .links = port.links,
                          .mac = port.mac,
                          .twin = port.twin});
  }
  spec.workers = from.workers.value_or(0);
  spec.memory_bytes = from.memory_bytes.value_or(0);
  spec.flows = from.flows;
  spec.huge_pages = from.huge_pages;
  spec.idle = same_enumerator<dataplane::Idle>(from.idle);
  spec.hash_key = hash_key;
  spec.socket = from.socket;
  spec.directory = from.directory;
  spec.state_file = from.state_file;
  spec.instance = from.instance;
  if (config.pair) {
    spec.role = config.pair->start == config::Role::kActive ? dataplane::Role::kActive
                                                            : dataplane::Role::kStandby;
  }
  if (config.routes) {
    spec.routes = {.device = config.routes->device,
                   .protocol = config.routes->protocol,
                   .table = config.routes->table};
  }
  return spec;
}

}  // namespace holdfast::control
