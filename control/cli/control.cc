// SPDX-License-Identifier: Apache-2.0
// The verb `control`: puts the control plane together and runs it until SIGTERM. One thread owns
// all state; a second one does the blocking work (parsing, disk).
//
//   SIGHUP           reloads
//   SIGTERM, SIGINT  ends control; the dataplane forwards on
#include "control/admin/notify.h"
#include "control/admin/server.h"
#include "control/cli/control_start.h"
#include "control/cli/local_addresses.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"
#include "control/engine/engine.h"
#include "control/engine/stderr_log.h"
#include "control/metrics/server.h"
#include "control/probe/asio_clock.h"
#include "control/probe/asio_prober.h"
#include "control/publish/offload.h"
#include "control/publish/seam_forwarder.h"
#include "control/publish/writer_epoch.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <utility>

#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <sys/resource.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

namespace asio = boost::asio;

// What does not end by then is left behind: the dataplane needs nothing of it.
constexpr std::chrono::seconds kStopLimit{5};
// Probes must stay on time beside packet work; without the right to it they run as others do.
constexpr int kNice = -5;

std::int64_t unix_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// Each probe needs a descriptor.
void raise_limits() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  ::setpriority(PRIO_PROCESS, 0, kNice);
}

// Everything that lives as long as control does, in the order of construction.
class Control {
 public:
  explicit Control(ControlStart start)
      : settings_(std::move(start.settings)),
        lock_(std::move(start.lock)),
        forwarder_(context_, forwarder_settings(start.dataplane_socket)),
        engine_(parts(), std::move(start.engine)),
        admin_(context_.get_executor(), engine_),
        metrics_(context_.get_executor(), engine_) {}

  // Opens the sockets, or says in one line why not.
  std::expected<void, std::string> listen() {
    if (auto opened = admin_.listen(settings_.socket); !opened) {
      return opened;
    }
    if (settings_.metrics == "none") {
      return {};
    }
    const auto listening =
        metrics_.listen(settings_.metrics, settings_.directory + "/metrics.port");
    if (!listening) {
      return std::unexpected(listening.error());
    }
    log_.event(Severity::kInfo, "metrics.listening", {{"port", std::to_string(listening->port)}});
    if (!listening->file_problem.empty()) {
      log_.event(Severity::kWarning, "disk.error", {{"reason", listening->file_problem}});
    }
    return {};
  }

  void run() {
    engine_.start();
    notifier_.ready("starting");
    notifier_.start_watchdog();
    asio::co_spawn(context_, take_signals(), asio::detached);
    context_.run();
  }

 private:
  SeamForwarder::Settings forwarder_settings(const std::string& socket) {
    return {
        .socket = socket, .build = HOLDFAST_VERSION, .next_epoch = [this] { return next_epoch(); }};
  }

  EngineParts parts() {
    return {.executor = context_.get_executor(),
            .disk = disk_.get_executor(),
            .reckon = reckon_.get_executor(),
            .clock = clock_,
            .prober = prober_,
            .forwarder = forwarder_,
            .log = log_,
            .unix_ms = unix_ms,
            .log_lines_dropped = [this] { return sink_.dropped(); },
            .on_reload_begin = [this] { notifier_.reloading(); },
            .on_reload_end = [this](const std::string& status) { notifier_.ready(status); }};
  }

  asio::awaitable<std::uint64_t> next_epoch() {
    auto read = [directory = settings_.directory, last = epoch_] {
      return next_writer_epoch(directory, last);
    };
    const WriterEpoch next =
        co_await offload(asio::any_io_executor(disk_.get_executor()), std::move(read));
    epoch_ = next.value;
    if (!next.disk_error.empty()) {
      log_.event(Severity::kWarning, "disk.error", {{"reason", next.disk_error}});
    }
    co_return epoch_;
  }

  asio::awaitable<void> take_signals() {
    for (;;) {
      const int number = co_await signals_.async_wait(asio::use_awaitable);
      if (number != SIGHUP) {
        break;
      }
      engine_.request_reload({.who = "signal", .reason = "SIGHUP"});
    }
    co_await stop();
  }

  asio::awaitable<void> stop() {
    notifier_.stopping();
    overdue_.expires_after(kStopLimit);
    overdue_.async_wait([this](const boost::system::error_code& error) {
      if (!error) {
        context_.stop();
      }
    });
    admin_.stop();
    metrics_.stop();
    co_await engine_.stop();
    co_await prober_.stop();
    context_.stop();
  }

  config::Control settings_;
  FileDescriptor lock_;
  std::uint64_t epoch_ = 0;
  asio::io_context context_{1};
  asio::thread_pool disk_{1};
  asio::thread_pool reckon_{1};
  AsioClock clock_{context_};
  AsioProber prober_{context_, clock_};
  StderrLog sink_{STDERR_FILENO};
  EventLog log_{
      clock_, [this](Severity severity, const std::string& line) { sink_.write(severity, line); }};
  Notifier notifier_{context_.get_executor()};
  asio::signal_set signals_{context_, SIGTERM, SIGINT, SIGHUP};
  asio::steady_timer overdue_{context_};
  SeamForwarder forwarder_;
  Engine engine_;
  AdminServer admin_;
  MetricsServer metrics_;
};

// A SIGHUP that comes before there is a handler waits for it instead of ending the process.
void hold_reload_signal(int how) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGHUP);
  ::pthread_sigmask(how, &set, nullptr);
}

void run_control(StartPlace place, Context& context) {
  hold_reload_signal(SIG_BLOCK);
  std::signal(SIGPIPE, SIG_IGN);
  raise_limits();
  // Absolute: revisions remember which file they were made from.
  place.config = std::filesystem::absolute(place.config);
  auto start = load_control_start(place);
  if (!start) {
    context.fail(start.error().exit_code, start.error().text);
    return;
  }
  const auto here = load_local_addresses();
  if (!here) {
    start->engine.notices.push_back(unread_addresses_text(here.error()));
  } else if (const auto ok = refuse_local_addresses(*start, *here); !ok) {
    context.fail(ok.error().exit_code, ok.error().text);
    return;
  }
  Control control(std::move(*start));
  if (const auto listening = control.listen(); !listening) {
    context.fail(kExitRefused, listening.error());
    return;
  }
  hold_reload_signal(SIG_UNBLOCK);
  control.run();
}

}  // namespace

void add_control(CLI::App& app, Context& context) {
  auto place = std::make_shared<StartPlace>();
  Verb(app, "control", "Run the control plane until SIGTERM")
      .required({"--config", "FILE", "the configuration"}, place->config)
      .optional(
          {"--directory", "PATH", "where accepted revisions are kept; default: control.directory"},
          place->directory)
      .optional({"--last-directory",
                 "PATH",
                 "link that remembers this directory, for a start with a broken configuration"},
                place->last_directory)
      .runs([place, &context] { run_control(*place, context); });
}

}  // namespace holdfast::control
