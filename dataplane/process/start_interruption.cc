// SPDX-License-Identifier: Apache-2.0
// See start_interruption.h.
#include "dataplane/process/start_interruption.h"

#include "dataplane/process/log.h"

#include <array>
#include <csignal>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace holdfast::dataplane {

StartInterruption::StartInterruption(CapabilitySet keep, std::function<void()> clean_up)
    : keep_(keep), clean_up_(std::move(clean_up)) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  signals_ = Descriptor(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  over_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (signals_.valid() && over_.valid()) {  // else they wait until the start is over
    thread_ = std::thread([this] { watch(); });
  }
}

StartInterruption::~StartInterruption() {
  if (thread_.joinable()) {
    ::eventfd_write(over_.get(), 1);
    thread_.join();
  }
}

void StartInterruption::watch() const {
  limit_thread_capabilities(keep_);
  std::array<pollfd, 2> either = {pollfd{.fd = over_.get(), .events = POLLIN, .revents = 0},
                                  pollfd{.fd = signals_.get(), .events = POLLIN, .revents = 0}};
  while (::poll(either.data(), either.size(), -1) <= 0) {
  }
  if (either[0].revents != 0) {
    return;  // a signal that came as well is still there for the main loop
  }
  log_line(LogLevel::kInfo, "stopping", "on request, during the start");
  clean_up_();
  ::_exit(0);
}

}  // namespace holdfast::dataplane
