// SPDX-License-Identifier: Apache-2.0
// See lock.h.
#include "dataplane/process/lock.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

constexpr int kAskers = 64;  // that may come before the main loop looks after them
constexpr std::chrono::milliseconds kAskAgainAfter{20};

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

// The process that listens there, as it was when it began to, by the credentials of the connection;
// nullopt when nobody does. An owner makes room within the limit (dismiss_asker()).
std::optional<ucred> listener_at(const AbstractAddress& address) {
  const Descriptor asker(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{.tv_sec = 1, .tv_usec = 0};
  ucred owner{};
  socklen_t size = sizeof(owner);
  const bool known =
      asker.valid() &&
      ::setsockopt(asker.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
      ::connect(asker.get(), address.get(), address.length) == 0 &&
      ::getsockopt(asker.get(), SOL_SOCKET, SO_PEERCRED, &owner, &size) == 0;
  return known ? std::optional(owner) : std::nullopt;
}

bool is_ours(const ucred& owner) { return owner.uid == 0 || owner.uid == ::geteuid(); }

std::string notice_of(const std::optional<ucred>& stranger,
                      const std::string& name,
                      const std::string& what) {
  return fmt::format(
      "{} cannot be protected from a second process: {} has taken the abstract socket @{}",
      what,
      stranger ? fmt::format("process {} of uid {}", stranger->pid, stranger->uid)
               : "somebody who does not answer there",
      name);
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

Result<HeldName> acquire_name(const std::string& name, const std::string& what) {
  const AbstractAddress address = abstract_address(name);
  const auto cannot_take = [&what](int why) {
    return fail(ExitCode::kEnvironment, fmt::format("cannot take {}: {}", what, strerror(why)));
  };
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) {
    return cannot_take(errno);
  }
  std::optional<ucred> owner;
  for (int tries = 0; tries < 2 && !owner; ++tries) {
    if (tries > 0) {  // the owner was about to listen, or to end
      std::this_thread::sleep_for(kAskAgainAfter);
    }
    if (::bind(socket.get(), address.get(), address.length) == 0) {
      if (::listen(socket.get(), kAskers) == 0) {
        return HeldName{.socket = std::move(socket), .notice = {}};
      }
      return cannot_take(errno);
    }
    if (errno != EADDRINUSE) {
      return cannot_take(errno);
    }
    owner = listener_at(address);
  }
  if (owner && is_ours(*owner)) {
    return belongs_to(owner->pid, what);
  }
  return HeldName{.socket = Descriptor(), .notice = notice_of(owner, name, what)};
}

void dismiss_asker(const Descriptor& socket) {
  const Descriptor asker(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

}  // namespace holdfast::dataplane
