// SPDX-License-Identifier: Apache-2.0
// See poll_loop.h.
#include "dataplane/process/poll_loop.h"

#include <algorithm>
#include <utility>

#include <poll.h>

namespace holdfast::dataplane {

void PollLoop::watch(int descriptor, short events, Handler handler) {
  watches_[descriptor] = {.events = events, .id = ++last_id_, .handler = std::move(handler)};
}

void PollLoop::set_events(int descriptor, short events) {
  if (const auto found = watches_.find(descriptor); found != watches_.end()) {
    found->second.events = events;
  }
}

void PollLoop::forget(int descriptor) { watches_.erase(descriptor); }

void PollLoop::every(std::chrono::milliseconds interval, Task task) {
  timers_.push_back(
      {.interval = interval, .due = Clock::now() + interval, .task = std::move(task)});
}

void PollLoop::run() {
  while (!stopped_) {
    wait_and_handle();
    run_timers();
  }
}

int PollLoop::timeout_ms() const {
  const auto earliest = std::ranges::min_element(timers_, {}, &Timer::due);
  if (earliest == timers_.end()) {
    return 1000;
  }
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(earliest->due - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 1000));
}

void PollLoop::wait_and_handle() {
  std::vector<pollfd> polled;
  std::vector<std::uint64_t> ids;
  for (const auto& [descriptor, watch] : watches_) {
    polled.push_back({.fd = descriptor, .events = watch.events, .revents = 0});
    ids.push_back(watch.id);
  }
  if (::poll(polled.data(), polled.size(), timeout_ms()) <= 0) {
    return;
  }
  for (std::size_t i = 0; i < polled.size() && !stopped_; ++i) {
    const auto found = watches_.find(polled[i].fd);
    if (polled[i].revents != 0 && found != watches_.end() && found->second.id == ids[i]) {
      // A copy: the handler may forget its own descriptor.
      const Handler handler = found->second.handler;
      handler(polled[i].revents);
    }
  }
}

void PollLoop::run_timers() {
  const Clock::time_point now = Clock::now();
  for (Timer& timer : timers_) {
    if (now >= timer.due) {
      timer.due = now + timer.interval;
      timer.task();
    }
  }
}

}  // namespace holdfast::dataplane
