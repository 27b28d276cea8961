// SPDX-License-Identifier: Apache-2.0
// The verbs `history`, `rollback` and `diff`: the configurations that were accepted, the way back
// to one, and how they differ.
#include "control/cli/config_verb.h"
#include "control/cli/control_client.h"
#include "control/cli/json_fields.h"
#include "control/cli/listing.h"
#include "control/cli/options.h"
#include "control/cli/program.h"
#include "control/cli/text_diff.h"
#include "control/cli/verb.h"
#include "control/cli/verb_answer.h"

#include <memory>

#include <boost/json/serialize.hpp>

namespace holdfast::control {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kViewLimit{5'000};
constexpr const char* kFile = "file";  // what is on disk

struct HistoryOptions {
  Connection connection;
  Format format = Format::kTable;
  std::vector<std::string> revisions;
};

// Prints why where there is no answer, or it is none of a view.
std::optional<json::object> get(const ControlClient& client,
                                const std::string& target,
                                Context& context) {
  auto answer = client.get(target, kViewLimit);
  if (!answer) {
    context.fail(answer.error().exit_code, answer.error().text);
    return std::nullopt;
  }
  if (answer->contains("outcome")) {
    print_answer(*answer, Format::kTable, context);
    return std::nullopt;
  }
  return std::move(*answer);
}

void show_history(const HistoryOptions& options, Context& context) {
  const auto sockets = find_sockets(options.connection, context);
  if (!sockets) {
    return;
  }
  const auto answer = get(ControlClient(sockets->control), "/v1/revisions", context);
  if (answer) {
    context.out << (options.format == Format::kJson ? json::serialize(*answer) + "\n"
                                                    : revisions_text(*answer));
  }
}

// All files of a configuration as one text, each behind a line with its name.
std::optional<NamedText> fetch_text(const ControlClient& client,
                                    const std::string& which,
                                    Context& context) {
  const auto answer = get(client, "/v1/revisions/" + which, context);
  if (!answer) {
    return std::nullopt;
  }
  NamedText named{.name = text_field(*answer, "name"), .text = ""};
  for (const json::object& file : objects_field(*answer, "files")) {
    named.text += "# file " + text_field(file, "name") + "\n";
    const json::value* text = file.if_contains("text");
    if (text != nullptr && text->is_string()) {
      named.text += std::string(text->get_string());
    }
  }
  return named;
}

// The revision that runs.
std::optional<std::string> running_revision(const ControlClient& client, Context& context) {
  const auto answer = get(client, "/v1/revisions", context);
  if (!answer) {
    return std::nullopt;
  }
  for (const json::object& revision : objects_field(*answer, "revisions")) {
    if (flag_field(revision, "running")) {
      return text_field(revision, "number");
    }
  }
  context.fail(kExitFailed, "no revision is in force yet");
  return std::nullopt;
}

void show_difference(const HistoryOptions& options, Context& context) {
  if (options.revisions.size() > 2) {
    context.fail(kExitUsage, "write at most two: what to compare, and with what");
    return;
  }
  const auto sockets = find_sockets(options.connection, context);
  if (!sockets) {
    return;
  }
  for (const std::string& word : options.revisions) {
    if (word != kFile && !revision_number(word)) {
      context.fail(kExitUsage, "'" + word + "' is neither a revision's number nor " + kFile);
      return;
    }
  }
  const ControlClient client(sockets->control);
  const std::optional<std::string> from = options.revisions.empty()
                                              ? running_revision(client, context)
                                              : std::optional(options.revisions.front());
  if (!from) {
    return;
  }
  const auto before = fetch_text(client, *from, context);
  const auto after =
      before
          ? fetch_text(client, options.revisions.size() < 2 ? kFile : options.revisions[1], context)
          : std::nullopt;
  if (!after) {
    return;
  }
  const auto difference = unified_diff(*before, *after);
  if (!difference) {
    context.fail(kExitLacksSomething, difference.error());
    return;
  }
  context.out << (difference->empty() ? before->name + " and " + after->name + " are equal\n"
                                      : *difference);
}

}  // namespace

void add_history(CLI::App& app, Context& context) {
  auto options = std::make_shared<HistoryOptions>();
  Verb verb(app, "history", "List the configurations that were accepted, the newest first");
  add_connection(verb, options->connection);
  add_format(verb, options->format);
  verb.runs([options, &context] { show_history(*options, context); });
}

void add_rollback(CLI::App& app, Context& context) {
  auto options = std::make_shared<ConfigVerbOptions>();
  auto revisions = std::make_shared<std::vector<std::string>>();
  auto force = std::make_shared<bool>(false);
  Verb verb(app, "rollback", "Apply an earlier revision again; the file on disk is set aside");
  verb.optional({"REVISION", "", "its number; default: the one before"}, *revisions)
      .flag({"--force", "", "also when much goes at once (control.allow_large_change)"}, *force);
  add_reason(verb, *options);
  add_config_verb_options(verb, *options);
  verb.runs([options, revisions, force, &context] {
    if (auto body = body_with_revision(*revisions, context)) {
      (*body)["reason"] = options->reason;
      (*body)["force"] = *force;
      send_config_verb("/v1/rollback", *body, *options, context);
    }
  });
}

void add_diff(CLI::App& app, Context& context) {
  auto options = std::make_shared<HistoryOptions>();
  Verb verb(app, "diff", "Show how two revisions, or one and the file on disk, differ");
  verb.optional(
      {"REVISION", "", "numbers, or `file` for the one on disk; default: what runs, and file"},
      options->revisions);
  add_connection(verb, options->connection);
  verb.runs([options, &context] { show_difference(*options, context); });
}

}  // namespace holdfast::control
