// SPDX-License-Identifier: Apache-2.0
// See codec.h. What an operator's walk over the flows looks for.
#include "dataplane/api/codec.h"

#include <utility>

namespace holdfast::seam {
namespace {

constexpr std::uint32_t kMostPort = 65'535;

std::uint32_t known_states() {
  std::uint32_t states = 0;
  for (std::size_t i = 0; i < dataplane::kFlowStates; ++i) {
    states |= dataplane::is_flow(static_cast<dataplane::FlowState>(i)) ? 1U << i : 0U;
  }
  return states;
}

// Each takes its fields of a message; a text says what is wrong with them.
std::string take_source(const FlowFilter& message, dataplane::FlowFilter& filter) {
  if (message.source().empty()) {
    return message.source_bits() == 0 ? "" : "source has a length, but no address";
  }
  const auto address = address_from_wire(message.source());
  if (!address) {
    return "source: " + address.error();
  }
  const std::uint32_t least = address->is_v4() ? dataplane::kMappedBits : 0U;
  const std::uint32_t bits = message.source_bits();
  if (bits < least || bits > dataplane::kWholeAddress ||
      dataplane::masked(*address, bits) != *address) {
    return "source is no prefix";
  }
  filter.source = {.address = *address, .bits = static_cast<std::uint8_t>(bits)};
  return "";
}

std::string take_vip(const FlowFilter& message, dataplane::FlowFilter& filter) {
  if (message.vip().empty()) {
    return "";
  }
  const auto vip = address_from_wire(message.vip());
  if (!vip) {
    return "vip: " + vip.error();
  }
  filter.vip = *vip;
  return "";
}

std::string take_ports(const FlowFilter& message, dataplane::FlowFilter& filter) {
  if (message.first_port() == 0 && message.last_port() == 0) {
    return "";
  }
  if (message.first_port() > message.last_port() || message.last_port() > kMostPort) {
    return "ports are none, or their order is wrong";
  }
  filter.first_port = static_cast<std::uint16_t>(message.first_port());
  filter.last_port = static_cast<std::uint16_t>(message.last_port());
  return "";
}

std::string take_protocol(const FlowFilter& message, dataplane::FlowFilter& filter) {
  const std::uint32_t protocol = message.protocol();
  if (protocol == 0) {
    return "";
  }
  if (protocol != std::to_underlying(dataplane::Protocol::kTcp) &&
      protocol != std::to_underlying(dataplane::Protocol::kUdp)) {
    return "protocol is " + std::to_string(protocol) + ", not TCP's or UDP's";
  }
  filter.protocol = static_cast<dataplane::Protocol>(protocol);
  return "";
}

}  // namespace

FlowFilter to_wire(const dataplane::FlowFilter& filter) {
  FlowFilter message;
  if (filter.source) {
    message.set_source(to_wire(filter.source->address));
    message.set_source_bits(filter.source->bits);
  }
  if (filter.vip) {
    message.set_vip(to_wire(*filter.vip));
  }
  if (filter.first_port != 0 || filter.last_port != kMostPort) {
    message.set_first_port(filter.first_port);
    message.set_last_port(filter.last_port);
  }
  if (filter.protocol) {
    message.set_protocol(std::to_underlying(*filter.protocol));
  }
  message.set_states(filter.states);
  return message;
}

std::expected<dataplane::FlowFilter, std::string> from_wire(const FlowFilter& message) {
  dataplane::FlowFilter filter;
  for (const auto& take : {take_source, take_vip, take_ports, take_protocol}) {
    if (std::string fault = take(message, filter); !fault.empty()) {
      return std::unexpected(std::move(fault));
    }
  }
  if ((message.states() & ~known_states()) != 0) {
    return std::unexpected("a state is none of a flow");
  }
  filter.states = message.states();
  return filter;
}

}  // namespace holdfast::seam
