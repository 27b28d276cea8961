// SPDX-License-Identifier: Apache-2.0
// See tasks.h.
#include "control/publish/tasks.h"

#include <exception>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace holdfast::control {

namespace asio = boost::asio;

Condition::Condition(const asio::any_io_executor& executor)
    : timer_(executor, asio::steady_timer::time_point::max()) {}

asio::awaitable<void> Condition::wait() {
  boost::system::error_code cancelled;
  co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
}

Tasks::Tasks(asio::any_io_executor executor) : executor_(std::move(executor)), ended_(executor_) {}

void Tasks::spawn(asio::awaitable<void> task) {
  ++running_;
  asio::co_spawn(executor_, std::move(task), [this](const std::exception_ptr& failure) {
    if (failure) {
      std::rethrow_exception(failure);
    }
    if (--running_ == 0) {
      ended_.notify();
    }
  });
}

asio::awaitable<void> Tasks::join() {
  while (running_ > 0) {
    co_await ended_.wait();
  }
}

}  // namespace holdfast::control
