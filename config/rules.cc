// SPDX-License-Identifier: Apache-2.0
// The order of the rules, the ceilings, and names of services.
#include "config/rules.h"

#include <map>
#include <string_view>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

void check_service_names(const Draft& draft, Journal& journal) {
  std::map<std::string_view, Span> first;
  for (const ServiceDraft& service : draft.services) {
    if (service.service.name.empty()) {
      continue;
    }
    const auto [found, is_new] = first.emplace(service.service.name, service.name);
    if (!is_new) {
      journal.error(service.name,
                    fmt::format("repeated service {} (first at {})",
                                quote(service.service.name),
                                journal.place(found->second).text()));
    }
  }
}

// Returns whether the configuration is small enough for the other rules to be worth their time.
bool check_ceilings(const Draft& draft, Journal& journal) {
  std::size_t members = 0;
  std::size_t bindings = 0;
  for (const ServiceDraft& service : draft.services) {
    members += service.backends.size();
    bindings += service.vips.size() * service.ports.size();
    bindings += service.service.affinity.time.count() != 0 ? 1U : 0U;  // room for one like it
    if (members > kMostMembers) {
      journal.error(service.name,
                    fmt::format("more than {} backends in all services", kMostMembers));
      return false;
    }
    if (bindings > kMostBindings) {
      journal.error(
          service.name,
          fmt::format("more than {} pairs of VIP and port in all services", kMostBindings));
      return false;
    }
  }
  return true;
}

}  // namespace

void check_rules(const Draft& draft, Journal& journal) {
  check_sockets(draft, journal);
  check_routes(draft, journal);
  check_service_names(draft, journal);
  if (!check_ceilings(draft, journal)) {
    return;
  }
  for (const ServiceDraft& service : draft.services) {
    check_service(service, draft, journal);
  }
  check_overlaps(draft, journal);
  check_roles(draft, journal);
}

}  // namespace holdfast::config
