// SPDX-License-Identifier: Apache-2.0
// Tells systemd how control is doing (sd_notify(3), Type=notify): ready, reloading, stopping, a
// status line, and the watchdog's keep-alive from the control thread, so that a hung thread is
// noticed. Without NOTIFY_SOCKET in the environment every call does nothing. Control thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/any_io_executor.hpp>

namespace holdfast::control {

class Notifier {
 public:
  explicit Notifier(boost::asio::any_io_executor executor);
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  // READY=1 with a status line: at start, and again at the end of each reload.
  void ready(std::string_view status_line);
  // RELOADING=1 with the monotonic time at which the reload began.
  void reloading();
  void stopping();
  // WATCHDOG=1 now and at half of WATCHDOG_USEC from then on, when systemd asked this process.
  void start_watchdog();

 private:
  struct Watchdog;
  std::shared_ptr<Watchdog> watchdog_;  // shared with the coroutine that beats it
};

}  // namespace holdfast::control
