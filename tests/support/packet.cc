// SPDX-License-Identifier: Apache-2.0
// Putting a packet together, layer by layer from the inside. Tests only.
#include "tests/support/packet.h"

#include "dataplane/burst.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace holdfast::testing {
namespace {

using dataplane::ArpPacket;
using dataplane::EthernetHeader;
using dataplane::Ipv4Header;
using dataplane::Ipv6Header;
using dataplane::kArpEthernet;
using dataplane::kArpReply;
using dataplane::kArpRequest;
using dataplane::kBroadcastMac;
using dataplane::kEtherArp;
using dataplane::kEtherIpv4;
using dataplane::kEtherIpv6;
using dataplane::kIcmp6EchoReply;
using dataplane::kIcmp6EchoRequest;
using dataplane::kIcmp6NeighborSolicitation;
using dataplane::kIcmpEchoReply;
using dataplane::kIcmpEchoRequest;
using dataplane::kIpv4MoreFragments;
using dataplane::kOptionSourceLinkLayer;
using dataplane::kTcpAck;
using dataplane::kTcpFin;
using dataplane::kTcpRst;
using dataplane::kTcpSyn;
using dataplane::TcpHeader;
using dataplane::UdpHeader;

template <typename Header>
Bytes as_bytes(const Header& header) {
  Bytes result(sizeof(Header));
  std::memcpy(result.data(), &header, sizeof(Header));
  return result;
}

void append_bytes(Bytes& to, const Bytes& more) {
  for (const std::uint8_t byte : more) {
    to.push_back(byte);
  }
}

void apply(Bytes& bytes, const std::vector<std::pair<std::size_t, std::uint8_t>>& patches) {
  for (const auto& [offset, value] : patches) {
    bytes.at(offset) = value;
  }
}

void patch16(Bytes& bytes, std::size_t offset, std::uint16_t value) {
  bytes.at(offset) = static_cast<std::uint8_t>(value >> 8);
  bytes.at(offset + 1) = static_cast<std::uint8_t>(value);
}

Bytes address_bytes(const Address& address) {
  return {address.bytes.begin() + (address.is_v4() ? 12 : 0), address.bytes.end()};
}

std::array<std::uint8_t, 4> v4_wire(const Address& address) {
  std::array<std::uint8_t, 4> result{};
  std::ranges::copy(address_bytes(address), result.begin());
  return result;
}

Bytes arp(const MacAddress& link_destination,
          Be16 operation,
          const Endpoint& sender,
          const Endpoint& target) {
  Bytes frame = as_bytes(
      EthernetHeader{.destination = link_destination, .source = sender.mac, .type = kEtherArp});
  append_bytes(frame,
               as_bytes(ArpPacket{.hardware = kArpEthernet,
                                  .protocol = kEtherIpv4,
                                  .hardware_length = 6,
                                  .protocol_length = 4,
                                  .operation = operation,
                                  .sender_mac = sender.mac,
                                  .sender = v4_wire(sender.address),
                                  .target_mac = target.mac,
                                  .target = v4_wire(target.address)}));
  return frame;
}

}  // namespace

Address address(std::string_view text) {
  const std::optional<Address> result = Address::parse(text);
  if (!result) {
    throw std::invalid_argument(std::string(text) + " is no address");
  }
  return *result;
}

std::uint16_t ones_complement_sum(const Bytes& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(sum);
}

Packet::Packet(const Endpoint& source, const Endpoint& destination, Protocol protocol)
    : source_(source),
      destination_(destination),
      protocol_(protocol),
      next_protocol_(static_cast<std::uint8_t>(protocol)) {}

