// SPDX-License-Identifier: Apache-2.0
// The engine on a virtual clock with a fake dataplane and fake probes: start, adoption, reload,
// drains, publication, passing time.
#include "control/engine/engine.h"

#include "config/load.h"
#include "control/engine/revisions.h"
#include "control/publish/build.h"
#include "dataplane/api/codec.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_forwarder.h"
#include "tests/support/temp_directory.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr auto kNew = Disposition::kNew;
constexpr auto kKeep = Disposition::kKeep;
constexpr auto kAvoid = Disposition::kAvoid;

// Answers every probe at once: ok, or refused for the hosts that are dead.
class FakeProber final : public Prober {
 public:
  void start(std::uint64_t, CheckSpec check, Clock::TimePoint, Done done) override {
    ++started;
    const std::uint8_t host = check.address.bytes[3];
    done({.layer = Layer::kL4, .reason = dead.contains(host) ? Reason::kRefused : Reason::kOk});
  }
  void cancel(std::uint64_t) override {}
  std::set<std::uint8_t> dead;
  std::size_t started = 0;
};

std::string yaml(const std::string& backends, const std::string& extra = "") {
  return "version: 1\n"
         "ports:\n  null0: {device: null}\n" +
         extra +
         "defaults:\n  check: {type: tcp, interval: 250ms, timeout: 200ms, fall: 2, rise: 2}\n"
         "services:\n"
         "  - name: web\n"
         "    vips: [203.0.113.10]\n"
         "    ports: [tcp/80]\n"
         "    mode: dsr\n"
         "    backends: [" +
         backends + "]\n";
}

std::string member(const std::string& name, int last, int weight = 100) {
  return "{name: " + name + ", address: 10.0.3." + std::to_string(last) +
         ", weight: " + std::to_string(weight) + "}";
}

const std::string kThree = member("a", 11) + ", " + member("b", 12) + ", " + member("c", 13);

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() { write(yaml(kThree)); }
  ~EngineTest() override { stop(); }

  void write(const std::string& text) { std::ofstream(path(), std::ios::trunc) << text; }
  std::string path() const { return directory.file("holdfast.yaml"); }

  // Starts an engine from the file, or from the newest revision when there is one, as control does.
  void begin(Drains drains = {}) {
    EngineStart start;
    const NewestRevision newest = load_newest_revision(directory.path());
    start.config = newest.revision ? config::parse_sources(newest.revision->sources).value()
                                   : config::load_config(path()).value();
    start.revision = newest.revision ? newest.revision->number : 0;
    start.highest_revision = newest.highest;
    start.drains = std::move(drains);
    start.config_path = path();
    start.directory = directory.path();
    forwarder = std::make_unique<testing::FakeForwarder>(context.get_executor());
    if (dataplane) {
      forwarder->in_force = dataplane->in_force;
      forwarder->shown = dataplane->shown;
    }
    engine = std::make_unique<Engine>(EngineParts{.executor = context.get_executor(),
                                                  .disk = disk,
                                                  .clock = clock,
                                                  .prober = prober,
                                                  .forwarder = *forwarder,
                                                  .log = log,
                                                  .unix_ms = [this] { return unix_ms; },
                                                  .on_reload_begin = {},
                                                  .on_reload_end = {}},
                                      std::move(start));
    engine->start();
    run();
  }
  void run() {
    context.restart();
    context.poll();
  }
  void pass(std::chrono::milliseconds time) {
    for (; time > 0ms; time -= 10ms) {
      clock.advance(std::min(time, 10ms));
      run();
    }
  }
  template <typename Value>
  Value get(asio::awaitable<Value> call) {
    std::optional<Value> result;
    asio::co_spawn(context, std::move(call), [&](const std::exception_ptr&, Value value) {
      result = std::move(value);
    });
    run();
    EXPECT_TRUE(result.has_value());
    return result.value_or(Value{});
  }
  void begin_up() {
    begin();
    forwarder->connect();
    pass(600ms);
  }
  void stop() {
    if (engine) {
      bool stopped = false;
      asio::co_spawn(context, engine->stop(), [&](const std::exception_ptr&) { stopped = true; });
      run();
      EXPECT_TRUE(stopped);
      engine.reset();
      dataplane = std::move(forwarder);
    }
  }
  Disposition shown(const std::string& backend) { return forwarder->shown[{"web", backend}]; }
  VerbResult reload() { return get(engine->reload({.who = "test", .reason = ""})); }
  VerbResult drain(const std::string& object) {
    return get(engine->drain(object, {.who = "uid=0(root)", .reason = "kernel"}));
  }
  BackendView view(const std::string& name) {
    for (BackendView& one : engine->backends()) {
      if (one.name == name) {
        return one;
      }
    }
    return {};
  }

  testing::TempDirectory directory;
  asio::io_context context{1};
  asio::any_io_executor disk{context.get_executor()};
  testing::FakeClock clock;
  FakeProber prober;
  std::int64_t unix_ms = 1'700'000'000'000;
  std::vector<std::string> lines;
  EventLog log{clock, [this](Severity, const std::string& line) { lines.push_back(line); }};
  std::unique_ptr<testing::FakeForwarder> forwarder;
  std::unique_ptr<testing::FakeForwarder> dataplane;  // what the one before left running
  std::unique_ptr<Engine> engine;
};

