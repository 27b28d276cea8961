// SPDX-License-Identifier: Apache-2.0
// See control_start.h.
#include "control/cli/control_start.h"

#include "config/load.h"
#include "control/cli/child_lock.h"
#include "control/cli/program.h"
#include "control/engine/node_order.h"
#include "control/engine/orders.h"
#include "control/engine/revisions.h"
#include "control/publish/durable_file.h"
#include "dataplane/api/client.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <variant>

#include <unistd.h>

namespace holdfast::control {
namespace {

constexpr std::chrono::seconds kAnswerLimit{3};
constexpr std::size_t kMaxOrdersBytes = std::size_t{16} << 20U;

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
  RevisionAbout about;
};

Accepted load_accepted(const std::string& directory, const std::string& config_path) {
  NewestRevision newest = load_newest_revision(directory);
  Accepted accepted{std::nullopt, 0, newest.highest, std::move(newest.problems), {}};
  if (!newest.revision || newest.revision->sources.empty()) {
    return accepted;
  }
  const std::string& made_by = newest.revision->about.config_path;
  if ((made_by.empty() ? newest.revision->sources.front().name : made_by) != config_path) {
    return accepted;
  }
  auto parsed = config::parse_sources(std::move(newest.revision->sources));
  if (!parsed) {
    accepted.notices.push_back("revision " + std::to_string(newest.revision->number) +
                               " is not valid for this version: " + text_of(parsed.error()));
    return accepted;
  }
  accepted.number = newest.revision->number;
  accepted.about = std::move(newest.revision->about);
  accepted.config = std::move(*parsed);
  return accepted;
}

void load_orders(const std::string& directory, EngineStart& start) {
  const std::string path = directory + "/orders";
  const auto text = read_whole(path, kMaxOrdersBytes);
  if (!text) {
    start.notices.push_back("drains, maintenances and weights of before are lost: " + text.error());
    start.journal_damaged = true;
    return;
  }
  OrdersRead read = read_journal(text->value_or(""));
  start.orders = std::move(read.orders);
  start.journal_lines = read.lines;
  start.journal_damaged = read.refusals > 0;
  for (const std::string& refused : read.refused) {
    std::string notice = path;
    notice.append(": ").append(refused).append(": refused, the others stand");
    start.notices.push_back(std::move(notice));
  }
  if (read.refusals > read.refused.size()) {
    start.notices.push_back(path + ": " + std::to_string(read.refusals) +
                            " lines were refused in all");
  }
}

void load_node_order(const std::string& directory, EngineStart& start) {
  const std::string path = directory + "/node";
  const auto text = read_whole(path, kMaxOrdersBytes);
  const auto order = text ? read_node_order(text->value_or("")) : std::unexpected(text.error());
  if (order) {
    start.drained = *order;
  } else {
    start.notices.push_back(path + ": whether the node was drained is not known: " + order.error());
  }
}

std::string find_directory(const StartPlace& place, const config::LoadResult& file) {
  if (!place.directory.empty()) {
    return place.directory;
  }
  if (file) {
    return file->control.directory;
  }
  const auto endpoints = config::load_endpoints(place.config);
  if (endpoints && endpoints->control.places.contains("directory")) {
    return endpoints->control.directory;
  }
  std::error_code error;
  const std::filesystem::path last = std::filesystem::read_symlink(place.last_directory, error);
  return error ? config::Control().directory : last.string();
}

// Not known is no: a dataplane that does not answer in time may forward all the same.
bool forwards_nothing(const std::string& socket) {
  const auto dataplane = seam::Client::connect(socket, 0, kAnswerLimit);
  return dataplane ? dataplane->hello().generation() == 0 : seam::nobody_listens(socket);
}

// Without it a start may not find the accepted revision while the file is broken: no reason to
// stop.
void remember_directory(const std::string& link, const std::string& directory) {
  if (link.empty()) {
    return;
  }
  const std::string draft = link + ".new";
  std::error_code ignored;
  std::filesystem::remove(draft, ignored);
  std::filesystem::create_symlink(directory, draft, ignored);
  std::filesystem::rename(draft, link, ignored);
}

}  // namespace

std::expected<ControlStart, StartFailure> load_control_start(const StartPlace& place) {
  const auto file = config::load_config(place.config);
  const std::string where = find_directory(place, file);
  auto lock = lock_directory(where);
  if (!lock) {
    return std::unexpected(lock.error());
  }
  ControlStart start;
  start.lock = std::move(*lock);
  Accepted accepted = load_accepted(where, place.config);
  if (!file && !accepted.config) {
    return fail(kExitInvalidConfiguration, text_of(file.error()));
  }
  remember_directory(place.last_directory, where);
  if (accepted.config) {
    start.engine.config = std::move(*accepted.config);
  } else {
    start.engine.config = *file;
  }
  start.engine.revision = accepted.number;
  start.engine.highest_revision = accepted.highest;
  start.engine.about = std::move(accepted.about);
  start.engine.notices = std::move(accepted.notices);
  load_orders(where, start.engine);
  load_node_order(where, start.engine);
  start.engine.config_path = place.config;
  start.engine.directory = where;
  start.settings = file ? file->control : start.engine.config.control;
  // What control runs with from now on, whatever the accepted revision said of it.
  start.engine.config.control = start.settings;
  start.settings.directory = where;
  start.dataplane_socket = file ? file->dataplane.socket : start.engine.config.dataplane.socket;
  return start;
}

std::expected<void, StartFailure> refuse_local_addresses(
    const ControlStart& start, const std::vector<config::LocalAddress>& here) {
  if (start.engine.highest_revision != 0) {
    return {};
  }
  const config::Config& config = start.engine.config;
  const bool kernel_sees = std::ranges::any_of(config.ports, [](const config::Port& port) {
    return port.device == config::PortDevice::kAfPacket || !port.twin.empty();
  });
  const auto again = config::parse_sources(config.sources, {.local_addresses = here});
  if (again || !kernel_sees || !forwards_nothing(start.dataplane_socket + ".ro")) {
    return {};
  }
  return fail(kExitInvalidConfiguration, text_of(again.error()));
}

}  // namespace holdfast::control
