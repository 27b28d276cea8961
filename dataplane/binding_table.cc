// SPDX-License-Identifier: Apache-2.0
// Open-addressed lookup of VIPs, prefixes and their ports, at most half full.
#include "dataplane/binding_table.h"

#include "dataplane/address_mix.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <iterator>
#include <set>
#include <utility>

namespace holdfast::dataplane {
namespace {

std::size_t table_size(std::size_t entries) { return std::bit_ceil(entries * 2 + 1); }

}  // namespace

BindingTable::Level::Level(std::span<const Row> rows, std::uint8_t bits) : bits_(bits) {
  const auto mine = [&](const Row& row) { return row.spec.prefix_bits == bits; };
  const auto count = static_cast<std::size_t>(std::ranges::count_if(rows, mine));
  const auto exact = [&](bool v4) {
    return static_cast<std::size_t>(std::ranges::count_if(rows, [&](const Row& row) {
      return mine(row) && row.spec.first_port == row.spec.last_port && row.spec.vip.is_v4() == v4;
    }));
  };
  exact4_.resize(table_size(exact(true)));
  exact6_.resize(table_size(exact(false)));
  vip_.resize(table_size(count));
  for (const Row& row : rows) {
    if (!mine(row)) {
      continue;
    }
    Vip& vip = vip_of(row.spec.vip);
    if (row.spec.first_port == row.spec.last_port) {
      add_exact(row);
    } else {
      vip.ranges.push_back({.protocol = row.spec.protocol,
                            .first = row.spec.first_port,
                            .last = row.spec.last_port,
                            .bound = row.bound});
    }
  }
  for (Vip& vip : vip_) {
    std::ranges::sort(
        vip.ranges, {}, [](const Range& range) { return std::pair(range.protocol, range.first); });
  }
}

void BindingTable::Level::add_exact(const Row& row) {
  const BindingSpec& spec = row.spec;
  if (spec.vip.is_v4()) {
    const std::uint64_t word = word_of(spec.vip, spec.protocol, spec.first_port);
    std::size_t at = place_of(word);
    while (exact4_[at & (exact4_.size() - 1)].word != 0) {
      ++at;
    }
    exact4_[at & (exact4_.size() - 1)] = {.word = word, .bound = row.bound};
    return;
  }
  std::size_t at = mix_address(spec.vip, salt_of(spec.protocol, spec.first_port));
  while (exact6_[at & (exact6_.size() - 1)].used) {
    ++at;
  }
  exact6_[at & (exact6_.size() - 1)] = {.vip = spec.vip,
                                        .port = spec.first_port,
                                        .protocol = spec.protocol,
                                        .used = true,
                                        .bound = row.bound};
}

BindingTable::Level::Vip& BindingTable::Level::vip_of(const Address& address) {
  for (std::size_t at = mix_address(address, 0);; ++at) {
    Vip& vip = vip_[at & (vip_.size() - 1)];
    if (!vip.used) {
      vip.address = address;
      vip.used = true;
      vips_.push_back(address);
    }
    if (vip.address == address) {
      return vip;
    }
  }
}

const BindingTable::Level::Vip* BindingTable::Level::slot_of(const Address& address) const {
  if (vip_.empty()) {
    return nullptr;
  }
  for (std::size_t at = mix_address(address, 0);; ++at) {
    const Vip& vip = vip_[at & (vip_.size() - 1)];
    if (!vip.used) {
      return nullptr;
    }
    if (vip.address == address) {
      return &vip;
    }
  }
}

const BoundService* BindingTable::Level::find_other(const Address& vip,
                                                    Protocol protocol,
                                                    std::uint16_t port) const {
  if (!vip.is_v4() && !exact6_.empty()) {
    for (std::size_t at = mix_address(vip, salt_of(protocol, port));; ++at) {
      const Exact6& exact = exact6_[at & (exact6_.size() - 1)];
      if (!exact.used) {
        break;
      }
      if (exact.port == port && exact.protocol == protocol && exact.vip == vip) {
        return &exact.bound;
      }
    }
  }
  const Vip* slot = slot_of(vip);
  if (slot == nullptr || slot->ranges.empty()) {
    return nullptr;
  }
  const auto next =
      std::ranges::upper_bound(slot->ranges, std::pair(protocol, port), {}, [](const Range& range) {
        return std::pair(range.protocol, range.first);
      });
  if (next == slot->ranges.begin()) {
    return nullptr;
  }
  const Range& range = *std::prev(next);
  return range.protocol == protocol && port <= range.last ? &range.bound : nullptr;
}

BindingTable::BindingTable(std::span<const Row> rows) : single_(rows, kWholeAddress) {
  std::set<std::pair<std::uint8_t, bool>, std::greater<>> lengths;
  for (const Row& row : rows) {
    if (row.spec.prefix_bits != kWholeAddress) {
      lengths.emplace(row.spec.prefix_bits, row.spec.vip.is_v4());
    }
  }
  for (const auto& [bits, v4] : lengths) {
    std::vector<Row> of_family;
    std::ranges::copy_if(rows, std::back_inserter(of_family), [&](const Row& row) {
      return row.spec.vip.is_v4() == v4;
    });
    (v4 ? prefixes_v4_ : prefixes_v6_).emplace_back(of_family, bits);
  }
  has_prefixes_ = !lengths.empty();
}

const BoundService* BindingTable::find_by_prefix(const Address& destination,
                                                 Protocol protocol,
                                                 std::uint16_t port) const {
  for (const Level& level : levels_of(destination)) {
    if (const BoundService* bound = level.find(masked(destination, level.bits()), protocol, port)) {
      return bound;
    }
  }
  return nullptr;
}

bool BindingTable::is_in_prefix(const Address& address) const {
  return std::ranges::any_of(levels_of(address), [&](const Level& level) {
    return level.has(masked(address, level.bits()));
  });
}

}  // namespace holdfast::dataplane
