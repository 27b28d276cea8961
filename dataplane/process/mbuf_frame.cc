// SPDX-License-Identifier: Apache-2.0
// See mbuf_frame.h.
#include "dataplane/process/mbuf_frame.h"

#include "dataplane/headers.h"
#include "dataplane/vlan.h"

#include <algorithm>
#include <cstring>

namespace holdfast::dataplane {
namespace {

bool headers_contiguous(const rte_mbuf* packet) {
  return packet->nb_segs == 1 || packet->data_len >= kContiguousHeaders;
}

// Fills the first segment up from the next one; false when it has no room.
bool pull_up(rte_mbuf* packet) {
  while (!headers_contiguous(packet)) {
    rte_mbuf* next = packet->next;
    const auto wanted = static_cast<std::uint16_t>(kContiguousHeaders - packet->data_len);
    const std::uint16_t taken = std::min(wanted, next->data_len);
    if (rte_pktmbuf_tailroom(packet) < taken) {
      return false;
    }
    std::copy_n(rte_pktmbuf_mtod(next, const std::byte*),
                taken,
                rte_pktmbuf_mtod(packet, std::byte*) + packet->data_len);
    packet->data_len = static_cast<std::uint16_t>(packet->data_len + taken);
    next->data_off = static_cast<std::uint16_t>(next->data_off + taken);
    next->data_len = static_cast<std::uint16_t>(next->data_len - taken);
    if (next->data_len == 0) {
      packet->next = next->next;
      --packet->nb_segs;
      rte_pktmbuf_free_seg(next);
    }
  }
  return true;
}

// Makes the packet's segments hold `length` bytes, and gives back those behind.
void cut_chain(rte_mbuf* packet, std::uint32_t length) {
  rte_mbuf* last = packet;
  std::uint16_t segments = 1;
  while (length > last->data_len && last->next != nullptr) {
    length -= last->data_len;
    last = last->next;
    ++segments;
  }
  last->data_len = static_cast<std::uint16_t>(length);
  if (last->next != nullptr) {
    rte_pktmbuf_free(last->next);
    last->next = nullptr;
  }
  packet->nb_segs = segments;
}

constexpr std::size_t kMacs = 12;

bool put_tag(rte_mbuf* packet, Be16 type, std::uint16_t control) {
  auto* const front = reinterpret_cast<std::byte*>(rte_pktmbuf_prepend(packet, kVlanTagSize));
  if (front == nullptr || packet->data_len < kVlanTagSize + kMacs) {
    return false;
  }
  std::memmove(front, front + kVlanTagSize, kMacs);
  store(front + kMacs, type);
  store(front + kMacs + sizeof(type), Be16::from_host(control));
  return true;
}

bool restore_tags(rte_mbuf* packet) {
  constexpr std::uint64_t kStripped = RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_QINQ_STRIPPED;
  const bool both = (packet->ol_flags & RTE_MBUF_F_RX_QINQ_STRIPPED) != 0;
  packet->ol_flags &= ~kStripped;
  return put_tag(packet, kEtherVlan, packet->vlan_tci) &&
         (!both || put_tag(packet, kEtherServiceVlan, packet->vlan_tci_outer));
}

}  // namespace

Frame to_frame(rte_mbuf*& packet, PortIndex port) {
  bool readable = true;
  if ((packet->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0) [[unlikely]] {
    readable = restore_tags(packet);
  }
  if (!headers_contiguous(packet) && !pull_up(packet)) [[unlikely]] {
    if (rte_mbuf* copy = rte_pktmbuf_copy(packet, packet->pool, 0, UINT32_MAX); copy != nullptr) {
      rte_pktmbuf_free(packet);
      packet = copy;
    }
  }
  return {.data = rte_pktmbuf_mtod(packet, std::byte*),
          .length = packet->pkt_len,
          .contiguous = readable ? packet->data_len : std::uint16_t{0},
          .headroom = rte_pktmbuf_headroom(packet),
          .tailroom = packet->nb_segs == 1 ? rte_pktmbuf_tailroom(packet) : std::uint16_t{0},
          .port = port,
          .note = {},
          .handle = packet};
}

rte_mbuf* to_packet(const Frame& frame) {
  auto* packet = static_cast<rte_mbuf*>(frame.handle);
  packet->data_off =
      static_cast<std::uint16_t>(frame.data - static_cast<std::byte*>(packet->buf_addr));
  packet->data_len = frame.contiguous;
  packet->pkt_len = frame.length;
  if (packet->nb_segs > 1) [[unlikely]] {
    cut_chain(packet, frame.length);
  }
  return packet;
}

void set_note(rte_mbuf* packet, const FragmentNote& note) {
  static_assert(sizeof(packet->hash) >= sizeof(note));
  store(reinterpret_cast<std::byte*>(&packet->hash), note);
}

FragmentNote note_of(const rte_mbuf* packet) {
  return load<FragmentNote>(reinterpret_cast<const std::byte*>(&packet->hash));
}

}  // namespace holdfast::dataplane
