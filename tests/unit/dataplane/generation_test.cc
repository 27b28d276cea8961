// SPDX-License-Identifier: Apache-2.0
#include "dataplane/generation.h"

#include "dataplane/generation_checks.h"
#include "dataplane/state.h"
#include "tests/support/appliance.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using testing::three_backends;

struct Registries {
  std::vector<MemberRecord> member_records = std::vector<MemberRecord>(64);
  std::vector<BindingRecord> binding_records = std::vector<BindingRecord>(64);
  MemberRegistry members{member_records};
  BindingRegistry bindings{binding_records};
  FlowHasher hasher{{1}};

  auto build(const GenerationSpec& spec, const Generation* previous = nullptr) {
    return build_generation(spec, members, bindings, hasher, previous, 0);
  }
};

TEST(Generation, FindsServicesByVipProtocolAndPort) {
  Registries r;
  GenerationSpec spec = three_backends(Mode::kNat);
  spec.services[0].bindings.push_back({.vip = testing::kVip.address,
                                       .protocol = Protocol::kTcp,
                                       .first_port = 5000,
                                       .last_port = 5010});
  const auto built = r.build(spec);
  ASSERT_TRUE(built.has_value()) << built.error();
  const BindingTable& table = built->generation->bindings();
  const Address vip = testing::kVip.address;
  EXPECT_EQ(table.find(vip, Protocol::kTcp, 80)->service, 0);
  EXPECT_EQ(table.find(vip, Protocol::kUdp, 53)->service, 1);
  EXPECT_EQ(table.find(vip, Protocol::kTcp, 5007)->service, 0);
  EXPECT_EQ(table.find(vip, Protocol::kTcp, 5011), nullptr);
  EXPECT_EQ(table.find(vip, Protocol::kUdp, 80), nullptr);
  EXPECT_EQ(table.vips().size(), 2U);
  EXPECT_TRUE(built->generation->is_ours(testing::kPool.address));
  EXPECT_FALSE(built->generation->is_ours(testing::kBackend1.address));
}

TEST(Generation, KnowsItsPoolsInAnyOrderAndWithGaps) {
  const auto at = [](const char* text) { return *Address::parse(text); };
  const auto kinds_of = [&](std::vector<PoolSpec> pools) {
    Registries r;
    GenerationSpec spec = three_backends(Mode::kNat);
    spec.pools = std::move(pools);
    const auto built = r.build(spec);
    EXPECT_TRUE(built.has_value());
    std::string kinds;
    for (const char* text : {"10.0.9.15",
                             "10.0.9.16",
                             "10.0.9.17",
                             "10.0.9.18",
                             "10.0.9.19",
                             "10.0.9.20",
                             "2001:db8::a00:910",
                             "2001:db8:9::1"}) {
      kinds += built && built->generation->in_pool(at(text)) ? 'p' : '-';
    }
    return kinds;
  };
  const PoolSpec low{at("10.0.9.16"), at("10.0.9.17")};
  const PoolSpec middle{at("10.0.9.18"), at("10.0.9.18")};
  const PoolSpec high{at("10.0.9.19"), at("10.0.9.19")};
  const PoolSpec v6{at("2001:db8:9::1"), at("2001:db8:9::1")};
  EXPECT_EQ(kinds_of({low}), "-pp-----");
  EXPECT_EQ(kinds_of({low, middle}), "-ppp----");
  EXPECT_EQ(kinds_of({low, middle, high}), "-pppp---");
  EXPECT_EQ(kinds_of({high, low}), "-pp-p---");
  EXPECT_EQ(kinds_of({low, high}), "-pp-p---");
  EXPECT_EQ(kinds_of({low, v6, high}), "-pp-p--p");
  EXPECT_EQ(kinds_of({v6}), "-------p");
}

