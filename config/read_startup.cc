// SPDX-License-Identifier: Apache-2.0
// Reads what is fixed when a process starts: dataplane, ports, control; and the nat pool.
#include "config/ip.h"
#include "config/sections.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr std::size_t kMostPorts = 16;
constexpr std::size_t kLongestInterface = 15;  // IFNAMSIZ less its NUL
constexpr std::size_t kLongestSocket = 104;    // sun_path less its NUL and ".ro"
constexpr std::size_t kLongestPath = 1024;
constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20U;
constexpr std::uint64_t kMostPoolAddresses = 65536;

constexpr std::array kDevices = {Word{"af_packet", PortDevice::kAfPacket},
                                 Word{"pcap", PortDevice::kPcap},
                                 Word{"ring", PortDevice::kRing},
                                 Word{"null", PortDevice::kNull}};
constexpr std::array<std::string_view, 5> kLaterDevices = {"af_xdp", "pci", "vfio", "tap", "memif"};

// `null` is a device here, though YAML reads it as nothing; the parser hands it over as a text.
Read<std::string> read_interface(const Node& node) {
  Read<std::string> name = read_text(node);
  if (!name) {
    return name;
  }
  if (name->size() > kLongestInterface) {
    return std::unexpected(Complaint{
        fmt::format("{} is longer than {} characters", quote(*name), kLongestInterface), ""});
  }
  const auto unfit = [](unsigned char c) { return c <= ' ' || c >= 0x7f || c == '/' || c == ':'; };
  if (std::ranges::any_of(*name, unfit) || *name == "." || *name == "..") {
    return std::unexpected(
        Complaint{fmt::format("{} is no name of a network interface", quote(*name)), ""});
  }
  return name;
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

void read_port_vlan(const Fields& fields, Port& port) {
  if (port.device != PortDevice::kAfPacket) {
    fields.set("vlan", port.vlan, read_vlan);
  } else if (fields.has("vlan")) {
    fields.journal().error(
        fields.where("vlan"),
        "key 'vlan' does not belong to a port of device 'af_packet': name the kernel's VLAN "
        "interface as 'interface'",
        "ip link add link eth0 name eth0.100 type vlan id 100; interface: eth0.100");
  }
}

void read_device_keys(const Fields& fields, Port& port) {
  static constexpr std::array<Key, 1> kInterface = {"interface"};
  static constexpr std::array<Key, 3> kFiles = {"rx", "tx", "repeat"};
  static constexpr std::array<Key, 1> kMtu = {"mtu"};
  const bool is_pcap = port.device == PortDevice::kPcap;
  const bool is_af_packet = port.device == PortDevice::kAfPacket;
  const auto* device = std::ranges::find(kDevices, port.device, &Word<PortDevice>::value);
  const std::string why = fmt::format("to a port of device '{}'", device->text);
  if (is_af_packet) {
    fields.set_required("interface", port.interface, read_interface);
    fields.refuse(kMtu, why + ", which has its interface's");
  } else {
    fields.refuse(kInterface, why);
    fields.set("mtu", port.mtu, integer(576, 9216));
  }
  if (!is_pcap) {
    return fields.refuse(kFiles, why);
  }
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

Port read_port(const Node& name, const Node& node, Journal& journal) {
  Port port;
  port.name = name.text;
  port.place = journal.place(name.where);
  const Fields fields(node, "port " + quote(name.text), kPortKeys, journal);
  if (fields.set_required("device", port.device, word(kDevices, kLaterDevices)) != nullptr) {
    read_device_keys(fields, port);
    read_port_vlan(fields, port);
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

std::map<std::string, Place> places_of(const Fields& fields,
                                       std::span<const Key> keys,
                                       const Journal& journal) {
  std::map<std::string, Place> places;
  for (const Key key : keys) {
    if (fields.has(key)) {
      places.emplace(key, journal.place(fields.where(key)));
    }
  }
  return places;
}

// Reads 'socket'; returns where it stands.
Span read_socket(const Fields& fields, std::string& socket, SocketPlaces& sockets) {
  const Node* node = fields.set("socket", socket, path(kLongestSocket));
  const bool absent = !fields.has("socket") && !fields.may_be_lost("socket");
  sockets.complete = sockets.complete && (node != nullptr || absent);
  return node != nullptr ? node->where : Span{};
}

}  // namespace

void read_dataplane(const Node& node,
                    Dataplane& dataplane,
                    SocketPlaces& sockets,
                    Journal& journal) {
  const Fields fields(node, "'dataplane'", kDataplaneKeys, journal);
  fields.set("workers", dataplane.workers, automatic_or<std::uint32_t>(integer(1, 64)));
  fields.set("memory",
             dataplane.memory_bytes,
             automatic_or<std::uint64_t>(size(64 * kMebibyte, 1024 * 1024 * kMebibyte)));
  fields.set("flows", dataplane.flows, [](const Node& value) {
    return read_count(value, {1000, 500'000'000});
  });
  fields.set("huge_pages", dataplane.huge_pages, read_boolean);
  fields.set("hash_key_file", dataplane.hash_key_file, path(kLongestPath));
  sockets.dataplane = read_socket(fields, dataplane.socket, sockets);
  fields.set("directory", dataplane.directory, path(kLongestPath));
  fields.set("state_file", dataplane.state_file, path(kLongestPath));
  fields.set("instance", dataplane.instance, read_name);
  dataplane.places = places_of(fields, kDataplaneKeys, journal);
}

void read_control(const Node& node, Control& control, SocketPlaces& sockets, Journal& journal) {
  const Fields fields(node, "'control'", kControlKeys, journal);
  sockets.control = read_socket(fields, control.socket, sockets);
  fields.set("directory", control.directory, path(kLongestPath));
  const Node* metrics = fields.set("metrics", control.metrics, read_listen);
  if (metrics != nullptr && listens_publicly(control.metrics)) {
    journal.warning(metrics->where, "metrics are open to everybody who reaches this address");
  }
  control.places = places_of(fields, kControlKeys, journal);
}

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
}

bool read_nat(const Node& node, std::vector<PoolDraft>& pools, Journal& journal) {
  const Fields fields(node, "'nat'", kNatKeys, journal);
  fields.require("pool");
  std::uint64_t addresses = 0;
  const bool complete = fields.each("pool", [&](const Node& item) {
    const Read<AddressRange> range = read_range(item);
    if (!range) {
      return fields.report(item, "pool", range.error());
    }
    const bool fitted = addresses <= kMostPoolAddresses;
    addresses += range_size(*range);
    if (fitted && addresses > kMostPoolAddresses) {
      journal.error(item.where,
                    fmt::format("the pool has more than {} addresses", kMostPoolAddresses));
    }
    pools.push_back({*range, item.where});
  });
  const Node* list = fields.find("pool");
  if (complete && list != nullptr && list->items.empty()) {
    journal.error(list->where, "'pool' is empty");
    return false;
  }
  return complete && fields.has("pool");
}

}  // namespace holdfast::config
