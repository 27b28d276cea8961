// SPDX-License-Identifier: Apache-2.0
// See background.h.
#include "dataplane/process/background.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

constexpr int kKnownLimitMs = 2'000;
constexpr std::uint64_t kBarrierLimitUs = 1'000'000;
constexpr std::size_t kLongestText = 2'048;

// What the new process said: its exit code, then a text. Nothing: it ended.
[[noreturn]] void end_with(pid_t child, const Descriptor& socket) {
  std::array<char, 1 + kLongestText> said{};
  const ssize_t size = ::recv(socket.get(), said.data(), said.size(), 0);
  if (size <= 0) {
    int status = 0;
    ::waitpid(child, &status, 0);
    fmt::print(stderr, "holdfast-dataplane: error: the process that was to take over ended\n");
    ::_exit(1);
  }
  const int code = static_cast<unsigned char>(said.front());
  if (code != 0) {
    fmt::print(stderr,
               "holdfast-dataplane: error: {}\n",
               std::string_view(said.data() + 1, static_cast<std::size_t>(size - 1)));
    ::_exit(code);
  }
  sd_notify(0, fmt::format("MAINPID={}", child).c_str());
  sd_notify_barrier(0, kBarrierLimitUs);
  [[maybe_unused]] const auto sent = ::send(socket.get(), "k", 1, MSG_NOSIGNAL);
  ::_exit(0);
}

}  // namespace

Result<Background> Background::begin() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail(ExitCode::kEnvironment, fmt::format("no socket pair: {}", strerror(errno)));
  }
  Descriptor ours(ends[0]);
  Descriptor theirs(ends[1]);
  const int parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    return fail(ExitCode::kEnvironment, fmt::format("cannot fork: {}", strerror(errno)));
  }
  if (child > 0) {
    theirs.close();
    end_with(child, ours);
  }
  ours.close();
  ::setsid();
  Background background(std::move(theirs), parent);
  background.stay();
  return background;
}

void Background::stay() const { ::prctl(PR_SET_PDEATHSIG, SIGKILL); }

bool Background::leave() const {
  ::prctl(PR_SET_PDEATHSIG, 0);
  return ::getppid() == parent_pid_;
}

void Background::say_forwards() const {
  const char ok = 0;
  if (::send(parent_.get(), &ok, 1, MSG_NOSIGNAL) == 1) {
    pollfd known{.fd = parent_.get(), .events = POLLIN, .revents = 0};
    ::poll(&known, 1, kKnownLimitMs);
  }
}

void Background::say_failed(const Failure& failure) const {
  const std::string text = static_cast<char>(failure.code) + failure.text.substr(0, kLongestText);
  [[maybe_unused]] const auto sent = ::send(parent_.get(), text.data(), text.size(), MSG_NOSIGNAL);
}

}  // namespace holdfast::dataplane
