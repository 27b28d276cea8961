// SPDX-License-Identifier: Apache-2.0
// The API's JSON as scripts see it: every field of every view, in one expected text each.
#include "control/admin/views_json.h"

#include <limits>
#include <optional>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

namespace json = boost::json;

TEST(ViewsJson, WritesEveryFieldOfAService) {
  const ServiceView view{"web",
                         "nat",
                         {"203.0.113.10"},
                         {"tcp/80", "udp/5000-5010"},
                         65537,
                         3,
                         2,
                         12,
                         400,
                         "10m /24 /56",
                         MovesView{{{"reset", 1}, {"reopened", 2}}, 3, 4, 5, 6, 1, 2, 3}};
  EXPECT_EQ(to_json(view), json::parse(R"json({
    "name": "web", "mode": "nat", "vips": ["203.0.113.10"], "ports": ["tcp/80", "udp/5000-5010"],
    "slots": 65537, "backends": 3, "usable": 2, "flows": 12, "new_flows": 400,
    "affinity": "10m /24 /56",
    "moves": {"moved": {"reset": 1, "reopened": 2}, "untracked": 3, "reset": 4,
              "asked": 5, "unanswered": 6,
              "by_order": {"reset": 1, "asked": 2, "unanswered": 3}}})json"));
}

TEST(ViewsJson, WritesEveryFieldOfAnEvent) {
  const EventView view{.number = 3,
                       .change = 9,
                       .unix_ms = 1'700'000'000'000,
                       .kind = "drain",
                       .object = "web/a",
                       .who = "uid=0(root)",
                       .reason = "disk",
                       .forgotten = 5,
                       .services = {{"web", MovesView{{{"reset", 1}}, 2, 4, 9, 10, 0, 0, 0}}},
                       .frames = {6, 7, 8},
                       .settled = true};
  EXPECT_EQ(to_json(view), json::parse(R"json({
    "number": 3, "unix_ms": 1700000000000, "kind": "drain", "object": "web/a",
    "who": "uid=0(root)", "reason": "disk", "forgotten": 5, "settled": true,
    "services": [{"service": "web", "moved": {"reset": 1}, "untracked": 2, "reset": 4,
                  "asked": 9, "unanswered": 10,
                  "by_order": {"reset": 0, "asked": 0, "unanswered": 0}}],
    "frames": {"held": 6, "released": 7, "dropped": 8}})json"));
}

TEST(ViewsJson, WritesEveryFieldOfABackend) {
  const BackendView view{
      .service = "web",
      .name = "a",
      .address = "10.0.3.11",
      .port = 8080,
      .weight = 20,
      .tier = 1,
      .file_weight = 100,
      .admin = "draining",
      .health = "up",
      .disposition = "keep",
      .cause = "drain by uid=0(root)",
      .since_s = 1.5,
      .changes = 3,
      .check = {"http", 5, 1, 2, 4, "L7", "ok", 0.25},
      .penalty = 1500.5,
      .held_left_s = 60,
      .drift = {{"draining", "enabled", "uid=0(root)", "disk", 1.5, 28.5, "reset", 60},
                {"weight 20", "weight 100", "uid=0(root)", "", 2, {}, "", {}}},
      .drain_estimate_s = 7.5,
      .flows = 12,
      .new_flows = 400,
      .packets_to_member = 1,
      .bytes_to_member = 2,
      .packets_to_client = 3,
      .bytes_to_client = 4,
      .refusals = 6,
      .last_new_flow_unix_ns = 5,
      .retired = true};
  EXPECT_EQ(to_json(view), json::parse(R"json({
    "service": "web", "name": "a", "address": "10.0.3.11", "port": 8080, "weight": 20, "tier": 1,
    "file_weight": 100,
    "admin": "draining", "health": "up", "disposition": "keep", "cause": "drain by uid=0(root)",
    "since_s": 1.5, "changes": 3,
    "check": {"type": "http", "passed": 5, "failed": 1, "voided": 2, "streak": 4,
              "last_layer": "L7", "last_reason": "ok", "last_duration_s": 0.25},
    "flows": 12, "new_flows": 400, "packets_to_member": 1, "bytes_to_member": 2,
    "packets_to_client": 3, "bytes_to_client": 4, "refusals": 6, "last_new_flow_unix_ns": 5, "retired": true,
    "drift": [{"what": "draining", "file": "enabled", "who": "uid=0(root)", "reason": "disk",
               "age_s": 1.5, "deadline_s": 28.5, "then": "reset", "expires_s": 60.0},
              {"what": "weight 20", "file": "weight 100", "who": "uid=0(root)", "reason": "",
               "age_s": 2.0}],
    "penalty": 1500.5, "held_left_s": 60.0, "drain_estimate_s": 7.5
})json"));
}

