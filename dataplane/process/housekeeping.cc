// SPDX-License-Identifier: Apache-2.0
// What the main thread does beside the workers (main_loop.h): follows netlink and the workers'
// notices, keeps neighbourhood, nft table and announcements in line with the generation, watches
// liveness.
#include "dataplane/process/clock.h"
#include "dataplane/process/lock.h"
#include "dataplane/process/log.h"
#include "dataplane/process/main_loop.h"
#include "dataplane/process/notify.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::uint64_t kRefreshEvery = 5 * kMillisecond;  // the first change goes at once
// Of each worker, at a time: as many as its ring holds. The rest waits for the next tick, so that
// workers that tell without end leave time for everything else.
constexpr int kNoticesPerTurn = 256;
// The firewall's restart is over by then, and VIPs lie bare no longer.
constexpr std::chrono::milliseconds kGuardEvery{500};
constexpr std::uint64_t kSilentIsSick = 1'000 * kMillisecond;
constexpr std::uint64_t kSilentIsDead = 5'000 * kMillisecond;

}  // namespace

void MainLoop::watch_everything() {
  loop_.watch(signals_.get(), POLLIN, [this](short) { loop_.stop(); });
  loop_.watch(wake_.get(), POLLIN, [this](short) {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto size = ::read(wake_.get(), &count, sizeof(count));
    take_worker_notices();
  });
  if (booted_.name.valid()) {
    loop_.watch(booted_.name.get(), POLLIN, [this](short) { dismiss_asker(booted_.name); });
  }
  if (mirror_) {
    loop_.watch(mirror_->descriptor(), POLLIN, [this](short) { take_netlink(); });
    loop_.every(std::chrono::seconds(1), [this] { resolve_next_hops(Ask::kMissing); });
    loop_.every(std::chrono::milliseconds(100), [this] {
      watch_links();
      if (mirror_->stale()) {
        take_netlink();
      }
    });
    loop_.every(kGuardEvery, [this] { watch_guard(); });
  }
  if (routes_) {
    loop_.every(std::chrono::milliseconds(10), [this] { routes_->discard(); });
    loop_.every(kGuardEvery, [this] { mend_routes(); });
  }
  loop_.every(std::chrono::milliseconds(10), [this] { tick(); });
  loop_.every(std::chrono::milliseconds(200), [this] { publisher_->settle(); });
  loop_.every(std::chrono::milliseconds(250), [this] { check_liveness(); });
  loop_.every(std::chrono::seconds(1), [this] { counters_->sample_busy(monotonic_ns()); });
  loop_.every(std::chrono::milliseconds(100), [this] { tend_bonds(); });
  loop_.every(std::chrono::milliseconds(100), [this] { end_drains(); });
}

std::vector<std::string> MainLoop::notices() const {
  std::vector<std::string> all = booted_.notices;
  for (const std::string& text :
       {persisted_notice_,
        nft_notice_,
        routes_notice_,
        publisher_->store_notice(),
        mirror_ ? mirror_->local_address_in(publisher_->spec()) : std::string(),
        log_lines_lost() == 0 ? std::string()
                              : fmt::format("{} log lines were lost", log_lines_lost())}) {
    if (!text.empty()) {
      all.push_back(text);
    }
  }
  return all;
}

void MainLoop::published() {
  protect_addresses();
  announcer_.generation_changed(publisher_->generation());
  offer_routes();
  note_members();
  if (mirror_) {
    resolve_next_hops(Ask::kMissing);
  }
}

void MainLoop::note_members() {
  std::vector<Address> addresses;
  for (const MemberForward& member : publisher_->generation().members()) {
    if (member.live) {
      addresses.push_back(member.address);
    }
  }
  surroundings_.members.assign(addresses);
}

// Keeps VIPs and pools from the kernel. What fails is tried again by a timer.
void MainLoop::protect_addresses() {
  const GenerationSpec& spec = publisher_->spec();
  if (spec.number == 0) {
    return;
  }
  const auto replaced = nft_.replace(spec);
  const std::string notice = replaced ? std::string() : replaced.error();
  if (notice != nft_notice_) {
    if (replaced) {
      log_line(LogLevel::kInfo, "nft.replaced", "VIPs and pools are kept from the kernel again");
    } else {
      log_line(LogLevel::kError, "nft.failed", notice);
    }
    nft_notice_ = notice;
  }
}

// Whatever restarts the machine's firewall may flush our table with it.
void MainLoop::watch_guard() {
  if (!nft_notice_.empty()) {
    protect_addresses();
  } else if (publisher_->spec().number != 0 && !nft_.in_force()) {
    counters_->count_guard_loss();
    constexpr const char* kText =
        "somebody removed or changed the nft table that keeps VIPs and pools from the kernel: it "
        "is put back";
    log_line(LogLevel::kNotice, "nft.lost", kText);
    server_->broadcast("nft_lost", kText);
    protect_addresses();
  }
}

void MainLoop::take_worker_notices() {
  for (const auto& worker : workers_) {
    for (int i = 0; i < kNoticesPerTurn; ++i) {
      const std::optional<Notice> notice = worker->notices.pop();
      if (!notice) {
        break;
      }
      if (notice->what == Notice::What::kRefusal) {
        tell_refusal(notice->member);
        continue;
      }
      if (!mirror_) {
        continue;
      }
      if (notice->what == Notice::What::kLearned) {
        mirror_->learn({.address = notice->address, .mac = notice->mac, .port = notice->port},
                       publisher_->neighborhood());
      } else {
        take_unresolved(notice->address);
      }
    }
  }
  refresh_neighborhood();
}

