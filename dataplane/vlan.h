// SPDX-License-Identifier: Apache-2.0
// VLAN tags: those in front of a packet, and those of a port (IEEE 802.1Q-2018 §9). A port is a
// device and a tag stack: frames that carry exactly its tags are its own, and what leaves by it
// bears them. A tag of VLAN 0 says a priority and no VLAN (§9.6): it is no tag here. Pure; parse,
// classify, rewrite and the worker's announcements.
#pragma once

#include "dataplane/address.h"
#include "dataplane/frame.h"

#include <cstdint>
#include <optional>

namespace holdfast::dataplane {

inline constexpr std::uint16_t kVlanIdMask = 0x0fff;
inline constexpr std::uint16_t kMostVlanId = 4094;  // 4095 is reserved
inline constexpr unsigned kMostVlanTags = 2;
inline constexpr std::size_t kVlanTagSize = 4;

// At most two tags with a VLAN each, as one number, so that two stacks are compared in one step.
class VlanTags {
 public:
  constexpr VlanTags() = default;
  // A port's: an 802.1ad service tag outside (0: none) and an 802.1Q tag inside (0: none).
  constexpr VlanTags(std::uint16_t service, std::uint16_t customer)
      : bits_((service == 0 ? 0U : std::uint32_t{kService} | service) << kShift | customer) {}

  // Behind what there is comes a tag of that kind; one of VLAN 0 changes nothing.
  // Requires: fewer than two tags.
  constexpr void add(bool service, std::uint16_t control) {
    if (const std::uint16_t id = control & kVlanIdMask; id != 0) {
      bits_ = bits_ << kShift | (service ? std::uint32_t{kService} : 0U) | id;
    }
  }

  [[nodiscard]] constexpr bool any() const { return bits_ != 0; }
  [[nodiscard]] constexpr unsigned count() const {
    return (bits_ != 0 ? 1U : 0U) + (bits_ >> kShift != 0 ? 1U : 0U);
  }
  // VLAN of a port's service tag and of its 802.1Q tag; 0: it has none.
  [[nodiscard]] constexpr std::uint16_t service() const {
    return static_cast<std::uint16_t>(bits_ >> kShift & kVlanIdMask);
  }
  [[nodiscard]] constexpr std::uint16_t customer() const {
    return static_cast<std::uint16_t>(bits_ & kVlanIdMask);
  }
  constexpr bool operator==(const VlanTags&) const = default;

 private:
  static constexpr unsigned kShift = 16;
  static constexpr std::uint16_t kService = 0x8000;  // 802.1ad; above the twelve bits of an id

  std::uint32_t bits_ = 0;  // the inner one below
};
static_assert(sizeof(VlanTags) == 4);

// Replaces whatever stands between the frame's MAC addresses and its EtherType by `tags`, a port's,
// of priority 0; the link header moves into the headroom or out of it. Returns where the packet
// begins now; nullopt, frame untouched: there is no room before the frame. Requires: the packet
// begins at l3_offset, behind an Ethernet header.
std::optional<std::uint8_t> put_tags(Frame& frame, std::uint8_t l3_offset, VlanTags tags);

}  // namespace holdfast::dataplane
