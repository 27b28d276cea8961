// SPDX-License-Identifier: Apache-2.0
// See lock.h.
#include "dataplane/process/lock.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

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

std::unexpected<Failure> belongs_to(long pid, const std::string& what) {
  return fail(ExitCode::kRefused,
              fmt::format("{} belongs to {}: stop it, or give this instance another name and "
                          "other paths",
                          what,
                          pid > 0 ? fmt::format("process {}", pid) : "another process"));
}

struct AbstractAddress {
  sockaddr_un address{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

AbstractAddress abstract_address(const std::string& name) {
  AbstractAddress result;
  result.address.sun_family = AF_UNIX;
  const std::string_view fits =
      std::string_view(name).substr(0, sizeof(result.address.sun_path) - 1);
  std::ranges::copy(fits, result.address.sun_path + 1);  // behind a zero byte: no file
  result.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + fits.size());
  return result;
}

// The process that listens there, by the credentials of the connection; 0 when it cannot be seen.
long listener_at(const AbstractAddress& address) {
  const Descriptor asker(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ucred owner{};
  socklen_t size = sizeof(owner);
  const bool known = asker.valid() && ::connect(asker.get(), address.get(), address.length) == 0 &&
                     ::getsockopt(asker.get(), SOL_SOCKET, SO_PEERCRED, &owner, &size) == 0;
  return known ? owner.pid : 0;
}

}  // namespace

Result<void> lock_file(const Descriptor& file, const std::string& what) {
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
    return {};
  }
  if (errno != EWOULDBLOCK) {
    return fail(ExitCode::kEnvironment, fmt::format("cannot lock {}: {}", what, strerror(errno)));
  }
  return belongs_to(holder_of(file), what);
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

Result<Descriptor> acquire_name(const std::string& name, const std::string& what) {
  const AbstractAddress address = abstract_address(name);
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.valid() && ::bind(socket.get(), address.get(), address.length) == 0 &&
      ::listen(socket.get(), 1) == 0) {
    return socket;
  }
  if (errno == EADDRINUSE) {
    return belongs_to(listener_at(address), what);
  }
  return fail(ExitCode::kEnvironment, fmt::format("cannot take {}: {}", what, strerror(errno)));
}

}  // namespace holdfast::dataplane
