// SPDX-License-Identifier: Apache-2.0
// See engine.h. Life: start, adoption, results, passing time, stop.
#include "control/engine/engine.h"

#include "control/publish/build.h"
#include "dataplane/api/codec.h"

#include <algorithm>
#include <utility>

namespace holdfast::control {

namespace asio = boost::asio;

namespace {

// What runs may end a drain this much sooner or later than is wanted: clocks are read twice.
constexpr std::chrono::seconds kDeadlineSlack{1};

// "up/new", and "draining/up/keep" while the operator drains it.
std::string shown_text(const Shown& shown) {
  std::string text =
      shown.admin == Admin::kEnabled ? "" : std::string(admin_name(shown.admin)) + "/";
  text += health_name(shown.health);
  text += "/";
  text += seam::disposition_name(shown.disposition);
  return text;
}

}  // namespace

Engine::Engine(EngineParts parts, EngineStart start)
    : parts_(std::move(parts)),
      config_path_(std::move(start.config_path)),
      directory_(std::move(start.directory)),
      config_(std::move(start.config)),
      revision_(start.revision),
      highest_revision_(start.highest_revision),
      about_(std::move(start.about)),
      orders_(std::move(start.orders)),
      journal_lines_(start.journal_lines),
      journal_stale_(start.journal_damaged),
      notices_(std::move(start.notices)),
      tasks_(parts_.executor),
      changed_(parts_.executor),
      publisher_(
          parts_.forwarder,
          tasks_,
          [this](std::uint64_t number, const Publisher::Outcome& outcome) {
            report_publication(number, outcome);
          },
          [this](const std::vector<std::string>& refused) {
            parts_.log.event(
                Severity::kWarning,
                "dispositions.refused",
                {{"count", std::to_string(refused.size())}, {"first", refused.front()}});
          }),
      routes_(parts_.forwarder,
              tasks_,
              [this](std::size_t now, std::size_t before) { report_routes(now, before); }),
      scheduler_(
          parts_.clock,
          parts_.prober,
          [this](const CheckSpec& check, const ProbeResult& result) { on_result(check, result); }),
      started_(parts_.clock.now()),
      ledger_(static_cast<std::uint64_t>(parts_.unix_ms())) {
  roster_ = Roster(config_, {}, orders_, now());
  drained_ = std::move(start.drained);
}

Engine::~Engine() = default;

Instant Engine::now() const { return {parts_.clock.now(), parts_.unix_ms()}; }

void Engine::start() {
  parts_.log.event(Severity::kInfo,
                   "start",
                   {{"version", HOLDFAST_VERSION},
                    {"revision", std::to_string(revision_)},
                    {"services", std::to_string(config_.services.size())},
                    {"orders", std::to_string(orders_.size())}});
  act_on(roster_.settle("start", now()));
  parts_.forwarder.start(*this);
  plan_tick();
  resume_trial();
  tasks_.spawn(begin());
}

asio::awaitable<void> Engine::begin() {
  const Clock::TimePoint deadline = started_ + kAdoptionWait;
  while (!adopted_ && !stopping_ && parts_.clock.now() < deadline) {
    co_await wait_until(deadline);
  }
  if (!stopping_) {
    scheduler_.set(roster_.checks());
    request_reload({.who = std::string(kStart), .reason = "the file on disk"});
  }
}

asio::awaitable<void> Engine::stop() {
  stopping_ = true;
  scheduler_.stop();
  parts_.clock.cancel(tick_);
  changed_.notify();
  co_await parts_.forwarder.stop();
  co_await tasks_.join();
  parts_.log.event(Severity::kInfo, "stop", {});
}

asio::awaitable<void> Engine::wait_until(Clock::TimePoint deadline) {
  const Clock::Ticket ticket = parts_.clock.at(deadline, [this] { changed_.notify(); });
  co_await changed_.wait();
  parts_.clock.cancel(ticket);
}

void Engine::on_connect() {
  hello_ = parts_.forwarder.hello();
  connected_at_ = parts_.clock.now();
  parts_.log.event(Severity::kInfo,
                   "dataplane.connected",
                   {{"build", hello_.build()},
                    {"pid", std::to_string(hello_.pid())},
                    {"generation", std::to_string(hello_.generation())}});
  enter_connection();
  tasks_.spawn(adopt());
}

void Engine::on_disconnect(const std::string& reason) {
  ++breaks_;
  adopted_ = false;
  adoption_failure_.clear();
  counters_.reset();
  publisher_.disconnect(reason);
  changed_.notify();
  parts_.log.event(Severity::kWarning, "dataplane.disconnected", {{"reason", reason}});
  enter({.kind = "dataplane_lost", .reason = reason});
}

// What traffic says is no event of its own: too many packets may say it.
void Engine::on_refusal(std::string_view member) {
  const std::size_t slash = member.find('/');
  if (slash == std::string_view::npos) {
    return;
  }
  const auto place =
      roster_.find({std::string(member.substr(0, slash)), std::string(member.substr(slash + 1))});
  if (!place) {
    return;
  }
  const Roster::Outcome outcome = roster_.suspect(*place, "refuses its traffic", now());
  act_on(outcome);
  const std::optional<CheckSpec>& check = roster_.at(*place).check;
  if (outcome.confirm && check) {
    scheduler_.probe_now(*check);
  }
}

void Engine::on_event(const seam::Event& event) {
  if (event.what() == "member_refuses") {
    on_refusal(event.detail());
    return;
  }
  parts_.log.event(
      Severity::kInfo, "dataplane.event", {{"what", event.what()}, {"detail", event.detail()}});
  if (event.what() == "drain_deadline") {
    enter({.kind = event.what(),
           .object = event.detail(),
           .reason = "the dataplane ended it",
           .services = {event.detail().substr(0, event.detail().find('/'))}});
  }
}

// A dataplane that cannot say what it runs is asked again, for as long as this connection lasts.
asio::awaitable<void> Engine::adopt() {
  const std::uint64_t mine = breaks_;
  const auto wanted = [this, mine] { return breaks_ == mine && !stopping_; };
  std::chrono::milliseconds wait = kAdoptAgainFirst;
  while (wanted()) {
    const auto running = co_await parts_.forwarder.running();
    if (!wanted()) {
      break;
    }
    if (running) {
      finish_adoption(*running);
      break;
    }
    if (std::exchange(adoption_failure_, running.error()) != running.error()) {
      parts_.log.event(Severity::kError, "adoption.failed", {{"reason", running.error()}});
    }
    const Clock::TimePoint again = parts_.clock.now() + wait;
    wait = std::min(2 * wait, kAdoptAgainMost);
    while (wanted() && parts_.clock.now() < again) {
      co_await wait_until(again);
    }
  }
}

void Engine::finish_adoption(const RunningState& running) {
  const bool first = adopted_ms_ < 0;
  adoption_failure_.clear();
  adoption_changes_ = take_over(running);
  adopted_ = true;
  publish_if_needed();
  routes_.tell_again();
  offer_vips();
  const std::chrono::duration<double, std::milli> took =
      parts_.clock.now() - (first ? started_ : connected_at_);
  adopted_ms_ = took.count();
  parts_.log.event(Severity::kInfo,
                   "adopted",
                   {{"generation", std::to_string(running.generation.number)},
                    {"state_changes", std::to_string(adoption_changes_)},
                    {"ms", std::to_string(adopted_ms_)}});
  enter({.kind = "adopted",
         .reason = "generation " + std::to_string(running.generation.number) + ", " +
                   std::to_string(adoption_changes_) + " state changes"});
  poll_counters();
  changed_.notify();
  if (std::exchange(startup_refused_, false)) {
    request_reload({.who = std::string(kDataplane), .reason = "it was started again"});
  }
}

// Returns how much of the running state had to change: dispositions, and the generation as one.
std::size_t Engine::take_over(const RunningState& running) {
  publisher_.adopt(running);
  settle_role(running.role);
  roster_.adopt(running, now());
  const Roster::Outcome outcome = roster_.settle("adopted", now());
  std::size_t changes = 0;
  for (const RunningMember& member : running.members) {
    const auto place = roster_.find({member.service, member.backend});
    if (!place || member.retired) {
      continue;
    }
    const bool differs = roster_.at(*place).decision.disposition != member.disposition;
    changes += differs ? 1U : 0U;
    const auto late = std::chrono::abs(reset_in(roster_.at(*place)) - member.reset_in);
    if (differs || late > kDeadlineSlack) {
      tell(*place);
    }
  }
  act_on(outcome);
  // A generation that a reload sent and waits for is the operator's change, not ours.
  const bool other_generation =
      running.generation.number != 0 && !publishing_reload_ && !publisher_.runs(build_wanted());
  generation_stale_ = true;
  return changes + (other_generation ? 1 : 0);
}

void Engine::on_result(const CheckSpec& check, const ProbeResult& result) {
  lateness_.add(result.lateness);
  const Roster::Outcome outcome = roster_.apply(check, result, now());
  act_on(outcome);
  if (outcome.confirm) {
    scheduler_.confirm(check);
  }
}

void Engine::act_on(const Roster::Outcome& outcome) {
  generation_stale_ = generation_stale_ || outcome.weights_changed;
  for (const StateChange& change : outcome.changes) {
    if (change.before.disposition != change.after.disposition) {
      if (const auto place = roster_.find({change.service, change.backend})) {
        tell(*place);
      }
    }
    const bool expected = change.after.admin == Admin::kMaintenance;
    const bool worse = change.after.health == Health::kDown && !expected;
    parts_.log.event(worse ? Severity::kWarning : Severity::kInfo,
                     "state",
                     {{"service", change.service},
                      {"backend", change.backend},
                      {"from", shown_text(change.before)},
                      {"to", shown_text(change.after)},
                      {"cause", change.cause}});
    enter(change);
  }
  if (!outcome.changes.empty()) {
    offer_vips();
  }
}

std::chrono::milliseconds Engine::reset_in(const Member& member) const {
  const bool ends = member.admin == Admin::kDraining &&
                    member.drain_ends != Clock::TimePoint::max() && member.orders.state &&
                    member.orders.state->drain.then == config::DrainEnd::kReset;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(member.drain_ends - now().steady);
  return ends ? std::max(left, std::chrono::milliseconds(1)) : std::chrono::milliseconds(0);
}

void Engine::tell(MemberPlace place) {
  const Member& member = roster_.at(place);
  auto [service, backend] = roster_.name_of(place);
  publisher_.set_disposition(
      {std::move(service), std::move(backend), member.decision.disposition, reset_in(member)});
}

void Engine::plan_tick() {
  tick_ = parts_.clock.at(parts_.clock.now() + kTick, [this] { tick(); });
}

void Engine::tick() {
  plan_tick();
  act_on(roster_.tick(now()));
  if (retry_publication_ <= parts_.clock.now()) {
    retry_publication_ = Clock::TimePoint::max();
    generation_stale_ = true;
  }
  if (adopted_ && reloads_.empty() && retry_file_ <= parts_.clock.now()) {
    retry_file_ = Clock::TimePoint::max();
    request_reload({.who = std::string(kStart), .reason = "the dataplane refused it before"});
  }
  publish_if_needed();  // once for all weights that changed since the last tick
  offer_vips();
  poll_counters();
  if (ledger_.settle(parts_.clock.now())) {
    changed_.notify();
  }
  end_expired_orders();
  watch_trial();
  if (!verb_busy_ && node_again_ <= parts_.clock.now()) {
    node_again_ = Clock::TimePoint::max();
    tasks_.spawn(save_node_order());
  }
  if (!orders_unsaved_.empty() && !verb_busy_ && parts_.clock.now() >= orders_again_) {
    orders_again_ = Clock::TimePoint::max();
    tasks_.spawn(save_orders_again());
  }
  if (reloads_.empty() && revision_again_ <= parts_.clock.now()) {
    revision_again_ = Clock::TimePoint::max();
    tasks_.spawn(save_running());
  }
}

dataplane::GenerationSpec Engine::build_wanted() const {
  return build_generation(config_, roster_.decisions(), 0);
}

void Engine::publish_if_needed() {
  if (!generation_stale_ || !adopted_ || publishing_reload_ || publisher_.busy()) {
    return;
  }
  generation_stale_ = false;
  dataplane::GenerationSpec wanted = build_wanted();
  if (publisher_.runs(wanted)) {
    note_delivery();
  } else {
    publisher_.want(std::move(wanted));
  }
}

void Engine::note_delivery() {
  publisher_.forget_failure();
  if (file_refusal_.empty()) {  // otherwise it fails again, with the next retry of the file
    failure_logged_.clear();
  }
  std::erase_if(last_reload_.lines,
                [](const std::string& line) { return line.ends_with(kDeliveredLater); });
}

void Engine::report_publication(std::uint64_t number, const Publisher::Outcome& outcome) {
  if (!outcome) {
    retry_publication_ = parts_.clock.now() + kPublishAgain;
    if (std::exchange(failure_logged_, outcome.error()) != outcome.error()) {
      parts_.log.event(Severity::kError,
                       "publication.failed",
                       {{"generation", std::to_string(number)}, {"reason", outcome.error()}});
    }
    return;
  }
  failure_logged_.clear();
  routes_.tell_again();  // it may have the VIPs only now
  offer_vips();
  generation_stale_ = true;  // looked at once more: note_delivery(), or the next one
  parts_.log.event(Severity::kInfo,
                   "published",
                   {{"generation", std::to_string(number)},
                    {"build_us", std::to_string(outcome->build_ns() / 1000)},
                    {"swap_us", std::to_string(outcome->swap_ns() / 1000)}});
}

void Engine::poll_counters() {
  if (!parts_.forwarder.connected()) {
    return;
  }
  ++polls_wanted_;
  if (!polling_) {
    polling_ = true;
    tasks_.spawn(poll_loop());
  }
}

asio::awaitable<void> Engine::poll_loop() {
  while (polls_begun_ < polls_wanted_ && parts_.forwarder.connected()) {
    const std::uint64_t mine = polls_wanted_;
    polls_begun_ = mine;
    auto reply = co_await parts_.forwarder.counters();
    if (reply && parts_.forwarder.connected()) {
      counters_ = std::move(*reply);
      counters_at_ = parts_.clock.now();
      polls_answered_ = mine;
      note_ebbs();
      count_moves();
    }
    changed_.notify();
  }
  polling_ = false;
}

void Engine::note_ebbs() {
  const auto is_ebbing = [this](const MemberName& name) {
    const auto orders = orders_.find(name);
    return orders != orders_.end() && orders->second.state.has_value();
  };
  std::erase_if(ebbs_, [&](const auto& ebb) { return !is_ebbing(ebb.first); });
  std::map<MemberName, std::uint64_t> flows;
  if (!orders_.empty() && counters_) {
    for (const seam::MemberCounters& one : counters_->members()) {
      if (const MemberName name{one.ref().service(), one.ref().backend()}; is_ebbing(name)) {
        flows[name] += one.flows();
      }
    }
  }
  for (const auto& [name, count] : flows) {
    ebbs_[name].note(counters_at_, count);
  }
}

asio::awaitable<bool> Engine::refresh(std::chrono::milliseconds limit) {
  const Clock::TimePoint deadline = parts_.clock.now() + limit;
  poll_counters();
  const std::uint64_t mine = polls_wanted_;
  while (polls_answered_ < mine && parts_.forwarder.connected() && parts_.clock.now() < deadline) {
    co_await wait_until(deadline);
  }
  co_return polls_answered_ >= mine&& parts_.forwarder.connected();
}

void Engine::note_disk(const std::string& error) {
  ++disk_errors_;
  parts_.log.event(Severity::kError, "disk", {{"reason", error}});
}

}  // namespace holdfast::control
