// SPDX-License-Identifier: Apache-2.0
// The verbs that talk to control, in this process, against the real API server with a fake operator
// behind it: what they print and how they end.
#include "tests/support/site_config.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/cli/cli_verb_fixture.h"

#include <fstream>
#include <future>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

BackendView backend_view(const std::string& service, const std::string& name, std::uint64_t flows) {
  BackendView view;
  view.service = service;
  view.name = name;
  view.address = "10.0.3.11";
  view.port = 8080;
  view.weight = 100;
  view.admin = "enabled";
  view.health = "up";
  view.disposition = "new";
  view.cause = "http ok";
  view.since_s = 3725;
  view.check = {"http", 5, 1, 2, 4, "L7", "ok", 0.0012};
  view.flows = flows;
  view.new_flows = 400;
  return view;
}

using CliVerbsTest = CliVerbFixture;

TEST_F(CliVerbsTest, ListsBackendsInAlignedColumns) {
  operator_.backend_views = {backend_view("web", "a", 12), backend_view("web-dsr", "backend-7", 0)};
  operator_.backend_views[1].address = "2001:db8::7";
  operator_.backend_views[1].port = 0;
  operator_.backend_views[1].flows.reset();
  operator_.backend_views[1].check = {};
  start();
  const Ran ran = run_with_socket({"backends"});
  EXPECT_EQ(ran.exit_code, 0) << ran.error;
  EXPECT_EQ(ran.out,
            "SERVICE  BACKEND    ADDRESS         WEIGHT  ADMIN    HEALTH  TAKES  FLOWS  NEW  CHECK"
            "              SINCE  CAUSE\n"
            "web      a          10.0.3.11:8080     100  enabled  up      new       12  400  "
            "http ok x4 1.2 ms  1h 2m  http ok\n"
            "web-dsr  backend-7  [2001:db8::7]      100  enabled  up      new        -  400  -"
            "                  1h 2m  http ok\n");
  EXPECT_EQ(ran.error, "");
}

TEST_F(CliVerbsTest, ListsServices) {
  ServiceView view;
  view.name = "web";
  view.mode = "nat";
  view.vips = {"203.0.113.10", "2001:db8::10"};
  view.ports = {"tcp/80", "tcp/443"};
  view.affinity = "10m /24 /56";
  view.backends = 3;
  view.usable = 2;
  view.slots = 65537;
  operator_.service_views = {view};
  start();
  EXPECT_EQ(run_with_socket({"services"}).out,
            "SERVICE  MODE  VIPS                       PORTS           AFFINITY     BACKENDS  "
            "FLOWS  NEW  "
            "SLOTS\n"
            "web      nat   203.0.113.10 2001:db8::10  tcp/80 tcp/443  10m /24 /56    2 of 3      "
            "0    0  "
            "65537\n");
}

