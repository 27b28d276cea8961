// SPDX-License-Identifier: Apache-2.0
// Fragments in parse: what one says of itself (RFC 791 §3.2, RFC 8200 §4.5), whether it may be
// believed (RFC 1858, RFC 3128, RFC 7112), and what the note of its frame tells. Per fragment, on
// the workers.
#include "dataplane/extension_headers.h"
#include "dataplane/headers.h"
#include "dataplane/parse_layers.h"

namespace holdfast::dataplane::parsing {
namespace {

constexpr std::uint32_t kLongestPacket = 65'535;

bool is_transport(Protocol protocol) {
  return protocol == Protocol::kTcp || protocol == Protocol::kUdp;
}

// Whether the bytes of a first fragment are enough to judge the datagram by them. What is not
// contiguous is left to parse_upper.
bool holds_upper_header(const Frame& frame, Extent upper, Protocol protocol) {
  if (protocol == Protocol::kUdp) {
    return upper.size() >= sizeof(UdpHeader);
  }
  if (upper.size() < sizeof(TcpHeader)) {
    return false;
  }
  if (upper.begin + sizeof(TcpHeader) > frame.contiguous) {
    return true;
  }
  const std::byte* const at = frame.data + upper.begin + offsetof(TcpHeader, data_offset);
  return upper.size() >= std::uint32_t{load<std::uint8_t>(at)} / 16 * 4;
}

// Why the datagram is not to be believed, by what this fragment says of itself.
Drop extent_fault(const FragmentPart& part, Protocol protocol) {
  const std::uint32_t size = part.payload.size();
  if (size == 0 || (part.fields.more && size % 8 != 0)) {
    return Drop::kFragmentTiny;
  }
  if (part.fields.in_front + part.fields.offset + size > kLongestPacket) {
    return Drop::kFragmentTooLong;
  }
  // RFC 3128: the flags of TCP stand in the second unit of 8 bytes.
  return part.fields.offset == 8 && protocol == Protocol::kTcp ? Drop::kFragmentTiny : part.fault;
}

void parse_first(Burst& burst, Slot slot, Extent upper) {
  if (!holds_upper_header(burst.frame[slot], upper, burst.key[slot].protocol)) {
    burst.fault[slot] = Drop::kFragmentTiny;
    return;
  }
  burst.fault[slot] = kNoFault;
  parse_upper(burst, slot, upper);
}

// The datagram has been asked: released frames are transport, or condemned.
void follow_note(Burst& burst, Slot slot, const FragmentNote& note) {
  ++burst.released;
  if (note.what == FragmentNote::What::kFault) {
    fault(burst, slot, note.fault);
    return;
  }
  burst.kind[slot] = Kind::kTransport;
  burst.key[slot].source_port = note.source_port;
  burst.key[slot].destination_port = note.destination_port;
  burst.key[slot].protocol = note.protocol;
  burst.tcp_flags[slot] = note.tcp_flags;
}

}  // namespace

bool parse_fragment(Burst& burst, Slot slot, const FragmentPart& part) {
  const bool first = part.fields.offset == 0;
  const Protocol protocol = burst.key[slot].protocol;
  const bool v4 = burst.key[slot].source.is_v4();
  if (v4 && protocol == Protocol::kIcmp) {
    return fault(burst, slot, Drop::kFragment);
  }
  const bool may_lead_on = !v4 && !first && is_extension(static_cast<std::uint8_t>(protocol));
  if (!is_transport(protocol) && !may_lead_on && part.fault == kNoFault) {
    return fault(burst, slot, Drop::kUnknownProtocol);
  }
  burst.piece[slot] = first ? Piece::kFirst : Piece::kLater;
  burst.fragment[slot] = {.identification = part.fields.identification,
                          .begin = part.fields.offset,
                          .end = part.fields.offset + part.payload.size(),
                          .last = !part.fields.more};
  burst.l4_offset[slot] = static_cast<std::uint16_t>(part.upper.begin);
  burst.fault[slot] = extent_fault(part, protocol);
  if (first && burst.fault[slot] == kNoFault) {
    parse_first(burst, slot, part.upper);
  }
  burst.kind[slot] = Kind::kFragment;
  if (const FragmentNote& note = burst.frame[slot].note;
      note.what != FragmentNote::What::kNothing) {
    follow_note(burst, slot, note);
  }
  return true;
}

}  // namespace holdfast::dataplane::parsing
