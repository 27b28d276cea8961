// SPDX-License-Identifier: Apache-2.0
// See kernel_thread.h.
#include "dataplane/process/kernel_thread.h"

#include "dataplane/process/clock.h"
#include "dataplane/process/privileges.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <pthread.h>
#include <rte_lcore.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

constexpr int kWhileWaiting = 1;  // ms, for budget or for room towards the worker
constexpr int kLongestRest = 1000;

}  // namespace

Result<std::unique_ptr<KernelThread>> KernelThread::start(std::vector<Twin*> twins) {
  Descriptor event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) {
    return fail(
        ExitCode::kEnvironment,
        fmt::format("no file descriptors left: {}: raise the limit (ulimit -n)", strerror(errno)));
  }
  return std::unique_ptr<KernelThread>(new KernelThread(std::move(twins), std::move(event)));
}

KernelThread::KernelThread(std::vector<Twin*> twins, Descriptor event)
    : twins_(std::move(twins)), event_(std::move(event)), waker_(event_.get()) {
  polled_.push_back({.fd = event_.get(), .events = POLLIN, .revents = 0});
  for (Twin* twin : twins_) {
    polled_.push_back({.fd = twin->descriptor(), .events = POLLIN, .revents = 0});
    twin->set_waker(&waker_);
  }
  thread_ = std::thread([this] { run(); });
}

KernelThread::~KernelThread() {
  stop_.store(true);
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(event_.get(), &one, sizeof(one));
  thread_.join();
  for (Twin* twin : twins_) {
    twin->set_waker(nullptr);
  }
}

void KernelThread::run() {
  drop_thread_capabilities();
  ::pthread_setname_np(::pthread_self(), "kernel");
  rte_thread_register();
  while (!stop_.load(std::memory_order_relaxed)) {
    if (!serve()) {
      rest();
    }
  }
  rte_thread_unregister();
}

bool KernelThread::serve() {
  bool any = false;
  for (Twin* twin : twins_) {
    any |= twin->deliver(monotonic_ns());
    any |= twin->collect();
  }
  return any;
}

void KernelThread::rest() {
  int timeout = kLongestRest;
  for (std::size_t i = 0; i < twins_.size(); ++i) {
    const bool room = twins_[i]->can_collect();
    polled_[i + 1].events = room ? POLLIN : 0;
    timeout = !room || twins_[i]->is_over_budget() ? kWhileWaiting : timeout;
  }
  waker_.set_asleep(true);
  const std::uint64_t now = monotonic_ns();
  if (std::ranges::none_of(twins_, [&](const Twin* twin) { return twin->has_waiting(now); })) {
    ::poll(polled_.data(), polled_.size(), timeout);
    forget_removed();
  }
  waker_.set_asleep(false);
  std::uint64_t count = 0;
  [[maybe_unused]] const auto size = ::read(event_.get(), &count, sizeof(count));
}

// An interface that somebody removed stays ready for ever: it is left alone until the next start.
void KernelThread::forget_removed() {
  for (pollfd& one : polled_) {
    one.fd = (one.revents & POLLERR) != 0 ? -1 : one.fd;
  }
}

}  // namespace holdfast::dataplane
