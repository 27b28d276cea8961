// SPDX-License-Identifier: Apache-2.0
// Bytes out.
#include "tests/support/model/writing.h"

#include "tests/support/model/octets.h"

#include <algorithm>
#include <utility>

namespace holdfast::testing {
namespace {

constexpr MacAddress kAllNodesMac = {0x33, 0x33, 0, 0, 0, 1};
constexpr Address kAllNodes = {{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

void put32(Bytes& bytes, std::size_t at, std::uint32_t value) {
  put16(bytes, at, value / 65536);
  put16(bytes, at + 2, value % 65536);
}
void put_mac(Bytes& bytes, std::size_t at, const MacAddress& mac) {
  std::ranges::copy(mac, bytes.begin() + static_cast<std::ptrdiff_t>(at));
}
// The 4 or 16 bytes of an address on the wire.
void put_address(Bytes& bytes, std::size_t at, const Address& address) {
  std::copy(address.bytes.begin() + (address.is_v4() ? 12 : 0),
            address.bytes.end(),
            bytes.begin() + static_cast<std::ptrdiff_t>(at));
}
void swap_range(Bytes& bytes, std::size_t one, std::size_t other, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    std::swap(bytes.at(one + i), bytes.at(other + i));
  }
}

// The sum over the pseudo header and bytes [begin, end).
std::uint16_t upper_sum(
    const Bytes& bytes, std::size_t begin, std::size_t end, const Reading& of, bool pseudo) {
  Bytes all;
  if (pseudo) {
    all = pseudo_header(of.source, of.destination, of.protocol, end - begin);
  }
  all.insert(all.end(),
             bytes.begin() + static_cast<std::ptrdiff_t>(begin),
             bytes.begin() + static_cast<std::ptrdiff_t>(end));
  return ones_complement_sum(all);
}

std::uint16_t complement(std::uint16_t word) { return static_cast<std::uint16_t>(~word); }

void sum_ipv4_header(Bytes& bytes, std::size_t l3) {
  const std::size_t header = std::size_t{bytes[l3]} % 16 * 4;
  put16(bytes, l3 + 10, 0);
  put16(bytes, l3 + 10, complement(ones_complement_sum(part(bytes, l3, l3 + header))));
}

// What the checksum of TCP and UDP covers of the ends.
Bytes covered(const Ends& ends) {
  const std::size_t size = ends.source.is_v4() ? 4 : 16;
  Bytes bytes(2 * size + 4);
  put_address(bytes, 0, ends.source);
  put_address(bytes, size, ends.destination);
  put16(bytes, 2 * size, ends.source_port);
  put16(bytes, 2 * size + 2, ends.destination_port);
  return bytes;
}

std::uint16_t fresh_checksum(Bytes& bytes,
                             std::size_t at,
                             std::size_t end,
                             const Reading& reading) {
  put16(bytes, at, 0);
  return complement(upper_sum(bytes, reading.l4, end, reading, true));
}

// A whole segment is summed anew when it came right, else carried, as a fragment's is.
void checksum_transport(Bytes& bytes,
                        const Reading& before,
                        const Reading& after,
                        std::uint16_t came) {
  const std::size_t at = before.l4 + (before.tcp() ? 16 : 6);
  if (!before.tcp() && came == 0) {
    return;
  }
  const std::size_t end = before.tcp() ? before.end() : before.l4 + number16(bytes, before.l4 + 4);
  bool right = end <= bytes.size() && !before.fragment;
  if (right) {
    Bytes original = bytes;
    put16(original, before.l4, before.source_port);
    put16(original, before.l4 + 2, before.destination_port);
    right = upper_sum(original, before.l4, end, before, true) == 0xffff;
  }
  std::uint16_t now = 0;
  if (right) {
    now = fresh_checksum(bytes, at, end, after);
  } else {
    now = carried(
        came,
        covered({before.source, before.source_port, before.destination, before.destination_port}),
        covered({after.source, after.source_port, after.destination, after.destination_port}));
  }
  put16(bytes, at, !before.tcp() && now == 0 ? 0xffff : now);
}

// The IP header of a TCP segment without options or payload, back to where a packet came from.
void append_bare_header(Bytes& out, const Reading& reading) {
  const std::size_t l3 = out.size();
  out.resize(l3 + (reading.v4 ? 20 : 40));
  if (reading.v4) {
    out[l3] = 0x45;
    put16(out, l3 + 2, 40);
    put16(out, l3 + 6, 0x4000);  // don't fragment
    out[l3 + 8] = 64;
    out[l3 + 9] = 6;
  } else {
    out[l3] = 0x60;
    put16(out, l3 + 4, 20);
    out[l3 + 6] = 6;
    out[l3 + 7] = 64;
  }
  put_address(out, l3 + (reading.v4 ? 12 : 8), reading.destination);
  put_address(out, l3 + (reading.v4 ? 16 : 24), reading.source);
  if (reading.v4) {
    sum_ipv4_header(out, l3);
  }
}

// The sequence number behind a segment: its payload, SYN and FIN take one each.
std::uint32_t number_behind(const Bytes& bytes, const Reading& reading) {
  const std::size_t header = std::size_t{bytes[reading.l4 + 12]} / 16 * 4;
  const std::size_t space = reading.end() - reading.l4 - header + (reading.has(0x02) ? 1 : 0) +
                            (reading.has(0x01) ? 1 : 0);
  return static_cast<std::uint32_t>(number32(bytes, reading.l4 + 4) + space);
}

}  // namespace

void change_id(Bytes& bytes, std::size_t at, bool v4, std::uint32_t bits) {
  v4 ? put16(bytes, at, static_cast<std::uint16_t>(number16(bytes, at) ^ bits))
     : put32(bytes, at, number32(bytes, at) ^ bits);
}

Bytes pseudo_header(const Address& source,
                    const Address& destination,
                    std::uint8_t protocol,
                    std::size_t length) {
  const std::size_t size = source.is_v4() ? 4 : 16;
  Bytes pseudo(2 * size + 8);
  put_address(pseudo, 0, source);
  put_address(pseudo, size, destination);
  put32(pseudo, 2 * size, static_cast<std::uint32_t>(length));
  pseudo.back() = protocol;
  return pseudo;
}

Arriving without_trailer(Arriving frame, const Reading& reading) {
  frame.bytes.resize(std::min(frame.bytes.size(), reading.end()));
  frame.beyond = static_cast<std::uint32_t>(reading.end() - frame.bytes.size());
  return frame;
}

void replace_link(Bytes& bytes, std::size_t l3, const Way& way) {
  Bytes out(12);
  put_mac(out, 0, way.to);
  put_mac(out, 6, way.from);
  for (const Tag& tag : way.tags) {
    out.resize(out.size() + 4);
    put16(out, out.size() - 4, tag.type);
    put16(out, out.size() - 2, tag.vlan);  // of priority 0
  }
  out.insert(out.end(), bytes.begin() + static_cast<std::ptrdiff_t>(l3) - 2, bytes.end());
  bytes = std::move(out);
}

void translate(Arriving& frame, const Reading& reading, const Ends& ends) {
  Bytes& bytes = frame.bytes;
  const std::size_t l3 = reading.l3;
  --bytes[l3 + (reading.v4 ? 8 : 7)];
  put_address(bytes, l3 + (reading.v4 ? 12 : 8), ends.source);
  put_address(bytes, l3 + (reading.v4 ? 16 : 24), ends.destination);
  if (reading.fragment) {
    change_id(bytes, reading.fragment->id_at, reading.v4, ends.other_id);
  }
  if (reading.v4) {
    sum_ipv4_header(bytes, l3);
  }
  if (reading.later()) {
    return;
  }
  const std::uint16_t came = number16(bytes, reading.l4 + (reading.tcp() ? 16 : 6));
  put16(bytes, reading.l4, ends.source_port);
  put16(bytes, reading.l4 + 2, ends.destination_port);
  Reading after = reading;
  after.source = ends.source;
  after.destination = ends.destination;
  after.source_port = ends.source_port;
  after.destination_port = ends.destination_port;
  checksum_transport(bytes, reading, after, came);
}

Bytes reset_for(const Arriving& frame, const Reading& reading) {
  Bytes out = part(frame.bytes, 0, reading.l3);
  swap_range(out, 0, 6, 6);
  append_bare_header(out, reading);
  const std::size_t l4 = out.size();
  out.resize(l4 + 20);
  put16(out, l4, reading.destination_port);
  put16(out, l4 + 2, reading.source_port);
  out[l4 + 12] = 0x50;
  if (reading.has(0x10)) {
    put32(out, l4 + 4, number32(frame.bytes, reading.l4 + 8));
    out[l4 + 13] = 0x04;
  } else {
    put32(out, l4 + 8, number_behind(frame.bytes, reading));
    out[l4 + 13] = 0x14;
  }
  Reading back;
  back.source = reading.destination;
  back.destination = reading.source;
  back.protocol = 6;
  put16(out, l4 + 16, complement(upper_sum(out, l4, l4 + 20, back, true)));
  // A frame that was padded to Ethernet's minimum stays so.
  out.resize(std::max(out.size(), std::min<std::size_t>(frame.bytes.size(), 60)));
  return out;
}

std::optional<Bytes> echo_reply(const Arriving& frame, const Reading& reading) {
  Bytes out = frame.bytes;
  const bool whole = reading.end() <= out.size();
  if (whole && upper_sum(out, reading.l4, reading.end(), reading, !reading.v4) != 0xffff) {
    return std::nullopt;
  }
  swap_range(out, 0, 6, 6);
  const Bytes before = {out[reading.l4], out[reading.l4 + 1]};
  const std::uint16_t came = number16(out, reading.l4 + 2);
  out[reading.l4] = reading.v4 ? 0 : 129;
  std::uint16_t checksum = 0;
  if (whole) {
    put16(out, reading.l4 + 2, 0);
    checksum = complement(upper_sum(out, reading.l4, reading.end(), reading, !reading.v4));
  } else {
    checksum = carried(came, before, {out[reading.l4], out[reading.l4 + 1]});
    checksum = checksum == 0 ? 0xffff : checksum;
  }
  put16(out, reading.l4 + 2, checksum);
  const std::size_t l3 = reading.l3;
  swap_range(out, l3 + (reading.v4 ? 12 : 8), l3 + (reading.v4 ? 16 : 24), reading.v4 ? 4 : 16);
  out[l3 + (reading.v4 ? 8 : 7)] = 64;
  if (reading.v4) {
    std::fill(out.begin() + static_cast<std::ptrdiff_t>(l3 + 20),
              out.begin() + static_cast<std::ptrdiff_t>(reading.l4),
              std::uint8_t{1});  // options become no-operations
    sum_ipv4_header(out, l3);
  }
  return out;
}

Asked read_arp(const Arriving& frame, const Reading& reading, const MacAddress& ours) {
  const Bytes& bytes = frame.bytes;
  const std::size_t l3 = reading.l3;
  const bool request = number16(bytes, l3 + 6) == 1;
  const MacAddress mac = mac_at(bytes, l3 + 8);
  const Address sender = v4_at(bytes, l3 + 14);
  Asked asked{.target = v4_at(bytes, l3 + 24), .told = {}, .answer = {}};
  if (!request || is_group_mac(mac)) {
    return asked;
  }
  if (sender != v4(0, 0, 0, 0) && mac != MacAddress{}) {
    asked.told = {.address = sender, .mac = mac};
  }
  if (sender != asked.target) {
    Bytes out = bytes;
    put_mac(out, 0, mac);
    put_mac(out, 6, ours);
    put16(out, l3 + 6, 2);
    put_mac(out, l3 + 8, ours);
    put_address(out, l3 + 14, asked.target);
    put_mac(out, l3 + 18, mac);
    put_address(out, l3 + 24, sender);
    asked.answer = std::move(out);
  }
  return asked;
}

namespace {

// RFC 4861 §7.1.1 for the options; the source's MAC address goes to `mac`. False: not valid.
bool read_options(const Bytes& bytes, const Reading& of, std::optional<MacAddress>& mac) {
  for (std::size_t at = of.l4 + 24; at != of.end();) {
    const std::size_t left = of.end() - at;
    const std::size_t size = left < 8 ? 0 : std::size_t{bytes[at + 1]} * 8;
    if (size == 0 || size > left) {
      return false;
    }
    if (bytes[at] == 1 && size == 8) {
      mac = mac_at(bytes, at + 2);
    }
    at += size;
  }
  return true;
}

bool to_solicited_nodes(const Address& destination) {
  const Address all = solicited_nodes(destination).address;
  return std::equal(all.bytes.begin(), all.bytes.begin() + 13, destination.bytes.begin());
}

Bytes advertisement(Bytes link, const Address& target, const Address* solicitor, MacAddress ours) {
  const std::size_t l3 = link.size();
  Bytes out = std::move(link);
  out.resize(l3 + 72);
  out[l3] = 0x60;
  put16(out, l3 + 4, 32);
  out[l3 + 6] = 58;
  out[l3 + 7] = 255;
  const Address to = solicitor == nullptr ? kAllNodes : *solicitor;
  put_address(out, l3 + 8, target);
  put_address(out, l3 + 24, to);
  out[l3 + 40] = 136;
  out[l3 + 44] = solicitor == nullptr ? 0x20 : 0x60;  // override, and solicited
  put_address(out, l3 + 48, target);
  out[l3 + 64] = 2;
  out[l3 + 65] = 1;
  put_mac(out, l3 + 66, ours);
  Reading reading;
  reading.source = target;
  reading.destination = to;
  reading.protocol = 58;
  put16(out, l3 + 42, complement(upper_sum(out, l3 + 40, l3 + 72, reading, true)));
  return out;
}

}  // namespace

Asked read_solicitation(const Arriving& frame, const Reading& reading, const MacAddress& ours) {
  const Bytes& bytes = frame.bytes;
  Asked asked{.target = v6_at(bytes, reading.l4 + 8), .told = {}, .answer = {}};
  std::optional<MacAddress> told;
  const bool anonymous = reading.source == Address{};
  if (reading.end() > bytes.size() || asked.target.bytes[0] == 0xff ||
      upper_sum(bytes, reading.l4, reading.end(), reading, true) != 0xffff ||
      !read_options(bytes, reading, told) ||
      (anonymous && (told || !to_solicited_nodes(reading.destination)))) {
    return asked;
  }
  if (told && !is_group_mac(*told) && *told != MacAddress{}) {
    asked.told = {.address = reading.source, .mac = *told};
  }
  const MacAddress receiver = told.value_or(mac_at(bytes, 6));
  if (frame.beyond == 0 && !is_group_mac(receiver)) {
    Bytes link = part(bytes, 0, reading.l3);
    put_mac(link, 0, anonymous ? kAllNodesMac : receiver);
    put_mac(link, 6, ours);
    asked.answer =
        advertisement(std::move(link), asked.target, anonymous ? nullptr : &reading.source, ours);
  }
  return asked;
}

}  // namespace holdfast::testing
