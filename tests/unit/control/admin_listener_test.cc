// SPDX-License-Identifier: Apache-2.0
// Socket files: stale ones are replaced, others are not, and every refusal says what to do.
#include "control/admin/listener.h"
#include "tests/support/temp_directory.h"

#include <fstream>
#include <string>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

using ::testing::HasSubstr;
using testing::TempDirectory;

// Leaves a socket file behind as a killed process does.
void leave_stale_socket(const std::string& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto listener = UnixListener::open(path);
    ::_exit(listener ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  ASSERT_EQ(::access(path.c_str(), F_OK), 0);
}

TEST(UnixListener, ReplacesASocketFileThatNobodyAnswersOn) {
  const TempDirectory directory;
  leave_stale_socket(directory.file("s"));
  const auto listener = UnixListener::open(directory.file("s"));
  EXPECT_TRUE(listener) << listener.error();
}

TEST(UnixListener, TellsASecondInstanceWhatToDo) {
  const TempDirectory directory;
  const auto first = UnixListener::open(directory.file("s"));
  ASSERT_TRUE(first);
  const auto second = UnixListener::open(directory.file("s"));
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error(), HasSubstr("another holdfast control answers on"));
  EXPECT_THAT(second.error(), HasSubstr("stop it, or give this one another control.socket"));
}

TEST(UnixListener, LeavesAFileThatIsNoSocketAlone) {
  const TempDirectory directory;
  std::ofstream(directory.file("s")) << "precious";
  const auto listener = UnixListener::open(directory.file("s"));
  ASSERT_FALSE(listener);
  EXPECT_THAT(listener.error(), HasSubstr("is no socket"));
  EXPECT_EQ(::access(directory.file("s").c_str(), F_OK), 0);
}

TEST(UnixListener, RefusesAPathThatDoesNotFit) {
  const auto listener = UnixListener::open("/tmp/" + std::string(120, 'x'));
  ASSERT_FALSE(listener);
  EXPECT_THAT(listener.error(), HasSubstr("1 to 107 bytes"));
}

TEST(UnixListener, SaysWhichDirectoryItCannotMake) {
  const auto listener = UnixListener::open("/proc/nowhere/s");
  ASSERT_FALSE(listener);
  EXPECT_THAT(listener.error(), HasSubstr("cannot make the directory /proc/nowhere"));
}

TEST(UnixListener, LeavesItsSuccessorsSocketAlone) {
  const TempDirectory directory;
  {
    const auto listener = UnixListener::open(directory.file("s"));
    ASSERT_TRUE(listener);
    ASSERT_EQ(::rename(directory.file("s").c_str(), directory.file("old").c_str()), 0);
    std::ofstream(directory.file("s")) << "another's";
  }
  EXPECT_EQ(::access(directory.file("s").c_str(), F_OK), 0);
}

TEST(TcpListener, PicksAFreePort) {
  const auto first = listen_tcp("127.0.0.1:0");
  const auto second = listen_tcp("127.0.0.1:0");
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->port, 0);
  EXPECT_NE(first->port, second->port);
  EXPECT_EQ(first->address, "127.0.0.1");
}

TEST(TcpListener, ListensOnIpv6) {
  const auto listener = listen_tcp("[::1]:0");
  if (!listener) {
    GTEST_SKIP() << "no IPv6 loopback: " << listener.error();
  }
  EXPECT_NE(listener->port, 0);
}

TEST(TcpListener, SaysWhatIsWrongWithAnEndpoint) {
  for (const char* endpoint : {"",
                               "9180",
                               "localhost:9180",
                               "127.0.0.1:",
                               "127.0.0.1:65536",
                               "127.0.0.1:9x",
                               "::1:9180",
                               "[::1]",
                               "[]:1",
                               "256.0.0.1:1"}) {
    const auto listener = listen_tcp(endpoint);
    ASSERT_FALSE(listener) << endpoint;
    EXPECT_THAT(listener.error(), HasSubstr("write 127.0.0.1:9180"));
  }
}

TEST(TcpListener, TellsThatAPortIsTaken) {
  const auto first = listen_tcp("127.0.0.1:0");
  ASSERT_TRUE(first);
  const auto second = listen_tcp("127.0.0.1:" + std::to_string(first->port));
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error(), HasSubstr("set control.metrics to another port, or none"));
}

}  // namespace
}  // namespace holdfast::control