// What `migrate` relies on: two members that change keys change places, and nothing else moves.
TEST(Generation, LeavesEveryOtherSlotAloneWhenTwoMembersChangeKeys) {
  Registries r;
  GenerationSpec spec = three_backends(Mode::kDsr);
  const auto before = r.build(spec);
  ASSERT_TRUE(before.has_value());
  std::vector<MemberSpec>& members = spec.services[0].members;
  members[0].slot_key = members[1].backend;
  EXPECT_FALSE(r.build(spec, before->generation.get()).has_value());  // two of one key
  members[1].slot_key = members[0].backend;
  const auto after = r.build(spec, before->generation.get());
  ASSERT_TRUE(after.has_value()) << after.error();
  const TierTable& old_table = before->generation->services()[0].tiers->back();  // IPv4
  const TierTable& new_table = after->generation->services()[0].tiers->back();   // IPv4
  ASSERT_EQ(old_table.slots.size(), new_table.slots.size());
  const auto index_of = [&](const std::string& backend) {
    const auto found = std::ranges::find_if(r.member_records, [&](const MemberRecord& record) {
      return record.service.view() == spec.services[0].name && record.backend.view() == backend;
    });
    return static_cast<std::uint16_t>(found - r.member_records.begin());
  };
  const std::uint16_t first = index_of(members[0].backend);
  const std::uint16_t second = index_of(members[1].backend);
  std::vector<std::uint16_t> expected = old_table.slots;
  for (std::uint16_t& slot : expected) {
    slot = slot == first ? second : slot == second ? first : slot;
  }
  EXPECT_TRUE(new_table.slots == expected);
  EXPECT_FALSE(new_table.slots == old_table.slots);
}

TEST(Generation, RefusesADefectiveSpecificationAndChangesNothing) {
  const auto refused = [](auto&& change) {
    Registries r;
    GenerationSpec spec = three_backends(Mode::kDsr);
    change(spec);
    const auto built = r.build(spec);
    EXPECT_FALSE(built.has_value());
    EXPECT_TRUE(std::ranges::all_of(r.member_records, [](const MemberRecord& record) {
      return record.state == RegistryState::kFree;
    }));
    return built ? std::string() : built.error();
  };
  EXPECT_NE(refused([](auto& s) { s.services[0].slots = 4096; }).find("prime"), std::string::npos);
  EXPECT_NE(refused([](auto& s) { s.services[1] = s.services[0]; }).find("twice"),
            std::string::npos);
  EXPECT_NE(
      refused([](auto& s) { s.services[1].bindings = s.services[0].bindings; }).find("overlap"),
      std::string::npos);
  EXPECT_NE(refused([](auto& s) { s.services[0].members[0].port = 81; }).find("dsr"),
            std::string::npos);
  EXPECT_NE(refused([](auto& s) {
              s.services[0].members[1].backend = s.services[0].members[0].backend;
            }).find("stands twice"),
            std::string::npos);
  EXPECT_NE(refused([](auto& s) {
              s.services[0].members[0].disposition = Disposition::kHold;
            }).find("hold"),
            std::string::npos);
  EXPECT_NE(
      refused([](auto& s) {
        s.pools = {{.first = testing::v4(203, 0, 113, 1), .last = testing::v4(203, 0, 113, 99)}};
      }).find("VIP 203.0.113.10 is inside a NAT pool"),
      std::string::npos);
  EXPECT_NE(refused([](auto& s) {
              s.pools = {{.first = testing::v4(10, 0, 0, 9), .last = testing::v4(10, 0, 0, 1)}};
            }).find("range"),
            std::string::npos);
  EXPECT_NE(refused([](auto& s) {
              s.pools = {{.first = testing::v4(10, 0, 0, 0), .last = testing::v4(10, 9, 0, 1)}};
            }).find("65536"),
            std::string::npos);
}

TEST(Generation, GivesIdsBackWhenTheRegistryIsFull) {
  Registries r;
  r.member_records.resize(8);
  r.members = MemberRegistry(r.member_records);
  EXPECT_FALSE(r.build(three_backends(Mode::kDsr)).has_value());
  EXPECT_TRUE(std::ranges::all_of(r.member_records, [](const MemberRecord& record) {
    return record.state == RegistryState::kFree;
  }));
}

