// SPDX-License-Identifier: Apache-2.0
// See generation_checks.h.
#include "dataplane/generation_checks.h"

#include "dataplane/registry.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string_view>

namespace holdfast::dataplane {
namespace {

constexpr std::size_t kMaxMembers = 10'000;
constexpr std::size_t kMaxBindings = 10'000;
constexpr std::uint32_t kMinSlots = 4093;
constexpr std::uint32_t kMaxSlots = 65537;
constexpr std::uint32_t kMaxVni = 0xffffff;

// The address after this one. Requires: not the family's last.
Address next_address(Address address) {
  for (std::size_t i = address.bytes.size(); i-- > 0;) {
    if (++address.bytes[i] != 0) {
      break;
    }
  }
  return address;
}

std::string defect_of_members(const ServiceSpec& service) {
  std::map<std::string_view, int> seen;
  std::map<std::string_view, int> keys;
  for (const MemberSpec& member : service.members) {
    if (member.backend.empty() || member.backend.size() >= kLabelBytes) {
      return "service " + service.name + ": a backend's name is empty or too long";
    }
    if (++seen[member.backend] > 1) {
      return "service " + service.name + ": backend " + member.backend + " stands twice";
    }
    if (++keys[member.maglev_key()] > 1 || member.slot_key.size() >= kLabelBytes) {
      return "service " + service.name + ": the slots of " + member.backend +
             " are another's too, or their key is too long";
    }
    if (member.mtu != 0 && member.mtu < least_mtu(member.address.is_v4())) {
      return "service " + service.name + ": the mtu of " + member.backend +
             " is less than its family needs";
    }
    if (member.disposition == Disposition::kHold) {
      return "service " + service.name + ": hold, for " + member.backend +
             ", is not available in this version";
    }
    if (service.mode != Mode::kNat && member.port != 0) {
      return "service " + service.name + ": " + std::string(mode_name(service.mode)) +
             " cannot change the port of " + member.backend;
    }
    if (service.tunnel.hops != 0 && !member.address.is_v4()) {
      return "service " + service.name + ": a hop list cannot name " + member.backend +
             ", which is IPv6";
    }
  }
  return {};
}

bool is_prefix_of_vips(const BindingSpec& binding) {
  const unsigned least = binding.vip.is_v4() ? kMappedBits + kLeastPrefix4 : kLeastPrefix6;
  return binding.prefix_bits >= least && binding.prefix_bits <= kWholeAddress &&
         masked(binding.vip, binding.prefix_bits) == binding.vip &&
         last_of(binding.vip, binding.prefix_bits).is_v4() == binding.vip.is_v4();
}

std::string defect_of_bindings(const ServiceSpec& service) {
  for (const BindingSpec& binding : service.bindings) {
    if (binding.protocol != Protocol::kTcp && binding.protocol != Protocol::kUdp) {
      return "service " + service.name + ": a binding is neither TCP nor UDP";
    }
    if (binding.first_port == 0 || binding.first_port > binding.last_port) {
      return "service " + service.name + ": a binding's ports are not a range";
    }
    if (!is_prefix_of_vips(binding)) {
      return "service " + service.name + ": " + binding.vip.text() +
             " with its length is no prefix of VIPs";
    }
  }
  return {};
}

std::string defect_of_service(const ServiceSpec& service) {
  if (service.name.empty() || service.name.size() >= kLabelBytes) {
    return "a service's name is empty or too long";
  }
  if (service.slots < kMinSlots || service.slots > kMaxSlots || !is_prime(service.slots)) {
    return "service " + service.name + ": slots must be a prime from 4093 to 65537";
  }
  if (service.members.size() * 10 > service.slots) {
    return "service " + service.name + ": fewer than 10 slots per member";
  }
  if (service.tunnel.hops > kMaxHops || service.tunnel.vni > kMaxVni) {
    return "service " + service.name + ": more than 4 hops, or a VNI past 24 bits";
  }
  const bool bounded = service.mss.most != 0;
  if (bounded && (service.mss.rule != MssSpec::Rule::kClamp || service.mss.most < kLeastMss ||
                  service.mss.most > kMostMss)) {
    return "service " + service.name + ": an MSS is clamped to 536 to 65495, or not at all";
  }
  if (std::string defect = defect_of_bindings(service); !defect.empty()) {
    return defect;
  }
  const AffinitySpec& affinity = service.affinity;
  if (affinity.seconds > kLongestTimeout || affinity.prefix_v4 == 0 || affinity.prefix_v4 > 32 ||
      affinity.prefix_v6 == 0 || affinity.prefix_v6 > 128) {
    return "service " + service.name + ": its affinity is too long, or its prefixes are none";
  }
  return defect_of_members(service);
}

std::string defect_of_pools(std::span<const PoolSpec> pools) {
  std::vector<Address> v4;
  std::vector<Address> v6;
  for (const PoolSpec& pool : pools) {
    if (pool.first.is_v4() != pool.last.is_v4() || pool.last < pool.first) {
      return "a NAT pool is not a range of one family";
    }
    if (!append_range(pool, pool.first.is_v4() ? v4 : v6)) {
      return "NAT pools of more than 65536 addresses";
    }
  }
  return {};
}

// A destination is a VIP's or a pool's: the owner rule tells the directions apart by it.
std::string defect_of_vips_in_pools(const GenerationSpec& spec) {
  struct Vips {
    Address last;
    Address first;
    std::string_view service;
  };
  std::vector<Vips> vips;
  for (const ServiceSpec& service : spec.services) {
    for (const BindingSpec& binding : service.bindings) {
      vips.push_back({.last = last_of(binding.vip, binding.prefix_bits),
                      .first = binding.vip,
                      .service = service.name});
    }
  }
  std::vector<PoolSpec> pools = spec.pools;
  std::ranges::sort(vips, {}, &Vips::last);
  std::ranges::sort(pools, {}, &PoolSpec::first);
  std::optional<Address> last;  // of the pools that begin at or before the last of the VIPs
  auto pool = pools.begin();
  for (const Vips& one : vips) {
    for (; pool != pools.end() && pool->first <= one.last; ++pool) {
      last = std::max(last, std::optional(pool->last));
    }
    if (last && one.first <= *last) {
      return "service " + std::string(one.service) + ": VIP " + one.first.text() +
             " is inside a NAT pool, or a pool inside it";
    }
  }
  return {};
}

// What is bound at one address or prefix, for one protocol.
struct Line {
  Address vip;
  std::uint8_t bits = 0;
  Protocol protocol = Protocol::kTcp;
  auto operator<=>(const Line&) const = default;
};
struct BoundPorts {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
  std::string_view service;
};
using Lines = std::map<Line, std::vector<BoundPorts>>;

std::string overlap_text(const BoundPorts& a, const BoundPorts& b, const Line& at) {
  return "services " + std::string(a.service) + " and " + std::string(b.service) + " overlap at " +
         prefix_text(at.vip, at.bits);
}

// Two of different lines that overlap. Requires: each is sorted and without overlaps in itself.
std::string defect_between(const std::vector<BoundPorts>& inner,
                           const std::vector<BoundPorts>& outer,
                           const Line& at) {
  auto a = inner.begin();
  auto b = outer.begin();
  while (a != inner.end() && b != outer.end()) {
    if (a->last < b->first) {
      ++a;
    } else if (b->last < a->first) {
      ++b;
    } else {
      return overlap_text(*a, *b, at);
    }
  }
  return {};
}

std::string defect_within(std::vector<BoundPorts>& ports, const Line& at) {
  std::ranges::sort(ports, {}, &BoundPorts::first);
  for (std::size_t i = 1; i < ports.size(); ++i) {
    if (ports[i].first <= ports[i - 1].last) {
      return overlap_text(ports[i - 1], ports[i], at);
    }
  }
  return {};
}

// Two bindings of one protocol whose addresses and ports overlap: of two prefixes, one holds the
// other or they have nothing in common.
std::string defect_of_overlap(const GenerationSpec& spec) {
  Lines lines;
  std::set<std::uint8_t> lengths;
  for (const ServiceSpec& service : spec.services) {
    for (const BindingSpec& binding : service.bindings) {
      lengths.insert(binding.prefix_bits);
      lines[{binding.vip, binding.prefix_bits, binding.protocol}].push_back(
          {.first = binding.first_port, .last = binding.last_port, .service = service.name});
    }
  }
  for (auto& [line, ports] : lines) {
    if (std::string defect = defect_within(ports, line); !defect.empty()) {
      return defect;
    }
  }
  for (const auto& [line, ports] : lines) {
    for (const std::uint8_t bits : lengths) {
      const auto outer = bits < line.bits
                             ? lines.find({masked(line.vip, bits), bits, line.protocol})
                             : lines.end();
      if (outer == lines.end()) {
        continue;
      }
      if (std::string defect = defect_between(ports, outer->second, line); !defect.empty()) {
        return defect;
      }
    }
  }
  return {};
}

}  // namespace

bool append_range(const PoolSpec& pool, std::vector<Address>& addresses) {
  for (Address at = pool.first;; at = next_address(at)) {
    if (addresses.size() == kMaxPoolAddresses) {
      return false;
    }
    addresses.push_back(at);
    if (at == pool.last) {
      return true;
    }
  }
}

bool is_prime(std::uint32_t number) {
  if (number < 2) {
    return false;
  }
  for (std::uint32_t divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) {
      return false;
    }
  }
  return true;
}

std::string defect_of(const GenerationSpec& spec) {
  std::size_t members = 0;
  std::size_t bindings = 0;
  std::map<std::string_view, int> names;
  for (const ServiceSpec& service : spec.services) {
    if (std::string defect = defect_of_service(service); !defect.empty()) {
      return defect;
    }
    if (++names[service.name] > 1) {
      return "service " + service.name + " stands twice";
    }
    members += service.members.size();
    // An affinity takes one more record of the registry.
    bindings += service.bindings.size() + (service.affinity.seconds != 0 ? 1U : 0U);
  }
  if (members > kMaxMembers || bindings > kMaxBindings) {
    return "more than 10000 members or bindings";
  }
  if (std::string defect = defect_of_pools(spec.pools); !defect.empty()) {
    return defect;
  }
  if (std::string defect = defect_of_vips_in_pools(spec); !defect.empty()) {
    return defect;
  }
  return defect_of_overlap(spec);
}

}  // namespace holdfast::dataplane
