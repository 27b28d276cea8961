// SPDX-License-Identifier: Apache-2.0
// Rules between services: bindings that overlap, and addresses that would have two roles. A VIP, a
// backend and an address of the nat pool are told apart by the address alone when a packet arrives.
#include "config/ip.h"
#include "config/rules.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

struct Binding {
  Vip vip;
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

// Bindings of one VIP or prefix and one protocol, by their ports.
using Lines = std::map<std::pair<Vip, Protocol>, std::vector<Binding>>;

Lines lines_of(const Draft& draft) {
  Lines lines;
  for (const ServiceDraft& service : draft.services) {
    std::set<Vip> seen;  // repeated VIPs are reported as such
    for (const Vip& vip : service.service.vips) {
      const bool is_new = seen.insert(vip).second;
      for (std::size_t i = 0; is_new && i < service.ports.size(); ++i) {
        const ServicePort& port = service.service.ports[i];
        lines[{vip, port.protocol}].push_back({vip, port, service.ports[i], &service});
      }
    }
  }
  for (auto& [unused, bindings] : lines) {
    std::ranges::stable_sort(
        bindings, {}, [](const Binding& binding) { return binding.port.first; });
  }
  return lines;
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

void check_line(const std::vector<Binding>& bindings, Journal& journal) {
  const Binding* widest = nullptr;  // of those before, the one that reaches furthest
  for (const Binding& binding : bindings) {
    if (widest != nullptr && binding.port.first <= widest->port.last) {
      report_overlap(*widest, binding, journal);
    }
    if (widest == nullptr || binding.port.last > widest->port.last) {
      widest = &binding;
    }
  }
}

// The bindings of a VIP against those of a prefix that holds it. Within one service the VIP itself
// is reported, as repeated.
void check_against(const std::vector<Binding>& inner,
                   const std::vector<Binding>& outer,
                   Journal& journal) {
  auto a = inner.begin();
  auto b = outer.begin();
  while (a != inner.end() && b != outer.end()) {
    const bool overlap = a->port.first <= b->port.last && b->port.first <= a->port.last;
    if (overlap && a->service != b->service) {
      report_overlap(*a, *b, journal);
    }
    ++(a->port.last < b->port.last ? a : b);
  }
}

// VIPs and prefixes by address: which one holds an address, or another prefix?
class Vips {
 public:
  void add(const Vip& vip, Span where) {
    places_.emplace(vip, where);
    lengths_.insert(vip.length);
  }
  [[nodiscard]] std::optional<std::pair<Vip, Span>> holding(const IpAddress& address) const {
    for (const std::uint8_t length : lengths_) {
      const auto found = places_.find({network_of(address, length), length});
      if (found != places_.end()) {
        return *found;
      }
    }
    return std::nullopt;
  }

 private:
  std::map<Vip, Span> places_;
  std::set<std::uint8_t> lengths_;
};

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

void report_vip_in_pool(Span where,
                        const Vip& vip,
                        const std::vector<PoolDraft>& pools,
                        Journal& journal) {
  if (vip.is_single()) {
    return report_in_pool(where, "VIP", vip.address, pools, journal);
  }
  // The last range to start at or before the prefix's end is the one that reaches into it, if any.
  const auto next = std::ranges::upper_bound(
      pools, vip.last(), {}, [](const PoolDraft& pool) { return pool.range.first; });
  if (next == pools.begin()) {
    return;
  }
  const PoolDraft& pool = *std::prev(next);
  if (pool.range.first.v6 == vip.address.v6 && vip.address <= pool.range.last) {
    journal.error(where,
                  fmt::format("VIPs {} and the nat pool (at {}) have addresses in common",
                              vip.text(),
                              journal.place(pool.where).text()));
  }
}

}  // namespace

void check_overlaps(const Draft& draft, Journal& journal) {
  const Lines lines = lines_of(draft);
  std::set<std::uint8_t> lengths;
  for (const auto& [line, bindings] : lines) {
    lengths.insert(line.first.length);
    check_line(bindings, journal);
  }
  for (const auto& [line, bindings] : lines) {
    const auto& [vip, protocol] = line;
    for (const std::uint8_t length : lengths) {
      const auto outer = length < vip.length
                             ? lines.find({Vip{network_of(vip.address, length), length}, protocol})
                             : lines.end();
      if (outer != lines.end()) {
        check_against(bindings, outer->second, journal);
      }
    }
  }
}

void check_roles(const Draft& draft, Journal& journal) {
  const std::vector<PoolDraft> pools = sorted_pools(draft);
  check_pool_overlaps(pools, journal);
  Vips vips;
  for (const ServiceDraft& service : draft.services) {
    for (std::size_t i = 0; i < service.vips.size(); ++i) {
      vips.add(service.service.vips[i], service.vips[i]);
      report_vip_in_pool(service.vips[i], service.service.vips[i], pools, journal);
    }
  }
  for (const ServiceDraft& service : draft.services) {
    for (const BackendDraft& backend : service.backends) {
      const IpAddress& address = backend.backend.address;
      const std::string what = fmt::format("backend '{}'", backend.backend.name);
      report_in_pool(backend.address, what, address, pools, journal);
      if (const auto vip = vips.holding(address)) {
        const std::string which = vip->first.is_single()
                                      ? address.text()
                                      : fmt::format("{} in {}", address.text(), vip->first.text());
        journal.error(backend.address,
                      fmt::format("{} has the address of a VIP: {} (at {})",
                                  what,
                                  which,
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
      const Vip& vip = service.service.vips[i];
      const auto found = interfaces.lower_bound(vip.address);
      if (found == interfaces.end() || !vip.holds(found->first)) {
        continue;
      }
      journal.error(
          service.vips[i],
          vip.is_single()
              ? fmt::format(
                    "VIP {} is an address of this machine (on '{}')", vip.text(), found->second)
              : fmt::format("VIPs {} hold {}, an address of this machine (on '{}')",
                            vip.text(),
                            found->first.text(),
                            found->second),
          "take it off the interface: the kernel would answer for it too");
    }
  }
}

}  // namespace holdfast::config
