// SPDX-License-Identifier: Apache-2.0
// Building and asking the prefix table. Built off the workers, asked on them per packet.
#include "dataplane/prefix_table.h"

#include "dataplane/address_mix.h"

#include <bit>

namespace holdfast::dataplane {
namespace {

constexpr std::size_t kFamilies = 2;
constexpr std::size_t kLengths = 129;

std::size_t family_of(const Address& address) { return address.is_v4() ? 0 : 1; }
// Where the family's bits begin in the 16 bytes of an Address.
std::size_t family_offset(std::size_t family) { return family == 0 ? kMappedBits : 0; }
bool fits(const PrefixTable::Entry& entry) {
  return entry.length + family_offset(family_of(entry.prefix)) <= kWholeAddress;
}

}  // namespace

PrefixTable::PrefixTable(std::span<const Entry> entries) {
  std::array<std::array<std::uint32_t, kLengths>, kFamilies> counts{};
  for (const Entry& entry : entries) {
    if (fits(entry)) {
      ++counts[family_of(entry.prefix)][entry.length];
    }
  }
  std::array<std::array<std::size_t, kLengths>, kFamilies> level_of{};
  std::uint32_t slots = 0;
  for (std::size_t family = 0; family < kFamilies; ++family) {
    for (std::size_t length = kLengths; length-- > 0;) {
      if (const std::uint32_t count = counts[family][length]; count != 0) {
        const std::uint32_t size = std::bit_ceil(2 * count);
        level_of[family][length] = levels_[family].size();
        levels_[family].push_back(
            {.mask = mask_of(static_cast<unsigned>(length + family_offset(family))),
             .first = slots,
             .slot_mask = size - 1});
        slots += size;
      }
    }
  }
  slots_.resize(slots);
  for (const Entry& entry : entries) {
    if (fits(entry)) {
      const std::size_t family = family_of(entry.prefix);
      insert(entry, levels_[family][level_of[family][entry.length]]);
    }
  }
}

std::uint32_t PrefixTable::position(const Level& level,
                                    const AddressWords& prefix,
                                    std::uint32_t tag) const {
  auto at = static_cast<std::uint32_t>(mix_address(prefix, tag));
  for (;; ++at) {
    const std::uint32_t index = level.first + (at & level.slot_mask);
    const Slot& slot = slots_[index];
    if (!slot.used || (slot.tag == tag && slot.prefix == prefix)) {
      return index;
    }
  }
}

void PrefixTable::insert(const Entry& entry, const Level& level) {
  const AddressWords prefix = masked(entry.prefix, level.mask);
  slots_[position(level, prefix, entry.tag)] = {
      .prefix = prefix, .tag = entry.tag, .used = true, .value = entry.value};
}

std::optional<std::uint32_t> PrefixTable::longest(const Address& address, std::uint32_t tag) const {
  for (const Level& level : levels_[family_of(address)]) {
    const Slot& slot = slots_[position(level, masked(address, level.mask), tag)];
    if (slot.used) {
      return slot.value;
    }
  }
  return std::nullopt;
}

}  // namespace holdfast::dataplane
