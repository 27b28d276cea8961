// SPDX-License-Identifier: Apache-2.0
// See notify.h. The watchdog's coroutine shares its timer, so that it may end after the notifier.
#include "control/admin/notify.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <systemd/sd-daemon.h>

namespace holdfast::control {

namespace asio = boost::asio;

struct Notifier::Watchdog {
  explicit Watchdog(const asio::any_io_executor& executor) : timer(executor) {}
  static asio::awaitable<void> beat(std::shared_ptr<Watchdog> self,
                                    std::chrono::microseconds every);

  asio::steady_timer timer;
  bool stopped = false;
};

asio::awaitable<void> Notifier::Watchdog::beat(std::shared_ptr<Watchdog> self,
                                               std::chrono::microseconds every) {
  while (!self->stopped) {
    ::sd_notify(0, "WATCHDOG=1");
    self->timer.expires_after(every);
    boost::system::error_code ignored;
    co_await self->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

Notifier::Notifier(asio::any_io_executor executor)
    : watchdog_(std::make_shared<Watchdog>(std::move(executor))) {}

Notifier::~Notifier() {
  watchdog_->stopped = true;
  watchdog_->timer.cancel();
}

void Notifier::ready(std::string_view status_line) {
  std::string line(status_line);
  std::ranges::replace(line, '\n', ' ');  // a new line would begin another variable
  ::sd_notify(0, ("READY=1\nSTATUS=" + line).c_str());
}

void Notifier::reloading() {
  // The same clock as systemd's: CLOCK_MONOTONIC, which steady_clock is.
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  ::sd_notify(0, ("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(microseconds)).c_str());
}

void Notifier::stopping() { ::sd_notify(0, "STOPPING=1"); }

void Notifier::start_watchdog() {
  std::uint64_t limit = 0;
  if (::sd_watchdog_enabled(0, &limit) > 0) {
    asio::co_spawn(watchdog_->timer.get_executor(),
                   Watchdog::beat(watchdog_, std::chrono::microseconds(limit / 2)),
                   asio::detached);
  }
}

}  // namespace holdfast::control
