// SPDX-License-Identifier: Apache-2.0
// The command line of one verb. Its .cc and program.cc are the only files that include CLI11,
// which takes ten seconds to compile in every file that does.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace holdfast::control {

// How an option is named and shown: "-o,--output", "FORMAT" (may be empty), "table or json".
struct OptionText {
  std::string names;
  std::string type;
  std::string help;
};

// What is handed in by reference is written when the words are parsed, just before the verb runs.
class Verb {
 public:
  // Requires: `app` outlives the verb.
  Verb(CLI::App& app, const std::string& name, const std::string& help);

  Verb& optional(const OptionText& text, std::string& value);
  Verb& optional(const OptionText& text, std::vector<std::string>& values);
  Verb& required(const OptionText& text, std::string& value);
  Verb& required(const OptionText& text, std::vector<std::string>& values);
  Verb& repeatable(const OptionText& text, std::vector<std::string>& values);
  Verb& flag(const OptionText& text, bool& value);
  // Takes one of `choices`.
  Verb& required_choice(const OptionText& text,
                        std::string& value,
                        const std::vector<std::string>& choices);
  // `take` says what is wrong with the value, or nothing once it has taken it.
  Verb& read(const OptionText& text, std::function<std::string(const std::string&)> take);
  Verb& footer(const std::string& text);
  // What the verb does, once its words are parsed.
  void runs(std::function<void()> action);

 private:
  CLI::App& app_;
};

}  // namespace holdfast::control
