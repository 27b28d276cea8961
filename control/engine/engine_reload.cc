// SPDX-License-Identifier: Apache-2.0
// See engine.h. Reload: the file is read and checked elsewhere, the generation is published first,
// and only when the dataplane has it does anything here change. So a bad configuration, or one that
// the dataplane refuses, changes nothing.
#include "config/load.h"
#include "control/engine/engine.h"
#include "control/engine/revisions.h"
#include "control/publish/build.h"
#include "control/publish/offload.h"
#include "dataplane/api/codec.h"

#include <utility>

namespace holdfast::control {

namespace asio = boost::asio;

namespace {

std::vector<std::string> rendered(std::span<const config::Diagnostic> diagnostics) {
  std::vector<std::string> lines;
  std::string text = config::render(diagnostics);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.erase(0, end + 1);
  }
  return lines;
}

std::string slots_line(const seam::SlotsMoved& moved) {
  return "service " + moved.service() + ": " + std::to_string(moved.moved()) + " of " +
         std::to_string(moved.slots()) + " slots moved, least possible " +
         std::to_string(moved.least());
}

}  // namespace

std::shared_ptr<Engine::ReloadRun> Engine::plan_reload(Caller caller) {
  auto run = std::make_shared<ReloadRun>();
  run->caller = std::move(caller);
  if (!reload_) {
    reload_ = run;
    tasks_.spawn(reload_loop());
  } else if (!next_reload_) {
    next_reload_ = run;
  } else {
    run = next_reload_;
  }
  return run;
}

asio::awaitable<VerbResult> Engine::reload(Caller caller) {
  // The file may have changed since a running reload read it: that one's answer is not ours.
  const std::shared_ptr<ReloadRun> mine = plan_reload(std::move(caller));
  while (!mine->done) {
    co_await changed_.wait();
  }
  co_return mine->result;
}

asio::awaitable<void> Engine::reload_loop() {
  while (reload_) {
    if (stopping_) {
      reload_->result = {Outcome::kFailed, {"control is stopping"}};
    } else {
      if (parts_.on_reload_begin) {
        parts_.on_reload_begin();
      }
      reload_->result = co_await reload_once(reload_->caller);
      if (parts_.on_reload_end) {
        parts_.on_reload_end("revision " + std::to_string(revision_) + ", last reload " +
                             last_reload_.result);
      }
    }
    reload_->done = true;
    reload_ = std::exchange(next_reload_, nullptr);
    changed_.notify();
  }
}

asio::awaitable<VerbResult> Engine::reload_once(Caller caller) {
  // Named: a capturing lambda as a temporary of a co_await is a known trap of GCC 12.
  auto read = [path = config_path_] { return config::load_config(path); };
  config::LoadResult loaded = co_await offload(parts_.disk, std::move(read));
  if (!loaded) {
    co_return finish_reload(
        "refused", {Outcome::kInvalidConfiguration, rendered(loaded.error())}, caller);
  }
  std::vector<std::string> fixed = config::startup_differences(config_, *loaded);
  startup_refused_ = !fixed.empty() && !started_with(*loaded);
  if (startup_refused_) {
    co_return finish_reload("refused", {Outcome::kInvalidConfiguration, std::move(fixed)}, caller);
  }
  if (revision_ != 0 && loaded->sources == config_.sources) {
    co_return finish_reload(
        "unchanged",
        {Outcome::kOk, {"the configuration is unchanged: revision " + std::to_string(revision_)}},
        caller);
  }
  co_return co_await apply_config(std::move(*loaded), std::move(caller));
}

// After a restart of the dataplane its start-up keys are the file's, and not those of the revision
// that control began with.
bool Engine::started_with(const config::Config& config) const {
  seam::Startup message;
  if (!parts_.forwarder.connected() || !message.ParseFromString(hello_.startup())) {
    return false;
  }
  const auto running = seam::from_wire(message);
  return running && *running == startup_spec(config, running->hash_key);
}

asio::awaitable<VerbResult> Engine::apply_config(config::Config config, Caller caller) {
  Roster candidate(config, roster_, drains_, now());
  static_cast<void>(candidate.settle("reload", now()));
  dataplane::GenerationSpec generation = build_generation(config, candidate.decisions(), 0);
  VerbResult result{Outcome::kOk, rendered(config.warnings)};
  if (adopted_ && !publisher_.runs(generation)) {
    publishing_reload_ = true;
    const Publisher::Outcome published = co_await publisher_.publish(std::move(generation));
    publishing_reload_ = false;
    if (!published && adopted_) {
      result.lines.push_back("the dataplane refused it: " + published.error());
      co_return finish_reload("refused", {Outcome::kRefused, std::move(result.lines)}, caller);
    }
    if (published) {
      for (const seam::SlotsMoved& moved : published->slots_moved()) {
        result.lines.push_back(slots_line(moved));
      }
    }
  }
  if (!adopted_) {
    result.outcome = Outcome::kUnreachable;
    result.lines.emplace_back("the dataplane is not connected: it gets this when it is");
  }
  co_await commit(std::move(config), &result);
  co_return finish_reload("applied", std::move(result), caller);
}

asio::awaitable<void> Engine::commit(config::Config config, VerbResult* result) {
  config_ = std::move(config);
  revision_ = ++highest_revision_;
  result->lines.push_back("revision " + std::to_string(revision_) + " is in force");
  const std::size_t drains_before = drains_.size();
  roster_ = Roster(config_, roster_, drains_, now());
  std::erase_if(drains_, [this](const auto& drain) { return !roster_.find(drain.first); });
  act_on(roster_.settle("reload", now()));
  scheduler_.set(roster_.checks());
  generation_stale_ = true;
  publish_if_needed();
  Revision revision{.number = revision_, .sources = config_.sources};
  auto save = [directory = directory_, revision = std::move(revision)] {
    return save_revision(directory, revision);
  };
  const auto saved = co_await offload(parts_.disk, std::move(save));
  if (!saved) {
    note_disk(saved.error());
    result->lines.push_back("it could not be kept for the next start: " + saved.error());
  }
  if (drains_.size() != drains_before) {
    co_await save_drains();
  }
}

VerbResult Engine::finish_reload(std::string_view kind, VerbResult result, const Caller& caller) {
  const bool refused = kind == "refused";
  reloads_refused_ += refused ? 1U : 0U;
  reloads_applied_ += kind == "applied" ? 1U : 0U;
  last_reload_ = {.result = std::string(kind), .age_s = 0, .lines = result.lines};
  last_reload_at_ = parts_.clock.now();
  parts_.log.event(refused ? Severity::kError : Severity::kInfo,
                   "reload",
                   {{"result", std::string(kind)},
                    {"revision", std::to_string(revision_)},
                    {"who", caller.who},
                    {"reason", caller.reason},
                    {"detail", result.lines.empty() ? "" : result.lines.front()}});
  return result;
}

}  // namespace holdfast::control
  reloads_unchanged_ += kind == "unchanged" ? 1U : 0U;
