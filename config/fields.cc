// SPDX-License-Identifier: Apache-2.0
// Looks keys up by a walk over the map: none has more than a dozen known ones.
#include "config/fields.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace holdfast::config {

Fields::Fields(const Node& map, std::string what, std::span<const Key> known, Journal& journal)
    : map_(map), what_(std::move(what)), journal_(journal) {
  if (map.kind != Kind::kMap) {
    if (map.kind != Kind::kRefused) {
      journal.error(map.where, what_ + " " + wrong_kind(map, "a map (key: value)").message);
    }
    return;
  }
  for (std::size_t i = 0; i < map.keys.size(); ++i) {
    const Node& key = map.keys[i];
    if (std::ranges::find(known, key.text) == known.end()) {
      report_unknown(key, known);
    } else if (map.items[i].kind == Kind::kNull) {
      journal.error(key.where, fmt::format("key {} has no value in {}", quote(key.text), what_));
    }
  }
}

void Fields::report_unknown(const Node& key, std::span<const Key> known) {
  if (journal_.full()) {
    return journal_.error(key.where, "");
  }
  const Key near = journal_.nearest(key.text, known);
  suspected_.push_back(near);
  std::string help = suggestion(near);
  if (help.empty() && known.size() <= 6) {
    help = fmt::format("known here: {}", fmt::join(known, ", "));
  }
  journal_.error(
      key.where, fmt::format("unknown key {} in {}", quote(key.text), what_), std::move(help));
}

std::optional<std::size_t> Fields::index(Key key) const {
  const auto found = std::ranges::find(map_.keys, key, &Node::text);
  if (found == map_.keys.end()) {
    return std::nullopt;
  }
  return static_cast<std::size_t>(found - map_.keys.begin());
}

bool Fields::has(Key key) const { return index(key).has_value(); }

bool Fields::complete() const { return map_.kind == Kind::kMap && !map_.incomplete; }

bool Fields::may_be_lost(Key key) const {
  const bool misspelt = std::ranges::find(suspected_, key) != suspected_.end();
  return !has(key) && (!complete() || misspelt);
}

const Node* Fields::find(Key key) const {
  const std::optional<std::size_t> at = index(key);
  if (!at) {
    return nullptr;
  }
  const Node& value = map_.items[*at];
  return value.kind == Kind::kNull || value.kind == Kind::kRefused ? nullptr : &value;
}

const Node* Fields::require(Key key) const {
  if (!has(key) && !may_be_lost(key)) {
    journal_.error(map_.where, fmt::format("{} needs the key '{}'", what_, key));
  }
  return find(key);
}

Span Fields::where(Key key) const {
  const std::optional<std::size_t> at = index(key);
  return at ? map_.keys[*at].where : map_.where;
}

void Fields::refuse(std::span<const Key> keys, const std::string& why) const {
  for (const Key key : keys) {
    if (has(key)) {
      journal_.error(where(key), fmt::format("key '{}' does not belong {}", key, why));
    }
  }
}

void Fields::report_no_list(const Node& value, Key key) const {
  Complaint complaint = wrong_kind(value, "a list");
  if (value.kind == Kind::kScalar) {
    complaint.help = fmt::format("write [{}]", value.text.substr(0, 40));
  }
  report(value, key, std::move(complaint));
}

void Fields::report(const Node& value, std::string_view noun, Complaint complaint) const {
  if (value.kind != Kind::kRefused) {
    journal_.error(
        value.where, fmt::format("{} {}", noun, complaint.message), std::move(complaint.help));
  }
}

Complaint unknown_word(const Node& node,
                       std::span<const std::string_view> known,
                       std::span<const std::string_view> later) {
  const std::string choices = fmt::format("{}", fmt::join(known, ", "));
  if (node.kind != Kind::kScalar) {
    return wrong_kind(node, "one of " + choices);
  }
  if (std::ranges::find(later, node.text) != later.end()) {
    return {fmt::format("{} is not available in this version", quote(node.text)),
            "available: " + choices};
  }
  std::string help = suggestion(nearest(node.text, known));
  if (help.empty()) {
    help = "known: " + choices;
  }
  return {fmt::format("{} is unknown", quote(node.text)), std::move(help)};
}

}  // namespace holdfast::config