void MainLoop::tell_refusal(MemberId id) {
  const MemberRecord& record = publisher_->members().records()[id.index];
  if (record.state == RegistryState::kActive && record.epoch == id.epoch) {
    server_->broadcast("member_refuses",
                       fmt::format("{}/{}", record.service.view(), record.backend.view()));
  }
}

void MainLoop::take_netlink() {
  mirror_->read();
  refresh_neighborhood();
  take_link_changes();
}

void MainLoop::take_link_changes() {
  for (const auto& [port, up] : mirror_->take_link_changes()) {
    const std::string& name = surroundings_.ports[port]->spec().name;
    log_line(up ? LogLevel::kInfo : LogLevel::kNotice, up ? "link.up" : "link.down", name);
    server_->broadcast(up ? "link_up" : "link_down", name);
    if (!up) {
      counters_->count_link_loss(port);
    } else {
      announcer_.link_came_up(port);
      resolve_next_hops(Ask::kAll);
    }
  }
}

void MainLoop::tend_bonds() const {
  for (const auto& port : surroundings_.ports) {
    if (port->bond() != nullptr) {
      port->bond()->tend();
    }
  }
}

// Of owned ports: the twin's carrier follows, so that what routes over it sees the same.
void MainLoop::watch_links() {
  for (const auto& port : surroundings_.ports) {
    if (Twin* twin = port->twin(); twin != nullptr) {
      const PortIndex index = port->link().port;
      const bool up = port->is_link_up();
      if (carriers_[index] != up) {
        carriers_[index] = up;
        twin->set_carrier(up);
        mirror_->set_carrier(index, up);
      }
    }
  }
  refresh_neighborhood();
  take_link_changes();
}

void MainLoop::refresh_neighborhood() {
  const std::uint64_t now = monotonic_ns();
  if (mirror_ && now - last_refresh_ns_ >= kRefreshEvery && mirror_->take_changed()) {
    last_refresh_ns_ = now;
    publisher_->set_neighborhood(mirror_->build());
  }
}

// Members' next hops and gateways only: never an address that a client chose.
void MainLoop::take_unresolved(const Address& next_hop) {
  const std::uint32_t gateway_interface = mirror_->interface_of_gateway(next_hop);
  const auto members = publisher_->generation().members();
  const bool asked_for =
      gateway_interface != 0 || std::ranges::any_of(members, [&](const MemberForward& member) {
        return member.live && member.address == next_hop;
      });
  if (asked_for) {
    resolution_.provoke(next_hop, gateway_interface, monotonic_ns() / kMillisecond);
  }
}

// Asks before the first packet does: for the routers on the way to clients, and for members. Not
// over a link that is down: the kernel's question would get lost, and its next one come 1 s later.
// At the start and when a link came up also for what is known: another station may stand there.
void MainLoop::resolve_next_hops(Ask ask) {
  const Neighborhood& neighborhood = publisher_->neighborhood();
  const auto wanted = [&](const NextHop& hop) {
    return (hop.state == NextHop::State::kNoNeighbor ||
            (ask == Ask::kAll && hop.state == NextHop::State::kResolved)) &&
           neighborhood.link(hop.port).up;
  };
  for (const Address& gateway : mirror_->gateways()) {
    if (wanted(neighborhood.resolve(gateway))) {
      take_unresolved(gateway);
    }
  }
  const auto members = publisher_->generation().members();
  const auto hops = publisher_->member_hops();
  for (std::size_t i = 0; i < hops.size(); ++i) {
    if (members[i].live && wanted(hops[i])) {
      take_unresolved(neighborhood.next_hop_address(members[i].address));
    }
  }
}

void MainLoop::tick() {
  walks_->tend();
  take_worker_notices();
  if (announce_again_ns_ != 0 && monotonic_ns() >= announce_again_ns_) {
    announce_again_ns_ = 0;
    announcer_.repeat();
  }
  if (announcer_.pending()) {
    announcer_.send_some(publisher_->neighborhood(), *workers_.front());
  }
}

// A drain ends on time whether control lives or not.
void MainLoop::end_drains() {
  for (const std::string& member : publisher_->end_drains()) {
    log_line(LogLevel::kInfo, "drain.deadline", member + " is reset: its drain's deadline is over");
    server_->broadcast("drain_deadline", member);
  }
}

// Liveness goes through the workers' loops: a process whose workers are stuck is not alive. Time in
// which this thread did not run either (a stopped process, a suspended machine) does not count.
void MainLoop::check_liveness() {
  const std::uint64_t now = monotonic_ns();
  if (now - last_liveness_ns_ > kSilentIsSick) {
    alive_since_ns_ = now;
  }
  last_liveness_ns_ = now;
  std::uint64_t longest = 0;
  for (const auto& worker : workers_) {
    const std::uint64_t seen = std::max(worker->last_tick_ns(), alive_since_ns_);
    longest = std::max(longest, now - std::min(seen, now));
  }
  if (stuck_ != (longest >= kSilentIsSick)) {
    stuck_ = !stuck_;
    offer_routes();
  }
  if (longest < kSilentIsSick) {
    notify_alive();
  } else if (longest > kSilentIsDead) {
    log_line(LogLevel::kError,
             "worker.stuck",
             fmt::format("no turn for {} s: aborting", longest / (1'000 * kMillisecond)));
    std::abort();
  }
}

}  // namespace holdfast::dataplane
