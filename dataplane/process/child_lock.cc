// SPDX-License-Identifier: Apache-2.0
// See child_lock.h.
#include "dataplane/process/child_lock.h"

#include "dataplane/api/child_lock_text.h"

#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

constexpr const char* kVariable = "HOLDFAST_CHILD_LOCK";

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
  const std::string name = child_lock_text(::getpid());
  [[maybe_unused]] const bool named =
      ::ftruncate(lock.get(), 0) == 0 &&
      ::pwrite(lock.get(), name.data(), name.size(), 0) == static_cast<ssize_t>(name.size());
}

}  // namespace holdfast::dataplane
