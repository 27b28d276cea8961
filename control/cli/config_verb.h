// SPDX-License-Identifier: Apache-2.0
// What the verbs on configurations share: `rollback`, `plan`, `apply`, `confirm`.
#pragma once

#include "control/cli/options.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>

namespace holdfast::control {

struct ConfigVerbOptions {
  Connection connection;
  Format format = Format::kTable;
  std::string reason;
  std::chrono::milliseconds timeout{30'000};
};

// --timeout, --socket, --config, --output. Requires: `options` outlives the parsing.
void add_config_verb_options(Verb& verb, ConfigVerbOptions& options);
// --reason
void add_reason(Verb& verb, ConfigVerbOptions& options);

// From 1 on, in decimal digits and nothing else.
std::optional<std::uint64_t> revision_number(std::string_view text);
// {"revision": N}, or {} where no revision is given. Prints why where it is no number.
std::optional<boost::json::object> body_with_revision(std::span<const std::string> revisions,
                                                      Context& context);

// Sends the verb to control and prints what it answers.
void send_config_verb(const std::string& target,
                      const boost::json::object& body,
                      const ConfigVerbOptions& options,
                      Context& context);

}  // namespace holdfast::control
