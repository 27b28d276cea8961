// SPDX-License-Identifier: Apache-2.0
// See large_change.h.
#include "control/engine/large_change.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace holdfast::control {
namespace {

std::set<config::Vip> vips_of(const config::Config& config) {
  std::set<config::Vip> vips;
  for (const config::Service& service : config.services) {
    vips.insert(service.vips.begin(), service.vips.end());
  }
  return vips;
}

std::string flows_text(std::optional<std::uint64_t> flows) {
  return flows ? fmt::format("has {} flows", *flows)
               : "may have flows, which nobody can count now,";
}

void note_vips(const config::Service& before,
               const std::set<config::Vip>& kept,
               std::optional<std::uint64_t> flows,
               std::vector<std::string>& lines) {
  for (const config::Vip& vip : before.vips) {
    if (!kept.contains(vip)) {
      lines.push_back(fmt::format(
          "service {} {} and would lose its VIP {}", before.name, flows_text(flows), vip.text()));
    }
  }
}

void note_backends(const config::Service& before,
                   const config::Service& after,
                   std::vector<std::string>& lines) {
  std::set<std::string_view> kept;
  for (const config::Backend& backend : after.backends) {
    kept.insert(backend.name);
  }
  const auto removed = std::ranges::count_if(before.backends, [&](const config::Backend& backend) {
    return !kept.contains(backend.name);
  });
  if (2 * static_cast<std::size_t>(removed) > before.backends.size()) {
    lines.push_back(fmt::format("service {} would lose {} of its {} backends",
                                before.name,
                                removed,
                                before.backends.size()));
  }
}

}  // namespace

std::vector<std::string> large_changes(const config::Config& running,
                                       const config::Config& wanted,
                                       const FlowsOf& flows_of) {
  std::vector<std::string> lines;
  const std::set<config::Vip> kept = vips_of(wanted);
  for (const config::Service& before : running.services) {
    const std::optional<std::uint64_t> flows = flows_of(before.name);
    const auto after = std::ranges::find(wanted.services, before.name, &config::Service::name);
    if (after == wanted.services.end()) {
      if (flows != 0) {
        lines.push_back(
            fmt::format("service {} {} and would be taken away", before.name, flows_text(flows)));
      }
      continue;
    }
    if (flows != 0) {
      note_vips(before, kept, flows, lines);
    }
    note_backends(before, *after, lines);
  }
  return lines;
}

}  // namespace holdfast::control
