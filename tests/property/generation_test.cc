// SPDX-License-Identifier: Apache-2.0
// A generation is what its specification says, whatever was there before: random changes one after
// the other, each generation built over the one before it and once more from nothing. Only what is
// about the past may differ: the table that was replaced, and what retired members keep.
#include "dataplane/generation.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

Address v4(std::uint32_t bits) { return Address::v4(Be32::from_host(bits)); }

bool same_table(const TierTable& a, const TierTable& b) {
  return a.tier == b.tier && a.v4 == b.v4 && a.members == b.members && a.slots == b.slots;
}

bool same_service(const CompiledService& a, const CompiledService& b) {
  return a.name == b.name && a.mode == b.mode && a.hash == b.hash && a.slots == b.slots &&
         a.timeouts == b.timeouts && a.affinity == b.affinity &&
         a.affinity_binding == b.affinity_binding && a.members == b.members &&
         std::ranges::equal(*a.tiers, *b.tiers, same_table);
}

bool same_member(const Generation& of_a, const Generation& of_b, std::size_t index, bool active) {
  const MemberForward& a = of_a.members()[index];
  const MemberForward& b = of_b.members()[index];
  const bool same = a.address == b.address && a.port == b.port && a.mode == b.mode &&
                    a.epoch == b.epoch && a.live == b.live && a.has_share == b.has_share &&
                    a.service == b.service && a.mtu == b.mtu;
  if (!same || !active) {
    return same;
  }
  const bool same_tunnel = a.tunnel == kNoTunnel || b.tunnel == kNoTunnel
                               ? a.tunnel == b.tunnel
                               : of_a.tunnels()[a.tunnel] == of_b.tunnels()[b.tunnel];
  return same_tunnel && a.inner_mac == b.inner_mac && a.most_mss == b.most_mss;
}

bool same_binding(const BindingForward* a, const BindingForward* b) {
  return a == nullptr || b == nullptr
             ? a == b
             : a->vip == b->vip && a->protocol == b->protocol && a->prefix_bits == b->prefix_bits &&
                   a->service == b->service;
}

bool same_bound(const BoundService* a, const BoundService* b) {
  return a == nullptr || b == nullptr
             ? a == b
             : a->service == b->service && a->binding == b->binding && a->prefixed == b->prefixed &&
                   a->translated == b->translated;
}

// First table of each family with slots, as ids.
std::map<bool, std::vector<MemberId>> first_tables(const Generation& generation,
                                                   const CompiledService& service) {
  std::map<bool, std::vector<MemberId>> tables;
  for (const TierTable& table : *service.tiers) {
    if (!table.slots.empty() && !tables.contains(table.v4)) {
      for (const std::uint16_t index : table.slots) {
        tables[table.v4].push_back({index, generation.members()[index].epoch});
      }
    }
  }
  return tables;
}

// Slots that hold another member than before; of a table that is new or has another size, all, and
// no fewer than it had.
std::uint32_t moved_slots(const std::vector<TierTable>& before,
                          const std::vector<TierTable>& after) {
  std::size_t moved = 0;
  for (const TierTable& table : after) {
    const auto found = std::ranges::find_if(
        before, [&](const TierTable& one) { return one.tier == table.tier && one.v4 == table.v4; });
    const std::vector<std::uint16_t> old =
        found == before.end() ? std::vector<std::uint16_t>() : found->slots;
    if (old.size() != table.slots.size()) {
      moved += std::max(old.size(), table.slots.size());
      continue;
    }
    for (std::size_t i = 0; i < old.size(); ++i) {
      moved += old[i] != table.slots[i] ? 1U : 0U;
    }
  }
  return static_cast<std::uint32_t>(moved);
}

class ChangingSite {
 public:
  explicit ChangingSite(std::uint64_t seed) : random_(seed) {
    spec_.pools = {{.first = v4(0x0a640000), .last = v4(0x0a64000f)}};
    for (int i = 0; i < 4; ++i) {
      add_service();
    }
  }

  void step() {
    ++spec_.number;
    now_ms_ += random_() % 4'000;
    for (std::size_t i = random_() % 3; i > 0 && !spec_.services.empty(); --i) {
      change();
    }
    auto built = build_generation(spec_, members_, bindings_, hasher_, generation_.get(), now_ms_);
    ASSERT_TRUE(built.has_value()) << built.error();
    compare_with_one_from_nothing(*built->generation);
    check_changes(*built);
    generation_ = std::move(built->generation);
    free_retired();
  }

 private:
  std::size_t pick(std::size_t count) { return random_() % count; }
  ServiceSpec& any_service() { return spec_.services[pick(spec_.services.size())]; }

