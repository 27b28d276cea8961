// SPDX-License-Identifier: Apache-2.0
// What must hold between the values of a configuration: names are unique, services do not overlap,
// addresses have one role, families match. Each rule is a pass over the draft; it reports both
// places where two things collide, and says that something is missing only where everything there
// was could be read.
#pragma once

#include "config/journal.h"
#include "config/local_address.h"
#include "config/sections.h"

#include <span>

namespace holdfast::config {

inline constexpr std::size_t kMostMembers = 10'000;
inline constexpr std::size_t kMostBindings = 10'000;
// RFC 8200 §5: every link of IPv6 carries so much.
inline constexpr std::uint16_t kLeastIpv6Mtu = 1280;

// All of the rules. O(n log n) in services, bindings, backends and ranges.
void check_rules(const Draft& draft, Journal& journal);

// No VIP and no address of the nat pool is one of `local`: the kernel would answer for it too.
// O(n log n) likewise.
void check_not_local(const Draft& draft, std::span<const LocalAddress> local, Journal& journal);

// The parts: rules_service.cc within each service, rules_address.cc between all of them,
// rules_tunnel.cc what the tunnel modes need, rules_socket.cc between the two processes,
// read_routes.cc between routes and ports.
void check_service(const ServiceDraft& service, const Draft& draft, Journal& journal);
void check_tunnel(const ServiceDraft& service, Journal& journal);
void check_overlaps(const Draft& draft, Journal& journal);
void check_roles(const Draft& draft, Journal& journal);
void check_sockets(const Draft& draft, Journal& journal);
void check_routes(const Draft& draft, Journal& journal);

}  // namespace holdfast::config
