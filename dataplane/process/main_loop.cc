// SPDX-License-Identifier: Apache-2.0
// See main_loop.h. This file builds and wires; housekeeping.cc is what happens meanwhile.
#include "dataplane/process/main_loop.h"

#include "dataplane/process/child_lock.h"
#include "dataplane/process/clock.h"
#include "dataplane/process/log.h"
#include "dataplane/process/notify.h"
#include "dataplane/process/privileges.h"
#include "dataplane/rehash.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

namespace holdfast::dataplane {

MainLoop::MainLoop(const ProcessOptions& options, Booted booted)
    : options_(options),
      booted_(std::move(booted)),
      hasher_(options.startup.hash_key),
      quiescence_(booted_.plan.workers),
      nft_(options.startup.instance, guard(packet_interfaces(options.startup), load_vlan)),
      start_ns_(monotonic_ns()) {
  mirror_ = std::move(booted_.mirror);
  routes_ = std::move(booted_.routes);
  surroundings_.ports = std::move(booted_.ports);
  surroundings_.pool = booted_.pool.get();
  surroundings_.hasher = &hasher_;
  surroundings_.quiescence = &quiescence_;
  surroundings_.workers = booted_.plan.workers;
  surroundings_.idle = options.startup.idle;
  foresee_queues();
}

Result<std::unique_ptr<MainLoop>> MainLoop::create(const ProcessOptions& options, Booted booted) {
  const CapabilitySet keep = booted.running_capabilities;
  std::unique_ptr<MainLoop> loop(new MainLoop(options, std::move(booted)));
  if (auto opened = loop->open_descriptors(); !opened) {
    return std::unexpected(opened.error());
  }

  if (!limit_thread_capabilities(keep)) {
    return fail(ExitCode::kEnvironment, "cannot drop capabilities after start");
  }
  if (auto started = loop->start_kernel_thread(); !started) {
    return std::unexpected(started.error());
  }
  loop->rings_ = DispatchRings::create(loop->surroundings_.workers);
  if (!loop->rings_) {
    return fail(ExitCode::kEnvironment,
                fmt::format("no memory for the rings between {} workers: lower dataplane.workers",
                            loop->surroundings_.workers));
  }
  return loop;
}

void MainLoop::discard_received() {
  std::array<rte_mbuf*, kBurstSize> packets;
  for (const auto& port : surroundings_.ports) {
    for (std::uint16_t queue = 0; queue < port->queues().receive; ++queue) {
      while (const std::uint16_t count = port->receive(queue, packets)) {
        rte_pktmbuf_free_bulk(packets.data(), count);
      }
    }
  }
}

void MainLoop::take_tables() {
  start_publisher();
  for (std::uint32_t i = 0; i < surroundings_.workers; ++i) {
    workers_.push_back(std::make_unique<Worker>(surroundings_, *rings_, booted_.state.state(), i));
  }
  publisher_->set_workers(workers_);
  adopt_tables();
  booted_.interruption.reset();
}

void MainLoop::serve() {
  name_child_lock(booted_.child_lock);
  start_server();
  published();
  watch_everything();
  await_successor();
}

void MainLoop::foresee_queues() {
  std::vector<DeviceQueues> queues;
  for (const auto& port : surroundings_.ports) {
    queues.push_back(port->queues());
    log_line(LogLevel::kInfo,
             "port.rss",
             fmt::format("port={} {}", port->spec().name, queues.back().text));
  }
  spread_ = foresee(queues, build_rss_key(hasher_), surroundings_.workers);
  surroundings_.spread = spread_.get();
}

MainLoop::~MainLoop() { stop_workers(); }

Result<void> MainLoop::open_descriptors() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  signals_ = Descriptor(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  wake_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!signals_.valid() || !wake_.valid()) {
    return fail(
        ExitCode::kEnvironment,
        fmt::format("no file descriptors left: {}: raise the limit (ulimit -n)", strerror(errno)));
  }
  surroundings_.wake_main = wake_.get();
  for (std::uint32_t i = 0; i < surroundings_.workers; ++i) {
    auto waker = Waker::create();
    if (!waker) {
      return std::unexpected(waker.error());
    }
    surroundings_.wakers.push_back(std::move(*waker));
  }
  return {};
}

