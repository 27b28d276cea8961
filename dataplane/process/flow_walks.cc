// SPDX-License-Identifier: Apache-2.0
// See flow_walks.h.
#include "dataplane/process/flow_walks.h"

#include "dataplane/api/codec.h"
#include "dataplane/process/log.h"
#include "dataplane/registry_keys.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>
#include <utility>

#include <fmt/format.h>

namespace holdfast::dataplane {
namespace {

constexpr std::uint32_t kMostRows = 10'000;  // some 2 MiB of an answer
constexpr int kMostBackends = 1'000;         // named in an answer
// A worker that was told to stop has done so within a turn.
constexpr std::chrono::milliseconds kLetGoLimit{20};

bool is_named(const MemberRecord& record, std::string_view service, std::string_view backend) {
  return record.state != RegistryState::kFree &&
         (service.empty() || record.service.view() == service) &&
         (backend.empty() || record.backend.view() == backend);
}

std::string name_of(std::string_view service, std::string_view backend) {
  return fmt::format("{}/{}", service.empty() ? "*" : service, backend.empty() ? "*" : backend);
}

// Why flows of one cannot go on at the other; empty: they can, if it has their sockets.
std::string why_not_between(const MemberRecord& from, const MemberRecord& to) {
  if (from.mode != to.mode) {
    return fmt::format("flows of {} are in mode {}, those of {} in mode {}",
                       from.backend.view(),
                       mode_name(from.mode),
                       to.backend.view(),
                       mode_name(to.mode));
  }
  if (to.mode == Mode::kNat && (from.address != to.address || from.port != to.port)) {
    return fmt::format(
        "in mode nat a connection is known to the backend by its translated address: {} would "
        "answer each with a reset, unless it has the address and port of {}",
        to.backend.view(),
        from.backend.view());
  }
  if (!is_tunnel(to.mode) && from.address.is_v4() != to.address.is_v4()) {
    return fmt::format(
        "{} and {} are of different families", from.backend.view(), to.backend.view());
  }
  return "";
}

bool is_empty(const seam::FlowFilter& filter) { return filter.ByteSizeLong() == 0; }

}  // namespace

FlowWalks::FlowWalks(Publisher& publisher,
                     std::span<const std::unique_ptr<Worker>> workers,
                     std::uint64_t first_number)
    : publisher_(publisher), workers_(workers), next_number_(first_number) {}

std::span<const MemberRecord> FlowWalks::records() const { return publisher_.members().records(); }

bool FlowWalks::any_walks() const {
  return std::ranges::any_of(workers_, [](const auto& worker) { return worker->is_walking(); });
}

WalkedMember FlowWalks::walked(std::size_t index) const {
  const std::uint8_t epoch = records()[index].epoch;
  const MemberId id{static_cast<std::uint16_t>(index), epoch};
  return {.wanted = true,
          .being_reset = publisher_.dispositions().get(id) == Disposition::kReset,
          .epoch = epoch,
          .to = std::nullopt};
}

std::expected<std::unique_ptr<FlowWalks::Errand>, std::string> FlowWalks::errand_for(
    const seam::FlowFilter& filter) const {
  auto read = seam::from_wire(filter);
  if (!read) {
    return std::unexpected(std::move(read.error()));
  }
  auto errand = std::make_unique<Errand>();
  errand->order.filter = std::move(*read);
  errand->order.members.resize(kRegistryCapacity);
  bool any = filter.service().empty() && filter.backend().empty();
  for (std::size_t i = 0; i < records().size(); ++i) {
    const MemberRecord& record = records()[i];
    if (is_named(record, filter.service(), filter.backend())) {
      errand->order.members[i] = walked(i);
      any = true;
    }
  }
  if (!any) {
    return std::unexpected("there is no backend " + name_of(filter.service(), filter.backend()));
  }
  return errand;
}

FlowWalks::Begun FlowWalks::list(const seam::ListFlows& request) {
  if (request.limit() > kMostRows) {
    return std::unexpected(fmt::format("at most {} flows are listed", kMostRows));
  }
  auto errand = errand_for(request.filter());
  if (!errand) {
    return std::unexpected(std::move(errand.error()));
  }
  (*errand)->order.most_rows = request.limit();
  Walk walk;
  walk.limit = request.limit();
  walk.errand = std::move(*errand);
  return begin(std::move(walk));
}

FlowWalks::Begun FlowWalks::reset(const seam::ResetFlows& request) {
  if (is_empty(request.filter()) && !request.all()) {
    return std::unexpected("no filter: that would be all flows there are");
  }
  auto errand = errand_for(request.filter());
  if (!errand) {
    return std::unexpected(std::move(errand.error()));
  }
  (*errand)->order.kind = WalkKind::kReset;
  Walk walk;
  walk.dry = request.dry();
  walk.counts_first = true;
  walk.what = fmt::format("reset flows of {}",
                          name_of(request.filter().service(), request.filter().backend()));
  walk.errand = std::move(*errand);
  return begin(std::move(walk));
}

FlowWalks::Begun FlowWalks::move(const seam::MoveFlows& request) {
  const std::string to = name_of(request.service(), request.to());
  if (request.service().empty() || request.from().empty() || request.to().empty()) {
    return std::unexpected("flows are moved from one backend of a service to another");
  }
  const auto found = std::ranges::find_if(records(), [&](const MemberRecord& record) {
    return record.state == RegistryState::kActive && record.copy == 0 &&
           is_named(record, request.service(), request.to());
  });
  if (found == records().end()) {
    return std::unexpected("there is no backend " + to);
  }
  const auto index = static_cast<std::uint16_t>(found - records().begin());
  const MemberId target{index, found->epoch};
  if (const std::string why = objection_to(target); !why.empty()) {
    return std::unexpected(why);
  }
  auto errand = errand_to(request, target);
  if (!errand) {
    return std::unexpected(std::move(errand.error()));
  }
  Walk walk;
  walk.dry = request.dry();
  walk.target = target;
  walk.what = fmt::format("move flows of {} to {}", name_of(request.service(), request.from()), to);
  walk.errand = std::move(*errand);
  return begin(std::move(walk));
}

// Where flows would not stay, none are brought.
std::string FlowWalks::objection_to(MemberId target) const {
  const MemberRecord& record = records()[target.index];
  const std::string name = name_of(record.service.view(), record.backend.view());
  if (record.state != RegistryState::kActive || record.epoch != target.epoch) {
    return name + " is no longer configured";
  }
  switch (const Disposition is = publisher_.dispositions().get(target)) {
    case Disposition::kNew:
    case Disposition::kKeep:
    case Disposition::kAvoid:
      return "";
    default:
      return fmt::format("flows do not stay at {}: it is '{}'", name, seam::disposition_name(is));
  }
}

std::expected<std::unique_ptr<FlowWalks::Errand>, std::string> FlowWalks::errand_to(
    const seam::MoveFlows& request, MemberId target) const {
  const MemberRecord& to = records()[target.index];
  const std::string from = name_of(request.service(), request.from());
  auto errand = std::make_unique<Errand>();
  errand->order.kind = WalkKind::kMove;
  errand->order.members.resize(kRegistryCapacity);
  std::string why =
      request.from() == request.to() ? "that is one backend" : "there is no backend " + from;
  bool any = false;
  for (std::size_t i = 0; i < records().size(); ++i) {
    const MemberRecord& record = records()[i];
    if (i == target.index || !is_named(record, request.service(), request.from())) {
      continue;
    }
    if (std::string objection = why_not_between(record, to); !objection.empty()) {
      why = std::move(objection);
      continue;
    }
    errand->order.members[i] = walked(i);
    if (!request.dry()) {
      errand->order.members[i].to = target;
    }
    any = true;
  }
  if (!any) {
    return std::unexpected(std::move(why));
  }
  return errand;
}

FlowWalks::Begun FlowWalks::begin(Walk walk) {
  if (walk_ && walk_->errand) {
    return std::unexpected("a walk over the flows is going on: try again when it is over");
  }
  if (!let_go()) {
    return std::unexpected("a walk over the flows is ending: try again");
  }
  walk.number = next_number_++;
  walk_ = std::move(walk);
  if (!walk_->dry) {
    log_line(LogLevel::kInfo, "flows.begun", fmt::format("{}: {}", walk_->number, walk_->what));
  }
  send_out(*walk_->errand);
  return walk_->number;
}

void FlowWalks::send_out(Errand& errand) {
  for (const auto& worker : workers_) {
    errand.walks.push_back(std::make_unique<FlowWalk>(errand.order));
    worker->begin_walk(*errand.walks.back());
  }
}

// Whether no worker is at a walk that was cancelled; waits for that, shortly.
bool FlowWalks::let_go() {
  const auto deadline = std::chrono::steady_clock::now() + kLetGoLimit;
  while (cancelled_ && any_walks() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  if (cancelled_ && any_walks()) {
    return false;
  }
  if (cancelled_) {
    cancelled_.reset();
    publisher_.release_copies();  // what was given to them is reset
  }
  return true;
}

void FlowWalks::tend() {
  if (cancelled_ && !any_walks()) {
    let_go();
  }
  if (!walk_ || !walk_->errand) {
    return;
  }
  if (walk_->target && walk_->ended_early.empty()) {
    walk_->ended_early = objection_to(*walk_->target);
    walk_->errand->order.cancelled.store(!walk_->ended_early.empty(), std::memory_order_release);
  }
  if (!any_walks()) {
    finish();
  }
}

void FlowWalks::members_changed() {
  if (walk_ && walk_->errand && walk_->target) {
    const std::string why = objection_to(*walk_->target);
    if (!why.empty()) {
      walk_->ended_early = why;
      walk_->errand->order.cancelled.store(true, std::memory_order_release);
    }
  }
}

void FlowWalks::finish() {
  if (!walk_) {
    return;
  }
  Walk& walk = *walk_;
  const bool acts_next = walk.counts_first && !walk.dry;
  if (acts_next) {
    give_to_copies();
    if (walk.errand) {
      return;
    }
  } else {
    tell(*walk.errand, walk);
    walk.errand.reset();
    publisher_.release_copies();
  }
  if (!walk.dry) {
    log_line(LogLevel::kInfo,
             "flows.done",
             fmt::format("{}: {}: {} matched, {} given, {} forgotten, {} being reset already{}{}",
                         walk.number,
                         walk.what,
                         walk.reply.matched(),
                         walk.reply.given(),
                         walk.reply.forgotten(),
                         walk.reply.being_reset(),
                         walk.ended_early.empty() ? "" : "; ended early: ",
                         walk.ended_early));
  }
}

// The walk that counted is over: the one that acts follows, if there is anything to do.
void FlowWalks::give_to_copies() {
  if (!walk_) {
    return;
  }
  Walk& walk = *walk_;
  walk.counts_first = false;
  tell(*walk.errand, walk);
  std::vector<MemberId> originals;
  auto errand = std::make_unique<Errand>();
  errand->order.kind = WalkKind::kReset;
  errand->order.filter = walk.errand->order.filter;
  errand->order.members.resize(kRegistryCapacity);
  for (std::size_t i = 0; i < records().size(); ++i) {
    const WalkedMember& member = walk.errand->order.members[i];
    const bool any = std::ranges::any_of(walk.errand->walks, [&](const auto& of_worker) {
      return of_worker->found.by_member[i] != 0;
    });
    if (any && records()[i].state != RegistryState::kFree && records()[i].epoch == member.epoch) {
      originals.push_back({static_cast<std::uint16_t>(i), member.epoch});
    }
  }
  walk.errand.reset();
  if (originals.empty()) {
    return;
  }
  const auto copies = publisher_.copy_members(originals);
  if (!copies) {
    walk.ended_early = copies.error();
    walk.reply.set_ended_early(walk.ended_early);
    return;
  }
  for (std::size_t i = 0; i < originals.size(); ++i) {
    errand->order.members[originals[i].index] = {
        .wanted = true, .being_reset = false, .epoch = originals[i].epoch, .to = (*copies)[i]};
  }
  walk.errand = std::move(errand);
  send_out(*walk.errand);
}

// What a second walk finds takes the place of what the first one did.
void FlowWalks::tell(const Errand& errand, Walk& walk) const {
  seam::CollectFlowsReply& reply = walk.reply;
  const std::uint64_t being_reset = reply.being_reset();
  reply = {};
  reply.set_being_reset(being_reset);
  std::map<std::pair<std::string_view, std::string_view>, std::uint64_t> backends;
  for (const auto& of_worker : errand.walks) {
    const FlowFindings& found = of_worker->found;
    reply.set_matched(reply.matched() + found.matched);
    reply.set_being_reset(reply.being_reset() + found.being_reset);
    reply.set_given(reply.given() + found.given);
    reply.set_forgotten(reply.forgotten() + found.forgotten);
    for (std::size_t i = 0; i < records().size(); ++i) {
      if (found.by_member[i] != 0 && records()[i].epoch == errand.order.members[i].epoch) {
        backends[{records()[i].service.view(), records()[i].backend.view()}] += found.by_member[i];
      }
    }
  }
  for (const auto& [name, flows] : backends) {
    if (reply.backends_size() < kMostBackends) {
      seam::BackendFlows& out = *reply.add_backends();
      out.set_service(std::string(name.first));
      out.set_backend(std::string(name.second));
      out.set_flows(flows);
    }
  }
  reply.set_matched(reply.matched() + being_reset);
  reply.set_ended_early(walk.ended_early);
  tell_rows(errand, walk);
}

void FlowWalks::tell_rows(const Errand& errand, Walk& walk) const {
  for (const auto& of_worker : errand.walks) {
    for (const FlowRow& row : of_worker->found.rows) {
      const MemberRecord& record = records()[row.member.index];
      if (static_cast<std::size_t>(walk.reply.flows_size()) >= walk.limit) {
        return;
      }
      if (record.epoch != row.member.epoch) {
        continue;  // it has ended, and its member has gone since
      }
      seam::Flow& out = *walk.reply.add_flows();
      out.set_client(seam::to_wire(row.key.source));
      out.set_client_port(row.key.source_port.to_host());
      out.set_vip(seam::to_wire(row.key.destination));
      out.set_port(row.key.destination_port.to_host());
      out.set_protocol(static_cast<std::uint32_t>(row.key.protocol));
      out.set_service(std::string(record.service.view()));
      out.set_backend(std::string(record.backend.view()));
      out.set_mode(static_cast<std::uint32_t>(row.mode));
      out.set_state(static_cast<std::uint32_t>(row.state));
      out.set_age_s(row.age_s);
      if (row.translated) {
        out.set_pool(seam::to_wire(row.pool));
        out.set_pool_port(row.pool_port.to_host());
      }
    }
  }
}

FlowWalks::Found FlowWalks::collect(std::uint64_t number) {
  tend();
  if (!walk_ || walk_->number != number) {
    return std::unexpected("there is no such walk");
  }
  if (walk_->errand) {
    seam::CollectFlowsReply reply;
    reply.set_running(true);
    return reply;
  }
  Found found = std::move(walk_->reply);
  walk_.reset();
  return found;
}

FlowWalks::Found FlowWalks::forget(std::uint64_t number) {
  if (!walk_ || walk_->number != number) {
    return std::unexpected("there is no such walk");
  }
  abandon();
  seam::CollectFlowsReply reply;
  reply.set_ended_early("as it was told");
  return reply;
}

void FlowWalks::abandon() {
  if (walk_ && walk_->errand) {
    walk_->errand->order.cancelled.store(true, std::memory_order_release);
    cancelled_ = std::move(walk_->errand);
    if (!walk_->dry) {
      log_line(LogLevel::kNotice,
               "flows.abandoned",
               fmt::format("{}: {}: whoever asked has gone; what was done stays done",
                           walk_->number,
                           walk_->what));
    }
  }
  walk_.reset();
}

}  // namespace holdfast::dataplane
