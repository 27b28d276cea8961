// SPDX-License-Identifier: Apache-2.0
// Compiling a generation: ids and tables.
#include "dataplane/generation.h"

#include "dataplane/generation_checks.h"
#include "dataplane/registry_keys.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <unordered_map>

namespace holdfast::dataplane {
namespace {

// The bound beside the MTU; 0: none is put on what a SYN announces.
std::uint16_t most_mss(const MssSpec& mss, Mode mode) {
  const bool clamps =
      mss.rule == MssSpec::Rule::kClamp || (mss.rule == MssSpec::Rule::kAuto && mode == Mode::kNat);
  if (!clamps) {
    return 0;
  }
  return mss.most == 0 ? kMostMss : mss.most;
}

// What affinity records name a service by.
constexpr BindingSpec kWholeService = {.vip = {}, .protocol = kNoProtocol};

}  // namespace

// Compiles one specification. Ids are taken from the registries first; on failure they go back.
class GenerationBuilder {
 public:
  GenerationBuilder(const GenerationSpec& spec,
                    MemberRegistry& members,
                    BindingRegistry& bindings,
                    const FlowHasher& hasher,
                    const Generation* previous,
                    std::uint64_t now_ms)
      : spec_(spec),
        members_(members),
        bindings_(bindings),
        previous_(previous),
        now_ms_(now_ms),
        generation_(std::make_unique<Generation>()) {
    generation_->number_ = spec.number;
    generation_->hasher_ = &hasher;
    generation_->pools_ = spec.pools;
    for (const PoolSpec& pool : spec.pools) {
      append_range(pool, pool.first.is_v4() ? generation_->pool_v4_ : generation_->pool_v6_);
      add_pool(pool);
    }
    if (previous != nullptr) {
      for (const CompiledService& service : previous->services_) {
        services_before_.emplace(service.name, &service);
      }
    }
  }

  std::expected<BuiltGeneration, std::string> build() {
    if (!assign_members() || !assign_bindings()) {
      give_back();
      return std::unexpected("the registry is full: wait until flows of removed members end");
    }
    retire_missing();
    record_mtus();
    compile_bindings();
    compile_members();
    compile_mss();
    compile_shares();
    compile_tunnels();
    BuiltGeneration built;
    for (std::size_t i = 0; i < spec_.services.size(); ++i) {
      compile_service(i, built.changes);
    }
    built.generation = std::move(generation_);
    return built;
  }

 private:
  void add_pool(const PoolSpec& pool) {
    Generation& generation = *generation_;
    if (!pool.first.is_v4()) {
      generation.has_pools_v6_ = true;
      return;
    }
    const std::uint32_t first = pool.first.v4_bits().to_host();
    const std::uint64_t end = std::uint64_t{pool.last.v4_bits().to_host()} + 1;
    const bool none = generation.pools_span_ == 0;
    const std::uint64_t end_before = generation.pools_begin_ + generation.pools_span_;
    generation.pools_gapless_ = none || (generation.pools_gapless_ && first == end_before);
    generation.pools_begin_ = none ? first : std::min(generation.pools_begin_, first);
    generation.pools_span_ = std::max(end, none ? 0 : end_before) - generation.pools_begin_;
  }

  bool assign_members() {
    known_ = index_of<MemberKey>(members_.records());
    const auto& known = known_;
    for (const ServiceSpec& service : spec_.services) {
      std::vector<std::uint16_t>& ids = member_ids_.emplace_back();
      for (const MemberSpec& member : service.members) {
        const auto found = known.find(key_of(service, member));
        if (found != known.end()) {
          ids.push_back(found->second);
          continue;
        }
        const std::optional<MemberId> id = members_.allocate(service, member);
        if (!id) {
          return false;
        }
        new_members_.push_back(id->index);
        ids.push_back(id->index);
      }
    }
    return true;
  }

