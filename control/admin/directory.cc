// SPDX-License-Identifier: Apache-2.0
#include "control/admin/directory.h"

#include <cerrno>
#include <system_error>

#include <sys/stat.h>

namespace holdfast::control {

std::expected<void, std::string> make_directory(const std::filesystem::path& directory) {
  std::error_code error;
  if (directory.empty() || std::filesystem::is_directory(directory, error)) {
    return {};
  }
  if (auto parent = make_directory(directory.parent_path()); !parent) {
    return parent;
  }
  if (::mkdir(directory.c_str(), 0750) != 0 && errno != EEXIST) {
    return std::unexpected("cannot make directory " + directory.string() + ": " +
                           std::generic_category().message(errno));
  }
  return {};
}

}  // namespace holdfast::control
