// SPDX-License-Identifier: Apache-2.0
// Owned coroutines on the control thread: what is spawned here can be counted and waited for, so
// that nothing runs past its owner. And a condition that coroutines wait on until somebody says
// that something changed; waiters check again themselves. One thread only.
#pragma once

#include <cstddef>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

namespace holdfast::control {

class Condition {
 public:
  explicit Condition(const boost::asio::any_io_executor& executor);
  // Returns after the next notify(), or earlier by chance.
  boost::asio::awaitable<void> wait();
  void notify() { timer_.cancel(); }

 private:
  boost::asio::steady_timer timer_;  // never expires; cancelling it wakes all waiters
};

class Tasks {
 public:
  explicit Tasks(boost::asio::any_io_executor executor);
  // Runs the coroutine; an exception that leaves it ends the process, as nothing could handle it.
  void spawn(boost::asio::awaitable<void> task);
  // Returns when no task runs any more. Requires: not called from one of them.
  boost::asio::awaitable<void> join();
  [[nodiscard]] std::size_t running() const { return running_; }
  [[nodiscard]] const boost::asio::any_io_executor& executor() const { return executor_; }

 private:
  boost::asio::any_io_executor executor_;
  Condition ended_;
  std::size_t running_ = 0;
};

}  // namespace holdfast::control
