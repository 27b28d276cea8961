// SPDX-License-Identifier: Apache-2.0
// Open-addressed lookup of VIPs and their ports, at most a quarter full.
#include "dataplane/binding_table.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace holdfast::dataplane {
namespace {

// The keys are the operator's, so a plain mix will do: a client only chooses where to miss.
std::size_t mix(const Address& address, std::uint32_t salt) {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  std::memcpy(&high, address.bytes.data(), 8);
  std::memcpy(&low, address.bytes.data() + 8, 8);
  const std::uint64_t mixed = (high * 0xff51afd7ed558ccd) ^ ((low ^ salt) * 0xc4ceb9fe1a85ec53);
  return static_cast<std::size_t>(mixed ^ (mixed >> 32));
}

std::uint32_t salt_of(Protocol protocol, std::uint16_t port) {
  return (static_cast<std::uint32_t>(protocol) << 16) | port;
}

std::size_t table_size(std::size_t entries) { return std::bit_ceil(entries * 4 + 1); }

}  // namespace

BindingTable::BindingTable(std::span<const Row> rows)
    : exact_(table_size(rows.size())), vip_(table_size(rows.size())) {
  for (const Row& row : rows) {
    Vip& vip = vip_of(row.spec.vip);
    if (row.spec.first_port == row.spec.last_port) {
      add_exact(row);
    } else {
      vip.ranges.push_back({.first = row.spec.first_port,
                            .last = row.spec.last_port,
                            .protocol = row.spec.protocol,
                            .bound = row.bound});
    }
  }
}

void BindingTable::add_exact(const Row& row) {
  std::size_t at = mix(row.spec.vip, salt_of(row.spec.protocol, row.spec.first_port));
  while (exact_[at & (exact_.size() - 1)].used) {
    ++at;
  }
  exact_[at & (exact_.size() - 1)] = {.vip = row.spec.vip,
                                      .port = row.spec.first_port,
                                      .protocol = row.spec.protocol,
                                      .used = true,
                                      .bound = row.bound};
}

BindingTable::Vip& BindingTable::vip_of(const Address& address) {
  for (std::size_t at = mix(address, 0);; ++at) {
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

const BindingTable::Vip* BindingTable::vip_slot(const Address& address) const {
  if (vip_.empty()) {
    return nullptr;
  }
  for (std::size_t at = mix(address, 0);; ++at) {
    const Vip& vip = vip_[at & (vip_.size() - 1)];
    if (!vip.used) {
      return nullptr;
    }
    if (vip.address == address) {
      return &vip;
    }
  }
}

const BoundService* BindingTable::find(const Address& destination,
                                       Protocol protocol,
                                       std::uint16_t port) const {
  if (exact_.empty()) {
    return nullptr;
  }
  for (std::size_t at = mix(destination, salt_of(protocol, port));; ++at) {
    const Exact& exact = exact_[at & (exact_.size() - 1)];
    if (!exact.used) {
      break;
    }
    if (exact.port == port && exact.protocol == protocol && exact.vip == destination) {
      return &exact.bound;
    }
  }
  if (const Vip* vip = vip_slot(destination)) {
    for (const Range& range : vip->ranges) {
      if (range.protocol == protocol && range.first <= port && port <= range.last) {
        return &range.bound;
      }
    }
  }
  return nullptr;
}

}  // namespace holdfast::dataplane
