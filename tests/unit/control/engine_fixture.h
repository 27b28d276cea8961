// SPDX-License-Identifier: Apache-2.0
// The engine on a virtual clock with a fake dataplane and fake probes, as its tests start, stop and
// ask it.
#pragma once

#include "config/load.h"
#include "control/engine/engine.h"
#include "control/engine/revisions.h"
#include "control/publish/durable_file.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_forwarder.h"
#include "tests/support/temp_directory.h"

#include <chrono>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace holdfast::control {

using std::chrono_literals::operator""ms;

inline constexpr auto kNew = Disposition::kNew;
inline constexpr auto kKeep = Disposition::kKeep;
inline constexpr auto kAvoid = Disposition::kAvoid;

// Answers every probe at once: ok, or refused for the hosts that are dead.
class InstantProber final : public Prober {
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

inline std::string yaml(const std::string& backends, const std::string& extra = "") {
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

inline std::string member(const std::string& name, int last, int weight = 100) {
  return "{name: " + name + ", address: 10.0.3." + std::to_string(last) +
         ", weight: " + std::to_string(weight) + "}";
}

inline const std::string kThree = member("a", 11) + ", " + member("b", 12) + ", " + member("c", 13);
inline const std::string kFour = kThree + ", " + member("d", 14);

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() { write(yaml(kThree)); }
  ~EngineTest() override { stop(); }

  void write(const std::string& text) { std::ofstream(path(), std::ios::trunc) << text; }
  std::string path() const { return directory.file("holdfast.yaml"); }

  // Starts an engine from the file, or from the newest revision when there is one, as control does.
  void begin(Orders orders = {}) {
    EngineStart start;
    const NewestRevision newest = load_newest_revision(directory.path());
    start.config = newest.revision ? config::parse_sources(newest.revision->sources).value()
                                   : config::load_config(path()).value();
    start.revision = newest.revision ? newest.revision->number : 0;
    start.highest_revision = newest.highest;
    start.about = newest.revision ? newest.revision->about : RevisionAbout();
    start.orders = std::move(orders);
    start.drained = drained;
    start.config_path = path();
    start.directory = directory.path();
    forwarder = std::make_unique<testing::FakeForwarder>(context.get_executor());
    if (dataplane) {
      forwarder->in_force = dataplane->in_force;
      forwarder->shown = dataplane->shown;
      forwarder->resets = dataplane->resets;
      forwarder->role = dataplane->role;
    }
    engine = std::make_unique<Engine>(
        EngineParts{
            .executor = context.get_executor(),
            .disk = disk,
            .reckon = disk,
            .clock = clock,
            .prober = prober,
            .forwarder = *forwarder,
            .log = log,
            .unix_ms = [this] { return unix_ms; },
            .log_lines_dropped = [] { return 7U; },
            .on_reload_begin = [this] { ++reloads_begun; },
            .on_reload_end = [this](const std::string& status) { reload_ends.push_back(status); }},
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
  Value get(boost::asio::awaitable<Value> call) {
    std::optional<Value> result;
    boost::asio::co_spawn(context, std::move(call), [&](const std::exception_ptr&, Value value) {
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
      boost::asio::co_spawn(
          context, engine->stop(), [&](const std::exception_ptr&) { stopped = true; });
      run();
      EXPECT_TRUE(stopped);
      engine.reset();
      dataplane = std::move(forwarder);
    }
  }
  // Begins a reload to four members whose publication is in flight when the connection breaks.
  std::shared_ptr<std::optional<VerbResult>> reload_that_loses_its_answer() {
    auto result = std::make_shared<std::optional<VerbResult>>();
    forwarder->hold = true;
    write(yaml(kThree + ", " + member("d", 14)));
    boost::asio::co_spawn(
        context,
        engine->reload({.who = "test", .reason = ""}),
        [result](const std::exception_ptr&, VerbResult value) { *result = std::move(value); });
    run();
    forwarder->disconnect();
    run();
    return result;
  }
  Disposition shown(const std::string& backend) { return forwarder->shown[{"web", backend}]; }
  VerbResult reload() { return get(engine->reload({.who = "test", .reason = ""})); }
  AdminRequest asked(AdminVerb verb, const std::string& object) const {
    AdminRequest request;
    request.verb = verb;
    request.objects = {object};
    request.caller = {.who = "uid=0(root)", .reason = "kernel"};
    return request;
  }
  VerbResult change(AdminRequest request) { return get(engine->change(std::move(request))); }
  VerbResult drain(const std::string& object) { return change(asked(AdminVerb::kDrain, object)); }
  VerbResult undrain(const std::string& object) {
    return change(asked(AdminVerb::kUndrain, object));
  }
  // The orders on disk.
  OrdersRead written() const {
    return read_journal(read_whole(directory.file("orders"), 1'000'000).value().value_or(""));
  }
  // Ends control and starts it again over what it left on disk and in the dataplane.
  void restart() {
    stop();
    begin(written().orders);
    forwarder->connect();
    pass(600ms);
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
  boost::asio::io_context context{1};
  boost::asio::any_io_executor disk{context.get_executor()};
  testing::FakeClock clock;
  InstantProber prober;
  std::optional<OrderStamp> drained;  // the node, before it begins
  std::int64_t unix_ms = 1'700'000'000'000;
  std::vector<std::string> lines;
  std::size_t reloads_begun = 0;         // as the service manager hears
  std::vector<std::string> reload_ends;  // what it is told
  EventLog log{clock, [this](Severity, const std::string& line) { lines.push_back(line); }};
  std::unique_ptr<testing::FakeForwarder> forwarder;
  std::unique_ptr<testing::FakeForwarder> dataplane;  // what the one before left running
  std::unique_ptr<Engine> engine;
};

}  // namespace holdfast::control
