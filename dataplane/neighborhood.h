// SPDX-License-Identifier: Apache-2.0
// Where frames go: ports, routes and link-layer neighbours as one immutable snapshot, built off the
// workers from what netlink (or replay) told, and swapped together with the generation. Lookups are
// pure and run on the workers: no allocation, no lock.
//
// A destination is resolved in two steps as in RFC 1122 §3.3.1: longest-prefix match to a route,
// then the neighbour entry of its gateway, or of the destination itself when the route is on-link.
#pragma once

#include "dataplane/address.h"
#include "dataplane/frame.h"
#include "dataplane/prefix_table.h"
#include "dataplane/vlan.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace holdfast::dataplane {

// A port of ours and the link behind it.
struct Link {
  PortIndex port = 0;
  std::string name;
  std::uint32_t interface_index = 0;  // kernel's; 0 for in-process ports
  MacAddress mac{};
  std::uint16_t mtu = 1500;  // of IP packets: tags do not count
  bool up = true;
  VlanTags tags = {};  // of what comes and leaves
};

struct Route {
  Address prefix;
  std::uint8_t length = 0;  // in bits of its family: 0..32 or 0..128
  Address gateway;          // all zero: on-link
  PortIndex port = 0;
  std::uint32_t metric = 0;  // smaller wins among equal prefixes
  bool refuses = false;      // no way there, whatever shorter prefixes say; port and gateway unused
};

struct Neighbor {
  Address address;
  MacAddress mac{};
  PortIndex port = 0;
};

// What the rewrite stage needs to send a frame.
struct NextHop {
  enum class State : std::uint8_t { kResolved, kNoRoute, kNoNeighbor };
  State state = State::kNoRoute;
  PortIndex port = 0;
  std::uint16_t mtu = 0;
  MacAddress destination{};
  MacAddress source{};
};

class Neighborhood {
 public:
  Neighborhood() = default;
  // O(routes log routes + neighbors). Among equal prefixes the smaller metric wins, then the later
  // one; a later neighbor replaces an earlier one. What names no link of ours is left out.
  Neighborhood(std::vector<Link> links,
               std::span<const Route> routes,
               std::span<const Neighbor> neighbors);

  // Replay: every destination resolves to `mac` on the port its index names here. Requires: there
  // is such a link.
  static Neighborhood everything_via(std::vector<Link> links, PortIndex port, MacAddress mac);

  [[nodiscard]] const Link& link(PortIndex port) const { return links_[port]; }
  [[nodiscard]] std::span<const Link> links() const { return links_; }
  // The hop towards an address: resolved, or why not. It stands here, because a copy would wait for
  // the small stores that made it.
  [[nodiscard]] const NextHop& resolve(const Address& destination) const;
  // The address whose neighbour entry `resolve` needs: the gateway, or the destination itself.
  // Returns all zero when there is no route.
  [[nodiscard]] Address next_hop_address(const Address& destination) const;
  // True when the address is inside an on-link route of that port, whatever the metric; always true
  // for everything_via().
  [[nodiscard]] bool on_link(const Address& address, PortIndex port) const;
  // True when a route's gateway on that port is known to have that address; always true for
  // everything_via(). O(gateways).
  [[nodiscard]] bool is_gateway(const MacAddress& mac, PortIndex port) const;

 private:
  struct NeighborSlot {
    Address address;
    bool used = false;
    NextHop hop;
  };

  void build_routes(std::span<const Route> routes);
  void build_neighbors(std::span<const Neighbor> neighbors);
  void build_gateways();
  [[nodiscard]] std::size_t neighbor_position(const Address& address, PortIndex port) const;
  [[nodiscard]] NextHop hop_on(PortIndex port, const MacAddress* mac) const;
  [[nodiscard]] const NextHop& hop_to_neighbor(const Address& address, PortIndex port) const;

  std::vector<Link> links_;
  std::vector<Route> routes_;  // those in force; values of by_prefix_ are indexes here
  PrefixTable by_prefix_;
  PrefixTable on_link_;                  // tagged with the port
  std::vector<NeighborSlot> neighbors_;  // open addressing, at least half of it free
  std::vector<NextHop> unresolved_;      // by port
  std::vector<NextHop> route_hops_;      // by route; of those through a gateway
  std::vector<NextHop> gateways_;        // those of routes_ that are resolved, each once
  std::optional<NextHop> everything_via_;
};

}  // namespace holdfast::dataplane