Packet& Packet::vlan(std::uint16_t id, Be16 type) {
  tags_.emplace_back(id, type);
  return *this;
}
Packet& Packet::ether_type(std::uint16_t type) {
  ether_type_ = type;
  return *this;
}
Packet& Packet::from(const Endpoint& source) {
  source_ = source;
  return *this;
}
Packet& Packet::to(const Endpoint& destination) {
  destination_ = destination;
  return *this;
}
Packet& Packet::ttl(std::uint8_t value) {
  ttl_ = value;
  return *this;
}
Packet& Packet::options(Bytes bytes) {
  bytes.resize((bytes.size() + 3) / 4 * 4);
  options_ = std::move(bytes);
  return *this;
}
Packet& Packet::fragment(std::uint16_t offset_bytes, bool more) {
  if (is_v4()) {
    fragment_ = static_cast<std::uint16_t>(offset_bytes / 8 + (more ? kIpv4MoreFragments : 0));
    return *this;
  }
  const auto field = static_cast<std::uint16_t>((offset_bytes & 0xfff8) | (more ? 1 : 0));
  return extension(
      44, 8, {static_cast<std::uint8_t>(field >> 8), static_cast<std::uint8_t>(field)});
}
Packet& Packet::dont_fragment() {
  fragment_ |= dataplane::kIpv4DontFragment;
  return *this;
}
Packet& Packet::extension(std::uint8_t kind, std::size_t size, Bytes body) {
  body.resize(size - 2);
  extensions_.push_back({.kind = kind, .body = std::move(body)});
  return *this;
}
Packet& Packet::next_protocol(std::uint8_t number) {
  next_protocol_ = number;
  return *this;
}
Packet& Packet::ip_byte(std::size_t offset, std::uint8_t value) {
  ip_patches_.emplace_back(offset, value);
  return *this;
}

Packet& Packet::syn() { return flags(flags_.value_or(0) | kTcpSyn); }
Packet& Packet::ack() { return flags(flags_.value_or(0) | kTcpAck); }
Packet& Packet::fin() { return flags(flags_.value_or(0) | kTcpFin); }
Packet& Packet::rst() { return flags(flags_.value_or(0) | kTcpRst); }
Packet& Packet::flags(std::uint8_t exactly) {
  flags_ = exactly;
  return *this;
}
Packet& Packet::sequence(std::uint32_t number) {
  sequence_ = number;
  return *this;
}
Packet& Packet::acknowledgment(std::uint32_t number) {
  acknowledgment_ = number;
  return *this;
}
Packet& Packet::tcp_options(Bytes bytes) {
  bytes.resize((bytes.size() + 3) / 4 * 4);
  tcp_options_ = std::move(bytes);
  return *this;
}
Packet& Packet::icmp(std::uint8_t type, std::uint8_t code, std::uint32_t rest) {
  icmp_type_ = type;
  icmp_code_ = code;
  icmp_rest_ = rest;
  return *this;
}
Packet& Packet::payload(std::size_t size) {
  payload_.resize(size);
  for (std::size_t i = 0; i < size; ++i) {
    payload_[i] = static_cast<std::uint8_t>(i * 7 + 1);
  }
  return *this;
}
Packet& Packet::payload(std::string_view text) { return payload(Bytes(text.begin(), text.end())); }
Packet& Packet::payload(Bytes bytes) {
  payload_ = std::move(bytes);
  return *this;
}
Packet& Packet::upper_byte(std::size_t offset, std::uint8_t value) {
  upper_patches_.emplace_back(offset, value);
  return *this;
}
Packet& Packet::no_checksum() {
  checksum_ = false;
  return *this;
}
Packet& Packet::surplus(std::size_t size) {
  surplus_ = size;
  return *this;
}
Packet& Packet::pad_to(std::size_t size) {
  pad_to_ = size;
  return *this;
}
Packet& Packet::byte(std::size_t offset, std::uint8_t value) {
  patches_.emplace_back(offset, value);
  return *this;
}
Packet& Packet::cut(std::size_t size) {
  cut_ = size;
  return *this;
}

