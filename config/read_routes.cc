// SPDX-License-Identifier: Apache-2.0
// Reads `routes`, what routing daemons are to see of the VIPs, and each service's part in it.
#include "config/rules.h"
#include "config/sections.h"

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr std::uint32_t kMainTable = 254;
constexpr std::uint32_t kLocalTable = 255;
// Below are the kernel's own and those that stand for addresses and boot scripts (rtnetlink(7)).
constexpr std::uint64_t kLeastProtocol = 5;
constexpr std::uint64_t kMostHealthy = 10'000;

Read<std::uint32_t> read_table(const Node& node) {
  if (node.kind == Kind::kScalar && node.text == "main") {
    return kMainTable;
  }
  const Read<std::uint64_t> number = read_integer(node, {1, UINT32_MAX});
  if (!number) {
    Complaint complaint = number.error();
    if (complaint.help.empty()) {
      complaint.help = "or write main";
    }
    return std::unexpected(std::move(complaint));
  }
  if (*number == kLocalTable) {
    return std::unexpected(Complaint{"255 is for the machine's own addresses", ""});
  }
  return static_cast<std::uint32_t>(*number);
}

bool stands_on(const Port& port, const std::string& device) {
  return port.interface == device || port.twin == device ||
         std::ranges::find(port.links, device) != port.links.end();
}

}  // namespace

void read_routes(const Node& node, Draft& draft, Journal& journal) {
  Routes& routes = draft.config.routes.emplace();
  const Fields fields(node, "'routes'", kRoutesKeys, journal);
  fields.set("device", routes.device, read_interface);
  fields.set("protocol", routes.protocol, integer(kLeastProtocol, 255));
  fields.set("table", routes.table, read_table);
  draft.routes_device = fields.where("device");
  routes.place = journal.place(node.where);
}

void check_routes(const Draft& draft, Journal& journal) {
  if (!draft.config.routes) {
    return;
  }
  const std::string& device = draft.config.routes->device;
  for (const Port& port : draft.config.ports) {
    if (stands_on(port, device)) {
      journal.error(draft.routes_device,
                    fmt::format("the device of 'routes' is {}, which port {} stands on",
                                quote(device),
                                quote(port.name)),
                    "give it a name of its own");
    }
  }
}

void read_announce(const Node& node, std::string_view owner, Announce& announce, Journal& journal) {
  const Fields fields(node, fmt::format("'announce' of {}", owner), kAnnounceKeys, journal);
  fields.set("healthy", announce.healthy, integer(0, kMostHealthy));
}

}  // namespace holdfast::config
