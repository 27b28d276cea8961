// SPDX-License-Identifier: Apache-2.0
// See publisher.h.
#include "dataplane/process/publisher.h"

#include "dataplane/affinity.h"
#include "dataplane/dispositions.h"
#include "dataplane/member_copies.h"
#include "dataplane/process/clock.h"
#include "dataplane/process/log.h"
#include "dataplane/routed.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

namespace holdfast::dataplane {
namespace {

using Clock = std::chrono::steady_clock;

// Workers rest for 1 ms at most and a burst takes less: one that has not come round by then is
// stuck.
constexpr std::chrono::seconds kPublicationLimit{1};
// Dispositions stand in the shared state at once; the copy on disk, with its fsync, may lag.
constexpr std::chrono::seconds kSaveEvery{1};

std::uint64_t nanoseconds_since(Clock::time_point start) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count());
}

// Dispositions of members that were there before a build, to be put back after it.
class KeptDispositions {
 public:
  KeptDispositions(const MemberRegistry& members, DispositionTable table) : table_(table) {
    for (std::size_t i = 0; i < members.records().size(); ++i) {
      const MemberRecord& record = members.records()[i];
      if (record.state == RegistryState::kActive) {
        const MemberId id{static_cast<std::uint16_t>(i), record.epoch};
        kept_.emplace_back(id, table_.get(id));
      }
    }
  }
  void put_back(const MemberRegistry& members) {
    for (const auto& [id, disposition] : kept_) {
      if (members.records()[id.index].state == RegistryState::kActive) {
        table_.set(id, disposition);
      }
    }
  }

 private:
  DispositionTable table_;
  std::vector<std::pair<MemberId, Disposition>> kept_;
};

// What read_dispositions() would find after one change, without asking for all: the verb's time is
// counted until the last worker has seen it.
void note_disposition(GenerationSpec& spec,
                      std::string_view service_name,
                      std::string_view backend,
                      Disposition disposition) {
  for (ServiceSpec& service : spec.services) {
    if (service.name != service_name) {
      continue;
    }
    for (MemberSpec& member : service.members) {
      if (member.backend == backend) {
        member.disposition = disposition;
      }
    }
  }
}

// Brings the specification's dispositions in line with the table.
void read_dispositions(GenerationSpec& spec,
                       const MemberRegistry& members,
                       DispositionTable dispositions) {
  std::map<std::pair<std::string_view, std::string_view>, Disposition> in_force;
  for (std::size_t i = 0; i < members.records().size(); ++i) {
    const MemberRecord& record = members.records()[i];
    if (record.state == RegistryState::kActive) {
      in_force[{record.service.view(), record.backend.view()}] =
          dispositions.get({static_cast<std::uint16_t>(i), record.epoch});
    }
  }
  for (ServiceSpec& service : spec.services) {
    for (MemberSpec& member : service.members) {
      if (const auto found = in_force.find({service.name, member.backend});
          found != in_force.end()) {
        member.disposition = found->second;
      }
    }
  }
}

}  // namespace

Publisher::Publisher(const SharedState& shared,
                     WorkerSurroundings& surroundings,
                     GenerationStore store,
                     Neighborhood neighborhood,
                     bool check_macs)
    : surroundings_(surroundings),
      store_(std::move(store)),
      check_macs_(check_macs),
      shared_(shared),
      role_(shared.role()),
      members_(shared.member_records()),
      bindings_(shared.binding_records()),
      dispositions_(shared.dispositions()),
      neighborhood_(std::make_shared<const Neighborhood>(std::move(neighborhood))) {}

Publisher::~Publisher() { surroundings_.forwarding.store(nullptr); }

std::expected<std::vector<ServiceChange>, std::string> Publisher::build(
    const GenerationSpec& spec) {
  if (objection_) {
    if (std::string why = objection_(spec); !why.empty()) {
      return std::unexpected(std::move(why));
    }
  }
  const Generation* before = live_ ? live_->generation.get() : nullptr;
  if (std::string why = before == nullptr ? "" : parted_flows(*before, spec); !why.empty()) {
    return std::unexpected(std::move(why));
  }
  auto built = build_generation(
      spec, members_, bindings_, *surroundings_.hasher, before, monotonic_ns() / 1'000'000);
  if (!built) {
    return std::unexpected(std::move(built.error()));
  }
  take_back_given_up();
  apply_dispositions(spec, members_, dispositions_);
  forget_unbound_routes(bindings_);
  if (before_swap_) {
    before_swap_();
  }
  swap(std::move(built->generation));
  return std::move(built->changes);
}

