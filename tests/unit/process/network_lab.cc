// SPDX-License-Identifier: Apache-2.0
// See network_lab.h.
#include "tests/unit/process/network_lab.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

bool become_root_of_new_network() {
  const unsigned uid = ::geteuid();
  const unsigned gid = ::getegid();
  if (uid == 0) {
    return ::unshare(CLONE_NEWNET) == 0;
  }
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    return false;
  }
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << "0 " << uid << " 1";
  std::ofstream("/proc/self/gid_map") << "0 " << gid << " 1";
  return ::geteuid() == 0;
}

int exit_code_of(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::string lab_obstacle() {
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(become_root_of_new_network() &&
                    std::system("ip link add name probe0 type veth peer name probe1 2>/dev/null") ==
                        0
                ? 0
                : 1);
  }
  return exit_code_of(child) == 0 ? std::string()
                                  : "no network namespace with veth can be made here: run as root, "
                                    "or allow user namespaces";
}

void in_new_network(const std::function<void()>& body) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    int code = 1;
    try {
      if (become_root_of_new_network()) {
        body();
        code = ::testing::Test::HasFailure() ? 1 : 0;
      }
    } catch (const std::exception& error) {
      std::printf("%s\n", error.what());
    }
    std::fflush(stdout);
    ::_exit(code);
  }
  EXPECT_EQ(exit_code_of(child), 0) << "see above";
}

void run_command(const std::string& command) {
  if (std::system(command.c_str()) != 0) {
    throw std::runtime_error("failed: " + command);
  }
}

NetworkNamespace::NetworkNamespace() {
  int ready[2] = {-1, -1};
  if (::pipe2(ready, O_CLOEXEC) != 0) {
    throw std::runtime_error("no pipe");
  }
  holder_ = ::fork();
  if (holder_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const char done = ::unshare(CLONE_NEWNET) == 0 ? 'y' : 'n';
    [[maybe_unused]] const auto written = ::write(ready[1], &done, 1);
    ::pause();
    ::_exit(0);
  }
  char done = 'n';
  [[maybe_unused]] const auto size = ::read(ready[0], &done, 1);
  ::close(ready[0]);
  ::close(ready[1]);
  if (done != 'y') {
    throw std::runtime_error("no network namespace");
  }
}

NetworkNamespace::~NetworkNamespace() {
  ::kill(holder_, SIGKILL);
  ::waitpid(holder_, nullptr, 0);
}

void NetworkNamespace::run(const std::string& command) const {
  enter([&] { run_command(command); });
}

void NetworkNamespace::enter(const std::function<void()>& body) const {
  const int here = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  const int there =
      ::open(("/proc/" + std::to_string(holder_) + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC);
  if (::setns(there, CLONE_NEWNET) != 0) {
    throw std::runtime_error("cannot enter a namespace");
  }
  body();
  ::setns(here, CLONE_NEWNET);
  ::close(here);
  ::close(there);
}

Lab::Lab() {
  const auto pair = [](const char* ours, const NetworkNamespace& there) {
    run_command("ip link add name " + std::string(ours) + " type veth peer name eth0 netns " +
                std::to_string(there.holder()));
    const std::string quiet = " tx off tso off gso off gro off >/dev/null";
    run_command("ethtool -K " + std::string(ours) + quiet);
    there.run("ip link set lo up && ethtool -K eth0" + quiet + " && ip link set eth0 up");
    run_command("ip link set " + std::string(ours) + " up");
  };
  run_command("ip link set lo up");
  pair("wan0", client);
  pair("lan0", backend);
  run_command("ip addr add 10.0.1.1/24 dev wan0 && ip addr add 10.0.3.1/24 dev lan0");
  client.run("ip addr add 10.0.1.2/24 dev eth0 && ip route add default via 10.0.1.1");
  backend.run("ip addr add 10.0.3.11/24 dev eth0 && ip route add default via 10.0.3.1");
}

}  // namespace holdfast::dataplane
