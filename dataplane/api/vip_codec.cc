// SPDX-License-Identifier: Apache-2.0
// See codec.h. Messages about the VIPs that a node offers, and whether it does.
#include "dataplane/api/codec.h"

namespace holdfast::seam {

SetRoutes to_wire(std::span<const dataplane::VipPrefix> vips) {
  SetRoutes message;
  for (const dataplane::VipPrefix& vip : vips) {
    VipPrefix& out = *message.add_vips();
    out.set_address(to_wire(vip.address));
    out.set_prefix_bits(vip.bits);
  }
  return message;
}

std::expected<std::set<dataplane::VipPrefix>, std::string> from_wire(const SetRoutes& message) {
  if (static_cast<std::size_t>(message.vips_size()) > kMaxBindings) {
    return std::unexpected(std::to_string(message.vips_size()) + " VIPs; at most " +
                           std::to_string(kMaxBindings) + " are accepted");
  }
  std::set<dataplane::VipPrefix> vips;
  for (const VipPrefix& one : message.vips()) {
    const auto address = address_from_wire(one.address());
    if (!address) {
      return std::unexpected("VIP: " + address.error());
    }
    if (one.prefix_bits() == 0 || one.prefix_bits() > dataplane::kWholeAddress) {
      return std::unexpected("prefix length is " + std::to_string(one.prefix_bits()) +
                             ", not 1 to 128");
    }
    vips.insert({.address = *address, .bits = static_cast<std::uint8_t>(one.prefix_bits())});
  }
  return vips;
}

std::expected<dataplane::Role, std::string> role_from_wire(std::uint32_t value) {
  if (value > static_cast<std::uint32_t>(dataplane::Role::kStandby)) {
    return std::unexpected("role is " + std::to_string(value) + ", not 0 to 2");
  }
  return static_cast<dataplane::Role>(value);
}

}  // namespace holdfast::seam
