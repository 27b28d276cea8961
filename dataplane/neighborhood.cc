// SPDX-License-Identifier: Apache-2.0
// Next hops. Built off the workers; resolve() runs on them for every frame to a client, so it is a
// few probes into flat arrays.
#include "dataplane/neighborhood.h"

#include "dataplane/address_mix.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace holdfast::dataplane {
namespace {

bool goes_on_link(const Route& route) {
  return !route.refuses && (route.gateway == Address{} || route.gateway == Address::v4(Be32{}));
}

}  // namespace

Neighborhood::Neighborhood(std::vector<Link> links,
                           std::span<const Route> routes,
                           std::span<const Neighbor> neighbors)
    : links_(std::move(links)) {
  for (std::size_t port = 0; port < links_.size(); ++port) {
    unresolved_.push_back(hop_on(static_cast<PortIndex>(port), nullptr));
  }
  build_routes(routes);
  build_neighbors(neighbors);
  build_gateways();
}

Neighborhood Neighborhood::everything_via(std::vector<Link> links, PortIndex port, MacAddress mac) {
  Neighborhood result(std::move(links), {}, {});
  result.everything_via_ = result.hop_on(port, &mac);
  return result;
}

void Neighborhood::build_routes(std::span<const Route> routes) {
  for (const Route& route : routes) {
    if (route.refuses || route.port < links_.size()) {
      routes_.push_back(route);
    }
  }
  // The table lets the later of two equal prefixes win: so the preferred one goes in last.
  std::ranges::stable_sort(routes_, std::ranges::greater{}, &Route::metric);
  std::vector<PrefixTable::Entry> all;
  std::vector<PrefixTable::Entry> on_link;
  for (std::uint32_t i = 0; i < routes_.size(); ++i) {
    const Route& route = routes_[i];
    all.push_back({.prefix = route.prefix, .length = route.length, .tag = 0, .value = i});
    if (goes_on_link(route)) {
      on_link.push_back(
          {.prefix = route.prefix, .length = route.length, .tag = route.port, .value = i});
    }
  }
  by_prefix_ = PrefixTable(all);
  on_link_ = PrefixTable(on_link);
}

void Neighborhood::build_neighbors(std::span<const Neighbor> neighbors) {
  neighbors_.resize(std::bit_ceil(2 * neighbors.size() + 1));
  for (const Neighbor& neighbor : neighbors) {
    if (neighbor.port < links_.size()) {
      neighbors_[neighbor_position(neighbor.address, neighbor.port)] = {
          .address = neighbor.address, .used = true, .hop = hop_on(neighbor.port, &neighbor.mac)};
    }
  }
}

void Neighborhood::build_gateways() {
  route_hops_.resize(routes_.size());
  for (std::size_t i = 0; i < routes_.size(); ++i) {
    const Route& route = routes_[i];
    if (route.refuses || goes_on_link(route)) {
      continue;
    }
    const NextHop& hop = hop_to_neighbor(route.gateway, route.port);
    route_hops_[i] = hop;
    if (hop.state == NextHop::State::kResolved && !is_gateway(hop.destination, route.port)) {
      gateways_.push_back(hop);
    }
  }
}

std::size_t Neighborhood::neighbor_position(const Address& address, PortIndex port) const {
  for (std::size_t at = mix_address(address, port);; ++at) {
    const std::size_t index = at & (neighbors_.size() - 1);
    const NeighborSlot& slot = neighbors_[index];
    if (!slot.used || (slot.hop.port == port && slot.address == address)) {
      return index;
    }
  }
}

NextHop Neighborhood::hop_on(PortIndex port, const MacAddress* mac) const {
  const Link& out = links_[port];
  NextHop hop{
      .state = NextHop::State::kNoNeighbor, .port = port, .mtu = out.mtu, .source = out.mac};
  if (mac != nullptr) {
    hop.state = NextHop::State::kResolved;
    hop.destination = *mac;
  }
  return hop;
}

const NextHop& Neighborhood::hop_to_neighbor(const Address& address, PortIndex port) const {
  const NeighborSlot& slot = neighbors_[neighbor_position(address, port)];
  return slot.used ? slot.hop : unresolved_[port];
}

const NextHop& Neighborhood::resolve(const Address& destination) const {
  static constexpr NextHop kNowhere;
  if (everything_via_) [[unlikely]] {
    return *everything_via_;
  }
  const auto index = by_prefix_.longest(destination);
  if (!index || routes_[*index].refuses) [[unlikely]] {
    return kNowhere;
  }
  const Route& route = routes_[*index];
  return goes_on_link(route) ? hop_to_neighbor(destination, route.port) : route_hops_[*index];
}

Address Neighborhood::next_hop_address(const Address& destination) const {
  if (everything_via_) {
    return destination;
  }
  const auto index = by_prefix_.longest(destination);
  if (!index || routes_[*index].refuses) {
    return {};
  }
  const Route& route = routes_[*index];
  return goes_on_link(route) ? destination : route.gateway;
}

bool Neighborhood::on_link(const Address& address, PortIndex port) const {
  return everything_via_ || on_link_.longest(address, port).has_value();
}

bool Neighborhood::is_gateway(const MacAddress& mac, PortIndex port) const {
  return everything_via_ || std::ranges::any_of(gateways_, [&](const NextHop& one) {
           return one.port == port && one.destination == mac;
         });
}

}  // namespace holdfast::dataplane
