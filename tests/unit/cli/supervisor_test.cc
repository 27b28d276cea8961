// SPDX-License-Identifier: Apache-2.0
// The supervisor as a process of its own, over children that are shell scripts: what it starts,
// starts again, adopts and stops. Its log tells the pids; every wait has a bound.
#include "control/cli/supervisor.h"

#include "control/cli/backoff.h"
#include "tests/support/contents.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_directory.h"

#include <chrono>
#include <csignal>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;
using testing::contents;
using testing::eventually;
using ::testing::HasSubstr;

// Not even a zombie.
bool alive(pid_t pid) {
  const std::string status = contents("/proc/" + std::to_string(pid) + "/stat");
  return !status.empty() && status.find(") Z ") == std::string::npos;
}

ChildPlan script(const std::string& name, const std::string& text) {
  return {name, {"/bin/sh", "-c", text}, {}, {}};
}

class SupervisorTest : public ::testing::Test {
 protected:
  ~SupervisorTest() override {
    for (const pid_t pid : supervisors_) {
      ::kill(pid, SIGTERM);
      ::waitpid(pid, nullptr, 0);
    }
    for (const pid_t pid : pids_of("dataplane")) {
      ::kill(pid, SIGKILL);
    }
    for (const pid_t pid : pids_of("control")) {
      ::kill(pid, SIGKILL);
    }
  }

