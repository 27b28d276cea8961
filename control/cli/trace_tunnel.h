// SPDX-License-Identifier: Apache-2.0
// The outer headers that a traced packet left with, read back from the frame's bytes after the
// layouts in dataplane/encapsulate.h. Pure.
#pragma once

#include "dataplane/address.h"
#include "dataplane/spec.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

namespace holdfast::control {

struct InnerEthernet {
  std::uint32_t vni = 0;
  dataplane::MacAddress source{};
  dataplane::MacAddress destination{};
};

struct TraceTunnel {
  bool v4 = true;
  std::uint8_t service = 0;           // ToS or traffic class: DSCP and ECN
  std::uint16_t identification = 0;   // IPv4
  bool dont_fragment = false;         // IPv4
  std::uint32_t flow_label = 0;       // IPv6
  std::optional<bool> checksum = {};  // gue, vxlan: whether the outer UDP has one
  std::optional<std::vector<dataplane::Address>> hops = {};  // gue with a hop list
  std::optional<InnerEthernet> inner = {};                   // vxlan
};

// Requires: `frame` is what encapsulate() made in this mode, without VLAN tags.
TraceTunnel read_tunnel(std::span<const std::byte> frame, dataplane::Mode mode);

// "tos 0x00, id 0x0000, df, udp checksum".
std::string outer_text(const TraceTunnel& tunnel);
// "10.0.3.12, 10.0.3.13", "none"; empty without a hop list.
std::string hops_text(const TraceTunnel& tunnel);
// "vni 100, mac 02:00:5e:10:00:02 -> 02:00:00:00:00:0b"; empty but for vxlan.
std::string inner_text(const TraceTunnel& tunnel);
boost::json::object tunnel_json(const TraceTunnel& tunnel);

}  // namespace holdfast::control
