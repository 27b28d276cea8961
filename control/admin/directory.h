// SPDX-License-Identifier: Apache-2.0
// Makes the directories that sockets and lock files stand in. Start-up only; blocking.
#pragma once

#include <expected>
#include <filesystem>
#include <string>

namespace holdfast::control {

// Makes every missing directory of the path, mode 0750, or says which could not be made. The empty
// path is the working directory.
std::expected<void, std::string> make_directory(const std::filesystem::path& directory);

}  // namespace holdfast::control
