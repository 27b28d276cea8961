// SPDX-License-Identifier: Apache-2.0
// `events` against the real API server with a fake operator behind it.
#include "tests/unit/cli/cli_verb_fixture.h"

#include <algorithm>
#include <cstdint>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class CliEventsTest : public CliVerbFixture {
 protected:
  CliEventsTest() {
    operator_.events_view = {.life = 7, .change = 5, .events = {}};
    operator_.events_view.events.push_back(
        {.number = 1, .change = 3, .unix_ms = 1'700'000'000'000, .kind = "reload"});
    operator_.events_view.events.push_back(
        {.number = 2,
         .change = 5,
         .unix_ms = 1'700'000'001'000,
         .kind = "drain",
         .object = "web/a",
         .who = "uid=0(root)",
         .reason = "disk",
         .services =
             {{"web",
               {.moved = {{"reset", 3}}, .untracked = 1, .reset = 4, .asked = 5, .unanswered = 3}},
              {"dns", {.moved = {{"reset", 1}, {"reopened", 2}}, .reset = 1}}},
         .settled = true});
    start();
  }
};

TEST_F(CliEventsTest, AreListedWithWhatMoved) {
  EXPECT_EQ(run_with_socket({"events"}).out,
            "EVENT  WHEN                     WHAT    OF     MOVED                RESET  UNANSWERED "
            " UNTRACKED  "
            "WHO          WHY\n"
            "    1  2023-11-14 22:13:20 UTC  reload  -      0                        0           0 "
            "         0  "
            "-            -\n"
            "    2  2023-11-14 22:13:21 UTC  drain   web/a  2 reopened, 4 reset      5           3 "
            "         1  "
            "uid=0(root)  disk\n");
}

TEST_F(CliEventsTest, AreListedAsJson) {
  const auto listed = boost::json::parse(run_with_socket({"events", "-o", "json"}).out);
  EXPECT_EQ(listed.at("events").at(1).at("services").at(0).at("moved").at("reset"), 3);
}

// A pipe that is closed behind so many lines.
class Lines : public std::stringbuf {
 public:
  explicit Lines(int most) : left_(most) {}

 private:
  std::streamsize xsputn(const char* text, std::streamsize size) override {
    left_ -= static_cast<int>(std::count(text, text + size, '\n'));
    return left_ < 0 ? 0 : std::stringbuf::xsputn(text, size);
  }
  int sync() override { return left_ <= 0 ? -1 : 0; }
  int left_;
};

// The fake stops when it has told all; whoever follows asks again, behind what it has.
TEST_F(CliEventsTest, AreFollowedAndAskedForAgainBehindTheLastOne) {
  thread_.run([&] { operator_.later_events = {{.number = 3, .change = 6, .kind = "undrain"}}; });
  Lines lines(3);
  std::ostream out(&lines);
  std::ostringstream error;
  Context context{.out = out, .error = error, .program = "/usr/bin/holdfast"};
  run_program({"events", "--follow", "--socket", path_}, context);
  EXPECT_THAT(error.str(), HasSubstr("trying again"));
  EXPECT_THAT(lines.str(), HasSubstr("3 - undrain -: moved 0,"));
  EXPECT_THAT(lines.str(),
              StartsWith("1 2023-11-14 22:13:20 UTC reload -: moved 0, reset 0, unanswered 0, "
                         "untracked 0, frames held 0, "
                         "released 0, dropped 0 (-; -)\n"
                         "2 2023-11-14 22:13:21 UTC drain web/a: moved 2 reopened, 4 reset, reset "
                         "5, unanswered 3, untracked "
                         "1, frames held 0, released 0, dropped 0, settled (uid=0(root); disk)\n"));
  std::vector<std::uint64_t> asked = thread_.run([&] { return operator_.asked_changes; });
  ASSERT_GE(asked.size(), 4U);
  asked.resize(4);  // the stream's end may come before the connection's
  EXPECT_EQ(asked, (std::vector<std::uint64_t>{0, 0, 5, 5}));
}

TEST_F(CliEventsTest, WithoutControlEndAsNotReachable) {
  thread_.run([&] { server_.reset(); });
  EXPECT_EQ(run_with_socket({"events", "--follow"}).exit_code, 4);
  EXPECT_EQ(run_with_socket({"events"}).exit_code, 4);
}

}  // namespace
}  // namespace holdfast::control
