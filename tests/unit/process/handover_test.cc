// SPDX-License-Identifier: Apache-2.0
// Two processes that hand over: what they say to each other, and what the one that forwards makes
// of a successor that asks, dies, hangs or talks nonsense.
#include "dataplane/process/handover.h"

#include "dataplane/process/predecessor.h"
#include "tests/support/temp_directory.h"

#include <array>
#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr std::uint64_t kStartup = 0x1234;

std::array<int, kHandedOverCount> nothing() {
  std::array<int, kHandedOverCount> none;
  none.fill(-1);
  return none;
}

bool same_file(int a, int b) {
  struct stat one{};
  struct stat other{};
  return ::fstat(a, &one) == 0 && ::fstat(b, &other) == 0 && one.st_ino == other.st_ino &&
         one.st_dev == other.st_dev;
}

TEST(HandoverChannel, CarriesDescriptorsToTheirPlaces) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
  const HandoverChannel near{Descriptor(ends[0])};
  const HandoverChannel far{Descriptor(ends[1])};
  const testing::TempDirectory folder;
  const Descriptor file(::open(folder.file("x").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  auto descriptors = nothing();
  descriptors[std::to_underlying(HandedOver::kState)] = file.get();
  descriptors[std::to_underlying(HandedOver::kLog)] = STDERR_FILENO;
  ASSERT_TRUE(near.send(HandoverStep::kOffer, kStartup, "text", &descriptors));
  const auto message = far.receive(1s);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->step, HandoverStep::kOffer);
  EXPECT_EQ(message->startup_id, kStartup);
  EXPECT_EQ(message->text, "text");
  const auto& got = message->descriptors;
  EXPECT_TRUE(same_file(got[std::to_underlying(HandedOver::kState)].get(), file.get()));
  EXPECT_TRUE(same_file(got[std::to_underlying(HandedOver::kLog)].get(), STDERR_FILENO));
  EXPECT_FALSE(got[std::to_underlying(HandedOver::kWriter)].valid());
}

TEST(HandoverChannel, RefusesWhatIsNoMessageAndSaysWhenNobodyIsThere) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
  Descriptor near(ends[0]);
  const HandoverChannel far{Descriptor(ends[1])};
  EXPECT_FALSE(far.receive(1ms));
  for (const std::size_t size : {1U, 24U, 1048U, 5000U}) {
    const std::string garbage(size, '\xff');
    ASSERT_EQ(::send(near.get(), garbage.data(), size, 0), static_cast<ssize_t>(size));
    EXPECT_FALSE(far.receive(1s)) << size;
  }
  EXPECT_FALSE(far.peer_gone());
  near.close();
  EXPECT_TRUE(far.peer_gone());
  EXPECT_FALSE(far.receive(1s));
  EXPECT_FALSE(far.send(HandoverStep::kAsk));
}

// A process that can hand over, and what it was told to do.
class Rig {
 public:
  Rig() {
    auto listener = Handover::listen(socket_);
    EXPECT_TRUE(listener.has_value());
    handover_.emplace(loop_,
                      std::move(*listener),
                      kStartup,
                      Handover::Owner{.objection = [this] { return objection; },
                                      .offer =
                                          [] {
                                            auto offer = nothing();
                                            offer[std::to_underlying(HandedOver::kLog)] =
                                                STDERR_FILENO;
                                            return offer;
                                          },
                                      .stop = [this] { said_ += "stop "; },
                                      .resume =
                                          [this] {
                                            said_ += "resume ";
                                            loop_.stop();
                                          },
                                      .leave =
                                          [this] {
                                            said_ += "leave ";
                                            loop_.stop();
                                          }});
  }

  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  // Runs the loop while `successor` runs in a thread of its own, and until that ends.
  void run_beside(const std::function<void()>& successor) {
    std::thread thread([&] {
      successor();
      done_ = true;
    });
    loop_.every(5ms, [this] {
      if (done_) {
        loop_.stop();
      }
    });
    loop_.run();
    thread.join();
  }
  // Until it has resumed or left.
  void run() { loop_.run(); }

  [[nodiscard]] const std::string& socket() const { return socket_; }
  [[nodiscard]] const std::string& said() const { return said_; }
  std::string objection;

