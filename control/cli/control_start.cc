// SPDX-License-Identifier: Apache-2.0
#include "control/cli/control_start.h"

#include "config/load.h"
#include "control/cli/child_lock.h"
#include "control/cli/program.h"
#include "control/engine/drains.h"
#include "control/engine/revisions.h"
#include "control/publish/durable_file.h"

#include <optional>
#include <span>
#include <utility>
#include <variant>

#include <unistd.h>

namespace holdfast::control {
namespace {

constexpr std::size_t kMaxDrainsBytes = std::size_t{16} << 20U;

std::unexpected<StartFailure> fail(int exit_code, std::string text) {
  return std::unexpected(StartFailure{exit_code, std::move(text)});
}

std::string text_of(std::span<const config::Diagnostic> diagnostics) {
  std::string text = config::render(diagnostics);
  if (text.ends_with('\n')) {
    text.pop_back();
  }
  return text;
}

std::expected<FileDescriptor, StartFailure> lock_directory(const std::string& directory) {
  if (const auto made = make_directory(directory); !made) {
    return fail(kExitLacksSomething,
                "cannot use control's directory " + made.error() + ": set control.directory");
  }
  auto taken = ChildLock::take(directory + "/lock");
  if (!taken) {
    return fail(kExitLacksSomething, taken.error());
  }
  if (const auto* holder = std::get_if<Holder>(&*taken)) {
    return fail(kExitRefused,
                "another holdfast control (pid " + std::to_string(holder->pid) + ") uses " +
                    directory + ": stop it, or give this one another control.directory");
  }
  auto& lock = std::get<ChildLock>(*taken);
  lock.name(::getpid());
  return std::move(lock).release();
}

// The newest revision made from this file, with its number; config stays empty when there is none.
struct Accepted {
  std::optional<config::Config> config;
  std::uint64_t number = 0;
  std::uint64_t highest = 0;
  std::vector<std::string> notices;
};

Accepted load_accepted(const std::string& directory, const std::string& config_path) {
  NewestRevision newest = load_newest_revision(directory);
  Accepted accepted{std::nullopt, 0, newest.highest, std::move(newest.problems)};
  if (!newest.revision || newest.revision->sources.empty() ||
      newest.revision->sources.front().name != config_path) {
    return accepted;
  }
  auto parsed = config::parse_sources(std::move(newest.revision->sources));
  if (!parsed) {
    accepted.notices.push_back("revision " + std::to_string(newest.revision->number) +
                               " is not valid for this version: " + text_of(parsed.error()));
    return accepted;
  }
  accepted.number = newest.revision->number;
  accepted.config = std::move(*parsed);
  return accepted;
}

Drains load_drains(const std::string& directory, std::vector<std::string>& notices) {
  const auto text = read_whole(directory + "/drains", kMaxDrainsBytes);
  if (!text) {
    notices.push_back("the drains of before are lost: " + text.error());
    return {};
  }
  DrainsRead read = drains_from_text(text->value_or(""));
  if (read.damaged_lines > 0) {
    notices.push_back(std::to_string(read.damaged_lines) + " damaged lines in " + directory +
                      "/drains were skipped");
  }
  return std::move(read.drains);
}

}  // namespace

std::expected<ControlStart, StartFailure> load_control_start(const std::string& config_path,
                                                             const std::string& directory) {
  const auto file = config::load_config(config_path);
  ControlStart start;
  start.settings = file ? file->control : config::Control();
  const std::string where = directory.empty() ? start.settings.directory : directory;
  auto lock = lock_directory(where);
  if (!lock) {
    return std::unexpected(lock.error());
  }
  start.lock = std::move(*lock);
  Accepted accepted = load_accepted(where, config_path);
  if (!file && !accepted.config) {
    return fail(kExitInvalidConfiguration, text_of(file.error()));
  }
  start.engine.config = accepted.config ? std::move(*accepted.config) : *file;
  start.engine.revision = accepted.number;
  start.engine.highest_revision = accepted.highest;
  start.engine.notices = std::move(accepted.notices);
  start.engine.drains = load_drains(where, start.engine.notices);
  start.engine.config_path = config_path;
  start.engine.directory = where;
  if (!file) {
    start.settings = start.engine.config.control;
  }
  start.settings.directory = where;
  start.dataplane_socket = file ? file->dataplane.socket : start.engine.config.dataplane.socket;
  return start;
}

}  // namespace holdfast::control
