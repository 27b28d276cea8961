// SPDX-License-Identifier: Apache-2.0
// The headers as they stand on the wire, and the only way to reach them: load<T>() and store(),
// which copy bytes, because a frame's alignment is arbitrary. Every struct has the size and the
// offsets of its RFC, so `offsetof` names a single field. Pure, any thread.
#pragma once

#include "dataplane/address.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace holdfast::dataplane {

// Requires: sizeof(T) readable bytes at `from`.
template <typename T>
  requires std::is_trivially_copyable_v<T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// Requires: sizeof(T) writable bytes at `to`.
template <typename T>
  requires std::is_trivially_copyable_v<T>
void store(std::byte* to, const T& value) {
  std::memcpy(to, &value, sizeof(T));
}

inline constexpr Be16 kEtherIpv4 = Be16::from_host(0x0800);
inline constexpr Be16 kEtherArp = Be16::from_host(0x0806);
inline constexpr Be16 kEtherIpv6 = Be16::from_host(0x86dd);
inline constexpr Be16 kEtherVlan = Be16::from_host(0x8100);         // IEEE 802.1Q
inline constexpr Be16 kEtherServiceVlan = Be16::from_host(0x88a8);  // IEEE 802.1ad
inline constexpr MacAddress kBroadcastMac = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

struct EthernetHeader {
  MacAddress destination{};
  MacAddress source{};
  Be16 type;
};
static_assert(sizeof(EthernetHeader) == 14);

// What stands behind the EtherType of a tag.
struct VlanTag {
  Be16 control;
  Be16 type;
};
static_assert(sizeof(VlanTag) == 4);

// RFC 826 for Ethernet and IPv4. Addresses are bytes: they stand at offsets no integer could.
struct ArpPacket {
  Be16 hardware;
  Be16 protocol;
  std::uint8_t hardware_length = 0;
  std::uint8_t protocol_length = 0;
  Be16 operation;
  MacAddress sender_mac{};
  std::array<std::uint8_t, 4> sender{};
  MacAddress target_mac{};
  std::array<std::uint8_t, 4> target{};
};
static_assert(sizeof(ArpPacket) == 28);
inline constexpr Be16 kArpEthernet = Be16::from_host(1);
inline constexpr Be16 kArpRequest = Be16::from_host(1);
inline constexpr Be16 kArpReply = Be16::from_host(2);

// RFC 791 §3.1.
struct Ipv4Header {
  std::uint8_t version_and_length = 0;
  std::uint8_t service = 0;
  Be16 total_length;
  Be16 identification;
  Be16 fragment;  // three flags, then the offset in units of 8 bytes
  std::uint8_t ttl = 0;
  std::uint8_t protocol = 0;
  Be16 checksum;
  Be32 source;
  Be32 destination;

  [[nodiscard]] constexpr unsigned version() const { return version_and_length >> 4; }
  [[nodiscard]] constexpr std::uint16_t header_length() const {
    return static_cast<std::uint16_t>((version_and_length & 0x0f) * 4);
  }
};
static_assert(sizeof(Ipv4Header) == 20 && offsetof(Ipv4Header, destination) == 16);
inline constexpr std::uint16_t kIpv4MoreFragments = 0x2000;
inline constexpr std::uint16_t kIpv4DontFragment = 0x4000;
inline constexpr std::uint16_t kIpv4FragmentOffset = 0x1fff;
// Of Ipv4Header::fragment.
constexpr bool is_fragment(Be16 field) {
  return (field.to_host() & (kIpv4MoreFragments | kIpv4FragmentOffset)) != 0;
}

// RFC 8200 §3.
struct Ipv6Header {
  Be32 version_class_flow;
  Be16 payload_length;
  std::uint8_t next_header = 0;
  std::uint8_t hop_limit = 0;
  std::array<std::uint8_t, 16> source{};
  std::array<std::uint8_t, 16> destination{};

  [[nodiscard]] constexpr unsigned version() const { return version_class_flow.to_host() >> 28; }
};
static_assert(sizeof(Ipv6Header) == 40 && offsetof(Ipv6Header, destination) == 24);

// RFC 9293 §3.1.
struct TcpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be32 sequence;
  Be32 acknowledgment;
  std::uint8_t data_offset = 0;  // upper four bits, in units of 4 bytes
  std::uint8_t flags = 0;
  Be16 window;
  Be16 checksum;
  Be16 urgent;

  [[nodiscard]] constexpr std::uint16_t header_length() const {
    return static_cast<std::uint16_t>((data_offset >> 4) * 4);
  }
};
static_assert(sizeof(TcpHeader) == 20 && offsetof(TcpHeader, checksum) == 16);

// RFC 768.
struct UdpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be16 length;
  Be16 checksum;
};
static_assert(sizeof(UdpHeader) == 8);

// RFC 792 and RFC 4443 §2.1, with the echo's two fields.
struct IcmpHeader {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  Be16 checksum;
  Be16 identifier;
  Be16 sequence;
};
static_assert(sizeof(IcmpHeader) == 8);
inline constexpr std::uint8_t kIcmpEchoReply = 0;
inline constexpr std::uint8_t kIcmpEchoRequest = 8;
inline constexpr std::uint8_t kIcmpUnreachable = 3;
inline constexpr std::uint8_t kIcmpFragmentationNeeded = 4;  // code of kIcmpUnreachable
inline constexpr std::uint8_t kIcmpTimeExceeded = 11;
inline constexpr std::uint8_t kIcmpParameterProblem = 12;
inline constexpr std::uint8_t kIcmp6Unreachable = 1;
inline constexpr std::uint8_t kIcmp6PacketTooBig = 2;
inline constexpr std::uint8_t kIcmp6TimeExceeded = 3;
inline constexpr std::uint8_t kIcmp6ParameterProblem = 4;
inline constexpr std::uint8_t kIcmp6EchoRequest = 128;
inline constexpr std::uint8_t kIcmp6EchoReply = 129;
inline constexpr std::uint8_t kIcmp6NeighborSolicitation = 135;
inline constexpr std::uint8_t kIcmp6NeighborAdvertisement = 136;

// RFC 4861 §4.3 and §4.4: both have this shape, followed by options.
struct NeighborMessage {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  Be16 checksum;
  Be32 flags;  // advertisement only
  std::array<std::uint8_t, 16> target{};
};
static_assert(sizeof(NeighborMessage) == 24);
inline constexpr std::uint32_t kAdvertisementSolicited = 0x40000000;
inline constexpr std::uint32_t kAdvertisementOverride = 0x20000000;

// RFC 4861 §4.6.1, the form for Ethernet.
struct LinkLayerOption {
  std::uint8_t type = 0;
  std::uint8_t length = 1;  // in units of 8 bytes
  MacAddress mac{};
};
static_assert(sizeof(LinkLayerOption) == 8);
inline constexpr std::uint8_t kOptionSourceLinkLayer = 1;
inline constexpr std::uint8_t kOptionTargetLinkLayer = 2;

}  // namespace holdfast::dataplane
