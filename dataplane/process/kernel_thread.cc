// SPDX-License-Identifier: Apache-2.0
// See kernel_thread.h.
#include "dataplane/process/kernel_thread.h"

#include "dataplane/process/clock.h"
#include "dataplane/process/privileges.h"

#include <algorithm>

#include <pthread.h>
#include <rte_lcore.h>

namespace holdfast::dataplane {
namespace {

constexpr int kWhileWaiting = 1;  // ms, for budget or for room towards the worker
constexpr int kLongestRest = 1000;

}  // namespace

Result<std::unique_ptr<KernelThread>> KernelThread::start(std::vector<Twin*> twins) {
  auto waker = Waker::create();
  if (!waker) {
    return std::unexpected(waker.error());
  }
  return std::unique_ptr<KernelThread>(new KernelThread(std::move(twins), std::move(*waker)));
}

KernelThread::KernelThread(std::vector<Twin*> twins, std::unique_ptr<Waker> waker)
    : twins_(std::move(twins)), waker_(std::move(waker)) {
  polled_.push_back({.fd = waker_->descriptor(), .events = POLLIN, .revents = 0});
  for (Twin* twin : twins_) {
    polled_.push_back({.fd = twin->descriptor(), .events = POLLIN, .revents = 0});
    twin->set_kernel_waker(waker_.get());
  }
  thread_ = std::thread([this] { run(); });
}

KernelThread::~KernelThread() {
  stop_.store(true);
  waker_->wake();
  thread_.join();
  for (Twin* twin : twins_) {
    twin->set_kernel_waker(nullptr);
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
  waker_->arm();
  const std::uint64_t now = monotonic_ns();
  if (!stop_.load() &&
      std::ranges::none_of(twins_, [&](const Twin* twin) { return twin->has_waiting(now); })) {
    ::poll(polled_.data(), polled_.size(), timeout);
    forget_removed();
  }
  waker_->disarm();
}

// An interface that somebody removed stays ready for ever: it is left alone until the next start.
void KernelThread::forget_removed() {
  for (pollfd& one : polled_) {
    one.fd = (one.revents & POLLERR) != 0 ? -1 : one.fd;
  }
}

}  // namespace holdfast::dataplane
