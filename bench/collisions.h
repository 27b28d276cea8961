// SPDX-License-Identifier: Apache-2.0
// Flows that an attacker picks so that they collide under hashes whose key is known: CRC32C with
// the initial value 0 (DPDK's rte_hash by default) and Jenkins' lookup3 with the initial value 0
// (rte_jhash, and Linux's jhash where it is not seeded). Every flow is one that can be sent: a
// unicast source, a port of 1024 or more. Benchmarks only.
#pragma once

#include "dataplane/burst.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace holdfast::dataplane::bench {

using Flows = std::vector<FlowKey>;

// The hashes under attack, of the 5-tuple.
std::uint32_t crc32c_of(const FlowKey& key);
// IPv4: lookup3 of {source, destination, ports}. IPv6: lookup3 of the source, then of that and the
// ports. Both as published XDP balancers and kernels key their maps.
std::uint32_t jhash_of(const FlowKey& key);

// `count` flows to `vip`, ports tcp/80 to tcp/83, at random.
Flows random_flows(const Address& vip, std::size_t count, std::uint64_t seed);

// IPv4 flows of one CRC32C, all 32 bits. CRC is linear, so the differences of such flows are the
// kernel of a 50 x 32 matrix over GF(2). Requires: count <= 2^16.
Flows crc_collisions(const Address& vip, std::size_t count, std::uint64_t seed);

// IPv4 flows whose lookup3 has the same low `bits` bits, found by trial. Takes count x 2^bits
// steps.
Flows jhash_collisions(const Address& vip, std::size_t count, unsigned bits, std::uint64_t seed);

// IPv6 flows of one lookup3, all 32 bits: its rounds run backwards from the state that is wanted.
Flows jhash_collisions6(const Address& vip, std::size_t count, std::uint64_t seed);

}  // namespace holdfast::dataplane::bench