TEST_F(CliVerbsTest, StatusFailsWhileTheConfigurationIsNotInForce) {
  start();
  EXPECT_EQ(run_with_socket({"status"}).exit_code, 0);
  operator_.status_view.not_in_force = "a VIP is a local address";
  const Ran ran = run_with_socket({"status"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.error, HasSubstr("the configuration is not in force: a VIP is a local address"));
}

TEST_F(CliVerbsTest, TellsByItsExitCodeWhetherTheNodeIsReady) {
  operator_.status_view.dataplane_connected = true;
  operator_.status_view.generation = 1;
  operator_.service_views = {{.name = "web", .usable = 1}};
  start();
  EXPECT_EQ(run_with_socket({"health"}).out, "ready\n");
  operator_.service_views[0].usable = 0;
  const Ran ran = run_with_socket({"health"});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_EQ(ran.out, "not ready: no service has a backend that takes new flows\n");
  const Ran quiet = run_with_socket({"health", "--quiet"});
  EXPECT_EQ(quiet.exit_code, 1);
  EXPECT_EQ(quiet.out + quiet.error, "");
  const Ran nobody = run({"health", "-q", "--socket", directory_.file("none")});
  EXPECT_EQ(nobody.exit_code, 4);
  EXPECT_EQ(nobody.out + nobody.error, "");
}

TEST_F(CliVerbsTest, ShowsTheStatus) {
  StatusView& view = operator_.status_view;
  view.version = "0.1.0";
  view.dataplane_version = "0.1.0";
  view.dataplane_connected = true;
  view.revision = 3;
  view.generation = 7;
  view.reloads_applied = 2;
  view.reloads_refused = 1;
  view.last_reload = {"refused", 90, {"site.yaml:1:1: error: no"}};
  view.adopted_ms = 12.5;
  view.mbufs_available = 8000;
  view.mbufs_total = 8192;
  view.uptime_s = 200;
  view.workers = {{0,
                   {{"received", 10}, {"forwarded", 9}},
                   {{"mtu", 1}, {"land", 0}},
                   {},
                   {{"v4", 3}},
                   {{"v4", 100}},
                   0}};
  view.ports = {{"wan0", false, {{"received", 10}, {"transmitted", 9}}}};
  view.notices = {"no huge pages: slower"};
  start();
  EXPECT_EQ(run_with_socket({"status"}).out,
            "control 0.1.0, up 3m 20s; dataplane 0.1.0\n"
            "revision 3; reloads: 2 applied, 1 refused; the last one was refused 1m 30s ago\n"
            "  site.yaml:1:1: error: no\n"
            "adopted the dataplane in 12.5 ms, state changes 0\n"
            "generation 7; free packet buffers 8000 of 8192\n"
            "\n"
            "WORKER  RECEIVED  FORWARDED  REPLIED  TO KERNEL  DROPPED     FLOWS  UNACCOUNTED\n"
            "0             10          9        -          -        1  3 of 100            0\n"
            "\n"
            "PORT  LINK  RECEIVED  TRANSMITTED  MISSED\n"
            "wan0  DOWN        10            9       -\n"
            "\n"
            "DROPPED  FRAMES\n"
            "mtu           1\n"
            "\n"
            "notice: no huge pages: slower\n");
}

TEST_F(CliVerbsTest, PrintsTheApisJson) {
  operator_.backend_views = {backend_view("web", "a", 12)};
  start();
  const Ran ran = run_with_socket({"backends", "-o", "json"});
  EXPECT_EQ(json::parse(ran.out).at("backends").at(0).at("flows"), 12);
}

TEST_F(CliVerbsTest, DrainsWithAReason) {
  start();
  const Ran ran = run_with_socket({"drain", "web/a", "--reason", "new disk"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "done\n");
  ASSERT_EQ(calls().size(), 1U);
  EXPECT_EQ(calls()[0].object, "web/a");
  EXPECT_EQ(calls()[0].caller.reason, "new disk");
}

TEST_F(CliVerbsTest, SendsEveryOptionOfADrain) {
  start();
  EXPECT_EQ(run_with_socket({"drain",
                             "web/a",
                             "web/b",
                             "--deadline",
                             "30s",
                             "--then",
                             "remove",
                             "--ttl",
                             "1h",
                             "--dry-run",
                             "--force"})
                .exit_code,
            0);
  ASSERT_EQ(calls().size(), 1U);
  const AdminRequest request = calls()[0].request;
  EXPECT_EQ(request.objects, (std::vector<std::string>{"web/a", "web/b"}));
  EXPECT_EQ(request.deadline, std::chrono::seconds(30));
  EXPECT_EQ(request.then, config::DrainEnd::kRemove);
  EXPECT_EQ(request.ttl, std::chrono::hours(1));
  EXPECT_TRUE(request.dry_run && request.force);
}

TEST_F(CliVerbsTest, MaintainsEnablesAndWeighs) {
  start();
  EXPECT_EQ(run_with_socket({"maintenance", "web/a", "--ttl", "5m"}).exit_code, 0);
  EXPECT_EQ(run_with_socket({"enable", "web/a", "--reason", "done"}).exit_code, 0);
  EXPECT_EQ(run_with_socket({"weight", "web/a", "web/b", "20"}).exit_code, 0);
  EXPECT_EQ(run_with_socket({"weight", "web/a", "default"}).exit_code, 0);
  EXPECT_EQ(run_with_socket({"clear-damping", "web/a", "--dry-run"}).exit_code, 0);
  ASSERT_EQ(calls().size(), 5U);
  EXPECT_EQ(calls()[4].verb, "clear-damping");
  EXPECT_TRUE(calls()[4].request.dry_run);
  EXPECT_EQ(calls()[0].request.ttl, std::chrono::minutes(5));
  EXPECT_EQ(calls()[1].verb, "enable");
  EXPECT_EQ(calls()[2].object, "web/a web/b");
  EXPECT_EQ(calls()[2].request.weight, 20U);
  EXPECT_EQ(calls()[3].request.weight, std::nullopt);
}

TEST_F(CliVerbsTest, SaysWhyABackendIsWhatItIs) {
  BackendView b = backend_view("web", "b", 12);
  b.health = "down";
  b.cause = "L4 refused, 2 in a row";
  b.penalty = 1000;
  b.check.type = "tcp";
  operator_.backend_views = {backend_view("web", "a", 0), b};
  operator_.results_of_why = {{1'700'000'000'123, "L4 refused", 0.0015, 0, false},
                              {1'700'000'000'000, "L4 timeout", 0.2, 0.3, true}};
  start();
  const Ran ran = run_with_socket({"why", "web/b"});
  EXPECT_EQ(ran.exit_code, 0) << ran.error;
  EXPECT_THAT(ran.out, HasSubstr("web/b: down, "));
  EXPECT_THAT(ran.out, HasSubstr("because: L4 refused, 2 in a row"));
  EXPECT_THAT(ran.out, HasSubstr("penalty for its falls: 1000, which does not hold it back"));
  EXPECT_THAT(ran.out, HasSubstr("2023-11-14 22:13:20.123 UTC  L4 refused    1.5 ms"));
  EXPECT_THAT(ran.out, HasSubstr("void"));
  EXPECT_EQ(json::parse(run_with_socket({"why", "web/b", "-o", "json"}).out)
                .at("results")
                .at(0)
                .at("result"),
            "L4 refused");
  EXPECT_EQ(run_with_socket({"why", "web/c"}).exit_code, 2);
  EXPECT_EQ(run_with_socket({"why", "web"}).exit_code, 2);
  EXPECT_EQ(run_with_socket({"why", "web/b/c"}).exit_code, 2);
}

TEST_F(CliVerbsTest, MigratesFromOneBackendToAnother) {
  operator_.backend_views = {backend_view("web", "a", 0), backend_view("web", "b", 7)};
  operator_.result.members = {"web/a"};
  start();
  const Ran ran = run_with_socket({"migrate", "web/a", "web/b", "--deadline", "1m", "--wait"});
  EXPECT_EQ(ran.out, "done\nno flows left\n");
  ASSERT_EQ(calls().size(), 1U);
  EXPECT_EQ(calls()[0].verb, "migrate");
  EXPECT_EQ(calls()[0].object, "web/a web/b");
  EXPECT_EQ(calls()[0].request.deadline, std::chrono::minutes(1));
}

TEST_F(CliVerbsTest, ListsWhatABareNameStandsForBeforeItActs) {
  operator_.result.members = {"web/a", "web-dsr/a"};
  start();
  EXPECT_EQ(run_with_socket({"maintenance", "a"}).out, "a: web/a web-dsr/a\ndone\n");
  ASSERT_EQ(calls().size(), 2U);
  EXPECT_TRUE(calls()[0].request.dry_run);
  EXPECT_FALSE(calls()[1].request.dry_run);
}

TEST_F(CliVerbsTest, ShowsDriftBelowTheBackends) {
  operator_.backend_views = {backend_view("web", "a", 12)};
  operator_.backend_views[0].drain_estimate_s = 40;
  operator_.backend_views[0].drift = {
      {"draining", "enabled", "uid=0(root)", "kernel", 120, 180, "reset", 600},
      {"weight 20", "weight 100", "uid=0(root)", "", 5, {}, "", {}}};
  start();
  EXPECT_THAT(run_with_socket({"backends"}).out,
              HasSubstr("\n\ndrift: web/a draining for 2m by uid=0(root) (kernel), reset in 3m, "
                        "ends by itself in 10m, last flow ends in about 40s; the file says "
                        "enabled\ndrift: web/a weight 20 for 5s by uid=0(root); the file says "
                        "weight 100\n"));
}

TEST_F(CliVerbsTest, WaitsUntilTheMembersThatWereMeantHaveNoFlows) {
  operator_.backend_views = {backend_view("web", "a", 0), backend_view("web", "b", 7)};
  operator_.result.members = {"web/a"};
  start();
  const Ran ran = run_with_socket({"drain", "web/a", "--wait"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "done\nno flows left\n");
}

TEST_F(CliVerbsTest, SaysWhatIsLeftWhenADrainTakesTooLong) {
  operator_.backend_views = {backend_view("web", "a", 7), backend_view("web-dsr", "a", 0)};
  operator_.result.members = {"web/a", "web-dsr/a"};
  start();
  const Ran ran = run_with_socket({"drain", "a", "--wait", "--timeout", "250ms"});
  EXPECT_EQ(ran.exit_code, 6);
  EXPECT_EQ(ran.error, "done\nnot drained within 250ms, and still draining: web/a: 7 flows\n");
}

TEST_F(CliVerbsTest, SaysWhatWasLeftLastWhenTheTimeEndsDuringAQuestion) {
  operator_.backend_views = {backend_view("web", "a", 7)};
  operator_.result.members = {"web/a"};
  std::promise<void> end;
  int asked = 0;
  operator_.on_backends = [&] {
    if (++asked == 2) {
      end.get_future().wait();
    }
  };
  start();
  const Ran ran = run_with_socket({"drain", "web/a", "--wait", "--timeout", "600ms"});
  end.set_value();
  EXPECT_EQ(ran.exit_code, 6);
  EXPECT_EQ(ran.error, "done\nnot drained within 600ms, and still draining: web/a: 7 flows\n");
}

TEST_F(CliVerbsTest, ARefusedVerbEndsWithItsReasonAndFive) {
  operator_.result = {Outcome::kRefused, {"web would have no backend left"}};
  start();
  const Ran ran = run_with_socket({"drain", "web/a", "--wait"});
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.error, "web would have no backend left\n");
}

TEST_F(CliVerbsTest, UndrainsAndReloads) {
  start();
  EXPECT_EQ(run_with_socket({"undrain", "host:10.0.3.11"}).exit_code, 0);
  EXPECT_EQ(run_with_socket({"reload", "--wait"}).out, "done\n");
  ASSERT_EQ(calls().size(), 3U);
  EXPECT_TRUE(calls()[0].request.dry_run);  // a host may have several
  EXPECT_EQ(calls()[1].verb, "undrain");
  EXPECT_EQ(calls()[2].verb, "reload");
}

TEST_F(CliVerbsTest, ReloadWithoutWaitTellsWhatControlSaysAtOnce) {
  operator_.result = {Outcome::kUsage, {"a reason has at most 256 bytes"}};
  start();
  const Ran ran = run_with_socket({"reload"});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_EQ(ran.error, "a reason has at most 256 bytes\n");
}

TEST_F(CliVerbsTest, ReloadWithoutWaitDoesNotWaitForASlowOne) {
  start();
  std::promise<void> end;
  thread_.post([&] { end.get_future().wait(); });
  const Ran ran = run_with_socket({"reload", "--timeout", "50ms"});
  end.set_value();
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_THAT(ran.out, HasSubstr("`holdfast status` shows the result"));
}

TEST_F(CliVerbsTest, AnInvalidConfigurationEndsAReloadWithThree) {
  operator_.result = {Outcome::kInvalidConfiguration, {"site.yaml:1:1: error: no"}};
  start();
  const Ran ran = run_with_socket({"reload", "--wait", "-o", "json"});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_EQ(json::parse(ran.out).at("outcome"), "invalid_configuration");
}

TEST_F(CliVerbsTest, SaysWhatToDoWhenControlIsNotThere) {
  const Ran verb = run_with_socket({"drain", "a"});
  EXPECT_EQ(verb.exit_code, 4);
  EXPECT_THAT(verb.error,
              HasSubstr("control does not answer on " + path_ +
                        " (No such file or directory): start it, or name its socket"));
  const Ran listing = run_with_socket({"status"});
  EXPECT_EQ(listing.exit_code, 4);
  EXPECT_THAT(listing.error, HasSubstr("nor does the dataplane: "));
}

TEST_F(CliVerbsTest, TimesOutOnAControlThatHangs) {
  start();
  std::promise<void> end;
  thread_.post([&] { end.get_future().wait(); });
  const Ran ran = run_with_socket({"reload", "--wait", "--timeout", "50ms"});
  end.set_value();
  EXPECT_EQ(ran.exit_code, 6);
  EXPECT_THAT(ran.error, HasSubstr("did not answer within 50 ms"));
}

TEST_F(CliVerbsTest, ATimeoutBoundsAllRequestsOfAVerbTogether) {
  start();
  std::promise<void> end;
  thread_.post([&] { end.get_future().wait(); });
  // "a" is asked about first, and takes all the time there is.
  const Ran asked = run_with_socket({"drain", "a", "--wait", "--timeout", "50ms"});
  const Ran sent = run_with_socket({"drain", "web/a", "--wait", "--timeout", "50ms"});
  end.set_value();
  EXPECT_EQ(asked.exit_code, 6);
  EXPECT_THAT(asked.error, HasSubstr("the time was over before control could be asked"));
  EXPECT_EQ(sent.exit_code, 6);
  EXPECT_THAT(sent.error, HasSubstr("control took the request on " + path_));
}

TEST_F(CliVerbsTest, SaysWhatControlSaysThatHasTooManyConnections) {
  thread_.run([&] {
    server_ = std::make_unique<AdminServer>(
        thread_.context().get_executor(), operator_, HttpLimits{.connections = 0});
    ASSERT_TRUE(server_->listen(path_));
  });
  // More than the socket holds: the answer is there before the request is written.
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{4} << 20U}) {
    const Ran ran = run_with_socket({"enable", "web/a", "--reason", std::string(bytes, 'x')});
    EXPECT_EQ(ran.exit_code, 4);
    EXPECT_EQ(ran.error, "holdfast: what answers on " + path_ + " says: too many connections\n");
  }
}

