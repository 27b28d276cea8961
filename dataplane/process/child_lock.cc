// SPDX-License-Identifier: Apache-2.0
// See child_lock.h.
#include "dataplane/process/child_lock.h"

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

constexpr const char* kVariable = "HOLDFAST_CHILD_LOCK";

// Field 22, counted behind the command's name, which may hold anything.
std::string start_time() {
  std::ifstream file("/proc/self/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::istringstream fields(text.substr(text.rfind(')') + 1));
  std::string field;
  for (int number = 3; number <= 22; ++number) {
    fields >> field;
  }
  return field;
}

}  // namespace

Descriptor inherited_child_lock() {
  const char* value = std::getenv(kVariable);
  const std::string_view text = value == nullptr ? "" : value;
  int descriptor = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), descriptor);
  struct stat status{};
  const bool good = error == std::errc() && end == text.data() + text.size() &&
                    descriptor > STDERR_FILENO && ::fstat(descriptor, &status) == 0 &&
                    S_ISREG(status.st_mode);
  if (!good) {
    return {};
  }
  ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  return Descriptor(descriptor);
}

void name_child_lock(const Descriptor& lock) {
  if (!lock.valid()) {
    return;
  }
  const std::string name = fmt::format("{} {}\n", ::getpid(), start_time());
  [[maybe_unused]] const bool named =
      ::ftruncate(lock.get(), 0) == 0 &&
      ::pwrite(lock.get(), name.data(), name.size(), 0) == static_cast<ssize_t>(name.size());
}

}  // namespace holdfast::dataplane
