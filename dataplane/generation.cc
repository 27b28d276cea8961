// SPDX-License-Identifier: Apache-2.0
// Compiling a generation: checks, ids, tables.
#include "dataplane/generation.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>
#include <unordered_map>

namespace holdfast::dataplane {
namespace {

constexpr std::size_t kMaxMembers = 10'000;
constexpr std::size_t kMaxBindings = 10'000;
constexpr std::uint32_t kMinSlots = 4093;
constexpr std::uint32_t kMaxSlots = 65537;

using MemberKey = std::tuple<std::string, std::string, Address, std::uint16_t, Mode>;
using BindingKey = std::tuple<std::string, Address, Protocol, std::uint16_t, std::uint16_t>;

MemberKey key_of(const ServiceSpec& service, const MemberSpec& member) {
  return {service.name, member.backend, member.address, member.port, service.mode};
}
MemberKey key_of(const MemberRecord& record) {
  return {std::string(record.service.view()),
          std::string(record.backend.view()),
          record.address,
          record.port,
          record.mode};
}
BindingKey key_of(const ServiceSpec& service, const BindingSpec& binding) {
  return {service.name, binding.vip, binding.protocol, binding.first_port, binding.last_port};
}
BindingKey key_of(const BindingRecord& record) {
  return {std::string(record.service.view()),
          record.vip,
          record.protocol,
          record.first_port,
          record.last_port};
}

std::string defect_of_members(const ServiceSpec& service) {
  std::map<std::string_view, int> seen;
  for (const MemberSpec& member : service.members) {
    if (member.backend.empty() || member.backend.size() >= kLabelBytes) {
      return "service " + service.name + ": a backend's name is empty or too long";
    }
    if (++seen[member.backend] > 1) {
      return "service " + service.name + ": backend " + member.backend + " stands twice";
    }
    if (member.disposition == Disposition::kHold) {
      return "service " + service.name + ": hold, for " + member.backend +
             ", is not available in this version";
    }
    if (service.mode == Mode::kDsr && member.port != 0) {
      return "service " + service.name + ": dsr cannot change the port of " + member.backend;
    }
  }
  return {};
}

std::string defect_of_service(const ServiceSpec& service) {
  if (service.name.empty() || service.name.size() >= kLabelBytes) {
    return "a service's name is empty or too long";
  }
  if (service.slots < kMinSlots || service.slots > kMaxSlots || !is_prime(service.slots)) {
    return "service " + service.name + ": slots must be a prime from 4093 to 65537";
  }
  if (service.members.size() * 10 > service.slots) {
    return "service " + service.name + ": fewer than 10 slots per member";
  }
  for (const BindingSpec& binding : service.bindings) {
    if (binding.protocol != Protocol::kTcp && binding.protocol != Protocol::kUdp) {
      return "service " + service.name + ": a binding is neither TCP nor UDP";
    }
    if (binding.first_port == 0 || binding.first_port > binding.last_port) {
      return "service " + service.name + ": a binding's ports are not a range";
    }
  }
  return defect_of_members(service);
}

// The address after this one. Requires: not the family's last.
Address next_address(Address address) {
  for (std::size_t i = address.bytes.size(); i-- > 0;) {
    if (++address.bytes[i] != 0) {
      break;
    }
  }
  return address;
}

// Appends a range's addresses; false when there would be more than kMaxPoolAddresses.
bool append_range(const PoolSpec& pool, std::vector<Address>& addresses) {
  for (Address at = pool.first;; at = next_address(at)) {
    if (addresses.size() == kMaxPoolAddresses) {
      return false;
    }
    addresses.push_back(at);
    if (at == pool.last) {
      return true;
    }
  }
}

std::string defect_of_pools(std::span<const PoolSpec> pools) {
  std::vector<Address> v4;
  std::vector<Address> v6;
  for (const PoolSpec& pool : pools) {
    if (pool.first.is_v4() != pool.last.is_v4() || pool.last < pool.first) {
      return "a NAT pool is not a range of one family";
    }
    if (!append_range(pool, pool.first.is_v4() ? v4 : v6)) {
      return "NAT pools of more than 65536 addresses";
    }
  }
  return {};
}

// A destination is a VIP's or a pool's: the owner rule tells the directions apart by it.
std::string defect_of_vips_in_pools(const GenerationSpec& spec) {
  std::vector<std::pair<Address, std::string_view>> vips;
  for (const ServiceSpec& service : spec.services) {
    for (const BindingSpec& binding : service.bindings) {
      vips.emplace_back(binding.vip, service.name);
    }
  }
  std::vector<PoolSpec> pools = spec.pools;
  std::ranges::sort(vips);
  std::ranges::sort(pools, {}, &PoolSpec::first);
  std::optional<Address> last;  // of the pools that begin at or before the VIP
  auto pool = pools.begin();
  for (const auto& [vip, service] : vips) {
    for (; pool != pools.end() && pool->first <= vip; ++pool) {
      last = std::max(last, std::optional(pool->last));
    }
    if (last && vip <= *last) {
      return "service " + std::string(service) + ": VIP " + vip.text() + " is inside a NAT pool";
    }
  }
  return {};
}

// Two bindings of one VIP and protocol whose ports overlap.
std::string defect_of_overlap(const GenerationSpec& spec) {
  std::vector<std::pair<BindingSpec, std::string_view>> all;
  for (const ServiceSpec& service : spec.services) {
    for (const BindingSpec& binding : service.bindings) {
      all.emplace_back(binding, service.name);
    }
  }
  std::ranges::sort(all, {}, [](const auto& entry) {
    return std::tuple(entry.first.vip, entry.first.protocol, entry.first.first_port);
  });
  for (std::size_t i = 1; i < all.size(); ++i) {
    const BindingSpec& before = all[i - 1].first;
    const BindingSpec& here = all[i].first;
    if (before.vip == here.vip && before.protocol == here.protocol &&
        here.first_port <= before.last_port) {
      return "services " + std::string(all[i - 1].second) + " and " + std::string(all[i].second) +
             " overlap at " + here.vip.text();
    }
  }
  return {};
}

}  // namespace

bool is_prime(std::uint32_t number) {
  if (number < 2) {
    return false;
  }
  for (std::uint32_t divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) {
      return false;
    }
  }
  return true;
}

