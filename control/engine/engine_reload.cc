// SPDX-License-Identifier: Apache-2.0
// See engine.h. Reload: the file is read and checked elsewhere, the generation is published first,
// and only when the dataplane has it does anything here change. So a bad configuration, or one that
// the dataplane refuses, changes nothing.
#include "config/load.h"
#include "control/engine/engine.h"
#include "control/engine/large_change.h"
#include "control/engine/plan.h"
#include "control/engine/revisions.h"
#include "control/publish/build.h"
#include "control/publish/offload.h"
#include "dataplane/api/codec.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace holdfast::control {

namespace asio = boost::asio;

namespace {

std::size_t count_of(std::span<const std::string> lines, std::string_view kind) {
  return static_cast<std::size_t>(std::ranges::count_if(
      lines, [kind](const std::string& line) { return line.contains(kind); }));
}

// What the log says of a reload, in one line: the last one, where the result stands, or how many
// errors there are and the first.
std::string detail_of(std::span<const std::string> lines) {
  static constexpr std::string_view kError = ": error: ";
  const std::size_t errors = count_of(lines, kError);
  if (errors == 0) {
    return lines.empty() ? "" : lines.back();
  }
  const auto first =
      std::ranges::find_if(lines, [](const std::string& line) { return line.contains(kError); });
  return errors == 1 ? *first : std::to_string(errors) + " errors, first: " + *first;
}

}  // namespace

void Engine::enqueue(std::shared_ptr<ReloadRun> run) {
  reloads_.push_back(std::move(run));
  if (reloads_.size() == 1) {
    tasks_.spawn(reload_loop());
  }
}

std::shared_ptr<Engine::ReloadRun> Engine::plan_reload(Caller caller) {
  if (reloads_.size() > 1 && reloads_.back()->of_the_file()) {
    const std::shared_ptr<ReloadRun>& waiting = reloads_.back();
    if (is_automatic(waiting->caller)) {
      waiting->caller = std::move(caller);
    }
    return waiting;
  }
  auto run = std::make_shared<ReloadRun>();
  run->caller = std::move(caller);
  enqueue(run);
  return run;
}

asio::awaitable<VerbResult> Engine::result_of(std::shared_ptr<ReloadRun> run) {
  while (!run->done) {
    co_await changed_.wait();
  }
  co_return run->result;
}

asio::awaitable<VerbResult> Engine::reload(Caller caller) {
  // The file may have changed since a running reload read it: that one's answer is not ours.
  const std::shared_ptr<ReloadRun> mine = plan_reload(std::move(caller));
  co_return co_await result_of(mine);
}

asio::awaitable<void> Engine::reload_loop() {
  while (!reloads_.empty()) {
    const std::shared_ptr<ReloadRun> run = reloads_.front();
    if (stopping_) {
      run->result = {Outcome::kFailed, {"control is stopping"}};
    } else {
      const bool again = is_retry(run->caller);
      if (parts_.on_reload_begin && !again) {
        parts_.on_reload_begin();
      }
      if (run->of_the_file()) {
        run->result = co_await reload_once(run->caller);
      } else {
        run->result = co_await install_once(run);
      }
      if (parts_.on_reload_end && (!again || file_refusal_.empty())) {
        parts_.on_reload_end("revision " + std::to_string(revision_) + ", last reload " +
                             last_reload_.result);
      }
    }
    run->done = true;
    reloads_.pop_front();
    changed_.notify();
  }
}

asio::awaitable<VerbResult> Engine::reload_once(Caller caller) {
  // Named: a capturing lambda as a temporary of a co_await is a known trap of GCC 12.
  auto read = [path = config_path_] { return config::load_config(path); };
  config::LoadResult loaded = co_await offload(parts_.disk, std::move(read));
  if (!loaded) {
    co_return finish_reload(
        "refused",
        {Outcome::kInvalidConfiguration, config::rendered_lines(loaded.error())},
        caller);
  }
  if (leaves_alone(*loaded, caller)) {
    co_return finish_reload("unchanged",
                            {Outcome::kOk,
                             {"the file on disk is the one that the " + about_.origin +
                              " set aside: revision " + std::to_string(revision_) + " stays"}},
                            caller);
  }
  // Of the file alone: after a restart of the dataplane it is asked for again, a rollback is not.
  startup_refused_ =
      !started_with(*loaded) && !config::startup_differences(config_, *loaded).empty();
  if (auto fixed = needing_restart(*loaded); !fixed.empty()) {
    co_return finish_reload("refused", {Outcome::kInvalidConfiguration, std::move(fixed)}, caller);
  }
  if (revision_ != 0 && loaded->sources == config_.sources && about_.set_aside.empty()) {
    co_return finish_reload(
        "unchanged",
        {Outcome::kOk, {"the configuration is unchanged: revision " + std::to_string(revision_)}},
        caller);
  }
  if (adopted_ && !counters_) {
    co_await refresh(kCountersWait);  // else nobody could say which VIPs have flows
  }
  if (auto large = refused_as_large(*loaded); !large.empty()) {
    VerbResult result = finish_reload("refused", {Outcome::kRefused, std::move(large)}, caller);
    retry_file_ = Clock::TimePoint::max();  // fewer flows do not make it meant
    co_return result;
  }
  Candidate candidate{.config = std::move(*loaded), .about = about_now("reload", caller)};
  co_return co_await take(std::move(candidate), std::move(caller));
}

