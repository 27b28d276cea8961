// SPDX-License-Identifier: Apache-2.0
// A blocking socket that sends any bytes at all to a server under test and reads until the server
// closes; every wait is bounded.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

namespace holdfast::testing {

class RawPeer {
 public:
  static RawPeer to_unix(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    return RawPeer(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  static RawPeer to_loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return RawPeer(AF_INET, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  RawPeer(RawPeer&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  RawPeer& operator=(RawPeer&&) = delete;
  ~RawPeer() {
    if (descriptor_ >= 0) {
      ::close(descriptor_);
    }
  }

  // False when the server has closed.
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        return false;
      }
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  // What came until the server closed, or until `enough` stands in it. Throws after 10 s of
  // silence.
  std::string read(std::string_view enough = {}) const {
    std::string all;
    char part[4096];
    for (;;) {
      const ssize_t got = ::recv(descriptor_, part, sizeof part, 0);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        throw std::runtime_error("the server neither answered nor closed");
      }
      if (got <= 0) {
        return all;
      }
      all.append(part, static_cast<std::size_t>(got));
      if (!enough.empty() && all.find(enough) != std::string::npos) {
        return all;
      }
    }
  }

 private:
  RawPeer(int family, const sockaddr* address, socklen_t length)
      : descriptor_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval limit{10, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(descriptor_, address, length) != 0) {
      ::close(descriptor_);
      throw std::runtime_error("cannot connect");
    }
  }

  int descriptor_ = -1;
};

// "GET /v1/status" with what HTTP/1.1 needs; the server closes after its answer.
inline std::string http_request(std::string_view method,
                                std::string_view target,
                                std::string_view body = {}) {
  return std::string(method) + " " + std::string(target) +
         " HTTP/1.1\r\nHost: holdfast\r\nConnection: close\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

}  // namespace holdfast::testing
