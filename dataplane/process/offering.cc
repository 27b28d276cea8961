// SPDX-License-Identifier: Apache-2.0
// What the main thread does about the VIPs that this node offers to others (main_loop.h): routes to
// them as long as frames are forwarded, and, of a pair, which node speaks for them.
#include "dataplane/process/clock.h"
#include "dataplane/process/log.h"
#include "dataplane/process/main_loop.h"

#include <set>
#include <string>

#include <fmt/format.h>

namespace holdfast::dataplane {
namespace {

// A takeover is announced twice: the first frames may be lost while a switch learns.
constexpr std::uint64_t kAnnounceAgainNs = 1'000'000'000;

}  // namespace

// A new process is what the killed one was told to be. One that is alone always speaks.
void MainLoop::begin_role() {
  const Role start = options_.startup.role;
  const Role before = publisher_->role();
  const bool told = start != Role::kAlone && before != Role::kAlone;
  publisher_->set_role(told ? before : start);
  announcer_.speak(publisher_->role() != Role::kStandby);
  if (start != Role::kAlone) {
    log_line(
        LogLevel::kInfo,
        "role",
        fmt::format("{}, {}", role_name(publisher_->role()), told ? "as before" : "to begin with"));
  }
}

// What was said once more is done already; announcements are not repeated for it.
void MainLoop::take_role(Role role) {
  if (role == publisher_->role()) {
    return;
  }
  publisher_->set_role(role);
  offer_routes();
  announcer_.speak(role != Role::kStandby);
  announce_again_ns_ = role == Role::kStandby ? 0 : monotonic_ns() + kAnnounceAgainNs;
  log_line(LogLevel::kInfo, "role", std::string(role_name(role)));
  server_->broadcast("role", std::string(role_name(role)));
}

// As control last said, restarts included; none before the workers run, while one of them is stuck,
// or on the standby of a pair.
void MainLoop::offer_routes() {
  if (!routes_) {
    return;
  }
  const std::size_t before = routes_->size();
  const bool forwards = !threads_.empty() && !stuck_ && publisher_->role() != Role::kStandby;
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
