// SPDX-License-Identifier: Apache-2.0
// Which service a destination belongs to: single VIPs, prefixes, ranges, any port; and against a
// plain list over random tables.
#include "dataplane/binding_table.h"

#include "tests/support/packet.h"

#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using testing::address;
using testing::v4;
using testing::v6;

BindingTable::Row row(const Address& vip,
                      unsigned bits,
                      Protocol protocol,
                      std::uint16_t first,
                      std::uint16_t last,
                      std::uint16_t id) {
  return {.spec = {.vip = vip,
                   .protocol = protocol,
                   .first_port = first,
                   .last_port = last,
                   .prefix_bits = static_cast<std::uint8_t>(bits)},
          .bound = {.service = id, .binding = id, .prefixed = bits != kWholeAddress}};
}

int binding_at(const BindingTable& table, const char* vip, Protocol protocol, std::uint16_t port) {
  const BoundService* bound = table.find(address(vip), protocol, port);
  return bound == nullptr ? -1 : bound->binding;
}

TEST(BindingTable, FindsASingleVipBeforeThePrefixAroundIt) {
  const std::vector<BindingTable::Row> rows = {
      row(v4(203, 0, 113, 9), 128, Protocol::kTcp, 80, 80, 1),
      row(v4(203, 0, 113, 0), 96 + 24, Protocol::kTcp, 443, 443, 2),
      row(v4(203, 0, 0, 0), 96 + 16, Protocol::kTcp, 1000, 2000, 3)};
  const BindingTable table(rows);
  EXPECT_EQ(binding_at(table, "203.0.113.9", Protocol::kTcp, 80), 1);
  EXPECT_EQ(binding_at(table, "203.0.113.9", Protocol::kTcp, 443), 2);
  EXPECT_EQ(binding_at(table, "203.0.113.9", Protocol::kTcp, 1500), 3);
  EXPECT_EQ(binding_at(table, "203.0.113.8", Protocol::kTcp, 80), -1);
  EXPECT_EQ(binding_at(table, "203.0.113.0", Protocol::kTcp, 443), 2);
  EXPECT_EQ(binding_at(table, "203.0.114.9", Protocol::kTcp, 443), -1);
  EXPECT_EQ(binding_at(table, "203.1.0.0", Protocol::kTcp, 1500), -1);
  EXPECT_EQ(binding_at(table, "203.0.113.9", Protocol::kUdp, 443), -1);
}

TEST(BindingTable, KnowsEveryAddressOfAPrefixAsAVipButListsSingleOnesAlone) {
  const std::vector<BindingTable::Row> rows = {
      row(v4(203, 0, 113, 9), 128, Protocol::kTcp, 80, 80, 1),
      row(v6(2, 0), 64, Protocol::kUdp, 53, 53, 2)};
  const BindingTable table(rows);
  EXPECT_TRUE(table.is_vip(v4(203, 0, 113, 9)));
  EXPECT_FALSE(table.is_vip(v4(203, 0, 113, 8)));
  EXPECT_TRUE(table.is_vip(v6(2, 0)));
  EXPECT_TRUE(table.is_vip(v6(2, 255)));
  EXPECT_FALSE(table.is_vip(v6(3, 0)));
  ASSERT_EQ(table.vips().size(), 1U);
  EXPECT_EQ(table.vips().front(), v4(203, 0, 113, 9));
}

TEST(BindingTable, AnyPortIsOneRange) {
  const std::vector<BindingTable::Row> rows = {
      row(v4(203, 0, 113, 9), 128, Protocol::kTcp, 1, 65535, 1),
      row(v6(2, 32), 123, Protocol::kUdp, 1, 65535, 2)};
  const BindingTable table(rows);
  for (const std::uint16_t port : {std::uint16_t{1}, std::uint16_t{80}, std::uint16_t{65535}}) {
    EXPECT_EQ(binding_at(table, "203.0.113.9", Protocol::kTcp, port), 1);
    EXPECT_EQ(table.find(v6(2, 40), Protocol::kUdp, port)->binding, 2);
  }
  EXPECT_EQ(binding_at(table, "203.0.113.9", Protocol::kTcp, 0), -1);
  EXPECT_EQ(binding_at(table, "203.0.113.9", Protocol::kUdp, 80), -1);
}

TEST(BindingTable, AnIpv6PrefixDoesNotHoldIpv4) {
  // Over 16 bytes a short IPv6 prefix of zeros would hold every IPv4 address.
  const std::vector<BindingTable::Row> rows = {row(Address{}, 16, Protocol::kTcp, 80, 80, 1)};
  const BindingTable table(rows);
  EXPECT_FALSE(table.is_vip(v4(203, 0, 113, 9)));
  EXPECT_TRUE(table.is_vip(v6(0, 1)) == holds(Address{}, 16, v6(0, 1)));
}

