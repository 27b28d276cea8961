// SPDX-License-Identifier: Apache-2.0
// Links, addresses, routes and neighbours of this network namespace, read from rtnetlink messages
// into plain values. The socket is the mirror's (neighbor_mirror.h); parsing is pure, bounded by
// the message, and ignores what it does not know. Main thread.
#pragma once

#include "dataplane/address.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <linux/netlink.h>

namespace holdfast::dataplane {

struct NetlinkLink {
  std::uint32_t index = 0;
  std::string name;
  MacAddress mac{};
  std::uint16_t mtu = 0;
  bool up = false;
  bool gone = false;
};

struct NetlinkAddress {
  Address address;
  std::uint32_t interface_index = 0;
  bool gone = false;
  auto operator<=>(const NetlinkAddress&) const = default;
};

// One hop of a route of the main table, or a route by which the kernel refuses its prefix
// (blackhole, unreachable, prohibit; throw, behind which no table of ours comes).
struct NetlinkRoute {
  Address prefix;
  std::uint8_t length = 0;
  Address gateway;  // all zero: on-link
  std::uint32_t interface_index = 0;
  std::uint32_t metric = 0;
  bool refuses = false;  // no hop: interface 0, no gateway
};

// What a route is, of whatever table: its prefix, and the interface where it has one hop.
struct NetlinkRouteName {
  Address prefix;
  std::uint8_t length = 0;
  std::uint32_t interface_index = 0;
};

struct NetlinkNeighbor {
  Address address;
  std::uint32_t interface_index = 0;
  std::optional<MacAddress> mac;  // nullopt: failed, being resolved or gone
  bool gone = false;              // forgotten, which says nothing about the neighbour
};

std::optional<NetlinkLink> parse_link(const nlmsghdr* message);
std::optional<NetlinkAddress> parse_address(const nlmsghdr* message);
// Every hop of the route, first one first.
std::vector<NetlinkRoute> parse_route(const nlmsghdr* message);
std::optional<NetlinkRouteName> parse_route_name(const nlmsghdr* message);
std::optional<NetlinkNeighbor> parse_neighbor(const nlmsghdr* message);

}  // namespace holdfast::dataplane