// With several workers a flow's entry stands with the owner that it had before.
std::string Publisher::parted_flows(const Generation& before, const GenerationSpec& spec) const {
  if (workers_.size() < 2) {
    return {};
  }
  const std::vector<std::string_view> moved = services_with_moved_owners(before, spec);
  for (std::size_t i = 0; !moved.empty() && i < bindings_.records().size(); ++i) {
    const BindingRecord& record = bindings_.records()[i];
    const bool concerned = record.state == RegistryState::kActive &&
                           record.protocol != kNoProtocol &&
                           std::ranges::find(moved, record.service.view()) != moved.end();
    if (concerned && !unused([&](auto& state) -> auto& { return state.binding_entries[i]; })) {
      return fmt::format(
          "service {}: with several workers its affinity cannot begin, end or count another prefix "
          "while it has flows, which would be parted from their workers: let them end, or give the "
          "new affinity to a service of another VIP",
          record.service.view());
    }
  }
  return {};
}

std::expected<void, std::string> Publisher::start(const GenerationSpec& spec) {
  if (const std::size_t copies = reset_all_copies(members_, dispositions_); copies != 0) {
    log_line(LogLevel::kInfo,
             "flows.reset",
             fmt::format("goes on for flows of {} backends, as an operator had ordered", copies));
  }
  KeptDispositions kept(members_, dispositions_);
  auto built = build(spec);
  if (!built) {
    [[maybe_unused]] const auto empty = build(GenerationSpec{});
    return std::unexpected(built.error());
  }
  kept.put_back(members_);
  spec_ = spec;
  acknowledged_ = spec.number;
  read_dispositions(spec_, members_, dispositions_);
  return {};
}

void Publisher::swap(std::shared_ptr<const Generation> generation) {
  auto next = std::make_unique<Published>();
  next->hops = build_member_hops(*generation, *neighborhood_);
  next->generation = std::move(generation);
  next->neighborhood = neighborhood_;
  next->forwarding = {.generation = next->generation.get(),
                      .neighborhood = next->neighborhood.get(),
                      .member_hops = next->hops,
                      .check_macs = check_macs_,
                      .standby = role_ == Role::kStandby};
  surroundings_.forwarding.store(&next->forwarding, std::memory_order_seq_cst);
  if (live_) {
    replaced_.push_back(
        {.published = std::move(live_), .token = surroundings_.quiescence->start()});
  }
  live_ = std::move(next);
}

std::expected<Publication, std::string> Publisher::publish(GenerationSpec spec) {
  if (spec.number == 0 || spec.number <= generation().number()) {
    return std::unexpected(fmt::format("generation {} is not newer than {}, which is in force",
                                       spec.number,
                                       generation().number()));
  }
  const auto start = Clock::now();
  auto changes = build(spec);
  if (!changes) {
    return std::unexpected(changes.error());
  }
  Publication publication{.number = spec.number,
                          .build_ns = nanoseconds_since(start),
                          .swap_ns = 0,
                          .acknowledged = false,
                          .changes = std::move(*changes)};
  spec_ = std::move(spec);
  unsaved_ = true;
  const auto swapped = Clock::now();
  publication.acknowledged =
      surroundings_.quiescence->wait(replaced_.back().token, kPublicationLimit);
  publication.swap_ns = nanoseconds_since(swapped);
  if (publication.acknowledged) {
    reclaim();
    acknowledge();
    save_rest();
  }
  return publication;
}

std::expected<Publisher::DispositionChange, std::string> Publisher::set_disposition(
    std::string_view service,
    std::string_view backend,
    Disposition disposition,
    std::uint64_t reset_in_ms) {
  if (disposition == Disposition::kHold) {
    return std::unexpected("hold is not available in this version");
  }
  const auto start = Clock::now();
  const std::uint64_t deadline = reset_in_ms == 0 ? 0 : monotonic_ns() / 1'000'000 + reset_in_ms;
  const std::size_t members = dataplane::set_disposition(
      members_, dispositions_, service, backend, {disposition, deadline});
  if (members == 0) {
    return std::unexpected(
        fmt::format("no member {}/{} in generation {}", service, backend, generation().number()));
  }
  note_disposition(spec_, service, backend, disposition);
  unsaved_ = true;
  if (!surroundings_.quiescence->wait(surroundings_.quiescence->start(), kPublicationLimit)) {
    return std::unexpected(fmt::format("{}/{} is set, but a worker has not come round within {} s",
                                       service,
                                       backend,
                                       kPublicationLimit.count()));
  }
  return DispositionChange{.members = members, .visible_ns = nanoseconds_since(start)};
}

void Publisher::set_routed_vips(const std::set<VipPrefix>& vips) { set_routed(bindings_, vips); }

std::set<VipPrefix> Publisher::routed_vips() const { return dataplane::routed_vips(bindings_); }

std::vector<std::string> Publisher::end_drains() {
  std::vector<std::string> ended =
      dataplane::end_drains(members_, dispositions_, monotonic_ns() / 1'000'000);
  if (!ended.empty()) {
    read_dispositions(spec_, members_, dispositions_);
    unsaved_ = true;
  }
  return ended;
}

void Publisher::set_neighborhood(Neighborhood neighborhood) {
  neighborhood_ = std::make_shared<const Neighborhood>(std::move(neighborhood));
  swap(live_->generation);
  reclaim();
}

