// SPDX-License-Identifier: Apache-2.0
// What the main thread does about the VIPs that this node offers to others (main_loop.h): routes to
// them, as long as frames are forwarded.
#include "dataplane/process/log.h"
#include "dataplane/process/main_loop.h"

#include <set>

#include <fmt/format.h>

namespace holdfast::dataplane {

// As control last said, restarts included; none before the workers run, and none while one of them
// is stuck.
void MainLoop::offer_routes() {
  if (!routes_) {
    return;
  }
  const std::size_t before = routes_->size();
  const bool forwards = !threads_.empty() && !stuck_;
  [[maybe_unused]] const auto told =
      routes_->set(forwards ? publisher_->routed_vips() : std::set<VipPrefix>());
  if (routes_->size() != before) {
    log_line(LogLevel::kInfo,
             "routes.changed",
             fmt::format("{} VIPs have a route, {} had", routes_->size(), before));
  }
  note_routes_problem();
}

void MainLoop::note_routes_problem() {
  if (routes_->problem() == routes_notice_) {
    return;
  }
  routes_notice_ = routes_->problem();
  if (!routes_notice_.empty()) {
    log_line(LogLevel::kError, "routes.failed", routes_notice_);
  }
}

void MainLoop::mend_routes() {
  if (routes_->mend()) {
    constexpr const char* kText = "somebody removed routes to VIPs, or their device: put back";
    log_line(LogLevel::kNotice, "routes.lost", kText);
    server_->broadcast("routes_lost", kText);
  }
  note_routes_problem();
}

void MainLoop::withdraw_routes() {
  if (routes_) {
    [[maybe_unused]] const auto told = routes_->set({});
  }
}

}  // namespace holdfast::dataplane
