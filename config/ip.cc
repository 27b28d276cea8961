// SPDX-License-Identifier: Apache-2.0
// Reads addresses with inet_pton, which refuses leading zeros and short forms, and says what is
// wrong with the near misses. Ranges that no host can have are those of RFC 6890.
#include "config/ip.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include <arpa/inet.h>
#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr std::size_t kLongestAddress = INET6_ADDRSTRLEN;
// The shortest prefix of VIPs: more than that is no service's.
constexpr std::uint64_t kLeastVip4 = 8;
constexpr std::uint64_t kLeastVip6 = 16;
constexpr std::uint16_t kMostPort = 65535;

std::unexpected<Complaint> refuse_address(std::string message, std::string help = "") {
  return std::unexpected(Complaint{std::move(message), std::move(help)});
}

bool has_prefix(const IpAddress& address, std::initializer_list<std::uint8_t> prefix) {
  return std::equal(prefix.begin(), prefix.end(), address.bytes.begin());
}

// Why no host can have this address; "" when one can.
std::string_view not_unicast_v4(const IpAddress& address) {
  const std::uint8_t first = address.bytes[0];
  if (has_prefix(address, {255, 255, 255, 255})) {
    return "is the broadcast address";
  }
  if (first == 0) {
    return "is in 0.0.0.0/8: no host has it";
  }
  if (has_prefix(address, {169, 254})) {
    return "is a link-local address: no router passes on what comes from it";
  }
  if (first >= 224) {
    return first < 240 ? "is a multicast address" : "is in 240.0.0.0/4: reserved";
  }
  return "";
}

std::string_view not_unicast_v6(const IpAddress& address) {
  if (address.bytes[0] == 0xff) {
    return "is a multicast address";
  }
  if (address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0U) == 0x80) {
    return "is a link-local address: it means nothing without a port";
  }
  constexpr std::array<std::uint8_t, 10> kZeros{};
  if (!std::equal(kZeros.begin(), kZeros.end(), address.bytes.begin())) {
    return "";
  }
  if (address.bytes[10] == 0xff && address.bytes[11] == 0xff) {
    return "is an IPv4-mapped address: write the IPv4 address";
  }
  if (address == IpAddress{true, {}}) {
    return "is the unspecified address";
  }
  const bool compatible = address.bytes[10] == 0 && address.bytes[11] == 0;
  return compatible && !is_loopback(address) ? "is an IPv4-compatible address: deprecated" : "";
}

std::string_view not_unicast(const IpAddress& address) {
  return address.v6 ? not_unicast_v6(address) : not_unicast_v4(address);
}

// What is wrong with a text that is no address.
Complaint address_complaint(std::string_view text) {
  const std::string shown = quote(text);
  if (text.find('/') != std::string_view::npos) {
    return {shown + " has a prefix length: it must be a single address", ""};
  }
  if (text.find('%') != std::string_view::npos) {
    return {shown + " has a zone: it must be an address without one", ""};
  }
  const std::optional<IpAddress> host =
      parse_ip(text.substr(0, std::min(text.rfind(':'), text.size())));
  if (text.starts_with('[') || (host && !host->v6)) {
    return {shown + " is an address with a port", "write the port in a key of its own"};
  }
  if (!text.empty() && text.find_first_not_of("0123456789.") == std::string_view::npos) {
    return {shown + " is no IPv4 address", "four numbers 0 to 255 without leading zeros"};
  }
  if (text.find(':') == std::string_view::npos) {
    return {shown + " is no address", "names are not resolved: write an address"};
  }
  return {shown + " is no IPv6 address", ""};
}

Read<IpAddress> parse_unicast(std::string_view text) {
  const std::optional<IpAddress> address = parse_ip(text);
  if (!address) {
    return std::unexpected(address_complaint(text));
  }
  const std::string_view problem = not_unicast(*address);
  if (!problem.empty()) {
    return refuse_address(fmt::format("{} {}", address->text(), problem));
  }
  return *address;
}

