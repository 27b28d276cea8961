// SPDX-License-Identifier: Apache-2.0
// Rules within one service: repeated elements, families of addresses, ports, slots and weights.
#include "config/ip.h"
#include "config/rules.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr std::uint64_t kLeastSlotsPerMember = 10;
constexpr std::uint64_t kEvenSlotsPerMember =
    100;  // within 1 % of the weights (Maglev paper, §5.3)

void check_vips(const ServiceDraft& draft, Journal& journal) {
  std::map<Vip, Span> first;
  for (std::size_t i = 0; i < draft.vips.size(); ++i) {
    const Vip& vip = draft.service.vips[i];
    const auto [found, is_new] = first.emplace(vip, draft.vips[i]);
    if (!is_new) {
      journal.error(
          draft.vips[i],
          fmt::format(
              "repeated VIP {} (first at {})", vip.text(), journal.place(found->second).text()));
    }
  }
  // All of a service's ports are bound to each of its VIPs, so one within another is repeated too.
  for (const auto& [vip, where] : first) {
    for (std::uint8_t length = 1; length < vip.length; ++length) {
      const auto outer = first.find({network_of(vip.address, length), length});
      if (outer != first.end()) {
        journal.error(where,
                      fmt::format("repeated VIP {}: it is in {} (at {})",
                                  vip.text(),
                                  outer->first.text(),
                                  journal.place(outer->second).text()));
      }
    }
  }
}

void check_backend_names(const ServiceDraft& draft, Journal& journal) {
  std::map<std::string_view, Span> names;
  std::map<std::pair<IpAddress, std::uint16_t>, const BackendDraft*> targets;
  for (const BackendDraft& backend : draft.backends) {
    const auto [name, name_is_new] = names.emplace(backend.backend.name, backend.name);
    if (!name_is_new) {
      journal.error(backend.name,
                    fmt::format("repeated backend {} in service {} (first at {})",
                                quote(backend.backend.name),
                                quote(draft.service.name),
                                journal.place(name->second).text()));
    }
    const auto [target, target_is_new] =
        targets.emplace(std::pair(backend.backend.address, backend.backend.port), &backend);
    if (!target_is_new) {
      journal.error(backend.address,
                    fmt::format("backend '{}' has the address and port of backend '{}' (at {})",
                                backend.backend.name,
                                target->second->backend.name,
                                journal.place(target->second->address).text()));
    }
  }
}

bool has_family(const ServiceDraft& draft, bool v6) {
  return std::ranges::any_of(draft.service.vips,
                             [&](const Vip& vip) { return vip.address.v6 == v6; });
}

bool has_backend(const ServiceDraft& draft, bool v6) {
  return std::ranges::any_of(draft.backends, [&](const BackendDraft& backend) {
    return backend.backend.address.v6 == v6;
  });
}

// Outside of tunnels a packet keeps its family: from a VIP only backends of the same one can be
// reached. A VIP may wait for its backends; a backend that nothing can reach is a mistake.
void check_families(const ServiceDraft& draft, Journal& journal) {
  if (!draft.mode_known || is_tunnel(draft.service.mode)) {
    return;
  }
  const bool can_miss_backend = draft.backends_complete && !draft.backends.empty();
  for (std::size_t i = 0; can_miss_backend && i < draft.vips.size(); ++i) {
    const Vip& vip = draft.service.vips[i];
    if (!has_backend(draft, vip.address.v6)) {
      journal.warning(draft.vips[i],
                      fmt::format("VIP {} has no {} backend: its packets are dropped as "
                                  "no_backend, since IPv4 and IPv6 are not translated yet",
                                  vip.text(),
                                  family_name(vip.address.v6)));
    }
  }
  for (const BackendDraft& backend : draft.backends) {
    if (draft.vips_complete && !has_family(draft, backend.backend.address.v6)) {
      journal.error(backend.address,
                    fmt::format("backend '{}' is {}, but service '{}' has no {} VIP",
                                backend.backend.name,
                                family_name(backend.backend.address.v6),
                                draft.service.name,
                                family_name(backend.backend.address.v6)));
    }
  }
}

void check_nat_pool(const ServiceDraft& service, const Draft& draft, Journal& journal) {
  if (service.service.mode != Mode::kNat || !service.mode_known || !draft.pools_complete) {
    return;
  }
  std::set<bool> reported;
  for (std::size_t i = 0; i < service.vips.size(); ++i) {
    const bool v6 = service.service.vips[i].address.v6;
    const bool has_pool = std::ranges::any_of(
        draft.pools, [&](const PoolDraft& pool) { return pool.range.first.v6 == v6; });
    const bool needs_pool = service.backends.empty() || has_backend(service, v6);
    if (needs_pool && !has_pool && reported.insert(v6).second) {
      journal.error(service.vips[i],
                    fmt::format("service '{}' is in mode 'nat', but 'nat: pool' has no {} address",
                                service.service.name,
                                family_name(v6)));
    }
  }
}

