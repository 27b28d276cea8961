// SPDX-License-Identifier: Apache-2.0
// A dataplane that answers one connection on a Unix socket by a script, on a thread of its own,
// then ends. Requires: somebody connects.
#pragma once

#include "control/admin/listener.h"
#include "dataplane.pb.h"
#include "dataplane/api/framing.h"

#include <array>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include <poll.h>
#include <sys/socket.h>

namespace holdfast::control {

class ScriptedDataplane {
 public:
  // Fills the reply to the request.
  using Script = std::function<void(const seam::Request&, seam::Reply&)>;

  ScriptedDataplane(const std::string& path, Script script)
      : script_(std::move(script)),
        listener_(std::move(*UnixListener::open(path))),
        thread_([this] { serve(); }) {}
  ~ScriptedDataplane() { thread_.join(); }
  ScriptedDataplane(const ScriptedDataplane&) = delete;
  ScriptedDataplane& operator=(const ScriptedDataplane&) = delete;

 private:
  void serve() const {
    pollfd ready{listener_.descriptor(), POLLIN, 0};
    ::poll(&ready, 1, 10'000);
    const FileDescriptor connection(::accept(listener_.descriptor(), nullptr, nullptr));
    seam::FrameDecoder decoder;
    std::array<char, 4096> piece;
    for (ssize_t got = 0; (got = ::recv(connection.get(), piece.data(), piece.size(), 0)) > 0;) {
      decoder.feed({piece.data(), static_cast<std::size_t>(got)});
      for (auto next = decoder.next(); next && *next; next = decoder.next()) {
        seam::Request request;
        request.ParseFromString(**next);
        seam::Reply reply;
        reply.set_id(request.id());
        script_(request, reply);
        const std::string bytes = *seam::frame(reply);
        ::send(connection.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      }
    }
  }

  Script script_;
  UnixListener listener_;
  std::thread thread_;
};

}  // namespace holdfast::control
