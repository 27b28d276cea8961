// SPDX-License-Identifier: Apache-2.0
// The last acknowledged generation and the one before, on disk, so that a restarted dataplane
// forwards at once without control. Main thread. A damaged or foreign file is not used: the one
// before is tried, and a notice says so.
#pragma once

#include "dataplane/spec.h"

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::dataplane {

class GenerationStore {
 public:
  // Requires: `directory` exists.
  explicit GenerationStore(std::string directory) : directory_(std::move(directory)) {}

  // Writes `generation.current` whole (written beside, synced, renamed; mode 0600); what was there
  // becomes `generation.previous`. At every moment `generation.current` is whole, the old one or
  // the new. The error says why it could not.
  std::expected<void, std::string> save(const GenerationSpec& spec) const;

  struct Loaded {
    std::optional<GenerationSpec> spec;  // the newest that can be read
    std::string notice;                  // why the current one cannot, when it cannot
  };
  [[nodiscard]] Loaded load() const;

 private:
  [[nodiscard]] std::string path(std::string_view name) const;
  std::string directory_;
};

}  // namespace holdfast::dataplane
