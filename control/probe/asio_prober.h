// SPDX-License-Identifier: Apache-2.0
// Probes over real sockets: one coroutine per probe, whose deadline closes its socket (Asio 1.81
// has no cancel_after, and its `||` has a use-after-free). Ends connections by RST, so that ten
// thousand probes a second leave no TIME_WAIT behind. Control thread only.
#pragma once

#include "control/probe/prober.h"

#include <memory>
#include <unordered_map>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

namespace holdfast::control {

// What a socket error at `layer` says: of the target, or (layer local) of this host alone, such as
// no descriptor, no route, a link of our own that is down. Pure.
ProbeResult result_of_error(Layer layer, int error);

struct ProbeAttempt;

// Requires: destroyed after stop() returned, or when `context` runs no more.
class AsioProber final : public Prober {
 public:
  // Requires: `context` and `clock` outlive it.
  AsioProber(boost::asio::io_context& context, Clock& clock);
  AsioProber(const AsioProber&) = delete;
  AsioProber& operator=(const AsioProber&) = delete;
  ~AsioProber() override;

  void start(std::uint64_t id, CheckSpec check, Clock::TimePoint planned, Done done) override;
  void cancel(std::uint64_t id) override;

  // Ends every probe and returns when the last coroutine has ended.
  boost::asio::awaitable<void> stop();
  [[nodiscard]] std::size_t in_flight() const { return attempts_.size(); }

 private:
  void finish(std::uint64_t id, ProbeResult result);

  boost::asio::io_context& context_;
  Clock& clock_;
  boost::asio::steady_timer all_ended_;
  std::unordered_map<std::uint64_t, std::unique_ptr<ProbeAttempt>> attempts_;
};

}  // namespace holdfast::control
