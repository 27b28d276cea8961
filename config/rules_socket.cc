// SPDX-License-Identifier: Apache-2.0
// Rules between the files of the two processes. The dataplane removes what stands at a path of its
// sockets before it listens there, so it would cut control off.
#include "config/rules.h"

#include <array>
#include <filesystem>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

struct Taken {
  std::string_view suffix;  // behind dataplane.socket
  std::string_view what;
};

constexpr std::array kTaken = {
    Taken{"", "dataplane.socket"},
    Taken{".ro", "the dataplane's socket for readers, dataplane.socket with '.ro'"},
    Taken{".lock", "the dataplane's lock, dataplane.socket with '.lock'"}};

std::filesystem::path normal(const std::string& path) {
  return std::filesystem::path(path).lexically_normal();
}

}  // namespace

void check_sockets(const Draft& draft, Journal& journal) {
  const std::string& control = draft.config.control.socket;
  for (const Taken& taken : kTaken) {
    const std::string other = draft.config.dataplane.socket + std::string(taken.suffix);
    if (draft.sockets.complete && normal(control) == normal(other)) {
      const bool written = draft.sockets.control.line > 0;
      journal.error(written ? draft.sockets.control : draft.sockets.dataplane,
                    fmt::format("control.socket {} is also {}", quote(control), taken.what),
                    "give each its own path");
    }
  }
}

}  // namespace holdfast::config
