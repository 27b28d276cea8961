// SPDX-License-Identifier: Apache-2.0
// See route_keeper.h.
#include "control/publish/route_keeper.h"

#include <utility>
#include <vector>

namespace holdfast::control {

namespace asio = boost::asio;

RouteKeeper::RouteKeeper(Forwarder& forwarder, Tasks& tasks, Report report)
    : forwarder_(forwarder), tasks_(tasks), report_(std::move(report)) {}

void RouteKeeper::want(Vips vips) {
  wanted_ = std::move(vips);
  if (!sending_ && told_ != wanted_ && forwarder_.connected()) {
    sending_ = true;
    tasks_.spawn(loop());
  }
}

void RouteKeeper::tell_again() {
  told_.reset();
  ++epoch_;
}

asio::awaitable<void> RouteKeeper::loop() {
  std::size_t told = reported_;
  while (told_ != wanted_ && forwarder_.connected()) {
    const Vips sent = wanted_;
    const std::uint64_t epoch = epoch_;
    std::vector<dataplane::VipPrefix> vips(sent.begin(), sent.end());
    const auto done = co_await forwarder_.set_routes(std::move(vips));
    failure_ = done ? "" : done.error();
    if (!done) {
      break;
    }
    if (epoch == epoch_) {
      told_ = sent;
    }
    told = sent.size();
  }
  sending_ = false;
  report_(told, std::exchange(reported_, told));
}

}  // namespace holdfast::control
