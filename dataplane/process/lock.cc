// SPDX-License-Identifier: Apache-2.0
// See lock.h.
#include "dataplane/process/lock.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace holdfast::dataplane {
namespace {

// The process that holds the flock of this file, from /proc/locks; 0 when it cannot be seen (it may
// live in another pid namespace).
long holder_of(const Descriptor& file) {
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) {
    return 0;
  }
  const std::string wanted =
      fmt::format("{:02x}:{:02x}:{}", major(status.st_dev), minor(status.st_dev), status.st_ino);
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    std::istringstream fields(line);
    std::string number, kind, mode, access, inode;
    long pid = 0;
    if (fields >> number >> kind >> mode >> access >> pid >> inode && kind == "FLOCK" &&
        inode == wanted) {
      return pid;
    }
  }
  return 0;
}

}  // namespace

Result<void> lock_file(const Descriptor& file, const std::string& what) {
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
    return {};
  }
  if (errno != EWOULDBLOCK) {
    return fail(ExitCode::kEnvironment, fmt::format("cannot lock {}: {}", what, strerror(errno)));
  }
  const long pid = holder_of(file);
  return fail(ExitCode::kRefused,
              fmt::format("{} belongs to {}: stop it, or give this instance another name and "
                          "other paths",
                          what,
                          pid > 0 ? fmt::format("process {}", pid) : "another process"));
}

Result<Descriptor> acquire_lock(const std::string& path, const std::string& what) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
  if (!file.valid()) {
    return fail(ExitCode::kEnvironment, fmt::format("cannot open {}: {}", path, strerror(errno)));
  }
  if (auto locked = lock_file(file, what); !locked) {
    return std::unexpected(locked.error());
  }
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(file.get(), 0) != 0 ||
      ::pwrite(file.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return fail(ExitCode::kEnvironment, fmt::format("cannot write {}: {}", path, strerror(errno)));
  }
  return file;
}

}  // namespace holdfast::dataplane