TEST(Generation, UnchangedServicesShareTheirTables) {
  Registries r;
  const GenerationSpec spec = three_backends(Mode::kDsr);
  const auto first = r.build(spec);
  GenerationSpec next = spec;
  next.number = 2;
  next.services[0].members[0].weight = 50;
  const auto second = r.build(next, first->generation.get());
  ASSERT_TRUE(second.has_value());
  EXPECT_NE(second->generation->services()[0].tiers, first->generation->services()[0].tiers);
  const auto& former = *second->generation->services()[0].previous;
  ASSERT_EQ(former.size(), 2U);  // one table per family
  const auto& before = *first->generation->services()[0].tiers;
  for (std::size_t i = 0; i < former.size(); ++i) {
    EXPECT_EQ(former[i].v4, before[i].v4);
    EXPECT_TRUE(std::ranges::equal(former[i].slots, before[i].slots, {}, &MemberId::index));
  }
  EXPECT_EQ(second->generation->services()[1].tiers, first->generation->services()[1].tiers);
  EXPECT_EQ(second->generation->services()[1].previous, nullptr);
  EXPECT_GT(second->changes[0].change.moved, 0U);
  EXPECT_EQ(second->changes[1].change.moved, 0U);
}

// One that the weights leave without a slot is still what new flows go to when no other takes any.
TEST(Generation, KnowsAMemberThatCameOrWentWithoutASlot) {
  Registries r;
  GenerationSpec spec = three_backends(Mode::kDsr);
  for (MemberSpec& member : spec.services[0].members) {
    member.weight = 65'535;
  }
  const MemberSpec light{.backend = "light", .address = testing::v4(10, 0, 3, 99), .weight = 1};
  const auto without = r.build(spec);
  ASSERT_TRUE(without.has_value()) << without.error();
  spec.services[0].members.push_back(light);
  const auto with = r.build(spec, without->generation.get());
  ASSERT_TRUE(with.has_value()) << with.error();
  spec.services[0].members.pop_back();
  const auto again = r.build(spec, with->generation.get());
  ASSERT_TRUE(again.has_value()) << again.error();
  const auto table_of = [](const auto& built) -> const TierTable& {
    return built->generation->services()[0].tiers->back();  // IPv4
  };
  EXPECT_TRUE(table_of(with).slots == table_of(without).slots);
  EXPECT_EQ(table_of(with).members.size(), table_of(without).members.size() + 1);
  EXPECT_EQ(table_of(again).members, table_of(without).members);
  EXPECT_EQ(with->changes[0].change.moved, 0U);
  EXPECT_EQ(with->generation->services()[0].previous, nullptr);
}

TEST(Generation, AChangedAddressIsANewMemberThatKeepsItsSlots) {
  Registries r;
  const GenerationSpec spec = three_backends(Mode::kDsr);
  const auto first = r.build(spec);
  GenerationSpec next = spec;
  next.number = 2;
  next.services[0].members[0].address = testing::v4(10, 0, 3, 77);
  const auto second = r.build(next, first->generation.get());
  ASSERT_TRUE(second.has_value());
  const auto& before = first->generation->services()[0].tiers->back();  // IPv4
  const auto& after = second->generation->services()[0].tiers->back();
  std::size_t moved = 0;
  for (std::size_t i = 0; i < before.slots.size(); ++i) {
    const bool was_first = before.slots[i] == before.members[0];
    EXPECT_EQ(was_first, after.slots[i] == after.members[0]);
    moved += before.slots[i] != after.slots[i] ? 1U : 0U;
  }
  EXPECT_GT(moved, 0U);
  EXPECT_EQ(r.member_records[before.members[0]].state, RegistryState::kRetired);
  EXPECT_TRUE(second->generation->members()[before.members[0]].live);
}

TEST(Generation, AReusedIndexHasAnotherEpoch) {
  std::vector<MemberRecord> records(1);
  MemberRegistry registry(records);
  const ServiceSpec service{.name = "s"};
  const MemberSpec member{.backend = "a"};
  const MemberId first = *registry.allocate(service, member);
  registry.free(first.index);
  const MemberId second = *registry.allocate(service, member);
  EXPECT_EQ(first.index, second.index);
  EXPECT_NE(first.epoch, second.epoch);
}

TEST(IsPrime, KnowsTheTableSizes) {
  EXPECT_TRUE(is_prime(4093));
  EXPECT_TRUE(is_prime(65537));
  EXPECT_FALSE(is_prime(65536));
  EXPECT_FALSE(is_prime(1));
}

}  // namespace
}  // namespace holdfast::dataplane