// Few addresses, lengths and ports, so that bindings lie in, beside and around each other.
class RandomRows {
 public:
  explicit RandomRows(unsigned seed) : random_(seed) {}

  Address address() { return below(2) == 0 ? v4(203, 0, 113, byte()) : v6(2, byte()); }
  std::uint16_t port() { return static_cast<std::uint16_t>(1 + below(40)); }
  Protocol protocol() { return below(2) == 0 ? Protocol::kTcp : Protocol::kUdp; }

  // Rows that do not overlap.
  std::vector<BindingTable::Row> rows(std::size_t tries) {
    std::vector<BindingTable::Row> all;
    for (std::size_t i = 0; i < tries; ++i) {
      static constexpr std::array<unsigned, 5> kBits = {128, 128, 125, 122, 120};
      const unsigned bits = kBits.at(below(kBits.size()));
      const std::uint16_t first = port();
      const auto last = static_cast<std::uint16_t>(below(2) == 0 ? first : first + below(9));
      const auto id = static_cast<std::uint16_t>(all.size());
      const auto one = row(masked(address(), bits), bits, protocol(), first, last, id);
      if (std::ranges::none_of(all, [&](const auto& other) { return overlap(one, other); })) {
        all.push_back(one);
      }
    }
    return all;
  }

 private:
  static bool overlap(const BindingTable::Row& a, const BindingTable::Row& b) {
    const auto [x, y] = std::pair(a.spec, b.spec);
    const unsigned bits = std::min(x.prefix_bits, y.prefix_bits);
    return x.protocol == y.protocol && masked(x.vip, bits) == masked(y.vip, bits) &&
           x.first_port <= y.last_port && y.first_port <= x.last_port;
  }
  std::uint8_t byte() { return static_cast<std::uint8_t>(below(64)); }
  std::uint32_t below(std::size_t limit) { return static_cast<std::uint32_t>(random_() % limit); }
  std::mt19937 random_;
};

TEST(BindingTable, FindsWhatAPlainListFinds) {
  std::size_t found = 0;
  for (unsigned seed = 1; seed <= 60; ++seed) {
    RandomRows random(seed);
    const std::vector<BindingTable::Row> rows = random.rows(seed * 5);
    const BindingTable table(rows);
    for (int i = 0; i < 2000; ++i) {
      const Address destination = random.address();
      const Protocol protocol = random.protocol();
      const std::uint16_t port = random.port();
      const auto here = [&](const BindingTable::Row& one) {
        return holds(one.spec.vip, one.spec.prefix_bits, destination);
      };
      const auto expected = std::ranges::find_if(rows, [&](const BindingTable::Row& one) {
        return here(one) && one.spec.protocol == protocol && one.spec.first_port <= port &&
               port <= one.spec.last_port;
      });
      const BoundService* bound = table.find(destination, protocol, port);
      ASSERT_EQ(bound != nullptr, expected != rows.end()) << seed;
      if (bound != nullptr) {
        ASSERT_EQ(bound->binding, expected->bound.binding);
        ++found;
      }
      ASSERT_EQ(table.is_vip(destination), std::ranges::any_of(rows, here));
    }
  }
  EXPECT_GT(found, 20'000U);
}

TEST(Prefix, MasksCountsAndNamesBothFamilies) {
  EXPECT_EQ(masked(v4(203, 0, 113, 255), 96 + 24), v4(203, 0, 113, 0));
  EXPECT_EQ(masked(v4(203, 0, 113, 255), 128), v4(203, 0, 113, 255));
  EXPECT_EQ(masked(v6(2, 255), 64), v6(2, 0));
  EXPECT_EQ(masked(v6(2, 255), 0), Address{});
  EXPECT_EQ(last_of(v4(203, 0, 112, 0), 96 + 23), v4(203, 0, 113, 255));
  EXPECT_EQ(last_of(address("2001:db8::"), 32), address("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"));
  EXPECT_EQ(prefix_text(v4(203, 0, 113, 0), 96 + 24), "203.0.113.0/24");
  EXPECT_EQ(prefix_text(address("2001:db8::"), 32), "2001:db8::/32");
  EXPECT_EQ(prefix_text(v4(203, 0, 113, 9), 128), "203.0.113.9");
}

}  // namespace
}  // namespace holdfast::dataplane
