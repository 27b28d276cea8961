// SPDX-License-Identifier: Apache-2.0
// Longest-prefix match for both families: one open-addressing table per distinct prefix length,
// asked from the longest to the shortest. A host knows a handful of lengths, so a lookup is a
// handful of probes, whatever the number of routes. Built once, then immutable; lookups are pure,
// without allocation, on any thread.
#pragma once

#include "dataplane/address.h"
#include "dataplane/prefix.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace holdfast::dataplane {

class PrefixTable {
 public:
  struct Entry {
    Address prefix;           // its family is the entry's; bits behind `length` are ignored
    std::uint8_t length = 0;  // in bits of the family
    std::uint32_t tag = 0;    // entries of other tags are not seen by a lookup
    std::uint32_t value = 0;
  };

  PrefixTable() = default;
  // A later entry replaces an earlier one with the same prefix, length and tag. Entries longer than
  // their family's addresses are left out. O(entries).
  explicit PrefixTable(std::span<const Entry> entries);

  // The value of the longest prefix that holds the address, among those of `tag`.
  // O(distinct lengths of the family).
  [[nodiscard]] std::optional<std::uint32_t> longest(const Address& address,
                                                     std::uint32_t tag = 0) const;

 private:
  struct Level {
    AddressWords mask;
    std::uint32_t first = 0;      // of its slots
    std::uint32_t slot_mask = 0;  // number of slots less one; at least half of them are free
  };
  struct Slot {
    AddressWords prefix{};
    std::uint32_t tag = 0;
    bool used = false;
    std::uint32_t value = 0;
  };

  void insert(const Entry& entry, const Level& level);
  [[nodiscard]] std::uint32_t position(const Level& level,
                                       const AddressWords& prefix,
                                       std::uint32_t tag) const;

  std::array<std::vector<Level>, 2> levels_;  // IPv4, IPv6; longest first
  std::vector<Slot> slots_;
};

}  // namespace holdfast::dataplane
