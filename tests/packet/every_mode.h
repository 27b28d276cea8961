// SPDX-License-Identifier: Apache-2.0
// The balancer of the packet tests in each mode, and what a frame must have become there. Tests
// only.
#pragma once

#include "tests/support/appliance.h"

#include <algorithm>
#include <ostream>
#include <string>

#include <gtest/gtest.h>

namespace holdfast::dataplane {

// For the names of parametrised tests.
inline void PrintTo(Mode mode, std::ostream* out) { *out << mode_name(mode); }

}  // namespace holdfast::dataplane

namespace holdfast::testing {

// three_backends(); tunnels lead to the IPv4 ones.
inline dataplane::GenerationSpec in_mode(dataplane::Mode mode) {
  dataplane::GenerationSpec spec = three_backends(mode);
  for (dataplane::ServiceSpec& service : spec.services) {
    if (!is_tunnel(mode)) {
      continue;
    }
    std::erase_if(service.members, [](const auto& member) { return !member.address.is_v4(); });
    if (mode == dataplane::Mode::kVxlan) {
      service.tunnel.vni = 4711;
      service.tunnel.inner_source = {2, 0, 0, 0, 9, 0};
      for (dataplane::MemberSpec& member : service.members) {
        member.inner_mac = {2, 0, 0, 0, 9, 1};
      }
    }
  }
  return spec;
}

inline Bytes behind(const Bytes& bytes, std::size_t offset) {
  return {bytes.begin() + static_cast<std::ptrdiff_t>(offset), bytes.end()};
}

// Where a packet to `port` of the VIP is translated to at that backend.
inline Endpoint translated_to(const dataplane::GenerationSpec& spec,
                              const std::string& backend,
                              std::uint16_t port) {
  for (const dataplane::ServiceSpec& service : spec.services) {
    const dataplane::BindingSpec& binding = service.bindings.front();
    if (binding.first_port <= port && port <= binding.last_port) {
      const auto member =
          std::ranges::find(service.members, backend, &dataplane::MemberSpec::backend);
      if (member != service.members.end()) {
        return {member->address, member->port == 0 ? port : member->port};
      }
    }
  }
  ADD_FAILURE() << "nobody is called '" << backend << "' behind port " << port;
  return {};
}

inline bool is_in_pool(const dataplane::GenerationSpec& spec, const Address& address) {
  return std::ranges::any_of(
      spec.pools, [&](const auto& pool) { return pool.first <= address && address <= pool.last; });
}

// The frame as a member must get it: in `nat` from an address of the pool to that and the port of
// the member, and one less in its TTL, in `dsr` with other MAC addresses, else whole behind outer
// headers. Requires: untagged ports; all services of `spec`, which is in force, have one mode.
inline void expect_carried(const dataplane::GenerationSpec& spec,
                           Packet packet,
                           const Outcome& outcome) {
  const dataplane::Mode mode = spec.services.front().mode;
  ASSERT_EQ(outcome.verdict, dataplane::Verdict::kForward)
      << (outcome.reason ? drop_name(*outcome.reason) : "");
  const Bytes came = packet.bytes();
  const bool v4_packet = came.at(12) == 0x08;
  if (is_tunnel(mode)) {
    const Bytes inside = behind(came, 14);
    ASSERT_GE(outcome.bytes.size(), inside.size() + 14 + 20);
    EXPECT_EQ(behind(outcome.bytes, outcome.bytes.size() - inside.size()), inside);
    return;
  }
  if (mode == dataplane::Mode::kDsr) {
    EXPECT_EQ(behind(outcome.bytes, 12), behind(came, 12));
    return;
  }
  const std::uint8_t* at = outcome.bytes.data() + 14 + (v4_packet ? 12 : 8);
  const auto address_at = [&](const std::uint8_t* bytes) {
    return v4_packet ? v4(bytes[0], bytes[1], bytes[2], bytes[3]) : Address::v6(bytes);
  };
  const auto port_at = [&](std::size_t offset) {
    const std::size_t l4 = packet.l4_offset() + offset;
    return static_cast<std::uint16_t>(outcome.bytes.at(l4) << 8 | outcome.bytes.at(l4 + 1));
  };
  MacAddress to{};
  std::copy_n(outcome.bytes.begin(), to.size(), to.begin());
  const std::uint8_t ttl = came.at(v4_packet ? 22 : 21);
  const std::size_t port = packet.l4_offset() + 2;
  const Endpoint member = translated_to(
      spec, outcome.backend, static_cast<std::uint16_t>(came.at(port) << 8 | came.at(port + 1)));
  EXPECT_TRUE(is_in_pool(spec, address_at(at))) << address_at(at).text();
  packet.from({address_at(at), port_at(0), kLanMac}).to({member.address, member.port, to});
  EXPECT_EQ(outcome.bytes, packet.ttl(static_cast<std::uint8_t>(ttl - 1)).bytes());
}

inline std::string name_of_mode(const ::testing::TestParamInfo<dataplane::Mode>& info) {
  return std::string(mode_name(info.param));
}

}  // namespace holdfast::testing
