// SPDX-License-Identifier: Apache-2.0
// See sleeper.h.
#include "dataplane/process/sleeper.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include <rte_pause.h>
#include <sys/socket.h>

namespace holdfast::dataplane {
namespace {

timespec to_timespec(std::uint32_t ns) { return {.tv_sec = 0, .tv_nsec = ns}; }

// So that it is told once: while an error stands, as that of a link which went down, the socket is
// always ready.
void take_error(int socket) {
  int error = 0;
  socklen_t size = sizeof(error);
  [[maybe_unused]] const int status = ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
}

}  // namespace

Sleeper::Sleeper(Waker& waker,
                 std::span<const PolledQueue> queues,
                 Quiescence& quiescence,
                 std::uint32_t index,
                 Idle idle,
                 Counter& woken)
    : waker_(waker), quiescence_(quiescence), index_(index), idle_(idle), woken_(woken) {
  polled_.push_back({.fd = waker.descriptor(), .events = POLLIN, .revents = 0});
  for (const PolledQueue& one : queues) {
    const int descriptor = one.port->wake_descriptor(one.queue);
    if (descriptor >= 0) {
      telling_.push_back(one);
      proven_.push_back(!one.port->wakes_by_interrupt());
      silent_ += proven_.back() ? 0U : 1U;
      polled_.push_back({.fd = descriptor, .events = POLLIN, .revents = 0});
    } else {
      ++silent_;
    }
  }
}

void Sleeper::rest() {
  empty_turns_ = std::min(empty_turns_ + 1, kTurnsUntilWait);
  const Rest rest = rest_after(empty_turns_, told());
  if (rest.kind == RestKind::kPoll) {
    return;
  }
  if (rest.kind == RestKind::kPause || idle_ == Idle::kPoll) {
    rte_pause();
    return;
  }
  const Armed needed = rest.kind == RestKind::kWait ? Armed::kAll : Armed::kWaker;
  if (armed_ < needed) {
    arm(needed);
    return;
  }
  quiescence_.offline(index_);
  sleep(rest);
  quiescence_.online(index_);
}

void Sleeper::arm(Armed what) {
  if (armed_ == Armed::kNothing) {
    waker_.arm();
  }
  if (what == Armed::kAll) {
    for (const PolledQueue& one : telling_) {
      one.port->arm(one.queue);
    }
  }
  armed_ = what;
}

void Sleeper::disarm() {
  waker_.disarm();
  if (armed_ == Armed::kAll) {
    for (std::size_t i = 0; i < telling_.size(); ++i) {
      // Most frames come between two short waits: their interrupt tells as much as one in a wait.
      if (telling_[i].port->disarm(telling_[i].queue)) {
        prove(i);
      }
    }
  }
  armed_ = Armed::kNothing;
}

void Sleeper::prove(std::size_t place) {
  if (!proven_[place]) {
    proven_[place] = true;
    --silent_;
  }
}

// A port that is ready though the turn after it brought nothing (no buffer is left) must not become
// a loop without sleep, nor a wait that fails.
void Sleeper::sleep(const Rest& rest) {
  const bool ask_ports = rest.kind == RestKind::kWait && !std::exchange(port_was_ready_, false);
  const timespec most =
      to_timespec(ask_ports ? rest.most_ns : std::min(rest.most_ns, kLongestNapNs));
  const nfds_t count = ask_ports ? polled_.size() : 1;
  const int ready = ::ppoll(polled_.data(), count, &most, nullptr);
  if (ready < 0) {
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &most, nullptr);
  } else if (ready > 0) {
    port_was_ready_ = ask_ports && take_readiness();
    woken_.add(port_was_ready_ ? 1 : 0);
    disarm();
  }
}

bool Sleeper::take_readiness() {
  bool any = false;
  for (std::size_t i = 0; i < telling_.size(); ++i) {
    const pollfd& port = polled_[i + 1];
    any |= port.revents != 0;
    if (port.revents == POLLIN) {
      prove(i);
    }
    if ((port.revents & POLLERR) != 0) {
      take_error(port.fd);
    }
  }
  return any;
}

}  // namespace holdfast::dataplane
