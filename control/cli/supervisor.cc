// SPDX-License-Identifier: Apache-2.0
#include "control/cli/supervisor.h"

#include "control/cli/child_lock.h"
#include "control/cli/supervisor_log.h"
#include "control/publish/durable_file.h"

#include <algorithm>
#include <ranges>
#include <utility>
#include <variant>

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

constexpr int kRefused = 5;

}  // namespace

Supervisor::Supervisor(SupervisorPlan plan) : plan_(std::move(plan)) {
  for (const ChildPlan& child : plan_.children) {
    children_.emplace_back(child, plan_.run_directory);
  }
}

std::expected<void, std::string> Supervisor::take_run_directory() {
  if (auto made = make_directory(plan_.run_directory); !made) {
    return std::unexpected("cannot make the directory " + made.error() +
                           ": give another one with --run-directory");
  }
  auto taken = ChildLock::take(plan_.run_directory + "/supervisor.lock");
  if (!taken) {
    return std::unexpected(taken.error());
  }
  if (const auto* holder = std::get_if<Holder>(&*taken)) {
    return std::unexpected("another holdfast run (pid " + std::to_string(holder->pid) +
                           ") has the run directory " + plan_.run_directory +
                           ": stop it, or give this one another --run-directory");
  }
  auto& lock = std::get<ChildLock>(*taken);
  lock.name(::getpid());
  lock_ = std::move(lock).release();
  return {};
}

bool Supervisor::block_signals() {
  sigset_t handled;
  ::sigemptyset(&handled);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGPIPE}) {
    ::sigaddset(&handled, number);
  }
  ::sigprocmask(SIG_BLOCK, &handled, nullptr);
  signals_.reset(::signalfd(-1, &handled, SFD_NONBLOCK | SFD_CLOEXEC));
  return signals_.valid();
}

int Supervisor::run() {
  if (const auto taken = take_run_directory(); !taken) {
    log_event("cannot_run", "", taken.error());
    return kRefused;
  }
  if (!block_signals()) {
    log_event("cannot_run", "", "no signalfd");
    return kLacksSomething;
  }
  while (!exit_code_ || next_to_stop() != nullptr) {
    const Time now = std::chrono::steady_clock::now();
    start_due(now);
    advance_stop(now);
    wait_for_event(now);
    take_signals();
    reap(std::chrono::steady_clock::now());
  }
  log_event("ends", "", "exit_code=" + std::to_string(*exit_code_));
  return *exit_code_;
}

void Supervisor::start_due(Time now) {
  for (SupervisedChild& child : children_) {
    if (exit_code_ || child.state() != SupervisedChild::State::kWaiting || child.due() > now) {
      continue;
    }
    if (const auto code = child.start(now)) {
      leave_adopted_ = true;
      begin_stop(*code);
    }
  }
}

void Supervisor::wait_for_event(Time now) const {
  std::vector<pollfd> events = {{signals_.get(), POLLIN, 0}};
  std::optional<Time> deadline;
  if (stopping_ != nullptr) {
    deadline = stop_deadline_;
  }
  for (const SupervisedChild& child : children_) {
    if (child.adopted()) {
      events.push_back({child.pidfd(), POLLIN, 0});
    }
    if (!exit_code_ && child.state() == SupervisedChild::State::kWaiting) {
      deadline = std::min(deadline.value_or(child.due()), child.due());
    }
  }
  int limit = exit_code_ && stopping_ == nullptr ? 0 : -1;
  if (deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - now);
    limit = static_cast<int>(std::max(left, std::chrono::milliseconds(0)).count());
  }
  ::poll(events.data(), events.size(), limit);
}

void Supervisor::take_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
      log_event("stopping", "", "");
      leave_adopted_ = false;
      begin_stop(exit_code_.value_or(0));
    } else if (info.ssi_signo == SIGHUP) {
      const auto child = std::ranges::find(children_, plan_.reloaded, &SupervisedChild::name);
      const bool running =
          child != children_.end() && child->state() == SupervisedChild::State::kRunning;
      log_event(running ? "reload" : "nothing_to_reload", plan_.reloaded, "");
      if (running) {
        child->signal(SIGHUP);
      }
    }
  }
}

// Every child that ended, also those that were left to us as the first process of a container.
void Supervisor::reap(Time now) {
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    for (SupervisedChild& child : children_) {
      const bool running = child.state() == SupervisedChild::State::kRunning;
      if (running && !child.adopted() && child.pid() == pid) {
        ended(child, status, now);
      }
    }
  }
  for (SupervisedChild& child : children_) {
    pollfd adopted{child.pidfd(), POLLIN, 0};
    if (child.adopted() && ::poll(&adopted, 1, 0) == 1) {
      ended(child, std::nullopt, now);
    }
  }
}

void Supervisor::ended(SupervisedChild& child, std::optional<int> status, Time now) {
  const auto code = child.ended(status, now);
  if (stopping_ == &child) {
    stopping_ = nullptr;
  }
  if (exit_code_) {
    give_up(child, now);
  } else if (code) {
    leave_adopted_ = true;
    begin_stop(*code);
  }
}

void Supervisor::begin_stop(int exit_code) {
  exit_code_ = exit_code;
  for (SupervisedChild& child : children_) {
    if (child.state() == SupervisedChild::State::kWaiting) {
      give_up(child, std::chrono::steady_clock::now());
    }
  }
}

// What has taken over from a child that just ended is to be stopped as well.
void Supervisor::give_up(SupervisedChild& child, Time now) {
  if (!child.adopt(now)) {
    child.give_up();
  }
}

SupervisedChild* Supervisor::next_to_stop() {
  for (SupervisedChild& child : std::views::reverse(children_)) {
    const bool running = child.state() == SupervisedChild::State::kRunning;
    if (running && !(leave_adopted_ && child.adopted())) {
      return &child;
    }
  }
  return nullptr;
}

void Supervisor::advance_stop(Time now) {
  SupervisedChild* next = exit_code_ ? next_to_stop() : nullptr;
  if (next == nullptr) {
    return;
  }
  if (stopping_ != next) {
    stopping_ = next;
    stop_deadline_ = now + plan_.stop_limit;
    next->signal(SIGTERM);
  } else if (now >= stop_deadline_) {
    log_event("killed", next->name(), "it did not end after SIGTERM");
    stop_deadline_ = now + plan_.stop_limit;
    next->signal_group(SIGKILL);
  }
}

}  // namespace holdfast::control
