// SPDX-License-Identifier: Apache-2.0
// The bytes that the model expects to leave: frames towards members and clients, and the answers
// that the balancer gives itself. Checksums are summed anew over the whole packet (RFC 1071), but
// where that cannot be done (a segment that came damaged, a fragment, a ping that is not
// contiguous) carried() in octets.h says what becomes of one. Pure; tests only.
#pragma once

#include "tests/support/model/reading.h"
#include "tests/support/model/surroundings.h"

#include <optional>

namespace holdfast::testing {

// The pseudo header of RFC 9293 §3.1, RFC 768 and RFC 8200 §8.1.
Bytes pseudo_header(const Address& source,
                    const Address& destination,
                    std::uint8_t protocol,
                    std::size_t length);

// A packet's ends as they are to stand in it.
struct Ends {
  Address source;
  std::uint16_t source_port = 0;
  Address destination;
  std::uint16_t destination_port = 0;
  std::uint32_t other_id =
      0;  // of fragments (in an error: quoted ones): bits that change; IPv4 has the lower 16
};

// Changes bits of the id of a fragment that stands there.
void change_id(Bytes& bytes, std::size_t at, bool v4, std::uint32_t bits);

// The frame less what stands behind the IP packet.
Arriving without_trailer(Arriving frame, const Reading& reading);

// Another link header, that of the way. Requires: the packet begins at l3, behind its EtherType.
void replace_link(Bytes& bytes, std::size_t l3, const Way& way);

// Replaces addresses and ports, takes one from the TTL. Requires: TTL > 1.
void translate(Arriving& frame, const Reading& reading, const Ends& ends);

// RFC 9293 §3.10.7.1: the reset that answers a segment, towards where that came from.
Bytes reset_for(const Arriving& frame, const Reading& reading);

// The reply to a ping; nullopt when its checksum is wrong.
std::optional<Bytes> echo_reply(const Arriving& frame, const Reading& reading);

// A sender that told its own MAC address.
struct Told {
  Address address;
  MacAddress mac{};
  bool operator==(const Told&) const = default;
};

// What an ARP packet or a solicitation asks for and tells. `answer` is nullopt when there is none.
struct Asked {
  Address target;
  std::optional<Told> told;
  std::optional<Bytes> answer;
};

// Requires: shape kArp.
Asked read_arp(const Arriving& frame, const Reading& reading, const MacAddress& ours);
// Requires: shape kSolicitation; the frame's buffer has room for the answer.
Asked read_solicitation(const Arriving& frame, const Reading& reading, const MacAddress& ours);

}  // namespace holdfast::testing
