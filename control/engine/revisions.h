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
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::control {

// How a revision came about. Texts are single lines.
struct RevisionAbout {
  std::int64_t unix_ms = 0;  // when it was accepted; 0: not known
  std::string who;
  std::string reason;
  std::string origin;       // "reload", "rollback to 3", "apply /tmp/new.yaml"; empty: not known
  std::string config_path;  // of the control that accepted it; empty: its main file's
  // fingerprint() of the file on disk that it was accepted against, or kUnread; empty: it is that
  // file's own.
  std::string set_aside;
  std::uint64_t back_to = 0;  // of a rollback: the revision that it went back to
  // Applied to be confirmed: within how long, else which revision comes back. 0: it stays.
  std::uint64_t confirm_ms = 0;
  std::uint64_t falls_back_to = 0;
  bool operator==(const RevisionAbout&) const = default;
};

// Stands for a file that could not be read when it was set aside.
inline constexpr std::string_view kUnread = "unread";

struct Revision {
  std::uint64_t number = 0;
  RevisionAbout about;
  std::vector<config::SourceFile> sources;
};

inline constexpr std::size_t kRevisionsKept = 20;

// Older ones than the last kRevisionsKept go, but for the one that it falls back to. Requires:
// `directory` exists; one control at a time (its lock).
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

// One of them, or a sentence that says why not.
std::expected<Revision, std::string> load_revision(const std::string& directory,
                                                   std::uint64_t number);

// Those in the directory, the newest first.
struct ListedRevision {
  std::uint64_t number = 0;
  RevisionAbout about;
  std::string problem;  // why it cannot be read; empty: it can
};
std::vector<ListedRevision> list_revisions(const std::string& directory);

// Tells texts apart that nobody makes alike on purpose (FNV-1a, 64 bits, hexadecimal).
std::string fingerprint(std::span<const config::SourceFile> sources);

// The text form: "about BYTES" and as many of "KEY VALUE" lines; then for each file a line
// "file NAME-BYTES TEXT-BYTES", the name and the text, a line each. Without "about" it is one of an
// older version.
std::string revision_to_text(const Revision& revision);
std::expected<Revision, std::string> revision_from_text(std::uint64_t number,
                                                        std::string_view text);

}  // namespace holdfast::control
