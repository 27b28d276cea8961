// SPDX-License-Identifier: Apache-2.0
// See engine.h. How a backend came to be what it is, for `holdfast why`.
#include "config/scalar.h"
#include "control/engine/engine.h"

#include <chrono>
#include <utility>

namespace holdfast::control {
namespace {

std::string text_of(const CheckSpec& check, Thresholds thresholds) {
  const std::string address =
      check.address.v6 ? "[" + check.address.text() + "]" : check.address.text();
  return std::string(check.type == config::CheckType::kHttp ? "http " : "tcp ") + address + ":" +
         std::to_string(check.port) + " every " + config::duration_text(check.interval) +
         ", timeout " + config::duration_text(check.timeout) + ", fall " +
         std::to_string(thresholds.fall) + ", rise " + std::to_string(thresholds.rise);
}

std::vector<ResultView> results_of(const CheckEntry& entry, std::chrono::nanoseconds timeout) {
  std::vector<ResultView> views;
  for (const PastResult& past : entry.history.newest_first()) {
    const ProbeResult result{.layer = past.layer,
                             .reason = past.reason,
                             .detail = past.detail,
                             .duration = std::chrono::microseconds(past.duration_us),
                             .lateness = std::chrono::microseconds(past.lateness_us)};
    views.push_back({.unix_ms = past.unix_ms,
                     .result = describe(result),
                     .duration_s = std::chrono::duration<double>(result.duration).count(),
                     .lateness_s = std::chrono::duration<double>(result.lateness).count(),
                     .is_void = evidence_of(result, timeout) == Evidence::kVoid});
  }
  return views;
}

}  // namespace

std::optional<WhyView> Engine::why(std::string_view object) {
  const std::size_t slash = object.find('/');
  if (slash == std::string_view::npos) {
    return std::nullopt;
  }
  const auto place =
      roster_.find({std::string(object.substr(0, slash)), std::string(object.substr(slash + 1))});
  if (!place) {
    return std::nullopt;
  }
  const Member& member = roster_.at(*place);
  WhyView why;
  for (BackendView& view : backends()) {
    if (view.service + "/" + view.name == object && !view.retired) {
      why.backend = std::move(view);
    }
  }
  if (const std::optional<CheckSpec>& check = member.check) {
    why.check = text_of(*check, member.thresholds);
    if (const CheckEntry* entry = roster_.check(*check)) {
      why.results = results_of(*entry, check->timeout);
    }
  }
  return why;
}

}  // namespace holdfast::control
