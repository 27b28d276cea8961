// SPDX-License-Identifier: Apache-2.0
// What systemd would receive, read from a socket that stands in for NOTIFY_SOCKET.
#include "control/admin/notify.h"
#include "tests/support/temp_directory.h"

#include <chrono>
#include <cstring>
#include <string>

#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

using ::testing::StartsWith;

class NotifyTest : public ::testing::Test {
 protected:
  NotifyTest() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = directory_.file("notify");
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    const timeval limit{10, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~NotifyTest() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
      ::unsetenv(name);
    }
    ::close(socket_);
  }
  std::string receive() const {
    char text[512];
    const ssize_t got = ::recv(socket_, text, sizeof text, 0);
    return got < 0 ? "nothing came" : std::string(text, static_cast<std::size_t>(got));
  }

  testing::TempDirectory directory_;
  int socket_;
  boost::asio::io_context context_{1};
  Notifier notifier_{context_.get_executor()};
};

TEST_F(NotifyTest, SaysReadyWithAStatusLine) {
  notifier_.ready("revision 3, 2 services");
  EXPECT_EQ(receive(), "READY=1\nSTATUS=revision 3, 2 services");
}

TEST_F(NotifyTest, KeepsAStatusOnOneLine) {
  notifier_.ready("a\nMAINPID=1");
  EXPECT_EQ(receive(), "READY=1\nSTATUS=a MAINPID=1");
}

TEST_F(NotifyTest, SaysReloadingWithTheMonotonicTime) {
  notifier_.reloading();
  const std::string text = receive();
  const std::string start = "RELOADING=1\nMONOTONIC_USEC=";
  ASSERT_THAT(text, StartsWith(start));
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const double said = std::stod(text.substr(start.size())) / 1e6;
  const double is = static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
  EXPECT_LE(said, is + 0.001);
  EXPECT_GE(said, is - 60);
}

TEST_F(NotifyTest, SaysStopping) {
  notifier_.stopping();
  EXPECT_EQ(receive(), "STOPPING=1");
}

TEST_F(NotifyTest, FeedsTheWatchdogTwicePerPeriod) {
  ::setenv("WATCHDOG_USEC", "200000", 1);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  notifier_.start_watchdog();
  const auto begin = std::chrono::steady_clock::now();
  for (int beat = 0; beat < 3; ++beat) {
    context_.run_one();  // the coroutine's start, then its timer
    EXPECT_EQ(receive(), "WATCHDOG=1");
  }
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(200));
}

TEST_F(NotifyTest, LeavesAWatchdogMeantForAnotherProcessAlone) {
  ::setenv("WATCHDOG_USEC", "200000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  notifier_.start_watchdog();
  EXPECT_EQ(context_.run(), 0U);
}

}  // namespace
}  // namespace holdfast::control
