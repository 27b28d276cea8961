// SPDX-License-Identifier: Apache-2.0
// See verb.h.
#include "control/cli/verb.h"

#include <utility>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

namespace holdfast::control {

Verb::Verb(CLI::App& app, const std::string& name, const std::string& help)
    : app_(*app.add_subcommand(name, help)) {}

Verb& Verb::optional(const OptionText& text, std::string& value) {
  app_.add_option(text.names, value, text.help)->type_name(text.type);
  return *this;
}

Verb& Verb::optional(const OptionText& text, std::vector<std::string>& values) {
  app_.add_option(text.names, values, text.help)->type_name(text.type);
  return *this;
}

Verb& Verb::required(const OptionText& text, std::string& value) {
  app_.add_option(text.names, value, text.help)->required()->type_name(text.type);
  return *this;
}

Verb& Verb::required(const OptionText& text, std::vector<std::string>& values) {
  app_.add_option(text.names, values, text.help)->required()->type_name(text.type);
  return *this;
}

Verb& Verb::repeatable(const OptionText& text, std::vector<std::string>& values) {
  app_.add_option(text.names, values, text.help)->type_name(text.type)->allow_extra_args(false);
  return *this;
}

Verb& Verb::flag(const OptionText& text, bool& value) {
  app_.add_flag(text.names, value, text.help);
  return *this;
}

Verb& Verb::required_choice(const OptionText& text,
                            std::string& value,
                            const std::vector<std::string>& choices) {
  app_.add_option(text.names, value, text.help)->required()->check(CLI::IsMember(choices));
  return *this;
}

Verb& Verb::read(const OptionText& text, std::function<std::string(const std::string&)> take) {
  const auto parse = [name = text.names, take = std::move(take)](const std::string& value) {
    if (const std::string complaint = take(value); !complaint.empty()) {
      throw CLI::ValidationError(name, complaint);
    }
  };
  app_.add_option_function<std::string>(text.names, parse, text.help)->type_name(text.type);
  return *this;
}

Verb& Verb::footer(const std::string& text) {
  app_.footer(text);
  return *this;
}

void Verb::runs(std::function<void()> action) { app_.callback(std::move(action)); }

}  // namespace holdfast::control