Read<std::string> address_text(const Node& node, std::string_view wanted) {
  if (node.kind == Kind::kMap) {
    Complaint complaint = wrong_kind(node, wanted);
    complaint.help = "an IPv6 address needs quotes";
    return std::unexpected(std::move(complaint));
  }
  if (node.kind != Kind::kScalar) {
    return std::unexpected(wrong_kind(node, wanted));
  }
  return node.text;
}

// Sets the bits after the first `length` to `value`.
IpAddress fill_host_bits(IpAddress address, std::uint64_t length, bool value) {
  const std::size_t bits = address.v6 ? 128 : 32;
  for (std::size_t bit = length; bit < bits; ++bit) {
    const auto mask = static_cast<std::uint8_t>(0x80U >> (bit % 8));
    std::uint8_t& byte = address.bytes[bit / 8];
    byte = static_cast<std::uint8_t>(value ? byte | mask : byte & ~mask);
  }
  return address;
}

// The shortest prefixes that are taken.
struct ShortestPrefix {
  std::uint64_t v4 = 1;
  std::uint64_t v6 = 1;
};

Read<Vip> parse_prefix(std::string_view text, std::size_t slash, ShortestPrefix shortest) {
  const Read<IpAddress> address = parse_unicast(text.substr(0, slash));
  if (!address) {
    return std::unexpected(address.error());
  }
  const Read<std::uint64_t> length = parse_decimal(text.substr(slash + 1));
  const std::uint64_t least = address->v6 ? shortest.v6 : shortest.v4;
  const std::uint64_t most = address->v6 ? 128 : 32;
  if (!length || *length < least || *length > most) {
    return refuse_address(fmt::format("{} has no valid prefix length", quote(text)),
                          fmt::format("{} to {}", least, most));
  }
  const IpAddress network = network_of(*address, *length);
  if (network != *address) {
    return refuse_address(fmt::format("{} has host bits set", quote(text)),
                          fmt::format("write '{}/{}'", network.text(), *length));
  }
  return Vip{network, static_cast<std::uint8_t>(*length)};
}

// Why not all hosts of a range can have their addresses; "" when they can.
std::string problem_of_ends(const IpAddress& first, const IpAddress& last) {
  for (const IpAddress& end : {first, last}) {
    const std::string_view problem = is_loopback(end) ? "is a loopback address" : not_unicast(end);
    if (!problem.empty()) {
      return fmt::format("{} {}", end.text(), problem);
    }
  }
  return "";
}

Read<AddressRange> parse_range(std::string_view text) {
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    const Read<Vip> prefix = parse_prefix(text, slash, {});
    if (!prefix) {
      return std::unexpected(prefix.error());
    }
    return AddressRange{prefix->address, prefix->last()};
  }
  const std::size_t dash = text.find('-');
  const Read<IpAddress> first = parse_unicast(text.substr(0, dash));
  if (!first) {
    return std::unexpected(first.error());
  }
  const Read<IpAddress> last =
      dash == std::string_view::npos ? first : parse_unicast(text.substr(dash + 1));
  if (!last) {
    return std::unexpected(last.error());
  }
  if (first->v6 != last->v6) {
    return refuse_address(fmt::format("{} mixes IPv4 and IPv6", quote(text)));
  }
  if (*last < *first) {
    return refuse_address(fmt::format("{} ends before it starts", quote(text)),
                          fmt::format("write '{}-{}'", last->text(), first->text()));
  }
  return AddressRange{*first, *last};
}

Read<std::uint16_t> parse_port(std::string_view text, std::uint64_t least) {
  const Read<std::uint64_t> number = parse_decimal(text);
  if (!number) {
    return std::unexpected(number.error());
  }
  if (*number < least || *number > 65535) {
    return std::unexpected(out_of_range(quote(text), fmt::to_string(least), "65535"));
  }
  return static_cast<std::uint16_t>(*number);
}

std::optional<Protocol> parse_protocol(std::string_view text) {
  if (text == "tcp") {
    return Protocol::kTcp;
  }
  return text == "udp" ? std::optional(Protocol::kUdp) : std::nullopt;
}

