// SPDX-License-Identifier: Apache-2.0
// See engine.h. Every event that can move flows becomes an entry of the ledger, and every reading
// of the dataplane's counters is divided among them.
#include "control/admin/wire_views.h"
#include "control/engine/engine.h"

#include <algorithm>
#include <set>
#include <span>
#include <utility>

namespace holdfast::control {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kNamedMembers = 8;  // in an entry about many

FramesView frames_of(const seam::GetCountersReply& counters) {
  FramesView frames;
  for (const seam::WorkerCounters& worker : counters.workers()) {
    for (const seam::NamedValue& value : worker.values()) {
      frames.held += value.name() == "held" ? value.value() : 0;
      frames.released += value.name() == "released" ? value.value() : 0;
    }
    for (const seam::NamedValue& drop : worker.drops()) {
      frames.dropped += drop.value();
    }
  }
  return frames;
}

// What a change of a member's state is as an event; empty: none that the ledger knows. Suspects are
// avoided before they fall, and what an operator's verb changes has an entry of its own.
std::string kind_of(const StateChange& change) {
  const bool other_disposition = change.before.disposition != change.after.disposition;
  if (other_disposition && change.after.disposition == Disposition::kReset &&
      change.after.admin == Admin::kDrained) {
    return "drain_deadline";
  }
  if (change.before.health == change.after.health) {
    return "";
  }
  switch (change.after.health) {
    case Health::kUp:
      return change.before.health == Health::kUnknown ? "" : "member_up";
    case Health::kDown:
      return "member_down";
    case Health::kDamped:
      return "member_damped";
    case Health::kSuspect:
      return other_disposition ? "member_suspect" : "";
    default:
      return "";
  }
}

}  // namespace

void Engine::enter(LedgerEvent event) {
  ledger_.open(std::move(event), parts_.unix_ms(), parts_.clock.now());
  changed_.notify();
}

void Engine::enter(const StateChange& change) {
  std::string kind = kind_of(change);
  if (!kind.empty()) {
    enter({.kind = std::move(kind),
           .object = label({change.service, change.backend}),
           .reason = change.cause,
           .services = {change.service}});
  }
}

// A dataplane that was started since counts from 0.
void Engine::enter_connection() {
  const bool known = dataplane_pid_ != 0;
  const bool same =
      hello_.pid() == dataplane_pid_ && hello_.start_monotonic_ns() == dataplane_start_ns_;
  dataplane_pid_ = hello_.pid();
  dataplane_start_ns_ = hello_.start_monotonic_ns();
  if (same || !known) {
    return;
  }
  ledger_.restart_counts();
  enter({.kind = "dataplane_started",
         .reason = std::to_string(hello_.flows_kept()) + " flows kept, " +
                   std::to_string(hello_.flows_forgotten()) + " forgotten",
         .forgotten = hello_.flows_forgotten()});
}

void Engine::enter_verb(const VerbRun& run) {
  LedgerEvent event{
      .kind = std::string(run.verb), .who = run.caller.who, .reason = run.caller.reason};
  std::set<std::string> services;
  for (const PlannedChange& change : run.changes) {
    services.insert(change.name.first);
  }
  for (const PlannedChange& change :
       std::span(run.changes).first(std::min(run.changes.size(), kNamedMembers))) {
    event.object += (event.object.empty() ? "" : " ") + label(change.name);
  }
  if (run.changes.size() > kNamedMembers) {
    event.object += " and " + std::to_string(run.changes.size() - kNamedMembers) + " more";
  }
  if (services.size() <= Ledger::kServices) {  // else it is about all of them
    event.services.assign(services.begin(), services.end());
  }
  enter(std::move(event));
}

void Engine::enter_reload(const Caller& caller) {
  const ReloadRun& run = *reloads_.front();
  enter({.kind = run.back_to        ? "rollback"
                 : run.path.empty() ? "reload"
                                    : "apply",
         .object = "revision " + std::to_string(revision_),
         .who = caller.who,
         .reason = caller.reason});
}

void Engine::count_moves() {
  if (!counters_) {
    return;
  }
  LedgerTotals totals{.services = {}, .frames = frames_of(*counters_)};
  for (const seam::ServiceMoves& moves : counters_->moves()) {
    totals.services[moves.service()] = to_view(moves);
  }
  ledger_.count(totals, parts_.clock.now());
}

asio::awaitable<EventsView> Engine::events(std::uint64_t life,
                                           std::uint64_t change,
                                           std::chrono::milliseconds limit) {
  const std::uint64_t after = life == ledger_.life() ? change : 0;
  const Clock::TimePoint deadline = parts_.clock.now() + limit;
  while (ledger_.changes() <= after && !stopping_ && parts_.clock.now() < deadline) {
    co_await wait_until(deadline);
  }
  EventsView view = ledger_.since(after);
  view.gap = view.gap || (life != 0 && life != ledger_.life());
  view.over = stopping_;
  co_return view;
}

}  // namespace holdfast::control
