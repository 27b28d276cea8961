// SPDX-License-Identifier: Apache-2.0
// The predecessor's side of a handover (predecessor.h tells the whole): listens for a successor,
// gives it what cannot be had twice, stops the workers for it, and either ends at once or goes on.
// One successor at a time, a process of root or of this user; it is known by its pidfd, so that
// whoever is ended for being late is that process and no other. Main thread, on the poll loop.
#pragma once

#include "dataplane/process/descriptor.h"
#include "dataplane/process/failure.h"
#include "dataplane/process/handover_channel.h"
#include "dataplane/process/poll_loop.h"

#include <cstdint>
#include <functional>
#include <string>

namespace holdfast::dataplane {

class Handover {
 public:
  struct Owner {
    // Why this process cannot hand over; empty: it can.
    std::function<std::string()> objection;
    // What it has that cannot be had twice; -1: nothing of that kind.
    std::function<std::array<int, kHandedOverCount>()> offer;
    std::function<void()> stop;    // the workers, before the tables are another's
    std::function<void()> resume;  // they are ours again
    std::function<void()> leave;   // ends the process at once, and takes nothing away
  };

  // Listens at handover_path(socket). Needs to write to its directory: before privileges are
  // dropped.
  static Result<Descriptor> listen(const std::string& socket);

  // `listener` as by listen(). Requires: `loop` outlives it.
  Handover(PollLoop& loop, Descriptor listener, std::uint64_t startup_id, Owner owner);

 private:
  void greet();
  void hear();
  void answer(const HandoverMessage& message);
  void hand_over();
  // True: it is gone, so that nobody else writes to the tables.
  [[nodiscard]] bool end_successor() const;
  void drop_successor(const std::string& why);
  void watch_time();

  PollLoop& loop_;
  Descriptor listener_;
  std::uint64_t startup_id_;
  Owner owner_;
  HandoverChannel successor_;  // not open: there is none
  Descriptor process_;         // its pidfd
  bool offered_ = false;
  PollLoop::Clock::time_point since_;
};

}  // namespace holdfast::dataplane
