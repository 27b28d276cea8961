// SPDX-License-Identifier: Apache-2.0
#include "control/cli/drain_wait.h"

#include "control/cli/json_fields.h"

namespace holdfast::control {
namespace {

constexpr std::string_view kHost = "host:";

}  // namespace

bool is_meant(const boost::json::object& backend, std::string_view object) {
  if (object.starts_with(kHost)) {
    return text_field(backend, "address") == object.substr(kHost.size());
  }
  const std::string name = text_field(backend, "name");
  const std::string whole = text_field(backend, "service") + "/" + name;
  return object == (object.find('/') == std::string_view::npos ? name : whole);
}

DrainProgress drain_progress(const boost::json::object& backends, std::string_view object) {
  DrainProgress progress{.known = true, .flows = 0, .members = ""};
  for (const boost::json::object& backend : objects_field(backends, "backends")) {
    if (!is_meant(backend, object)) {
      continue;
    }
    const std::string member = text_field(backend, "service") + "/" + text_field(backend, "name");
    const std::string flows = text_field(backend, "flows");
    const std::string separator = progress.members.empty() ? "" : ", ";
    if (flows == "-") {
      progress.known = false;
      progress.members.append(separator).append(member).append(": flows not known");
    } else if (flows != "0") {
      progress.flows += count_field(backend, "flows");
      progress.members.append(separator).append(member).append(": ").append(flows).append(" flows");
    }
  }
  return progress;
}

}  // namespace holdfast::control
