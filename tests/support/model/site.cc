// SPDX-License-Identifier: Apache-2.0
// Numbers to configurations.
#include "tests/support/model/site.h"

#include "tests/support/appliance.h"

namespace holdfast::testing {
namespace {

using dataplane::BindingSpec;
using dataplane::Disposition;
using dataplane::GenerationSpec;
using dataplane::HashFields;
using dataplane::MemberSpec;
using dataplane::Mode;
using dataplane::Neighbor;
using dataplane::Route;
using dataplane::ServiceSpec;
using dataplane::TimeoutSpec;

constexpr Address kOtherVip = v4(203, 0, 113, 11);
constexpr Address kOtherVip6 = v6(2, 11);
constexpr Address kRouter = v4(192, 0, 2, 1);
constexpr Address kRouter6 = v6(1, 1);

// Around the single VIPs, for other ports; on its own for any TCP port; and one within the other.
std::vector<BindingSpec> prefix_bindings() {
  const auto of =
      [](std::uint8_t host, std::uint8_t host_bits, Protocol protocol, int first, int last) {
        const auto make = [&](const Address& vip) {
          return BindingSpec{.vip = vip,
                             .protocol = protocol,
                             .first_port = static_cast<std::uint16_t>(first),
                             .last_port = static_cast<std::uint16_t>(last),
                             .prefix_bits = static_cast<std::uint8_t>(128 - host_bits)};
        };
        return std::array{make(v4(203, 0, 113, host)), make(v6(2, host))};
      };
  std::vector<BindingSpec> all;
  for (const auto& both : {of(0, 4, Protocol::kTcp, 1000, 2000),
                           of(32, 5, Protocol::kTcp, 1, 65535),
                           of(32, 5, Protocol::kUdp, 1, 6999),
                           of(40, 3, Protocol::kUdp, 7000, 7001)}) {
    all.insert(all.end(), both.begin(), both.end());
  }
  return all;
}

std::vector<BindingSpec> all_bindings(std::size_t service) {
  const auto of = [](Address vip, Protocol protocol, std::uint16_t first, std::uint16_t last) {
    return BindingSpec{.vip = vip, .protocol = protocol, .first_port = first, .last_port = last};
  };
  switch (service) {
    case 0:
      return {of(kVip.address, Protocol::kTcp, 80, 80), of(kVip6.address, Protocol::kTcp, 80, 80)};
    case 1:
      return {of(kVip.address, Protocol::kUdp, 53, 53), of(kVip6.address, Protocol::kUdp, 53, 53)};
    case 2:
      return {of(kVip.address, Protocol::kTcp, 443, 443),
              of(kVip6.address, Protocol::kTcp, 443, 443)};
    case 4:
      return prefix_bindings();
    default:
      return {of(kOtherVip, Protocol::kTcp, 8000, 8003),
              of(kOtherVip6, Protocol::kTcp, 8000, 8003),
              of(kOtherVip, Protocol::kUdp, 8000, 8003),
              of(kOtherVip6, Protocol::kUdp, 8000, 8003)};
  }
}

MemberSpec member_spec(const SiteService& service, std::size_t index) {
  static constexpr std::array<std::uint32_t, 5> kWeights = {100, 0, 1, 50, 250};
  static constexpr std::array<std::uint16_t, 3> kPorts = {0, 8080, 9090};
  static constexpr std::array<std::uint16_t, 4> kMtus4 = {0, 1400, 576, 900};
  static constexpr std::array<std::uint16_t, 4> kMtus6 = {0, 1400, 1280, 9000};
  const SiteMember& member = service.members.at(index);
  const auto mode = static_cast<Mode>(service.mode);
  const auto host = static_cast<std::uint8_t>(11 + index + 20 * member.moved);
  return {.backend = backend_name(index),
          .address = index < 3 ? v4(10, 0, 3, host) : v6(3, host),
          .port = mode == Mode::kNat ? kPorts.at(member.port) : std::uint16_t{0},
          .weight = kWeights.at(member.weight),
          .tier = member.tier,
          .inner_mac = mode == Mode::kVxlan ? MacAddress{2, 0, 0, 0, 9, host} : MacAddress{},
          .mtu = index < 3 ? kMtus4.at(member.mtu) : kMtus6.at(member.mtu),
          .disposition = static_cast<Disposition>(member.disposition),
          .slot_key = service.places == 0 ? "" : backend_name(index + service.places)};
}

TimeoutSpec timeout_spec(std::uint8_t variant) {
  switch (variant) {
    case 1:
      return {.half_open = 2, .established = 20, .closing = 4, .udp = 8};
    case 2:
      return {.half_open = 60, .established = 3600, .closing = 120, .udp = 30};
    default:
      return {};
  }
}

dataplane::MssSpec mss_spec(std::uint8_t variant) {
  using Rule = dataplane::MssSpec::Rule;
  static constexpr std::array<dataplane::MssSpec, 6> kRules = {
      {{.rule = Rule::kAuto, .most = 0},
       {.rule = Rule::kKeep, .most = 0},
       {.rule = Rule::kClamp, .most = 0},
       {.rule = Rule::kClamp, .most = 536},
       {.rule = Rule::kClamp, .most = 900},
       {.rule = Rule::kClamp, .most = 1300}}};
  return kRules.at(variant);
}

dataplane::AffinitySpec affinity_spec(std::uint8_t variant) {
  switch (variant) {
    case 1:
      return {.seconds = 20, .prefix_v4 = 24, .prefix_v6 = 64};
    case 2:
      return {.seconds = 600, .prefix_v4 = 32, .prefix_v6 = 128};
    case 3:
      return {.seconds = 3, .prefix_v4 = 29, .prefix_v6 = 126};
    default:
      return {};
  }
}

dataplane::TunnelSpec tunnel_spec(const SiteService& service) {
  const auto mode = static_cast<Mode>(service.mode);
  dataplane::TunnelSpec spec;
  if (!is_tunnel(mode)) {
    return spec;
  }
  if (service.tunnel == 1) {
    spec.source_v4 = v4(192, 0, 2, 5);
    spec.source_v6 = v6(9, 5);
  }
  if (mode == Mode::kVxlan) {
    spec.vni = 0x123456;
    spec.inner_source = {2, 0, 0, 0, 9, 0};
  }
  if (service.tunnel == 2 && (mode == Mode::kGue || mode == Mode::kVxlan)) {
    spec.port = 7000;
  }
  if (service.tunnel >= 3 && mode == Mode::kGue) {
    spec.hops = service.tunnel == 3 ? 1 : 4;
  }
  return spec;
}

ServiceSpec service_spec(const SiteService& service, std::size_t index) {
  ServiceSpec spec{.name = service_name(index),
                   .mode = static_cast<Mode>(service.mode),
                   .slots = service.slots == 0 ? 4093U : 4099U,
                   .hash = static_cast<HashFields>(service.hash),
                   .timeouts = timeout_spec(service.timeouts),
                   .tunnel = tunnel_spec(service),
                   .mss = mss_spec(service.mss),
                   .affinity = affinity_spec(service.affinity),
                   .bindings = {},
                   .members = {}};
  const std::vector<BindingSpec> bindings = all_bindings(index);
  for (std::size_t i = 0; i < bindings.size(); ++i) {
    if ((service.bindings >> i % 4 & 1) == 0) {
      spec.bindings.push_back(bindings[i]);
    }
  }
  for (std::size_t i = 0; i < kSiteMembers; ++i) {
    const MemberSpec member = member_spec(service, i);
    // A hop list cannot name IPv6.
    if (service.members.at(i).absent == 0 && (spec.tunnel.hops == 0 || member.address.is_v4())) {
      spec.members.push_back(member);
    }
  }
  return spec;
}

void change_member(SiteMember& member, Part part, std::uint8_t value) {
  switch (part) {
    case Part::kWeight:
      member.weight = value % 5;
      break;
    case Part::kTier:
      member.tier = value % 2;
      break;
    case Part::kPresence:
      member.absent = value % 2;
      break;
    case Part::kMoved:
      member.moved = value % 2;
      break;
    case Part::kPort:
      member.port = value % 3;
      break;
    case Part::kDisposition:
      member.disposition = std::to_underlying(any_disposition(value));
      break;
    case Part::kMtu:
      member.mtu = value % 4;
      break;
    default:
      break;
  }
}

bool is_set(std::uint32_t variant, unsigned bit) { return (variant >> bit & 1) != 0; }

std::vector<Route> site_routes(std::uint32_t variant) {
  std::vector<Route> routes = {
      {.prefix = v4(192, 0, 2, 0), .length = 24, .gateway = {}, .port = kWan},
      {.prefix = v4(203, 0, 113, 0), .length = 24, .gateway = {}, .port = kWan},
      {.prefix = v6(2, 0), .length = 64, .gateway = {}, .port = kWan},
      {.prefix = v4(10, 0, 3, 0), .length = 24, .gateway = {}, .port = kLan},
      {.prefix = v6(1, 0), .length = 64, .gateway = kRouter6, .port = kWan},
      {.prefix = v6(3, 0), .length = 64, .gateway = {}, .port = kLan}};
  if (!is_set(variant, 2)) {
    routes.push_back({.prefix = v4(0, 0, 0, 0), .length = 0, .gateway = kRouter, .port = kWan});
  }
  if (is_set(variant, 3)) {  // a cheaper way to half of the backends, by a gateway
    routes.push_back(
        {.prefix = v4(10, 0, 3, 12), .length = 31, .gateway = v4(10, 0, 3, 99), .port = kLan});
  }
  if (is_set(variant, 4)) {
    routes.push_back({.prefix = v4(10, 0, 3, 11), .length = 32, .gateway = {}, .refuses = true});
  }
  if (is_set(variant, 5)) {  // to the clients: the cheapest stands between dearer ones
    const Address clients = v4(198, 51, 100, 0);
    routes.push_back({.prefix = clients, .length = 24, .metric = 7, .refuses = true});
    routes.push_back(
        {.prefix = clients, .length = 24, .gateway = kRouter, .port = kWan, .metric = 5});
    routes.push_back({.prefix = clients, .length = 24, .gateway = {}, .port = kLan, .metric = 9});
  }
  return routes;
}

std::vector<Neighbor> site_neighbors(std::uint32_t variant) {
  std::vector<Neighbor> neighbors = {
      {.address = kRouter, .mac = kRouterMac, .port = kWan},
      {.address = kRouter6, .mac = kRouterMac, .port = kWan},
      {.address = v4(10, 0, 3, 99), .mac = {2, 0, 0, 0, 9, 9}, .port = kLan},
      {.address = v4(192, 0, 2, 50), .mac = {2, 0, 0, 0, 5, 0}, .port = kWan}};
  for (std::uint8_t host = 11; host < 40; ++host) {
    const std::uint8_t last = is_set(variant, 6) ? static_cast<std::uint8_t>(host + 100) : host;
    if (!is_set(variant, 7) || host != 12) {
      neighbors.push_back(
          {.address = v4(10, 0, 3, host), .mac = {2, 0, 0, 0, 1, last}, .port = kLan});
    }
    if (!is_set(variant, 8) || host % 2 == 0) {
      neighbors.push_back({.address = v6(3, host), .mac = {2, 0, 0, 0, 2, last}, .port = kLan});
    }
  }
  return neighbors;
}

}  // namespace

void Site::change(Part part, std::size_t service, std::size_t member, std::uint8_t value) {
  ++number;
  SiteService& one = services.at(service % kSiteServices);
  switch (part) {
    case Part::kHash:
      one.hash = value % 4;
      break;
    case Part::kMode:
      one.mode = value % kSiteModes;
      break;
    case Part::kTunnel:
      one.tunnel = value % 5;
      break;
    case Part::kMss:
      one.mss = value % kSiteMssRules;
      break;
    case Part::kSlots:
      one.slots = value % 2;
      break;
    case Part::kTimeouts:
      one.timeouts = value % 3;
      break;
    case Part::kAffinity:
      one.affinity = value % kSiteAffinities;
      break;
    case Part::kBindings:
      one.bindings = value % 16;
      break;
    case Part::kPlaces:
      one.places = value % kSiteMembers;
      break;
    case Part::kService:
      one.absent = value % 2;
      break;
    case Part::kPools:
      pools = value % 4;
      break;
    default:
      change_member(one.members.at(member % kSiteMembers), part, value);
  }
}

GenerationSpec Site::specification() const {
  GenerationSpec spec{.number = number, .services = {}, .pools = {}};
  for (std::size_t i = 0; i < kSiteServices; ++i) {
    if (services.at(i).absent == 0) {
      spec.services.push_back(service_spec(services.at(i), i));
    }
  }
  // 1: no IPv6 pool. 2: another IPv4 pool. 3: smaller ones.
  if (pools != 1) {
    spec.pools.push_back({.first = v6(3, 16), .last = v6(3, pools == 3 ? 16 : 19)});
  }
  const std::uint8_t first = pools == 2 ? 24 : 16;
  spec.pools.push_back(
      {.first = v4(10, 0, 3, first), .last = v4(10, 0, 3, pools == 3 ? first : first + 3)});
  return spec;
}

std::string service_name(std::size_t service) {
  static const std::array<std::string, kSiteServices> names = {
      "web", "dns", "mapped", "range", "prefix"};
  return names.at(service % kSiteServices);
}

std::string backend_name(std::size_t member) {
  static const std::array<std::string, kSiteMembers> names = {
      "1", "2", "a backend of a longer name", "1v6", "2v6"};
  return names.at(member % kSiteMembers);
}

Surroundings site_surroundings(std::uint32_t variant, std::uint32_t vlans) {
  using dataplane::VlanTags;
  static constexpr std::array<VlanTags, 3> kWanTags = {
      VlanTags{}, VlanTags{0, 100}, VlanTags{200, 100}};
  static constexpr std::array<VlanTags, 3> kLanTags = {
      VlanTags{}, VlanTags{0, 4094}, VlanTags{100, 100}};
  // Below 576 a SYN without an MSS announces too much.
  const auto mtu = [&](unsigned bit) {
    return static_cast<std::uint16_t>(is_set(variant, bit) ? 520 + 80 * bit : 1500);
  };
  return {.links = {{.port = kWan,
                     .name = "wan0",
                     .mac = kOurMac,
                     .mtu = mtu(0),
                     .tags = kWanTags.at(vlans % 3)},
                    {.port = kLan,
                     .name = "lan0",
                     .mac = kLanMac,
                     .mtu = mtu(1),
                     .tags = kLanTags.at(vlans / 3 % 3)}},
          .routes = site_routes(variant),
          .neighbors = site_neighbors(variant),
          .standby = is_set(variant, 9)};
}

}  // namespace holdfast::testing
