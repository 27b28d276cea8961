// SPDX-License-Identifier: Apache-2.0
// The `holdfast` program's entry; everything else stands in program.cc and the verbs' files.
#include "control/cli/program.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <system_error>

int main(int argc, char** argv) {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  holdfast::control::Context context{
      .out = std::cout, .error = std::cerr, .program = error ? argv[0] : program.string()};
  return holdfast::control::run_program({argv + std::min(argc, 1), argv + argc}, context);
}
