// SPDX-License-Identifier: Apache-2.0
// Opens the sockets that control listens on: a Unix stream socket for the API, a TCP one for the
// metrics. Called once at start, before any event; every error is one sentence that says what to
// do. The descriptors are non-blocking and close on exec.
#pragma once

#include "control/admin/file_descriptor.h"

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace holdfast::control {

// A listening Unix socket, mode 0660, that removes its file when it goes (unless the file has
// become somebody else's by then).
class UnixListener {
 public:
  // Makes the directory (0750) when it is missing. A socket file that nobody answers on is
  // replaced; one that is answered, and any other kind of file, is left alone and refused.
  static std::expected<UnixListener, std::string> open(const std::string& path);
  UnixListener(UnixListener&& other) noexcept = default;
  UnixListener& operator=(UnixListener&& other) noexcept = delete;
  ~UnixListener();

  [[nodiscard]] int descriptor() const { return socket_.get(); }

 private:
  UnixListener(FileDescriptor socket, std::string path, std::uint64_t inode)
      : socket_(std::move(socket)), path_(std::move(path)), inode_(inode) {}

  FileDescriptor socket_;
  std::string path_;
  std::uint64_t inode_ = 0;
};

struct TcpListener {
  FileDescriptor socket;
  std::string address;     // as bound, without the port
  std::uint16_t port = 0;  // as bound, never 0
};

// Listens on "192.0.2.1:9180" or "[2001:db8::1]:9180"; port 0 picks a free one.
std::expected<TcpListener, std::string> listen_tcp(std::string_view endpoint);

}  // namespace holdfast::control
