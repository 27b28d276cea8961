// SPDX-License-Identifier: Apache-2.0
// The revisions that were accepted: the main file and its includes as they were read, together in
// one file each, numbered, the last 20 kept. Control starts from the newest, whatever the file on
// disk says meanwhile. Blocking: called at start and through offload().
#pragma once

#include "config/model.h"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::control {

struct Revision {
  std::uint64_t number = 0;
  std::vector<config::SourceFile> sources;
};

inline constexpr std::size_t kRevisionsKept = 20;

// Requires: `directory` exists; one control at a time (its lock).
std::expected<void, std::string> save_revision(const std::string& directory,
                                               const Revision& revision);

// The newest revision that can be read; nullopt when there is none. `problems` says which newer
// ones could not be.
struct NewestRevision {
  std::optional<Revision> revision;
  std::uint64_t highest = 0;  // number in the directory, readable or not
  std::vector<std::string> problems;
};
NewestRevision load_newest_revision(const std::string& directory);

// The text form: a line "file NAME-BYTES TEXT-BYTES", then the name and the text, a line each.
std::string revision_to_text(const Revision& revision);
std::expected<Revision, std::string> revision_from_text(std::uint64_t number,
                                                        std::string_view text);

}  // namespace holdfast::control
