// SPDX-License-Identifier: Apache-2.0
// The nft commands of one transaction, as text. That nft takes them is shown by
// packet_ports_test.cc.
#include "dataplane/process/nft_ingress.h"

#include "tests/unit/process/seam_helpers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(NftIngress, ReplacesTheWholeTableInOneTransaction) {
  const NftIngress nft("lab", {{.name = "wan0"}, {.name = "lan0"}});
  const std::string text = nft.build_ruleset(small_generation(1));
  EXPECT_THAT(text,
              StartsWith("add table netdev holdfast_lab\ndelete table netdev holdfast_lab\n"));
  EXPECT_THAT(text, HasSubstr("hook ingress device \"wan0\""));
  EXPECT_THAT(text, HasSubstr("hook ingress device \"lan0\""));
}

TEST(NftIngress, LeavesTheVlansOfOtherPortsToTheirOwnChains) {
  const auto place = [](const std::string& name) -> std::optional<VlanPlace> {
    if (name == "wan0.100") {
      return VlanPlace{.parent = "wan0", .id = 100};
    }
    if (name == "wan0.7") {
      return VlanPlace{.parent = "wan0", .id = 7};
    }
    return name == "other.5" ? std::optional(VlanPlace{.parent = "other", .id = 5}) : std::nullopt;
  };
  const auto guarded = guard({"wan0.100", "wan0", "other.5", "wan0.7"}, place);
  const std::vector<GuardedInterface> expected = {{.name = "wan0.100"},
                                                  {.name = "wan0", .vlans = {100, 7}},
                                                  {.name = "other.5"},
                                                  {.name = "wan0.7"}};
  EXPECT_EQ(guarded, expected);
  const std::string text = NftIngress("lab", guarded).build_ruleset(small_generation(1));
  EXPECT_THAT(text,
              HasSubstr("device \"wan0\" priority -500; policy accept;\n"
                        "    ether type 8021q vlan id { 100, 7 } accept\n"
                        "    ether type 8021ad vlan id { 100, 7 } accept\n"
                        "    ip daddr @own4 drop\n"));
  EXPECT_THAT(text,
              HasSubstr("device \"wan0.100\" priority -500; policy accept;\n"
                        "    ip daddr @own4 drop\n"));
}

TEST(NftIngress, MergesAddressesThatAPoolHolds) {
  GenerationSpec spec = small_generation(1);
  spec.services[0].bindings = {{.vip = address("10.0.3.20"), .first_port = 1, .last_port = 1},
                               {.vip = address("10.0.3.20"), .first_port = 2, .last_port = 2},
                               {.vip = address("10.0.3.9"), .first_port = 2, .last_port = 2}};
  spec.pools = {{.first = address("10.0.3.16"), .last = address("10.0.3.31")},
                {.first = address("10.0.3.30"), .last = address("10.0.3.40")}};
  const std::string text = NftIngress("lab", {{.name = "wan0"}}).build_ruleset(spec);
  EXPECT_THAT(text, HasSubstr("elements = { 10.0.3.9, 10.0.3.16-10.0.3.40 }"));
}

TEST(NftIngress, DropsWholePrefixesWithTheVipsInThem) {
  GenerationSpec spec = small_generation(1);
  spec.services[0].bindings = {
      {.vip = address("203.0.113.0"), .first_port = 1, .last_port = 1, .prefix_bits = 96 + 24},
      {.vip = address("203.0.113.10"), .first_port = 2, .last_port = 2},
      {.vip = address("2001:db8:7::"), .first_port = 1, .last_port = 1, .prefix_bits = 64}};
  const std::string text = NftIngress("lab", {{.name = "wan0"}}).build_ruleset(spec);
  EXPECT_THAT(text, HasSubstr("elements = { 203.0.113.0-203.0.113.255 }"));
  EXPECT_THAT(text, HasSubstr("elements = { 2001:db8:7::-2001:db8:7:0:ffff:ffff:ffff:ffff }"));
}

TEST(NftIngress, KeepsTheFamiliesApart) {
  GenerationSpec spec = small_generation(1);
  spec.services[0].bindings = {{.vip = address("2001:db8::10"), .first_port = 1, .last_port = 1}};
  const std::string text = NftIngress("lab", {{.name = "wan0"}}).build_ruleset(spec);
  EXPECT_THAT(text, HasSubstr("set own4 { type ipv4_addr; flags interval; }"));
  EXPECT_THAT(text,
              HasSubstr("set own6 { type ipv6_addr; flags interval; elements = { 2001:db8::10 }"));
}

TEST(NftIngress, WritesForeignCharactersOfTheInstanceAsHex) {
  const std::string text =
      NftIngress("a b;drop", {{.name = "wan0"}}).build_ruleset(small_generation(1));
  EXPECT_THAT(text, HasSubstr("table netdev holdfast_a_20b_3bdrop "));
  EXPECT_THAT(text, Not(HasSubstr(";drop")));
}

}  // namespace
}  // namespace holdfast::dataplane
