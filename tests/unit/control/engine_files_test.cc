// SPDX-License-Identifier: Apache-2.0
// What the engine keeps on disk and writes to its log: revisions, lines; orders_test.cc has the
// journal.
#include "control/admin/file_descriptor.h"
#include "control/engine/event_log.h"
#include "control/engine/lateness.h"
#include "control/engine/revisions.h"
#include "control/engine/stderr_log.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_directory.h"

#include <array>
#include <chrono>
#include <climits>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;
using testing::FakeClock;
using ::testing::HasSubstr;
using testing::TempDirectory;

TEST(Revisions, SurviveTheirTextFormWithAnyNamesAndBytes) {
  const Revision revision{
      .number = 7,
      .sources = {{"/etc/holdfast.yaml", "version: 1\nfile 3 4\n"}, {"conf.d/new\nline.yaml", ""}}};
  const auto back = revision_from_text(7, revision_to_text(revision));
  ASSERT_TRUE(back.has_value()) << back.error();
  EXPECT_EQ(back->sources, revision.sources);
}

TEST(Revisions, RefuseATextCutAtAnyByte) {
  const std::string text = revision_to_text({.number = 1, .sources = {{"a", "one"}, {"b", "two"}}});
  std::size_t accepted = 0;
  for (std::size_t cut = 0; cut < text.size(); ++cut) {
    accepted += revision_from_text(1, text.substr(0, cut)).has_value() ? 1U : 0U;
  }
  EXPECT_EQ(accepted, 1U);  // exactly at the end of the first file
}

TEST(Revisions, KeepTheLastTwentyAndFallBackOverDamagedOnes) {
  const TempDirectory directory;
  EXPECT_FALSE(load_newest_revision(directory.path()).revision.has_value());
  for (std::uint64_t number = 1; number <= 25; ++number) {
    const Revision revision{.number = number, .sources = {{"main", std::to_string(number)}}};
    ASSERT_TRUE(save_revision(directory.path(), revision).has_value());
  }
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    ++files;
  }
  EXPECT_EQ(files, kRevisionsKept);
  std::ofstream(directory.file("revision-25")) << "torn";
  std::ofstream(directory.file("revision-x")) << "other";
  const NewestRevision newest = load_newest_revision(directory.path());
  ASSERT_TRUE(newest.revision.has_value());
  EXPECT_EQ(newest.revision->number, 24U);
  EXPECT_EQ(newest.highest, 25U);
  ASSERT_EQ(newest.problems.size(), 1U);
  EXPECT_THAT(newest.problems[0], HasSubstr("revision-25"));
}

TEST(LogLine, QuotesWhatNeedsItAndEscapesWhatATerminalCouldActOn) {
  EXPECT_EQ(log_line("state", {{"service", "web"}, {"cause", "L4 refused"}, {"empty", ""}}),
            "event=state service=web cause=\"L4 refused\" empty=\"\"");
  EXPECT_EQ(log_line("x", {{"a", "b=c"}, {"d", "\x1b[2J\n\"\\"}}),
            "event=x a=\"b=c\" d=\"\\x1b[2J\\n\\\"\\\\\"");
  EXPECT_LT(log_line("x", {{"a", std::string(100'000, ' ')}}).size(), 3000U);
}

TEST(EventLog, DropsWhatIsTooMuchAndSaysHowManyLinesOnceThereIsRoom) {
  FakeClock clock;
  std::vector<std::string> lines;
  EventLog log(clock, [&](Severity, const std::string& line) { lines.push_back(line); });
  for (int i = 0; i < 600; ++i) {
    log.event(Severity::kInfo, "burst", {});
  }
  EXPECT_EQ(lines.size(), 500U);
  EXPECT_EQ(log.suppressed(), 100U);
  clock.advance(1s);
  lines.clear();
  log.event(Severity::kInfo, "after", {});
  EXPECT_EQ(lines, (std::vector<std::string>{"event=log.suppressed lines=100", "event=after"}));
}

class StderrLogTest : public ::testing::Test {
 protected:
  StderrLogTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC), 0);
    reader = FileDescriptor(ends[0]);
    writer = FileDescriptor(ends[1]);
  }
  // Empties the pipe; "" when it is empty.
  std::string taken() const {
    std::string text(std::size_t{1} << 20U, '\0');
    const ssize_t size = ::read(reader.get(), text.data(), text.size());
    text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return text;
  }
  FileDescriptor reader;
  FileDescriptor writer;
};

TEST_F(StderrLogTest, CutsALineThatIsTooLongAndEndsItAllTheSame) {
  {
    StderrLog log(writer.get());
    log.write(Severity::kInfo, std::string(10'000, 'x'));
    log.write(Severity::kWarning, "event=next");
  }  // written
  const std::string text = taken();
  EXPECT_THAT(text, HasSubstr("xxx...\ntime="));
  EXPECT_THAT(text, HasSubstr(" level=warning event=next\n"));
  EXPECT_EQ(text.find('\n'), PIPE_BUF - 1);
}

TEST_F(StderrLogTest, CountsTheLinesThatNobodyTook) {
  StderrLog log(writer.get());
  const std::string page(PIPE_BUF, 'x');
  while (::write(writer.get(), page.data(), page.size()) > 0) {
  }
  for (int i = 0; i < 3; ++i) {
    log.write(Severity::kInfo, "event=lost");
  }
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (log.dropped() < 3 && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  EXPECT_EQ(log.dropped(), 3U);
}

TEST(Lateness, GivesThePercentileOfTheNewestProbes) {
  Lateness lateness;
  EXPECT_EQ(lateness.p99(), 0ns);
  for (int i = 1; i <= 100; ++i) {
    lateness.add(std::chrono::milliseconds(i));
  }
  EXPECT_EQ(lateness.p99(), 99ms);
  for (int i = 0; i < 2000; ++i) {
    lateness.add(1ms);
  }
  EXPECT_EQ(lateness.p99(), 1ms);
}

}  // namespace
}  // namespace holdfast::control
