// SPDX-License-Identifier: Apache-2.0
#include "control/cli/offline.h"

#include "config/diagnostic.h"
#include "config/ip.h"
#include "config/load.h"
#include "control/cli/verb.h"
#include "control/publish/build.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>

namespace holdfast::control {
namespace {

using dataplane::Address;
using dataplane::GenerationSpec;
using dataplane::Link;
using dataplane::MacAddress;
using dataplane::Neighborhood;
using dataplane::PortIndex;

constexpr std::uint16_t kLargestMtu = 65'535;

struct Key {
  HashKey value = kFixedKey;
  KeyOrigin origin = KeyOrigin::kFixed;
};

std::optional<Key> find_key(const config::Dataplane& dataplane, Context& context) {
  const bool configured = !dataplane.hash_key_file.empty();
  std::error_code ignored;
  std::string why = "no hash key here";
  // load_hash_key() would make a key where there is none.
  if (configured || std::filesystem::exists(hash_key_path(dataplane), ignored)) {
    const auto loaded = load_hash_key(dataplane);
    if (loaded) {
      return Key{.value = *loaded,
                 .origin = configured ? KeyOrigin::kConfigured : KeyOrigin::kNode};
    }
    why = loaded.error();
    if (configured) {
      context.fail(kExitInvalidConfiguration, why);
      return std::nullopt;
    }
  }
  context.error << "holdfast: note: " << why
                << ", so a fixed one is used: other nodes choose other backends\n";
  return Key{};
}

// Sets the member's disposition; false when there is no such member.
bool take_down(GenerationSpec& spec, std::string_view object) {
  const std::size_t slash = object.find('/');
  if (slash == std::string_view::npos) {
    return false;
  }
  for (dataplane::ServiceSpec& service : spec.services) {
    if (service.name != object.substr(0, slash)) {
      continue;
    }
    for (dataplane::MemberSpec& member : service.members) {
      if (member.backend == object.substr(slash + 1)) {
        member.disposition = Disposition::kAvoid;
        return true;
      }
    }
  }
  return false;
}

std::optional<GenerationSpec> specify(const config::Config& config,
                                      const OfflineOptions& options,
                                      Context& context) {
  GenerationSpec spec = build_generation(config, all_up(config), 1);
  for (const std::string& object : options.down) {
    if (!take_down(spec, object)) {
      context.fail(kExitUsage,
                   "--down " + object + ": no such SERVICE/BACKEND in " + options.config);
      return std::nullopt;
    }
  }
  return spec;
}

std::optional<PortIndex> find_port(const config::Config& config,
                                   const std::string& name,
                                   Context& context) {
  if (name.empty()) {
    return PortIndex{0};
  }
  const auto found = std::ranges::find(config.ports, name, &config::Port::name);
  if (found == config.ports.end()) {
    context.fail(kExitUsage, "--port " + name + ": no such port in the configuration");
    return std::nullopt;
  }
  return static_cast<PortIndex>(found - config.ports.begin());
}

bool has_interfaces_mtu(config::PortDevice device) {
  return device == config::PortDevice::kAfPacket || device == config::PortDevice::kAfXdp;
}

std::vector<Link> build_links(const config::Config& config) {
  std::vector<Link> links;
  for (const config::Port& port : config.ports) {
    links.push_back({.port = static_cast<PortIndex>(links.size()),
                     .name = port.name,
                     .interface_index = 0,
                     .mac = kOurMac,
                     .mtu = has_interfaces_mtu(port.device) ? kLargestMtu : port.mtu,
                     .up = true,
                     .tags = vlan_tags(port.vlan)});
  }
  return links;
}

// A default route by the entry port and one route per backend by the other port, all by one gateway
// that is a neighbour on both. A second default route, never taken, makes every address on-link at
// the entry port: so what a capture asks by ARP or neighbour discovery is answered.
Neighborhood build_neighborhood(const config::Config& config,
                                const GenerationSpec& spec,
                                PortIndex entry,
                                const MacAddress& next_hop) {
  const Address gateway = Address::v4(dataplane::Be32::from_host(0xfffffffe));
  const bool alone = config.ports.size() == 1;
  const PortIndex inner = alone ? entry : (entry == 0 ? PortIndex{1} : PortIndex{0});
  std::vector<dataplane::Route> routes = {
      {.prefix = Address::v4({}), .length = 0, .gateway = gateway, .port = entry},
      {.prefix = Address{}, .length = 0, .gateway = gateway, .port = entry},
      {.prefix = Address::v4({}), .length = 0, .gateway = {}, .port = entry, .metric = 1},
      {.prefix = Address{}, .length = 0, .gateway = {}, .port = entry, .metric = 1}};
  for (const dataplane::ServiceSpec& service : spec.services) {
    for (const dataplane::MemberSpec& member : service.members) {
      const std::uint8_t bits = member.address.is_v4() ? 32 : 128;
      routes.push_back(
          {.prefix = member.address, .length = bits, .gateway = gateway, .port = inner});
    }
  }
  const std::array<dataplane::Neighbor, 2> neighbors = {
      dataplane::Neighbor{.address = gateway, .mac = next_hop, .port = entry},
      dataplane::Neighbor{.address = gateway, .mac = next_hop, .port = inner}};
  return {build_links(config), routes, neighbors};
}

}  // namespace

void add_offline(Verb& verb, OfflineOptions& options) {
  verb.required({"--config", "FILE", "configuration"}, options.config)
      .repeatable(
          {"--down", "SERVICE/BACKEND", "a backend that takes no new flows; may be repeated"},
          options.down);
}

std::optional<Offline> set_up_offline(const OfflineOptions& options, Context& context) {
  const auto config = config::load_config(options.config);
  if (!config) {
    context.error << config::render(config.error());
    context.exit_code = kExitInvalidConfiguration;
    return std::nullopt;
  }
  const auto entry = find_port(*config, options.port, context);
  auto spec = entry ? specify(*config, options, context) : std::nullopt;
  const auto key = spec ? find_key(config->dataplane, context) : std::nullopt;
  if (!key) {
    return std::nullopt;
  }
  auto solo = dataplane::Solo::create(
      *spec,
      build_neighborhood(*config, *spec, *entry, options.next_hop),
      {.key = key->value, .flows = options.flows, .check_macs = options.match_mac});
  if (!solo) {
    context.fail(kExitInvalidConfiguration, options.config + ": " + solo.error());
    return std::nullopt;
  }
  return Offline{
      .solo = std::move(*solo), .spec = std::move(*spec), .entry = *entry, .key = key->origin};
}

std::optional<MacAddress> parse_mac(std::string_view text) { return config::parse_mac(text); }

std::string mac_text(const MacAddress& mac) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : mac) {
    text.append(text.empty() ? "" : ":");
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 0xf]);
  }
  return text;
}

std::string_view key_origin_name(KeyOrigin origin) {
  switch (origin) {
    case KeyOrigin::kConfigured:
      return "configured";
    case KeyOrigin::kNode:
      return "node";
    case KeyOrigin::kFixed:
      break;
  }
  return "fixed";
}

}  // namespace holdfast::control
