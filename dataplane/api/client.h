// SPDX-License-Identifier: Apache-2.0
// A small blocking client of the seam: connect, say hello, one request at a time, each under a
// deadline. Used by the CLI when control does not answer (read-only) and by tests; control itself
// uses its own asynchronous one. Not thread safe. Reads the dataplane's Unix stream socket.
#pragma once

#include "dataplane.pb.h"
#include "dataplane/api/framing.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <expected>
#include <string>

namespace holdfast::seam {

class Client {
 public:
  // Connects to `path` and exchanges hellos. `writer_epoch` 0 asks for read-only access.
  static std::expected<Client, std::string> connect(const std::string& path,
                                                    std::uint64_t writer_epoch,
                                                    std::chrono::milliseconds limit);
  Client(Client&& other) noexcept;
  Client& operator=(Client&& other) noexcept;
  ~Client();

  [[nodiscard]] const HelloReply& hello() const { return hello_; }

  // Sends the request and waits for its reply; its id is set here. An Error reply and a broken
  // stream both come back as text; after the latter every further call fails.
  std::expected<Reply, std::string> call(Request request, std::chrono::milliseconds limit);

  // Events that came beside replies, oldest first; at most the newest 1024 are kept.
  [[nodiscard]] std::deque<Event>& events() { return events_; }

 private:
  using Deadline = std::chrono::steady_clock::time_point;
  explicit Client(int descriptor) : descriptor_(descriptor) {}
  std::expected<void, std::string> send_all(std::string_view bytes, Deadline deadline);
  std::expected<Reply, std::string> receive(Deadline deadline);
  void close();

  int descriptor_ = -1;
  std::uint64_t last_id_ = 0;
  FrameDecoder decoder_;
  HelloReply hello_;
  std::deque<Event> events_;
};

// True when there is no socket at `path`, or one on which nobody listens. False whenever somebody
// may: also without the right to ask, and when a server has too many to answer.
bool nobody_listens(const std::string& path);

}  // namespace holdfast::seam
