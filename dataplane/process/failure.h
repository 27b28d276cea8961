// SPDX-License-Identifier: Apache-2.0
// Why the process cannot start: one line for the operator that says what to do, and the exit code
// (design.md §4). Start-up code returns these; nothing after start does.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <utility>

namespace holdfast::dataplane {

enum class ExitCode : std::uint8_t {
  kOk = 0,
  kUsage = 2,
  kInvalid = 3,       // the start-up message cannot be used
  kRefused = 5,       // another instance holds what this one needs
  kEnvironment = 77,  // the machine lacks something
};

struct Failure {
  ExitCode code = ExitCode::kEnvironment;
  std::string text;
};

template <typename T>
using Result = std::expected<T, Failure>;

inline std::unexpected<Failure> fail(ExitCode code, std::string text) {
  return std::unexpected(Failure{.code = code, .text = std::move(text)});
}

}  // namespace holdfast::dataplane
