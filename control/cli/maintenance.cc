// SPDX-License-Identifier: Apache-2.0
// The verbs `maintenance`, `enable`, `weight` and `clear-damping`: what an operator decides about
// members beside the configuration, until it is undone.
#include "control/cli/member_verb.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"

#include <charconv>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace holdfast::control {
namespace {

constexpr std::uint32_t kMostWeight = 65'535;

struct WeightOptions {
  MemberVerb verb;
  std::vector<std::string> words;  // the objects, then the weight
};

void run_weight(const WeightOptions& options, Context& context) {
  MemberVerb verb = options.verb;
  verb.objects.assign(options.words.begin(), options.words.end() - 1);
  const std::string& text = options.words.back();
  std::uint32_t weight = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
  const bool number = error == std::errc() && end == text.data() + text.size();
  if (verb.objects.empty() || (text != "default" && (!number || weight > kMostWeight))) {
    context.fail(kExitUsage, "write the objects and then the weight: 0 to 65535, or default");
    return;
  }
  if (number) {
    verb.body["weight"] = weight;
  } else {
    verb.body["weight"] = nullptr;
  }
  run_member_verb("weight", verb, context);
}

}  // namespace

void add_maintenance(CLI::App& app, Context& context) {
  auto options = std::make_shared<MemberVerb>();
  Verb verb(app, "maintenance", "Give backends no new flows, without a deadline, until `enable`");
  verb.required({"OBJECT", "", kObjectHelp}, options->objects);
  add_ttl(verb, *options);
  add_member_options(verb, *options);
  verb.runs([options, &context] { run_member_verb("maintenance", *options, context); });
}

void add_enable(CLI::App& app, Context& context) {
  auto options = std::make_shared<MemberVerb>();
  Verb verb(app, "enable", "End the drain or the maintenance of backends");
  verb.required({"OBJECT", "", kObjectHelp}, options->objects);
  add_member_options(verb, *options);
  verb.runs([options, &context] { run_member_verb("enable", *options, context); });
}

void add_clear_damping(CLI::App& app, Context& context) {
  auto options = std::make_shared<MemberVerb>();
  Verb verb(app, "clear-damping", "Forget how often backends fell; one held back for it is up");
  verb.required({"OBJECT", "", kObjectHelp}, options->objects);
  add_member_options(verb, *options);
  verb.runs([options, &context] { run_member_verb("clear-damping", *options, context); });
}

void add_weight(CLI::App& app, Context& context) {
  auto options = std::make_shared<WeightOptions>();
  Verb verb(app, "weight", "Give backends another weight than the configuration does");
  verb.required({"OBJECT", "", std::string(kObjectHelp) + "; last the weight, or default"},
                options->words);
  add_ttl(verb, options->verb);
  add_member_options(verb, options->verb);
  verb.runs([options, &context] { run_weight(*options, context); });
}

}  // namespace holdfast::control
