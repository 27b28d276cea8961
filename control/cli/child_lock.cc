// SPDX-License-Identifier: Apache-2.0
#include "control/cli/child_lock.h"

#include "control/cli/pidfd.h"
#include "dataplane/api/child_lock_text.h"

#include <array>
#include <cerrno>
#include <optional>
#include <sstream>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

std::optional<Holder> find_holder(int file) {
  std::array<char, 64> text{};
  const ssize_t size = ::pread(file, text.data(), text.size() - 1, 0);
  std::istringstream fields(size > 0 ? text.data() : "");
  pid_t pid = 0;
  std::string started;
  if (!(fields >> pid >> started) || pid <= 0) {
    return std::nullopt;
  }
  // First the pidfd, then the start time: what the pidfd stands for cannot change any more.
  Holder holder{pid, FileDescriptor(::pidfd_open(pid, 0))};
  if (!holder.pidfd.valid() || dataplane::start_time(pid) != started) {
    return std::nullopt;
  }
  return holder;
}

}  // namespace

std::expected<std::variant<ChildLock, Holder>, std::string> ChildLock::take(
    const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
  if (!file.valid()) {
    return std::unexpected("cannot open " + path + ": " + std::generic_category().message(errno));
  }
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
    return ChildLock(std::move(file));
  }
  if (auto holder = find_holder(file.get())) {
    return std::move(*holder);
  }
  return std::unexpected(path + " is locked by a process that it does not name: find it with " +
                         "'fuser " + path + "' and stop it");
}

bool ChildLock::name(pid_t holder) const {
  const std::string text = dataplane::child_lock_text(holder);
  return ::ftruncate(file_.get(), 0) == 0 &&
         ::pwrite(file_.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
}

}  // namespace holdfast::control
