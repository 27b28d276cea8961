// SPDX-License-Identifier: Apache-2.0
// The packet builder of the tests: a chain of calls says what matters, bytes() fills in valid MACs,
// lengths and checksums. It shares the wire structs with the product, but computes checksums its
// own plain way, so that a mistake there does not hide itself.
//
//   tcp(kClient, kVip).syn().options({1, 1, 1, 0}).vlan(7).bytes()
//   udp(kClient6, kVip6).extension(60, 8).payload("hello").cut(60).bytes()
#pragma once

#include "dataplane/address.h"
#include "dataplane/headers.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::testing {

using dataplane::Address;
using dataplane::Be16;
using dataplane::Be32;
using dataplane::MacAddress;
using dataplane::Protocol;
using Bytes = std::vector<std::uint8_t>;

// Of an address as text. Throws std::invalid_argument for anything else.
Address address(std::string_view text);

struct Endpoint {
  Address address;
  std::uint16_t port = 0;
  MacAddress mac{};

  [[nodiscard]] constexpr Endpoint at_port(std::uint16_t other) const {
    return {.address = address, .port = other, .mac = mac};
  }
  [[nodiscard]] constexpr Endpoint at_mac(const MacAddress& other) const {
    return {.address = address, .port = port, .mac = other};
  }
};

constexpr Address v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
  return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}};
}
// 2001:db8:0:<net>::<host>
constexpr Address v6(std::uint8_t net, std::uint8_t host) {
  return {{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, net, 0, 0, 0, 0, 0, 0, 0, host}};
}

inline constexpr MacAddress kRouterMac = {2, 0, 0, 0, 0, 0x01};
inline constexpr MacAddress kOurMac = {2, 0, 0, 0, 0, 0x02};
inline constexpr Endpoint kClient = {v4(198, 51, 100, 7), 40000, kRouterMac};
inline constexpr Endpoint kVip = {v4(203, 0, 113, 10), 80, kOurMac};
inline constexpr Endpoint kVipDns = {v4(203, 0, 113, 10), 53, kOurMac};
inline constexpr Endpoint kBackend1 = {v4(10, 0, 3, 11), 8080, {2, 0, 0, 0, 1, 1}};
inline constexpr Endpoint kBackend2 = {v4(10, 0, 3, 12), 8080, {2, 0, 0, 0, 1, 2}};
inline constexpr Endpoint kBackend3 = {v4(10, 0, 3, 13), 8080, {2, 0, 0, 0, 1, 3}};
inline constexpr Endpoint kClient6 = {v6(1, 7), 40000, kRouterMac};
inline constexpr Endpoint kVip6 = {v6(2, 10), 80, kOurMac};
inline constexpr Endpoint kBackend6 = {v6(3, 11), 8080, {2, 0, 0, 0, 1, 6}};

class Packet {
 public:
  Packet(const Endpoint& source, const Endpoint& destination, Protocol protocol);

  // Link layer.
  Packet& vlan(std::uint16_t id, Be16 type = dataplane::kEtherVlan);
  Packet& ether_type(std::uint16_t type);
  Packet& from(const Endpoint& source);
  Packet& to(const Endpoint& destination);

  // Network layer. `options` and `extension` bodies are padded to what their header can say.
  Packet& ttl(std::uint8_t value);
  Packet& options(Bytes bytes);
  Packet& fragment(std::uint16_t offset_bytes, bool more);
  Packet& dont_fragment();  // IPv4; IPv6 packets never are
  Packet& extension(std::uint8_t kind, std::size_t size, Bytes body = {});
  Packet& next_protocol(std::uint8_t number);
  Packet& ip_byte(std::size_t offset, std::uint8_t value);  // before the IPv4 checksum is made

