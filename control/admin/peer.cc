// SPDX-License-Identifier: Apache-2.0
// See peer.h.
#include "control/admin/peer.h"

#include <cstdio>
#include <memory>

#include <pwd.h>
#include <sys/socket.h>

namespace holdfast::control {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

std::string local_user_name(uid_t uid) {
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen("/etc/passwd", "re"));
  while (const passwd* entry = file ? ::fgetpwent(file.get()) : nullptr) {
    if (entry->pw_uid == uid) {
      return entry->pw_name;
    }
  }
  return "";
}

}  // namespace

std::string peer_name(int descriptor) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 ||
      length != sizeof peer || peer.pid == 0) {
    return "";
  }
  const std::string name = local_user_name(peer.uid);
  return "uid=" + std::to_string(peer.uid) + (name.empty() ? "" : "(" + name + ")");
}

}  // namespace holdfast::control
