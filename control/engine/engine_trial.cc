// SPDX-License-Identifier: Apache-2.0
// See engine.h. A revision that was applied to be confirmed: it is taken back when nobody does in
// time, or at once when a service loses more than a fifth of what it could take. The term is
// written in the revision itself, so that a restart of control goes on counting.
#include "control/engine/engine.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace holdfast::control {

namespace asio = boost::asio;

namespace {

bool all_judged(const Roster& roster) {
  return std::ranges::all_of(roster.services(), [](const ServiceEntry& service) {
    return std::ranges::all_of(service.members, [](const Member& member) {
      return !member.check || member.judgement.health != Health::kUnknown;
    });
  });
}

}  // namespace

asio::awaitable<VerbResult> Engine::confirm(ConfirmRequest request) {
  const std::string name = "revision " + std::to_string(revision_);
  const bool owed = trial_ || !revision_unsaved_.empty();
  if (request.revision == revision_ && !owed) {
    co_return VerbResult{Outcome::kOk, {name + " is confirmed already"}};
  }
  if (!owed || request.revision.value_or(revision_) != revision_) {
    co_return VerbResult{Outcome::kUsage,
                         {name + " is in force, and " +
                          (trial_ ? "waits to be confirmed" : "nothing waits to be confirmed")}};
  }
  if (trial_ && trial_->ending) {
    co_return VerbResult{Outcome::kRefused,
                         {name + " is being taken back: apply it again when that is done"}};
  }
  if (trial_) {
    end_trial(request.caller);
  }
  co_await save_running();
  VerbResult result{Outcome::kOk, {name + " is confirmed"}};
  if (!revision_unsaved_.empty()) {
    result.outcome = Outcome::kFailed;
    result.lines.push_back(
        "that could not be written down, a restart of control may take it back: " +
        revision_unsaved_);
  }
  co_return result;
}

void Engine::end_trial(const Caller& caller) {
  trial_.reset();
  about_.confirm_ms = 0;
  about_.falls_back_to = 0;
  parts_.log.event(
      Severity::kInfo,
      "confirmed",
      {{"revision", std::to_string(revision_)}, {"who", caller.who}, {"reason", caller.reason}});
}

Engine::Capacities Engine::capacities_by_name() const {
  Capacities capacities;
  for (const ServiceEntry& service : roster_.services()) {
    std::uint64_t& sum = capacities[service.name];
    for (const Member& member : service.members) {
      const Health health = member.judgement.health;
      const bool out = health == Health::kDown || health == Health::kDamped;
      sum += out ? 0 : member.backend.weight;
    }
  }
  return capacities;
}

void Engine::begin_trial(const Capacities& before) {
  trial_.reset();
  if (about_.confirm_ms == 0) {
    return;
  }
  Trial trial;
  trial.deadline = parts_.clock.now() + std::chrono::milliseconds(about_.confirm_ms);
  trial.capacities = capacities_by_name();
  for (auto& [service, capacity] : *trial.capacities) {
    const auto known = before.find(service);
    capacity = std::min(capacity, known == before.end() ? 0 : known->second);
  }
  trial_ = std::move(trial);
}

void Engine::resume_trial() {
  if (about_.confirm_ms == 0 || about_.falls_back_to >= revision_) {
    return;
  }
  const std::chrono::milliseconds term(std::min(about_.confirm_ms, kMostConfirmMs));
  Trial trial;
  trial.deadline = end_of(term, std::max<std::int64_t>(about_.unix_ms, 0), now());
  trial_ = std::move(trial);
}

std::string Engine::trial_text(const Trial& trial) const {
  if (!trial.why.empty()) {
    return fmt::format(
        "revision {} is to fall back to {}: {}", revision_, about_.falls_back_to, trial.why);
  }
  const auto left = std::chrono::ceil<std::chrono::seconds>(trial.deadline - parts_.clock.now());
  return fmt::format(
      "revision {} falls back to {} in {} s unless `holdfast confirm` comes, and at once when a"
      " service loses more than a fifth of its healthy weight",
      revision_,
      about_.falls_back_to,
      std::max<std::int64_t>(left.count(), 0));
}

std::string Engine::why_taken_back(const Trial& trial) const {
  if (parts_.clock.now() >= trial.deadline) {
    return "nobody confirmed it";
  }
  if (trial.capacities) {
    for (const auto& [service, now] : capacities_by_name()) {
      const auto then = trial.capacities->find(service);
      if (then != trial.capacities->end() && now * 5 < then->second * 4) {
        return fmt::format(
            "service {} fell from a healthy weight of {} to {}", service, then->second, now);
      }
    }
  }
  return "";
}

void Engine::watch_trial() {
  const Clock::TimePoint time = parts_.clock.now();
  const bool probes_wait = !adopted_ && time < started_ + kAdoptionWait;
  if (!trial_ || trial_->ending || probes_wait) {
    return;
  }
  if (!trial_->capacities && all_judged(roster_)) {
    trial_->capacities = capacities_by_name();
  }
  if (trial_->why.empty()) {
    trial_->why = why_taken_back(*trial_);
  }
  if (trial_->why.empty() || time < trial_->again) {
    return;
  }
  trial_->ending = true;
  auto run = std::make_shared<ReloadRun>();
  run->caller = {.who = "confirm", .reason = trial_->why};
  run->back_to = about_.falls_back_to;
  run->force = true;
  run->ends_trial_of = revision_;
  enqueue(run);
}

}  // namespace holdfast::control
