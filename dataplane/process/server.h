// SPDX-License-Identifier: Apache-2.0
// The seam's server: sessions on the writer's and the readers' socket, framing, hello and the
// writer's epoch; what requests mean is the handler's (requests.h). Main thread, on the poll loop.
//
// Peers may be hostile: messages are bounded by the framing, sessions by number, the time to a
// hello by a deadline, and a peer that does not read its replies is not read from. When all
// sessions are taken, the oldest that is not the writer's gives way, so nobody can lock control
// out.
#pragma once

#include "dataplane.pb.h"
#include "dataplane/api/framing.h"
#include "dataplane/process/descriptor.h"
#include "dataplane/process/poll_loop.h"
#include "dataplane/process/seam_socket.h"

#include <cstdint>
#include <functional>
#include <list>
#include <string>

namespace holdfast::dataplane {

enum class Access : std::uint8_t { kRead, kWrite };

class SeamServer {
 public:
  // Fills in the reply's body; its id is the server's. Hello comes here once it is accepted.
  using Handler = std::function<void(const seam::Request&, Access, seam::Reply&)>;

  SeamServer(PollLoop& loop, SeamSockets sockets, Handler handler);
  ~SeamServer();

  // Told when a writer's session has ended.
  void set_writer_gone(std::function<void()> call) { writer_gone_ = std::move(call); }

  // To every session that has said hello and reads its replies.
  void broadcast(const std::string& what, const std::string& detail);
  void unlink_sockets() const { unlink_seam_sockets(sockets_.path); }
  [[nodiscard]] const SeamSockets& sockets() const { return sockets_; }

 private:
  struct Session {
    Descriptor socket;
    Access most = Access::kRead;  // what its socket allows
    bool greeted = false;
    std::uint64_t epoch = 0;  // above 0: the writer, or once the writer
    PollLoop::Clock::time_point opened;
    seam::FrameDecoder decoder;
    std::string out;
    bool broken = false;
    bool closing = false;  // once `out` is sent
  };
  using Sessions = std::list<Session>;

  void accept_from(const Descriptor& listener, Access most);
  void make_room();
  void serve(Sessions::iterator session, short events);
  void read_from(Session& session);
  void handle_waiting(Session& session);
  void handle(Session& session, const std::string& message);
  void greet(Session& session, const seam::Request& request, seam::Reply& reply);
  void send(Session& session, const seam::Reply& reply);
  void flush(Session& session);
  void close_late_greeters();
  void close_if_done(Sessions::iterator session);

  PollLoop& loop_;
  SeamSockets sockets_;
  Handler handler_;
  std::function<void()> writer_gone_;
  Sessions sessions_;
  std::uint64_t highest_epoch_ = 0;
};

}  // namespace holdfast::dataplane
