// SPDX-License-Identifier: Apache-2.0
// See vlan.h.
#include "dataplane/vlan.h"

#include "dataplane/headers.h"

#include <array>

namespace holdfast::dataplane {
namespace {

std::byte* put_tag(std::byte* at, Be16 type, std::uint16_t id) {
  store(at, type);
  store(at + sizeof(Be16), Be16::from_host(id));
  return at + kVlanTagSize;
}

}  // namespace

std::optional<std::uint8_t> put_tags(Frame& frame, std::uint8_t l3_offset, VlanTags tags) {
  const auto wanted =
      static_cast<std::uint8_t>(sizeof(EthernetHeader) + tags.count() * kVlanTagSize);
  if (wanted > frame.headroom + l3_offset) [[unlikely]] {
    return std::nullopt;
  }
  const auto macs = load<std::array<std::byte, 2 * sizeof(MacAddress)>>(frame.data);
  frame.grow_front(int{wanted} - int{l3_offset});
  store(frame.data, macs);
  // The EtherType stays: it stands right before the packet, with and without tags.
  std::byte* at = frame.data + sizeof(macs);
  if (tags.service() != 0) {
    at = put_tag(at, kEtherServiceVlan, tags.service());
  }
  if (tags.customer() != 0) {
    put_tag(at, kEtherVlan, tags.customer());
  }
  return wanted;
}

}  // namespace holdfast::dataplane
