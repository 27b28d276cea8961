// SPDX-License-Identifier: Apache-2.0
// Reads what is a bond's own in `ports`: its mode and its links.
#include "config/sections.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr std::size_t kMostLinks = 8;
constexpr std::array kModes = {Word{"lacp", BondMode::kLacp},
                               Word{"active-backup", BondMode::kActiveBackup}};

// A PCI address has colons, an interface's name none.
Read<std::string> read_link(const Node& node) {
  const bool is_address = node.kind == Kind::kScalar && node.text.contains(':');
  return is_address ? read_pci_address(node) : read_interface(node);
}

bool has_link(const Port& port, const std::string& link) {
  return std::ranges::find(port.links, link) != port.links.end();
}

bool uses(const Port& port, const std::string& link) {
  return port.interface == link || port.pci_address == link || port.twin == link ||
         has_link(port, link);
}

}  // namespace

void read_bond(const Fields& fields, Port& port) {
  fields.set("mode", port.bond_mode, word(kModes));
  const Node* list = fields.require("links");
  const bool complete = fields.each("links", [&](const Node& item) {
    const Read<std::string> link = read_link(item);
    if (!link) {
      return fields.report(item, "link", link.error());
    }
    if (has_link(port, *link)) {
      fields.journal().error(item.where, fmt::format("link {} stands here twice", quote(*link)));
    }
    port.links.push_back(*link);
  });
  if (complete && list != nullptr && (list->items.empty() || list->items.size() > kMostLinks)) {
    fields.journal().error(
        list->where,
        fmt::format("a bond has 1 to {} links, not {}", kMostLinks, list->items.size()));
  }
}

void check_links(const std::vector<Port>& ports, const std::vector<Span>& spans, Journal& journal) {
  for (std::size_t i = 0; i < ports.size(); ++i) {
    for (const std::string& link : ports[i].links) {
      const auto same = std::ranges::find_if(
          ports, [&](const Port& other) { return &other != &ports[i] && uses(other, link); });
      // Of two bonds the later one is told.
      const bool told = same != ports.end() &&
                        same > ports.begin() + static_cast<std::ptrdiff_t>(i) &&
                        !same->links.empty();
      if (same != ports.end() && !told) {
        journal.error(spans[i],
                      fmt::format("link {} of port '{}' is also used by port '{}' (at {})",
                                  quote(link),
                                  ports[i].name,
                                  same->name,
                                  same->place.text()));
      }
      if (ports[i].twin == link) {
        journal.error(spans[i],
                      fmt::format("the twin of port '{}' is called like its link", ports[i].name),
                      "name it with 'twin'");
      }
    }
  }
}

}  // namespace holdfast::config
