// SPDX-License-Identifier: Apache-2.0
// See listing_text.h.
#include "control/cli/listing_text.h"

#include "control/cli/json_fields.h"
#include "control/cli/options.h"

#include <chrono>
#include <cmath>
#include <cstdint>
#include <ctime>

#include <fmt/chrono.h>

namespace holdfast::control {

namespace json = boost::json;

std::string date_text(double unix_ms) {
  const auto time = static_cast<std::time_t>(unix_ms / 1'000);
  return time <= 0 ? "-" : fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(time));
}

std::string precise_date_text(double unix_ms) {
  const auto time = static_cast<std::time_t>(unix_ms / 1'000);
  return time <= 0 ? "-"
                   : fmt::format("{:%Y-%m-%d %H:%M:%S}.{:03d} UTC",
                                 fmt::gmtime(time),
                                 static_cast<std::int64_t>(unix_ms) % 1'000);
}

std::string milliseconds_text(double seconds) { return fmt::format("{:.1f} ms", seconds * 1e3); }

std::string age_text(const json::object& object, std::string_view key) {
  return duration_text(std::chrono::duration<double>(number_field(object, key)));
}

std::string drift_text(const json::object& backend, const json::object& drift) {
  std::string text = "drift: " + text_field(backend, "service") + "/" +
                     text_field(backend, "name") + " " + text_field(drift, "what") + " for " +
                     age_text(drift, "age_s") + " by " + text_field(drift, "who");
  if (const std::string reason = text_field(drift, "reason"); reason != "-") {
    text += " (" + reason + ")";
  }
  if (drift.contains("deadline_s") && number_field(drift, "deadline_s") > 0) {
    text += ", " + text_field(drift, "then") + " in " + age_text(drift, "deadline_s");
  }
  if (drift.contains("expires_s")) {
    text += ", ends by itself in " + age_text(drift, "expires_s");
  }
  if (text_field(drift, "what").starts_with("draining") && backend.contains("drain_estimate_s")) {
    text += ", last flow ends in about " + age_text(backend, "drain_estimate_s");
  }
  return text + "; the file says " + text_field(drift, "file") + "\n";
}

}  // namespace holdfast::control
