// SPDX-License-Identifier: Apache-2.0
// The entries of the flow tables (flow_table.h), one type for each size, and how those of a bucket
// are compared with a packet's flow. They stand in the shared state.
#pragma once

#include "dataplane/address.h"
#include "dataplane/burst.h"
#include "dataplane/flow_state.h"
#include "dataplane/spec.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace holdfast::dataplane {

// Seconds of the monotonic clock, modulo 2^16. The sweeper visits each entry more often than the
// stamp wraps (18 h), so differences are exact.
using Stamp = std::uint16_t;
constexpr Stamp stamp_of(std::uint64_t now_ms) { return static_cast<Stamp>(now_ms / 1000); }
constexpr std::uint16_t age_of(Stamp stamp, Stamp now) {
  return static_cast<std::uint16_t>(now - stamp);
}

// IPv4 flows of single VIPs.
struct FlowEntry4 {
  std::uint32_t source = 0;  // as on the wire
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint16_t binding = 0;
  std::uint16_t member = 0;
  std::uint8_t epoch = 0;
  FlowState state = FlowState::kFree;
  Stamp stamp = 0;

  // Whether it is of that flow, if it is of any.
  [[nodiscard]] bool matches(const FlowKey& key, std::uint16_t of_binding) const {
    return source == key.source.v4_bits().wire() && source_port == key.source_port.wire() &&
           destination_port == key.destination_port.wire() && binding == of_binding;
  }
  void set_key(const FlowKey& key, std::uint16_t of_binding) {
    source = key.source.v4_bits().wire();
    source_port = key.source_port.wire();
    destination_port = key.destination_port.wire();
    binding = of_binding;
  }
  [[nodiscard]] Address source_address() const { return Address::v4(Be32::from_wire(source)); }
  // `vip` is the binding's.
  [[nodiscard]] static Address destination_of(const Address& vip) { return vip; }
  // Whether flows of that kind stand here.
  static constexpr bool takes(bool v4, bool prefixed) { return v4 && !prefixed; }
};
static_assert(sizeof(FlowEntry4) == 16);

// IPv6 flows of single VIPs, IPv4 flows of prefixes.
struct FlowEntry6 {
  Address source;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint16_t binding = 0;
  std::uint16_t member = 0;
  std::uint8_t epoch = 0;
  FlowState state = FlowState::kFree;
  Stamp stamp = 0;
  std::uint32_t destination = 0;  // of an IPv4 flow, as on the wire

  [[nodiscard]] bool matches(const FlowKey& key, std::uint16_t of_binding) const {
    return source == key.source && source_port == key.source_port.wire() &&
           destination_port == key.destination_port.wire() && binding == of_binding &&
           destination == destination_word(key);
  }
  void set_key(const FlowKey& key, std::uint16_t of_binding) {
    source = key.source;
    source_port = key.source_port.wire();
    destination_port = key.destination_port.wire();
    binding = of_binding;
    destination = destination_word(key);
  }
  [[nodiscard]] Address source_address() const { return source; }
  [[nodiscard]] Address destination_of(const Address& vip) const {
    return source.is_v4() ? Address::v4(Be32::from_wire(destination)) : vip;
  }
  static constexpr bool takes(bool v4, bool prefixed) { return v4 == prefixed; }

 private:
  static std::uint32_t destination_word(const FlowKey& key) {
    return key.source.is_v4() ? key.destination.v4_bits().wire() : 0;
  }
};
static_assert(sizeof(FlowEntry6) == 32);

// IPv6 flows of prefixes.
struct FlowEntryWide {
  Address source;
  Address destination;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint16_t binding = 0;
  std::uint16_t member = 0;
  std::uint8_t epoch = 0;
  FlowState state = FlowState::kFree;
  Stamp stamp = 0;
  std::uint32_t reserved = 0;

  [[nodiscard]] bool matches(const FlowKey& key, std::uint16_t of_binding) const {
    return source == key.source && destination == key.destination &&
           source_port == key.source_port.wire() &&
           destination_port == key.destination_port.wire() && binding == of_binding;
  }
  void set_key(const FlowKey& key, std::uint16_t of_binding) {
    source = key.source;
    destination = key.destination;
    source_port = key.source_port.wire();
    destination_port = key.destination_port.wire();
    binding = of_binding;
  }
  [[nodiscard]] Address source_address() const { return source; }
  [[nodiscard]] Address destination_of(const Address& /*vip*/) const { return destination; }
  static constexpr bool takes(bool v4, bool prefixed) { return !v4 && prefixed; }
};
static_assert(sizeof(FlowEntryWide) == 48);

// Places in a bucket: bit 7 of byte w stands for way w.
using Places = std::uint32_t;
constexpr std::size_t first_place(Places places) {
  return static_cast<std::size_t>(std::countr_zero(places)) / 8;
}

// Those whose key is that of the flow; some may be free.
template <typename Entry>
Places places_of(const std::array<Entry, 4>& ways, const FlowKey& key, std::uint16_t binding) {
  Places places = 0;
  for (std::size_t way = 0; way < ways.size(); ++way) {
    places |= Places{ways[way].matches(key, binding)} << (8 * way + 7);
  }
  return places;
}

#ifdef __SSE2__
// All four at once: an entry begins with its key, five words of 16 bits.
inline Places places_of(const std::array<FlowEntry4, 4>& ways,
                        const FlowKey& key,
                        std::uint16_t binding) {
  static_assert(offsetof(FlowEntry4, source) == 0 && offsetof(FlowEntry4, source_port) == 4 &&
                offsetof(FlowEntry4, destination_port) == 6 && offsetof(FlowEntry4, binding) == 8);
  const std::uint32_t ports = key.source_port.wire() | std::uint32_t{key.destination_port.wire()}
                                                           << 16;
  const __m128i wanted = _mm_set_epi32(
      0, binding, static_cast<int>(ports), static_cast<int>(key.source.v4_bits().wire()));
  // A byte for each way, a bit for each word that agrees.
  const auto agree = [&](std::size_t way) {
    const auto* const at = reinterpret_cast<const __m128i*>(ways.data()) + way;
    const __m128i one = _mm_cmpeq_epi16(_mm_load_si128(at), wanted);
    const __m128i other = _mm_cmpeq_epi16(_mm_load_si128(at + 1), wanted);
    return static_cast<Places>(_mm_movemask_epi8(_mm_packs_epi16(one, other)));
  };
  constexpr Places kKeyWords = 0x1f1f1f1f;
  constexpr Places kTops = 0x80808080;
  const Places differ = ~(agree(0) | agree(2) << 16) & kKeyWords;
  return (kTops - differ) & kTops;  // no byte borrows from the next
}
#endif

}  // namespace holdfast::dataplane
