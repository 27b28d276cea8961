// SPDX-License-Identifier: Apache-2.0
// Longest prefix by trying them all.
#include "tests/support/model/surroundings.h"

namespace holdfast::testing {
namespace {

using dataplane::Drop;
using dataplane::Route;

bool holds(const Route& route, const Address& address) {
  if (route.prefix.is_v4() != address.is_v4()) {
    return false;
  }
  const std::size_t skipped = address.is_v4() ? 96 : 0;
  for (std::size_t bit = skipped; bit < skipped + route.length; ++bit) {
    const auto mask = static_cast<std::uint8_t>(0x80 >> (bit % 8));
    if (((route.prefix.bytes[bit / 8] ^ address.bytes[bit / 8]) & mask) != 0) {
      return false;
    }
  }
  return true;
}

bool has_gateway(const Route& route) {
  return route.gateway != Address{} && route.gateway != v4(0, 0, 0, 0);
}

// Longer, then cheaper, then later.
bool is_better(const Route& route, const Route* than) {
  return than == nullptr || route.length > than->length ||
         (route.length == than->length && route.metric <= than->metric);
}

}  // namespace

Way Surroundings::way_to(const Address& destination) const {
  const Route* best = nullptr;
  for (const Route& route : routes) {
    if (holds(route, destination) && is_better(route, best)) {
      best = &route;
    }
  }
  if (best == nullptr || best->refuses) {
    return {.why = Drop::kNoRoute};
  }
  Way way{.why = Drop::kNoNeighbor,
          .port = best->port,
          .mtu = links[best->port].mtu,
          .from = links[best->port].mac,
          .to = {},
          .tags = tags_of(best->port),
          .next_hop = has_gateway(*best) ? best->gateway : destination};
  for (const dataplane::Neighbor& neighbor : neighbors) {
    if (neighbor.address == way.next_hop && neighbor.port == best->port) {
      way.to = neighbor.mac;  // the last one counts
      way.why.reset();
    }
  }
  return way;
}

std::vector<Tag> Surroundings::tags_of(std::uint8_t port) const {
  const dataplane::VlanTags& set = links.at(port).tags;
  std::vector<Tag> tags;
  if (set.service() != 0) {
    tags.push_back({.type = 0x88a8, .vlan = set.service()});
  }
  if (set.customer() != 0) {
    tags.push_back({.type = 0x8100, .vlan = set.customer()});
  }
  return tags;
}

bool Surroundings::on_link(const Address& address, std::uint8_t port) const {
  for (const Route& route : routes) {
    if (!route.refuses && !has_gateway(route) && route.port == port && holds(route, address)) {
      return true;
    }
  }
  return false;
}

bool Surroundings::is_router(const MacAddress& mac, std::uint8_t port) const {
  for (const Route& route : routes) {
    if (route.refuses || !has_gateway(route) || route.port != port) {
      continue;
    }
    const dataplane::Neighbor* last = nullptr;
    for (const dataplane::Neighbor& neighbor : neighbors) {
      if (neighbor.address == route.gateway && neighbor.port == port) {
        last = &neighbor;
      }
    }
    if (last != nullptr && last->mac == mac) {
      return true;
    }
  }
  return false;
}

}  // namespace holdfast::testing
