// SPDX-License-Identifier: Apache-2.0
// The scheduler on a virtual clock: phases, confirmations, reloads that keep what runs.
#include "control/probe/scheduler.h"
#include "tests/support/fake_clock.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;
using testing::FakeClock;

class RecordingProber final : public Prober {
 public:
  struct Probe {
    CheckSpec check;
    Clock::TimePoint planned;
    Done done;
  };
  void start(std::uint64_t id, CheckSpec check, Clock::TimePoint planned, Done done) override {
    ++started;
    open[id] = {std::move(check), planned, std::move(done)};
  }
  void cancel(std::uint64_t id) override { open.erase(id); }
  void finish_all(const ProbeResult& result) {
    auto finished = std::exchange(open, {});
    for (auto& [id, probe] : finished) {
      probe.done(result);
    }
  }
  std::map<std::uint64_t, Probe> open;
  std::size_t started = 0;
};

CheckSpec check(std::uint8_t host, std::chrono::milliseconds interval = 1000ms) {
  CheckSpec spec;
  spec.address.bytes = {10, 0, 0, host};
  spec.port = 80;
  spec.interval = interval;
  return spec;
}

class SchedulerTest : public ::testing::Test {
 protected:
  FakeClock clock;
  RecordingProber prober;
  std::vector<CheckSpec> results;
  Scheduler scheduler{clock, prober, [this](const CheckSpec& spec, const ProbeResult&) {
                        results.push_back(spec);
                      }};
};

TEST_F(SchedulerTest, ProbesEachCheckOncePerIntervalAtItsOwnPhase) {
  scheduler.set({check(1), check(2)});
  for (int second = 1; second <= 5; ++second) {
    clock.advance(1s);
    EXPECT_EQ(prober.started, 2U * static_cast<unsigned>(second));
    for (const auto& [id, probe] : prober.open) {
      EXPECT_EQ((probe.planned.time_since_epoch() - phase_of(probe.check)) % 1s, 0ns);
    }
    prober.finish_all({});
  }
  EXPECT_EQ(results.size(), 10U);
}

TEST_F(SchedulerTest, SpreadsAThousandTargetsOverTheInterval) {
  std::set<CheckSpec> checks;
  for (std::uint16_t i = 0; i < 1000; ++i) {
    CheckSpec one = check(static_cast<std::uint8_t>(i % 250));
    one.address.bytes[2] = static_cast<std::uint8_t>(i / 250);
    checks.insert(one);
  }
  scheduler.set(checks);
  std::size_t most = 0;
  for (int slice = 0; slice < 20; ++slice) {
    const std::size_t before = prober.started;
    clock.advance(50ms);
    most = std::max(most, prober.started - before);
  }
  EXPECT_EQ(prober.started, 1000U);
  EXPECT_LT(most, 90U);  // the mean is 50; 90 is beyond five standard deviations
}

TEST_F(SchedulerTest, ProbesAtOnceAlsoWhenAProbeIsUnderWayAsSoonAsThatIsOver) {
  scheduler.set({check(1, 60s)});
  scheduler.probe_now(check(1, 60s));
  clock.advance(1ms);
  ASSERT_EQ(prober.started, 1U);
  scheduler.probe_now(check(1, 60s));
  clock.advance(1ms);
  EXPECT_EQ(prober.started, 1U);
  prober.finish_all({});
  clock.advance(1ms);
  EXPECT_EQ(prober.started, 2U);
  prober.finish_all({});
  clock.advance(1s);
  EXPECT_EQ(prober.started, 2U);
  EXPECT_EQ(scheduler.skipped(), 0U);
  scheduler.probe_now(check(2));  // unknown
}

TEST_F(SchedulerTest, ConfirmsFiftyMillisecondsLaterAndThenGoesOnAtThePhase) {
  scheduler.set({check(1)});
  clock.advance(1s);
  ASSERT_EQ(prober.open.size(), 1U);
  const auto planned = prober.open.begin()->second.planned;
  prober.finish_all({});
  // Shortly after a tick, so that the confirmation comes before the next one.
  clock.advance(planned + 1s - clock.now());
  prober.finish_all({});
  const std::size_t before = prober.started;
  scheduler.confirm(check(1));
  clock.advance(49ms);
  EXPECT_EQ(prober.started, before);
  clock.advance(1ms);
  EXPECT_EQ(prober.started, before + 1);
  prober.finish_all({});
  clock.advance(950ms);
  EXPECT_EQ(prober.started, before + 2);
  EXPECT_EQ(prober.open.begin()->second.planned, planned + 2s);
}

