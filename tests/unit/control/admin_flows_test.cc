// SPDX-License-Identifier: Apache-2.0
// The API's paths about flows: what a query and a body may say, and that nothing widens what was
// meant.
#include "control/admin/flow_body.h"
#include "tests/support/raw_peer.h"
#include "tests/unit/control/admin_fixture.h"

#include <string>
#include <utility>
#include <vector>

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

namespace json = boost::json;
using dataplane::Address;
using dataplane::FlowState;
using ::testing::HasSubstr;
using testing::http_request;
using testing::RawPeer;
using ::testing::StartsWith;

constexpr std::uint32_t bit(FlowState state) { return 1U << static_cast<unsigned>(state); }

TEST(FlowQuery, SaysWhichFlows) {
  const auto query = read_flows_query(
      "/v1/flows?service=web&backend=a&source=10.0.0.0/8&vip=2001:db8::10&port=80-90&protocol=tcp"
      "&state=established&state=closing&limit=7&count=true");
  ASSERT_TRUE(query.has_value()) << query.error();
  EXPECT_EQ(query->which.service, "web");
  EXPECT_EQ(query->which.backend, "a");
  EXPECT_EQ(query->which.filter.source->address, *Address::parse("10.0.0.0"));
  EXPECT_EQ(query->which.filter.source->bits, 104);
  EXPECT_EQ(query->which.filter.vip, Address::parse("2001:db8::10"));
  EXPECT_EQ(query->which.filter.first_port, 80);
  EXPECT_EQ(query->which.filter.last_port, 90);
  EXPECT_EQ(query->which.filter.protocol, dataplane::Protocol::kTcp);
  EXPECT_EQ(query->which.filter.states, bit(FlowState::kEstablished) | bit(FlowState::kClosing));
  EXPECT_EQ(query->limit, 7U);
  EXPECT_TRUE(query->count);
  EXPECT_THAT(query->which.text, HasSubstr("source=10.0.0.0/8"));
  EXPECT_EQ(read_flows_query("/v1/flows")->limit, 1'000U);
  EXPECT_EQ(read_flows_query("/v1/flows?backend=web%2Fa")->which.service, "web");
}

TEST(FlowQuery, RefusesWhatItDoesNotUnderstand) {
  const std::vector<std::pair<std::string, std::string>> faults = {
      {"service=", "'service' is empty"},
      {"backend=", "'backend' is empty"},
      {"backend=web/", "SERVICE/BACKEND"},
      {"backend=/a", "SERVICE/BACKEND"},
      {"service=web&backend=dns/a", "are two"},
      {"service=web&service=web", "repeated key"},
      {"servise=web", "unknown key"},
      {"service", "KEY=VALUE"},
      {"service=%4", "KEY=VALUE"},
      {"service=%zz", "KEY=VALUE"},
      {"service=%0a", "control characters"},
      {"source=10.0.0.1/8", "that would be 10.0.0.0/8"},
      {"source=10.0.0.0/33", "a length that is none"},
      {"source=10.0.0.0/08", "a length that is none"},
      {"source=10.0.0.0/+8", "a length that is none"},
      {"source=10.0.0.0/", "a length that is none"},
      {"source=10.0.0", "an address or a prefix"},
      {"source=2001:db8::/129", "a length that is none"},
      {"vip=10.0.0.0/8", "'vip' is an address"},
      {"port=0", "1 to 65535"},
      {"port=65536", "1 to 65535"},
      {"port=80x", "1 to 65535"},
      {"port=90-80", "1 to 65535"},
      {"port=-80", "1 to 65535"},
      {"port=80-", "1 to 65535"},
      {"port=080", "1 to 65535"},
      {"protocol=icmp", "tcp or udp"},
      {"state=open", "half_open, established"},
      {"state=affinity", "half_open, established"},
      {"state=", "'state' is empty"},
      {"limit=10001", "up to 10000"},
      {"limit=-1", "up to 10000"},
      {"count=yes", "true or false"},
      {"&service=web", "KEY=VALUE"}};
  for (const auto& [query, fault] : faults) {
    const auto read = read_flows_query("/v1/flows?" + query);
    ASSERT_FALSE(read.has_value()) << query;
    EXPECT_THAT(read.error(), HasSubstr(fault)) << query;
  }
}

TEST(FlowReset, SaysWhichFlows) {
  const auto reset = read_flows_reset(
      R"({"backend": "web/a", "port": 80, "state": ["closing", "udp"], "reason": "x"})");
  ASSERT_TRUE(reset.has_value()) << reset.error();
  EXPECT_EQ(reset->which.service, "web");
  EXPECT_EQ(reset->which.filter.first_port, 80);
  EXPECT_EQ(reset->which.filter.states, bit(FlowState::kClosing) | bit(FlowState::kUdp));
  EXPECT_EQ(reset->caller.reason, "x");
  EXPECT_TRUE(read_flows_reset(R"({"all": true, "dry_run": true})")->dry_run);
  EXPECT_TRUE(read_flows_reset("{}")->which.text.empty());
}

// An empty string would be no filter at all.
TEST(FlowReset, NothingEmptyWidensIt) {
  for (const char* body : {R"({"service": ""})",
                           R"({"backend": ""})",
                           R"({"source": ""})",
                           R"({"vip": ""})",
                           R"({"port": ""})",
                           R"({"protocol": ""})",
                           R"({"state": ""})",
                           R"({"state": []})",
                           R"({"state": [""]})",
                           R"({"service": null})",
                           R"({"service": ["web"]})",
                           R"({"state": [["udp"]]})",
                           R"({"service": "web", "service": "dns"})",
                           R"({"service": "web", "all": true})",
                           R"({"all": 1})",
                           R"({"port": 0})",
                           R"({"port": 80.5})",
                           R"({"limit": 3})",
                           "",
                           "[]"}) {
    EXPECT_FALSE(read_flows_reset(body).has_value()) << body;
  }
}

TEST(FlowMove, IsFromOneBackendToAnotherOfItsServiceAndTakesNoFilter) {
  const auto move = read_flows_move(R"({"from": "web/a", "to": "web/b", "force": true})");
  ASSERT_TRUE(move.has_value()) << move.error();
  EXPECT_EQ(move->service, "web");
  EXPECT_EQ(move->from, "a");
  EXPECT_EQ(move->to, "b");
  EXPECT_TRUE(move->force);
  for (const char* body : {R"({"from": "web/a"})",
                           R"({"from": "a", "to": "b"})",
                           R"({"from": "web/a", "to": "dns/a"})",
                           R"({"from": "web/a", "to": "web/a"})",
                           R"({"from": "web/a", "to": "web/"})",
                           R"({"from": "web/a", "to": "web/b/c"})",
                           R"({"from": "web/a", "to": "web/b", "source": "10.0.0.0/8"})",
                           R"({"from": "web/a", "to": "web/b", "all": true})"}) {
    EXPECT_FALSE(read_flows_move(body).has_value()) << body;
  }
}

class AdminFlowsTest : public AdminFixture {
 protected:
  std::string exchange(const std::string& request) const {
    const RawPeer peer = RawPeer::to_unix(path_);
    EXPECT_TRUE(peer.send(request));
    return peer.read();
  }
};

json::object body_of(const std::string& response) {
  return json::parse(response.substr(response.find("\r\n\r\n") + 4)).as_object();
}

TEST_F(AdminFlowsTest, ListsFlows) {
  operator_.flows_view.matched = 3;
  operator_.flows_view.flows.push_back({.service = "web",
                                        .backend = "a",
                                        .client = "198.51.100.7",
                                        .client_port = 4'000,
                                        .vip = "203.0.113.10",
                                        .port = 80,
                                        .protocol = "tcp",
                                        .mode = "nat",
                                        .state = "established",
                                        .age_s = 12,
                                        .pool = "10.0.3.16",
                                        .pool_port = 1'024});
  start();
  const auto answer = exchange(http_request("GET", "/v1/flows?service=web&limit=1"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
  const json::object body = body_of(answer);
  EXPECT_EQ(body.at("matched"), 3);
  const json::object& flow = body.at("flows").at(0).as_object();
  EXPECT_EQ(flow.at("client"), "198.51.100.7");
  EXPECT_EQ(flow.at("client_port"), 4'000);
  EXPECT_EQ(flow.at("age_s"), 12);
  EXPECT_EQ(flow.at("pool"), "10.0.3.16");
  EXPECT_THAT(exchange(http_request("GET", "/v1/flows?servise=web")), StartsWith("HTTP/1.1 400 "));
  thread_.run([&] { operator_.flows_view.result = {Outcome::kUnreachable, {"gone"}}; });
  EXPECT_THAT(exchange(http_request("GET", "/v1/flows")), StartsWith("HTTP/1.1 503 "));
}

TEST_F(AdminFlowsTest, ResetsAndMovesTellWhoAskedAndRefusalsAre409) {
  start();
  EXPECT_THAT(exchange(http_request(
                  "POST", "/v1/flows/reset", R"({"service": "web", "reason": "a leak"})")),
              StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(
      exchange(http_request("POST", "/v1/flows/move", R"({"from": "web/a", "to": "web/b"})")),
      StartsWith("HTTP/1.1 200 "));
  thread_.run([&] { operator_.result = {Outcome::kRefused, {"no"}, {}, {{"matched", 1}}}; });
  const auto refused =
      exchange(http_request("POST", "/v1/flows/move", R"({"from": "web/a", "to": "web/b"})"));
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 409 "));
  EXPECT_EQ(body_of(refused).at("counts").at("matched"), 1);
  EXPECT_THAT(exchange(http_request("POST", "/v1/flows/reset", R"({"service": ""})")),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(exchange(http_request("POST", "/v1/flows/reset?all=true", "{}")),
              StartsWith("HTTP/1.1 404 "));
  thread_.run([&] {
    ASSERT_EQ(operator_.flow_resets.size(), 1U);
    EXPECT_THAT(operator_.flow_resets[0].caller.who, StartsWith("uid="));
    EXPECT_EQ(operator_.flow_resets[0].caller.reason, "a leak");
    EXPECT_EQ(operator_.flow_moves.size(), 2U);
  });
}

}  // namespace
}  // namespace holdfast::control