TEST_F(EngineTest, PublishesAFreshConfigurationAndGivesTrafficAfterTheFirstGoodProbe) {
  begin();
  forwarder->connect();
  run();
  EXPECT_EQ(forwarder->in_force.number, 1U);
  EXPECT_EQ(shown("a"), kKeep);
  EXPECT_EQ(engine->status().revision, 1U);
  pass(300ms);
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_EQ(shown(name), kNew) << name;
  }
  EXPECT_EQ(forwarder->publications.size(), 1U);
  EXPECT_TRUE(std::filesystem::exists(directory.file("revision-1")));
}

TEST_F(EngineTest, AvoidsAKilledBackendWithinOneIntervalAndBringsItBackAfterRisePasses) {
  begin_up();
  prober.dead = {12};
  pass(250ms);
  EXPECT_EQ(shown("b"), kAvoid);
  pass(60ms);
  EXPECT_EQ(view("b").health, "down");
  EXPECT_EQ(view("b").cause, "L4 refused, 2 in a row");
  EXPECT_EQ(shown("a"), kNew);
  prober.dead = {};
  pass(600ms);
  EXPECT_EQ(shown("b"), kNew);
  EXPECT_EQ(forwarder->publications.size(), 1U);  // dispositions alone, no rebuild
  EXPECT_THAT(lines,
              Contains("event=state service=web backend=b from=up/avoid to=down/avoid "
                       "cause=\"L4 refused, 2 in a row\""));
}

TEST_F(EngineTest, RebuildsTheTableForMembersThatAreDownForLong) {
  begin_up();
  prober.dead = {12, 13};
  pass(11s);
  EXPECT_LE(forwarder->publications.size(), 3U);  // their tens of seconds end in two ticks at most
  EXPECT_EQ(forwarder->in_force.services[0].members[1].weight, 0U);
  EXPECT_EQ(forwarder->in_force.services[0].members[2].weight, 0U);
  EXPECT_EQ(shown("b"), kAvoid);
  prober.dead = {};
  pass(1s);
  EXPECT_EQ(forwarder->in_force.services[0].members[1].weight, 100U);
  EXPECT_EQ(shown("b"), kNew);
}

TEST_F(EngineTest, AdoptsARunningDataplaneWithoutAnyChange) {
  begin_up();
  prober.dead = {12};
  pass(12s);
  ASSERT_EQ(drain("web/c").outcome, Outcome::kOk);
  stop();
  const auto left = dataplane->in_force;
  begin({{{"web", "c"}, {unix_ms, "", ""}}});
  forwarder->connect();
  pass(2s);
  EXPECT_EQ(forwarder->in_force, left);
  EXPECT_TRUE(forwarder->publications.empty());
  EXPECT_TRUE(forwarder->changes.empty());
  const StatusView status = engine->status();
  EXPECT_EQ(status.adoption_state_changes, 0U);
  EXPECT_GE(status.adopted_ms, 0);
  EXPECT_LT(status.adopted_ms, 2000);
  EXPECT_EQ(status.last_reload.result, "unchanged");
  EXPECT_EQ(view("a").changes, 0U);
  EXPECT_EQ(view("c").admin, "draining");
}