std::vector<Link> MainLoop::port_links() const {
  std::vector<Link> links;
  for (const auto& port : surroundings_.ports) {
    links.push_back(port->link());
  }
  return links;
}

// In-process ports have no kernel to ask: everything leaves by the last one, to a made-up station.
void MainLoop::start_publisher() {
  constexpr MacAddress kNobody = {0x02, 0, 0, 0, 0, 0x01};
  const auto last = static_cast<PortIndex>(surroundings_.ports.size() - 1);
  if (mirror_) {
    mirror_->read();
  }
  Neighborhood neighborhood =
      mirror_ ? mirror_->build() : Neighborhood::everything_via(port_links(), last, kNobody);
  GenerationStore store(options_.startup.directory);
  GenerationStore::Loaded loaded = store.load();
  persisted_notice_ = loaded.notice;
  publisher_ = std::make_unique<Publisher>(booted_.state.state(),
                                           surroundings_,
                                           std::move(store),
                                           std::move(neighborhood),
                                           mirror_ != nullptr);
  begin_role();
  if (mirror_) {
    mirror_->take_changed();
    publisher_->set_objection(
        [this](const GenerationSpec& spec) { return mirror_->local_address_in(spec); });
  }
  if (const auto started = publisher_->start(loaded.spec.value_or(GenerationSpec{})); !started) {
    persisted_notice_ = fmt::format("generation {} of before is not in force: {}",
                                    loaded.spec ? loaded.spec->number : 0,
                                    started.error());
  }
}

Ownership MainLoop::ownership() const {
  return {.workers = surroundings_.workers, .spread = spread_.get()};
}

// Of a state of other sizes: the flows go to their workers of now.
void MainLoop::take_former() {
  const SharedState* const former = booted_.state.former();
  if (former == nullptr) {
    return;
  }
  const RehashReport report = rehash_tables(*former,
                                            booted_.state.state(),
                                            publisher_->generation(),
                                            ownership(),
                                            stamp_of(start_ns_ / 1'000'000));
  log_line(LogLevel::kInfo,
           "state.rehashed",
           fmt::format("from {} to {} workers: {} flows moved, {} dropped, {} ended because their "
                       "replies come to another worker now, {} without room",
                       former->geometry().workers,
                       booted_.plan.workers,
                       report.moved,
                       report.dropped,
                       report.parted,
                       report.crowded));
  note_ended(report, "dataplane.workers or dataplane.flows changed");
  booted_.state.state().set_owner_rule(id_of(ownership()));
  booted_.state.settle();
}

// Of a state whose flows stand by the queues of other cards, or of none.
void MainLoop::follow_cards() {
  const SharedState& state = booted_.state.state();
  const std::uint64_t rule = id_of(ownership());
  if (state.owner_rule() == rule) {
    return;
  }
  if (booted_.state.adopted()) {
    const RehashReport report =
        reown_tables(state, publisher_->generation(), ownership(), stamp_of(start_ns_ / 1'000'000));
    log_line(LogLevel::kInfo,
             "state.rehashed",
             fmt::format("the cards bring flows to other workers than before: {} flows moved, {} "
                         "dropped, {} ended because their replies come to another worker now, {} "
                         "without room",
                         report.moved,
                         report.dropped,
                         report.parted,
                         report.crowded));
    note_ended(report, "the cards bring flows to other workers than before");
  }
  state.set_owner_rule(rule);
}

void MainLoop::note_ended(const RehashReport& report, std::string_view changed) {
  adoption_.dropped += report.dropped + report.parted + report.crowded;
  if (report.parted + report.crowded != 0) {
    booted_.notices.push_back(
        fmt::format("{}: {} flows ended because their replies come to another worker now, {} had "
                    "no room",
                    changed,
                    report.parted,
                    report.crowded));
  }
}

void MainLoop::adopt_tables() {
  take_former();
  follow_cards();
  AdoptionReport& total = adoption_;
  for (const auto& worker : workers_) {
    const AdoptionReport report = validate_tables(
        worker->state().tables, publisher_->generation(), publisher_->dispositions());
    worker->state().count_adopted();
    total.kept += report.kept;
    total.dropped += report.dropped;
  }
  log_line(LogLevel::kInfo,
           "state",
           fmt::format("{} {}: {} flows kept, {} dropped",
                       booted_.state.path(),
                       booted_.state.adopted() ? "adopted" : "new",
                       total.kept,
                       total.dropped));
}