Bytes Packet::build_upper_header() const {
  switch (protocol_) {
    case Protocol::kTcp:
      return as_bytes(
          TcpHeader{.source_port = Be16::from_host(source_.port),
                    .destination_port = Be16::from_host(destination_.port),
                    .sequence = Be32::from_host(sequence_),
                    .acknowledgment = Be32::from_host(acknowledgment_),
                    .data_offset = static_cast<std::uint8_t>((20 + tcp_options_.size()) / 4 << 4),
                    .flags = flags_.value_or(kTcpAck),
                    .window = Be16::from_host(8192),
                    .checksum = {},
                    .urgent = {}});
    case Protocol::kUdp:
      return as_bytes(
          UdpHeader{.source_port = Be16::from_host(source_.port),
                    .destination_port = Be16::from_host(destination_.port),
                    .length = Be16::from_host(static_cast<std::uint16_t>(8 + payload_.size())),
                    .checksum = {}});
    case Protocol::kIcmp:
    case Protocol::kIcmp6:
      return {icmp_type_,
              icmp_code_,
              0,
              0,
              static_cast<std::uint8_t>(icmp_rest_ >> 24),
              static_cast<std::uint8_t>(icmp_rest_ >> 16),
              static_cast<std::uint8_t>(icmp_rest_ >> 8),
              static_cast<std::uint8_t>(icmp_rest_)};
  }
  return {};
}

void Packet::finish_upper(Bytes& upper) const {
  if (!checksum_) {
    return;
  }
  Bytes summed;
  if (protocol_ != Protocol::kIcmp) {
    append_bytes(summed, address_bytes(source_.address));
    append_bytes(summed, address_bytes(destination_.address));
    const std::size_t size = upper.size();
    append_bytes(summed, {0, static_cast<std::uint8_t>(protocol_)});
    append_bytes(summed, {static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size)});
  }
  append_bytes(summed, upper);
  auto checksum = static_cast<std::uint16_t>(~ones_complement_sum(summed));
  if (protocol_ == Protocol::kUdp && checksum == 0) {
    checksum = 0xffff;
  }
  const std::size_t offset = protocol_ == Protocol::kTcp ? 16 : protocol_ == Protocol::kUdp ? 6 : 2;
  patch16(upper, offset, checksum);
}

Bytes Packet::build_upper() const {
  Bytes upper = build_upper_header();
  append_bytes(upper, tcp_options_);
  append_bytes(upper, payload_);
  apply(upper, upper_patches_);
  finish_upper(upper);
  if (protocol_ == Protocol::kUdp) {
    upper.insert(upper.end(), surplus_, 0xa7);
  }
  return upper;
}

Bytes Packet::build_ipv4(std::size_t upper_size) const {
  const std::size_t header = 20 + options_.size();
  Bytes ip = as_bytes(
      Ipv4Header{.version_and_length = static_cast<std::uint8_t>(0x40 | (header / 4)),
                 .service = 0,
                 .total_length = Be16::from_host(static_cast<std::uint16_t>(header + upper_size)),
                 .identification = Be16::from_host(1),
                 .fragment = Be16::from_host(fragment_),
                 .ttl = ttl_,
                 .protocol = next_protocol_,
                 .checksum = {},
                 .source = source_.address.v4_bits(),
                 .destination = destination_.address.v4_bits()});
  append_bytes(ip, options_);
  apply(ip, ip_patches_);
  patch16(ip, 10, static_cast<std::uint16_t>(~ones_complement_sum(ip)));
  return ip;
}

