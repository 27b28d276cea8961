// SPDX-License-Identifier: Apache-2.0
// See trace_tunnel.h.
#include "control/cli/trace_tunnel.h"

#include "control/cli/offline.h"
#include "dataplane/headers.h"

#include <array>
#include <string_view>

#include <boost/json/array.hpp>
#include <fmt/format.h>

namespace holdfast::control {
namespace {

namespace json = boost::json;
using dataplane::Address;
using dataplane::Be32;
using dataplane::EthernetHeader;
using dataplane::Ipv4Header;
using dataplane::Ipv6Header;
using dataplane::load;
using dataplane::UdpHeader;

constexpr std::size_t kVxlanSize =
    8;  // RFC 7348 §5: the VNI is the upper 24 bits of its second half
constexpr std::size_t kHopCountAt = 7;  // of GUE's variant 0 with a hop list, of 8 bytes
constexpr std::size_t kHopsAt = 8;

// GUE's variant 1 is an IP packet at once; its variant 0 begins with two zero bits.
bool has_hops(const std::byte* gue) { return (std::to_integer<unsigned>(*gue) & 0xc0U) == 0; }

std::vector<Address> hops_at(const std::byte* gue) {
  std::vector<Address> hops;
  for (std::size_t i = 0; i < std::to_integer<std::size_t>(gue[kHopCountAt]); ++i) {
    hops.push_back(Address::v4(load<Be32>(gue + kHopsAt + i * sizeof(Be32))));
  }
  return hops;
}

InnerEthernet inner_at(const std::byte* vxlan) {
  const auto ethernet = load<EthernetHeader>(vxlan + kVxlanSize);
  return {.vni = load<Be32>(vxlan + sizeof(Be32)).to_host() >> 8,
          .source = ethernet.source,
          .destination = ethernet.destination};
}

}  // namespace

TraceTunnel read_tunnel(std::span<const std::byte> frame, dataplane::Mode mode) {
  const std::byte* at = frame.data() + sizeof(EthernetHeader);
  TraceTunnel tunnel;
  tunnel.v4 = load<EthernetHeader>(frame.data()).type == dataplane::kEtherIpv4;
  if (tunnel.v4) {
    const auto ip = load<Ipv4Header>(at);
    tunnel.service = ip.service;
    tunnel.identification = ip.identification.to_host();
    tunnel.dont_fragment = (ip.fragment.to_host() & dataplane::kIpv4DontFragment) != 0;
    at += sizeof ip;
  } else {
    const std::uint32_t bits = load<Ipv6Header>(at).version_class_flow.to_host();
    tunnel.service = static_cast<std::uint8_t>(bits >> 20);
    tunnel.flow_label = bits & 0xfffffU;
    at += sizeof(Ipv6Header);
  }
  if (mode == dataplane::Mode::kGue || mode == dataplane::Mode::kVxlan) {
    tunnel.checksum = load<UdpHeader>(at).checksum.to_host() != 0;
    at += sizeof(UdpHeader);
  }
  if (mode == dataplane::Mode::kGue && has_hops(at)) {
    tunnel.hops = hops_at(at);
  } else if (mode == dataplane::Mode::kVxlan) {
    tunnel.inner = inner_at(at);
  }
  return tunnel;
}

std::string outer_text(const TraceTunnel& tunnel) {
  std::string text = tunnel.v4 ? fmt::format("tos 0x{:02x}, id 0x{:04x}, {}",
                                             tunnel.service,
                                             tunnel.identification,
                                             tunnel.dont_fragment ? "df" : "may be fragmented")
                               : fmt::format("traffic class 0x{:02x}, flow label 0x{:05x}",
                                             tunnel.service,
                                             tunnel.flow_label);
  if (tunnel.checksum) {
    text += *tunnel.checksum ? ", udp checksum" : ", no udp checksum";
  }
  return text;
}

std::string hops_text(const TraceTunnel& tunnel) {
  if (!tunnel.hops) {
    return "";
  }
  std::string text;
  for (const Address& hop : *tunnel.hops) {
    text += (text.empty() ? "" : ", ") + hop.text();
  }
  return text.empty() ? "none" : text;
}

std::string inner_text(const TraceTunnel& tunnel) {
  return tunnel.inner ? fmt::format("vni {}, mac {} -> {}",
                                    tunnel.inner->vni,
                                    mac_text(tunnel.inner->source),
                                    mac_text(tunnel.inner->destination))
                      : "";
}

json::object tunnel_json(const TraceTunnel& tunnel) {
  json::object object;
  if (tunnel.v4) {
    object = {{"tos", tunnel.service}, {"id", tunnel.identification}, {"df", tunnel.dont_fragment}};
  } else {
    object = {{"traffic_class", tunnel.service}, {"flow_label", tunnel.flow_label}};
  }
  if (tunnel.checksum) {
    object["udp_checksum"] = *tunnel.checksum;
  }
  if (tunnel.hops) {
    json::array& list = object["hops"].emplace_array();
    for (const Address& hop : *tunnel.hops) {
      list.emplace_back(hop.text());
    }
  }
  if (tunnel.inner) {
    object["vni"] = tunnel.inner->vni;
    object["inner_source_mac"] = mac_text(tunnel.inner->source);
    object["inner_destination_mac"] = mac_text(tunnel.inner->destination);
  }
  return object;
}

}  // namespace holdfast::control