  bool assign_bindings() {
    const auto known = index_of<BindingKey>(bindings_.records());
    for (const ServiceSpec& service : spec_.services) {
      std::vector<std::uint16_t>& ids = binding_ids_.emplace_back();
      std::vector<BindingSpec> bindings = service.bindings;
      if (service.affinity.seconds != 0) {
        bindings.push_back(kWholeService);
      }
      for (const BindingSpec& binding : bindings) {
        const auto found = known.find(key_of(service, binding));
        if (found != known.end()) {
          ids.push_back(found->second);
          continue;
        }
        const std::optional<std::uint16_t> id = bindings_.allocate(service, binding);
        if (!id) {
          return false;
        }
        new_bindings_.push_back(*id);
        ids.push_back(*id);
      }
    }
    return true;
  }

  void give_back() {
    for (const std::uint16_t index : new_members_) {
      members_.free(index);
    }
    for (const std::uint16_t index : new_bindings_) {
      bindings_.free(index);
    }
  }

  // What the specification names is active; what else was is retired.
  void retire_missing() {
    const auto settle = [](auto records, const std::vector<std::vector<std::uint16_t>>& ids) {
      for (auto& record : records) {
        if (record.state == RegistryState::kActive) {
          record.state = RegistryState::kRetired;
        }
      }
      for (const std::vector<std::uint16_t>& of_service : ids) {
        for (const std::uint16_t index : of_service) {
          records[index].state = RegistryState::kActive;
        }
      }
    };
    settle(members_.records(), member_ids_);
    settle(bindings_.records(), binding_ids_);
  }

  void record_mtus() {
    for (std::size_t i = 0; i < spec_.services.size(); ++i) {
      for (std::size_t j = 0; j < member_ids_[i].size(); ++j) {
        members_.records()[member_ids_[i][j]].mtu = spec_.services[i].members[j].mtu;
      }
    }
  }

  void compile_bindings() {
    std::vector<BindingTable::Row> rows;
    generation_->binding_.resize(bindings_.records().size());
    for (std::size_t i = 0; i < bindings_.records().size(); ++i) {
      const BindingRecord& record = bindings_.records()[i];
      generation_->binding_[i] = {.vip = record.vip,
                                  .protocol = record.protocol,
                                  .live = record.state != RegistryState::kFree,
                                  .prefix_bits = record.prefix_bits,
                                  .service = kNoService};
    }
    for (std::size_t i = 0; i < spec_.services.size(); ++i) {
      for (std::size_t j = 0; j < spec_.services[i].bindings.size(); ++j) {
        const BindingSpec& binding = spec_.services[i].bindings[j];
        const std::uint16_t id = binding_ids_[i][j];
        const auto service = static_cast<std::uint16_t>(i);
        rows.push_back({.spec = binding,
                        .bound = {.service = service,
                                  .binding = id,
                                  .prefixed = binding.prefix_bits != kWholeAddress,
                                  .translated = spec_.services[i].mode == Mode::kNat}});
        generation_->binding_[id].service = service;
      }
      if (spec_.services[i].affinity.seconds != 0) {
        generation_->binding_[binding_ids_[i].back()].service = static_cast<std::uint16_t>(i);
        generation_->has_affinity_ = true;
      }
    }
    generation_->bindings_ = BindingTable(rows);
  }

  void compile_members() {
    std::unordered_map<std::string_view, std::uint16_t> services;
    for (std::size_t i = 0; i < spec_.services.size(); ++i) {
      services.emplace(spec_.services[i].name, static_cast<std::uint16_t>(i));
    }
    for (std::size_t i = 0; i < members_.records().size(); ++i) {
      const MemberRecord& record = members_.records()[i];
      if (record.state != RegistryState::kFree) {
        const auto service = services.find(record.service.view());
        generation_->members_.resize(i + 1);
        generation_->members_[i] = {
            .address = record.address,
            .port = Be16::from_host(record.port),
            .mode = record.mode,
            .epoch = record.epoch,
            .live = true,
            .copy = record.copy != 0,
            .service = service == services.end() ? kNoService : service->second,
            .mtu = record.mtu,
            .most_mss = most_mss({}, record.mode)};
      }
    }
  }