std::vector<std::string> Engine::needing_restart(const config::Config& wanted) const {
  std::vector<std::string> fixed = config::startup_differences(config_, wanted);
  if (started_with(wanted)) {
    fixed.clear();
  }
  std::ranges::move(config::control_differences(config_.control, wanted.control),
                    std::back_inserter(fixed));
  return fixed;
}

std::vector<std::string> Engine::large_changes_of(const config::Config& wanted) {
  if (revision_ == 0 || wanted.control.allow_large_change) {
    return {};
  }
  const std::vector<ServiceView> views = services();
  return large_changes(
      config_, wanted, [&](std::string_view service) -> std::optional<std::uint64_t> {
        const auto view = std::ranges::find(views, service, &ServiceView::name);
        return view == views.end() ? std::nullopt : view->flows;
      });
}

std::vector<std::string> Engine::refused_as_large(const config::Config& wanted) {
  std::vector<std::string> lines = large_changes_of(wanted);
  if (!lines.empty()) {
    lines.back() += ": refused unless the file says control.allow_large_change: true";
  }
  return lines;
}

// After a restart of the dataplane its start-up keys are the file's, and not those of the revision
// that control began with.
bool Engine::started_with(const config::Config& config) const {
  const auto running = running_startup();
  return running && *running == startup_spec(config, running->hash_key);
}

std::optional<dataplane::StartupSpec> Engine::running_startup() const {
  seam::Startup message;
  if (!parts_.forwarder.connected() || !message.ParseFromString(hello_.startup())) {
    return std::nullopt;
  }
  auto running = seam::from_wire(message);
  return running ? std::optional(std::move(*running)) : std::nullopt;
}

asio::awaitable<VerbResult> Engine::take(Candidate candidate, Caller caller) {
  const config::Config& config = candidate.config;
  VerbResult result{Outcome::kOk, candidate.notes};
  std::ranges::move(config::rendered_lines(config.warnings), std::back_inserter(result.lines));
  if (adopted_ && !publisher_.runs(build_candidate(config))) {
    publishing_reload_ = true;
    const Judged published = co_await publish_judged(&config);
    publishing_reload_ = false;
    if (!published) {
      result.outcome = published.error().outcome;
      std::ranges::copy(published.error().lines, std::back_inserter(result.lines));
      co_return finish_reload("refused", std::move(result), caller);
    }
    for (const seam::SlotsMoved& moved : published->slots_moved()) {
      result.lines.push_back(
          slots_line(moved.service(), moved.moved(), moved.slots(), moved.least()));
    }
  } else if (!adopted_) {
    const std::string why = parts_.forwarder.connected() ? "the dataplane's state is not adopted"
                                                         : "the dataplane is not connected";
    result.outcome = Outcome::kUnreachable;
    if (is_retry(caller)) {
      result.lines.push_back(why + ": nothing was changed");
      co_return finish_reload("refused", std::move(result), caller);
    }
    result.lines.push_back(why + std::string(kDeliveredLater));
  }
  co_await commit(std::move(candidate), &result);
  co_return finish_reload("applied", std::move(result), caller);
}

dataplane::GenerationSpec Engine::build_candidate(const config::Config& config) const {
  Roster candidate(config, roster_, orders_, now());
  static_cast<void>(candidate.settle("reload", now()));
  return build_generation(config, candidate.decisions(), 0);
}

asio::awaitable<Engine::Judged> Engine::publish_judged(const config::Config* config) {
  std::string reason;
  for (int sent = 0; sent < kSends; ++sent) {
    // Built anew, because health goes on meanwhile.
    const dataplane::GenerationSpec generation = build_candidate(*config);
    const std::uint64_t breaks = breaks_;
    Publisher::Outcome outcome = co_await publisher_.publish(generation);
    if (outcome) {
      co_return std::move(*outcome);
    }
    reason = outcome.error();
    if (breaks == breaks_ && !stopping_) {
      co_return std::unexpected(
          VerbResult{Outcome::kRefused, {"the dataplane refused it: " + reason}});
    }
    const Clock::TimePoint deadline = parts_.clock.now() + kVerdictWait;
    while (!adopted_ && !stopping_ && parts_.clock.now() < deadline) {
      co_await wait_until(deadline);
    }
    if (!adopted_ || stopping_) {
      break;
    }
    if (publisher_.runs(generation)) {
      co_return seam::PublishReply();
    }
  }
  co_return std::unexpected(VerbResult{
      Outcome::kTimedOut,
      {"the dataplane did not say whether it takes this, nothing was changed: " + reason}});
}

