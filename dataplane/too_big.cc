// SPDX-License-Identifier: Apache-2.0
// See too_big.h.
#include "dataplane/too_big.h"

#include "dataplane/answer.h"
#include "dataplane/checksum.h"
#include "dataplane/flow_keys.h"
#include "dataplane/generation.h"
#include "dataplane/headers.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

namespace holdfast::dataplane {
namespace {

constexpr std::size_t kLongest4 = 576;
constexpr std::size_t kLongest6 = 1280;
constexpr std::uint32_t kLeastMtu4 = 68;  // RFC 791 §3.2
constexpr std::uint32_t kLeastMtu6 = 1280;

// RFC 4443 §3.2; RFC 1191 §4 has the MTU in the lower half of the last word, the upper one is 0.
struct TooBigHeader {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  Be16 checksum;
  Be32 mtu;
};
static_assert(sizeof(TooBigHeader) == 8);

bool may_be_answered(const Burst& b, Slot i) {
  const Frame& frame = b.frame[i];
  const bool v4 = b.key[i].source.is_v4();
  const std::byte* const fragment = frame.data + b.l3_offset[i] + offsetof(Ipv4Header, fragment);
  return (!v4 || (load<Be16>(fragment).to_host() & kIpv4DontFragment) != 0) &&
         b.kind[i] == Kind::kTransport &&  // never an ICMP error
         b.piece[i] != Piece::kLater && !is_group(load<EthernetHeader>(frame.data).destination) &&
         frame.headroom >= bare_ip_size(v4) + sizeof(TooBigHeader);
}

// `message` reaches from the ICMP header to the end of the quote, which is there.
void put_icmp(std::span<std::byte> message, const FlowKey& key, std::uint32_t mtu) {
  const bool v4 = key.source.is_v4();
  store(message.data(),
        TooBigHeader{.type = v4 ? kIcmpUnreachable : kIcmp6PacketTooBig,
                     .code = v4 ? kIcmpFragmentationNeeded : std::uint8_t{0},
                     .checksum = {},
                     .mtu = Be32::from_host(std::max(mtu, v4 ? kLeastMtu4 : kLeastMtu6))});
  ChecksumSum sum{std::span<const std::byte>(message)};
  if (!v4) {
    sum = sum + pseudo_header(key.destination,
                              key.source,
                              Protocol::kIcmp6,
                              static_cast<std::uint32_t>(message.size()));
  }
  store(message.data() + offsetof(TooBigHeader, checksum), sum.checksum());
}

// Link header, IP, ICMP, quote: the first three move in front of the last, which stays.
void answer(Burst& b, Slot i, std::uint32_t mtu) {
  Frame& frame = b.frame[i];
  const FlowKey& key = b.key[i];
  const bool v4 = key.source.is_v4();
  const std::size_t link = b.l3_offset[i];
  const std::size_t headers = bare_ip_size(v4) + sizeof(TooBigHeader);
  const std::size_t quote =
      std::min(frame.contiguous - link, (v4 ? kLongest4 : kLongest6) - headers);
  const std::size_t message = sizeof(TooBigHeader) + quote;
  const std::byte* const came = frame.data;
  frame.end_at(static_cast<std::uint16_t>(link + quote));
  frame.grow_front(static_cast<int>(headers));
  std::memmove(frame.data, came, link);
  turn_link(frame.data);
  std::byte* const l3 = frame.data + link;
  put_answering_ip(l3, key, v4 ? Protocol::kIcmp : Protocol::kIcmp6, message);
  put_icmp({l3 + bare_ip_size(v4), message}, key, mtu);
}

}  // namespace

bool refuse_too_big(Burst& b,
                    Slot i,
                    std::uint32_t mtu,
                    const Generation& generation,
                    WorkerState& state,
                    std::uint64_t now_ms) {
  if (!may_be_answered(b, i)) {
    return b.drop(i, Drop::kMtu);
  }
  const std::uint64_t source = generation.hasher().source(client_of(b, i, state.tables.nat));
  if (!state.too_big.take(source, now_ms)) {
    state.stats.too_big_limited.add(1);
    return b.drop(i, Drop::kMtu);
  }
  answer(b, i, mtu);
  state.stats.too_big_sent.add(1);
  return b.end(i, Verdict::kReply);
}

}  // namespace holdfast::dataplane
