// SPDX-License-Identifier: Apache-2.0
// Files: reading one within a bound, and what an `include` pattern stands for. The only part of
// config/ that touches the file system. Blocking, but never on a pipe or a device.
#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::config {

// The bytes of a regular file, or a sentence why not: "cannot be read: No such file or directory".
std::expected<std::string, std::string> read_file(const std::string& path, std::size_t max_bytes);

bool is_pattern(std::string_view text);

struct Matches {
  std::vector<std::string> paths;  // in byte order; relative ones begin with `folder`
  std::string problem;             // why there are none; "" when nothing matched
  bool folder_missing = false;
};

// Files of one folder that match a pattern with wildcards in its last part only. Hidden files match
// only when the pattern starts with a dot, too. Requires: is_pattern(pattern).
Matches match_files(const std::string& folder, std::string_view pattern, std::size_t most);

// `path` as seen from `folder`: unchanged when absolute or when the folder is "".
std::string join_path(const std::string& folder, std::string_view path);
// The part of `path` before its last '/', "" without one.
std::string folder_of(std::string_view path);

// Whether two paths name the same file.
bool same_file(const std::string& a, const std::string& b);

}  // namespace holdfast::config
