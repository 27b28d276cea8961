// SPDX-License-Identifier: Apache-2.0
// One owner per name in a network namespace: who is one, and who only stands in the way.
#include "dataplane/process/lock.h"

#include <algorithm>
#include <csignal>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

using ::testing::HasSubstr;

// Of this process alone: tests beside it are in the same namespace.
std::string own_name() { return "holdfast_lock_test_" + std::to_string(::getpid()); }

// Another process that has the name, listening there or not.
class Stranger {
 public:
  enum class Does : std::uint8_t { kListen, kBindOnly };

  Stranger(const std::string& name, unsigned uid, Does does) {
    int ready[2] = {-1, -1};
    EXPECT_EQ(::pipe(ready), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      std::ranges::copy(name, address.sun_path + 1);
      const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
      const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
      const bool done = ::setresuid(uid, uid, uid) == 0 &&
                        ::bind(socket, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                        (does == Does::kBindOnly || ::listen(socket, 1) == 0);
      [[maybe_unused]] const auto told = ::write(ready[1], &done, sizeof(done));
      ::pause();
      ::_exit(0);
    }
    bool done = false;
    EXPECT_EQ(::read(ready[0], &done, sizeof(done)), static_cast<ssize_t>(sizeof(done)));
    EXPECT_TRUE(done);
    ::close(ready[0]);
    ::close(ready[1]);
  }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;
  ~Stranger() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

TEST(Name, IsRefusedToASecondWithTheOwnersProcessHoweverManyHaveAsked) {
  const auto held = acquire_name(own_name(), "the name");
  ASSERT_TRUE(held.has_value());
  ASSERT_TRUE(held->socket.valid());
  EXPECT_EQ(held->notice, "");
  for (int i = 0; i < 200; ++i) {
    const auto second = acquire_name(own_name(), "the name");
    ASSERT_FALSE(second.has_value()) << i;
    EXPECT_EQ(second.error().code, ExitCode::kRefused);
    EXPECT_THAT(second.error().text, HasSubstr("the name"));
    EXPECT_THAT(second.error().text, HasSubstr("process " + std::to_string(::getpid())));
    dismiss_asker(held->socket);
  }
}

TEST(Name, IsFreeAgainWhenItsOwnerIsGone) {
  ASSERT_TRUE(acquire_name(own_name(), "the name").has_value());
  EXPECT_TRUE(acquire_name(own_name(), "the name").value().socket.valid());
}

TEST(Name, IsRefusedWhenAnotherProcessOfTheSameUserHasIt) {
  const Stranger other(own_name(), ::geteuid(), Stranger::Does::kListen);
  const auto held = acquire_name(own_name(), "the name");
  ASSERT_FALSE(held.has_value());
  EXPECT_THAT(held.error().text, HasSubstr("process " + std::to_string(other.pid())));
}

// Any user can bind such a name: that must keep no dataplane from its start.
TEST(Name, AStrangerWhoHasItIsToldOfAndHoldsUpNobody) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can be somebody else";
  }
  const Stranger stranger(own_name(), 65'534, Stranger::Does::kListen);
  const auto held = acquire_name(own_name(), "the name");
  ASSERT_TRUE(held.has_value()) << held.error().text;
  EXPECT_FALSE(held->socket.valid());
  EXPECT_THAT(held->notice, HasSubstr("process " + std::to_string(stranger.pid())));
  EXPECT_THAT(held->notice, HasSubstr("uid 65534"));
  EXPECT_THAT(held->notice, HasSubstr("@" + own_name()));
}

TEST(Name, AStrangerWhoDoesNotListenHoldsUpNobody) {
  const Stranger stranger(own_name(), ::geteuid(), Stranger::Does::kBindOnly);
  const auto held = acquire_name(own_name(), "the name");
  ASSERT_TRUE(held.has_value()) << held.error().text;
  EXPECT_FALSE(held->socket.valid());
  EXPECT_THAT(held->notice, HasSubstr("@" + own_name()));
}

}  // namespace
}  // namespace holdfast::dataplane