// For "80", "80/tcp", "TCP/80", "sctp/80".
Complaint service_port_complaint(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view left = text.substr(0, slash);
  const bool bare = slash == std::string_view::npos && !left.empty() &&
                    leading_digits(left).size() == left.size();
  if (bare) {
    return {fmt::format("{} has no protocol: write 'tcp/{}' or 'udp/{}'", quote(text), left, left),
            ""};
  }
  if (slash != std::string_view::npos && parse_protocol(text.substr(slash + 1))) {
    return {fmt::format("{} is the wrong way round: write '{}/{}'",
                        quote(text),
                        text.substr(slash + 1),
                        quote(left).substr(1, quote(left).size() - 2)),
            ""};
  }
  return {fmt::format("{} is no port: write 'tcp/80', 'udp/5000-5010' or 'tcp/any'", quote(text)),
          ""};
}

}  // namespace

std::string IpAddress::text() const {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  inet_ntop(v6 ? AF_INET6 : AF_INET, bytes.data(), buffer.data(), buffer.size());
  return buffer.data();
}

IpAddress Vip::last() const { return fill_host_bits(address, length, true); }

bool Vip::holds(const IpAddress& other) const {
  return other.v6 == address.v6 && network_of(other, length) == address;
}

std::string Vip::text() const {
  return is_single() ? address.text() : fmt::format("{}/{}", address.text(), length);
}

