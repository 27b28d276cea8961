// SPDX-License-Identifier: Apache-2.0
// What is exported: promtool finds nothing to complain about, every drop reason is there also at 0,
// series are unique and bounded.
#include "control/metrics/collector.h"
#include "control/metrics/liveness.h"
#include "control/metrics/rows.h"
#include "dataplane/drop.h"
#include "dataplane/process/stats_rows.h"
#include "dataplane/stats.h"
#include "tests/support/fake_operator.h"
#include "tests/support/temp_directory.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>
#include <stdlib.h>

namespace holdfast::control {
namespace {

using testing::FakeOperator;
using ::testing::HasSubstr;

WorkerView sample_worker(std::uint32_t number) {
  return {.worker = number,
          .counters = {{"received", 10}, {"forwarded", 9}, {"polls", 77}, {"busy_polls", 5}},
          .drops = {{"no_service", 1}, {"from_a_newer_dataplane", 2}},
          .generated = {{"reset", 3}},
          .flows = {{"v4", 5}, {"nat", 4}},
          .capacity = {{"v4", 1000}, {"nat", 1000}},
          .unaccounted = 0};
}

BackendView sample_backend(const std::string& name) {
  BackendView view;
  view.service = "web";
  view.name = name;
  view.address = "10.0.3.11";
  view.port = 8080;
  view.weight = 100;
  view.admin = "enabled";
  view.health = "up";
  view.disposition = "new";
  view.check = {"http", 5, 1, 2, 4, "L7", "ok", 0.002};
  view.flows = 12;
  view.packets_to_member = 400;
  return view;
}

Snapshot sample_snapshot() {
  Snapshot snapshot;
  snapshot.status.version = "0.1.0";
  snapshot.status.last_reload.result = "applied";
  snapshot.status.adopted_ms = 12;
  snapshot.status.workers = {sample_worker(0), sample_worker(1)};
  snapshot.status.ports = {
      {"wan0",
       true,
       {{"received", 5}, {"transmitted", 6}, {"link_up_leg0", 1}, {"link_up_leg1", 0}}}};
  snapshot.services = {{.name = "web",
                        .mode = "nat",
                        .vips = {"203.0.113.10", "2001:db8::10"},
                        .ports = {"tcp/80", "tcp/443"},
                        .moves = MovesView{{{"reset", 5}, {"reopened", 0}}, 6, 7, 8, 9, 1, 1, 1}}};
  snapshot.backends = {sample_backend("a"), sample_backend("b")};
  snapshot.backends.push_back(sample_backend("a"));
  snapshot.backends.back().address = "2001:db8::1";
  snapshot.backends.back().retired = true;
  return snapshot;
}

std::string text_of(const Snapshot& snapshot) {
  return prometheus::TextSerializer().Serialize(build_families(snapshot));
}

TEST(Metrics, PromtoolFindsNothingToComplainAbout) {
  if (::system("command -v promtool >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "no promtool: apt-get install prometheus";
  }
  const testing::TempDirectory directory;
  std::ofstream(directory.file("metrics")) << text_of(sample_snapshot());
  const std::string command = "promtool check metrics < " + directory.file("metrics") + " > " +
                              directory.file("said") + " 2>&1";
  const int status = ::system(command.c_str());
  std::ifstream file(directory.file("said"));
  const std::string said{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(status, 0);
  EXPECT_EQ(said, "");
}

TEST(Metrics, EveryDropReasonAppearsAlsoAtZero) {
  const std::string text = text_of(sample_snapshot());
  for (const std::string_view reason : dataplane::kDropNames) {
    EXPECT_THAT(
        text,
        HasSubstr("holdfast_drops_total{worker=\"1\",reason=\"" + std::string(reason) + "\"}"));
  }
  EXPECT_THAT(text, HasSubstr("reason=\"no_service\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("reason=\"mtu\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("reason=\"from_a_newer_dataplane\"} 2\n"));
}

TEST(Metrics, EveryGeneratedKindAppearsAlsoAtZero) {
  const std::string text = text_of(sample_snapshot());
  for (const std::string_view kind : dataplane::kGeneratedNames) {
    EXPECT_THAT(text, HasSubstr("kind=\"" + std::string(kind) + "\""));
  }
}

TEST(Metrics, EveryCounterOfTheDataplanesWorkersAppears) {
  Snapshot snapshot = sample_snapshot();
  snapshot.status.workers.resize(1);
  snapshot.status.workers[0].counters.clear();
  std::uint64_t value = 1'000'001;
  for (const auto& row : dataplane::kWorkerRows) {
    snapshot.status.workers[0].counters.push_back({std::string(row.name), value++});
  }
  const std::string text = text_of(snapshot);
  for (const NamedCount& counter : snapshot.status.workers[0].counters) {
    if (counter.name != "busy_ns") {  // in seconds
      EXPECT_THAT(text, HasSubstr("} " + std::to_string(counter.value) + "\n")) << counter.name;
    }
  }
}

TEST(Metrics, HowBusyAWorkerIsStandsInSecondsAndAsAShare) {
  Snapshot snapshot = sample_snapshot();
  snapshot.status.workers.resize(1);
  snapshot.status.workers[0].counters = {{"busy_ns", 2'500'000'000}};
  snapshot.status.workers[0].busy_ratio = 0.25;
  snapshot.status.workers[0].silent_s = 0.5;
  const std::string text = text_of(snapshot);
  EXPECT_THAT(text, HasSubstr("holdfast_worker_busy_seconds_total{worker=\"0\"} 2.5\n"));
  EXPECT_THAT(text, HasSubstr("holdfast_worker_busy_ratio{worker=\"0\"} 0.25\n"));
  EXPECT_THAT(text, HasSubstr("holdfast_worker_silent_seconds{worker=\"0\"} 0.5\n"));
}

TEST(Metrics, EveryLinkOfABondSaysWhetherItIsInUse) {
  const std::string text = text_of(sample_snapshot());
  EXPECT_THAT(text, HasSubstr("holdfast_port_bond_link_up{port=\"wan0\",link=\"leg0\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("holdfast_port_bond_link_up{port=\"wan0\",link=\"leg1\"} 0\n"));
}

TEST(Metrics, OneStateOfEachIsHot) {
  const std::string text = text_of(sample_snapshot());
  const std::string member = R"({service="web",backend="b",address="10.0.3.11:8080",state=)";
  EXPECT_THAT(text, HasSubstr("holdfast_member_health" + member + "\"up\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("holdfast_member_health" + member + "\"down\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("holdfast_member_disposition" + member + "\"avoid\"} 0\n"));
}

TEST(Metrics, KeepsAStateThatThisBuildDoesNotKnow) {
  Snapshot snapshot = sample_snapshot();
  snapshot.backends[0].health = "damped";
  EXPECT_THAT(text_of(snapshot), HasSubstr("state=\"damped\"} 1\n"));
}

TEST(Metrics, RetiredMemberIsToldFromItsSuccessorByItsAddress) {
  EXPECT_THAT(
      text_of(sample_snapshot()),
      HasSubstr(
          R"(holdfast_member_retired{service="web",backend="a",address="[2001:db8::1]:8080"} 1)"));
}

TEST(Metrics, CountsMovesByServiceAndCauseAlsoAtZero) {
  const std::string text = text_of(sample_snapshot());
  EXPECT_THAT(text, HasSubstr("holdfast_flows_moved_total{service=\"web\",cause=\"reset\"} 5\n"));
  EXPECT_THAT(text,
              HasSubstr("holdfast_flows_moved_total{service=\"web\",cause=\"reopened\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("holdfast_untracked_moves_total{service=\"web\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("holdfast_flows_reset_total{service=\"web\",cause=\"member\"} 6\n"));
  EXPECT_THAT(text,
              HasSubstr("holdfast_flows_reset_total{service=\"web\",cause=\"operator\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("holdfast_flows_asked_total{service=\"web\",cause=\"member\"} 7\n"));
  EXPECT_THAT(text,
              HasSubstr("holdfast_flows_asked_total{service=\"web\",cause=\"operator\"} 1\n"));
  EXPECT_THAT(text,
              HasSubstr("holdfast_resets_unanswered_total{service=\"web\",cause=\"member\"} 8\n"));
  EXPECT_THAT(
      text, HasSubstr("holdfast_resets_unanswered_total{service=\"web\",cause=\"operator\"} 1\n"));
}

TEST(Metrics, LeavesOutWhatIsNotKnown) {
  Snapshot snapshot = sample_snapshot();
  snapshot.status.workers.clear();
  snapshot.status.adopted_ms = -1;
  snapshot.status.last_reload.result.clear();
  for (BackendView& backend : snapshot.backends) {
    backend.flows = backend.new_flows = std::nullopt;
    backend.packets_to_member = backend.bytes_to_member = std::nullopt;
    backend.packets_to_client = backend.bytes_to_client = backend.refusals = std::nullopt;
  }
  snapshot.services[0].flows = snapshot.services[0].new_flows = std::nullopt;
  snapshot.services[0].moves.reset();
  const std::string text = text_of(snapshot);
  for (const char* name : {"holdfast_drops_total",
                           "holdfast_adoption_duration_seconds",
                           "holdfast_last_reload_successful",
                           "holdfast_generation ",
                           "holdfast_mbufs",
                           "holdfast_state_bytes",
                           "holdfast_guard_losses_total",
                           "holdfast_routes",
                           "holdfast_service_flows",
                           "holdfast_service_new_flows_total",
                           "holdfast_flows_moved_total",
                           "holdfast_untracked_moves_total",
                           "holdfast_flows_reset_total",
                           "holdfast_flows_asked_total",
                           "holdfast_resets_unanswered_total",
                           "holdfast_member_flows",
                           "holdfast_member_new_flows_total",
                           "holdfast_member_packets_total",
                           "holdfast_member_bytes_total"}) {
    EXPECT_THAT(text, Not(HasSubstr(name)));
  }
}

TEST(Metrics, CountsReloadsByEveryResultAndWhatWasNotLogged) {
  Snapshot snapshot = sample_snapshot();
  snapshot.status.reloads_unchanged = 5;
  snapshot.status.probes_skipped = 6;
  snapshot.status.log_lines_suppressed = 7;
  snapshot.status.log_lines_dropped = 8;
  const std::string text = text_of(snapshot);
  EXPECT_THAT(text, HasSubstr("holdfast_reloads_total{result=\"unchanged\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("\nholdfast_probes_skipped_total 6\n"));
  EXPECT_THAT(text, HasSubstr("\nholdfast_log_lines_suppressed_total 7\n"));
  EXPECT_THAT(text, HasSubstr("\nholdfast_log_lines_dropped_total 8\n"));
}

TEST(Metrics, NamesAMemberWithoutPortByItsAddressAlone) {
  Snapshot snapshot = sample_snapshot();
  snapshot.backends[0].port = 0;
  EXPECT_THAT(text_of(snapshot), HasSubstr("address=\"10.0.3.11\""));
}

TEST(Metrics, SeriesAreUnique) {
  std::istringstream lines(text_of(sample_snapshot()));
  std::set<std::string> seen;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with('#')) {
      EXPECT_TRUE(seen.insert(line.substr(0, line.rfind(' '))).second) << line;
    }
  }
  EXPECT_GT(seen.size(), 100U);
}

TEST(Metrics, SeriesAreBoundedAndTheRestIsCounted) {
  Snapshot snapshot = sample_snapshot();
  while (snapshot.backends.size() < kMemberLimit + 5) {
    snapshot.backends.push_back(sample_backend(std::to_string(snapshot.backends.size())));
  }
  const std::string text = text_of(snapshot);
  EXPECT_THAT(text, HasSubstr("\nholdfast_members_omitted 5\n"));
  EXPECT_LT(std::ranges::count(text, '\n'), 40'000);
}

TEST(Metrics, ScrapesCloseTogetherShareOneText) {
  FakeOperator source;
  const Collector collector(source);
  ScrapeText text(collector);
  const ScrapeText::Time start{std::chrono::hours(1)};
  EXPECT_THAT(text.at(start), HasSubstr("\nholdfast_revision 0\n"));
  source.status_view.revision = 7;
  EXPECT_THAT(text.at(start + ScrapeText::kKept / 2), HasSubstr("\nholdfast_revision 0\n"));
  EXPECT_THAT(text.at(start + ScrapeText::kKept), HasSubstr("\nholdfast_revision 7\n"));
}

class LivenessTest : public ::testing::Test {
 protected:
  LivenessTest() {
    status_.dataplane_connected = true;
    status_.workers = {sample_worker(0), sample_worker(1)};
  }
  std::string observe_at(int seconds) {
    return liveness_.observe(status_, Liveness::Time{std::chrono::seconds(seconds)});
  }
  std::uint64_t& polls(std::size_t worker) { return status_.workers[worker].counters[2].value; }

  StatusView status_;
  Liveness liveness_;
};

TEST_F(LivenessTest, IsWellWhileEveryWorkerPolls) {
  for (int second = 1; second < 30; second += 10) {
    EXPECT_EQ(observe_at(second), "");
    ++polls(0);
    ++polls(1);
  }
}

TEST_F(LivenessTest, NamesTheWorkerThatStandsStill) {
  EXPECT_EQ(observe_at(1), "");
  ++polls(0);
  EXPECT_EQ(observe_at(3), "");
  ++polls(0);
  EXPECT_EQ(observe_at(5), "worker 1 has not polled for 4 s");
  ++polls(1);
  EXPECT_EQ(observe_at(6), "");
}

TEST_F(LivenessTest, JudgesNoWorkerByCountersThatAreOldThemselves) {
  EXPECT_EQ(observe_at(1), "");
  status_.counters_age_s = 14;
  EXPECT_EQ(observe_at(15), "");
  status_.counters_age_s = 0;
  EXPECT_EQ(observe_at(15), "worker 0 has not polled for 14 s");
}

TEST_F(LivenessTest, IsNotWellWithoutTheDataplane) {
  status_.dataplane_connected = false;
  EXPECT_EQ(observe_at(1), "the dataplane is not connected");
}

TEST_F(LivenessTest, BeginsAnewAfterAReconnect) {
  EXPECT_EQ(observe_at(1), "");
  status_.dataplane_connected = false;
  EXPECT_NE(observe_at(2), "");
  status_.dataplane_connected = true;
  EXPECT_EQ(observe_at(100), "");
}

}  // namespace
}  // namespace holdfast::control
