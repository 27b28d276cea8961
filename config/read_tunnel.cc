// SPDX-License-Identifier: Apache-2.0
// Reads a service's `tunnel`: outer source, port, hop list, VNI.
#include "config/ip.h"
#include "config/sections.h"

#include <array>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr std::uint64_t kMostHops = 4;
constexpr std::uint64_t kMostVni = 0xffffff;
constexpr std::array<Key, 2> kGueOnly = {"port", "hops"};
constexpr std::array<Key, 2> kVxlanOnly = {"vni", "inner_mac"};
constexpr std::array<Key, 1> kHopsOnly = {"hops"};

void read_sources(const Fields& fields, Tunnel& tunnel) {
  fields.each("source", [&](const Node& item) {
    Read<IpAddress> address = read_unicast(item);
    if (address && is_loopback(*address)) {
      address = std::unexpected(Complaint{address->text() + " is a loopback address", ""});
    }
    for (const IpAddress& other : tunnel.source) {
      if (address && other.v6 == address->v6) {
        address = std::unexpected(Complaint{
            fmt::format("{} is a second {} address", address->text(), family_name(address->v6)),
            "one per family"});
      }
    }
    if (!address) {
      return fields.report(item, "outer source", address.error());
    }
    tunnel.source.push_back(*address);
  });
}

}  // namespace

void read_tunnel(
    const Node& node, std::string_view owner, Mode mode, Tunnel& tunnel, Journal& journal) {
  const Fields fields(node, fmt::format("'tunnel' of {}", owner), kTunnelKeys, journal);
  const std::string why = fmt::format("to a tunnel of mode '{}'", mode_name(mode));
  read_sources(fields, tunnel);
  if (mode == Mode::kGue) {
    fields.set("hops", tunnel.hops, integer(0, kMostHops));
  }
  if (mode == Mode::kVxlan) {
    fields.refuse(kHopsOnly, why);
    fields.set_required("vni", tunnel.vni, integer(0, kMostVni));
    fields.set("inner_mac", tunnel.inner_mac, read_station);
  } else {
    fields.refuse(kVxlanOnly, why);
  }
  if (mode == Mode::kGue || mode == Mode::kVxlan) {
    fields.set("port", tunnel.port, integer(1, 65535));
  } else {
    fields.refuse(kGueOnly, why);
  }
}

}  // namespace holdfast::config