// Without translation the packet arrives as the client sent it; in `nat` one port cannot stand for
// a range.
void check_backend_ports(const ServiceDraft& draft, Journal& journal) {
  const auto fits = [&](const ServicePort& port, std::uint16_t to) {
    return draft.service.mode == Mode::kNat ? port.first == port.last
                                            : port.first == to && port.last == to;
  };
  for (const BackendDraft& backend : draft.backends) {
    const std::uint16_t to = backend.backend.port;
    const auto unfit = std::ranges::find_if(draft.service.ports, [&](const ServicePort& port) {
      return draft.mode_known && to != 0 && !fits(port, to);
    });
    if (unfit == draft.service.ports.end()) {
      continue;
    }
    const std::string port = fmt::format(
        "{}/{}", protocol_name(unfit->protocol), port_range_text(unfit->first, unfit->last));
    journal.error(backend.port,
                  draft.service.mode == Mode::kNat
                      ? fmt::format("port {} cannot stand for the range {}", to, port)
                      : fmt::format("mode '{}' cannot change the port: {} to {}",
                                    mode_name(draft.service.mode),
                                    port,
                                    to),
                  "leave the backend's port out: then it is as the client asked");
  }
}

void check_mtus(const ServiceDraft& draft, Journal& journal) {
  for (const BackendDraft& backend : draft.backends) {
    if (backend.backend.address.v6 && backend.backend.mtu != 0 &&
        backend.backend.mtu < kLeastIpv6Mtu) {
      journal.error(backend.mtu,
                    fmt::format("mtu {} of backend '{}' is less than IPv6 needs",
                                backend.backend.mtu,
                                backend.backend.name),
                    fmt::format("at least {}", kLeastIpv6Mtu));
    }
  }
}

void check_slots(const ServiceDraft& draft, Journal& journal) {
  const std::uint64_t slots = draft.service.balance.slots;
  const std::uint64_t members = draft.backends.size();
  if (slots < kLeastSlotsPerMember * members) {
    journal.error(draft.slots,
                  fmt::format("{} slots are too few for the {} backends of service '{}'",
                              slots,
                              members,
                              draft.service.name),
                  fmt::format("at least {} for each", kLeastSlotsPerMember));
  } else if (slots < kEvenSlotsPerMember * members) {
    journal.warning(draft.slots,
                    fmt::format("{} slots for the {} backends of service '{}': shares will differ "
                                "from the weights",
                                slots,
                                members,
                                draft.service.name),
                    fmt::format("{} for each give shares within 1 %", kEvenSlotsPerMember));
  }
}

void check_affinity(const ServiceDraft& draft, Journal& journal) {
  if (draft.service.affinity.time.count() != 0 &&
      draft.service.balance.hash != HashFields::kFiveTuple) {
    journal.warning(draft.affinity,
                    fmt::format("the 'hash' of service '{}' has no effect: with an affinity the "
                                "source's prefix chooses",
                                draft.service.name),
                    "leave 'hash' out, or write 'affinity: none'");
  }
}

void check_usable(const ServiceDraft& draft, Journal& journal) {
  const bool all_zero = std::ranges::all_of(
      draft.backends, [](const BackendDraft& backend) { return backend.backend.weight == 0; });
  if (!draft.backends_complete || !all_zero) {
    return;
  }
  journal.warning(draft.backends_key,
                  draft.backends.empty()
                      ? fmt::format("service '{}' has no backends", draft.service.name)
                      : fmt::format("every weight of service '{}' is 0", draft.service.name),
                  "it takes no new connections");
}

// A TCP connection to a port where only UDP is served fails, and the backend is never used.
void check_probe_port(const ServiceDraft& draft, Journal& journal) {
  const bool only_udp =
      !draft.ports.empty() && std::ranges::all_of(draft.service.ports, [](const ServicePort& port) {
        return port.protocol == Protocol::kUdp;
      });
  if (only_udp && draft.ports_complete && draft.service.has_check &&
      draft.service.check.port == 0) {
    journal.warning(draft.name,
                    fmt::format("service '{}' has only UDP ports, but its check connects by TCP",
                                draft.service.name),
                    "give the check a 'port', or write 'check: none'");
  }
}

}  // namespace

void check_service(const ServiceDraft& service, const Draft& draft, Journal& journal) {
  check_vips(service, journal);
  check_backend_names(service, journal);
  check_families(service, journal);
  check_nat_pool(service, draft, journal);
  check_backend_ports(service, journal);
  check_tunnel(service, journal);
  check_mtus(service, journal);
  check_slots(service, journal);
  check_affinity(service, journal);
  check_usable(service, journal);
  check_probe_port(service, journal);
}

}  // namespace holdfast::config