TEST_F(CliVerbsTest, FailsWhenItsOutputIsLost) {
  start();
  std::filebuf full;
  ASSERT_NE(full.open("/dev/full", std::ios::out), nullptr);
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"version"},
                                             {"--help"},
                                             {"status", "--socket", path_},
                                             {"backends", "--socket", path_}}) {
    std::ostream out(&full);
    std::ostringstream error;
    Context context{.out = out, .error = error, .program = "/usr/bin/holdfast"};
    EXPECT_EQ(run_program(words, context), 1) << words.front();
    EXPECT_EQ(error.str(), "holdfast: cannot write the output: No space left on device\n");
  }
}

TEST_F(CliVerbsTest, FindsTheSocketInTheConfiguration) {
  start();
  std::ofstream(directory_.file("site.yaml")) << testing::site_config(directory_, "web");
  const Ran ran = run({"reload", "--wait", "--config", directory_.file("site.yaml")});
  EXPECT_EQ(ran.exit_code, 0) << ran.error;
}

TEST(Cli, AMistakeInTheCommandLineIsUsage) {
  for (const auto& words :
       std::vector<std::vector<std::string>>{{},
                                             {"fly"},
                                             {"drain"},
                                             {"status", "--blance"},
                                             {"status", "-o", "xml"},
                                             {"drain", "a", "--timeout", "5"},
                                             {"drain", "a", "--timeout", "5s"},
                                             {"migrate", "a", "b", "--timeout", "5s"},
                                             {"status", "--socket", ""},
                                             {"status", "--config", ""},
                                             {"drain", "a", "--then", "die"},
                                             {"weight", "a"},
                                             {"weight", "a", "65536"},
                                             {"weight", "a", "b"},
                                             {"maintenance"},
                                             {"migrate", "a"},
                                             {"check"},
                                             {"startup", "--config", "x"}}) {
    EXPECT_EQ(run(words).exit_code, 2) << ::testing::PrintToString(words);
  }
  EXPECT_EQ(run({"fly"}).error, "holdfast: there is no verb 'fly': see holdfast --help\n");
  EXPECT_THAT(run({"drain", "a", "--timeout", "5s"}).error,
              HasSubstr("--timeout bounds --wait: give both, or neither"));
  EXPECT_THAT(run({"status", "--socket", ""}).error, HasSubstr("--socket: it is empty"));
  EXPECT_THAT(run({"drain", "a", "--timeout", "5"}).error,
              HasSubstr("'5' is no duration: write 500ms, 30s, 5m or 1h"));
}

TEST(Cli, HelpNamesEveryVerbAndExitCode) {
  const Ran ran = run({"--help"});
  EXPECT_EQ(ran.exit_code, 0);
  for (const char* word : {"run",
                           "control",
                           "check",
                           "startup",
                           "status",
                           "services",
                           "backends",
                           "drain",
                           "undrain",
                           "maintenance",
                           "enable",
                           "weight",
                           "migrate",
                           "reload",
                           "version",
                           "6 timed out"}) {
    EXPECT_THAT(ran.out, HasSubstr(word));
  }
  EXPECT_THAT(run({"drain", "--help"}).out, HasSubstr("SERVICE/BACKEND"));
}

TEST(Cli, PrintsItsVersion) {
  EXPECT_EQ(run({"version"}).out, std::string("holdfast ") + HOLDFAST_VERSION + "\n");
  EXPECT_EQ(json::parse(run({"version", "-o", "json"}).out).at("version"), HOLDFAST_VERSION);
}

}  // namespace
}  // namespace holdfast::control
