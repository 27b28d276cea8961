// SPDX-License-Identifier: Apache-2.0
#include "control/cli/trace_packet.h"

#include "dataplane/checksum.h"
#include "dataplane/headers.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <ranges>
#include <span>
#include <system_error>

namespace holdfast::control {
namespace {

using dataplane::Address;
using dataplane::Be16;
using dataplane::Be32;
using dataplane::ChecksumSum;
using dataplane::EthernetHeader;
using dataplane::FlowKey;
using dataplane::Ipv4Header;
using dataplane::Ipv6Header;
using dataplane::Protocol;
using dataplane::TcpHeader;
using dataplane::UdpHeader;

constexpr std::uint16_t kWindow = 64'240;

struct TcpFlag {
  std::string_view name;
  std::uint8_t bit;
};
// RFC 9293 §3.1; the packet path has no name for two of them.
constexpr std::array<TcpFlag, 6> kTcpFlags = {{{"fin", dataplane::kTcpFin},
                                               {"syn", dataplane::kTcpSyn},
                                               {"rst", dataplane::kTcpRst},
                                               {"psh", 0x08},
                                               {"ack", dataplane::kTcpAck},
                                               {"urg", 0x20}}};

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return port;
}

template <typename Header>
void append(std::vector<std::byte>& frame, const Header& header) {
  const auto bytes = std::as_bytes(std::span(&header, 1));
  frame.insert(frame.end(), bytes.begin(), bytes.end());
}

// RFC 9293 §3.1.
struct MssOption {
  std::uint8_t kind = 2;
  std::uint8_t length = 4;
  Be16 value;
};

std::size_t upper_headers(const FlowKey& key) {
  return key.protocol == Protocol::kTcp ? sizeof(TcpHeader) + sizeof(MssOption) : sizeof(UdpHeader);
}

// The segment or datagram of `size` bytes, with its checksum.
std::vector<std::byte> build_upper(const TracePacket& packet, std::size_t size) {
  const FlowKey& key = packet.key;
  const bool tcp = key.protocol == Protocol::kTcp;
  std::vector<std::byte> upper;
  if (tcp) {
    append(upper,
           TcpHeader{.source_port = key.source_port,
                     .destination_port = key.destination_port,
                     .sequence = {},
                     .acknowledgment = {},
                     .data_offset = 6 << 4,
                     .flags = packet.tcp_flags,
                     .window = Be16::from_host(kWindow),
                     .checksum = {},
                     .urgent = {}});
    append(upper, MssOption{.value = Be16::from_host(trace_mss(key.source.is_v4()))});
  } else {
    append(upper,
           UdpHeader{.source_port = key.source_port,
                     .destination_port = key.destination_port,
                     .length = Be16::from_host(static_cast<std::uint16_t>(size)),
                     .checksum = {}});
  }
  upper.resize(size);
  ChecksumSum sum =
      pseudo_header(key.source, key.destination, key.protocol, static_cast<std::uint32_t>(size));
  sum.add(upper);
  dataplane::store(
      upper.data() + (tcp ? offsetof(TcpHeader, checksum) : offsetof(UdpHeader, checksum)),
      sum.checksum());
  return upper;
}

void append_ipv4(std::vector<std::byte>& frame, const TracePacket& packet, std::size_t upper) {
  const FlowKey& key = packet.key;
  Ipv4Header ip{};
  ip.version_and_length = 0x45;
  ip.total_length = Be16::from_host(static_cast<std::uint16_t>(sizeof ip + upper));
  ip.fragment = Be16::from_host(packet.dont_fragment ? dataplane::kIpv4DontFragment : 0);
  ip.ttl = packet.ttl;
  ip.protocol = static_cast<std::uint8_t>(key.protocol);
  ip.source = key.source.v4_bits();
  ip.destination = key.destination.v4_bits();
  ip.checksum = ChecksumSum(std::as_bytes(std::span(&ip, 1))).checksum();
  append(frame, ip);
}

void append_ipv6(std::vector<std::byte>& frame, const TracePacket& packet, std::size_t upper) {
  const FlowKey& key = packet.key;
  append(frame,
         Ipv6Header{.version_class_flow = Be32::from_host(6U << 28),
                    .payload_length = Be16::from_host(static_cast<std::uint16_t>(upper)),
                    .next_header = static_cast<std::uint8_t>(key.protocol),
                    .hop_limit = packet.ttl,
                    .source = key.source.bytes,
                    .destination = key.destination.bytes});
}

}  // namespace

std::expected<TraceEndpoint, std::string> parse_endpoint(std::string_view text) {
  const std::string quoted = "'" + std::string(text) + "'";
  const bool bracketed = text.starts_with('[');
  const std::size_t end = bracketed ? text.find(']') : text.find(':');
  const std::size_t colon = bracketed && end != std::string_view::npos ? end + 1 : end;
  if (colon == std::string_view::npos || colon >= text.size() || text[colon] != ':') {
    return std::unexpected(quoted + " has no port: write 192.0.2.1:80 or [2001:db8::1]:80");
  }
  const std::string_view host = bracketed ? text.substr(1, end - 1) : text.substr(0, end);
  const auto address = Address::parse(host);
  if (!address || address->is_v4() == bracketed) {
    return std::unexpected(quoted + " has no address: write 192.0.2.1:80 or [2001:db8::1]:80");
  }
  const auto port = parse_port(text.substr(colon + 1));
  if (!port) {
    return std::unexpected(quoted + " has no port from 0 to 65535");
  }
  return TraceEndpoint{.address = *address, .port = *port};
}

std::string endpoint_text(const Address& address, std::uint16_t port) {
  const std::string host = address.is_v4() ? address.text() : "[" + address.text() + "]";
  return host + ":" + std::to_string(port);
}

std::optional<std::uint8_t> parse_tcp_flags(std::string_view text) {
  if (text == "none") {
    return 0;
  }
  std::uint8_t flags = 0;
  for (const auto part : std::views::split(text, ',')) {
    const auto* const flag =
        std::ranges::find(kTcpFlags, std::string_view(part.begin(), part.end()), &TcpFlag::name);
    if (flag == kTcpFlags.end()) {
      return std::nullopt;
    }
    flags |= flag->bit;
  }
  return text.empty() ? std::nullopt : std::optional(flags);
}

std::vector<std::byte> build_trace_frame(const TracePacket& packet,
                                         const dataplane::MacAddress& destination,
                                         const dataplane::MacAddress& source) {
  const FlowKey& key = packet.key;
  const bool v4 = key.source.is_v4();
  const std::size_t ip = v4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
  const std::size_t upper = std::max(packet.size, ip + upper_headers(key)) - ip;
  std::vector<std::byte> frame;
  append(frame,
         EthernetHeader{.destination = destination,
                        .source = source,
                        .type = v4 ? dataplane::kEtherIpv4 : dataplane::kEtherIpv6});
  if (v4) {
    append_ipv4(frame, packet, upper);
  } else {
    append_ipv6(frame, packet, upper);
  }
  const std::vector<std::byte> segment = build_upper(packet, upper);
  frame.insert(frame.end(), segment.begin(), segment.end());
  return frame;
}

}  // namespace holdfast::control
