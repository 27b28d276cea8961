// SPDX-License-Identifier: Apache-2.0
// See netlink.h.
#include "dataplane/process/netlink.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

namespace holdfast::dataplane {
namespace {

// Attributes by type; the first of each wins. Types beyond the array are not ours to know.
class Attributes {
 public:
  // Behind a header of `header` bytes, a multiple of 4 in all of rtnetlink.
  // Requires: the message has the header.
  Attributes(const nlmsghdr* message, std::size_t header)
      : Attributes(static_cast<const std::byte*>(mnl_nlmsg_get_payload(message)) + header,
                   mnl_nlmsg_get_payload_len(message) - header) {}
  Attributes(const std::byte* payload, std::size_t size) {
    const auto* attribute = reinterpret_cast<const nlattr*>(payload);
    const auto left = [&] {
      return static_cast<int>(payload + size - reinterpret_cast<const std::byte*>(attribute));
    };
    for (; mnl_attr_ok(attribute, left()); attribute = mnl_attr_next(attribute)) {
      const std::uint16_t type = mnl_attr_get_type(attribute);
      if (type < by_type_.size() && by_type_[type] == nullptr) {
        by_type_[type] = attribute;
      }
    }
  }
  [[nodiscard]] const nlattr* get(std::uint16_t type) const { return by_type_[type]; }
  [[nodiscard]] std::optional<std::uint32_t> number(std::uint16_t type) const {
    const nlattr* attribute = get(type);
    if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < sizeof(std::uint32_t)) {
      return std::nullopt;
    }
    return mnl_attr_get_u32(attribute);
  }

 private:
  std::array<const nlattr*, 64> by_type_{};
};

std::optional<Address> to_address(int family, const void* bytes, std::size_t size) {
  if (family == AF_INET && size == 4) {
    std::uint32_t raw = 0;
    std::memcpy(&raw, bytes, sizeof(raw));
    return Address::v4(Be32::from_wire(raw));
  }
  if (family == AF_INET6 && size == 16) {
    return Address::v6(bytes);
  }
  return std::nullopt;
}

std::optional<Address> address_in(int family, const nlattr* attribute) {
  return attribute == nullptr
             ? std::nullopt
             : to_address(
                   family, mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));
}

std::optional<MacAddress> mac_in(const nlattr* attribute) {
  MacAddress mac{};
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) != mac.size()) {
    return std::nullopt;
  }
  std::memcpy(mac.data(), mnl_attr_get_payload(attribute), mac.size());
  return mac;
}

Address any_address(int family) { return family == AF_INET ? Address::v4(Be32{}) : Address{}; }

// The gateway of a route or of one of its hops: RTA_GATEWAY, or RTA_VIA of another family.
Address gateway_in(int family, const Attributes& attributes) {
  if (const auto gateway = address_in(family, attributes.get(RTA_GATEWAY))) {
    return *gateway;
  }
  const nlattr* via = attributes.get(RTA_VIA);
  if (via != nullptr && mnl_attr_get_payload_len(via) > sizeof(rtvia)) {
    rtvia header{};
    std::memcpy(&header, mnl_attr_get_payload(via), sizeof(header));
    const auto* bytes = static_cast<const std::byte*>(mnl_attr_get_payload(via)) + sizeof(header);
    const std::size_t size = mnl_attr_get_payload_len(via) - sizeof(header);
    return to_address(header.rtvia_family, bytes, size).value_or(Address{});
  }
  return {};
}

template <typename Header>
const Header* header_of(const nlmsghdr* message) {
  return mnl_nlmsg_get_payload_len(message) < sizeof(Header)
             ? nullptr
             : static_cast<const Header*>(mnl_nlmsg_get_payload(message));
}

bool refuses(std::uint8_t type) {
  return type == RTN_BLACKHOLE || type == RTN_UNREACHABLE || type == RTN_PROHIBIT ||
         type == RTN_THROW;
}

// The hops of RTA_MULTIPATH.
void add_hops(const nlattr* multipath,
              int family,
              const NetlinkRoute& route,
              std::vector<NetlinkRoute>& routes) {
  const auto* at = static_cast<const std::byte*>(mnl_attr_get_payload(multipath));
  std::size_t left = mnl_attr_get_payload_len(multipath);
  while (left >= sizeof(rtnexthop)) {
    rtnexthop hop{};
    std::memcpy(&hop, at, sizeof(hop));
    if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > left) {
      return;
    }
    NetlinkRoute one = route;
    one.interface_index = static_cast<std::uint32_t>(hop.rtnh_ifindex);
    one.gateway = gateway_in(family, Attributes(at + sizeof(hop), hop.rtnh_len - sizeof(hop)));
    routes.push_back(one);
    const std::size_t step = std::min<std::size_t>(RTNH_ALIGN(hop.rtnh_len), left);
    at += step;
    left -= step;
  }
}

}  // namespace

