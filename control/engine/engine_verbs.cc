// SPDX-License-Identifier: Apache-2.0
// See engine.h. The verbs drain and undrain: resolve, check the floor, write down, act, wait until
// every worker sees it.
#include "control/engine/engine.h"
#include "control/publish/durable_file.h"
#include "control/publish/offload.h"

#include <map>
#include <utility>

namespace holdfast::control {

namespace asio = boost::asio;

struct Engine::Verb {
  AdminEvent event = AdminEvent::kDrain;
  std::string object;
  Caller caller;

  [[nodiscard]] bool drains() const { return event == AdminEvent::kDrain; }
  [[nodiscard]] std::string_view name() const { return drains() ? "drain" : "undrain"; }
};

namespace {

constexpr std::size_t kFloor = 1;  // members that must stay usable per service

bool is_usable(const Member& member) {
  const Health health = member.judgement.health;
  return member.admin == Admin::kEnabled && member.backend.weight > 0 &&
         (health == Health::kUp || health == Health::kSuspect);
}

std::string label(const MemberName& name) { return name.first + "/" + name.second; }

}  // namespace

asio::awaitable<VerbResult> Engine::drain(std::string object, Caller caller) {
  return change_drains({AdminEvent::kDrain, std::move(object), std::move(caller)});
}

asio::awaitable<VerbResult> Engine::undrain(std::string object, Caller caller) {
  return change_drains({AdminEvent::kUndrain, std::move(object), std::move(caller)});
}

// One reason per service that would lose usable members and be left without one. Draining what is
// not usable anyway takes nothing away.
std::vector<std::string> Engine::floor_objections(std::span<const MemberPlace> places) const {
  std::map<std::size_t, std::size_t> lost;  // usable members, by service
  for (const MemberPlace place : places) {
    if (is_usable(roster_.at(place))) {
      ++lost[place.service];
    }
  }
  std::vector<std::string> objections;
  for (const auto& [service, count] : lost) {
    const ServiceEntry& entry = roster_.services()[service];
    const auto usable = static_cast<std::size_t>(std::ranges::count_if(entry.members, is_usable));
    if (usable - count < kFloor) {
      objections.push_back("service " + entry.name + " would be left with " +
                           std::to_string(usable - count) + " of " +
                           std::to_string(entry.members.size()) +
                           " members that are up, enabled and have a weight; its floor is " +
                           std::to_string(kFloor));
    }
  }
  return objections;
}

asio::awaitable<VerbResult> Engine::change_drains(Verb verb) {
  while (verb_busy_) {
    co_await changed_.wait();
  }
  std::vector<MemberPlace> places = roster_.resolve(verb.object);
  VerbResult result;
  if (places.empty()) {
    co_return VerbResult{Outcome::kUsage, {"there is no backend '" + verb.object + "'"}};
  }
  std::erase_if(places, [&](MemberPlace place) {
    const bool draining = roster_.at(place).admin != Admin::kEnabled;
    if (draining == verb.drains()) {
      result.lines.push_back(label(roster_.name_of(place)) +
                             (draining ? " is draining already" : " is enabled already"));
    }
    return draining == verb.drains();
  });
  if (verb.drains()) {
    std::vector<std::string> objections = floor_objections(places);
    if (!objections.empty()) {
      co_return VerbResult{Outcome::kRefused, std::move(objections)};
    }
  }
  if (places.empty()) {
    co_return result;
  }
  std::vector<MemberName> names;
  for (const MemberPlace place : places) {
    names.push_back(roster_.name_of(place));
  }
  verb_busy_ = true;
  co_await carry_out(&verb, std::move(names), &result);
  verb_busy_ = false;
  changed_.notify();
  co_return result;
}

// Writes the drains down, then acts on those members that are still there.
asio::awaitable<void> Engine::carry_out(const Verb* verb,
                                        std::vector<MemberName> names,
                                        VerbResult* result) {
  for (const MemberName& name : names) {
    if (verb->drains()) {
      drains_[name] = {parts_.unix_ms(), verb->caller.who, verb->caller.reason};
    } else {
      drains_.erase(name);
    }
  }
  const std::string disk_error = co_await save_drains();
  if (!disk_error.empty()) {
    result->outcome = Outcome::kFailed;
    result->lines.push_back(
        "in force, but not written down: a restart before that succeeds forgets "
        "it: " +
        disk_error);
  }
  const std::uint64_t losses = publisher_.losses();
  const std::string cause =
      std::string(verb->name()) + (verb->caller.reason.empty() ? "" : ": " + verb->caller.reason);
  for (const MemberName& name : names) {
    const auto place = roster_.find(name);
    if (!place) {
      continue;
    }
    act_on(roster_.apply(*place, verb->event, cause, now()));
    const std::string_view became = admin_name(roster_.at(*place).admin);
    result->lines.push_back(label(name) + " is " + std::string(became));
    parts_.log.event(Severity::kInfo,
                     verb->name(),
                     {{"service", name.first},
                      {"backend", name.second},
                      {"who", verb->caller.who},
                      {"reason", verb->caller.reason}});
  }
  const auto visible = co_await publisher_.dispositions_visible(losses);
  if (!visible) {
    const auto& [reason, refused] = visible.error();
    result->outcome = refused ? Outcome::kRefused : Outcome::kUnreachable;
    result->lines.push_back(refused
                                ? "the dataplane refused it until its next generation: " + reason
                                : reason + ": it takes effect when the dataplane is connected");
  }
}

asio::awaitable<std::string> Engine::save_drains() {
  auto save = [path = directory_ + "/drains", text = drains_to_text(drains_)] {
    return write_durably(path, text);
  };
  const auto saved = co_await offload(parts_.disk, std::move(save));
  drains_unsaved_ = saved ? "" : saved.error();
  if (!saved) {
    drains_again_ = parts_.clock.now() + kSaveAgain;
    note_disk(saved.error());
  }
  co_return drains_unsaved_;
}

asio::awaitable<void> Engine::save_drains_again() {
  if (co_await save_drains(); drains_unsaved_.empty()) {
    parts_.log.event(Severity::kInfo, "drains.saved", {});
  }
}

}  // namespace holdfast::control
