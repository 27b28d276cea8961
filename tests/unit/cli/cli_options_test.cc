// SPDX-License-Identifier: Apache-2.0
// Durations, tables and which members an object means.
#include "control/cli/drain_wait.h"
#include "control/cli/options.h"
#include "control/cli/table.h"

#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;

TEST(Duration, IsReadWithItsUnitOnly) {
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("5s"), 5s);
  EXPECT_EQ(parse_duration("2m"), 2min);
  EXPECT_EQ(parse_duration("1h"), 1h);
  EXPECT_EQ(parse_duration("0s"), 0s);
  for (const char* text :
       {"", "5", "s", "-5s", "+5s", "5 s", "1.5s", "5S", "5sx", "8761h", "99999999999999999999s"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
  EXPECT_EQ(parse_duration("9000h").error(), "'9000h' is longer than a year (8760h)");
  EXPECT_EQ(parse_duration("99999999999999999999s").error(),
            "'99999999999999999999s' is longer than a year (8760h)");
  EXPECT_EQ(parse_duration("5").error(), "'5' is no duration: write 500ms, 30s, 5m or 1h");
}

TEST(Duration, IsWrittenInItsTwoLargestUnits) {
  EXPECT_EQ(duration_text(0s), "0ms");
  EXPECT_EQ(duration_text(-1s), "0ms");
  EXPECT_EQ(duration_text(250ms), "250ms");
  EXPECT_EQ(duration_text(1s), "1s");
  EXPECT_EQ(duration_text(60s), "1m");
  EXPECT_EQ(duration_text(125s), "2m 5s");
  EXPECT_EQ(duration_text(3'600s), "1h");
  EXPECT_EQ(duration_text(86'400s + 7'200s + 59s), "1d 2h");
}

TEST(Table, AlignsColumnsByCharactersAndLeavesNoBlanksAtTheEnd) {
  Table table({{"NAME"}, {"COUNT", Align::kRight}, {"NOTE"}});
  table.add({"d\xc3\xa9mo", "7", ""});
  table.add({"b", "1234567", "x"});
  EXPECT_EQ(table.text(),
            "NAME    COUNT  NOTE\n"
            "d\xc3\xa9mo        7\n"
            "b     1234567  x\n");
}

const std::vector<std::string> kMembers = {"web/a", "dsr/a"};

boost::json::object backend(const char* service, const char* name, boost::json::value flows) {
  return {
      {"service", service}, {"name", name}, {"address", "10.0.3.11"}, {"flows", std::move(flows)}};
}

TEST(DrainProgress, AddsUpTheFlowsOfItsMembers) {
  const boost::json::object list = {
      {"backends",
       {backend("web", "a", 12), backend("dsr", "a", 3), backend("web", "b", 99), "nonsense"}}};
  const DrainProgress progress = drain_progress(list, kMembers);
  EXPECT_TRUE(progress.known);
  EXPECT_EQ(progress.flows, 15U);
  EXPECT_EQ(progress.members, "web/a: 12 flows, dsr/a: 3 flows");
}

TEST(DrainProgress, SaysWhenTheLastFlowWillProbablyHaveEnded) {
  boost::json::object draining = backend("web", "a", 12);
  draining["drain_estimate_s"] = 75.0;
  const boost::json::object list = {{"backends", {draining}}};
  EXPECT_EQ(drain_progress(list, kMembers).members, "web/a: 12 flows, ends in about 1m 15s");
}

TEST(DrainProgress, IsNotKnownWhileTheDataplaneDoesNotAnswer) {
  const boost::json::object list = {{"backends", {backend("web", "a", nullptr)}}};
  const DrainProgress progress = drain_progress(list, kMembers);
  EXPECT_FALSE(progress.known);
  EXPECT_EQ(progress.members, "web/a: flows not known");
}

}  // namespace
}  // namespace holdfast::control