TEST_F(EngineTest, StartsFromTheLastAcceptedRevisionWhenTheFileIsBroken) {
  begin_up();
  stop();
  write("version: 1\nservices: [oops");
  begin();
  forwarder->connect();
  pass(500ms);
  EXPECT_TRUE(forwarder->publications.empty());
  EXPECT_EQ(shown("a"), kNew);
  const StatusView status = engine->status();
  EXPECT_EQ(status.revision, 1U);
  EXPECT_EQ(status.last_reload.result, "refused");
  EXPECT_FALSE(status.last_reload.lines.empty());
}

TEST_F(EngineTest, ProbesAndWaitsWhenThereIsNoDataplane) {
  begin();
  pass(2s);
  EXPECT_GT(prober.started, 0U);
  EXPECT_FALSE(engine->status().dataplane_connected);
  EXPECT_EQ(drain("web/a").outcome, Outcome::kUnreachable);
  forwarder->connect();
  pass(300ms);
  EXPECT_EQ(shown("a"), kKeep);
  EXPECT_EQ(shown("b"), kNew);
}

TEST_F(EngineTest, PublishesAgainToADataplaneThatLostEverything) {
  begin_up();
  prober.dead = {12};
  pass(500ms);
  forwarder->disconnect();
  forwarder->in_force = {};
  forwarder->shown.clear();
  pass(1s);
  forwarder->connect();
  pass(300ms);
  EXPECT_EQ(shown("a"), kNew);
  EXPECT_EQ(shown("b"), kAvoid);
  EXPECT_GT(forwarder->in_force.number, 1U);
}

TEST_F(EngineTest, AppliesAReloadAndKeepsTheHealthOfWhatStays) {
  begin_up();
  write(yaml(kThree + ", " + member("d", 14)));
  const VerbResult result = reload();
  EXPECT_EQ(result.outcome, Outcome::kOk);
  EXPECT_EQ(engine->status().revision, 2U);
  EXPECT_EQ(forwarder->in_force.number, 2U);
  EXPECT_EQ(shown("a"), kNew);
  EXPECT_EQ(shown("d"), kKeep);
  pass(300ms);
  EXPECT_EQ(shown("d"), kNew);
  EXPECT_EQ(forwarder->publications.size(), 2U);
  EXPECT_EQ(view("a").changes, 1U);
  EXPECT_EQ(reload().lines.at(0), "the configuration is unchanged: revision 2");
}

TEST_F(EngineTest, RefusesABrokenFileAndChangesNothing) {
  begin_up();
  const auto before = forwarder->in_force;
  write(yaml(kThree) + "blance: x\n");
  const VerbResult result = reload();
  EXPECT_EQ(result.outcome, Outcome::kInvalidConfiguration);
  EXPECT_THAT(result.lines, Contains(HasSubstr("holdfast.yaml:")));
  pass(1s);
  EXPECT_EQ(forwarder->in_force, before);
  EXPECT_EQ(engine->status().revision, 1U);
  EXPECT_EQ(engine->status().reloads_refused, 1U);
  EXPECT_FALSE(std::filesystem::exists(directory.file("revision-2")));
}

TEST_F(EngineTest, RefusesChangedStartUpKeysByName) {
  begin_up();
  write(yaml(kThree, "dataplane: {workers: 3}\n"));
  const VerbResult result = reload();
  EXPECT_EQ(result.outcome, Outcome::kInvalidConfiguration);
  EXPECT_THAT(result.lines, Contains(HasSubstr("workers")));
}

TEST_F(EngineTest, AcceptsChangedStartUpKeysThatTheDataplaneWasStartedWith) {
  begin_up();
  write(yaml(kThree, "dataplane: {workers: 3}\n"));
  EXPECT_EQ(reload().outcome, Outcome::kInvalidConfiguration);
  forwarder->disconnect();
  const config::Config wanted = config::load_config(path()).value();
  forwarder->hello_reply.set_startup(
      seam::to_wire(startup_spec(wanted, HashKey{1, 2, 3})).SerializeAsString());
  forwarder->connect();
  pass(300ms);
  EXPECT_EQ(engine->status().last_reload.result, "applied");
  EXPECT_EQ(engine->status().revision, 2U);
}