  // The record that a copy was made of, if it is still there.
  [[nodiscard]] std::optional<std::uint16_t> original_of(std::uint16_t copy) const {
    const auto found = known_.find(key_of(members_.records()[copy]));
    return found == known_.end() ? std::nullopt : std::optional(found->second);
  }

  // What the generation before knew of a member; of a new copy, of what it was made of.
  [[nodiscard]] const MemberForward* before_of(std::uint16_t index,
                                               const MemberForward& member) const {
    if (previous_ == nullptr) {
      return nullptr;
    }
    const MemberForward* before = previous_->member({index, member.epoch});
    if (before != nullptr || !member.copy) {
      return before;
    }
    const std::optional<std::uint16_t> original = original_of(index);
    return original ? previous_->member({*original, members_.records()[*original].epoch}) : nullptr;
  }

  // A retired member's: what it had, or, when no generation before knows it, its mode's.
  void compile_mss() {
    for (std::size_t i = 0; i < generation_->members_.size(); ++i) {
      MemberForward& member = generation_->members_[i];
      const MemberForward* before = before_of(static_cast<std::uint16_t>(i), member);
      if (before != nullptr) {
        member.most_mss = before->most_mss;
      }
    }
    for (std::size_t i = 0; i < spec_.services.size(); ++i) {
      for (const std::uint16_t index : member_ids_[i]) {
        generation_->members_[index].most_mss =
            most_mss(spec_.services[i].mss, spec_.services[i].mode);
      }
    }
  }

  void compile_shares() {
    for (std::size_t i = 0; i < spec_.services.size(); ++i) {
      for (std::size_t j = 0; j < spec_.services[i].members.size(); ++j) {
        generation_->members_[member_ids_[i][j]].has_share =
            spec_.services[i].members[j].weight != 0;
      }
    }
  }

  void compile_tunnels() {
    for (std::size_t i = 0; i < spec_.services.size(); ++i) {
      const ServiceSpec& service = spec_.services[i];
      for (std::size_t j = 0; is_tunnel(service.mode) && j < service.members.size(); ++j) {
        MemberForward& member = generation_->members_[member_ids_[i][j]];
        member.tunnel = tunnel_index(service.mode, service.tunnel);
        member.inner_mac = service.members[j].inner_mac;
      }
    }
    for (std::size_t i = 0; i < generation_->members_.size(); ++i) {
      MemberForward& member = generation_->members_[i];
      if (member.live && member.copy && is_tunnel(member.mode)) {
        copy_tunnel(static_cast<std::uint16_t>(i), member);
      }
      if (member.live && is_tunnel(member.mode) && member.tunnel == kNoTunnel) {
        keep_tunnel(static_cast<std::uint16_t>(i), member);
      }
    }
  }

  // Of a member that is in force.
  void copy_tunnel(std::uint16_t index, MemberForward& member) {
    const std::optional<std::uint16_t> original = original_of(index);
    if (original && members_.records()[*original].state == RegistryState::kActive) {
      member.tunnel = generation_->members_[*original].tunnel;
      member.inner_mac = generation_->members_[*original].inner_mac;
    }
  }

  // A retired member's: what it had, or, when no generation before knows it, its service's.
  void keep_tunnel(std::uint16_t index, MemberForward& member) {
    const MemberForward* before = before_of(index, member);
    if (before != nullptr && before->tunnel != kNoTunnel) {
      member.tunnel = tunnel_index(member.mode, previous_->tunnels_[before->tunnel]);
      member.inner_mac = before->inner_mac;
      return;
    }
    const auto same = std::ranges::find_if(spec_.services, [&](const ServiceSpec& service) {
      return service.name == members_.records()[index].service.view() &&
             service.mode == member.mode;
    });
    member.tunnel =
        tunnel_index(member.mode, same == spec_.services.end() ? TunnelSpec{} : same->tunnel);
  }

