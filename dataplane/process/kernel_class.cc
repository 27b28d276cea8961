// SPDX-License-Identifier: Apache-2.0
// See kernel_class.h.
#include "dataplane/process/kernel_class.h"

#include "dataplane/headers.h"
#include "dataplane/vlan.h"

#include <algorithm>
#include <bit>

namespace holdfast::dataplane {
namespace {

constexpr std::uint16_t kLeastEtherType = 0x0600;  // below: a length, as of IS-IS and STP
constexpr std::uint16_t kSlowProtocols = 0x8809;   // LACP
constexpr std::uint16_t kLldp = 0x88cc;

constexpr std::uint8_t kHopByHop = 0;
constexpr std::uint8_t kIgmp = 2;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kIcmp6 = 58;
constexpr std::uint8_t kOspf = 89;
constexpr std::uint8_t kPim = 103;
constexpr std::uint8_t kVrrp = 112;

constexpr std::uint16_t kSsh = 22;
constexpr std::uint16_t kBgp = 179;
// RIP, RIPng, LDP; BFD: single hop, echo, multihop, on LAG members (RFC 5881, 5883, 7130).
constexpr std::array<std::uint16_t, 7> kRoutingUdp = {520, 521, 646, 3784, 3785, 4784, 6784};
constexpr std::array<std::uint16_t, 2> kRoutingTcp = {kBgp, 646};

bool in(std::span<const std::uint16_t> ports, std::uint16_t source, std::uint16_t destination) {
  return std::ranges::any_of(
      ports, [&](std::uint16_t port) { return port == source || port == destination; });
}

KernelClass class_of_ports(std::uint8_t protocol, std::span<const std::byte> segment) {
  if (segment.size() < 2 * sizeof(Be16)) {
    return KernelClass::kOther;
  }
  const std::uint16_t source = load<Be16>(segment.data()).to_host();
  const std::uint16_t destination = load<Be16>(segment.data() + sizeof(Be16)).to_host();
  const bool tcp = protocol == kTcp;
  if (in(tcp ? std::span<const std::uint16_t>(kRoutingTcp) : kRoutingUdp, source, destination)) {
    return KernelClass::kRouting;
  }
  return tcp && (source == kSsh || destination == kSsh) ? KernelClass::kManagement
                                                        : KernelClass::kOther;
}

// RFC 4861 §4: router solicitation to redirect; RFC 2710, 3810: multicast listeners.
KernelClass class_of_icmp6(std::span<const std::byte> message) {
  const auto type = message.empty() ? 0U : std::to_integer<unsigned>(message.front());
  if (type >= 133 && type <= 137) {
    return KernelClass::kNeighbor;
  }
  return (type >= 130 && type <= 132) || type == 143 ? KernelClass::kRouting : KernelClass::kOther;
}

KernelClass class_of_payload(std::uint8_t protocol, std::span<const std::byte> payload) {
  switch (protocol) {
    case kTcp:
    case kUdp:
      return class_of_ports(protocol, payload);
    case kIcmp6:
      return class_of_icmp6(payload);
    case kIgmp:
    case kOspf:
    case kPim:
    case kVrrp:
      return KernelClass::kRouting;
    default:
      return KernelClass::kOther;
  }
}

KernelClass class_of_ipv4(std::span<const std::byte> packet) {
  if (packet.size() < sizeof(Ipv4Header)) {
    return KernelClass::kOther;
  }
  const auto header = load<Ipv4Header>(packet.data());
  const std::size_t length = std::to_integer<std::size_t>(packet.front() & std::byte{0x0f}) * 4;
  const std::uint16_t fragment = header.fragment.to_host();
  if ((fragment & (kIpv4MoreFragments | kIpv4FragmentOffset)) != 0 || length > packet.size()) {
    return KernelClass::kOther;
  }
  return class_of_payload(header.protocol, packet.subspan(length));
}

// Behind hop-by-hop options (RFC 8200 §4.3) stand multicast listener reports.
KernelClass class_of_ipv6(std::span<const std::byte> packet) {
  constexpr std::size_t kUnit = 8;
  if (packet.size() < sizeof(Ipv6Header)) {
    return KernelClass::kOther;
  }
  std::uint8_t next = load<Ipv6Header>(packet.data()).next_header;
  std::span<const std::byte> rest = packet.subspan(sizeof(Ipv6Header));
  if (next == kHopByHop && rest.size() >= kUnit) {
    next = std::to_integer<std::uint8_t>(rest[0]);
    const std::size_t length = (std::to_integer<std::size_t>(rest[1]) + 1) * kUnit;
    rest = rest.subspan(std::min(length, rest.size()));
  }
  return class_of_payload(next, rest);
}

}  // namespace

void AddressFilter::assign(std::span<const Address> addresses) {
  std::array<std::uint64_t, kBits / 64> words{};
  for (const Address& address : addresses) {
    const std::size_t bit = bit_of(address);
    words[bit / 64] |= std::uint64_t{1} << bit % 64;
  }
  for (std::size_t i = 0; i < words.size(); ++i) {
    words_[i].store(words[i], std::memory_order_relaxed);
  }
}

std::size_t AddressFilter::bit_of(const Address& address) {
  const auto words = std::bit_cast<std::array<std::uint64_t, 2>>(address.bytes);
  const std::uint64_t mixed = (words[0] ^ std::rotl(words[1], 32)) * 0x9e3779b97f4a7c15U;
  return mixed >> 48U;
}

KernelClass kernel_class(std::span<const std::byte> frame) {
  constexpr std::size_t kTypeOffset = sizeof(EthernetHeader) - sizeof(Be16);
  std::size_t at = kTypeOffset;
  Be16 type;
  for (unsigned tags = 0; tags <= kMostVlanTags; ++tags) {
    if (frame.size() < at + sizeof(Be16)) {
      return KernelClass::kOther;
    }
    type = load<Be16>(frame.data() + at);
    if (type != kEtherVlan && type != kEtherServiceVlan) {
      break;
    }
    at += kVlanTagSize;
  }
  if (frame.size() < at + sizeof(Be16)) {
    return KernelClass::kOther;
  }
  const std::span<const std::byte> packet = frame.subspan(at + sizeof(Be16));
  if (type == kEtherArp) {
    return KernelClass::kNeighbor;
  }
  if (type == kEtherIpv4) {
    return class_of_ipv4(packet);
  }
  if (type == kEtherIpv6) {
    return class_of_ipv6(packet);
  }
  const std::uint16_t number = type.to_host();
  return number < kLeastEtherType || number == kSlowProtocols || number == kLldp
             ? KernelClass::kRouting
             : KernelClass::kOther;
}

}  // namespace holdfast::dataplane
