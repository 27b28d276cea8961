// SPDX-License-Identifier: Apache-2.0
// The model's routes and neighbours: the lists that dataplane/neighborhood.h is built from, asked
// by going through all of them (RFC 1122 §3.3.1). Tests only.
#pragma once

#include "dataplane/drop.h"
#include "dataplane/neighborhood.h"
#include "tests/support/model/reading.h"
#include "tests/support/packet.h"

#include <optional>
#include <vector>

namespace holdfast::testing {

// Where a packet goes next. `why` is set when it cannot.
struct Way {
  std::optional<dataplane::Drop> why;
  std::uint8_t port = 0;
  std::size_t mtu = 0;
  MacAddress from{};
  MacAddress to{};
  std::vector<Tag> tags;  // of what leaves that way
  Address next_hop;       // whose MAC address is `to`, or is missing
};

struct Surroundings {
  std::vector<dataplane::Link> links;
  std::vector<dataplane::Route> routes;
  std::vector<dataplane::Neighbor> neighbors;
  bool standby = false;  // the other node of a pair speaks for our addresses

  [[nodiscard]] Way way_to(const Address& destination) const;
  // The tags of a port's frames, the outer one first.
  [[nodiscard]] std::vector<Tag> tags_of(std::uint8_t port) const;
  // In a route without gateway of that port, whatever its metric.
  [[nodiscard]] bool on_link(const Address& address, std::uint8_t port) const;
  // The address of a route's gateway on that port.
  [[nodiscard]] bool is_router(const MacAddress& mac, std::uint8_t port) const;
  [[nodiscard]] dataplane::Neighborhood compiled() const { return {links, routes, neighbors}; }
};

}  // namespace holdfast::testing
