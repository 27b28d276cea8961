// SPDX-License-Identifier: Apache-2.0
// The configurations and the surroundings that model and product are put through, small enough that
// a number says which: every change is "set this part to that value", so that a sequence of changes
// stays meaningful when parts of it are taken away. Tests only.
#pragma once

#include "dataplane/spec.h"
#include "tests/support/model/surroundings.h"

#include <array>
#include <cstdint>
#include <string>

namespace holdfast::testing {

inline constexpr std::size_t kSiteServices = 5;  // the last one has prefixes of VIPs
inline constexpr std::uint32_t kSiteModes = 6;
inline constexpr std::uint32_t kSiteMssRules = 6;
inline constexpr std::uint32_t kSiteAffinities = 4;
inline constexpr std::size_t kSiteMembers = 5;  // of each service: three of IPv4, two of IPv6

// What a change touches. Values are taken modulo what the part can be.
enum class Part : std::uint8_t {
  kNothing,  // the same again
  kWeight,
  kTier,
  kPresence,
  kMoved,  // another address
  kPort,
  kDisposition,
  kMtu,
  kMss,
  kHash,
  kMode,
  kTunnel,
  kSlots,
  kTimeouts,
  kAffinity,
  kBindings,
  kPlaces,  // who stands in whose place of the tables, as after migrations
  kService,
  kPools,
  kDefect,  // one that must be refused, and change nothing
  kCount
};

// One of those that the dataplane takes, by number.
constexpr dataplane::Disposition any_disposition(std::uint64_t number) {
  using enum dataplane::Disposition;
  constexpr std::array kAll = {kNew, kKeep, kAvoid, kReset, kRehash, kRehashDatagrams};
  return kAll[number % kAll.size()];
}

struct SiteMember {
  std::uint8_t weight = 0;
  std::uint8_t tier = 0;
  std::uint8_t absent = 0;
  std::uint8_t moved = 0;
  std::uint8_t port = 0;
  std::uint8_t disposition = 0;
  std::uint8_t mtu = 0;
};
struct SiteService {
  std::array<SiteMember, kSiteMembers> members{};
  std::uint8_t hash = 0;
  std::uint8_t mode = 0;
  std::uint8_t tunnel = 0;
  std::uint8_t mss = 0;
  std::uint8_t slots = 0;
  std::uint8_t timeouts = 0;
  std::uint8_t affinity = 0;
  std::uint8_t bindings = 0;  // bit i: the i-th of every four is missing
  std::uint8_t places = 0;    // each member stands in the place of the one so many behind it
  std::uint8_t absent = 0;
};

struct Site {
  std::array<SiteService, kSiteServices> services{};
  std::uint8_t pools = 0;
  std::uint64_t number = 1;

  void change(Part part, std::size_t service, std::size_t member, std::uint8_t value);
  // Always valid.
  [[nodiscard]] dataplane::GenerationSpec specification() const;
};

std::string service_name(std::size_t service);
std::string backend_name(std::size_t member);

// The lab's links, routes and neighbours; each bit of `variant` takes something away or changes it.
inline constexpr std::uint32_t kSurroundingVariants = 1U << 10;
// Digit i of `vlans` in base 3 says how many tags port i has.
inline constexpr std::uint32_t kSiteVlans = 9;
Surroundings site_surroundings(std::uint32_t variant, std::uint32_t vlans);

}  // namespace holdfast::testing
