// SPDX-License-Identifier: Apache-2.0
// See server.h.
#include "dataplane/process/server.h"

#include "dataplane/api/codec.h"
#include "dataplane/process/clock.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

namespace holdfast::dataplane {
namespace {

constexpr std::size_t kMaxSessions = 32;
constexpr std::chrono::seconds kHelloLimit{5};
constexpr std::size_t kReaderMessageBytes = 64U << 10U;  // readers have only short questions
constexpr std::size_t kPieceBytes = 64U << 10U;
constexpr std::size_t kUnreadReplies = 1U << 20U;  // above, no further request is read

}  // namespace

SeamServer::SeamServer(PollLoop& loop, SeamSockets sockets, Handler handler)
    : loop_(loop), sockets_(std::move(sockets)), handler_(std::move(handler)) {
  loop_.watch(sockets_.writer.get(), POLLIN, [this](short) {
    accept_from(sockets_.writer, Access::kWrite);
  });
  loop_.watch(sockets_.reader.get(), POLLIN, [this](short) {
    accept_from(sockets_.reader, Access::kRead);
  });
  loop_.every(std::chrono::seconds(1), [this] { close_late_greeters(); });
}

SeamServer::~SeamServer() {
  for (const Session& session : sessions_) {
    loop_.forget(session.socket.get());
  }
  loop_.forget(sockets_.writer.get());
  loop_.forget(sockets_.reader.get());
}

void SeamServer::accept_from(const Descriptor& listener, Access most) {
  Descriptor socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) {
    return;
  }
  make_room();
  const std::size_t limit = most == Access::kWrite ? seam::kMaxMessageBytes : kReaderMessageBytes;
  Session& session = sessions_.emplace_back();
  session.socket = std::move(socket);
  session.most = most;
  session.opened = PollLoop::Clock::now();
  session.decoder = seam::FrameDecoder(limit);
  loop_.watch(session.socket.get(),
              POLLIN,
              [this, place = std::prev(sessions_.end())](short events) { serve(place, events); });
}

void SeamServer::make_room() {
  if (sessions_.size() < kMaxSessions) {
    return;
  }
  const auto oldest = std::ranges::find(sessions_, std::uint64_t{0}, &Session::epoch);
  if (oldest != sessions_.end()) {
    oldest->broken = true;
    close_if_done(oldest);
  }
}

void SeamServer::serve(Sessions::iterator session, short events) {
  if ((events & POLLOUT) != 0) {
    flush(*session);
    handle_waiting(*session);
  }
  if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) {
    read_from(*session);
  }
  close_if_done(session);
}

void SeamServer::read_from(Session& session) {
  std::array<char, kPieceBytes> piece;
  const ssize_t size = ::recv(session.socket.get(), piece.data(), piece.size(), 0);
  if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) {
    session.broken = true;
  } else if (size > 0 && !session.closing) {
    session.decoder.feed({piece.data(), static_cast<std::size_t>(size)});
    handle_waiting(session);
  }
}

void SeamServer::handle_waiting(Session& session) {
  while (!session.broken && !session.closing && session.out.size() < kUnreadReplies) {
    auto message = session.decoder.next();
    if (!message) {
      seam::Reply reply;
      reply.mutable_error()->set_text(message.error());
      send(session, reply);
      session.closing = true;
      break;
    }
    const std::optional<std::string>& body = *message;
    if (!body) {
      break;
    }
    handle(session, *body);
  }
}

void SeamServer::handle(Session& session, const std::string& message) {
  seam::Request request;
  seam::Reply reply;
  if (!request.ParseFromString(message)) {
    reply.mutable_error()->set_text("not a request");
    session.closing = true;
  } else if (!session.greeted) {
    greet(session, request, reply);
  } else {
    const bool writer = session.epoch != 0 && session.epoch == highest_epoch_;
    handler_(request, writer ? Access::kWrite : Access::kRead, reply);
  }
  reply.set_id(request.id());
  send(session, reply);
}

void SeamServer::greet(Session& session, const seam::Request& request, seam::Reply& reply) {
  const seam::Hello& hello = request.hello();
  const auto refuse = [&](const std::string& why) {
    reply.mutable_error()->set_text(why);
    session.closing = true;
  };
  if (!request.has_hello()) {
    return refuse("say hello first");
  }
  const auto version = seam::choose_version(hello.version_min(), hello.version_max());
  if (!version) {
    return refuse(version.error());
  }
  if (hello.writer_epoch() != 0 && session.most == Access::kRead) {
    return refuse("this socket is for reading: write to " + sockets_.path);
  }
  if (hello.writer_epoch() != 0 && hello.writer_epoch() < highest_epoch_) {
    return refuse(fmt::format("a newer control has written (epoch {}, this is {})",
                              highest_epoch_,
                              hello.writer_epoch()));
  }
  if (hello.writer_epoch() != 0) {
    for (Session& other : sessions_) {
      other.broken |= &other != &session && other.epoch != 0;
    }
    highest_epoch_ = hello.writer_epoch();
    session.epoch = hello.writer_epoch();
  }
  session.greeted = true;
  handler_(request, session.epoch != 0 ? Access::kWrite : Access::kRead, reply);
  reply.mutable_hello()->set_version(*version);
  for (auto other = sessions_.begin(); other != sessions_.end();) {
    close_if_done(other++);
  }
}

void SeamServer::send(Session& session, const seam::Reply& reply) {
  auto bytes = seam::frame(reply);
  if (!bytes) {
    seam::Reply error;
    error.set_id(reply.id());
    error.mutable_error()->set_text(bytes.error());
    bytes = seam::frame(error);
  }
  session.out += bytes.value_or("");
  flush(session);
}

void SeamServer::flush(Session& session) {
  while (!session.out.empty()) {
    const ssize_t sent =
        ::send(session.socket.get(), session.out.data(), session.out.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      session.broken |= sent < 0 && errno != EAGAIN && errno != EINTR;
      break;
    }
    session.out.erase(0, static_cast<std::size_t>(sent));
  }
  const bool listening = session.out.size() < kUnreadReplies;
  loop_.set_events(
      session.socket.get(),
      static_cast<short>((session.out.empty() ? 0 : POLLOUT) | (listening ? POLLIN : 0)));
}

void SeamServer::broadcast(const std::string& what, const std::string& detail) {
  seam::Reply reply;
  reply.mutable_event()->set_what(what);
  reply.mutable_event()->set_detail(detail);
  reply.mutable_event()->set_realtime_ns(realtime_ns());
  for (Session& session : sessions_) {
    if (session.greeted && session.out.size() < kUnreadReplies) {
      send(session, reply);
    }
  }
}

void SeamServer::close_late_greeters() {
  const auto limit = PollLoop::Clock::now() - kHelloLimit;
  for (auto session = sessions_.begin(); session != sessions_.end();) {
    session->broken |= !session->greeted && session->opened < limit;
    close_if_done(session++);
  }
}

void SeamServer::close_if_done(Sessions::iterator session) {
  if (session->broken || (session->closing && session->out.empty())) {
    loop_.forget(session->socket.get());
    const bool wrote = session->epoch != 0;
    sessions_.erase(session);
    if (wrote && writer_gone_) {
      writer_gone_();
    }
  }
}

}  // namespace holdfast::dataplane
