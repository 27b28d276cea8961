// SPDX-License-Identifier: Apache-2.0
// Errors and what they quote.
#include "tests/support/model/quoting.h"

#include "tests/support/model/octets.h"

#include <algorithm>
#include <utility>

namespace holdfast::testing {
namespace {

using Fault = std::optional<Drop>;

Bytes wire(const Address& address) {
  return {address.bytes.begin() + (address.is_v4() ? 12 : 0), address.bytes.end()};
}
void put(Bytes& bytes, std::size_t at, const Bytes& what) {
  std::ranges::copy(what, bytes.begin() + static_cast<std::ptrdiff_t>(at));
}

// The ICMP message, behind the pseudo header where there is one.
Bytes covered(const Bytes& bytes,
              const Reading& reading,
              const Address& source,
              const Address& destination) {
  const Bytes message = part(bytes, reading.l4, reading.end());
  return reading.v4 ? message
                    : joined(pseudo_header(source, destination, 58, message.size()), message);
}

bool no_path_has(const Bytes& bytes, const Reading& reading) {
  const std::size_t icmp = reading.l4;
  if (!reading.v4) {
    return bytes[icmp] == 2 && number32(bytes, icmp + 4) < 1280;
  }
  const std::uint16_t mtu = number16(bytes, icmp + 6);
  return bytes[icmp] == 3 && bytes[icmp + 1] == 4 && mtu != 0 && mtu < 552;
}

Fault lacking(const Bytes& bytes, const Reading& reading, std::size_t end) {
  if (end > reading.end()) {
    return Drop::kTruncated;
  }
  return end > bytes.size() ? Fault(Drop::kExtensionChain) : Fault();
}

// The chain of a quoted IPv6 packet: moves to the upper header.
Fault walk_quoted(const Bytes& bytes, Reading& reading, std::size_t& at, std::uint8_t& next) {
  const std::size_t begin = at;
  for (int count = 0; is_extension(next); ++count) {
    if (count == 4) {
      return Drop::kExtensionChain;
    }
    if (const Fault fault = lacking(bytes, reading, at + 8)) {
      return fault;
    }
    if (next == 44 && number16(bytes, at + 2) >= 8) {
      return Drop::kFragment;
    }
    if (next == 44 && number16(bytes, at + 2) % 2 == 1 && !reading.quoted_id) {
      reading.quoted_id = at + 4;
    }
    const std::size_t size = extension_size(next, bytes[at + 1]);
    next = bytes[at];
    at += size;
    if (at - begin > 256) {
      return Drop::kExtensionChain;
    }
  }
  return {};
}

// Ports of the quoted packet, and all that has to be there of its upper header.
Fault read_quoted_ports(const Bytes& bytes, Reading& reading) {
  const std::size_t l4 = reading.quoted_l4;
  if (const Fault fault = lacking(bytes, reading, l4 + 8)) {
    return fault;
  }
  if (reading.protocol == 6 && l4 + 18 <= reading.end() && l4 + 18 > bytes.size()) {
    return Drop::kExtensionChain;
  }
  reading.source_port = number16(bytes, l4 + 2);
  reading.destination_port = number16(bytes, l4);
  return reading.source_port == 0 || reading.destination_port == 0 ? Fault(Drop::kIcmpImplausible)
                                                                   : Fault();
}

Fault read_quoted(const Bytes& bytes, Reading& reading) {
  const std::size_t ip = reading.l4 + 8;
  const bool v4 = reading.v4;
  if (const Fault fault = lacking(bytes, reading, ip + (v4 ? 20 : 40))) {
    return fault;
  }
  const std::size_t header = v4 ? std::size_t{bytes[ip]} % 16 * 4 : 40;
  if (bytes[ip] / 16 != (v4 ? 4 : 6) || header < 20) {
    return Drop::kIcmpImplausible;
  }
  if (const Fault fault = lacking(bytes, reading, ip + header)) {
    return fault;
  }
  const Address source = v4 ? v4_at(bytes, ip + 12) : v6_at(bytes, ip + 8);
  const Address destination = v4 ? v4_at(bytes, ip + 16) : v6_at(bytes, ip + 24);
  if (source != reading.destination || destination.is_v4() != v4) {
    return Drop::kIcmpImplausible;
  }
  std::size_t upper = ip + header;
  std::uint8_t protocol = bytes[ip + (v4 ? 9 : 6)];
  if (v4 && number16(bytes, ip + 6) % 8192 != 0) {
    return Drop::kFragment;
  }
  if (v4 && (number16(bytes, ip + 6) & 0x2000) != 0) {
    reading.quoted_id = ip + 4;
  }
  if (!v4) {
    if (const Fault fault = walk_quoted(bytes, reading, upper, protocol)) {
      return fault;
    }
  }
  if (protocol != 6 && protocol != 17) {
    return Drop::kIcmpUnsupported;
  }
  reading.sender = std::exchange(reading.source, destination);
  reading.protocol = protocol;
  reading.quoted_l4 = upper;
  return read_quoted_ports(bytes, reading);
}

// Addresses and ports of the quote, the checksum of its IPv4 header, and that of its segment if the
// quote has it.
void translate_quoted(Bytes& bytes, const Reading& reading, const Ends& ends) {
  const std::size_t ip = reading.l4 + 8;
  const std::size_t l4 = reading.quoted_l4;
  const std::size_t addresses = ip + (reading.v4 ? 12 : 8);
  // The quoted packet went against the error.
  const Bytes were = joined(wire(reading.destination), wire(reading.source));
  const Bytes are = joined(wire(ends.destination), wire(ends.source));
  put(bytes, addresses, are);
  const Bytes id_was = part(bytes, ip + 4, ip + 6);
  if (reading.quoted_id) {
    change_id(bytes, *reading.quoted_id, reading.v4, ends.other_id);
  }
  if (reading.v4) {
    const Bytes id_is = part(bytes, ip + 4, ip + 6);
    put16(bytes,
          ip + 10,
          carried(number16(bytes, ip + 10), joined(were, id_was), joined(are, id_is)));
  }
  const Bytes ports_were = part(bytes, l4, l4 + 4);
  put16(bytes, l4, ends.destination_port);
  put16(bytes, l4 + 2, ends.source_port);
  const std::size_t checksum = l4 + (reading.tcp() ? 16 : 6);
  if (checksum + 2 > reading.end()) {
    return;
  }
  const std::uint16_t came = number16(bytes, checksum);
  if (!reading.tcp() && came == 0) {
    return;
  }
  const std::uint16_t now =
      carried(came, joined(were, ports_were), joined(are, part(bytes, l4, l4 + 4)));
  put16(bytes, checksum, !reading.tcp() && now == 0 ? 0xffff : now);
}

}  // namespace

bool is_error_type(std::uint8_t type, bool v4) {
  return v4 ? type == 3 || type == 11 || type == 12 : type >= 1 && type <= 4;
}

std::optional<Drop> read_error(const Bytes& bytes, Reading& reading) {
  if (reading.end() <= bytes.size() &&
      ones_complement_sum(covered(bytes, reading, reading.source, reading.destination)) != 0xffff) {
    return Drop::kBadChecksum;
  }
  if (no_path_has(bytes, reading)) {
    return Drop::kIcmpImplausible;
  }
  if (const Fault fault = read_quoted(bytes, reading)) {
    return fault;
  }
  reading.shape = Shape::kError;
  return {};
}

void translate_error(Arriving& frame, const Reading& reading, const Ends& ends, bool to_client) {
  Bytes& bytes = frame.bytes;
  const Bytes before = bytes;
  const Address source = to_client ? ends.source : reading.sender;
  translate_quoted(bytes, reading, ends);
  const std::size_t checksum = reading.l4 + 2;
  if (reading.end() <= bytes.size()) {
    put16(bytes, checksum, 0);
    put16(bytes, checksum, checksum_of(covered(bytes, reading, source, ends.destination)));
  } else {
    Bytes was = part(before, reading.l4 + 4, reading.quoted_l4 + 8);
    Bytes is = part(bytes, reading.l4 + 4, reading.quoted_l4 + 8);
    if (reading.tcp() && reading.quoted_l4 + 18 <= reading.end()) {
      was = joined(was, part(before, reading.quoted_l4 + 16, reading.quoted_l4 + 18));
      is = joined(is, part(bytes, reading.quoted_l4 + 16, reading.quoted_l4 + 18));
    }
    if (!reading.v4) {
      was = joined(was, joined(wire(reading.sender), wire(reading.destination)));
      is = joined(is, joined(wire(source), wire(ends.destination)));
    }
    put16(bytes, checksum, carried(number16(before, checksum), was, is));
  }
  const std::size_t l3 = reading.l3;
  --bytes[l3 + (reading.v4 ? 8 : 7)];
  put(bytes, l3 + (reading.v4 ? 12 : 8), joined(wire(source), wire(ends.destination)));
  if (reading.v4) {
    put16(bytes, l3 + 10, 0);
    put16(bytes, l3 + 10, checksum_of(part(bytes, l3, reading.l4)));
  }
}

}  // namespace holdfast::testing
