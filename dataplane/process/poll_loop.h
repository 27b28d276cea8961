// SPDX-License-Identifier: Apache-2.0
// The main thread's event loop: descriptors and periodic tasks, by poll(2). A dozen descriptors and
// tens of events a second; nothing here is on the packet path. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

namespace holdfast::dataplane {

class PollLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using Handler = std::function<void(short events)>;
  using Task = std::function<void()>;

  // Calls `handler` when one of `events` (poll(2)) is there. Watching again replaces the handler.
  void watch(int descriptor, short events, Handler handler);
  void set_events(int descriptor, short events);
  // Handlers may forget any descriptor, their own included.
  void forget(int descriptor);
  // Calls `task` about every `interval`, the first time after one interval.
  void every(std::chrono::milliseconds interval, Task task);

  void run();
  void stop() { stopped_ = true; }

 private:
  struct Watch {
    short events = 0;
    std::uint64_t id = 0;  // tells a reused descriptor from the one that was ready
    Handler handler;
  };
  struct Timer {
    std::chrono::milliseconds interval;
    Clock::time_point due;
    Task task;
  };
  void wait_and_handle();
  [[nodiscard]] int timeout_ms() const;
  void run_timers();

  std::map<int, Watch> watches_;
  std::vector<Timer> timers_;
  std::uint64_t last_id_ = 0;
  bool stopped_ = false;
};

}  // namespace holdfast::dataplane
