// SPDX-License-Identifier: Apache-2.0
// Keeps the dataplane told which VIPs are to have a route: the newest word, one message at a time,
// the whole set each time. Control thread only.
#pragma once

#include "control/publish/forwarder.h"
#include "control/publish/tasks.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include <boost/asio/awaitable.hpp>

namespace holdfast::control {

class RouteKeeper {
 public:
  using Vips = std::set<dataplane::VipPrefix>;
  // Told when it is no longer busy: how many the dataplane was told, and the time before.
  using Report = std::function<void(std::size_t now, std::size_t before)>;

  // Requires: `forwarder` and `tasks` outlive it; `tasks` is joined before it goes.
  RouteKeeper(Forwarder& forwarder, Tasks& tasks, Report report);

  // Sends these, unless the dataplane has been told so already. What failed is sent again with the
  // next call.
  void want(Vips vips);
  // What was told counts no longer: the dataplane is another one, or its VIPs are.
  void tell_again();
  // What is wanted is on its way.
  [[nodiscard]] bool busy() const { return sending_; }
  // Why the dataplane did not take the last ones; empty: it did.
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  boost::asio::awaitable<void> loop();

  Forwarder& forwarder_;
  Tasks& tasks_;
  Report report_;
  Vips wanted_;
  std::optional<Vips> told_;
  std::size_t reported_ = 0;
  std::uint64_t epoch_ = 0;  // of what can be told
  bool sending_ = false;
  std::string failure_;
};

}  // namespace holdfast::control
