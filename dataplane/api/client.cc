// SPDX-License-Identifier: Apache-2.0
// See client.h.
#include "dataplane/api/client.h"

#include "dataplane/api/codec.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace holdfast::seam {
namespace {

constexpr std::size_t kMaxEvents = 1024;

std::string failure(const std::string& what) { return what + ": " + std::strerror(errno); }

// Waits until the socket is ready for `events` or the deadline is over.
bool wait_for(int descriptor, short events, std::chrono::steady_clock::time_point deadline) {
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      return false;
    }
    pollfd entry{.fd = descriptor, .events = events, .revents = 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::min<long>(left.count(), 60'000)));
    if (ready > 0 || (ready < 0 && errno != EINTR)) {
      return ready > 0;
    }
  }
}

struct OpenFailure {
  std::string text;
  int error = 0;  // of connect(2); 0: it was not even tried
};

std::expected<int, OpenFailure> open_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return std::unexpected(OpenFailure{"socket path '" + path + "' is empty or longer than " +
                                       std::to_string(sizeof(address.sun_path) - 1) + " bytes"});
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) {
    return std::unexpected(OpenFailure{failure("socket")});
  }
  if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const int error = errno;
    auto text = failure(path);
    ::close(descriptor);
    return std::unexpected(OpenFailure{std::move(text), error});
  }
  return descriptor;
}

}  // namespace

std::expected<Client, std::string> Client::connect(const std::string& path,
                                                   std::uint64_t writer_epoch,
                                                   std::chrono::milliseconds limit) {
  const auto descriptor = open_socket(path);
  if (!descriptor) {
    return std::unexpected(descriptor.error().text);
  }
  Client client(*descriptor);
  Request request;
  Hello& hello = *request.mutable_hello();
  hello.set_version_min(kVersionMin);
  hello.set_version_max(kVersionMax);
  hello.set_writer_epoch(writer_epoch);
  auto reply = client.call(std::move(request), limit);
  if (!reply) {
    return std::unexpected(path + ": " + reply.error());
  }
  if (!reply->has_hello()) {
    return std::unexpected(path + ": answered something else than a hello");
  }
  client.hello_ = reply->hello();
  return client;
}

bool nobody_listens(const std::string& path) {
  const auto descriptor = open_socket(path);
  if (descriptor) {
    ::close(*descriptor);
    return false;
  }
  const int error = descriptor.error().error;
  return error == ENOENT || error == ECONNREFUSED;
}

Client::Client(Client&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      last_id_(other.last_id_),
      decoder_(std::move(other.decoder_)),
      hello_(std::move(other.hello_)),
      events_(std::move(other.events_)) {}

Client& Client::operator=(Client&& other) noexcept {
  if (this != &other) {
    close();
    descriptor_ = std::exchange(other.descriptor_, -1);
    last_id_ = other.last_id_;
    decoder_ = std::move(other.decoder_);
    hello_ = std::move(other.hello_);
    events_ = std::move(other.events_);
  }
  return *this;
}

Client::~Client() { close(); }

void Client::close() {
  if (descriptor_ >= 0) {
    ::close(std::exchange(descriptor_, -1));
  }
}

std::expected<Reply, std::string> Client::call(Request request, std::chrono::milliseconds limit) {
  const Deadline deadline = std::chrono::steady_clock::now() + limit;
  request.set_id(++last_id_);
  const auto bytes = frame(request);
  if (!bytes) {
    return std::unexpected(bytes.error());
  }
  if (auto sent = send_all(*bytes, deadline); !sent) {
    close();
    return std::unexpected(sent.error());
  }
  while (true) {
    auto reply = receive(deadline);
    if (!reply) {
      close();
      return reply;
    }
    if (reply->has_event()) {
      events_.push_back(std::move(*reply->mutable_event()));
      if (events_.size() > kMaxEvents) {
        events_.pop_front();
      }
      if (std::chrono::steady_clock::now() > deadline) {
        close();
        return std::unexpected("timed out between events");
      }
    } else if (reply->id() == last_id_) {
      if (reply->has_error()) {
        return std::unexpected(reply->error().text());
      }
      return reply;
    }
  }
}

std::expected<void, std::string> Client::send_all(std::string_view bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      return std::unexpected(failure("send"));
    } else if (!wait_for(descriptor_, POLLOUT, deadline)) {
      return std::unexpected("timed out sending");
    }
  }
  return {};
}

std::expected<Reply, std::string> Client::receive(Deadline deadline) {
  std::array<char, 65536> piece;
  while (true) {
    auto message = decoder_.next();
    if (!message) {
      return std::unexpected(message.error());
    }
    const std::optional<std::string>& body = *message;
    if (body) {
      Reply reply;
      if (!reply.ParseFromString(*body)) {
        return std::unexpected("reply is no valid message");
      }
      return reply;
    }
    if (!wait_for(descriptor_, POLLIN, deadline)) {
      return std::unexpected("timed out waiting for an answer");
    }
    const ssize_t received = ::recv(descriptor_, piece.data(), piece.size(), 0);
    if (received == 0) {
      return std::unexpected("peer closed the connection");
    }
    if (received > 0) {
      decoder_.feed({piece.data(), static_cast<std::size_t>(received)});
    } else if (errno != EAGAIN && errno != EINTR) {
      return std::unexpected(failure("receive"));
    }
  }
}

}  // namespace holdfast::seam