void MainLoop::start_server() {
  counters_ =
      std::make_unique<Counters>(surroundings_, workers_, *publisher_, booted_.plan.state_bytes);
  HelloFacts facts{.startup = options_.startup,
                   .version = options_.version,
                   .start_monotonic_ns = start_ns_,
                   .adoption = adoption_,
                   .notices = [this] { return notices(); }};
  walks_ = std::make_unique<FlowWalks>(*publisher_, workers_, start_ns_);
  publisher_->set_before_swap([this] {
    counters_->members_changed();
    walks_->members_changed();
  });
  counters_->set_routes(routes_.get());
  requests_ = std::make_unique<Requests>(
      *publisher_, *counters_, std::move(facts), [this] { published(); });
  requests_->set_walks(*walks_);
  if (options_.startup.role != Role::kAlone) {
    requests_->set_roles([this](Role role) { take_role(role); });
  }
  if (routes_) {
    requests_->set_routes(*routes_, [this] { offer_routes(); });
  }
  server_ = std::make_unique<SeamServer>(
      loop_,
      std::move(booted_.sockets),
      [this](const seam::Request& request, Access access, seam::Reply& reply) {
        requests_->handle(request, access, reply);
      });
  server_->set_writer_gone([this] { walks_->abandon(); });
}

Result<void> MainLoop::start_kernel_thread() {
  std::vector<Twin*> twins;
  for (const auto& port : surroundings_.ports) {
    carriers_.push_back(port->link().up);
    if (Twin* twin = port->twin(); twin != nullptr) {
      twin->set_worker_waker(surroundings_.wakers[port->link().port % surroundings_.workers].get());
      twins.push_back(twin);
    }
  }
  if (twins.empty()) {
    return {};
  }
  auto started = KernelThread::start(std::move(twins));
  if (!started) {
    return std::unexpected(started.error());
  }
  kernel_thread_ = std::move(*started);
  return {};
}

void MainLoop::start_workers() {
  surroundings_.stop.store(false);
  for (const auto& worker : workers_) {
    threads_.emplace_back([&worker] { worker->run(); });
    const std::string name = fmt::format("worker-{}", threads_.size() - 1);
    ::pthread_setname_np(threads_.back().native_handle(), name.c_str());
  }
  pin_workers();
  for (const auto& worker : workers_) {
    while (worker->last_tick_ns() == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
  alive_since_ns_ = last_liveness_ns_ = monotonic_ns();
}

void MainLoop::pin_workers() {
  const std::span<const std::size_t> cores = booted_.placement.cores;
  for (std::size_t worker = 0; worker < cores.size(); ++worker) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cores[worker], &one);
    ::pthread_setaffinity_np(threads_[worker].native_handle(), sizeof(one), &one);
  }
}

void MainLoop::stop_workers() {
  surroundings_.stop.store(true);
  for (std::thread& thread : threads_) {
    thread.join();
  }
  threads_.clear();
  kernel_thread_.reset();  // behind the workers, which wake it
}

void MainLoop::run() {
  for (const std::string& notice : notices()) {
    log_line(LogLevel::kNotice, "degraded", notice);
  }
  if (threads_.empty()) {
    start_workers();
  }
  if (mirror_) {
    resolve_next_hops(Ask::kAll);
  }
  offer_routes();
  notify_ready(fmt::format("forwarding generation {}", publisher_->acknowledged()));
  log_line(LogLevel::kInfo,
           "ready",
           fmt::format("{} workers, {} ports, generation {}",
                       workers_.size(),
                       surroundings_.ports.size(),
                       publisher_->acknowledged()));
  loop_.run();
  notify_stopping();
  log_line(LogLevel::kInfo, "stopping", "on request; flows stay in the state file");
  withdraw_routes();
  publisher_->forget_role();  // who starts it again says what it is to be
  stop_workers();
  publisher_->save_rest();
  nft_.remove();
  server_->unlink_sockets();
}

}  // namespace holdfast::dataplane
