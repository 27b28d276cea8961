// SPDX-License-Identifier: Apache-2.0
// The verb `flows`: lists flows as the dataplane has them, resets them, moves them from one backend
// to another.
#include "control/admin/flow_body.h"
#include "control/cli/control_client.h"
#include "control/cli/json_fields.h"
#include "control/cli/listing.h"
#include "control/cli/options.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"
#include "control/cli/verb_answer.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

namespace holdfast::control {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kFlowsLimit{12'000};  // control's own limit is 10 s

struct FlowsOptions {
  Connection connection;
  Format format = Format::kTable;
  bool as_json = false;
  std::vector<std::string> words;  // none, reset, or move FROM TO
  std::vector<std::pair<std::string, std::string>> filter;
  std::string limit;
  std::string reason;
  bool count = false;
  bool all = false;
  bool dry_run = false;
  bool force = false;
};

enum class What : std::uint8_t { kList, kReset, kMove };

// Why the words and options do not go together; empty: they do.
std::string misuse(const FlowsOptions& options, What what) {
  const auto only = [](bool given, bool may, const char* text) {
    return given && !may ? std::string(text) : std::string();
  };
  const std::array<std::string, 7> faults = {
      only(!options.filter.empty(), what != What::kMove, "a move takes all flows of FROM"),
      only(!options.limit.empty() || options.count,
           what == What::kList,
           "--limit and --count are for the list"),
      only(options.all, what == What::kReset, "--all is for reset"),
      only(options.all, options.filter.empty(), "--all is for a reset without a filter"),
      only(options.dry_run, what != What::kList, "--dry-run is for reset and move"),
      only(!options.reason.empty(), what != What::kList, "--reason is for reset and move"),
      only(options.force, what == What::kMove, "--force is for move")};
  const auto* const fault =
      std::ranges::find_if(faults, [](const std::string& text) { return !text.empty(); });
  return fault == faults.end() ? "" : *fault;
}

// Everything but what names and addresses consist of.
std::string encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:";
  std::string result;
  for (const char c : text) {
    if (kPlain.contains(c)) {
      result += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    result += '%';
    result += kDigits[byte >> 4U];
    result += kDigits[byte & 15U];
  }
  return result;
}

void list(const FlowsOptions& options, const ControlClient& client, Context& context) {
  std::string target = "/v1/flows";
  const auto add = [&target](const std::string& key, const std::string& value) {
    target += (target.contains('?') ? "&" : "?") + key + "=" + encoded(value);
  };
  for (const auto& [key, value] : options.filter) {
    add(key, value);
  }
  if (!options.limit.empty()) {
    add("limit", options.limit);
  }
  if (options.count) {
    add("count", "true");
  }
  const auto answer = client.get(target, kFlowsLimit);
  if (!answer) {
    context.fail(answer.error().exit_code, answer.error().text);
  } else if (answer->contains("outcome")) {
    print_answer(*answer, options.format, context);
  } else if (options.format == Format::kJson) {
    context.out << json::serialize(*answer) << '\n';
  } else {
    context.out << (options.count ? text_field(*answer, "matched") + "\n" : flows_text(*answer));
  }
}

json::object body_of(const FlowsOptions& options, What what) {
  json::object body;
  for (const auto& [key, value] : options.filter) {
    if (key == "state") {
      json::value& states = body["state"];
      (states.is_array() ? states.get_array() : states.emplace_array()).emplace_back(value);
    } else {
      body[key] = value;
    }
  }
  const auto flag = [&body](const char* key, bool given) {
    if (given) {
      body[key] = true;
    }
  };
  flag("all", options.all);
  flag("dry_run", options.dry_run);
  flag("force", options.force);
  if (!options.reason.empty()) {
    body["reason"] = options.reason;
  }
  if (what == What::kMove) {
    body["from"] = options.words.at(1);
    body["to"] = options.words.at(2);
  }
  return body;
}

void run(FlowsOptions& options, Context& context) {
  const std::vector<std::string>& words = options.words;
  const bool known = words.empty() || (words.front() == "reset" && words.size() == 1) ||
                     (words.front() == "move" && words.size() == 3);
  if (!known) {
    context.fail(kExitUsage,
                 "holdfast flows [FILTER], holdfast flows reset FILTER, or holdfast flows move "
                 "SERVICE/FROM SERVICE/TO");
    return;
  }
  const What what = words.empty()              ? What::kList
                    : words.front() == "reset" ? What::kReset
                                               : What::kMove;
  if (const std::string fault = misuse(options, what); !fault.empty()) {
    context.fail(kExitUsage, fault);
    return;
  }
  options.format = options.as_json ? Format::kJson : options.format;
  const auto sockets = find_sockets(options.connection, context);
  if (!sockets) {
    return;
  }
  const ControlClient client(sockets->control);
  if (what == What::kList) {
    return list(options, client, context);
  }
  const std::string target = what == What::kReset ? "/v1/flows/reset" : "/v1/flows/move";
  const auto answer = client.post(target, body_of(options, what), kFlowsLimit);
  if (!answer) {
    context.fail(answer.error().exit_code, answer.error().text);
    return;
  }
  print_answer(*answer, options.format, context);
}

void add_filter(Verb& verb, const std::shared_ptr<FlowsOptions>& options) {
  const auto one = [&](const char* key, const char* type, const std::string& help) {
    verb.read({std::string("--") + key, type, help},
              [options, key = std::string(key)](const std::string& value) -> std::string {
                options->filter.emplace_back(key, value);
                return value.empty() ? "is empty" : "";
              });
  };
  one("service", "NAME", "of this service");
  one("backend", "BACKEND", "of SERVICE/BACKEND, or of BACKEND in every service");
  one("source", "PREFIX", "of clients with this address, or in this prefix");
  one("vip", "ADDRESS", "to this VIP");
  one("port", "PORT", "to this port of the VIP, or to FIRST-LAST");
  one("protocol", "NAME", "tcp or udp");
  verb.read(
      {"--state", "STATE", "in this state, or in one of several, by commas: " + flow_states_text()},
      [options](const std::string& value) -> std::string {
        std::string_view left = value;
        while (true) {
          const std::size_t comma = std::min(left.find(','), left.size());
          options->filter.emplace_back("state", left.substr(0, comma));
          if (comma == left.size()) {
            return value.empty() ? "is empty" : "";
          }
          left.remove_prefix(comma + 1);
        }
      });
}

}  // namespace

void add_flows(CLI::App& app, Context& context) {
  auto options = std::make_shared<FlowsOptions>();
  Verb verb(app, "flows", "List flows, reset them, or move them to another backend");
  verb.optional({"WHAT",
                 "",
                 "nothing: list; reset: end them; move SERVICE/FROM SERVICE/TO: give all flows of "
                 "one backend to another that has the same sockets"},
                options->words);
  add_filter(verb, options);
  verb.optional({"--limit", "N", "most flows to list, up to 10000; default: 1000. All are counted"},
                options->limit)
      .flag({"--count", "", "only how many there are"}, options->count)
      .flag({"--all", "", "of reset: all flows there are, without a filter"}, options->all)
      .optional({"--reason", "TEXT", "of reset and move: why, for the log"}, options->reason)
      .flag({"--dry-run", "", "of reset and move: only say how many flows, or why not"},
            options->dry_run)
      .flag({"--force", "", "of move: also to a backend that is not up or not enabled; logged"},
            options->force);
  add_connection(verb, options->connection);
  add_format(verb, options->format);
  verb.flag({"--json", "", "as -o json"}, options->as_json);
  verb.runs([options, &context] { run(*options, context); });
}

}  // namespace holdfast::control
