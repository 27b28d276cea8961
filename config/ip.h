// SPDX-License-Identifier: Apache-2.0
// Addresses, ranges of them and ports as a configuration writes them. Strict: one text for one
// meaning, no names, no zones, no leading zeros. Pure.
#pragma once

#include "config/model.h"
#include "config/scalar.h"

#include <optional>
#include <string>
#include <string_view>

namespace holdfast::config {

// Reads "192.0.2.1" or "2001:db8::1"; nullopt for anything else.
std::optional<IpAddress> parse_ip(std::string_view text);

// An address that one host can have and routers know: not multicast, unspecified, reserved,
// IPv4-mapped or link-local. Loopback addresses pass; see is_loopback().
Read<IpAddress> read_unicast(const Node& node);
bool is_loopback(const IpAddress& address);
// An address as above that is not loopback, or "203.0.113.0/24": a prefix of such, /8 to /32 or
// /16 to /128.
Read<Vip> read_vip(const Node& node);
// The address with the bits after the first `length` cleared.
IpAddress network_of(const IpAddress& address, std::uint64_t length);

// "10.0.3.16-10.0.3.31", "10.0.3.16/28" or a single address, all of it unicast and not loopback.
Read<AddressRange> read_range(const Node& node);
// How many addresses are in a range; saturates.
std::uint64_t range_size(const AddressRange& range);

// "02:00:5e:20:00:01"; nullopt for anything else.
std::optional<MacAddress> parse_mac(std::string_view text);
// The same, of one station, not a group's.
Read<MacAddress> read_station(const Node& node);

// "tcp/80", "udp/5000-5010" or "tcp/any".
Read<ServicePort> read_service_port(const Node& node);
// "127.0.0.1:9180", "[::1]:9180" or "none".
Read<std::string> read_listen(const Node& node);
// Whether such a text listens beyond this machine.
bool listens_publicly(std::string_view listen);

std::string_view family_name(bool v6);
std::string_view protocol_name(Protocol protocol);
// "80", "5000-5010", or "any" for all from 1 on.
std::string port_range_text(std::uint16_t first, std::uint16_t last);

}  // namespace holdfast::config