  std::uint16_t tunnel_index(Mode mode, TunnelSpec tunnel) {
    if (tunnel.port == 0) {
      tunnel.port = default_tunnel_port(mode, tunnel.hops != 0);
    }
    std::vector<TunnelSpec>& all = generation_->tunnels_;
    const auto found = std::ranges::find(all, tunnel);
    const auto index = static_cast<std::uint16_t>(found - all.begin());
    if (found == all.end()) {
      all.push_back(tunnel);
    }
    return index;
  }

  void compile_service(std::size_t index, std::vector<ServiceChange>& changes) {
    const ServiceSpec& spec = spec_.services[index];
    CompiledService service{
        .name = spec.name,
        .mode = spec.mode,
        .hash = spec.hash,
        .slots = spec.slots,
        .timeouts = spec.timeouts,
        .affinity = spec.affinity,
        .affinity_binding = spec.affinity.seconds == 0 ? kNoService : binding_ids_[index].back(),
        .tiers = nullptr,
        .previous = nullptr,
        .members = spec.members};
    const CompiledService* before = find_previous(spec.name);
    service.tiers = build_tiers(spec, member_ids_[index], before);
    if (before != nullptr) {
      const bool same =
          service.tiers == before->tiers || same_slots(*before->tiers, *service.tiers);
      if (same) {
        keep_previous(*before, service);
      } else {
        service.previous = former_tables(*before->tiers);
        service.previous_until_ms = now_ms_ + std::uint64_t{1000} * longest(service.timeouts);
      }
      changes.push_back({.service = service.name,
                         .change = same ? TableChange{} : change_of(*before->tiers, *service.tiers),
                         .slots = slots_of(*service.tiers)});
    }
    generation_->services_.push_back(std::move(service));
  }

  [[nodiscard]] const CompiledService* find_previous(std::string_view name) const {
    const auto found = services_before_.find(name);
    return found == services_before_.end() ? nullptr : found->second;
  }

  // Unchanged members keep their tables without building them again.
  Tiers build_tiers(const ServiceSpec& spec,
                    const std::vector<std::uint16_t>& ids,
                    const CompiledService* before) {
    const auto same_share = [](const MemberSpec& a, const MemberSpec& b) {
      return a.backend == b.backend && a.address == b.address && a.port == b.port &&
             a.weight == b.weight && a.tier == b.tier && a.slot_key == b.slot_key;
    };
    if (before != nullptr && before->slots == spec.slots && before->mode == spec.mode &&
        std::ranges::equal(before->members, spec.members, same_share)) {
      return before->tiers;
    }
    // A tunnel carries either family to a member of either.
    const bool tunnel = is_tunnel(spec.mode);
    std::map<std::pair<std::uint8_t, bool>, std::vector<MaglevMember>> by_tier;
    for (std::size_t i = 0; i < spec.members.size(); ++i) {
      const MemberSpec& member = spec.members[i];
      if (member.weight != 0) {
        by_tier[{member.tier, tunnel || member.address.is_v4()}].push_back(
            {.key = member.maglev_key(), .weight = member.weight, .index = ids[i]});
      }
    }
    auto tiers = std::make_shared<std::vector<TierTable>>();
    for (auto& [place, members] : by_tier) {
      std::ranges::sort(members, {}, &MaglevMember::key);
      TierTable table{.tier = place.first, .v4 = place.second, .members = {}, .slots = {}};
      std::ranges::transform(members, std::back_inserter(table.members), &MaglevMember::index);
      table.slots = build_maglev(members, spec.slots, *generation_->hasher_);
      if (tunnel) {
        tiers->push_back(table);
        tiers->back().v4 = false;
      }
      tiers->push_back(std::move(table));
    }
    return tiers;
  }

