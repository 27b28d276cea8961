// SPDX-License-Identifier: Apache-2.0
// See mss.h.
#include "dataplane/mss.h"

#include "dataplane/checksum.h"
#include "dataplane/headers.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace holdfast::dataplane {
namespace {

constexpr std::uint32_t kIpv4AndTcp = sizeof(Ipv4Header) + sizeof(TcpHeader);
constexpr std::uint32_t kIpv6AndTcp = sizeof(Ipv6Header) + sizeof(TcpHeader);
constexpr std::uint16_t kDefaultMss4 = 536;
constexpr std::uint16_t kDefaultMss6 = 1220;
constexpr std::size_t kLongestHeader = 60;

// RFC 9293 §3.1.
constexpr std::uint8_t kEndOfOptions = 0;
constexpr std::uint8_t kNoOperation = 1;
constexpr std::uint8_t kMaximumSegmentSize = 2;
struct MssOption {
  std::uint8_t kind = kMaximumSegmentSize;
  std::uint8_t length = 4;
  Be16 value;
};
static_assert(sizeof(MssOption) == 4);

// What a walk over the options found.
struct FoundMss {
  bool announced = false;  // an MSS, whatever its value
  bool lowered = false;
  bool malformed = false;
};

void update_tcp_checksum(std::byte* tcp, const ChecksumSum& changes) {
  std::byte* const at = tcp + offsetof(TcpHeader, checksum);
  store(at, update_checksum(load<Be16>(at), changes));
}

// Lowers the value at `at` in the TCP header. The two words around it are exchanged in the
// checksum, because an option may stand at an odd place.
bool lower(std::byte* tcp, std::size_t at, std::uint16_t most) {
  if (load<Be16>(tcp + at).to_host() <= most) {
    return false;
  }
  std::byte* const words = tcp + (at - 1) / 2 * 2;
  ChecksumSum changes;
  const auto before = load<Be32>(words);
  store(tcp + at, Be16::from_host(most));
  changes.replace(before, load<Be32>(words));
  update_tcp_checksum(tcp, changes);
  return true;
}

FoundMss lower_options(std::byte* tcp, std::size_t end, std::uint16_t most) {
  FoundMss found;
  std::size_t at = sizeof(TcpHeader);
  while (at < end) {
    const auto kind = load<std::uint8_t>(tcp + at);
    if (kind == kEndOfOptions) {
      break;
    }
    if (kind == kNoOperation) {
      ++at;
      continue;
    }
    const std::size_t left = end - at;
    const std::size_t size = left < 2 ? 0 : load<std::uint8_t>(tcp + at + 1);
    if (size < 2 || size > left) {
      found.malformed = true;
      break;
    }
    if (kind == kMaximumSegmentSize && size != sizeof(MssOption)) {
      found.malformed = true;
    } else if (kind == kMaximumSegmentSize) {
      found.announced = true;
      found.lowered |= lower(tcp, at + offsetof(MssOption, value), most);
    }
    at += size;
  }
  return found;
}

// The IP header of a packet that has become longer.
void lengthen_ip(std::byte* l3, bool v4, std::uint16_t l3_length) {
  if (!v4) {
    store(l3 + offsetof(Ipv6Header, payload_length),
          Be16::from_host(static_cast<std::uint16_t>(l3_length - sizeof(Ipv6Header))));
    return;
  }
  std::byte* const length = l3 + offsetof(Ipv4Header, total_length);
  std::byte* const checksum = l3 + offsetof(Ipv4Header, checksum);
  const auto after = Be16::from_host(l3_length);
  ChecksumSum changes;
  changes.replace(load<Be16>(length), after);
  store(length, after);
  store(checksum, update_checksum(load<Be16>(checksum), changes));
}

void insert(Burst& b, Slot i, std::uint16_t value) {
  constexpr std::uint16_t kSize = sizeof(MssOption);
  Frame& frame = b.frame[i];
  const std::size_t headers = std::size_t{b.l4_offset[i]} + sizeof(TcpHeader);
  std::memmove(frame.data - kSize, frame.data, headers);
  frame.grow_front(kSize);
  const auto segment = static_cast<std::uint16_t>(b.l3_length[i] + b.l3_offset[i] - b.l4_offset[i]);
  b.l3_length[i] = static_cast<std::uint16_t>(b.l3_length[i] + kSize);
  lengthen_ip(frame.data + b.l3_offset[i], b.key[i].source.is_v4(), b.l3_length[i]);

  std::byte* const tcp = frame.data + b.l4_offset[i];
  const MssOption option{.value = Be16::from_host(value)};
  store(tcp + sizeof(TcpHeader), option);
  std::byte* const offset = tcp + offsetof(TcpHeader, data_offset);
  const auto before = load<Be16>(offset);
  store(offset, static_cast<std::uint8_t>(load<std::uint8_t>(offset) + (1U << 4)));
  ChecksumSum changes;
  changes.replace(before, load<Be16>(offset));
  // The segment's length stands in the pseudo header.
  changes.replace(Be16::from_host(segment),
                  Be16::from_host(static_cast<std::uint16_t>(segment + kSize)));
  changes.add(std::as_bytes(std::span(&option, 1)));
  update_tcp_checksum(tcp, changes);
}

bool has_room(const Burst& b, Slot i, std::size_t header, std::uint32_t mtu) {
  return header + sizeof(MssOption) <= kLongestHeader &&
         b.l3_length[i] + sizeof(MssOption) <= std::min<std::uint32_t>(mtu, 0xffff) &&
         b.frame[i].headroom >= sizeof(MssOption);
}

}  // namespace

std::uint16_t mss_for(std::uint32_t mtu, bool v4) {
  const std::uint32_t headers = v4 ? kIpv4AndTcp : kIpv6AndTcp;
  return static_cast<std::uint16_t>(
      std::min<std::uint32_t>(mtu > headers ? mtu - headers : 1, 0xffff));
}

void clamp_mss(Burst& b, Slot i, const MssLimit& limit, WorkerStats& stats) {
  if (limit.most == 0) {
    return;
  }
  const bool v4 = b.key[i].source.is_v4();
  const std::uint16_t most = std::min(limit.most, mss_for(limit.mtu, v4));
  std::byte* const tcp = b.frame[i].data + b.l4_offset[i];
  const std::size_t header =
      std::size_t{load<std::uint8_t>(tcp + offsetof(TcpHeader, data_offset))} / 16 * 4;
  const FoundMss found = lower_options(tcp, header, most);
  if (found.lowered) {
    stats.mss_clamped.add(1);
    return;
  }
  if (found.announced || found.malformed || most >= (v4 ? kDefaultMss4 : kDefaultMss6)) {
    return;
  }
  if (!has_room(b, i, header, limit.mtu)) {
    stats.mss_no_room.add(1);
    return;
  }
  insert(b, i, most);
  stats.mss_clamped.add(1);
}

}  // namespace holdfast::dataplane
