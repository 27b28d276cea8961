// SPDX-License-Identifier: Apache-2.0
// See codec.h.
#include "dataplane/api/codec.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <utility>

namespace holdfast::seam {
namespace {

using dataplane::Address;
using dataplane::AffinitySpec;
using dataplane::BindingSpec;
using dataplane::GenerationSpec;
using dataplane::MacAddress;
using dataplane::MemberSpec;
using dataplane::MssSpec;
using dataplane::PoolSpec;
using dataplane::PortSpec;
using dataplane::ServiceSpec;
using dataplane::StartupSpec;
using dataplane::TimeoutSpec;
using dataplane::TunnelSpec;

// The first fault, as the reader's state: once set, further reads change nothing that is used.
class Fault {
 public:
  void say(std::string text) {
    if (text_.empty()) {
      text_ = std::move(text);
    }
  }
  [[nodiscard]] bool any() const { return !text_.empty(); }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

template <typename Enum>
constexpr std::uint32_t number(Enum value) {
  return static_cast<std::uint32_t>(std::to_underlying(value));
}

template <typename To>
To narrow(
    std::uint64_t value, std::uint64_t least, std::uint64_t most, const char* what, Fault& fault) {
  if (value < least || value > most) {
    fault.say(std::string(what) + " is " + std::to_string(value) + ", not " +
              std::to_string(least) + " to " + std::to_string(most));
    return To{};
  }
  return static_cast<To>(value);
}

std::string name(const std::string& text, const char* what, Fault& fault) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (text.empty() || text.size() > kMaxNameBytes || std::ranges::any_of(text, control)) {
    fault.say(std::string(what) + " is empty, longer than " + std::to_string(kMaxNameBytes) +
              " bytes or has control characters");
    return {};
  }
  return text;
}

std::string path(const std::string& text, const char* what, Fault& fault) {
  if (text.size() > kMaxPathBytes || text.find('\0') != std::string::npos) {
    fault.say(std::string(what) + " is longer than " + std::to_string(kMaxPathBytes) +
              " bytes or has a NUL");
    return {};
  }
  return text;
}

Address address(const std::string& bytes, const char* what, Fault& fault) {
  auto result = address_from_wire(bytes);
  if (!result) {
    fault.say(std::string(what) + ": " + result.error());
    return {};
  }
  return *result;
}

void limit(std::size_t count, std::size_t most, const char* what, Fault& fault) {
  if (count > most) {
    fault.say(std::to_string(count) + " " + what + "; at most " + std::to_string(most) +
              " are accepted");
  }
}

TimeoutSpec timeouts(const Timeouts& message, Fault& fault) {
  constexpr std::uint16_t kMost = dataplane::kLongestTimeout;
  return {
      .half_open = narrow<std::uint16_t>(message.half_open(), 1, kMost, "half_open", fault),
      .established = narrow<std::uint16_t>(message.established(), 1, kMost, "established", fault),
      .closing = narrow<std::uint16_t>(message.closing(), 1, kMost, "closing", fault),
      .udp = narrow<std::uint16_t>(message.udp(), 1, kMost, "udp", fault)};
}

// Absent: all zero.
MacAddress mac(const std::string& bytes, const char* what, Fault& fault) {
  MacAddress result{};
  if (bytes.size() == result.size()) {
    std::ranges::copy(bytes, result.begin());
  } else if (!bytes.empty()) {
    fault.say(std::string(what) + " has " + std::to_string(bytes.size()) + " bytes, not 6");
  }
  return result;
}

std::string mac_to_wire(const MacAddress& mac) {
  return mac == MacAddress{} ? std::string() : std::string(mac.begin(), mac.end());
}

// Absent: all zero. Otherwise of the one family.
Address outer_source(const std::string& bytes, bool v4, Fault& fault) {
  if (bytes.empty()) {
    return {};
  }
  const Address result = address(bytes, "outer source", fault);
  if (result.is_v4() != v4) {
    fault.say("outer source is of the other family");
  }
  return result;
}

TunnelSpec tunnel(const Tunnel& message, Fault& fault) {
  return {.source_v4 = outer_source(message.source_v4(), true, fault),
          .source_v6 = outer_source(message.source_v6(), false, fault),
          .port = narrow<std::uint16_t>(message.port(), 0, 65535, "tunnel's port", fault),
          .hops = narrow<std::uint8_t>(message.hops(), 0, dataplane::kMaxHops, "hops", fault),
          .vni = narrow<std::uint32_t>(message.vni(), 0, 0xffffff, "VNI", fault),
          .inner_source = mac(message.inner_source(), "inner source", fault)};
}

void write(const TunnelSpec& spec, Tunnel& message) {
  if (spec.source_v4 != Address{}) {
    message.set_source_v4(to_wire(spec.source_v4));
  }
  if (spec.source_v6 != Address{}) {
    message.set_source_v6(to_wire(spec.source_v6));
  }
  message.set_port(spec.port);
  message.set_hops(spec.hops);
  message.set_vni(spec.vni);
  message.set_inner_source(mac_to_wire(spec.inner_source));
}

MssSpec mss(const Mss& message, Fault& fault) {
  return {.rule = narrow<MssSpec::Rule>(
              message.rule(), 0, number(MssSpec::Rule::kClamp), "rule for the MSS", fault),
          .most = narrow<std::uint16_t>(message.most(), 0, dataplane::kMostMss, "MSS", fault)};
}

MemberSpec member(const Member& message, Fault& fault) {
  const auto disposition = disposition_from_wire(message.disposition());
  if (!disposition) {
    fault.say(disposition.error());
  }
  return {.backend = name(message.backend(), "backend name", fault),
          .address = address(message.address(), "backend address", fault),
          .port = narrow<std::uint16_t>(message.port(), 0, 65535, "backend port", fault),
          .weight = narrow<std::uint32_t>(message.weight(), 0, 65535, "weight", fault),
          .tier = narrow<std::uint8_t>(message.tier(), 0, 255, "tier", fault),
          .inner_mac = mac(message.inner_mac(), "inner MAC address", fault),
          .mtu = narrow<std::uint16_t>(message.mtu(), 0, 65535, "backend's mtu", fault),
          .disposition = disposition.value_or(dataplane::Disposition::kNew),
          .slot_key = message.slot_key().empty() ? "" : name(message.slot_key(), "slots", fault)};
}

BindingSpec binding(const Binding& message, Fault& fault) {
  constexpr std::uint32_t kTcp = number(dataplane::Protocol::kTcp);
  constexpr std::uint32_t kUdp = number(dataplane::Protocol::kUdp);
  if (message.protocol() != kTcp && message.protocol() != kUdp) {
    fault.say("protocol is " + std::to_string(message.protocol()) + ", not 6 (TCP) or 17 (UDP)");
  }
  const auto protocol =
      message.protocol() == kUdp ? dataplane::Protocol::kUdp : dataplane::Protocol::kTcp;
  BindingSpec result{
      .vip = address(message.vip(), "VIP", fault),
      .protocol = protocol,
      .first_port = narrow<std::uint16_t>(message.first_port(), 1, 65535, "first port", fault),
      .last_port = narrow<std::uint16_t>(message.last_port(), 1, 65535, "last port", fault)};
  if (message.prefix_bits() != 0) {
    result.prefix_bits = narrow<std::uint8_t>(
        message.prefix_bits(), 1, dataplane::kWholeAddress, "prefix length", fault);
  }
  if (result.first_port > result.last_port) {
    fault.say("port range runs backwards");
  }
  return result;
}

AffinitySpec affinity(const Affinity& message, Fault& fault) {
  return {.seconds = narrow<std::uint16_t>(
              message.seconds(), 0, dataplane::kLongestTimeout, "affinity", fault),
          .prefix_v4 = narrow<std::uint8_t>(message.prefix_v4(), 1, 32, "IPv4 prefix", fault),
          .prefix_v6 = narrow<std::uint8_t>(message.prefix_v6(), 1, 128, "IPv6 prefix", fault)};
}

ServiceSpec service(const Service& message, Fault& fault) {
  ServiceSpec result;
  result.name = name(message.name(), "service name", fault);
  result.mode =
      narrow<dataplane::Mode>(message.mode(), 0, number(dataplane::Mode::kVxlan), "mode", fault);
  result.slots = narrow<std::uint32_t>(message.slots(), 1, 65537, "slots", fault);
  result.hash = narrow<dataplane::HashFields>(
      message.hash(), 0, number(dataplane::HashFields::kDestinationPort), "hash", fault);
  result.timeouts = timeouts(message.timeouts(), fault);
  if (message.has_tunnel()) {
    result.tunnel = tunnel(message.tunnel(), fault);
  }
  result.mss = mss(message.mss(), fault);
  if (message.has_affinity()) {
    result.affinity = affinity(message.affinity(), fault);
  }
  for (const Binding& one : message.bindings()) {
    result.bindings.push_back(binding(one, fault));
  }
  std::set<std::string_view> backends;
  for (const Member& one : message.members()) {
    result.members.push_back(member(one, fault));
    if (!backends.insert(one.backend()).second) {
      fault.say("backend '" + one.backend() + "' is there twice");
    }
    if (fault.any()) {
      break;
    }
  }
  return result;
}

PoolSpec pool(const Pool& message, Fault& fault) {
  PoolSpec result{.first = address(message.first(), "pool's first address", fault),
                  .last = address(message.last(), "pool's last address", fault)};
  if (result.first.is_v4() != result.last.is_v4() || result.last < result.first) {
    fault.say("pool mixes families or runs backwards");
  }
  return result;
}

// Before anything is copied: the counts over all services.
void limits(const Generation& message, Fault& fault) {
  std::size_t members = 0;
  std::size_t bindings = 0;
  for (const Service& one : message.services()) {
    members += static_cast<std::size_t>(one.members_size());
    bindings += static_cast<std::size_t>(one.bindings_size());
  }
  limit(static_cast<std::size_t>(message.services_size()), kMaxServices, "services", fault);
  limit(members, kMaxMembers, "members", fault);
  limit(bindings, kMaxBindings, "bindings", fault);
  limit(static_cast<std::size_t>(message.pools_size()), kMaxPools, "pools", fault);
}

std::uint16_t port_mtu(std::uint32_t value, Fault& fault) {
  return value == 0
             ? dataplane::kDefaultPortMtu
             : narrow<std::uint16_t>(
                   value, dataplane::kLeastPortMtu, dataplane::kMostPortMtu, "port's mtu", fault);
}

dataplane::VlanTags vlan(const Port& message, Fault& fault) {
  constexpr auto kMost = dataplane::kMostVlanId;
  const auto service = narrow<std::uint16_t>(message.service_vlan(), 0, kMost, "vlan", fault);
  const auto customer = narrow<std::uint16_t>(message.vlan(), 0, kMost, "vlan", fault);
  if (service != 0 && customer == 0) {
    fault.say("a service VLAN without a VLAN in it");
  }
  return {service, customer};
}

std::vector<std::string> links(const Port& message, Fault& fault) {
  std::vector<std::string> found;
  limit(static_cast<std::size_t>(message.links_size()), kMaxLinks, "links", fault);
  for (int i = 0; i < message.links_size() && !fault.any(); ++i) {
    found.push_back(path(message.links(i), "link", fault));
  }
  return found;
}

PortSpec port(const Port& message, Fault& fault) {
  constexpr std::uint32_t kLastDevice = number(dataplane::PortDevice::kBond);
  PortSpec spec{
      .name = name(message.name(), "port name", fault),
      .device = narrow<dataplane::PortDevice>(message.device(), 0, kLastDevice, "device", fault),
      .interface = path(message.interface(), "interface", fault),
      .receive_file = path(message.receive_file(), "rx file", fault),
      .transmit_file = path(message.transmit_file(), "tx file", fault),
      .repeat = message.repeat(),
      .mtu = port_mtu(message.mtu(), fault),
      .vlan = vlan(message, fault),
      .pci_address = path(message.pci_address(), "PCI address", fault),
      .socket = path(message.socket(), "socket", fault),
      .role = narrow<dataplane::MemifRole>(
          message.role(), 0, number(dataplane::MemifRole::kClient), "role", fault),
      .memif_id = message.memif_id(),
      .bond_mode = narrow<dataplane::BondMode>(
          message.bond_mode(), 0, number(dataplane::BondMode::kActiveBackup), "bond mode", fault),
      .links = links(message, fault),
      .mac = mac(message.mac(), "port's MAC address", fault),
      .twin = path(message.twin(), "twin", fault)};
  if (!spec.twin.empty() && !is_owned(spec.device)) {
    fault.say("a twin of a port that is not owned");
  }
  if (spec.links.empty() == (spec.device == dataplane::PortDevice::kBond)) {
    fault.say("links are a bond's, and a bond has some");
  }
  return spec;
}

dataplane::RoutesSpec routes(const Routes& message, Fault& fault) {
  return {.device = name(message.device(), "routes' device", fault),
          .protocol = narrow<std::uint8_t>(message.protocol(), 1, 255, "protocol", fault),
          .table = message.table()};
}

void write(const ServiceSpec& spec, Service& message) {
  message.set_name(spec.name);
  message.set_mode(number(spec.mode));
  message.set_slots(spec.slots);
  message.set_hash(number(spec.hash));
  message.mutable_timeouts()->set_half_open(spec.timeouts.half_open);
  message.mutable_timeouts()->set_established(spec.timeouts.established);
  message.mutable_timeouts()->set_closing(spec.timeouts.closing);
  message.mutable_timeouts()->set_udp(spec.timeouts.udp);
  for (const BindingSpec& one : spec.bindings) {
    Binding& out = *message.add_bindings();
    out.set_vip(to_wire(one.vip));
    out.set_protocol(number(one.protocol));
    out.set_first_port(one.first_port);
    out.set_last_port(one.last_port);
    if (one.prefix_bits != dataplane::kWholeAddress) {
      out.set_prefix_bits(one.prefix_bits);
    }
  }
  for (const MemberSpec& one : spec.members) {
    Member& out = *message.add_members();
    out.set_backend(one.backend);
    out.set_address(to_wire(one.address));
    out.set_port(one.port);
    out.set_weight(one.weight);
    out.set_tier(one.tier);
    out.set_inner_mac(mac_to_wire(one.inner_mac));
    out.set_mtu(one.mtu);
    out.set_disposition(number(one.disposition));
    out.set_slot_key(one.slot_key);
  }
  if (spec.mss != MssSpec{}) {
    message.mutable_mss()->set_rule(number(spec.mss.rule));
    message.mutable_mss()->set_most(spec.mss.most);
  }
  if (spec.affinity != AffinitySpec{}) {
    message.mutable_affinity()->set_seconds(spec.affinity.seconds);
    message.mutable_affinity()->set_prefix_v4(spec.affinity.prefix_v4);
    message.mutable_affinity()->set_prefix_v6(spec.affinity.prefix_v6);
  }
  if (is_tunnel(spec.mode)) {
    write(spec.tunnel, *message.mutable_tunnel());
  }
}

// What of the service a dataplane of version 1 would not see; empty when it sees all.
std::string_view needs_version_2(const ServiceSpec& service) {
  const auto is_prefix = [](const BindingSpec& binding) {
    return binding.prefix_bits != dataplane::kWholeAddress;
  };
  if (std::ranges::any_of(service.bindings, is_prefix)) {
    return "a prefix of VIPs";
  }
  if (service.affinity.seconds != 0) {
    return "affinity";
  }
  if (service.mss != dataplane::MssSpec{}) {
    return "an mss rule";
  }
  if (std::ranges::any_of(service.members, [](const auto& member) { return member.mtu != 0; })) {
    return "a backend with an mtu";
  }
  if (std::ranges::any_of(service.members,
                          [](const auto& member) { return !member.slot_key.empty(); })) {
    return "a backend at another's place";
  }
  return {};
}

}  // namespace

std::expected<std::uint32_t, std::string> choose_version(std::uint32_t peer_min,
                                                         std::uint32_t peer_max) {
  const std::uint32_t least = std::max(peer_min, kVersionMin);
  const std::uint32_t most = std::min(peer_max, kVersionMax);
  if (least > most) {
    return std::unexpected("peer speaks seam versions " + std::to_string(peer_min) + " to " +
                           std::to_string(peer_max) + ", this build " +
                           std::to_string(kVersionMin) + " to " + std::to_string(kVersionMax));
  }
  return most;
}

std::expected<void, std::string> fits_version(const GenerationSpec& spec, std::uint32_t version) {
  if (version >= 2) {
    return {};
  }
  for (const ServiceSpec& service : spec.services) {
    if (const std::string_view newer = needs_version_2(service); !newer.empty()) {
      return std::unexpected("service '" + service.name + "' has " + std::string(newer) +
                             ", which needs seam version 2: the dataplane speaks " +
                             std::to_string(version));
    }
  }
  return {};
}

Generation to_wire(const GenerationSpec& spec) {
  Generation message;
  message.set_number(spec.number);
  for (const ServiceSpec& one : spec.services) {
    write(one, *message.add_services());
  }
  for (const PoolSpec& one : spec.pools) {
    Pool& out = *message.add_pools();
    out.set_first(to_wire(one.first));
    out.set_last(to_wire(one.last));
  }
  return message;
}

std::expected<GenerationSpec, std::string> from_wire(const Generation& message) {
  Fault fault;
  limits(message, fault);
  if (fault.any()) {
    return std::unexpected(fault.text());
  }
  GenerationSpec spec;
  spec.number = message.number();
  std::set<std::string_view> names;
  for (const Service& one : message.services()) {
    spec.services.push_back(service(one, fault));
    if (!names.insert(one.name()).second) {
      fault.say("service is there twice");
    }
    if (fault.any()) {
      return std::unexpected("service '" + one.name().substr(0, kMaxNameBytes) +
                             "': " + fault.text());
    }
  }
  for (const Pool& one : message.pools()) {
    spec.pools.push_back(pool(one, fault));
    if (fault.any()) {
      return std::unexpected(fault.text());
    }
  }
  return spec;
}

Startup to_wire(const StartupSpec& spec) {
  Startup message;
  for (const PortSpec& one : spec.ports) {
    Port& out = *message.add_ports();
    out.set_name(one.name);
    out.set_device(number(one.device));
    out.set_interface(one.interface);
    out.set_receive_file(one.receive_file);
    out.set_transmit_file(one.transmit_file);
    out.set_repeat(one.repeat);
    out.set_mtu(one.mtu);
    out.set_service_vlan(one.vlan.service());
    out.set_vlan(one.vlan.customer());
    out.set_pci_address(one.pci_address);
    out.set_socket(one.socket);
    out.set_bond_mode(number(one.bond_mode));
    for (const std::string& link : one.links) {
      out.add_links(link);
    }
    out.set_role(number(one.role));
    out.set_memif_id(one.memif_id);
    out.set_mac(mac_to_wire(one.mac));
    out.set_twin(one.twin);
  }
  message.set_workers(spec.workers);
  message.set_memory_bytes(spec.memory_bytes);
  message.set_flows(spec.flows);
  message.set_huge_pages(spec.huge_pages);
  message.set_hash_key(spec.hash_key.data(), spec.hash_key.size());
  message.set_socket(spec.socket);
  message.set_directory(spec.directory);
  message.set_state_file(spec.state_file);
  message.set_instance(spec.instance);
  message.set_idle(number(spec.idle));
  message.set_role(number(spec.role));
  if (!spec.routes.device.empty()) {
    message.mutable_routes()->set_device(spec.routes.device);
    message.mutable_routes()->set_protocol(spec.routes.protocol);
    message.mutable_routes()->set_table(spec.routes.table);
  }
  return message;
}

std::expected<StartupSpec, std::string> from_wire(const Startup& message) {
  Fault fault;
  StartupSpec spec;
  limit(static_cast<std::size_t>(message.ports_size()), kMaxPorts, "ports", fault);
  for (const Port& one : message.ports()) {
    if (fault.any()) {
      break;
    }
    spec.ports.push_back(port(one, fault));
  }
  spec.workers = narrow<std::uint32_t>(message.workers(), 0, kMaxWorkers, "workers", fault);
  spec.memory_bytes = message.memory_bytes();
  spec.flows = narrow<std::uint64_t>(message.flows(), 1, kMaxFlows, "flows", fault);
  spec.huge_pages = message.huge_pages();
  if (message.hash_key().size() == spec.hash_key.size()) {
    std::memcpy(spec.hash_key.data(), message.hash_key().data(), spec.hash_key.size());
  } else {
    fault.say("hash key is not 16 bytes");
  }
  spec.socket = path(message.socket(), "socket", fault);
  spec.directory = path(message.directory(), "directory", fault);
  spec.state_file = path(message.state_file(), "state file", fault);
  spec.instance = name(message.instance(), "instance", fault);
  spec.idle =
      narrow<dataplane::Idle>(message.idle(), 0, number(dataplane::Idle::kPoll), "idle", fault);
  if (const auto role = role_from_wire(message.role())) {
    spec.role = *role;
  } else {
    fault.say(role.error());
  }
  if (message.has_routes()) {
    spec.routes = routes(message.routes(), fault);
  }
  if (fault.any()) {
    return std::unexpected(fault.text());
  }
  return spec;
}

std::string to_wire(const Address& address) {
  return {reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size()};
}

std::expected<Address, std::string> address_from_wire(std::string_view bytes) {
  Address result;
  if (bytes.size() != result.bytes.size()) {
    return std::unexpected("address has " + std::to_string(bytes.size()) + " bytes, not 16");
  }
  std::memcpy(result.bytes.data(), bytes.data(), bytes.size());
  return result;
}

std::expected<dataplane::Disposition, std::string> disposition_from_wire(std::uint32_t value) {
  if (value >= dataplane::kDispositions) {
    return std::unexpected("disposition is " + std::to_string(value) + ", not 0 to " +
                           std::to_string(dataplane::kDispositions - 1));
  }
  return static_cast<dataplane::Disposition>(value);
}

std::string_view disposition_name(dataplane::Disposition disposition) {
  return dataplane::kDispositionNames.at(std::to_underlying(disposition));
}

dataplane::Disposition known_disposition(dataplane::Disposition disposition,
                                         std::uint32_t version) {
  using enum dataplane::Disposition;
  const bool rehashes = disposition == kRehash || disposition == kRehashDatagrams;
  return rehashes && version < 4 ? kKeep : disposition;
}

}  // namespace holdfast::seam
