// SPDX-License-Identifier: Apache-2.0
// What `why` prints (listing.h).
#include "control/cli/json_fields.h"
#include "control/cli/listing.h"
#include "control/cli/listing_text.h"
#include "control/cli/table.h"

#include <cmath>

namespace holdfast::control {
namespace {

namespace json = boost::json;

std::string state_line(const json::object& backend) {
  return text_field(backend, "service") + "/" + text_field(backend, "name") + ": " +
         text_field(backend, "health") + ", " + text_field(backend, "admin") + ", for " +
         age_text(backend, "since_s") + ", because: " + text_field(backend, "cause") + "\n";
}

std::string traffic_line(const json::object& backend) {
  return "it takes: " + text_field(backend, "disposition") + "; weight " +
         text_field(backend, "weight") + " (the file: " + text_field(backend, "file_weight") +
         "), " + text_field(backend, "flows") + " flows, " + text_field(backend, "new_flows") +
         " begun, " + text_field(backend, "refusals") + " refusals seen in its traffic, " +
         text_field(backend, "changes") + " changes of state\n";
}

std::string check_line(const json::object& why) {
  const json::object& check = object_field(object_field(why, "backend"), "check");
  if (text_field(check, "type") == "none") {
    return "no check: it counts as up\n";
  }
  return "check: " + text_field(why, "check") + "; " + text_field(check, "passed") + " passed, " +
         text_field(check, "failed") + " failed, " + text_field(check, "voided") +
         " void by our own fault; " + text_field(check, "streak") + " equal ones in a row\n";
}

std::string penalty_line(const json::object& backend) {
  const double penalty = number_field(backend, "penalty");
  if (penalty < 1) {
    return "";
  }
  const std::string text = "penalty for its falls: " + std::to_string(std::llround(penalty));
  return text + (backend.contains("held_left_s")
                     ? ", which holds it back for " + age_text(backend, "held_left_s") + "\n"
                     : ", which does not hold it back\n");
}

}  // namespace

std::string why_text(const json::object& why) {
  const json::object& backend = object_field(why, "backend");
  std::string text =
      state_line(backend) + traffic_line(backend) + check_line(why) + penalty_line(backend);
  for (const json::object& one : objects_field(backend, "drift")) {
    text += drift_text(backend, one);
  }
  Table table({{"WHEN"}, {"RESULT"}, {"TOOK", Align::kRight}, {"LATE", Align::kRight}, {""}});
  for (const json::object& result : objects_field(why, "results")) {
    table.add({precise_date_text(number_field(result, "unix_ms")),
               text_field(result, "result"),
               milliseconds_text(number_field(result, "duration_s")),
               milliseconds_text(number_field(result, "lateness_s")),
               flag_field(result, "void") ? "void" : ""});
  }
  return text + (table.empty() ? "" : "\n" + table.text());
}

}  // namespace holdfast::control
