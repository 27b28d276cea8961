// SPDX-License-Identifier: Apache-2.0
// Runs the holdfast program in this process and keeps what it printed. Tests only.
#pragma once

#include "control/cli/program.h"

#include <sstream>
#include <string>
#include <vector>

namespace holdfast::control {

struct Ran {
  int exit_code = -1;
  std::string out;
  std::string error;
};

inline Ran run(const std::vector<std::string>& words) {
  std::ostringstream out;
  std::ostringstream error;
  Context context{.out = out, .error = error, .program = "/usr/bin/holdfast"};
  const int exit_code = run_program(words, context);
  return {exit_code, out.str(), error.str()};
}

}  // namespace holdfast::control
