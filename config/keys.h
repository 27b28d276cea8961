// SPDX-License-Identifier: Apache-2.0
// Every key of a configuration, by the map that it stands in. The readers take their keys from
// here, so an unknown key is one that is not in this table; a test compares it with example.yaml.
#pragma once

#include <array>
#include <string_view>

namespace holdfast::config {

using Key = std::string_view;

inline constexpr std::array<Key, 11> kRootKeys = {"version",
                                                  "dataplane",
                                                  "ports",
                                                  "nat",
                                                  "routes",
                                                  "pair",
                                                  "defaults",
                                                  "checks",
                                                  "services",
                                                  "control",
                                                  "include"};
inline constexpr std::array<Key, 2> kIncludedKeys = {"checks", "services"};
inline constexpr std::array<Key, 10> kDataplaneKeys = {"workers",
                                                       "memory",
                                                       "flows",
                                                       "huge_pages",
                                                       "idle",
                                                       "hash_key_file",
                                                       "socket",
                                                       "directory",
                                                       "state_file",
                                                       "instance"};
inline constexpr std::array<Key, 15> kPortKeys = {"device",
                                                  "interface",
                                                  "rx",
                                                  "tx",
                                                  "repeat",
                                                  "mtu",
                                                  "vlan",
                                                  "address",
                                                  "socket",
                                                  "role",
                                                  "id",
                                                  "mac",
                                                  "twin",
                                                  "mode",
                                                  "links"};
inline constexpr std::array<Key, 1> kNatKeys = {"pool"};
inline constexpr std::array<Key, 1> kPairKeys = {"start"};
inline constexpr std::array<Key, 3> kRoutesKeys = {"device", "protocol", "table"};
inline constexpr std::array<Key, 11> kDefaultsKeys = {"check",
                                                      "damping",
                                                      "balance",
                                                      "affinity",
                                                      "drain",
                                                      "on_down",
                                                      "min_capacity",
                                                      "announce",
                                                      "timeouts",
                                                      "mode",
                                                      "mss"};
inline constexpr std::array<Key, 10> kCheckKeys = {
    "type", "interval", "timeout", "fall", "rise", "port", "path", "host", "method", "expect"};
inline constexpr std::array<Key, 1> kExpectKeys = {"status"};
inline constexpr std::array<Key, 16> kServiceKeys = {"name",
                                                     "vips",
                                                     "ports",
                                                     "mode",
                                                     "tunnel",
                                                     "mss",
                                                     "balance",
                                                     "affinity",
                                                     "check",
                                                     "damping",
                                                     "drain",
                                                     "on_down",
                                                     "min_capacity",
                                                     "announce",
                                                     "timeouts",
                                                     "backends"};
inline constexpr std::array<Key, 5> kTunnelKeys = {"source", "port", "hops", "vni", "inner_mac"};
inline constexpr std::array<Key, 3> kBalanceKeys = {"type", "slots", "hash"};
inline constexpr std::array<Key, 3> kAffinityKeys = {"time", "prefix", "prefix6"};
inline constexpr std::array<Key, 4> kDampingKeys = {"half_life", "suppress", "reuse", "max"};
inline constexpr std::array<Key, 1> kAnnounceKeys = {"healthy"};
inline constexpr std::array<Key, 2> kDrainKeys = {"deadline", "then"};
inline constexpr std::array<Key, 4> kTimeoutsKeys = {"half_open", "established", "closing", "udp"};
inline constexpr std::array<Key, 7> kBackendKeys = {
    "name", "address", "port", "weight", "tier", "inner_mac", "mtu"};
inline constexpr std::array<Key, 4> kControlKeys = {
    "socket", "directory", "metrics", "allow_large_change"};

}  // namespace holdfast::config
