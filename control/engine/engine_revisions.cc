// SPDX-License-Identifier: Apache-2.0
// See engine.h. The revisions that were accepted, and the way back to one. The file on disk is not
// touched by it: it is set aside, by its fingerprint, so that control's next start does not take it
// as new.
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

// The files of a revision as a configuration; the error is what the verb answers.
std::expected<config::Config, VerbResult> read_revision(const std::string& directory,
                                                        std::uint64_t number) {
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

asio::awaitable<VerbResult> Engine::roll_back_once(std::shared_ptr<ReloadRun> run) {
  const std::uint64_t number = run->back_to.value_or(revision_);
  const Caller caller = run->caller;
  if (number == revision_) {
    co_return finish_reload(
        "unchanged", {Outcome::kOk, {revision_name(number) + " is in force already"}}, caller);
  }
  auto read = [directory = directory_, number] { return read_revision(directory, number); };
  std::expected<config::Config, VerbResult> config = co_await offload(parts_.disk, std::move(read));
  if (!config) {
    co_return finish_reload("refused", config.error(), caller);
  }
  // Control's own keys need a restart of control and belong to the file.
  const bool allowed = config->control.allow_large_change;
  config->control = config_.control;
  config->control.allow_large_change = allowed;
  auto read_file = [path = config_path_] { return config::load_config(path); };
  const config::LoadResult file = co_await offload(parts_.disk, std::move(read_file));
  if (auto fixed = needing_restart(*config); !fixed.empty()) {
    co_return finish_reload("refused", {Outcome::kInvalidConfiguration, std::move(fixed)}, caller);
  }
  if (auto large = refused_as_large(*config); !large.empty() && !run->force) {
    large.back() += ", or --force is given";
    co_return finish_reload("refused", {Outcome::kRefused, std::move(large)}, caller);
  }
  Candidate candidate{.config = std::move(*config),
                      .about = about_now("rollback to " + std::to_string(number), caller)};
  candidate.about.back_to = number;
  if (!file || file->sources != candidate.config.sources) {
    candidate.about.set_aside = file ? fingerprint(file->sources) : std::string(kUnread);
  }
  co_return co_await apply(std::move(candidate), caller);
}

RevisionAbout Engine::about_now(std::string origin, const Caller& caller) const {
  return {.unix_ms = parts_.unix_ms(),
          .who = caller.who,
          .reason = caller.reason,
          .origin = std::move(origin),
          .config_path = config_path_,
          .set_aside = "",
          .back_to = 0};
}

bool Engine::leaves_alone(const config::Config& file, const Caller& caller) const {
  return is_automatic(caller) && !about_.set_aside.empty() &&
         (about_.set_aside == kUnread || about_.set_aside == fingerprint(file.sources));
}

}  // namespace holdfast::control
