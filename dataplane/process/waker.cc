// SPDX-License-Identifier: Apache-2.0
// See waker.h.
#include "dataplane/process/waker.h"

#include <cerrno>
#include <cstdint>
#include <cstring>

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace holdfast::dataplane {

Result<std::unique_ptr<Waker>> Waker::create() {
  Descriptor event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) {
    return fail(
        ExitCode::kEnvironment,
        fmt::format("no file descriptors left: {}: raise the limit (ulimit -n)", strerror(errno)));
  }
  return std::unique_ptr<Waker>(new Waker(std::move(event)));
}

void Waker::wake() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (armed_.load(std::memory_order_relaxed) && armed_.exchange(false)) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(event_.get(), &one, sizeof(one));
  }
}

// A caller that has not written yet ends the next sleep early.
void Waker::disarm() {
  armed_.store(false, std::memory_order_relaxed);
  std::uint64_t count = 0;
  [[maybe_unused]] const auto size = ::read(event_.get(), &count, sizeof(count));
}

}  // namespace holdfast::dataplane