  MemberSpec new_member() {
    const std::uint32_t number = ++names_;
    MemberSpec member{.backend = "b" + std::to_string(number), .address = v4(0x0a000000 + number)};
    if (pick(4) == 0) {
      member.address.bytes = {0x20, 1, static_cast<std::uint8_t>(number)};
    }
    member.tier = static_cast<std::uint8_t>(pick(3) == 0 ? 1 : 0);
    member.weight = any_weight();
    return member;
  }
  // Of the widest range, where the least ones get no slot, and none.
  std::uint32_t any_weight() {
    constexpr std::array<std::uint32_t, 6> kWeights = {100, 100, 100, 0, 1, 65'535};
    return kWeights[pick(kWeights.size())];
  }
  BindingSpec new_binding() {
    const std::uint32_t number = ++names_;
    return {.vip = v4(0xc6120000 + number),
            .protocol = pick(2) == 0 ? Protocol::kTcp : Protocol::kUdp,
            .first_port = 80,
            .last_port = static_cast<std::uint16_t>(80 + pick(2))};
  }
  void add_service() {
    ServiceSpec service{.name = "s" + std::to_string(++names_),
                        .mode = any_mode(),
                        .slots = 4093,
                        .timeouts = {.established = 5, .udp = 3}};
    service.bindings = {new_binding()};
    for (std::size_t i = pick(6); i > 0; --i) {
      service.members.push_back(new_member());
    }
    spec_.services.push_back(std::move(service));
  }
  Mode any_mode() {
    constexpr std::array<Mode, 4> kModes = {Mode::kNat, Mode::kDsr, Mode::kIpip, Mode::kVxlan};
    return kModes[pick(kModes.size())];
  }

  void change() {
    switch (pick(4)) {
      case 0:
        return change_services();
      case 1:
        return change_service(any_service());
      default:
        return change_members(any_service().members);
    }
  }
  void change_services() {
    switch (pick(3)) {
      case 0:
        return add_service();
      case 1:
        spec_.services.erase(spec_.services.begin() +
                             static_cast<std::ptrdiff_t>(pick(spec_.services.size())));
        return;
      default:
        std::ranges::shuffle(spec_.services, random_);
    }
  }
  void change_service(ServiceSpec& service) {
    switch (pick(8)) {
      case 0:
        service.mode = any_mode();
        return;
      case 1:
        service.slots = pick(2) == 0 ? 4093 : 4099;
        return;
      case 2:
        service.timeouts.established = static_cast<std::uint16_t>(1 + pick(9));
        return;
      case 3:
        service.affinity.seconds = static_cast<std::uint16_t>(pick(2) * 60);
        return;
      case 4:
        service.mss = {.rule = MssSpec::Rule::kClamp, .most = 1400};
        return;
      case 5:
        service.hash = pick(2) == 0 ? HashFields::kSource : HashFields::kFiveTuple;
        return;
      case 6:
        service.bindings.push_back(new_binding());
        return;
      default:
        service.bindings.pop_back();
        service.bindings.push_back(new_binding());
    }
  }
  void change_members(std::vector<MemberSpec>& members) {
    if (members.empty() || pick(4) == 0) {
      members.insert(members.begin() + static_cast<std::ptrdiff_t>(pick(members.size() + 1)),
                     new_member());
      return;
    }
    MemberSpec& member = members[pick(members.size())];
    switch (pick(7)) {
      case 0:
        member = members.back();
        members.pop_back();
        return;
      case 1:
        member.weight = any_weight();
        return;
      case 2:
        member.tier ^= 1;
        return;
      case 3:
        member.address = v4(0x0a000000 + ++names_);
        return;
      case 4:
        member.slot_key = "k" + std::to_string(++names_);
        return;
      case 5:
        member.mtu = 1400;
        return;
      default:
        std::ranges::shuffle(members, random_);
    }
  }

  void compare_with_one_from_nothing(const Generation& over) {
    std::vector<MemberRecord> member_records = member_records_;
    std::vector<BindingRecord> binding_records = binding_records_;
    MemberRegistry members(member_records);
    BindingRegistry bindings(binding_records);
    const auto built = build_generation(spec_, members, bindings, hasher_, nullptr, now_ms_);
    ASSERT_TRUE(built.has_value());
    const Generation& alone = *built->generation;
    EXPECT_EQ(over.number(), alone.number());
    EXPECT_EQ(over.has_affinity(), alone.has_affinity());
    ASSERT_EQ(over.services().size(), alone.services().size());
    for (std::size_t i = 0; i < over.services().size(); ++i) {
      EXPECT_TRUE(same_service(over.services()[i], alone.services()[i])) << over.services()[i].name;
    }
    ASSERT_EQ(over.members().size(), alone.members().size());
    for (std::size_t i = 0; i < over.members().size(); ++i) {
      const bool active = member_records_[i].state == RegistryState::kActive;
      EXPECT_TRUE(same_member(over, alone, i, active)) << "member " << i;
    }
    for (std::size_t i = 0; i < binding_records_.size(); ++i) {
      const auto id = static_cast<std::uint16_t>(i);
      EXPECT_TRUE(same_binding(over.binding(id), alone.binding(id))) << "binding " << i;
      const BindingRecord& record = binding_records_[i];
      for (const std::uint16_t port : {record.first_port, record.last_port}) {
        EXPECT_TRUE(same_bound(over.bindings().find(record.vip, record.protocol, port),
                               alone.bindings().find(record.vip, record.protocol, port)))
            << "binding " << i;
      }
    }
    EXPECT_TRUE(std::ranges::equal(over.bindings().vips(), alone.bindings().vips()));
  }

  // What is said about each service that was there before, and the table it still follows.
  void check_changes(const BuiltGeneration& built) {
    std::size_t told = 0;
    for (const CompiledService& service : built.generation->services()) {
      const CompiledService* before = service_before(service.name);
      if (before == nullptr) {
        EXPECT_EQ(service.previous, nullptr);
        continue;
      }
      ASSERT_LT(told, built.changes.size());
      const ServiceChange& change = built.changes[told++];
      EXPECT_EQ(change.service, service.name);
      EXPECT_EQ(change.change.moved, moved_slots(*before->tiers, *service.tiers));
      EXPECT_LE(change.change.least, change.change.moved);
      std::uint32_t slots = 0;
      for (const TierTable& table : *service.tiers) {
        slots += static_cast<std::uint32_t>(table.slots.size());
      }
      EXPECT_EQ(change.slots, slots);
      check_previous(*before, service, change.change.moved != 0);
    }
    EXPECT_EQ(told, built.changes.size());
  }

  void check_previous(const CompiledService& before, const CompiledService& now, bool moved) {
    if (moved) {
      ASSERT_NE(now.previous, nullptr);
      const auto expected = first_tables(*generation_, before);
      EXPECT_EQ(now.previous->size(), expected.size());
      for (const FormerTable& table : *now.previous) {
        EXPECT_TRUE(table.slots == expected.at(table.v4)) << now.name;
      }
      EXPECT_GT(now.previous_until_ms, now_ms_);
    } else if (before.tiers == now.tiers) {
      const bool followed = now_ms_ < before.previous_until_ms;
      EXPECT_EQ(now.previous, followed ? before.previous : nullptr);
    }
  }

  [[nodiscard]] const CompiledService* service_before(const std::string& name) const {
    if (generation_ == nullptr) {
      return nullptr;
    }
    const auto found = std::ranges::find(generation_->services(), name, &CompiledService::name);
    return found == generation_->services().end() ? nullptr : &*found;
  }

  // As the publisher does with those that have no flows.
  void free_retired() {
    for (std::size_t i = 0; i < member_records_.size(); ++i) {
      if (member_records_[i].state == RegistryState::kRetired && pick(2) == 0) {
        members_.free(static_cast<std::uint16_t>(i));
      }
    }
    for (std::size_t i = 0; i < binding_records_.size(); ++i) {
      if (binding_records_[i].state == RegistryState::kRetired && pick(2) == 0) {
        bindings_.free(static_cast<std::uint16_t>(i));
      }
    }
  }

  std::mt19937_64 random_;
  GenerationSpec spec_;
  std::uint32_t names_ = 0;
  std::uint64_t now_ms_ = 1;
  FlowHasher hasher_{{1, 2, 3}};
  std::vector<MemberRecord> member_records_ = std::vector<MemberRecord>(128);
  std::vector<BindingRecord> binding_records_ = std::vector<BindingRecord>(128);
  MemberRegistry members_{member_records_};
  BindingRegistry bindings_{binding_records_};
  std::unique_ptr<const Generation> generation_;
};

TEST(Generation, IsTheSameOverAnyOtherAsFromNothing) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(seed);
    ChangingSite site(seed);
    for (int i = 0; i < 40; ++i) {
      SCOPED_TRACE(i);
      site.step();
      if (HasFailure()) {
        return;
      }
    }
  }
}

}  // namespace
}  // namespace holdfast::dataplane