TEST(ViewsJson, CountersThatAreNotKnownAreNull) {
  for (const char* key : {"flows",
                          "new_flows",
                          "packets_to_member",
                          "bytes_to_member",
                          "packets_to_client",
                          "bytes_to_client",
                          "refusals",
                          "last_new_flow_unix_ns"}) {
    EXPECT_TRUE(to_json(BackendView{}).at(key).is_null()) << key;
  }
  ServiceView service;
  service.flows = service.new_flows = std::nullopt;
  EXPECT_TRUE(to_json(service).at("flows").is_null());
  EXPECT_TRUE(to_json(service).at("new_flows").is_null());
}

TEST(ViewsJson, WritesEveryFieldOfTheStatus) {
  StatusView view;
  view.version = "0.1.0";
  view.dataplane_version = "0.1.0";
  view.dataplane_connected = true;
  view.revision = 3;
  view.trial = TrialView{.falls_back_to = 2, .left_s = 1.5};
  view.generation = 7;
  view.reloads_applied = 2;
  view.reloads_refused = 1;
  view.reloads_unchanged = 4;
  view.probes_skipped = 5;
  view.log_lines_suppressed = 6;
  view.log_lines_dropped = 7;
  view.counters_age_s = 0.25;
  view.last_reload = {"refused", 2.5, {"site.yaml:1:1: error: no"}};
  view.adopted_ms = 12.5;
  view.mbufs_total = 8192;
  view.guard_losses = 2;
  view.routes = 3;
  view.role = "standby";
  view.not_in_force = "no room";
  view.workers = {{.worker = 1,
                   .counters = {{"received", 5}},
                   .drops = {{"mtu", 1}},
                   .generated = {{"reset", 2}},
                   .flows = {{"v4", 3}},
                   .capacity = {{"v4", 4}},
                   .unaccounted = -1,
                   .busy_ratio = 0.25,
                   .silent_s = 0.5}};
  view.ports = {{"wan0", true, {{"rx_packets", 9}}}};
  view.notices = {"no huge pages"};
  EXPECT_EQ(to_json(view), json::parse(R"json({
    "version": "0.1.0", "dataplane_version": "0.1.0", "dataplane_connected": true, "revision": 3,
    "trial": {"falls_back_to": 2, "left_s": 1.5}, "generation": 7, "reloads_applied": 2, "reloads_refused": 1, "reloads_unchanged": 4,
    "last_reload": {"result": "refused", "age_s": 2.5, "lines": ["site.yaml:1:1: error: no"]},
    "adopted_ms": 12.5, "adoption_state_changes": 0, "publish_failures": 0, "disk_errors": 0,
    "mbufs_available": null, "mbufs_total": 8192, "state_bytes": null, "guard_losses": 2,
    "routes": 3, "routes_discarded": null, "drained": null, "role": "standby",
    "not_in_force": "no room",
    "probe_lateness_p99_s": 0.0, "probes_skipped": 5, "log_lines_suppressed": 6,
    "log_lines_dropped": 7, "uptime_s": 0.0, "counters_age_s": 0.25,
    "workers": [{"worker": 1, "counters": {"received": 5}, "drops": {"mtu": 1},
                 "generated": {"reset": 2}, "flows": {"v4": 3}, "capacity": {"v4": 4},
                 "unaccounted": -1, "busy_ratio": 0.25, "silent_s": 0.5}],
    "ports": [{"name": "wan0", "link_up": true, "counters": {"rx_packets": 9}}],
    "notices": ["no huge pages"]})json"));
}

TEST(ViewsJson, KeepsCountersExactUpToTheirLargest) {
  ServiceView view;
  view.flows = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(json::parse(json::serialize(to_json(view))).at("flows").as_uint64(), *view.flows);
}

TEST(ViewsJson, OutcomeNamesReadBack) {
  for (int value = 0; value <= 6; ++value) {
    const auto outcome = static_cast<Outcome>(value);
    EXPECT_EQ(outcome_of(outcome_name(outcome)), outcome);
  }
  EXPECT_EQ(outcome_of("a newer one"), Outcome::kFailed);
  EXPECT_EQ(json::serialize(to_json(VerbResult{Outcome::kRefused, {"below its floor"}})),
            R"({"outcome":"refused","lines":["below its floor"]})");
}

}  // namespace
}  // namespace holdfast::control
