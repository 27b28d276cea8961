// SPDX-License-Identifier: Apache-2.0
// The core of a process that aborts: asked for, also behind a change of user, and without what is
// shared. Where the kernel gives cores to a program instead of a file, only the asking is seen.
#include "dataplane/process/core_file.h"

#include "dataplane/process/privileges.h"
#include "tests/support/temp_directory.h"

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

constexpr std::size_t kShared = 64U << 20U;
constexpr unsigned kNobody = 65'534;

std::string first_word_of(const char* path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

// Whether what start-up has asked for is so. In the child.
bool is_asked_for() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == limit.rlim_max &&
         limit.rlim_max != 0 && ::prctl(PR_GET_DUMPABLE) == 1 &&
         first_word_of("/proc/self/coredump_filter") == "00000011";
}

// A process like ours, with a state like ours: asks, becomes another user, and aborts.
[[noreturn]] void abort_in(const std::string& folder, unsigned uid) {
  rlimit limit{};
  ::getrlimit(RLIMIT_CORE, &limit);
  limit.rlim_cur = 0;
  ::setrlimit(RLIMIT_CORE, &limit);
  void* state = ::mmap(nullptr, kShared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  std::memset(state, 1, kShared);
  const bool there = ::chdir(folder.c_str()) == 0;
  const bool dropped = drop_privileges({.uid = uid, .gid = uid}, 0).has_value();
  ask_for_core();
  if (!there || !dropped || !is_asked_for()) {
    ::_exit(1);
  }
  std::abort();
}

void expect_a_core_of(unsigned uid) {
  rlimit limit{};
  ::getrlimit(RLIMIT_CORE, &limit);
  if (limit.rlim_max == 0) {
    GTEST_SKIP() << "the hard limit on cores is 0 here";
  }
  const holdfast::testing::TempDirectory folder;
  std::filesystem::permissions(folder.file(""), std::filesystem::perms::all);
  const pid_t child = ::fork();
  if (child == 0) {
    abort_in(folder.file(""), uid);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status)) << "what was asked for is not so";
  EXPECT_EQ(WTERMSIG(status), SIGABRT);
  if (first_word_of("/proc/sys/kernel/core_pattern") != "core") {
    return;  // others take it, or not
  }
  EXPECT_TRUE(WCOREDUMP(status));
  for (const auto& file : std::filesystem::directory_iterator(folder.file(""))) {
    EXPECT_GT(file.file_size(), 0U);
    EXPECT_LT(file.file_size(), kShared) << "with what is shared";
  }
}

TEST(CoreFile, IsLeftWithoutWhatIsShared) { expect_a_core_of(::geteuid()); }

TEST(CoreFile, IsLeftByWhoHasBecomeAnotherUser) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can be somebody else";
  }
  expect_a_core_of(kNobody);
}

}  // namespace
}  // namespace holdfast::dataplane