TEST_F(EngineTest, ChangesNothingWhenTheDataplaneRefusesTheGeneration) {
  begin_up();
  forwarder->refusal = "VIP 203.0.113.10 is a local address";
  write(yaml(member("a", 11) + ", " + member("z", 99)));
  const VerbResult result = reload();
  EXPECT_EQ(result.outcome, Outcome::kRefused);
  EXPECT_THAT(result.lines, Contains(HasSubstr("local address")));
  EXPECT_EQ(engine->status().revision, 1U);
  EXPECT_EQ(engine->backends().size(), 3U);
  forwarder->refusal.clear();
  EXPECT_EQ(reload().outcome, Outcome::kOk);
  EXPECT_EQ(engine->backends().size(), 2U);
}

TEST_F(EngineTest, CoalescesReloadsSoThatTheLastFileWins) {
  begin_up();
  forwarder->hold = true;
  write(yaml(kThree + ", " + member("d", 14)));
  int done = 0;
  const auto ask = [&] {
    asio::co_spawn(context,
                   engine->reload({.who = "test", .reason = ""}),
                   [&](const std::exception_ptr&, const VerbResult& result) {
                     done += result.outcome == Outcome::kOk ? 1 : 0;
                   });
    run();
  };
  ask();
  write(yaml(kThree));
  for (int i = 0; i < 99; ++i) {
    ask();
  }
  EXPECT_EQ(done, 0);
  forwarder->release();
  run();
  EXPECT_EQ(done, 100);
  EXPECT_EQ(forwarder->publications.size(), 3U);
  EXPECT_EQ(engine->backends().size(), 3U);
}

TEST_F(EngineTest, ActsOnADeathDuringAReloadThatIsStillInFlight) {
  begin_up();
  forwarder->hold = true;
  write(yaml(kThree + ", " + member("d", 14)));
  asio::co_spawn(context,
                 engine->reload({.who = "test", .reason = ""}),
                 [](const std::exception_ptr&, const VerbResult&) {});
  prober.dead = {12};
  pass(400ms);
  EXPECT_THAT(forwarder->changes, Contains(DispositionChange{"web", "b", kAvoid}));
  forwarder->release();
  pass(300ms);
  EXPECT_EQ(shown("b"), kAvoid);
  EXPECT_EQ(shown("d"), kNew);
  EXPECT_EQ(engine->status().revision, 2U);
}

TEST_F(EngineTest, AcceptsAReloadWithoutDataplaneAndDeliversItLater) {
  begin_up();
  forwarder->disconnect();
  run();
  write(yaml(kThree + ", " + member("d", 14)));
  EXPECT_EQ(reload().outcome, Outcome::kUnreachable);
  EXPECT_EQ(engine->status().revision, 2U);
  forwarder->connect();
  pass(300ms);
  EXPECT_EQ(forwarder->in_force.services[0].members.size(), 4U);
}

TEST_F(EngineTest, DrainsAtOnceWritesItDownAndUndoesItOnlyOnRequest) {
  begin_up();
  const VerbResult result = drain("web/a");
  EXPECT_EQ(result.outcome, Outcome::kOk);
  EXPECT_EQ(result.lines, (std::vector<std::string>{"web/a is draining"}));
  EXPECT_EQ(shown("a"), kKeep);
  std::ifstream file(directory.file("drains"));
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const DrainsRead written = drains_from_text(text);
  EXPECT_EQ(written.drains.at({"web", "a"}).reason, "kernel");
  prober.dead = {11};
  pass(1s);
  prober.dead = {};
  pass(2s);
  EXPECT_EQ(shown("a"), kKeep);
  EXPECT_EQ(drain("a").lines.at(0), "web/a is draining already");
  EXPECT_EQ(get(engine->undrain("web/a", {})).outcome, Outcome::kOk);
  EXPECT_EQ(shown("a"), kNew);
  EXPECT_EQ(get(engine->undrain("web/a", {})).lines.at(0), "web/a is enabled already");
}

