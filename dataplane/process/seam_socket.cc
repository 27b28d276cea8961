// SPDX-License-Identifier: Apache-2.0
// See seam_socket.h.
#include "dataplane/process/seam_socket.h"

#include "dataplane/process/handover_channel.h"
#include "dataplane/process/lock.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace holdfast::dataplane {
namespace {

constexpr int kBacklog = 16;

// Others than root cannot give files away, and service managers may kill who tries.
void give(const std::string& path, uid_t uid, gid_t gid) {
  if (::geteuid() == 0) {
    [[maybe_unused]] const int status = ::lchown(path.c_str(), uid, gid);
  }
}

Result<Descriptor> listen_on(const std::string& path, unsigned group) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return fail(ExitCode::kInvalid,
                fmt::format("socket path {} is longer than {} bytes: choose a shorter directory",
                            path,
                            sizeof(address.sun_path) - 1));
  }
  std::ranges::copy(path, address.sun_path);
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ::unlink(path.c_str());  // the lock says that nobody listens there
  if (!socket.valid() ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::chmod(path.c_str(), 0660) != 0 || ::listen(socket.get(), kBacklog) != 0) {
    return fail(ExitCode::kEnvironment,
                fmt::format("cannot listen on {}: {}", path, strerror(errno)));
  }
  give(path, static_cast<uid_t>(-1), group);
  return socket;
}

}  // namespace

void unlink_seam_sockets(const std::string& path) {
  ::unlink(path.c_str());
  ::unlink((path + ".ro").c_str());
  ::unlink(handover_path(path).c_str());
}

Result<void> make_directory(const std::string& path, unsigned uid, unsigned gid) {
  const std::filesystem::path folder(path);
  std::error_code error;
  if (folder.empty() || std::filesystem::is_directory(folder, error)) {
    return {};
  }
  std::filesystem::create_directories(folder.parent_path(), error);
  if (::mkdir(folder.c_str(), 0750) != 0 && errno != EEXIST) {
    return fail(ExitCode::kEnvironment,
                fmt::format("cannot make the directory {}: {}", path, strerror(errno)));
  }
  give(path, uid, gid);
  return {};
}

Result<SeamSockets> open_seam_sockets(const std::string& path, unsigned group) {
  SeamSockets sockets;
  sockets.path = path;
  std::error_code missing;
  if (path.ends_with('/') || std::filesystem::is_directory(path, missing)) {
    return fail(ExitCode::kInvalid,
                fmt::format("dataplane.socket {} is a directory: name a file in it, as {}",
                            path,
                            (std::filesystem::path(path) / "dataplane.sock").string()));
  }
  const std::string folder = std::filesystem::path(path).parent_path();
  if (auto made = make_directory(folder, ::geteuid(), group); !made) {
    return std::unexpected(made.error());
  }
  auto lock = acquire_lock(path + ".lock", "the socket " + path);
  if (!lock) {
    return std::unexpected(lock.error());
  }
  sockets.lock = std::move(*lock);
  for (const auto& [name, into] :
       {std::pair(path, &sockets.writer), std::pair(path + ".ro", &sockets.reader)}) {
    auto socket = listen_on(name, group);
    if (!socket) {
      return std::unexpected(socket.error());
    }
    *into = std::move(*socket);
  }
  return sockets;
}

}  // namespace holdfast::dataplane
