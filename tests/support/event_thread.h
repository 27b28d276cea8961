// SPDX-License-Identifier: Apache-2.0
// A thread that runs an io_context: the control thread of a test. run() does something on it and
// waits for the end.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace holdfast::testing {

class EventThread {
 public:
  EventThread()
      : work_(boost::asio::make_work_guard(context_)), thread_([this] { context_.run(); }) {}
  ~EventThread() {
    context_.stop();
    thread_.join();
  }
  EventThread(const EventThread&) = delete;
  EventThread& operator=(const EventThread&) = delete;

  boost::asio::io_context& context() { return context_; }

  // Does something on it and does not wait.
  void post(std::function<void()> function) { boost::asio::post(context_, std::move(function)); }

  template <typename Function>
  auto run(Function function) {
    auto task = std::make_shared<std::packaged_task<decltype(function())()>>(std::move(function));
    auto result = task->get_future();
    boost::asio::post(context_, [task] { (*task)(); });
    return result.get();
  }

 private:
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::thread thread_;
};

}  // namespace holdfast::testing
