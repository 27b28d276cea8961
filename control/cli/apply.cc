// SPDX-License-Identifier: Apache-2.0
// The verbs `plan`, `apply` and `confirm`: a file looked at, taken, and kept.
#include "control/cli/config_verb.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>

namespace holdfast::control {
namespace {

namespace json = boost::json;

struct Options {
  ConfigVerbOptions common;
  std::string file;
  bool force = false;
  std::optional<std::chrono::milliseconds> confirm;
};

// Control reads the file: it has a working directory and descriptors of its own. Links are left to
// it, so that a path with .. behind one means what it means to the shell.
std::optional<std::string> path_for_control(const std::string& file, Context& context) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::absolute(file, error);
  std::string text = path.string();
  if (error || file == "-" || text.starts_with("/dev/") || text.starts_with("/proc/")) {
    context.fail(kExitUsage, "'" + file + "': control reads the file itself, name one on disk");
    return std::nullopt;
  }
  return text;
}

void plan(const Options& options, Context& context) {
  if (const auto path = path_for_control(options.file, context)) {
    send_config_verb("/v1/plan", {{"path", *path}}, options.common, context);
  }
}

void apply(const Options& options, Context& context) {
  const auto path = path_for_control(options.file, context);
  if (!path) {
    return;
  }
  json::object body = {
      {"path", *path}, {"reason", options.common.reason}, {"force", options.force}};
  if (options.confirm) {
    body["confirm_ms"] = options.confirm->count();
  }
  send_config_verb("/v1/apply", body, options.common, context);
}

}  // namespace

void add_plan(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  Verb verb(app, "plan", "Say what a configuration would change; change nothing");
  verb.required({"FILE", "", "configuration, which control must be able to read"}, options->file);
  add_config_verb_options(verb, options->common);
  verb.runs([options, &context] { plan(*options, context); });
}

void add_apply(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  Verb verb(app, "apply", "Take a configuration; the file that control reloads is set aside");
  verb.required({"FILE", "", "configuration, which control must be able to read"}, options->file)
      .flag({"--force", "", "also when much goes at once (control.allow_large_change)"},
            options->force);
  add_reason(verb, options->common);
  add_duration(
      verb,
      "--confirm",
      "go back after this unless `holdfast confirm` comes, and at once when a service loses"
      " more than a fifth of its healthy weight",
      [options](std::chrono::milliseconds confirm) { options->confirm = confirm; });
  add_config_verb_options(verb, options->common);
  verb.runs([options, &context] { apply(*options, context); });
}

void add_confirm(CLI::App& app, Context& context) {
  auto options = std::make_shared<ConfigVerbOptions>();
  auto revisions = std::make_shared<std::vector<std::string>>();
  Verb verb(app, "confirm", "Keep what was applied with --confirm");
  verb.optional({"REVISION", "", "only if this one is in force"}, *revisions);
  add_reason(verb, *options);
  add_config_verb_options(verb, *options);
  verb.runs([options, revisions, &context] {
    if (auto body = body_with_revision(*revisions, context)) {
      (*body)["reason"] = options->reason;
      send_config_verb("/v1/confirm", *body, *options, context);
    }
  });
}

}  // namespace holdfast::control