  SupervisorPlan plan(const std::string& dataplane, const std::string& control) {
    return {.run_directory = directory_.file("run"),
            .children = {script("dataplane", dataplane), script("control", control)},
            .reloaded = "control",
            .stop_limit = 10s};
  }
  // Runs a supervisor in a process of its own; returns its pid.
  pid_t start(const SupervisorPlan& what) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      const int log = ::open(log_path().c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      ::dup2(log, STDERR_FILENO);
      ::_exit(Supervisor(what).run());
    }
    supervisors_.insert(pid);
    return pid;
  }
  int exit_code(pid_t supervisor) {
    int status = 0;
    supervisors_.erase(supervisor);
    ::waitpid(supervisor, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  void kill_supervisor(pid_t supervisor) {
    ::kill(supervisor, SIGKILL);
    EXPECT_EQ(exit_code(supervisor), -1);
  }

  [[nodiscard]] std::string log_path() const { return directory_.file("log"); }
  [[nodiscard]] std::string log() const { return contents(log_path()); }
  [[nodiscard]] bool logs(const std::string& text) const {
    return eventually([&] { return log().find(text) != std::string::npos; });
  }
  // Every pid under which the child was started, oldest first.
  [[nodiscard]] std::vector<pid_t> pids_of(const std::string& child) const {
    const std::string start = "event=started child=" + child + " pid=";
    const std::string text = log();
    std::vector<pid_t> pids;
    for (auto at = text.find(start); at != std::string::npos; at = text.find(start, at + 1)) {
      pids.push_back(std::stoi(text.substr(at + start.size())));
    }
    return pids;
  }
  // The child's pid once it has been started that many times.
  pid_t pid_of(const std::string& child, std::size_t starts = 1) {
    EXPECT_TRUE(eventually([&] { return pids_of(child).size() >= starts; })) << log();
    const auto pids = pids_of(child);
    return pids.size() < starts ? -1 : pids[starts - 1];
  }

  testing::TempDirectory directory_;
  std::set<pid_t> supervisors_;
};

constexpr const char* kForever = "exec sleep 1000";

TEST(Backoff, DoublesToFiveSecondsAndIsNoneAfterTen) {
  Backoff backoff;
  std::vector<long> waits;
  for (int i = 0; i < 8; ++i) {
    waits.push_back(backoff.after(9'999ms).count());
  }
  EXPECT_EQ(waits, (std::vector<long>{100, 200, 400, 800, 1600, 3200, 5000, 5000}));
  EXPECT_EQ(backoff.after(10'000ms), 0ms);
  EXPECT_EQ(backoff.after(1ms), 100ms);
  EXPECT_EQ(backoff.after(1ms), 200ms);
}

TEST_F(SupervisorTest, StartsChildrenInOrderAndStopsControlFirst) {
  const std::string noted = "trap 'echo {} >> " + directory_.file("order") +
                            "; exit 0' TERM; echo up >> " + directory_.file("up") +
                            "; while :; do sleep 0.01; done";
  const auto with_name = [&](const std::string& name) {
    std::string text = noted;
    return text.replace(text.find("{}"), 2, name);
  };
  const pid_t supervisor = start(plan(with_name("dataplane"), with_name("control")));
  ASSERT_TRUE(eventually([&] { return contents(directory_.file("up")) == "up\nup\n"; }));
  EXPECT_LT(log().find("event=started child=dataplane"), log().find("event=started child=control"));
  ::kill(supervisor, SIGTERM);
  EXPECT_EQ(exit_code(supervisor), 0);
  EXPECT_EQ(contents(directory_.file("order")), "control\ndataplane\n");
  EXPECT_THAT(log(), HasSubstr("event=ends exit_code=0"));
}

TEST_F(SupervisorTest, StartsAKilledChildAgainAndLeavesTheOtherAlone) {
  start(plan(kForever, kForever));
  const pid_t dataplane = pid_of("dataplane");
  ::kill(pid_of("control"), SIGKILL);
  EXPECT_NE(pid_of("control", 2), pid_of("control", 1));
  EXPECT_THAT(log(), HasSubstr("signal=Killed"));
  EXPECT_EQ(pids_of("dataplane"), std::vector<pid_t>{dataplane});
  EXPECT_TRUE(alive(dataplane));
}

TEST_F(SupervisorTest, KeepsTryingAChildThatFails) {
  start(plan(kForever, "exit 1"));
  EXPECT_GT(pid_of("control", 4), 0);
  EXPECT_THAT(log(), HasSubstr("exit_code=1"));
}

TEST_F(SupervisorTest, GivesUpWithTheCodeOfAFirstStartThatCannotBeMended) {
  for (const int code : {2, 3, 5, 77}) {
    const pid_t supervisor = start(plan(kForever, "exit " + std::to_string(code)));
    EXPECT_EQ(exit_code(supervisor), code);
    EXPECT_FALSE(alive(pids_of("dataplane").back()));
  }
}

TEST_F(SupervisorTest, KeepsTryingWhenTheSameCodeComesLater) {
  const std::string mark = directory_.file("mark");
  start(plan(kForever, "[ -e " + mark + " ] || { touch " + mark + "; kill -9 $$; }; exit 3"));
  EXPECT_GT(pid_of("control", 4), 0);
}

TEST_F(SupervisorTest, SaysWhichProgramItCannotStart) {
  SupervisorPlan what = plan(kForever, kForever);
  what.children[1].command = {"/nowhere/holdfast", "control"};
  const pid_t supervisor = start(what);
  EXPECT_EQ(exit_code(supervisor), 77);
  EXPECT_THAT(log(), HasSubstr("cannot start /nowhere/holdfast: No such file or directory"));
}

TEST_F(SupervisorTest, AdoptsChildrenThatAnotherSupervisorLeft) {
  const SupervisorPlan what = plan(kForever, kForever);
  const pid_t first = start(what);
  const pid_t dataplane = pid_of("dataplane");
  const pid_t control = pid_of("control");
  kill_supervisor(first);
  EXPECT_TRUE(alive(dataplane));
  EXPECT_TRUE(alive(control));

  const pid_t second = start(what);
  EXPECT_TRUE(logs("event=adopted child=dataplane pid=" + std::to_string(dataplane)));
  EXPECT_TRUE(logs("event=adopted child=control pid=" + std::to_string(control)));
  ::kill(control, SIGKILL);
  EXPECT_NE(pid_of("control", 2), control);
  EXPECT_EQ(pids_of("dataplane").size(), 1U);

  ::kill(second, SIGTERM);
  EXPECT_EQ(exit_code(second), 0);
  EXPECT_TRUE(eventually([&] { return !alive(dataplane); }));
}

TEST_F(SupervisorTest, GivingUpLeavesAnAdoptedDataplaneRunning) {
  const pid_t first = start(plan(kForever, kForever));
  const pid_t dataplane = pid_of("dataplane");
  const pid_t control = pid_of("control");
  kill_supervisor(first);
  ::kill(control, SIGKILL);
  ASSERT_TRUE(eventually([&] { return !alive(control); }));
  const pid_t second = start(plan(kForever, "exit 3"));
  EXPECT_EQ(exit_code(second), 3);
  EXPECT_TRUE(alive(dataplane));
}

TEST_F(SupervisorTest, IsNotFooledByALockFileThatNamesADeadOrAnotherProcess) {
  ::mkdir(directory_.file("run").c_str(), 0700);
  std::ofstream(directory_.file("run/control.lock")) << "1 5\n";
  std::ofstream(directory_.file("run/dataplane.lock")) << "garbage";
  start(plan(kForever, kForever));
  EXPECT_GT(pid_of("dataplane"), 0);
  EXPECT_GT(pid_of("control"), 0);
}

TEST_F(SupervisorTest, WaitsForALockWhoseHolderIsNotNamed) {
  ::mkdir(directory_.file("run").c_str(), 0700);
  const int held = ::open(directory_.file("run/control.lock").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(::flock(held, LOCK_EX), 0);
  start(plan(kForever, kForever));
  EXPECT_TRUE(logs("is locked by a process that it does not name"));
  // The supervisor was forked from here and holds a copy; only the lock itself can be given up.
  ::flock(held, LOCK_UN);
  EXPECT_GT(pid_of("control"), 0);
  ::close(held);
}

TEST_F(SupervisorTest, RefusesToRunBesideAnotherOne) {
  const SupervisorPlan what = plan(kForever, kForever);
  const pid_t first = start(what);
  pid_of("control");
  const pid_t second = start(what);
  EXPECT_EQ(exit_code(second), 5);
  EXPECT_THAT(log(), HasSubstr("another holdfast run (pid " + std::to_string(first) + ")"));
}

TEST_F(SupervisorTest, ForwardsHangupToControlOnly) {
  const std::string noting = "trap 'echo hup >> " + directory_.file("hups") + "' HUP; echo up > " +
                             directory_.file("up") + "; while :; do sleep 0.01; done";
  const pid_t supervisor = start(plan(kForever, noting));
  ASSERT_TRUE(eventually([&] { return contents(directory_.file("up")) == "up\n"; }));
  ::kill(supervisor, SIGHUP);
  EXPECT_TRUE(eventually([&] { return contents(directory_.file("hups")) == "hup\n"; }));
  EXPECT_TRUE(alive(pid_of("dataplane")));
}

TEST_F(SupervisorTest, KillsAChildThatDoesNotEndInTime) {
  SupervisorPlan what =
      plan("trap '' TERM; echo up > " + directory_.file("up") + "; while :; do sleep 0.01; done",
           kForever);
  what.stop_limit = 100ms;
  const pid_t supervisor = start(what);
  ASSERT_TRUE(eventually([&] { return contents(directory_.file("up")) == "up\n"; }));
  ::kill(supervisor, SIGTERM);
  EXPECT_EQ(exit_code(supervisor), 0);
  EXPECT_THAT(log(), HasSubstr("event=killed child=dataplane"));
}

TEST_F(SupervisorTest, PreparesBeforeEachStart) {
  SupervisorPlan what =
      plan("test -e " + directory_.file("made") + " && exec sleep 1000", kForever);
  what.children[0].prepare = {"/bin/sh", "-c", "echo x >> " + directory_.file("made")};
  what.children[0].prepared_file = directory_.file("made");
  start(what);
  const pid_t dataplane = pid_of("dataplane");
  ::kill(dataplane, SIGKILL);
  pid_of("dataplane", 2);
  EXPECT_EQ(contents(directory_.file("made")), "x\nx\n");
}

TEST_F(SupervisorTest, GivesUpWhenTheFirstPreparationFindsTheConfigurationInvalid) {
  SupervisorPlan what = plan(kForever, kForever);
  what.children[0].prepare = {"/bin/sh", "-c", "exit 3"};
  what.children[0].prepared_file = directory_.file("made");
  EXPECT_EQ(exit_code(start(what)), 3);
  EXPECT_TRUE(pids_of("dataplane").empty());
}

TEST_F(SupervisorTest, TakesAnOlderPreparedFileWhenPreparingFails) {
  std::ofstream(directory_.file("made")) << "older";
  SupervisorPlan what = plan(kForever, kForever);
  what.children[0].prepare = {"/bin/sh", "-c", "exit 3"};
  what.children[0].prepared_file = directory_.file("made");
  start(what);
  EXPECT_GT(pid_of("dataplane"), 0);
  EXPECT_THAT(log(), HasSubstr("event=prepared_file_is_older child=dataplane exit_code=3"));
}

TEST_F(SupervisorTest, GivesChildrenACleanSlate) {
  start(plan(kForever, kForever));
  const pid_t control = pid_of("control");
  EXPECT_EQ(::getpgid(control), control);
  // SIGHUP alone is held back, until the child has a handler for it.
  EXPECT_THAT(contents("/proc/" + std::to_string(control) + "/status"),
              HasSubstr("SigBlk:\t0000000000000001"));
  const std::string descriptors = "/proc/" + std::to_string(control) + "/fd/";
  char target[256] = {};
  ASSERT_GT(::readlink((descriptors + "0").c_str(), target, sizeof target - 1), 0);
  EXPECT_STREQ(target, "/dev/null");
}

}  // namespace
}  // namespace holdfast::control