Bytes Packet::build_ipv6(std::size_t upper_size) const {
  Bytes chain;
  for (std::size_t i = 0; i < extensions_.size(); ++i) {
    const bool last = i + 1 == extensions_.size();
    const std::size_t size = extensions_[i].body.size() + 2;
    const bool authentication = extensions_[i].kind == 51;
    const std::size_t length = extensions_[i].kind == 44 ? 0
                               : authentication          ? size / 4 - 2
                                                         : size / 8 - 1;
    append_bytes(
        chain,
        {last ? next_protocol_ : extensions_[i + 1].kind, static_cast<std::uint8_t>(length)});
    append_bytes(chain, extensions_[i].body);
  }
  const std::size_t payload = chain.size() + upper_size;
  Bytes ip = as_bytes(
      Ipv6Header{.version_class_flow = Be32::from_host(0x60000000),
                 .payload_length = Be16::from_host(static_cast<std::uint16_t>(payload)),
                 .next_header = extensions_.empty() ? next_protocol_ : extensions_.front().kind,
                 .hop_limit = ttl_,
                 .source = source_.address.bytes,
                 .destination = destination_.address.bytes});
  append_bytes(ip, chain);
  apply(ip, ip_patches_);
  return ip;
}

Bytes Packet::build_link() const {
  Bytes link(destination_.mac.begin(), destination_.mac.end());
  link.insert(link.end(), source_.mac.begin(), source_.mac.end());
  for (const auto& [id, type] : tags_) {
    append_bytes(link, as_bytes(type));
    append_bytes(link, as_bytes(Be16::from_host(id)));
  }
  const Be16 network = is_v4() ? kEtherIpv4 : kEtherIpv6;
  append_bytes(link, as_bytes(ether_type_ ? Be16::from_host(*ether_type_) : network));
  return link;
}

Bytes Packet::bytes() const {
  const Bytes upper = build_upper();
  Bytes frame = build_link();
  append_bytes(frame, is_v4() ? build_ipv4(upper.size()) : build_ipv6(upper.size()));
  append_bytes(frame, upper);
  frame.resize(std::max(frame.size(), pad_to_));
  apply(frame, patches_);
  frame.resize(std::min(frame.size(), cut_.value_or(frame.size())));
  return frame;
}

std::size_t Packet::l4_offset() const {
  return l3_offset() + (is_v4() ? build_ipv4(0) : build_ipv6(0)).size();
}

Packet tcp(const Endpoint& source, const Endpoint& destination) {
  return {source, destination, Protocol::kTcp};
}

Packet udp(const Endpoint& source, const Endpoint& destination) {
  return {source, destination, Protocol::kUdp};
}

Packet echo_request(const Endpoint& source, const Endpoint& destination) {
  return source.address.is_v4()
             ? Packet(source, destination, Protocol::kIcmp).icmp(kIcmpEchoRequest, 0, 0x00010002)
             : Packet(source, destination, Protocol::kIcmp6).icmp(kIcmp6EchoRequest, 0, 0x00010002);
}

Packet echo_reply(const Endpoint& source, const Endpoint& destination) {
  return source.address.is_v4()
             ? Packet(source, destination, Protocol::kIcmp).icmp(kIcmpEchoReply, 0, 0x00010002)
             : Packet(source, destination, Protocol::kIcmp6).icmp(kIcmp6EchoReply, 0, 0x00010002);
}

Packet neighbor_solicitation(const Endpoint& source,
                             const Endpoint& destination,
                             const Address& target) {
  Bytes body(target.bytes.begin(), target.bytes.end());
  append_bytes(body, {kOptionSourceLinkLayer, 1});
  body.insert(body.end(), source.mac.begin(), source.mac.end());
  Packet packet(source, destination, Protocol::kIcmp6);
  return packet.icmp(kIcmp6NeighborSolicitation, 0).payload(std::move(body)).ttl(255);
}

Endpoint solicited_nodes(const Address& target) {
  const auto& tail = target.bytes;
  return {
      .address = {{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, tail[13], tail[14], tail[15]}},
      .port = 0,
      .mac = {0x33, 0x33, 0xff, tail[13], tail[14], tail[15]}};
}

Bytes arp_request(const Endpoint& sender, const Address& target) {
  return arp(kBroadcastMac, kArpRequest, sender, {.address = target});
}

Bytes arp_reply(const Endpoint& sender, const Endpoint& target) {
  return arp(target.mac, kArpReply, sender, target);
}

}  // namespace holdfast::testing
