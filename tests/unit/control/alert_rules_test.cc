// SPDX-License-Identifier: Apache-2.0
// The alert rules: Prometheus takes them, each fires when it should and else is silent, each says
// what to do, and what they refer to is exported.
#include "control/metrics/rows.h"
#include "dataplane/drop.h"
#include "tests/support/temp_directory.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

namespace holdfast::control {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

const std::string kSource = HOLDFAST_SOURCE_DIR;
const std::string kRules = kSource + "/packaging/prometheus/holdfast.rules.yaml";
const std::string kCases = kSource + "/tests/golden/alerts/holdfast.test.yaml";

std::string read(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

// What stands in the first group of each match.
std::vector<std::string> matches(const std::string& text, const std::string& pattern) {
  const std::regex expression(pattern);
  std::vector<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), expression), end; at != end; ++at) {
    found.push_back((*at)[1]);
  }
  return found;
}

std::vector<std::string> alerts() { return matches(read(kRules), "- alert: (\\w+)"); }

void expect_promtool_takes(const std::string& arguments) {
  if (::system("command -v promtool >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "no promtool: apt-get install prometheus";
  }
  const testing::TempDirectory directory;
  const std::string said = directory.file("said");
  const int status = ::system(("promtool " + arguments + " > " + said + " 2>&1").c_str());
  EXPECT_EQ(status, 0) << read(said);
}

TEST(AlertRules, PrometheusTakesThem) { expect_promtool_takes("check rules '" + kRules + "'"); }

TEST(AlertRules, EachFiresWhenItShouldAndElseIsSilent) {
  expect_promtool_takes("test rules '" + kCases + "'");
  const std::string cases = read(kCases);
  for (const std::string& alert : alerts()) {
    EXPECT_THAT(cases, HasSubstr("alertname=\"" + alert + "\"")) << "never made to fire";
  }
}

TEST(AlertRules, EachHasASeverityASummaryAndSaysWhatToDo) {
  const std::string rules = read(kRules);
  const std::size_t count = alerts().size();
  EXPECT_GE(count, 15U);
  EXPECT_EQ(matches(rules, "\n          severity: (critical|warning|info)\n").size(), count);
  EXPECT_EQ(matches(rules, "\n          (summary): >-\n").size(), count);
  EXPECT_EQ(matches(rules, "\n          (description): >-\n").size(), count);
}

TEST(AlertRules, EveryMetricInThemIsExported) {
  std::set<std::string> exported;
  for (const auto rows : {node_rows(), worker_rows(), member_rows()}) {
    for (const MetricRow& row : rows) {
      exported.emplace(row.name);
    }
  }
  const auto named = matches(read(kRules), "\\b(holdfast_\\w+)");
  EXPECT_GE(named.size(), 15U);
  for (const std::string& name : named) {
    EXPECT_THAT(exported, Contains(name));
  }
}

TEST(AlertRules, EveryDropReasonInThemIsOne) {
  for (const std::string& reason : matches(read(kRules), "reason=\"(\\w+)\"")) {
    EXPECT_THAT(dataplane::kDropNames, Contains(reason));
  }
}

TEST(AlertRules, EachHasItsLineInTheDocs) {
  const std::string docs = read(kSource + "/docs/alerts.md");
  const auto listed = matches(docs, "\n\\| (Holdfast\\w+) \\| (?:critical|warning|info) \\|");
  EXPECT_EQ(listed, alerts());
}

}  // namespace
}  // namespace holdfast::control
