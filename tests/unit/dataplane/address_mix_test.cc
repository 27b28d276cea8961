// SPDX-License-Identifier: Apache-2.0
// Addresses of one network, of the kind that operators have, spread over an open-addressed table.
#include "dataplane/address_mix.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

constexpr std::uint32_t kCount = 10'000;

Address v4(std::uint32_t host_order) { return Address::v4(Be32::from_host(host_order)); }

Address v6_with(std::size_t changed, std::uint32_t number) {
  Address address = *Address::parse("2001:db8::");
  address.bytes[changed] = static_cast<std::uint8_t>(number >> 8);
  address.bytes[changed + 1] = static_cast<std::uint8_t>(number);
  return address;
}

// The places that the unluckiest address has to pass, in a table that is a quarter full.
std::size_t longest_walk(const std::function<Address(std::uint32_t)>& address_of) {
  std::vector<bool> used(std::bit_ceil(4 * std::size_t{kCount}));
  std::size_t longest = 0;
  for (std::uint32_t i = 0; i < kCount; ++i) {
    std::uint64_t at = mix_address(address_of(i), 0x60050);
    std::size_t walk = 0;
    for (; used[at & (used.size() - 1)]; ++at) {
      ++walk;
    }
    used[at & (used.size() - 1)] = true;
    longest = std::max(longest, walk);
  }
  return longest;
}

TEST(AddressMix, SpreadsTheHostsOfAnIpv4Network) {
  EXPECT_LT(longest_walk([](std::uint32_t i) { return v4(0xc6120000 + i); }), 20U);
}

TEST(AddressMix, SpreadsIpv4NetworksOfAnyLength) {
  for (const unsigned shift : {4U, 8U, 12U, 16U, 18U}) {
    EXPECT_LT(longest_walk([&](std::uint32_t i) { return v4(i << shift); }), 20U) << shift;
  }
}

TEST(AddressMix, SpreadsIpv6HostsAndNetworks) {
  for (std::size_t changed = 4; changed < 15; ++changed) {
    EXPECT_LT(longest_walk([&](std::uint32_t i) { return v6_with(changed, i); }), 20U) << changed;
  }
}

TEST(AddressMix, SpreadsTheUsesOfOneAddress) {
  const Address vip = v4(0xc6120001);
  EXPECT_NE(mix_address(vip, 80) & 0xffff, mix_address(vip, 443) & 0xffff);
}

}  // namespace
}  // namespace holdfast::dataplane
