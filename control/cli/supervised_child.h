// SPDX-License-Identifier: Apache-2.0
// One child of the supervisor: started, or adopted when another supervisor's is still running, and
// started again with back-off when it ends. Called by Supervisor's loop on its one thread; blocking
// only while `prepare` runs (at most 10 s). Time is the caller's.
#pragma once

#include "control/admin/file_descriptor.h"
#include "control/cli/backoff.h"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace holdfast::control {

// Exit status: this machine lacks something.
inline constexpr int kLacksSomething = 77;

struct ChildPlan {
  std::string name;                  // its lock file is <run directory>/<name>.lock
  std::vector<std::string> command;  // the program's path, then its arguments
  std::vector<std::string> prepare;  // runs to its end before each start; empty: nothing
  std::string prepared_file;         // what `prepare` makes: when it fails, an older one will do
};

class SupervisedChild {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class State : std::uint8_t { kWaiting, kRunning, kStopped };

  SupervisedChild(ChildPlan plan, const std::string& run_directory);

  [[nodiscard]] const std::string& name() const { return plan_.name; }
  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool adopted() const { return state_ == State::kRunning && pidfd_.valid(); }
  // Requires: kWaiting. When start() is to be called.
  [[nodiscard]] Time due() const { return due_; }
  // Requires: kRunning.
  [[nodiscard]] pid_t pid() const { return pid_; }
  // Readable when an adopted child has ended; -1 for one of our own.
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }

  // Both return the exit code with which the supervisor must give up: the first start failed for a
  // reason that trying again cannot mend. Otherwise the child runs, or waits for its next start.
  std::optional<int> start(Time now);
  // `wait_status` as by waitpid(); nullopt for an adopted child, whose status nobody learns.
  std::optional<int> ended(std::optional<int> wait_status, Time now);

  // Requires: kWaiting. True: a child runs that we did not start, another supervisor's or a
  // successor of ours (`holdfast upgrade`).
  bool adopt(Time now);

  // Requires: kRunning. To the child alone, or to its whole process group.
  void signal(int number) const;
  void signal_group(int number) const;
  // Not to be started again. Requires: not kRunning.
  void give_up() { state_ = State::kStopped; }

 private:
  std::optional<int> run_prepare() const;
  void run(pid_t pid, FileDescriptor pidfd, Time now);
  void wait(Time now, std::chrono::milliseconds uptime);

  ChildPlan plan_;
  std::string lock_path_;
  State state_ = State::kWaiting;
  Backoff backoff_;
  Time due_{};
  Time since_{};
  pid_t pid_ = 0;
  FileDescriptor pidfd_;  // of an adopted child only
  int starts_ = 0;        // of our own, since the supervisor began
};

}  // namespace holdfast::control
