// SPDX-License-Identifier: Apache-2.0
// See engine.h. The revisions that were accepted, the way back to one, and a file that becomes one
// because an operator named it. The file on disk is not touched by these: it is set aside, by its
// fingerprint, so that control's next start does not take it as new.
#include "config/load.h"
#include "control/engine/engine.h"
#include "control/publish/durable_file.h"
#include "control/publish/offload.h"

#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

namespace holdfast::control {

namespace asio = boost::asio;

namespace {

std::string revision_name(std::uint64_t number) { return "revision " + std::to_string(number); }

using ReadConfig = std::expected<config::Config, VerbResult>;

// A file as a configuration; the error is what the verb answers.
ReadConfig read_file(const std::string& path) {
  auto loaded = config::load_config(path);
  if (!loaded) {
    return std::unexpected(
        VerbResult{Outcome::kInvalidConfiguration, config::rendered_lines(loaded.error())});
  }
  return std::move(*loaded);
}

// The same for the files of a revision.
ReadConfig read_revision(const std::string& directory, std::uint64_t number) {
  auto revision = load_revision(directory, number);
  if (!revision) {
    return std::unexpected(VerbResult{Outcome::kUsage, {revision.error()}});
  }
  auto parsed = config::parse_sources(std::move(revision->sources));
  if (!parsed) {
    VerbResult why{Outcome::kInvalidConfiguration, config::rendered_lines(parsed.error())};
    why.lines.push_back(revision_name(number) + " is not valid for this version");
    return std::unexpected(std::move(why));
  }
  return std::move(*parsed);
}

// Files that have errors are shown all the same: the main one then, without what it includes.
std::expected<SourcesView, std::string> read_files(const std::string& path) {
  SourcesView view{.name = path, .files = {}};
  if (auto loaded = config::load_config(path)) {
    view.files = std::move(loaded->sources);
    return view;
  }
  std::error_code ignored;
  const std::string behind_links = std::filesystem::canonical(path, ignored).string();
  auto read = read_whole(ignored ? path : behind_links, config::LoadOptions().max_bytes);
  if (!read) {
    return std::unexpected(read.error());
  }
  std::optional<std::string>& text = *read;
  if (!text) {
    return std::unexpected("there is no " + path);
  }
  view.files.push_back({.name = path, .text = std::move(*text)});
  return view;
}

}  // namespace

asio::awaitable<std::vector<RevisionView>> Engine::history() {
  auto list = [directory = directory_] { return list_revisions(directory); };
  std::vector<ListedRevision> listed = co_await offload(parts_.disk, std::move(list));
  std::vector<RevisionView> views;
  for (ListedRevision& one : listed) {
    views.push_back({.number = one.number,
                     .unix_ms = one.about.unix_ms,
                     .who = std::move(one.about.who),
                     .reason = std::move(one.about.reason),
                     .origin = std::move(one.about.origin),
                     .running = one.number == revision_,
                     .problem = std::move(one.problem)});
  }
  co_return views;
}

asio::awaitable<std::expected<SourcesView, std::string>> Engine::sources(
    std::optional<std::uint64_t> revision) {
  if (!revision) {
    auto read = [path = config_path_] { return read_files(path); };
    co_return co_await offload(parts_.disk, std::move(read));
  }
  auto load = [directory = directory_, number = *revision] {
    return load_revision(directory, number);
  };
  auto loaded = co_await offload(parts_.disk, std::move(load));
  if (!loaded) {
    co_return std::unexpected(loaded.error());
  }
  co_return SourcesView{.name = revision_name(loaded->number), .files = std::move(loaded->sources)};
}

asio::awaitable<VerbResult> Engine::roll_back(RollbackRequest request) {
  // Behind a rollback the one before is the one that was left.
  const std::uint64_t below = about_.back_to != 0 ? about_.back_to : revision_;
  if (!request.revision) {
    const std::vector<RevisionView> known = co_await history();
    for (const RevisionView& one : known) {
      if (one.number < below && one.problem.empty()) {
        request.revision = one.number;
        break;
      }
    }
  }
  if (!request.revision) {
    co_return VerbResult{Outcome::kUsage,
                         {"there is no revision before " + std::to_string(below) +
                          ": `holdfast history` lists them"}};
  }
  auto run = std::make_shared<ReloadRun>();
  run->caller = std::move(request.caller);
  run->back_to = request.revision;
  run->force = request.force;
  enqueue(run);
  co_return co_await result_of(run);
}

asio::awaitable<VerbResult> Engine::apply(ApplyRequest request) {
  auto run = std::make_shared<ReloadRun>();
  run->caller = std::move(request.caller);
  run->path = std::move(request.path);
  run->force = request.force;
  run->confirm = request.confirm;
  enqueue(run);
  co_return co_await result_of(run);
}

asio::awaitable<VerbResult> Engine::install_once(std::shared_ptr<ReloadRun> run) {
  const Caller caller = run->caller;
  if (run->ends_trial_of != 0 && run->ends_trial_of != revision_) {
    co_return finish_reload(
        "unchanged",
        {Outcome::kOk, {revision_name(run->ends_trial_of) + " is gone already"}},
        caller);
  }
  if (run->back_to == revision_) {
    co_return finish_reload(
        "unchanged", {Outcome::kOk, {revision_name(revision_) + " is in force already"}}, caller);
  }
  ReadCandidate candidate = co_await read_candidate(run);
  VerbResult result;
  if (candidate) {
    result = co_await take(std::move(*candidate), caller);
  } else {
    result = finish_reload("refused", std::move(candidate.error()), caller);
  }
  if (run->ends_trial_of == revision_ && trial_) {
    trial_->ending = false;
    trial_->again = parts_.clock.now() + kFileAgain;
  }
  co_return result;
}

asio::awaitable<Engine::ReadCandidate> Engine::read_candidate(std::shared_ptr<ReloadRun> run) {
  auto read = [directory = directory_, number = run->back_to, path = run->path] {
    return number ? read_revision(directory, *number) : read_file(path);
  };
  ReadConfig config = co_await offload(parts_.disk, std::move(read));
  if (!config) {
    co_return std::unexpected(std::move(config.error()));
  }
  if (run->back_to) {
    // Control's own keys need a restart of control and belong to the file.
    const bool allowed = config->control.allow_large_change;
    config->control = config_.control;
    config->control.allow_large_change = allowed;
  }
  auto read_own = [path = config_path_] { return config::load_config(path); };
  const config::LoadResult file = co_await offload(parts_.disk, std::move(read_own));
  if (adopted_ && !counters_) {
    co_await refresh(kCountersWait);
  }
  auto notes = objections_to(*config, *run);
  if (!notes) {
    co_return std::unexpected(std::move(notes.error()));
  }
  Candidate candidate{.config = std::move(*config), .about = {}, .notes = std::move(*notes)};
  const std::uint64_t back_to = run->back_to.value_or(0);
  candidate.about = about_now(
      back_to != 0 ? "rollback to " + std::to_string(back_to) : "apply " + run->path, run->caller);
  candidate.about.back_to = back_to;
  if (!file || file->sources != candidate.config.sources) {
    candidate.about.set_aside = file ? fingerprint(file->sources) : std::string(kUnread);
  }
  if (run->confirm.count() > 0) {
    co_return co_await put_on_trial(std::move(candidate), run->confirm);
  }
  co_return candidate;
}

asio::awaitable<Engine::ReadCandidate> Engine::put_on_trial(Candidate candidate,
                                                            std::chrono::milliseconds term) {
  candidate.about.confirm_ms = static_cast<std::uint64_t>(term.count());
  // Within a trial only what was in force before it has ever been meant to stay.
  candidate.about.falls_back_to = trial_ ? about_.falls_back_to : revision_;
  auto look = [directory = directory_, number = candidate.about.falls_back_to] {
    return read_revision(directory, number);
  };
  const ReadConfig fallback = co_await offload(parts_.disk, std::move(look));
  if (!fallback) {
    co_return std::unexpected(VerbResult{
        Outcome::kRefused,
        {"what it would fall back to cannot be taken: " + fallback.error().lines.back()}});
  }
  if (!config::startup_differences(candidate.config, *fallback).empty()) {
    co_return std::unexpected(
        VerbResult{Outcome::kRefused,
                   {"what it would fall back to needs a restart of the dataplane: " +
                    revision_name(candidate.about.falls_back_to)}});
  }
  co_return candidate;
}

std::expected<std::vector<std::string>, VerbResult> Engine::objections_to(
    const config::Config& config, const ReloadRun& run) {
  if (auto fixed = needing_restart(config); !fixed.empty()) {
    return std::unexpected(VerbResult{Outcome::kInvalidConfiguration, std::move(fixed)});
  }
  if (!run.force) {
    std::vector<std::string> large = refused_as_large(config);
    if (large.empty()) {
      return {};
    }
    large.back() += ", or --force is given";
    return std::unexpected(VerbResult{Outcome::kRefused, std::move(large)});
  }
  std::vector<std::string> forced = large_changes_of(config);
  for (std::string& line : forced) {
    line.insert(0, "forced: ");
  }
  return forced;
}

RevisionAbout Engine::about_now(std::string origin, const Caller& caller) const {
  return {.unix_ms = parts_.unix_ms(),
          .who = caller.who,
          .reason = caller.reason,
          .origin = std::move(origin),
          .config_path = config_path_,
          .set_aside = "",
          .back_to = 0,
          .confirm_ms = 0,
          .falls_back_to = 0};
}

bool Engine::leaves_alone(const config::Config& file, const Caller& caller) const {
  return is_automatic(caller) && !about_.set_aside.empty() &&
         (about_.set_aside == kUnread || about_.set_aside == fingerprint(file.sources));
}

}  // namespace holdfast::control
