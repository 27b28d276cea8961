// SPDX-License-Identifier: Apache-2.0
// A slow sender and a slow receiver of fragments.
#include "tests/support/fragmenting.h"

#include <algorithm>
#include <map>

namespace holdfast::testing {
namespace {

constexpr std::size_t kL3 = 14;

std::uint16_t get16(const Bytes& bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes.at(at) * 256 + bytes.at(at + 1));
}
void put16(Bytes& bytes, std::size_t at, std::size_t value) {
  bytes.at(at) = static_cast<std::uint8_t>(value >> 8);
  bytes.at(at + 1) = static_cast<std::uint8_t>(value);
}
Bytes part(const Bytes& bytes, std::size_t begin, std::size_t end) {
  return {bytes.begin() + static_cast<std::ptrdiff_t>(begin),
          bytes.begin() + static_cast<std::ptrdiff_t>(end)};
}
void append(Bytes& bytes, const Bytes& more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

bool is_v4(const Bytes& frame) { return frame.at(kL3) / 16 == 4; }
std::size_t header_of_v4(const Bytes& frame) { return frame.at(kL3) % 16U * 4U; }

void mend_ipv4(Bytes& frame) {
  put16(frame, kL3 + 10, 0);
  const Bytes header = part(frame, kL3, kL3 + header_of_v4(frame));
  put16(frame, kL3 + 10, static_cast<std::uint16_t>(~ones_complement_sum(header)));
}

std::size_t packet_end(const Bytes& frame) {
  return kL3 + (is_v4(frame) ? get16(frame, kL3 + 2) : 40U + get16(frame, kL3 + 4));
}

std::size_t fragmentable_begin(const Bytes& frame, std::size_t unfragmentable) {
  return kL3 + (is_v4(frame) ? header_of_v4(frame) : 40 + unfragmentable);
}

// Where the number of the header behind `unfragmentable` bytes of extension headers stands.
std::size_t next_header_place(const Bytes& frame, std::size_t unfragmentable) {
  std::size_t place = kL3 + 6;
  for (std::size_t at = kL3 + 40; at < kL3 + 40 + unfragmentable;) {
    place = at;
    at += frame.at(at + 1) * 8U + 8U;
  }
  return place;
}

// A fragment as a receiver sees it.
struct Received {
  Bytes in_front;  // with the fragment header taken out
  Bytes body;
  std::size_t offset = 0;
  std::uint32_t identification = 0;
  bool more = false;
};

Received receive_v4(const Bytes& frame) {
  const std::size_t begin = fragmentable_begin(frame, 0);
  Received received{.in_front = part(frame, 0, begin),
                    .body = part(frame, begin, packet_end(frame)),
                    .offset = get16(frame, kL3 + 6) % 0x2000U * 8U,
                    .identification = get16(frame, kL3 + 4),
                    .more = (get16(frame, kL3 + 6) & 0x2000) != 0};
  put16(received.in_front, kL3 + 6, 0);
  return received;
}

std::optional<Received> receive_v6(const Bytes& frame) {
  std::size_t place = kL3 + 6;
  std::size_t at = kL3 + 40;
  while (frame.at(place) != 44) {
    if (frame.at(place) != 60 && frame.at(place) != 43 && frame.at(place) != 0) {
      return std::nullopt;
    }
    place = at;
    at += frame.at(at + 1) * 8U + 8U;
  }
  Received received{.in_front = part(frame, 0, at),
                    .body = part(frame, at + 8, packet_end(frame)),
                    .offset = get16(frame, at + 2) & 0xfff8U,
                    .identification = get16(frame, at + 4) * 65536U + get16(frame, at + 6),
                    .more = frame.at(at + 3) % 2 == 1};
  received.in_front.at(place) = frame.at(at);
  return received;
}

bool transport_holds(const Bytes& frame, std::size_t l4, std::uint8_t protocol) {
  const std::size_t addresses = is_v4(frame) ? kL3 + 12 : kL3 + 8;
  const Bytes segment = part(frame, l4, packet_end(frame));
  if (protocol != 6 && protocol != 17) {
    return true;
  }
  if (protocol == 17 && get16(segment, 6) == 0) {
    return true;  // none
  }
  Bytes summed = part(frame, addresses, addresses + (is_v4(frame) ? 8 : 32));
  append(summed, {0, protocol, 0, 0});
  put16(summed, summed.size() - 2, segment.size());
  append(summed, segment);
  return ones_complement_sum(summed) == 0xffff;
}

}  // namespace

std::size_t fragmentable_size(const Bytes& frame, std::size_t unfragmentable) {
  return packet_end(frame) - fragmentable_begin(frame, unfragmentable);
}

Bytes fragment_of(const Bytes& frame,
                  Cut cut,
                  bool more,
                  std::uint32_t identification,
                  std::size_t unfragmentable) {
  const std::size_t begin = fragmentable_begin(frame, unfragmentable);
  Bytes fragment = part(frame, 0, begin);
  const Bytes body = part(frame, begin + cut.begin, begin + cut.end);
  if (is_v4(frame)) {
    put16(fragment, kL3 + 2, begin - kL3 + body.size());
    put16(fragment, kL3 + 4, identification % 65536);
    put16(fragment, kL3 + 6, cut.begin / 8 + (more ? 0x2000 : 0));
    mend_ipv4(fragment);
    append(fragment, body);
    return fragment;
  }
  const std::size_t place = next_header_place(frame, unfragmentable);
  Bytes header(8, 0);
  header[0] = fragment.at(place);
  put16(header, 2, cut.begin + (more ? 1 : 0));
  put16(header, 4, identification / 65536);
  put16(header, 6, identification % 65536);
  fragment.at(place) = 44;
  put16(fragment, kL3 + 4, unfragmentable + 8 + body.size());
  append(fragment, header);
  append(fragment, body);
  return fragment;
}

std::vector<Bytes> fragments_of(const Bytes& frame,
                                const std::vector<std::size_t>& cuts,
                                std::uint32_t identification,
                                std::size_t unfragmentable) {
  std::vector<Bytes> all;
  std::size_t begin = 0;
  for (const std::size_t end : cuts) {
    all.push_back(
        fragment_of(frame, {.begin = begin, .end = end}, true, identification, unfragmentable));
    begin = end;
  }
  all.push_back(fragment_of(frame,
                            {.begin = begin, .end = fragmentable_size(frame, unfragmentable)},
                            false,
                            identification,
                            unfragmentable));
  return all;
}

std::optional<Bytes> reassemble(std::span<const Bytes> fragments) {
  std::map<std::size_t, Received> by_offset;
  for (const Bytes& frame : fragments) {
    const std::optional<Received> received = is_v4(frame) ? receive_v4(frame) : receive_v6(frame);
    if (!received || !by_offset.emplace(received->offset, *received).second) {
      return std::nullopt;
    }
  }
  if (by_offset.empty()) {
    return std::nullopt;
  }
  Bytes whole = by_offset.begin()->second.in_front;
  const std::size_t front = whole.size();
  const std::size_t addresses = is_v4(whole) ? kL3 + 12 : kL3 + 8;
  bool more = true;
  for (const auto& [offset, received] : by_offset) {
    const bool same = received.identification == by_offset.begin()->second.identification &&
                      std::equal(received.in_front.begin() + static_cast<std::ptrdiff_t>(addresses),
                                 received.in_front.end(),
                                 whole.begin() + static_cast<std::ptrdiff_t>(addresses));
    if (!more || offset != whole.size() - front || !same) {
      return std::nullopt;
    }
    append(whole, received.body);
    more = received.more;
  }
  if (more) {
    return std::nullopt;
  }
  put16(whole, is_v4(whole) ? kL3 + 2 : kL3 + 4, whole.size() - kL3 - (is_v4(whole) ? 0 : 40));
  if (is_v4(whole)) {
    put16(whole, kL3 + 4, 1);
    mend_ipv4(whole);
  }
  return whole;
}

bool checksums_hold(const Bytes& frame) {
  if (is_v4(frame)) {
    const std::size_t l4 = fragmentable_begin(frame, 0);
    return ones_complement_sum(part(frame, kL3, l4)) == 0xffff &&
           (get16(frame, kL3 + 6) % 0x4000 != 0 || transport_holds(frame, l4, frame.at(kL3 + 9)));
  }
  std::uint8_t protocol = frame.at(kL3 + 6);
  std::size_t at = kL3 + 40;
  while (protocol == 0 || protocol == 43 || protocol == 60) {
    protocol = frame.at(at);
    at += frame.at(at + 1) * 8U + 8U;
  }
  return protocol == 44 || transport_holds(frame, at, protocol);
}

std::size_t overhead_of(dataplane::Mode mode, bool outer_v4) {
  const std::size_t ip = outer_v4 ? 20 : 40;
  switch (mode) {
    case dataplane::Mode::kIpip:
      return ip;
    case dataplane::Mode::kGre:
      return ip + 4;
    case dataplane::Mode::kGue:
      return ip + 8;
    case dataplane::Mode::kVxlan:
      return ip + 30;
    default:
      return 0;
  }
}

}  // namespace holdfast::testing
