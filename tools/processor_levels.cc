// SPDX-License-Identifier: Apache-2.0
// Prints the levels of this machine's processor, one a line, the best one last. Run by CMake for
// HOLDFAST_LEVEL=native, and by tools/run_tests.py, which runs the tests at each of them.
#include "dataplane/process/level.h"

#include <cstdio>
#include <string>

int main() {
  for (const std::string_view level : holdfast::dataplane::processor_levels()) {
    std::puts(std::string(level).c_str());
  }
  return 0;
}
