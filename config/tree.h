// SPDX-License-Identifier: Apache-2.0
// A YAML file as a tree of texts with places: what the typed readers read. Strict where YAML is
// lenient: one document, one line per value, text keys, each key once; no anchors, aliases, merge
// keys, tags or block texts. Nothing is converted here, so `010` and `yes` stay what was written.
#pragma once

#include "config/journal.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::config {

enum class Kind : std::uint8_t {
  kNull,  // nothing was written
  kScalar,
  kSequence,
  kMap,
  kRefused,  // already reported; readers pass over it
};

struct Node {
  Kind kind = Kind::kNull;
  bool quoted = false;      // scalar
  bool incomplete = false;  // map or sequence: a part was refused, so nothing in it can be missing
  Span where;
  std::string text = {};         // scalar
  std::vector<Node> keys = {};   // map, parallel to items; scalars, no two alike
  std::vector<Node> items = {};  // sequence: elements; map: values
};

inline constexpr int kMaxDepth = 32;

struct TreeLimits {
  std::size_t max_values = 500'000;
  // Bytes without a finished value. The parser keeps them all: an endless row of brackets would
  // take a few hundred bytes of memory each.
  std::size_t max_unfinished_bytes = std::size_t{1} << 20U;
};

// Reads `text`, the file's content after its byte order mark, and reports what is no YAML of the
// strict kind. After a syntax error reading goes on with the next top-level key. nullopt when there
// is no map at the top. O(text); at most kMaxDepth levels deep.
std::optional<Node> read_tree(std::uint16_t file,
                              std::string_view text,
                              const TreeLimits& limits,
                              Journal& journal);

// "a map", "a list", "text", "nothing": for messages.
std::string_view kind_name(const Node& node);

}  // namespace holdfast::config