std::string defect_of(const GenerationSpec& spec) {
  std::size_t members = 0;
  std::size_t bindings = 0;
  std::map<std::string_view, int> names;
  for (const ServiceSpec& service : spec.services) {
    if (std::string defect = defect_of_service(service); !defect.empty()) {
      return defect;
    }
    if (++names[service.name] > 1) {
      return "service " + service.name + " stands twice";
    }
    members += service.members.size();
    bindings += service.bindings.size();
  }
  if (members > kMaxMembers || bindings > kMaxBindings) {
    return "more than 10000 members or bindings";
  }
  if (std::string defect = defect_of_pools(spec.pools); !defect.empty()) {
    return defect;
  }
  if (std::string defect = defect_of_vips_in_pools(spec); !defect.empty()) {
    return defect;
  }
  return defect_of_overlap(spec);
}

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
    }
  }

  std::expected<BuiltGeneration, std::string> build() {
    if (!assign_members() || !assign_bindings()) {
      give_back();
      return std::unexpected("the registry is full: wait until flows of removed members end");
    }
    retire_missing();
    compile_bindings();
    compile_members();
    BuiltGeneration built;
    for (std::size_t i = 0; i < spec_.services.size(); ++i) {
      compile_service(i, built.changes);
    }
    built.generation = std::move(generation_);
    return built;
  }

 private:
  bool assign_members() {
    std::map<MemberKey, std::uint16_t> known;
    for (std::size_t i = 0; i < members_.records().size(); ++i) {
      if (members_.records()[i].state != RegistryState::kFree) {
        known.emplace(key_of(members_.records()[i]), static_cast<std::uint16_t>(i));
      }
    }
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
    std::map<BindingKey, std::uint16_t> known;
    for (std::size_t i = 0; i < bindings_.records().size(); ++i) {
      if (bindings_.records()[i].state != RegistryState::kFree) {
        known.emplace(key_of(bindings_.records()[i]), static_cast<std::uint16_t>(i));
      }
    }
    for (const ServiceSpec& service : spec_.services) {
      std::vector<std::uint16_t>& ids = binding_ids_.emplace_back();
      for (const BindingSpec& binding : service.bindings) {
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

  void compile_bindings() {
    std::vector<BindingTable::Row> rows;
    generation_->binding_.resize(bindings_.records().size());
    for (std::size_t i = 0; i < bindings_.records().size(); ++i) {
      const BindingRecord& record = bindings_.records()[i];
      generation_->binding_[i] = {.vip = record.vip,
                                  .protocol = record.protocol,
                                  .live = record.state != RegistryState::kFree,
                                  .service = kNoService};
    }
    for (std::size_t i = 0; i < spec_.services.size(); ++i) {
      for (std::size_t j = 0; j < spec_.services[i].bindings.size(); ++j) {
        const BindingSpec& binding = spec_.services[i].bindings[j];
        const std::uint16_t id = binding_ids_[i][j];
        const auto service = static_cast<std::uint16_t>(i);
        rows.push_back({.spec = binding, .bound = {.service = service, .binding = id}});
        generation_->binding_[id].service = service;
      }
    }
    generation_->bindings_ = BindingTable(rows);
  }

  void compile_members() {
    for (std::size_t i = 0; i < members_.records().size(); ++i) {
      const MemberRecord& record = members_.records()[i];
      if (record.state != RegistryState::kFree) {
        generation_->members_.resize(i + 1);
        generation_->members_[i] = {.address = record.address,
                                    .port = Be16::from_host(record.port),
                                    .mode = record.mode,
                                    .epoch = record.epoch,
                                    .live = true,
                                    .retired = record.state == RegistryState::kRetired};
      }
    }
  }

  void compile_service(std::size_t index, std::vector<ServiceChange>& changes) {
    const ServiceSpec& spec = spec_.services[index];
    CompiledService service{.name = spec.name,
                            .mode = spec.mode,
                            .hash = spec.hash,
                            .slots = spec.slots,
                            .timeouts = spec.timeouts,
                            .tiers = nullptr,
                            .previous = nullptr,
                            .members = spec.members};
    const CompiledService* before = find_previous(spec.name);
    Tiers built = build_tiers(spec, member_ids_[index], before);
    service.tiers = built;
    if (before != nullptr) {
      const bool same = same_tables(*before->tiers, *built);
      service.tiers = same ? before->tiers : built;
      if (same) {
        keep_previous(*before, service);
      } else {
        service.previous = former_tables(*before->tiers);
        service.previous_until_ms = now_ms_ + std::uint64_t{1000} * longest(service.timeouts);
      }
      changes.push_back(change_of(*before, service));
    }
    generation_->services_.push_back(std::move(service));
  }

  [[nodiscard]] const CompiledService* find_previous(std::string_view name) const {
    if (previous_ == nullptr) {
      return nullptr;
    }
    const auto found = std::ranges::find(previous_->services_, name, &CompiledService::name);
    return found == previous_->services_.end() ? nullptr : &*found;
  }

  // Unchanged members keep their tables without building them again.
  Tiers build_tiers(const ServiceSpec& spec,
                    const std::vector<std::uint16_t>& ids,
                    const CompiledService* before) {
    const auto same_share = [](const MemberSpec& a, const MemberSpec& b) {
      return a.backend == b.backend && a.address == b.address && a.port == b.port &&
             a.weight == b.weight && a.tier == b.tier;
    };
    if (before != nullptr && before->slots == spec.slots && before->mode == spec.mode &&
        std::ranges::equal(before->members, spec.members, same_share)) {
      return before->tiers;
    }
    std::map<std::pair<std::uint8_t, bool>, std::vector<MaglevMember>> by_tier;
    for (std::size_t i = 0; i < spec.members.size(); ++i) {
      const MemberSpec& member = spec.members[i];
      if (member.weight != 0) {
        by_tier[{member.tier, member.address.is_v4()}].push_back(
            {.key = member.backend, .weight = member.weight, .index = ids[i]});
      }
    }
    auto tiers = std::make_shared<std::vector<TierTable>>();
    for (auto& [place, members] : by_tier) {
      std::ranges::sort(members, {}, &MaglevMember::key);
      TierTable table{.tier = place.first, .v4 = place.second, .members = {}, .slots = {}};
      std::ranges::transform(members, std::back_inserter(table.members), &MaglevMember::index);
      table.slots = build_maglev(members, spec.slots, *generation_->hasher_);
      tiers->push_back(std::move(table));
    }
    return tiers;
  }

  static bool same_tables(const std::vector<TierTable>& a, const std::vector<TierTable>& b) {
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
  static ServiceChange change_of(const CompiledService& before, const CompiledService& after) {
    ServiceChange result{.service = after.name, .change = {}, .slots = 0};
    const auto counterpart = [](const std::vector<TierTable>& tables, const TierTable& of) {
      const auto found = std::ranges::find_if(tables, [&](const TierTable& table) {
        return table.tier == of.tier && table.v4 == of.v4;
      });
      return found == tables.end() ? nullptr : &*found;
    };
    for (const TierTable& table : *after.tiers) {
      const TierTable* old = counterpart(*before.tiers, table);
      const TableChange change = compare_tables(
          old == nullptr ? std::span<const std::uint16_t>{} : std::span(old->slots), table.slots);
      result.change.moved += change.moved;
      result.change.least += change.least;
      result.slots += static_cast<std::uint32_t>(table.slots.size());
    }
    return result;
  }

  const GenerationSpec& spec_;
  MemberRegistry& members_;
  BindingRegistry& bindings_;
  const Generation* previous_;
  std::uint64_t now_ms_;
  std::unique_ptr<Generation> generation_;
  std::vector<std::vector<std::uint16_t>> member_ids_;  // by service, then as specified
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

}  // namespace holdfast::dataplane