  // TCP: each adds a flag; without any the packet has ACK.
  Packet& syn();
  Packet& ack();
  Packet& fin();
  Packet& rst();
  Packet& flags(std::uint8_t exactly);
  Packet& sequence(std::uint32_t number);
  Packet& acknowledgment(std::uint32_t number);
  Packet& tcp_options(Bytes bytes);

  // ICMP.
  Packet& icmp(std::uint8_t type, std::uint8_t code, std::uint32_t rest = 0);

  // Any upper layer.
  Packet& payload(std::size_t size);
  Packet& payload(std::string_view text);
  Packet& payload(Bytes bytes);
  Packet& upper_byte(std::size_t offset, std::uint8_t value);  // before its checksum is made
  Packet& no_checksum();                                       // UDP: 0, "none"
  Packet& surplus(std::size_t size);  // UDP: bytes of the IP payload behind the datagram

  // The frame, at last.
  Packet& pad_to(std::size_t size);
  Packet& byte(std::size_t offset, std::uint8_t value);
  Packet& cut(std::size_t size);

  [[nodiscard]] Bytes bytes() const;
  [[nodiscard]] std::size_t l3_offset() const { return 14 + 4 * tags_.size(); }
  [[nodiscard]] std::size_t l4_offset() const;
  [[nodiscard]] bool is_v4() const { return source_.address.is_v4(); }

 private:
  using Patches = std::vector<std::pair<std::size_t, std::uint8_t>>;
  struct Extension {
    std::uint8_t kind = 0;
    Bytes body;
  };

  [[nodiscard]] Bytes build_upper() const;
  [[nodiscard]] Bytes build_upper_header() const;
  void finish_upper(Bytes& upper) const;
  [[nodiscard]] Bytes build_ipv4(std::size_t upper_size) const;
  [[nodiscard]] Bytes build_ipv6(std::size_t upper_size) const;
  [[nodiscard]] Bytes build_link() const;

  Endpoint source_;
  Endpoint destination_;
  std::vector<std::pair<std::uint16_t, Be16>> tags_;
  Bytes options_;
  std::vector<Extension> extensions_;
  Bytes tcp_options_;
  Bytes payload_;
  Patches ip_patches_;
  Patches upper_patches_;
  Patches patches_;
  std::size_t pad_to_ = 0;
  std::size_t surplus_ = 0;
  std::optional<std::size_t> cut_;
  std::uint32_t sequence_ = 1999;  // so that segments as they come from here make a handshake
  std::uint32_t acknowledgment_ = 2000;
  std::uint32_t icmp_rest_ = 0;
  std::optional<std::uint16_t> ether_type_;
  std::uint16_t fragment_ = 0;
  std::optional<std::uint8_t> flags_;
  std::uint8_t icmp_type_ = 0;
  std::uint8_t icmp_code_ = 0;
  std::uint8_t ttl_ = 64;
  Protocol protocol_;
  std::uint8_t next_protocol_;
  bool checksum_ = true;
};

Packet tcp(const Endpoint& source, const Endpoint& destination);
Packet udp(const Endpoint& source, const Endpoint& destination);
// ICMP or ICMPv6, after the family.
Packet echo_request(const Endpoint& source, const Endpoint& destination);
Packet echo_reply(const Endpoint& source, const Endpoint& destination);
// To `destination`, hop limit 255, with the source link-layer option of source.mac.
Packet neighbor_solicitation(const Endpoint& source,
                             const Endpoint& destination,
                             const Address& target);
// ff02::1:ffXX:XXXX and its MAC address.
Endpoint solicited_nodes(const Address& target);

// Sender and target as they stand in the packet; link destination is target.mac for a reply and
// broadcast for a request.
Bytes arp_request(const Endpoint& sender, const Address& target);
Bytes arp_reply(const Endpoint& sender, const Endpoint& target);

// RFC 1071 the slow way: 0xffff when `bytes` hold their own valid checksum.
std::uint16_t ones_complement_sum(const Bytes& bytes);

}  // namespace holdfast::testing
