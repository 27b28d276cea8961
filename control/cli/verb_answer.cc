// SPDX-License-Identifier: Apache-2.0
#include "control/cli/verb_answer.h"

#include "control/admin/views_json.h"
#include "control/cli/json_fields.h"
#include "control/cli/program.h"

#include <boost/json/serialize.hpp>

namespace holdfast::control {

namespace json = boost::json;

Outcome outcome_in(const json::object& answer) { return outcome_of(text_field(answer, "outcome")); }

void add_outcome(json::object& answer, Outcome outcome, const std::string& line) {
  answer["outcome"] = outcome_name(outcome);
  json::value& lines = answer["lines"];
  if (!lines.is_array()) {
    lines.emplace_array();
  }
  lines.get_array().emplace_back(line);
}

void print_answer(const json::object& answer, Format format, Context& context) {
  const Outcome outcome = outcome_in(answer);
  context.exit_code = static_cast<int>(outcome);
  if (format == Format::kJson) {
    context.out << json::serialize(answer) << '\n';
    return;
  }
  for (const std::string& line : texts_field(answer, "lines")) {
    (outcome == Outcome::kOk ? context.out : context.error) << line << '\n';
  }
}

}  // namespace holdfast::control
