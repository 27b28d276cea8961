// SPDX-License-Identifier: Apache-2.0
// Rules between services: bindings that overlap, and addresses that would have two roles. A VIP, a
// backend and an address of the nat pool are told apart by the address alone when a packet arrives.
#include "config/ip.h"
#include "config/rules.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

struct Binding {
  IpAddress vip;
  ServicePort port;
  Span where;
  const ServiceDraft* service = nullptr;
};

std::string binding_text(const Binding& binding) {
  return fmt::format("{} {}/{}",
                     binding.vip.text(),
                     protocol_name(binding.port.protocol),
                     port_range_text(binding.port.first, binding.port.last));
}

std::vector<Binding> sorted_bindings(const Draft& draft) {
  std::vector<Binding> bindings;
  for (const ServiceDraft& service : draft.services) {
    std::set<IpAddress> seen;  // repeated VIPs are reported as such
    for (const IpAddress& vip : service.service.vips) {
      const bool is_new = seen.insert(vip).second;
      for (std::size_t i = 0; is_new && i < service.ports.size(); ++i) {
        bindings.push_back({vip, service.service.ports[i], service.ports[i], &service});
      }
    }
  }
  std::ranges::stable_sort(bindings, {}, [](const Binding& binding) {
    return std::tuple(binding.vip, binding.port.protocol, binding.port.first);
  });
  return bindings;
}

bool same_line(const Binding& a, const Binding& b) {
  return a.vip == b.vip && a.port.protocol == b.port.protocol;
}

// Reports the one that stands later in the files.
void report_overlap(const Binding& a, const Binding& b, Journal& journal) {
  const auto order = [](const Binding& binding) {
    return std::tuple(binding.where.file, binding.where.line, binding.where.column);
  };
  const Binding& first = order(a) <= order(b) ? a : b;
  const Binding& second = &first == &a ? b : a;
  const std::string& name = second.service->service.name;
  const std::string who =
      first.service == second.service
          ? fmt::format("ports of service '{}' overlap", name)
          : fmt::format("service '{}' overlaps service '{}'", name, first.service->service.name);
  journal.error(second.where,
                fmt::format("{}: {} and {} (at {})",
                            who,
                            binding_text(second),
                            binding_text(first),
                            journal.place(first.where).text()));
}

std::vector<PoolDraft> sorted_pools(const Draft& draft) {
  std::vector<PoolDraft> pools = draft.pools;
  std::ranges::stable_sort(pools, {}, [](const PoolDraft& pool) { return pool.range.first; });
  return pools;
}

// The pool range that holds `address`. Ranges that overlap are reported elsewhere; among them the
// last to start decides.
const PoolDraft* pool_of(const std::vector<PoolDraft>& pools, const IpAddress& address) {
  const auto next = std::ranges::upper_bound(
      pools, address, {}, [](const PoolDraft& pool) { return pool.range.first; });
  if (next == pools.begin()) {
    return nullptr;
  }
  const PoolDraft& pool = *std::prev(next);
  return pool.range.first.v6 == address.v6 && address <= pool.range.last ? &pool : nullptr;
}

void check_pool_overlaps(const std::vector<PoolDraft>& pools, Journal& journal) {
  for (std::size_t i = 1; i < pools.size(); ++i) {
    const PoolDraft& before = pools[i - 1];
    if (pools[i].range.first <= before.range.last &&
        pools[i].range.first.v6 == before.range.first.v6) {
      journal.error(
          pools[i].where,
          fmt::format("this range overlaps the one at {}", journal.place(before.where).text()));
    }
  }
}

void report_in_pool(Span where,
                    const std::string& what,
                    const IpAddress& address,
                    const std::vector<PoolDraft>& pools,
                    Journal& journal) {
  if (const PoolDraft* pool = pool_of(pools, address)) {
    journal.error(where,
                  fmt::format("{} {} is in the nat pool (at {})",
                              what,
                              address.text(),
                              journal.place(pool->where).text()));
  }
}

}  // namespace

void check_overlaps(const Draft& draft, Journal& journal) {
  const std::vector<Binding> bindings = sorted_bindings(draft);
  const Binding* widest = nullptr;  // of those before, the one that reaches furthest
  for (const Binding& binding : bindings) {
    const bool same = widest != nullptr && same_line(*widest, binding);
    if (same && binding.port.first <= widest->port.last) {
      report_overlap(*widest, binding, journal);
    }
    if (!same || binding.port.last > widest->port.last) {
      widest = &binding;
    }
  }
}

void check_roles(const Draft& draft, Journal& journal) {
  const std::vector<PoolDraft> pools = sorted_pools(draft);
  check_pool_overlaps(pools, journal);
  std::map<IpAddress, Span> vips;
  for (const ServiceDraft& service : draft.services) {
    for (std::size_t i = 0; i < service.vips.size(); ++i) {
      vips.emplace(service.service.vips[i], service.vips[i]);
      report_in_pool(service.vips[i], "VIP", service.service.vips[i], pools, journal);
    }
  }
  for (const ServiceDraft& service : draft.services) {
    for (const BackendDraft& backend : service.backends) {
      const IpAddress& address = backend.backend.address;
      const std::string what = fmt::format("backend '{}'", backend.backend.name);
      report_in_pool(backend.address, what, address, pools, journal);
      if (const auto vip = vips.find(address); vip != vips.end()) {
        journal.error(backend.address,
                      fmt::format("{} has the address of a VIP: {} (at {})",
                                  what,
                                  address.text(),
                                  journal.place(vip->second).text()));
      }
    }
  }
}

void check_not_local(const Draft& draft, std::span<const LocalAddress> local, Journal& journal) {
  const std::vector<PoolDraft> pools = sorted_pools(draft);
  std::map<IpAddress, std::string_view> interfaces;
  for (const LocalAddress& mine : local) {
    if (!interfaces.emplace(mine.address, mine.interface).second) {
      continue;  // on two interfaces
    }
    if (const PoolDraft* pool = pool_of(pools, mine.address)) {
      journal.error(pool->where,
                    fmt::format("the nat pool holds {}, an address of this machine (on '{}')",
                                mine.address.text(),
                                mine.interface),
                    "take it off the interface, or leave it out of the pool");
    }
  }
  for (const ServiceDraft& service : draft.services) {
    for (std::size_t i = 0; i < service.vips.size(); ++i) {
      const IpAddress& vip = service.service.vips[i];
      if (const auto found = interfaces.find(vip); found != interfaces.end()) {
        journal.error(
            service.vips[i],
            fmt::format(
                "VIP {} is an address of this machine (on '{}')", vip.text(), found->second),
            "take it off the interface: the kernel would answer for it too");
      }
    }
  }
}

}  // namespace holdfast::config