 private:
  testing::TempDirectory folder_;
  std::string socket_ = folder_.file("dataplane.sock");
  PollLoop loop_;
  std::string said_;
  std::atomic<bool> done_ = false;
  std::optional<Handover> handover_;
};

TEST(Handover, StopsForASuccessorThatIsPreparedAndLeavesOnceThatForwards) {
  Rig rig;
  rig.run_beside([&rig] {
    auto predecessor = Predecessor::ask(rig.socket(), kStartup);
    ASSERT_TRUE(predecessor.has_value());
    EXPECT_TRUE(predecessor->take(HandedOver::kLog).valid());
    EXPECT_FALSE(predecessor->take(HandedOver::kLog).valid()) << "only once";
    int meanwhile = 0;
    EXPECT_TRUE(predecessor->await_stop([&meanwhile] { ++meanwhile; }).has_value());
    EXPECT_GT(meanwhile, 0);
    predecessor->say_forwards();
  });
  EXPECT_EQ(rig.said(), "stop leave ");
}

TEST(Handover, RefusesWithTheReason) {
  Rig rig;
  rig.objection = "port wan0 is of a kind";
  rig.run_beside([&rig] {
    const auto predecessor = Predecessor::ask(rig.socket(), kStartup);
    ASSERT_FALSE(predecessor.has_value());
    EXPECT_EQ(predecessor.error().code, ExitCode::kRefused);
    EXPECT_EQ(predecessor.error().text, rig.objection);
  });
  EXPECT_EQ(rig.said(), "");
}

TEST(Handover, RefusesOtherStartUpKeys) {
  Rig rig;
  rig.run_beside([&rig] {
    const auto predecessor = Predecessor::ask(rig.socket(), kStartup + 1);
    ASSERT_FALSE(predecessor.has_value());
    EXPECT_THAT(predecessor.error().text, HasSubstr("start-up keys"));
  });
}

TEST(Handover, RefusesASecondSuccessorAndTakesTheNextOneWhenTheFirstIsGone) {
  Rig rig;
  rig.run_beside([&rig] {
    {
      const auto first = Predecessor::ask(rig.socket(), kStartup);
      ASSERT_TRUE(first.has_value());
      const auto second = Predecessor::ask(rig.socket(), kStartup);
      ASSERT_FALSE(second.has_value());
      EXPECT_THAT(second.error().text, HasSubstr("about to take over"));
    }
    auto next = Predecessor::ask(rig.socket(), kStartup);
    for (int tries = 0; !next && tries < 1000; ++tries) {
      next = Predecessor::ask(rig.socket(), kStartup);
    }
    EXPECT_TRUE(next.has_value());
  });
  EXPECT_EQ(rig.said(), "");
}

TEST(Handover, DoesNothingForWhoeverSaysWhatWasNotAsked) {
  for (const HandoverStep step :
       {HandoverStep::kPrepared, HandoverStep::kForwards, HandoverStep::kStopped}) {
    Rig rig;
    rig.run_beside([&rig, step] {
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      handover_path(rig.socket()).copy(address.sun_path, sizeof(address.sun_path) - 1);
      Descriptor asker(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
      ASSERT_TRUE(asker.valid());
      ASSERT_EQ(::connect(asker.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
      const HandoverChannel channel(std::move(asker));
      ASSERT_TRUE(channel.send(step, kStartup));
      EXPECT_FALSE(channel.receive(5s));
      EXPECT_TRUE(channel.peer_gone());
    });
    EXPECT_EQ(rig.said(), "");
  }
}

// In a process of its own, which is ended for it.
TEST(Handover, GoesOnWhenTheSuccessorDiesOrHangsOnceTheWorkersHaveStopped) {
  for (const bool hangs : {false, true}) {
    Rig rig;
    const pid_t child = ::fork();
    if (child == 0) {
      auto predecessor = Predecessor::ask(rig.socket(), kStartup);
      const bool stopped = predecessor && predecessor->await_stop([] {}).has_value();
      if (stopped && hangs) {
        ::pause();
      }
      ::_exit(0);
    }
    rig.run();
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(WIFSIGNALED(status), hangs);
    EXPECT_EQ(rig.said(), "stop resume ");
  }
}

}  // namespace
}  // namespace holdfast::dataplane
