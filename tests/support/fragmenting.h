// SPDX-License-Identifier: Apache-2.0
// Datagrams to fragments and back, the plain way: what a sender (RFC 791 §3.2, RFC 8200 §4.5) and a
// receiver do. Both take Ethernet frames without tags. Tests only.
#pragma once

#include "dataplane/spec.h"
#include "tests/support/packet.h"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace holdfast::testing {

// A fragment's part of the datagram's fragmentable bytes.
struct Cut {
  std::size_t begin = 0;
  std::size_t end = 0;
};

// One fragment. IPv4: everything behind the header is fragmentable, options are copied. IPv6: all
// behind the first `unfragmentable` bytes of extension headers. `more` is what it says of itself.
// Requires: begin is a multiple of 8, end is not beyond the datagram.
Bytes fragment_of(const Bytes& frame,
                  Cut cut,
                  bool more,
                  std::uint32_t identification,
                  std::size_t unfragmentable = 0);

// All of them, cut at the given places (ascending multiples of 8).
std::vector<Bytes> fragments_of(const Bytes& frame,
                                const std::vector<std::size_t>& cuts,
                                std::uint32_t identification,
                                std::size_t unfragmentable = 0);

// Fragmentable bytes of a frame.
std::size_t fragmentable_size(const Bytes& frame, std::size_t unfragmentable = 0);

// The whole frame that a receiver makes of them, in whatever order; nullopt when some are missing,
// overlap, or do not belong together. Link header and TTL are those of the first fragment; an
// IPv4 id, which has served its purpose, is 1 again, as Packet makes it.
std::optional<Bytes> reassemble(std::span<const Bytes> fragments);

// True when the IPv4 header's, and the TCP or UDP checksum of a whole frame hold.
bool checksums_hold(const Bytes& frame);

// Bytes of the outer headers of the tunnel modes; 0 for the others.
std::size_t overhead_of(dataplane::Mode mode, bool outer_v4);

}  // namespace holdfast::testing