  static bool same_slots(const std::vector<TierTable>& a, const std::vector<TierTable>& b) {
    return std::ranges::equal(a, b, [](const TierTable& left, const TierTable& right) {
      return left.tier == right.tier && left.v4 == right.v4 && left.slots == right.slots;
    });
  }

  // An earlier change's table, while it is followed. Shorter timeouts shorten that too.
  void keep_previous(const CompiledService& before, CompiledService& service) const {
    const std::uint64_t until = std::min(before.previous_until_ms,
                                         now_ms_ + std::uint64_t{1000} * longest(service.timeouts));
    if (before.previous != nullptr && now_ms_ < until) {
      service.previous = before.previous;
      service.previous_until_ms = until;
    }
  }

  static std::uint16_t longest(const TimeoutSpec& timeouts) {
    return std::max({timeouts.half_open, timeouts.established, timeouts.closing, timeouts.udp});
  }

  // Requires: `tiers` are of previous_.
  [[nodiscard]] FormerTables former_tables(const std::vector<TierTable>& tiers) const {
    auto former = std::make_shared<std::vector<FormerTable>>();
    for (const TierTable& table : tiers) {
      const auto same_family = [&](const FormerTable& one) { return one.v4 == table.v4; };
      if (table.slots.empty() || std::ranges::any_of(*former, same_family)) {
        continue;
      }
      FormerTable& kept = former->emplace_back(table.tier, table.v4);
      kept.slots.reserve(table.slots.size());
      for (const std::uint16_t index : table.slots) {
        kept.slots.push_back({index, previous_->members()[index].epoch});
      }
    }
    return former;
  }

  // Sums over the tables now in force; one that is new has moved as a whole.
  static TableChange change_of(const std::vector<TierTable>& before,
                               const std::vector<TierTable>& after) {
    TableChange result;
    for (const TierTable& table : after) {
      const auto old = std::ranges::find_if(before, [&](const TierTable& one) {
        return one.tier == table.tier && one.v4 == table.v4;
      });
      const TableChange change = compare_tables(
          old == before.end() ? std::span<const std::uint16_t>{} : std::span(old->slots),
          table.slots);
      result.moved += change.moved;
      result.least += change.least;
    }
    return result;
  }

  static std::uint32_t slots_of(const std::vector<TierTable>& tables) {
    std::uint32_t slots = 0;
    for (const TierTable& table : tables) {
      slots += static_cast<std::uint32_t>(table.slots.size());
    }
    return slots;
  }

  const GenerationSpec& spec_;
  MemberRegistry& members_;
  BindingRegistry& bindings_;
  const Generation* previous_;
  std::unordered_map<std::string_view, const CompiledService*> services_before_;
  std::uint64_t now_ms_;
  std::unique_ptr<Generation> generation_;
  std::unordered_map<MemberKey, std::uint16_t, KeyHash> known_;  // members, before the new ones
  std::vector<std::vector<std::uint16_t>> member_ids_;           // by service, then as specified
  std::vector<std::vector<std::uint16_t>> binding_ids_;
  std::vector<std::uint16_t> new_members_;
  std::vector<std::uint16_t> new_bindings_;
};

std::expected<BuiltGeneration, std::string> build_generation(const GenerationSpec& spec,
                                                             MemberRegistry& members,
                                                             BindingRegistry& bindings,
                                                             const FlowHasher& hasher,
                                                             const Generation* previous,
                                                             std::uint64_t now_ms) {
  if (std::string defect = defect_of(spec); !defect.empty()) {
    return std::unexpected(std::move(defect));
  }
  return GenerationBuilder(spec, members, bindings, hasher, previous, now_ms).build();
}

bool Generation::is_in_a_pool(const Address& address) const {
  return std::ranges::any_of(
      pools_, [&](const PoolSpec& pool) { return pool.first <= address && address <= pool.last; });
}

}  // namespace holdfast::dataplane
