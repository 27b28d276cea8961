// SPDX-License-Identifier: Apache-2.0
// Frames by number: a FrameOp says in a few small fields what a frame is (whose, to where, which
// flags, what is wrong with it), and means something whatever came before it, so that a sequence
// of them can be shortened. Zero is the simplest of each field. Tests only.
#pragma once

#include "tests/support/model/model.h"

#include <array>
#include <cstdint>
#include <iosfwd>

namespace holdfast::testing {

enum class FrameKind : std::uint8_t {
  kQuestion,  // TCP or UDP to a VIP
  kReply,     // of a member, to a pool endpoint that was seen in use
  kEcho,
  kArp,
  kSolicitation,
  kStray,        // to a pool endpoint at random
  kOther,        // to an address that is not ours
  kFlood,        // a SYN of a client that is never heard of again
  kError,        // ICMP to a VIP, about a flow
  kErrorInside,  // ICMP to a pool address, about a flow
  kCount
};

// What is wrong, or only unusual.
enum class Oddity : std::uint8_t {
  kNone,
  kCut,
  kByte,      // any one byte changed
  kBeyond,    // the end is not contiguous
  kPadded,    // Ethernet's padding
  kTagged,    // other VLAN tags than its port
  kChecksum,  // a wrong one in the upper header
  kOptions,   // IPv4 options or an IPv6 extension header
  kChain,     // a chain of them
  kFragment,
  kAddresses,   // martian, land, from a VIP, a v4-mapped one
  kLink,        // MAC addresses of others, of groups, of ours
  kPorts,       // one of them is 0
  kNoChecksum,  // UDP without
  kZeroSum,     // a UDP reply whose checksum is 0 once it is translated
  kLong,        // longer than an MTU
  kNoise,       // random bytes
  kCount
};

struct FrameOp {
  FrameKind kind = FrameKind::kQuestion;
  Oddity oddity = Oddity::kNone;
  std::uint8_t client = 0;
  std::uint8_t client_port = 0;
  std::uint8_t target = 0;
  std::uint8_t flags = 0;
  std::uint8_t size = 0;
  std::uint8_t ttl = 0;
  std::uint16_t argument = 0;  // of the oddity
  std::uint16_t pick = 0;      // which of the flows
};

// How many clients and ports there are: fewer for small tables.
struct Crowd {
  std::uint8_t clients = 14;
  std::uint8_t ports = 8;
};

// The frame for what the model knows by now.
Arriving build_frame(const FrameOp& op, const Model& model, const Crowd& crowd);

std::ostream& operator<<(std::ostream& out, const FrameOp& op);

}  // namespace holdfast::testing
