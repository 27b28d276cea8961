// SPDX-License-Identifier: Apache-2.0
// See process.h.
#include "dataplane/process/process.h"

#include "dataplane/process/boot.h"
#include "dataplane/process/main_loop.h"

#include <csignal>

#include <rte_eal.h>

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

}  // namespace

Result<void> run_process(const ProcessOptions& options) {
  block_signals();
  auto booted = boot(options.startup, options.user);
  if (!booted) {
    return std::unexpected(booted.error());
  }
  auto loop = MainLoop::create(options, std::move(*booted));
  if (!loop) {
    return std::unexpected(loop.error());
  }
  (*loop)->run();
  loop->reset();
  rte_eal_cleanup();
  return {};
}

}  // namespace holdfast::dataplane
