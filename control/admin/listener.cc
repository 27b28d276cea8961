// SPDX-License-Identifier: Apache-2.0
// Socket files are made under a lock on their directory, so that two starting instances cannot
// both find the same stale file and then remove each other's new one.
#include "control/admin/listener.h"

#include "control/publish/durable_file.h"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace holdfast::control {
namespace {

constexpr int kBacklog = 64;
constexpr mode_t kSocketMode = 0660;

std::string error_text(int error) { return std::generic_category().message(error); }

std::unexpected<std::string> failure(std::string what, int error) {
  return std::unexpected(std::move(what) + ": " + error_text(error));
}

std::expected<sockaddr_un, std::string> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return std::unexpected("socket path '" + path + "' must have 1 to " +
                           std::to_string(sizeof address.sun_path - 1) +
                           " bytes: set control.socket to a shorter one");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

std::expected<FileDescriptor, std::string> lock_directory(const std::string& path) {
  FileDescriptor held(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!held.valid() || ::flock(held.get(), LOCK_EX) != 0) {
    return failure("cannot use the directory " + path, errno);
  }
  return held;
}

// True when somebody accepts connections there. A full backlog (EAGAIN) is somebody, too.
std::expected<bool, std::string> answered(const sockaddr_un& address) {
  const FileDescriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe.valid()) {
    return failure("cannot open a Unix socket", errno);
  }
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(probe.get(), generic, sizeof address) == 0 || errno == EAGAIN) {
    return true;
  }
  if (errno == ECONNREFUSED || errno == ENOENT) {
    return false;
  }
  return failure(std::string("cannot tell whether ") + address.sun_path + " is in use", errno);
}

// Leaves the path free, or says why it is not.
std::expected<void, std::string> remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat found{};
  if (::lstat(path.c_str(), &found) != 0) {
    return {};
  }
  if (!S_ISSOCK(found.st_mode)) {
    return std::unexpected(path + " exists and is no socket: remove it, or set control.socket");
  }
  const auto in_use = answered(address);
  if (!in_use) {
    return std::unexpected(in_use.error());
  }
  if (*in_use) {
    return std::unexpected("another holdfast control answers on " + path +
                           ": stop it, or give this one another control.socket");
  }
  if (::unlink(path.c_str()) != 0) {
    return failure("cannot remove the stale socket " + path, errno);
  }
  return {};
}

struct Endpoint {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* generic() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

std::optional<std::uint16_t> port_number(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return port;
}

std::optional<Endpoint> parse_endpoint(std::string_view text) {
  const auto colon = text.rfind(':');
  const auto port =
      colon == std::string_view::npos ? std::nullopt : port_number(text.substr(colon + 1));
  if (!port) {
    return std::nullopt;
  }
  std::string host(text.substr(0, colon));
  Endpoint result;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&result.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(*port);
    result.length = sizeof *v6;
    return ::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1 ? std::optional(result)
                                                                    : std::nullopt;
  }
  auto* v4 = reinterpret_cast<sockaddr_in*>(&result.storage);
  v4->sin_family = AF_INET;
  v4->sin_port = htons(*port);
  result.length = sizeof *v4;
  return ::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1 ? std::optional(result)
                                                                : std::nullopt;
}

std::uint16_t bound_port(int descriptor) {
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&bound), &length);
  return bound.ss_family == AF_INET6 ? ntohs(reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port)
                                     : ntohs(reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
}

}  // namespace

std::expected<UnixListener, std::string> UnixListener::open(const std::string& path) {
  const auto address = unix_address(path);
  if (!address) {
    return std::unexpected(address.error());
  }
  const auto parent = std::filesystem::path(path).parent_path().string();
  const std::string directory = parent.empty() ? "." : parent;
  if (auto made = make_directory(directory); !made) {
    return std::unexpected("cannot make the directory " + made.error());
  }
  const auto lock = lock_directory(directory);
  if (!lock) {
    return std::unexpected(lock.error());
  }
  if (auto removed = remove_stale(path, *address); !removed) {
    return std::unexpected(removed.error());
  }
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  // Before bind: on Linux the file takes the socket's mode, so it is never open to others.
  if (!socket.valid() || ::fchmod(socket.get(), kSocketMode) != 0 ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    return failure("cannot make the socket " + path, errno);
  }
  struct stat made{};
  if (::chmod(path.c_str(), kSocketMode) != 0 || ::lstat(path.c_str(), &made) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return failure("cannot listen on " + path, errno);
  }
  return UnixListener(std::move(socket), path, made.st_ino);
}

UnixListener::~UnixListener() {
  struct stat found{};
  if (socket_.valid() && ::lstat(path_.c_str(), &found) == 0 && found.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
}

std::expected<TcpListener, std::string> listen_tcp(std::string_view endpoint) {
  const std::string name(endpoint);
  const auto address = parse_endpoint(endpoint);
  if (!address) {
    return std::unexpected("'" + name + "' is no address:port: write 127.0.0.1:9180 or [::1]:9180");
  }
  TcpListener result;
  result.socket.reset(
      ::socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  // Without SO_REUSEADDR a restart would wait for the last scrapes' TIME_WAIT.
  if (!result.socket.valid() ||
      ::setsockopt(result.socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(result.socket.get(), address->generic(), address->length) != 0 ||
      ::listen(result.socket.get(), kBacklog) != 0) {
    return failure("cannot listen on " + name + " (set control.metrics to another port, or none)",
                   errno);
  }
  result.address = name.substr(0, name.rfind(':'));
  result.port = bound_port(result.socket.get());
  return result;
}

}  // namespace holdfast::control
