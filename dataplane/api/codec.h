// SPDX-License-Identifier: Apache-2.0
// The plain specifications (dataplane/spec.h) to and from their protobuf form. Used by the
// dataplane's server, control's forwarder, the CLI and tests; pure, any thread.
//
// from_wire() trusts nothing: enum ranges, address lengths, port order, names and counts are
// checked, and the first fault comes back as one sentence that names the service. What it lets pass
// is well formed; whether the tables can be built from it (prime slot counts, overlapping bindings)
// is generation.h's to say.
#pragma once

#include "dataplane.pb.h"
#include "dataplane/flow_filter.h"
#include "dataplane/spec.h"

#include <cstdint>
#include <expected>
#include <set>
#include <span>
#include <string>
#include <string_view>

namespace holdfast::seam {

// Protocol versions that this build speaks. Version 2 brings, in a generation: prefixes of VIPs,
// affinity, mss rules, members' mtu and slot_key; in SetDisposition: reset_in_ms. Version 3:
// SetRoutes, SetRole. Version 4: the dispositions that rehash. Version 5: ListFlows, ResetFlows,
// MoveFlows, CollectFlows. A field that a peer may not ignore
// makes a new version.
inline constexpr std::uint32_t kVersionMin = 1;
inline constexpr std::uint32_t kVersionMax = 5;

// Whether a dataplane with which that version was agreed upon ends drains by itself. Another one
// would not see the deadline.
constexpr bool has_deadlines(std::uint32_t version) { return version >= 2; }
// Whether it makes routes to VIPs, and can stand by.
constexpr bool has_routes(std::uint32_t version) { return version >= 3; }
// Whether it lists, resets and moves flows for an operator.
constexpr bool has_flow_walks(std::uint32_t version) { return version >= 5; }

// Ceilings of one generation, over all its services (design.md §2).
inline constexpr std::size_t kMaxServices = 10'000;
inline constexpr std::size_t kMaxMembers = 10'000;
inline constexpr std::size_t kMaxBindings = 10'000;
inline constexpr std::size_t kMaxPools = 10'000;
inline constexpr std::size_t kMaxPorts = 64;
inline constexpr std::size_t kMaxLinks = 8;       // of a bond
inline constexpr std::size_t kMaxNameBytes = 63;  // as the registry keeps them (registry.h)
inline constexpr std::size_t kMaxPathBytes = 4095;
inline constexpr std::uint32_t kMaxWorkers = 1024;
inline constexpr std::uint64_t kMaxFlows = 1ULL << 32U;

// The highest version that both ranges hold, or a sentence that names both ranges.
std::expected<std::uint32_t, std::string> choose_version(std::uint32_t peer_min,
                                                         std::uint32_t peer_max);

// Whether a peer with which that version was agreed upon understands all of the generation. The
// error names the first service that asks for more, and what: the peer would not see it, and would
// forward by half of what it was told.
std::expected<void, std::string> fits_version(const dataplane::GenerationSpec& spec,
                                              std::uint32_t version);

Generation to_wire(const dataplane::GenerationSpec& spec);
std::expected<dataplane::GenerationSpec, std::string> from_wire(const Generation& message);

SetRoutes to_wire(std::span<const dataplane::VipPrefix> vips);
std::expected<std::set<dataplane::VipPrefix>, std::string> from_wire(const SetRoutes& message);

// `service` and `backend` are left out: they are names, and the registry's to judge.
FlowFilter to_wire(const dataplane::FlowFilter& filter);
std::expected<dataplane::FlowFilter, std::string> from_wire(const FlowFilter& message);

Startup to_wire(const dataplane::StartupSpec& spec);
std::expected<dataplane::StartupSpec, std::string> from_wire(const Startup& message);

// 16 bytes, IPv4 in its v4-mapped form.
std::string to_wire(const dataplane::Address& address);
std::expected<dataplane::Address, std::string> address_from_wire(std::string_view bytes);

std::expected<dataplane::Disposition, std::string> disposition_from_wire(std::uint32_t value);

std::expected<dataplane::Role, std::string> role_from_wire(std::uint32_t value);

// What a dataplane with which that version was agreed upon has in its place: where it knows no
// rehashing, the flows stay; with kAvoid it would forget the deadline of one that drains.
dataplane::Disposition known_disposition(dataplane::Disposition disposition, std::uint32_t version);

// Of dataplane::kDispositionNames.
std::string_view disposition_name(dataplane::Disposition disposition);

}  // namespace holdfast::seam
