// SPDX-License-Identifier: Apache-2.0
// `holdfast run`: keeps the dataplane and control running where no systemd does (labs, containers).
// It parses nothing and opens no socket. Neither child dies with it: a supervisor that is started
// again finds its children by their lock files and goes on watching them.
//
//   SIGTERM, SIGINT  stops the children, the last started first, then ends with 0
//   SIGHUP           goes on to one child (control: a reload)
//   SIGKILL          leaves the children running
#pragma once

#include "control/admin/file_descriptor.h"
#include "control/cli/supervised_child.h"

#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <vector>

namespace holdfast::control {

struct SupervisorPlan {
  std::string run_directory;
  std::vector<ChildPlan> children;               // in the order of their start
  std::string reloaded;                          // name of the child that gets SIGHUP
  std::chrono::milliseconds stop_limit{10'000};  // per child, from SIGTERM to SIGKILL
};

class Supervisor {
 public:
  explicit Supervisor(SupervisorPlan plan);

  // Returns the exit code: 0 after a signal; 5 when another supervisor has the run directory; a
  // child's 2, 3, 5 or 77 when its first start failed for good. Requires: called once, on a thread
  // that no other one takes signals from.
  int run();

 private:
  using Time = SupervisedChild::Time;

  std::expected<void, std::string> take_run_directory();
  bool block_signals();
  void start_due(Time now);
  void wait_for_event(Time now) const;
  void take_signals();
  void reap(Time now);
  void ended(SupervisedChild& child, std::optional<int> status, Time now);
  void begin_stop(int exit_code);
  static void give_up(SupervisedChild& child, Time now);
  void advance_stop(Time now);
  [[nodiscard]] SupervisedChild* next_to_stop();

  SupervisorPlan plan_;
  std::vector<SupervisedChild> children_;
  FileDescriptor lock_;
  FileDescriptor signals_;
  std::optional<int> exit_code_;         // set: stopping
  bool leave_adopted_ = false;           // giving up stops only what this supervisor started
  SupervisedChild* stopping_ = nullptr;  // has been sent SIGTERM
  Time stop_deadline_{};
};

}  // namespace holdfast::control
