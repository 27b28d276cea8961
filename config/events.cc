// SPDX-License-Identifier: Apache-2.0
// From events to nodes. yaml-cpp joins lines of one value and accepts quotes that never end; so
// each scalar is compared with the source at its place.
#include "config/events.h"

#include "config/scalar.h"
#include "config/text.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

// Length of the quoted text at the start of `line` with its quotes, 0 when it does not end there.
std::size_t quoted_length(std::string_view line) {
  const char quote = line.front();
  for (std::size_t i = 1; i < line.size(); ++i) {
    if (quote == '"' && line[i] == '\\') {
      ++i;
    } else if (line[i] == quote) {
      if (quote == '"' || i + 1 == line.size() || line[i + 1] != quote) {
        return i + 1;
      }
      ++i;
    }
  }
  return 0;
}

bool is_plain_tag(const std::string& tag) { return tag.empty() || tag == "?" || tag == "!"; }

// Plain keys that YAML takes for something else than text, and merge keys.
bool check_key(const Node& key, Journal& journal) {
  if (key.quoted) {
    return true;
  }
  if (key.text == "<<") {
    journal.error(key.where, "merge keys ('<<') are not supported", "write the keys out");
    return false;
  }
  if (looks_like(key.text) != Looks::kText) {
    journal.error(key.where,
                  fmt::format("key {} is {}, not text", quote(key.text), looks_name(key.text)),
                  fmt::format("write \"{}\"", key.text));
    return false;
  }
  return true;
}

}  // namespace

void drop_repeated_keys(Node& map, Journal& journal) {
  std::vector<std::size_t> order(map.keys.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(
      order, {}, [&](std::size_t i) -> const std::string& { return map.keys[i].text; });
  std::vector<bool> repeated(map.keys.size(), false);
  bool any = false;
  for (std::size_t i = 1, first = 0; i < order.size(); ++i) {
    const Node& key = map.keys[order[i]];
    const Node& original = map.keys[order[first]];
    if (key.text != original.text) {
      first = i;
      continue;
    }
    journal.error(key.where,
                  fmt::format("repeated key {} (first at {})",
                              quote(key.text),
                              journal.place(original.where).text()));
    repeated[order[i]] = any = true;
  }
  if (!any) {
    return;
  }
  Node kept{.kind = Kind::kMap, .incomplete = map.incomplete, .where = map.where};
  for (std::size_t i = 0; i < map.keys.size(); ++i) {
    if (!repeated[i]) {
      kept.keys.push_back(std::move(map.keys[i]));
      kept.items.push_back(std::move(map.items[i]));
    }
  }
  map = std::move(kept);
}

TreeBuilder::TreeBuilder(std::uint16_t file,
                         std::string_view chunk,
                         int first_line,
                         std::size_t max_values,
                         Journal& journal)
    : file_(file),
      chunk_(chunk),
      first_line_(first_line),
      max_values_(max_values),
      journal_(journal) {}

Span TreeBuilder::span(const YAML::Mark& mark) const {
  return {file_, mark.line + first_line_ + 1, mark.column + 1, 1};
}

std::string_view TreeBuilder::rest_of_line(const YAML::Mark& mark) {
  const std::size_t at = std::min(static_cast<std::size_t>(std::max(mark.pos, 0)), chunk_.size());
  if (at < line_from_ || at > line_end_) {
    line_from_ = at;
    line_end_ = std::min(chunk_.find('\n', at), chunk_.size());
  }
  std::string_view line = chunk_.substr(at, line_end_ - at);
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  return line;
}

void TreeBuilder::count(Span where) {
  last_ = where;
  if (++values_ > max_values_) {
    throw LimitReached(where, fmt::format("more than {} values in one file", max_values_));
  }
}

void TreeBuilder::refuse_tag(Span where, const std::string& tag) {
  if (!is_plain_tag(tag)) {
    journal_.error(where, "tags ('!...') are not supported", "leave the tag out");
  }
}

void TreeBuilder::OnDocumentStart(const YAML::Mark& mark) {
  if (documents_++ == 0) {
    return;
  }
  if (chunk_.find("\n---") != std::string_view::npos) {
    throw LimitReached(span(mark), "a second document: a file holds one");
  }
  throw SyntaxError(span(mark), "this does not belong to the map above", "check the indentation");
}

void TreeBuilder::OnNull(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) {
  count(span(mark));
  // yaml-cpp tells `null` and `~` as it tells nothing at all; a device is called so.
  for (const std::string_view word : {"null", "~"}) {
    if (rest_of_line(mark).starts_with(word)) {
      return attach(scalar(mark, std::string(word)));
    }
  }
  attach({.kind = Kind::kNull, .where = span(mark)});
}

void TreeBuilder::OnAnchor(const YAML::Mark& mark, const std::string& name) {
  journal_.error(span(mark),
                 fmt::format("anchors ({}) are not supported", quote("&" + name)),
                 "write the value out where it is used");
}

void TreeBuilder::OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) {
  count(span(mark));
  journal_.error(span(mark), "aliases ('*...') are not supported", "write the value out");
  attach({.kind = Kind::kRefused, .where = span(mark)});
}