TEST_F(EngineTest, RefusesADrainThatWouldLeaveNobody) {
  begin_up();
  EXPECT_EQ(drain("host:10.0.3.11").outcome, Outcome::kOk);
  prober.dead = {12};
  pass(500ms);
  const VerbResult refused = drain("web/c");
  EXPECT_EQ(refused.outcome, Outcome::kRefused);
  EXPECT_THAT(refused.lines.at(0), HasSubstr("would be left with 0 of 3"));
  EXPECT_EQ(shown("c"), kNew);
  EXPECT_EQ(drain("web/b").outcome, Outcome::kOk);  // dead: nothing is lost
  EXPECT_EQ(drain("web/nobody").outcome, Outcome::kUsage);
}

TEST_F(EngineTest, GoesOnWithAFullDiskAndSaysSo) {
  begin_up();
  std::filesystem::remove_all(directory.path());
  const VerbResult result = drain("web/a");
  EXPECT_EQ(result.outcome, Outcome::kOk);
  EXPECT_EQ(shown("a"), kKeep);
  EXPECT_THAT(result.lines, Contains(HasSubstr("not written down")));
  EXPECT_GE(engine->status().disk_errors, 1U);
}

TEST_F(EngineTest, ForgetsTheDrainOfABackendThatIsNoLongerConfigured) {
  begin_up();
  drain("web/a");
  write(yaml(member("b", 12) + ", " + member("c", 13)));
  ASSERT_EQ(reload().outcome, Outcome::kOk);
  write(yaml(kThree));
  ASSERT_EQ(reload().outcome, Outcome::kOk);
  pass(300ms);
  EXPECT_EQ(shown("a"), kNew);
}

TEST_F(EngineTest, PollsCountersAndRefreshesThemOnRequest) {
  begin_up();
  const std::size_t before = forwarder->polls;
  pass(1s);
  EXPECT_EQ(forwarder->polls, before + 4);
  seam::MemberCounters& counters = *forwarder->counters_reply.add_members();
  counters.mutable_ref()->set_service("web");
  counters.mutable_ref()->set_backend("a");
  counters.mutable_ref()->set_address(
      std::string("\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\x03\x0b", 16));
  counters.set_flows(42);
  seam::NamedValue& value = *counters.add_values();
  value.set_name("new_flows");
  value.set_value(1000);
  *forwarder->counters_reply.add_members() = counters;
  forwarder->counters_reply.mutable_members(1)->set_retired(true);
  forwarder->counters_reply.mutable_members(1)->mutable_ref()->set_port(81);
  EXPECT_TRUE(get(engine->refresh(100ms)));
  EXPECT_EQ(view("a").flows, 42U);
  EXPECT_EQ(view("a").new_flows, 1000U);
  EXPECT_TRUE(engine->backends().back().retired);
  EXPECT_EQ(engine->services().at(0).usable, 3U);
  EXPECT_EQ(engine->services().at(0).flows, 84U);
  forwarder->disconnect();
  EXPECT_FALSE(get(engine->refresh(100ms)));
  EXPECT_FALSE(view("a").flows.has_value());
}

TEST_F(EngineTest, ReadsAndWritesFilesOnAnotherThread) {
  asio::thread_pool pool(1);
  disk = pool.get_executor();
  begin();
  forwarder->connect();
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (engine->status().reloads_applied == 0 && std::chrono::steady_clock::now() < end) {
    context.restart();
    context.run_one_for(10ms);
  }
  EXPECT_EQ(engine->status().revision, 1U);
  pool.join();
  stop();
}

TEST_F(EngineTest, TriesARefusedGenerationAgainLater) {
  begin();
  forwarder->refusal = "too little memory";
  forwarder->connect();
  pass(1s);
  EXPECT_EQ(engine->status().generation, 0U);
  EXPECT_THAT(engine->status().notices, Contains(HasSubstr("too little memory")));
  forwarder->refusal.clear();
  pass(11s);
  EXPECT_GT(engine->status().generation, 0U);
}

}  // namespace
}  // namespace holdfast::control
