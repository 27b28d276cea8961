// SPDX-License-Identifier: Apache-2.0
// Small files that must survive a crash whole: written beside, synced, renamed over, mode 0600,
// never through a symbolic link. Used for revisions, drains, the writer epoch and the hash key.
// Blocking: called through offload() where the control thread must not wait for a disk.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::control {

// Makes the directory and its parents, mode 0750, when they are missing.
std::expected<void, std::string> make_directory(const std::string& path);

// Replaces the file by `contents`, whole or not at all. Requires: one writer at a time.
std::expected<void, std::string> write_durably(const std::string& path, std::string_view contents);

// Adds `contents` at the end, and makes the file when it is missing. Synced on return; after an
// error the file is as long as before, where that can still be done. Requires: one writer at a
// time.
std::expected<void, std::string> append_durably(const std::string& path, std::string_view contents);

// Like write_durably(), but a file that is there already stays and false comes back.
std::expected<bool, std::string> create_durably(const std::string& path, std::string_view contents);

// The contents; nullopt when there is no such file. A link, a directory or a file above
// `max_bytes` is an error.
std::expected<std::optional<std::string>, std::string> read_whole(const std::string& path,
                                                                  std::size_t max_bytes);

}  // namespace holdfast::control
