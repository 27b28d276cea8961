// SPDX-License-Identifier: Apache-2.0
// See process.h.
#include "dataplane/process/process.h"

#include "dataplane/process/background.h"
#include "dataplane/process/boot.h"
#include "dataplane/process/child_lock.h"
#include "dataplane/process/main_loop.h"
#include "dataplane/process/predecessor.h"

#include <csignal>

#include <rte_eal.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

// Before any thread is made: all inherit the mask. From here on, since a process 1 would lose a
// SIGTERM that it neither blocks nor handles; what comes before boot() looks for it stays pending.
void block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGHUP, SIGPIPE, SIGTERM, SIGINT}) {
    sigaddset(&set, signal);
  }
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
}

// What this process says from here on goes where the predecessor's words go.
void take_log(Predecessor& predecessor) {
  if (const Descriptor log = predecessor.take(HandedOver::kLog); log.valid()) {
    ::dup2(log.get(), STDOUT_FILENO);
    ::dup2(log.get(), STDERR_FILENO);
  }
}

Result<std::unique_ptr<MainLoop>> take_over(const ProcessOptions& options,
                                            const Background& background) {
  auto predecessor = Predecessor::ask(options.startup.socket, options.startup_id);
  if (!predecessor) {
    return std::unexpected(predecessor.error());
  }
  take_log(*predecessor);
  auto booted =
      boot(options.startup, options.user, &*predecessor, [&background] { background.stay(); });
  if (!booted) {
    return std::unexpected(booted.error());
  }
  auto loop = MainLoop::create(options, std::move(*booted));
  if (!loop) {
    return loop;
  }
  const auto stopped = predecessor->await_stop([&loop] { (*loop)->discard_received(); });
  if (!stopped) {
    return std::unexpected(stopped.error());
  }
  if (!background.leave()) {
    return fail(ExitCode::kRefused, "nobody waits for this process any more");
  }
  (*loop)->take_tables();
  (*loop)->start_workers();
  background.say_forwards();
  predecessor->say_forwards();
  return loop;
}

Result<void> succeed(const ProcessOptions& options) {
  const auto background = Background::begin();
  if (!background) {
    return std::unexpected(background.error());
  }
  auto loop = take_over(options, *background);
  if (!loop) {
    background->say_failed(loop.error());
    ::_exit(static_cast<int>(loop.error().code));  // said, and nothing here is ours to take away
  }
  (*loop)->serve();
  (*loop)->run();
  loop->reset();
  rte_eal_cleanup();
  return {};
}

}  // namespace

Result<void> run_process(const ProcessOptions& options) {
  block_signals();
  if (options.succeed) {
    return succeed(options);
  }
  auto booted = boot(options.startup, options.user);
  if (!booted) {
    return std::unexpected(booted.error());
  }
  auto loop = MainLoop::create(options, std::move(*booted));
  if (!loop) {
    return std::unexpected(loop.error());
  }
  (*loop)->take_tables();
  (*loop)->serve();
  (*loop)->run();
  loop->reset();
  rte_eal_cleanup();
  return {};
}

}  // namespace holdfast::dataplane