std::optional<NetlinkLink> parse_link(const nlmsghdr* message) {
  const auto* header = header_of<ifinfomsg>(message);
  if (header == nullptr) {
    return std::nullopt;
  }
  const Attributes attributes(message, sizeof(*header));
  NetlinkLink link;
  link.index = static_cast<std::uint32_t>(header->ifi_index);
  if (const nlattr* name = attributes.get(IFLA_IFNAME)) {
    const std::string_view text(mnl_attr_get_str(name), mnl_attr_get_payload_len(name));
    link.name = text.substr(0, text.find('\0'));
  }
  link.mac = mac_in(attributes.get(IFLA_ADDRESS)).value_or(MacAddress{});
  link.mtu = static_cast<std::uint16_t>(
      std::min<std::uint32_t>(attributes.number(IFLA_MTU).value_or(1500), UINT16_MAX));
  link.up = (header->ifi_flags & IFF_UP) != 0 && (header->ifi_flags & IFF_RUNNING) != 0;
  link.gone = message->nlmsg_type == RTM_DELLINK;
  return link;
}

std::optional<NetlinkAddress> parse_address(const nlmsghdr* message) {
  const auto* header = header_of<ifaddrmsg>(message);
  if (header == nullptr) {
    return std::nullopt;
  }
  const Attributes attributes(message, sizeof(*header));
  // On point-to-point links IFA_ADDRESS is the other end's and IFA_LOCAL ours.
  auto address = address_in(header->ifa_family, attributes.get(IFA_LOCAL));
  if (!address) {
    address = address_in(header->ifa_family, attributes.get(IFA_ADDRESS));
  }
  if (!address) {
    return std::nullopt;
  }
  return NetlinkAddress{.address = *address,
                        .interface_index = header->ifa_index,
                        .gone = message->nlmsg_type == RTM_DELADDR};
}

std::vector<NetlinkRoute> parse_route(const nlmsghdr* message) {
  const auto* header = header_of<rtmsg>(message);
  if (header == nullptr || (header->rtm_type != RTN_UNICAST && !refuses(header->rtm_type)) ||
      (header->rtm_flags & RTM_F_CLONED) != 0) {
    return {};
  }
  const Attributes attributes(message, sizeof(*header));
  if (attributes.number(RTA_TABLE).value_or(header->rtm_table) != RT_TABLE_MAIN) {
    return {};
  }
  const int family = header->rtm_family;
  NetlinkRoute route{
      .prefix = address_in(family, attributes.get(RTA_DST)).value_or(any_address(family)),
      .length = header->rtm_dst_len,
      .gateway = gateway_in(family, attributes),
      .interface_index = attributes.number(RTA_OIF).value_or(0),
      .metric = attributes.number(RTA_PRIORITY).value_or(0)};
  if (refuses(header->rtm_type)) {  // IPv6 has these on the loopback interface
    route.refuses = true;
    route.gateway = {};
    route.interface_index = 0;
  }
  std::vector<NetlinkRoute> routes;
  if (route.length > (family == AF_INET ? 32 : 128)) {
    return {};
  }
  if (const nlattr* multipath = attributes.get(RTA_MULTIPATH)) {
    add_hops(multipath, family, route, routes);
  } else {
    routes.push_back(route);
  }
  return routes;
}

std::optional<NetlinkRouteName> parse_route_name(const nlmsghdr* message) {
  const auto* header = header_of<rtmsg>(message);
  if (header == nullptr || (header->rtm_family != AF_INET && header->rtm_family != AF_INET6)) {
    return std::nullopt;
  }
  const Attributes attributes(message, sizeof(*header));
  const int family = header->rtm_family;
  return NetlinkRouteName{
      .prefix = address_in(family, attributes.get(RTA_DST)).value_or(any_address(family)),
      .length = header->rtm_dst_len,
      .interface_index = attributes.number(RTA_OIF).value_or(0)};
}

std::optional<NetlinkNeighbor> parse_neighbor(const nlmsghdr* message) {
  const auto* header = header_of<ndmsg>(message);
  if (header == nullptr) {
    return std::nullopt;
  }
  const Attributes attributes(message, sizeof(*header));
  const auto address = address_in(header->ndm_family, attributes.get(NDA_DST));
  if (!address) {
    return std::nullopt;
  }
  NetlinkNeighbor neighbor{.address = *address,
                           .interface_index = static_cast<std::uint32_t>(header->ndm_ifindex),
                           .mac = std::nullopt,
                           .gone = message->nlmsg_type == RTM_DELNEIGH};
  constexpr unsigned kUsable =
      NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
  if (!neighbor.gone && (header->ndm_state & kUsable) != 0) {
    neighbor.mac = mac_in(attributes.get(NDA_LLADDR));
  }
  return neighbor;
}

}  // namespace holdfast::dataplane
