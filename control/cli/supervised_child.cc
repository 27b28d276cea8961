// SPDX-License-Identifier: Apache-2.0
#include "control/cli/supervised_child.h"

#include "control/cli/child_lock.h"
#include "control/cli/pidfd.h"
#include "control/cli/spawn.h"
#include "control/cli/supervisor_log.h"

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

constexpr std::chrono::milliseconds kPrepareLimit{10'000};

// Usage, invalid configuration, refused (another instance), environment: trying again would only
// repeat the message.
constexpr std::array kFinalCodes = {2, 3, 5, kLacksSomething};

bool is_final(int code) { return std::ranges::find(kFinalCodes, code) != kFinalCodes.end(); }

std::string describe(std::optional<int> status) {
  if (!status) {
    return "status=unknown";
  }
  if (WIFSIGNALED(*status)) {
    return std::string("signal=") + ::strsignal(WTERMSIG(*status)) +
           (WCOREDUMP(*status) ? " core=yes" : " core=no");
  }
  return "exit_code=" + std::to_string(WEXITSTATUS(*status));
}

// The exit status of a child that must end within the limit; it is killed otherwise.
int wait_for(pid_t pid, std::chrono::milliseconds limit) {
  const FileDescriptor pidfd(::pidfd_open(pid, 0));
  pollfd ended{pidfd.get(), POLLIN, 0};
  if (::poll(&ended, 1, static_cast<int>(limit.count())) != 1) {
    ::kill(-pid, SIGKILL);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

}  // namespace

SupervisedChild::SupervisedChild(ChildPlan plan, const std::string& run_directory)
    : plan_(std::move(plan)), lock_path_(run_directory + "/" + plan_.name + ".lock") {}

void SupervisedChild::run(pid_t pid, FileDescriptor pidfd, Time now) {
  state_ = State::kRunning;
  pid_ = pid;
  pidfd_ = std::move(pidfd);
  since_ = now;
}

void SupervisedChild::wait(Time now, std::chrono::milliseconds uptime) {
  state_ = State::kWaiting;
  due_ = now + backoff_.after(uptime);
  pidfd_.reset();
}

// Nothing, or the exit code with which the first start failed for good.
std::optional<int> SupervisedChild::run_prepare() const {
  if (plan_.prepare.empty()) {
    return std::nullopt;
  }
  const auto pid = spawn(plan_.prepare, -1);
  if (!pid) {
    log_event("cannot_prepare", plan_.name, pid.error());
    return starts_ == 0 ? std::optional(kLacksSomething) : std::nullopt;
  }
  const int status = wait_for(*pid, kPrepareLimit);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    return std::nullopt;
  }
  const bool older = ::access(plan_.prepared_file.c_str(), R_OK) == 0;
  log_event(older ? "prepared_file_is_older" : "cannot_prepare", plan_.name, describe(status));
  const bool final = WIFEXITED(status) && is_final(WEXITSTATUS(status));
  return !older && final && starts_ == 0 ? std::optional(WEXITSTATUS(status)) : std::nullopt;
}

bool SupervisedChild::adopt(Time now) {
  auto taken = ChildLock::take(lock_path_);
  auto* holder = taken ? std::get_if<Holder>(&*taken) : nullptr;
  if (holder == nullptr) {
    return false;
  }
  const pid_t pid = holder->pid;
  run(pid, std::move(holder->pidfd), now);
  log_event("adopted", plan_.name, "pid=" + std::to_string(pid));
  return true;
}

std::optional<int> SupervisedChild::start(Time now) {
  auto taken = ChildLock::take(lock_path_);
  if (!taken) {
    log_event("cannot_lock", plan_.name, taken.error());
    wait(now, {});
    return std::nullopt;
  }
  if (auto* holder = std::get_if<Holder>(&*taken)) {
    const pid_t pid = holder->pid;
    run(pid, std::move(holder->pidfd), now);
    log_event("adopted", plan_.name, "pid=" + std::to_string(pid));
    return std::nullopt;
  }
  if (const auto code = run_prepare()) {
    return code;
  }
  const auto& lock = std::get<ChildLock>(*taken);
  const auto pid = spawn(plan_.command, lock.descriptor());
  if (!pid) {
    log_event("cannot_start", plan_.name, pid.error());
    wait(now, {});
    return starts_ == 0 ? std::optional(kLacksSomething) : std::nullopt;
  }
  ++starts_;
  run(*pid, FileDescriptor(), now);
  if (!lock.name(*pid)) {
    log_event("cannot_write_lock", plan_.name, "path=" + lock_path_);
  }
  log_event("started", plan_.name, "pid=" + std::to_string(*pid));
  return std::nullopt;
}

std::optional<int> SupervisedChild::ended(std::optional<int> wait_status, Time now) {
  const auto uptime = std::chrono::duration_cast<std::chrono::milliseconds>(now - since_);
  log_event("ended",
            plan_.name,
            "pid=" + std::to_string(pid_) + " " + describe(wait_status) +
                " uptime_ms=" + std::to_string(uptime.count()));
  const bool final = wait_status && WIFEXITED(*wait_status) && is_final(WEXITSTATUS(*wait_status));
  wait(now, uptime);
  if (final && starts_ == 1 && uptime < Backoff::kForgiven) {
    return WEXITSTATUS(*wait_status);
  }
  return std::nullopt;
}

void SupervisedChild::signal(int number) const {
  if (pidfd_.valid()) {
    ::pidfd_send_signal(pidfd_.get(), number, nullptr, 0);
  } else {
    ::kill(pid_, number);  // our own child: its pid is not used again before we reap it
  }
}

void SupervisedChild::signal_group(int number) const {
  signal(number);
  ::kill(-pid_, number);
}

}  // namespace holdfast::control