TEST_F(SchedulerTest, KeepsPhaseAndProbeInFlightOfAnUnchangedCheck) {
  scheduler.set({check(1), check(2)});
  clock.advance(1s);
  ASSERT_EQ(prober.open.size(), 2U);
  scheduler.set({check(1), check(3)});
  ASSERT_EQ(prober.open.size(), 1U);
  EXPECT_EQ(prober.open.begin()->second.check, check(1));
  prober.finish_all({});
  EXPECT_EQ(results, (std::vector{check(1)}));
}

TEST_F(SchedulerTest, SkipsATickWhileTheProbeBeforeIsStillInFlight) {
  scheduler.set({check(1)});
  clock.advance(3s);
  EXPECT_EQ(prober.started, 1U);
  EXPECT_EQ(scheduler.skipped(), 2U);
}

TEST_F(SchedulerTest, DoesNotCatchUpOnTicksThatAStallSwallowed) {
  scheduler.set({check(1, 100ms)});
  clock.advance(100ms);
  prober.finish_all({});
  const std::size_t before = prober.started;
  clock.stall(10s);
  clock.advance(100ms);
  prober.finish_all({});
  EXPECT_LE(prober.started, before + 2);
}

TEST_F(SchedulerTest, PlansNothingAfterStop) {
  scheduler.set({check(1), check(2)});
  clock.advance(500ms);
  scheduler.stop();
  EXPECT_EQ(clock.planned(), 0U);
  EXPECT_TRUE(prober.open.empty());
}

TEST_F(SchedulerTest, MayBeChangedByItsOwnHandler) {
  Scheduler* inner = nullptr;
  Scheduler self(clock, prober, [&](const CheckSpec&, const ProbeResult&) { inner->set({}); });
  inner = &self;
  self.set({check(9)});
  clock.advance(1s);
  prober.finish_all({});
  EXPECT_EQ(clock.planned(), 0U);
}

TEST(CheckSpec, IsSharedByServicesThatAskTheSameAndApartOtherwise) {
  config::Service service;
  service.check.type = config::CheckType::kHttp;
  service.check.path = "/healthz";
  service.ports = {{.protocol = config::Protocol::kTcp, .first = 80, .last = 80, .place = {}}};
  config::Backend backend;
  backend.name = "a";
  backend.address.bytes = {10, 0, 3, 11};
  backend.port = 8080;
  config::Service other = service;
  other.name = "other";
  other.check.fall = 9;  // thresholds are not part of what a check is about
  EXPECT_EQ(build_check(service, backend), build_check(other, backend));
  other.check.path = "/else";
  EXPECT_NE(build_check(service, backend), build_check(other, backend));
  EXPECT_EQ(build_check(service, backend).port, 8080);
  backend.port = 0;
  EXPECT_EQ(build_check(service, backend).port, 80);
  service.check.port = 9000;
  EXPECT_EQ(build_check(service, backend).port, 9000);
}

TEST(CheckSpec, WritesItsHttpRequestWithTheBackendsAddressAsHost) {
  CheckSpec spec = check(7);
  spec.type = config::CheckType::kHttp;
  spec.method = "GET";
  spec.path = "/healthz";
  spec.port = 8080;
  EXPECT_EQ(build_http_request(spec),
            "GET /healthz HTTP/1.1\r\nHost: 10.0.0.7:8080\r\nUser-Agent: holdfast\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n");
  spec.host = "example.net";
  EXPECT_NE(build_http_request(spec).find("Host: example.net\r\n"), std::string::npos);
  spec.status = {{200, 204}, {301, 301}};
  EXPECT_TRUE(accepts_status(spec, 204));
  EXPECT_FALSE(accepts_status(spec, 205));
  EXPECT_TRUE(accepts_status(spec, 301));
}

}  // namespace
}  // namespace holdfast::control
