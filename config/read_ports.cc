// SPDX-License-Identifier: Apache-2.0
// Reads `ports`: each device has its keys, and others are refused by name.
#include "config/ip.h"
#include "config/sections.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr std::size_t kMostPorts = 16;

constexpr std::array kDevices = {Word{"af_packet", PortDevice::kAfPacket},
                                 Word{"pci", PortDevice::kPci},
                                 Word{"af_xdp", PortDevice::kAfXdp},
                                 Word{"bond", PortDevice::kBond},
                                 Word{"tap", PortDevice::kTap},
                                 Word{"memif", PortDevice::kMemif},
                                 Word{"pcap", PortDevice::kPcap},
                                 Word{"ring", PortDevice::kRing},
                                 Word{"null", PortDevice::kNull}};
constexpr std::array kRoles = {Word{"server", MemifRole::kServer},
                               Word{"client", MemifRole::kClient}};

// The keys of each device beside 'device'.
std::span<const Key> keys_of(PortDevice device) {
  static constexpr std::array<Key, 1> kAfPacket = {"interface"};
  static constexpr std::array<Key, 4> kPci = {"address", "mtu", "vlan", "twin"};
  static constexpr std::array<Key, 5> kBond = {"mode", "links", "mtu", "vlan", "twin"};
  static constexpr std::array<Key, 3> kAfXdp = {"interface", "vlan", "twin"};
  static constexpr std::array<Key, 5> kTap = {"interface", "mtu", "vlan", "mac", "twin"};
  static constexpr std::array<Key, 7> kMemif = {
      "socket", "role", "id", "mtu", "vlan", "mac", "twin"};
  static constexpr std::array<Key, 5> kPcap = {"rx", "tx", "repeat", "mtu", "vlan"};
  static constexpr std::array<Key, 2> kOthers = {"mtu", "vlan"};
  switch (device) {
    case PortDevice::kAfPacket:
      return kAfPacket;
    case PortDevice::kPci:
      return kPci;
    case PortDevice::kBond:
      return kBond;
    case PortDevice::kAfXdp:
      return kAfXdp;
    case PortDevice::kTap:
      return kTap;
    case PortDevice::kMemif:
      return kMemif;
    case PortDevice::kPcap:
      return kPcap;
    case PortDevice::kRing:
    case PortDevice::kNull:
      break;
  }
  return kOthers;
}

constexpr std::uint64_t kMostVlan = 4094;

Read<std::uint16_t> read_vlan_id(std::string_view digits) {
  const Read<std::uint64_t> id = parse_decimal(digits);
  if (!id) {
    return std::unexpected(id.error());
  }
  if (*id < 1 || *id > kMostVlan) {
    return std::unexpected(out_of_range(digits, "1", fmt::to_string(kMostVlan)));
  }
  return static_cast<std::uint16_t>(*id);
}

// 100, or "200.100" with the service tag first.
Read<Vlan> read_vlan(const Node& node) {
  const Read<std::string_view> text = scalar_text(node, "a VLAN");
  if (!text) {
    return std::unexpected(text.error());
  }
  const std::size_t dot = text->find('.');
  if (dot == std::string_view::npos) {
    const Read<std::uint64_t> id = read_integer(node, {1, kMostVlan});
    if (!id) {
      return std::unexpected(id.error());
    }
    return Vlan{.service = 0, .id = static_cast<std::uint16_t>(*id)};
  }
  if (!node.quoted) {  // YAML takes 200.100 for 200.1
    return std::unexpected(Complaint{fmt::format("{} has to stand in quotes", quote(*text)),
                                     fmt::format("write \"{}\"", *text)});
  }
  const Read<std::uint16_t> service = read_vlan_id(text->substr(0, dot));
  const Read<std::uint16_t> id = read_vlan_id(text->substr(dot + 1));
  if (!service || !id) {
    return std::unexpected(service ? id.error() : service.error());
  }
  return Vlan{.service = *service, .id = *id};
}

void refuse_other_keys(const Fields& fields, PortDevice device) {
  const auto* word = std::ranges::find(kDevices, device, &Word<PortDevice>::value);
  const std::string why = fmt::format("to a port of device '{}'", word->text);
  const std::span<const Key> own = keys_of(device);
  for (const Key& key : kPortKeys) {
    if (key == "device" || std::ranges::find(own, key) != own.end()) {
      continue;
    }
    const std::span<const Key> other(&key, 1);
    if (key == "mtu" && std::ranges::find(own, Key("interface")) != own.end()) {
      fields.refuse(other, why + ", which has its interface's");
    } else if (key == "vlan" && fields.has(key)) {
      fields.journal().error(
          fields.where(key),
          "key 'vlan' does not belong to a port of device 'af_packet': name the kernel's VLAN "
          "interface as 'interface'",
          "ip link add link eth0 name eth0.100 type vlan id 100; interface: eth0.100");
    } else {
      fields.refuse(other, why);
    }
  }
}

void read_files(const Fields& fields, Port& port) {
  fields.set("rx", port.receive_file, path(kLongestPath));
  fields.set("tx", port.transmit_file, path(kLongestPath));
  fields.set("repeat", port.repeat, read_boolean);
  if (!fields.has("rx") && !fields.has("tx") && fields.complete()) {
    fields.journal().error(fields.where("device"), "a pcap port needs 'rx', 'tx' or both");
  }
  if (fields.has("repeat") && !fields.has("rx")) {
    fields.journal().error(fields.where("repeat"),
                           "'repeat' needs 'rx': the file that is repeated");
  }
}