std::expected<std::vector<MemberId>, std::string> Publisher::copy_members(
    std::span<const MemberId> originals) {
  auto copies = dataplane::copy_members(members_, dispositions_, originals);
  if (!copies) {
    return copies;
  }
  auto built = build_generation(spec_,
                                members_,
                                bindings_,
                                *surroundings_.hasher,
                                live_->generation.get(),
                                monotonic_ns() / 1'000'000);
  if (!built) {
    for (const MemberId copy : *copies) {
      members_.free(copy.index);
    }
    return std::unexpected(std::move(built.error()));
  }
  take_back_given_up();
  if (before_swap_) {
    before_swap_();
  }
  held_copies_ = *copies;
  swap(std::move(built->generation));
  reclaim();
  return copies;
}

void Publisher::release_copies() { reset_copies(dispositions_, std::exchange(held_copies_, {})); }

void Publisher::set_role(Role role) {
  shared_.set_role(role);
  if (std::exchange(role_, role) != role && live_) {
    swap(live_->generation);
    reclaim();
  }
}

void Publisher::settle() {
  reclaim();
  acknowledge();
  if (unsaved_ && acknowledged_ == spec_.number && Clock::now() - last_save_ >= kSaveEvery) {
    save();
  }
  if (replaced_.empty()) {
    free_bindings();
    free_copies();
    free_given_up();
    give_up_retired();
  }
}

void Publisher::reclaim() {
  while (!replaced_.empty() && surroundings_.quiescence->passed(replaced_.front().token)) {
    replaced_.pop_front();
  }
}

void Publisher::acknowledge() {
  const std::uint64_t live = generation().number();
  const bool older_seen = std::ranges::any_of(replaced_, [&](const Replaced& replaced) {
    return replaced.published->generation->number() != live;
  });
  if (older_seen) {
    return;
  }
  acknowledged_ = live;
}

void Publisher::save_rest() {
  if (unsaved_ && acknowledged_ == spec_.number) {
    save();
  }
}

void Publisher::save() {
  const auto saved = store_.save(spec_);
  unsaved_ = !saved;
  last_save_ = Clock::now();
  store_notice_ = saved ? std::string() : "generations are not kept on disk: " + saved.error();
}

template <typename EntriesOf>
bool Publisher::unused(const EntriesOf& entries_of) const {
  return std::ranges::all_of(
      workers_, [&](const auto& worker) { return entries_of(worker->state()).get() == 0; });
}

// A retired member keeps flows, also ones that have no entry: the previous table leads to it. So
// one without entries gets kAvoid first, and its index is free once every worker has seen that and
// there is still no entry. Requires: no worker sees a generation in which a member retired since is
// active.
void Publisher::give_up_retired() {
  if (!given_up_.empty()) {
    return;
  }
  for (std::size_t i = 0; i < members_.records().size(); ++i) {
    const MemberRecord& record = members_.records()[i];
    if (record.state == RegistryState::kRetired && record.copy == 0 &&
        unused([&](auto& state) -> auto& { return state.members[i].entries; })) {
      const MemberId id{static_cast<std::uint16_t>(i), record.epoch};
      dispositions_.set(id, Disposition::kAvoid);
      given_up_.push_back(id);
    }
  }
  if (!given_up_.empty()) {
    given_up_token_ = surroundings_.quiescence->start();
  }
}

// Before a build, which may make them active again; the others will be found again.
void Publisher::take_back_given_up() {
  for (const MemberId id : given_up_) {
    dispositions_.set(id, Disposition::kKeep);
  }
  given_up_.clear();
}

void Publisher::free_given_up() {
  if (given_up_.empty() || !surroundings_.quiescence->passed(given_up_token_)) {
    return;
  }
  for (const MemberId id : given_up_) {
    if (unused([&](auto& state) -> auto& { return state.members[id.index].entries; })) {
      members_.free(id.index);
    } else {
      dispositions_.set(id, Disposition::kKeep);
    }
  }
  given_up_.clear();
}

// Nothing makes a new entry for a copy, but the walk that it was made for.
void Publisher::free_copies() {
  for (std::size_t i = 0; held_copies_.empty() && i < members_.records().size(); ++i) {
    const MemberRecord& record = members_.records()[i];
    if (record.state == RegistryState::kRetired && record.copy != 0 &&
        unused([&](auto& state) -> auto& { return state.members[i].entries; })) {
      members_.free(static_cast<std::uint16_t>(i));
    }
  }
}

// No packet finds a retired binding, so nothing makes a new entry for it.
void Publisher::free_bindings() {
  for (std::size_t i = 0; i < bindings_.records().size(); ++i) {
    if (bindings_.records()[i].state == RegistryState::kRetired &&
        unused([&](auto& state) -> auto& { return state.binding_entries[i]; })) {
      bindings_.free(static_cast<std::uint16_t>(i));
    }
  }
}

std::uint64_t Publisher::flows_of(std::uint16_t member) const {
  std::uint64_t flows = 0;
  for (const auto& worker : workers_) {
    flows += worker->state().members[member].live_flows.get();
  }
  return flows;
}

}  // namespace holdfast::dataplane