std::optional<IpAddress> parse_ip(std::string_view text) {
  if (text.size() > kLongestAddress || text.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  const std::string terminated(text);
  IpAddress address;
  address.v6 = text.find(':') != std::string_view::npos;
  const int family = address.v6 ? AF_INET6 : AF_INET;
  if (inet_pton(family, terminated.c_str(), address.bytes.data()) != 1) {
    return std::nullopt;
  }
  return address;
}

bool is_loopback(const IpAddress& address) {
  IpAddress loopback{true, {}};
  loopback.bytes[15] = 1;
  return address.v6 ? address == loopback : address.bytes[0] == 127;
}

Read<IpAddress> read_unicast(const Node& node) {
  const Read<std::string> text = address_text(node, "an address");
  return text ? parse_unicast(*text) : std::unexpected(text.error());
}

Read<Vip> read_vip(const Node& node) {
  const Read<std::string> text = address_text(node, "an address or a prefix");
  if (!text) {
    return std::unexpected(text.error());
  }
  const std::size_t slash = text->find('/');
  if (slash == std::string::npos) {
    const Read<IpAddress> address = parse_unicast(*text);
    if (!address) {
      return std::unexpected(address.error());
    }
    if (is_loopback(*address)) {
      return refuse_address(address->text() + " is a loopback address");
    }
    return Vip{*address, static_cast<std::uint8_t>(address->v6 ? 128 : 32)};
  }
  const Read<Vip> vip = parse_prefix(*text, slash, {.v4 = kLeastVip4, .v6 = kLeastVip6});
  if (!vip) {
    return vip;
  }
  if (const std::string problem = problem_of_ends(vip->address, vip->last()); !problem.empty()) {
    return refuse_address(fmt::format("{}: {}", quote(*text), problem));
  }
  return vip;
}

IpAddress network_of(const IpAddress& address, std::uint64_t length) {
  return fill_host_bits(address, length, false);
}

std::optional<MacAddress> parse_mac(std::string_view text) {
  constexpr std::size_t kLength = 17;
  if (text.size() != kLength) {
    return std::nullopt;
  }
  MacAddress mac{};
  for (std::size_t i = 0; i < mac.size(); ++i) {
    const char* const from = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(from, from + 2, mac[i], 16);
    if (error != std::errc{} || end != from + 2 || (i > 0 && from[-1] != ':')) {
      return std::nullopt;
    }
  }
  return mac;
}

Read<MacAddress> read_station(const Node& node) {
  const Read<std::string> text = read_text(node);
  if (!text) {
    return std::unexpected(text.error());
  }
  const std::optional<MacAddress> mac = parse_mac(*text);
  if (!mac) {
    return refuse_address(quote(*text) + " is no MAC address", "write \"02:00:5e:10:00:01\"");
  }
  if ((mac->front() & 1) != 0 || *mac == MacAddress{}) {
    return refuse_address(quote(*text) + " is no station's MAC address", "");
  }
  return *mac;
}

Read<AddressRange> read_range(const Node& node) {
  const Read<std::string> text = address_text(node, "a range of addresses, as 'a-b' or 'a/28'");
  if (!text) {
    return std::unexpected(text.error());
  }
  const Read<AddressRange> range = parse_range(*text);
  if (!range) {
    return range;
  }
  if (const std::string problem = problem_of_ends(range->first, range->last); !problem.empty()) {
    return refuse_address(fmt::format("{}: {}", quote(*text), problem));
  }
  return range;
}

std::uint64_t range_size(const AddressRange& range) {
  const std::size_t bytes = range.first.v6 ? 16 : 4;
  std::uint64_t size = 0;
  for (std::size_t i = 0; i < bytes; ++i) {
    if (size > (std::uint64_t{1} << 40U)) {
      return std::uint64_t{1} << 48U;
    }
    // A byte may borrow from the one before, which then was ahead by one.
    size = size * 256 + range.last.bytes[i] - range.first.bytes[i];
  }
  return size + 1;
}

Read<ServicePort> read_service_port(const Node& node) {
  const Read<std::string_view> text = scalar_text(node, "a port, as 'tcp/80'");
  if (!text) {
    return std::unexpected(text.error());
  }
  const std::size_t slash = text->find('/');
  const std::optional<Protocol> protocol = parse_protocol(text->substr(0, slash));
  if (slash == std::string_view::npos || !protocol) {
    return std::unexpected(service_port_complaint(*text));
  }
  const std::string_view ports = text->substr(slash + 1);
  if (ports == "any") {
    return ServicePort{*protocol, 1, kMostPort, {}};
  }
  const std::size_t dash = ports.find('-');
  if (ports.empty() || ports.starts_with('-') || ports.ends_with('-')) {
    return std::unexpected(service_port_complaint(*text));
  }
  const Read<std::uint16_t> first = parse_port(ports.substr(0, dash), 1);
  const Read<std::uint16_t> last =
      dash == std::string_view::npos ? first : parse_port(ports.substr(dash + 1), 1);
  if (!first || !last) {
    return refuse_address(
        fmt::format("{}: port {}", quote(*text), (first ? last : first).error().message));
  }
  if (*last < *first) {
    return refuse_address(fmt::format("{} ends before it starts", quote(*text)));
  }
  return ServicePort{*protocol, *first, *last, {}};
}

Read<std::string> read_listen(const Node& node) {
  Read<std::string> text = read_text(node);
  if (!text || *text == "none") {
    return text;
  }
  const std::size_t colon = text->rfind(':');
  const std::string_view host = std::string_view(*text).substr(0, colon);
  const bool brackets = host.starts_with('[') && host.ends_with(']');
  const std::optional<IpAddress> address =
      parse_ip(brackets ? host.substr(1, host.size() - 2) : host);
  if (colon == std::string::npos || !address || address->v6 != brackets) {
    return refuse_address(
        fmt::format("{} is not an address and a port: write '127.0.0.1:9180', "
                    "'[::1]:9180' or none",
                    quote(*text)));
  }
  const Read<std::uint16_t> port = parse_port(std::string_view(*text).substr(colon + 1), 0);
  if (!port) {
    return refuse_address(fmt::format("{}: port {}", quote(*text), port.error().message));
  }
  return text;
}

bool listens_publicly(std::string_view listen) {
  std::string_view host = listen.substr(0, listen.rfind(':'));
  if (host.starts_with('[')) {
    host = host.substr(1, host.size() - 2);
  }
  const std::optional<IpAddress> address = parse_ip(host);
  return address && !is_loopback(*address);
}

std::string_view family_name(bool v6) { return v6 ? "IPv6" : "IPv4"; }

std::string_view protocol_name(Protocol protocol) {
  return protocol == Protocol::kTcp ? "tcp" : "udp";
}

std::string port_range_text(std::uint16_t first, std::uint16_t last) {
  if (first == 1 && last == kMostPort) {
    return "any";
  }
  return first == last ? fmt::to_string(first) : fmt::format("{}-{}", first, last);
}

}  // namespace holdfast::config