// Without the key the twin is called like the port.
void read_twin(const Fields& fields, const Node& name, Port& port) {
  if (const Node* twin = fields.find("twin"); twin != nullptr && twin->text == "none") {
    return;
  }
  fields.set("twin", port.twin, read_interface);
  if (fields.has("twin") || fields.may_be_lost("twin")) {
    return;
  }
  if (const Read<std::string> as_port = read_interface(name)) {
    port.twin = *as_port;
  } else {
    fields.journal().error(
        name.where,
        "the kernel's interface cannot be called like the port: " + as_port.error().message,
        "name it with 'twin', or write twin: none");
  }
}

void read_device_keys(const Fields& fields, const Node& name, Port& port) {
  refuse_other_keys(fields, port.device);
  const std::span<const Key> own = keys_of(port.device);
  const auto has_key = [own](Key key) { return std::ranges::find(own, key) != own.end(); };
  if (has_key("interface")) {
    fields.set_required("interface", port.interface, read_interface);
  }
  if (has_key("address")) {
    fields.set_required("address", port.pci_address, read_pci_address);
  }
  if (has_key("socket")) {
    fields.set_required("socket", port.socket, path(kLongestSocket));
    fields.set("role", port.role, word(kRoles));
    fields.set("id", port.memif_id, integer(0, UINT32_MAX));
  }
  if (has_key("links")) {
    read_bond(fields, port);
  }
  if (has_key("mtu")) {
    fields.set("mtu", port.mtu, integer(576, 9216));
  }
  if (has_key("vlan")) {
    fields.set("vlan", port.vlan, read_vlan);
  }
  if (has_key("mac")) {
    fields.set("mac", port.mac, read_station);
  }
  if (has_key("twin")) {
    read_twin(fields, name, port);
  }
  if (port.device == PortDevice::kPcap) {
    read_files(fields, port);
  }
}

Port read_port(const Node& name, const Node& node, Journal& journal) {
  Port port;
  port.name = name.text;
  port.place = journal.place(name.where);
  const Fields fields(node, "port " + quote(name.text), kPortKeys, journal);
  if (fields.set_required("device", port.device, word(kDevices)) != nullptr) {
    read_device_keys(fields, name, port);
  }
  return port;
}

// Two ports on one interface would both take every frame.
void check_repeated(const std::vector<Port>& ports,
                    std::string Port::* member,
                    std::string_view noun,
                    const std::vector<Span>& spans,
                    Journal& journal) {
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const std::string& value = ports[i].*member;
    const auto first = std::ranges::find(ports, value, member);
    const auto at = static_cast<std::size_t>(first - ports.begin());
    if (!value.empty() && at < i) {
      journal.error(spans[i],
                    fmt::format("port '{}' has the same {} as port '{}' (at {})",
                                ports[i].name,
                                noun,
                                first->name,
                                first->place.text()));
    }
  }
}

// A twin is an interface of its own.
void check_twins(const std::vector<Port>& ports, const std::vector<Span>& spans, Journal& journal) {
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const auto same = std::ranges::find(ports, ports[i].twin, &Port::interface);
    if (!ports[i].twin.empty() && same != ports.end()) {
      journal.error(spans[i],
                    fmt::format("the twin of port '{}' is called like the interface of port '{}'",
                                ports[i].name,
                                same->name),
                    "name it with 'twin'");
    }
  }
}

// The two ends of one memif are two processes.
void check_memifs(const std::vector<Port>& ports,
                  const std::vector<Span>& spans,
                  Journal& journal) {
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const auto same = std::ranges::find_if(ports, [&](const Port& other) {
      return other.socket == ports[i].socket &&
             (other.memif_id == ports[i].memif_id || other.role != ports[i].role);
    });
    const auto at = static_cast<std::size_t>(same - ports.begin());
    if (!ports[i].socket.empty() && at < i) {
      journal.error(spans[i],
                    fmt::format("port '{}' has the socket of port '{}' (at {}): ports on one "
                                "socket have the same 'role' and each its own 'id'",
                                ports[i].name,
                                same->name,
                                same->place.text()));
    }
  }
}

}  // namespace

void read_ports(const Node& node, std::vector<Port>& ports, Journal& journal) {
  if (node.kind != Kind::kMap) {
    journal.error(node.where, "'ports' " + wrong_kind(node, "a map (name: {device: ...})").message);
    return;
  }
  std::vector<Span> spans;
  for (std::size_t i = 0; i < node.keys.size(); ++i) {
    const Node& key = node.keys[i];
    if (const Read<std::string> name = read_name(key); !name) {
      journal.error(key.where, "port name " + name.error().message, name.error().help);
    }
    if (ports.size() == kMostPorts) {
      journal.error(key.where, fmt::format("more than {} ports", kMostPorts));
      break;
    }
    if (node.items[i].kind == Kind::kNull) {
      journal.error(key.where, fmt::format("port {} has no value", quote(key.text)));
      continue;
    }
    ports.push_back(read_port(key, node.items[i], journal));
    spans.push_back(key.where);
  }
  if (node.keys.empty() && !node.incomplete) {
    journal.error(node.where, "'ports' is empty: packets need at least one");
  }
  check_repeated(ports, &Port::interface, "interface", spans, journal);
  check_repeated(ports, &Port::transmit_file, "file", spans, journal);
  check_repeated(ports, &Port::pci_address, "address", spans, journal);
  check_repeated(ports, &Port::twin, "twin", spans, journal);
  check_twins(ports, spans, journal);
  check_memifs(ports, spans, journal);
  check_links(ports, spans, journal);
}

}  // namespace holdfast::config
