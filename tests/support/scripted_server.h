// SPDX-License-Identifier: Apache-2.0
// A TCP server on loopback that serves one connection after the other by a script, on a thread of
// its own; for probes that meet hostile or broken servers. The script gets a connected socket,
// which is closed after it; it must end when the peer goes away or stopping() says so.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string_view>
#include <thread>
#include <utility>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace holdfast::testing {

class ScriptedServer {
 public:
  using Script = std::function<void(const ScriptedServer&, int)>;

  explicit ScriptedServer(Script script) : script_(std::move(script)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        ::listen(listener_, 128) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;
  ~ScriptedServer() {
    stopping_ = true;
    thread_.join();
    ::close(listener_);
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] bool stopping() const { return stopping_; }

  // Waits until the peer has sent something or went away; false when it went away.
  [[nodiscard]] bool wait_request(int connection) const {
    char byte = 0;
    return readable(connection, 5000) && ::recv(connection, &byte, 1, MSG_PEEK) > 0;
  }
  // Waits until the peer has closed or reset.
  void wait_end(int connection) const {
    char piece[4096];
    while (!stopping_) {
      if (readable(connection, 20) && ::recv(connection, piece, sizeof(piece), 0) <= 0) {
        return;
      }
    }
  }
  // False when the peer went away.
  [[nodiscard]] static bool send(int connection, std::string_view bytes) {
    return ::send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  static bool readable(int descriptor, int limit_ms) {
    pollfd entry{.fd = descriptor, .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, limit_ms) > 0;
  }

 private:
  void serve() {
    while (!stopping_) {
      if (!readable(listener_, 20)) {
        continue;
      }
      const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection >= 0) {
        script_(*this, connection);
        ::close(connection);
      }
    }
  }

  Script script_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace holdfast::testing
