// SPDX-License-Identifier: Apache-2.0
// See handover.h.
#include "dataplane/process/handover.h"

#include "dataplane/process/log.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

constexpr std::chrono::milliseconds kEndLimit{2'000};

// Of glibc 2.36 on; the header of this one lacks them in C++.
int open_pidfd(int pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }
bool kill_by(const Descriptor& process) {
  return ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0) == 0;
}

}  // namespace

Result<Descriptor> Handover::listen(const std::string& socket) {
  const std::string path = handover_path(socket);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return fail(ExitCode::kInvalid, fmt::format("the path {} is too long for a socket", path));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Descriptor listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ::unlink(path.c_str());  // its owner is gone: we hold the lock of the seam's sockets
  const mode_t before = ::umask(0177);
  const bool bound =
      listener.valid() &&
      ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  ::umask(before);
  if (!bound || ::listen(listener.get(), 4) != 0) {
    return fail(ExitCode::kEnvironment,
                fmt::format("cannot listen at {}: {}", path, strerror(errno)));
  }
  return listener;
}

Handover::Handover(PollLoop& loop, Descriptor listener, std::uint64_t startup_id, Owner owner)
    : loop_(loop),
      listener_(std::move(listener)),
      startup_id_(startup_id),
      owner_(std::move(owner)) {
  loop_.watch(listener_.get(), POLLIN, [this](short) { greet(); });
  loop_.every(std::chrono::seconds(1), [this] { watch_time(); });
}

void Handover::greet() {
  HandoverChannel asker(
      Descriptor(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)));
  if (!asker.open()) {
    return;
  }
  if (!asker.peer_is_ours() || successor_.open()) {
    asker.send(HandoverStep::kRefusal,
               0,
               successor_.open() ? "another process is about to take over" : "you are a stranger");
    return;
  }
  process_ = Descriptor(open_pidfd(asker.peer()));
  if (!process_.valid()) {
    asker.send(HandoverStep::kRefusal, 0, "this process cannot see yours");
    return;
  }
  successor_ = std::move(asker);
  offered_ = false;
  since_ = PollLoop::Clock::now();
  loop_.watch(successor_.descriptor(), POLLIN, [this](short) { hear(); });
}

void Handover::hear() {
  auto message = successor_.receive(std::chrono::milliseconds(0));
  if (!message) {
    return drop_successor("it is gone");
  }
  answer(*message);
}

void Handover::answer(const HandoverMessage& message) {
  if (message.step == HandoverStep::kPrepared && offered_) {
    return hand_over();
  }
  if (message.step != HandoverStep::kAsk || offered_) {
    return drop_successor("it says what nobody asked for");
  }
  std::string why = owner_.objection();
  if (why.empty() && message.startup_id != startup_id_) {
    why = "the start-up keys are others than those that run";
  }
  if (!why.empty()) {
    successor_.send(HandoverStep::kRefusal, 0, why);
    return drop_successor(why);
  }
  const std::array<int, kHandedOverCount> offer = owner_.offer();
  offered_ = successor_.send(HandoverStep::kOffer, startup_id_, "", &offer);
  if (!offered_) {
    return drop_successor(fmt::format("it takes no offer: {}", strerror(errno)));
  }
  log_line(LogLevel::kInfo, "handover", fmt::format("process {} prepares", successor_.peer()));
}

void Handover::hand_over() {
  const int pid = successor_.peer();
  const auto start = PollLoop::Clock::now();
  owner_.stop();
  if (successor_.send(HandoverStep::kStopped)) {
    const auto answer = successor_.receive(kTakeOverLimit);
    if (answer && answer->step == HandoverStep::kForwards) {
      log_line(LogLevel::kInfo,
               "handover",
               fmt::format("process {} forwards, {} us after this one stopped",
                           pid,
                           std::chrono::duration_cast<std::chrono::microseconds>(
                               PollLoop::Clock::now() - start)
                               .count()));
      return owner_.leave();
    }
  }
  if (!end_successor()) {
    log_line(LogLevel::kError,
             "handover",
             fmt::format("process {} neither forwards nor ends: leaving it the tables", pid));
    return owner_.leave();
  }
  owner_.resume();
  drop_successor("it did not take over in time: this process goes on");
}

bool Handover::end_successor() const {
  if (!kill_by(process_) && errno != ESRCH) {
    return false;
  }
  pollfd ended{.fd = process_.get(), .events = POLLIN, .revents = 0};
  return ::poll(&ended, 1, static_cast<int>(kEndLimit.count())) == 1;
}

void Handover::drop_successor(const std::string& why) {
  log_line(offered_ ? LogLevel::kError : LogLevel::kInfo,
           "handover",
           fmt::format("not to process {}: {}", successor_.peer(), why));
  loop_.forget(successor_.descriptor());
  successor_.close();
  process_.close();
  offered_ = false;
}

void Handover::watch_time() {
  if (successor_.open() && PollLoop::Clock::now() - since_ > kPrepareLimit) {
    drop_successor("it is not prepared in time");
  }
}

}  // namespace holdfast::dataplane