asio::awaitable<void> Engine::commit(Candidate candidate, VerbResult* result) {
  if (trial_ && candidate.about.back_to != about_.falls_back_to) {
    result->lines.push_back("nobody had confirmed revision " + std::to_string(revision_));
  }
  for (const std::string& note : candidate.notes) {
    parts_.log.event(
        Severity::kWarning,
        "forced",
        {{"who", candidate.about.who}, {"reason", candidate.about.reason}, {"detail", note}});
  }
  const Capacities before = capacities_by_name();
  config_ = std::move(candidate.config);
  about_ = std::move(candidate.about);
  about_.unix_ms = parts_.unix_ms();
  if (about_.confirm_ms != 0 && !trial_) {
    about_.falls_back_to = revision_;  // the one before may have been confirmed meanwhile
  }
  revision_ = ++highest_revision_;
  result->lines.push_back("revision " + std::to_string(revision_) + " is in force");
  const std::size_t orders_before = orders_.size();
  roster_ = Roster(config_, roster_, orders_, now());
  std::erase_if(orders_, [this](const auto& order) { return !roster_.find(order.first); });
  act_on(roster_.settle("reload", now()));
  scheduler_.set(roster_.checks());
  begin_trial(before);
  if (trial_) {
    result->lines.push_back(trial_text(*trial_));
  }
  generation_stale_ = true;
  publish_if_needed();
  offer_vips();
  if (co_await save_running(); !revision_unsaved_.empty()) {
    result->lines.push_back("it could not be kept for the next start: " + revision_unsaved_);
  }
  if (orders_.size() != orders_before) {
    journal_stale_ = true;
    co_await save_orders("");
  }
}

asio::awaitable<void> Engine::save_running() {
  Revision revision{.number = revision_, .about = about_, .sources = config_.sources};
  auto save = [directory = directory_, revision = std::move(revision)] {
    return save_revision(directory, revision);
  };
  const auto saved = co_await offload(parts_.disk, std::move(save));
  revision_unsaved_ = saved ? "" : saved.error();
  revision_again_ = saved ? Clock::TimePoint::max() : parts_.clock.now() + kSaveAgain;
  if (!saved) {
    note_disk(saved.error());
  }
}

bool Engine::is_automatic(const Caller& caller) {
  return caller.who == kStart || caller.who == kDataplane;
}

bool Engine::is_retry(const Caller& caller) const {
  return is_automatic(caller) && !file_refusal_.empty();
}

void Engine::note_refusal(const VerbResult& result, const Caller& caller) {
  if (!reloads_.front()->of_the_file() && result.outcome != Outcome::kOk) {
    return;  // it says nothing of the file
  }
  const bool unjudged =
      result.outcome == Outcome::kTimedOut || result.outcome == Outcome::kUnreachable;
  if (!is_automatic(caller)) {
    file_refusal_.clear();  // somebody has the answer
  } else if (!unjudged) {
    file_refusal_ = result.outcome == Outcome::kRefused ? result.lines.back() : "";
  }
  retry_file_ = file_refusal_.empty() ? Clock::TimePoint::max() : parts_.clock.now() + kFileAgain;
}

VerbResult Engine::finish_reload(std::string_view kind, VerbResult result, const Caller& caller) {
  const bool refused = kind == "refused";
  const bool nothing_new =
      result.outcome == Outcome::kUnreachable || result.lines == last_reload_.lines;
  const bool again = is_retry(caller) || reloads_.front()->ends_trial_of != 0;
  const bool known = refused && again && nothing_new;
  note_refusal(result, caller);
  if (known) {  // neither another reload nor another line
    return result;
  }
  reloads_refused_ += refused ? 1U : 0U;
  reloads_applied_ += kind == "applied" ? 1U : 0U;
  reloads_unchanged_ += kind == "unchanged" ? 1U : 0U;
  last_reload_ = {.result = std::string(kind), .age_s = 0, .lines = result.lines};
  last_reload_at_ = parts_.clock.now();
  parts_.log.event(refused ? Severity::kError : Severity::kInfo,
                   "reload",
                   {{"result", std::string(kind)},
                    {"revision", std::to_string(revision_)},
                    {"who", caller.who},
                    {"reason", caller.reason},
                    {"warnings", std::to_string(count_of(result.lines, ": warning: "))},
                    {"detail", detail_of(result.lines)}});
  if (kind == "applied") {
    enter_reload(caller);
  }
  generation_stale_ = true;  // what is wanted may run already: then nothing is owed any more
  publish_if_needed();
  return result;
}

}  // namespace holdfast::control