void TreeBuilder::OnScalar(const YAML::Mark& mark,
                           const std::string& tag,
                           YAML::anchor_t /*anchor*/,
                           const std::string& value) {
  count(span(mark));
  refuse_tag(span(mark), tag);
  attach(scalar(mark, value));
}

Node TreeBuilder::scalar(const YAML::Mark& mark, const std::string& value) {
  Node node{.kind = Kind::kScalar, .where = span(mark), .text = value};
  const std::string_view line = rest_of_line(mark);
  const char first = line.empty() ? ' ' : line.front();
  if (first == '"' || first == '\'') {
    const std::size_t length = quoted_length(line);
    if (length == 0) {
      throw SyntaxError(node.where, "this quoted text does not end on its line");
    }
    node.quoted = true;
    node.where.length = static_cast<std::int32_t>(length);
  } else if (line.starts_with(value)) {
    node.where.length = static_cast<std::int32_t>(value.size());
  } else if (first == '|' || first == '>') {
    journal_.error(node.where, "block texts ('|', '>') are not supported", "write it on one line");
    node.kind = Kind::kRefused;
  } else if (first != '!' && first != '&') {
    throw SyntaxError(node.where,
                      "this value goes on in the next line",
                      "is a comma, bracket or colon missing, or the indentation wrong?");
  }
  const auto length = static_cast<std::size_t>(node.where.length);
  if (line.substr(0, length).find(kReplacement) != std::string_view::npos) {
    node.kind = Kind::kRefused;
  }
  return node;
}

void TreeBuilder::OnSequenceStart(const YAML::Mark& mark,
                                  const std::string& tag,
                                  YAML::anchor_t /*anchor*/,
                                  YAML::EmitterStyle::value style) {
  refuse_tag(span(mark), tag);
  open(Kind::kSequence, mark, style == YAML::EmitterStyle::Flow);
}

void TreeBuilder::OnMapStart(const YAML::Mark& mark,
                             const std::string& tag,
                             YAML::anchor_t /*anchor*/,
                             YAML::EmitterStyle::value style) {
  refuse_tag(span(mark), tag);
  open(Kind::kMap, mark, style == YAML::EmitterStyle::Flow);
}

void TreeBuilder::open(Kind kind, const YAML::Mark& mark, bool flow) {
  count(span(mark));
  if (open_.size() >= static_cast<std::size_t>(kMaxDepth)) {
    throw LimitReached(span(mark), fmt::format("nested deeper than {} levels", kMaxDepth));
  }
  root_is_flow_ = root_is_flow_ || (open_.empty() && flow);
  open_.push_back({.node = {.kind = kind, .where = span(mark)}, .key = {}, .flow = flow});
}

void TreeBuilder::close() {
  Node node = std::move(open_.back().node);
  open_.pop_back();
  // The top map is looked at when all chunks are joined.
  if (node.kind == Kind::kMap && !open_.empty()) {
    drop_repeated_keys(node, journal_);
  }
  attach(std::move(node));
}

void TreeBuilder::attach(Node node) {
  if (open_.empty()) {
    root_ = std::move(node);
    return;
  }
  Open& parent = open_.back();
  if (parent.node.kind == Kind::kSequence) {
    parent.node.items.push_back(std::move(node));
  } else if (!parent.has_key) {
    attach_key(parent, std::move(node));
  } else {
    parent.has_key = false;
    if (node.kind == Kind::kNull) {
      node.where = parent.key.where;  // yaml-cpp means what comes next
    }
    if (parent.key.kind == Kind::kScalar) {
      parent.node.keys.push_back(std::move(parent.key));
      parent.node.items.push_back(std::move(node));
    }
  }
}

void TreeBuilder::attach_key(Open& parent, Node key) {
  parent.has_key = true;
  if (key.kind != Kind::kScalar && key.kind != Kind::kRefused && !finishing_) {
    journal_.error(key.where,
                   fmt::format("a key must be text, not {}", kind_name(key)),
                   key.kind == Kind::kMap ? "a text with colons needs quotes" : "");
  }
  if (key.kind != Kind::kScalar || !check_key(key, journal_)) {
    key.kind = Kind::kRefused;
    parent.node.incomplete = true;
  }
  parent.key = std::move(key);
}

Node TreeBuilder::finish() {
  finishing_ = true;
  while (!open_.empty()) {
    Open& innermost = open_.back();
    innermost.node.incomplete = true;
    if (innermost.has_key) {
      attach({.kind = Kind::kRefused, .where = innermost.key.where});
    }
    close();
  }
  return std::move(root_);
}

const Span* TreeBuilder::innermost_flow() const {
  return !open_.empty() && open_.back().flow ? &open_.back().node.where : nullptr;
}

const Span* TreeBuilder::outermost_flow() const {
  const auto found = std::ranges::find_if(open_, &Open::flow);
  return found == open_.end() ? nullptr : &found->node.where;
}

}  // namespace holdfast::config
