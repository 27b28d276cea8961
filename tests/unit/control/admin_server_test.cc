// SPDX-License-Identifier: Apache-2.0
// The API over a real Unix socket, with a fake operator behind it: what each path answers, and that
// hostile peers end bounded.
#include "tests/support/raw_peer.h"
#include "tests/unit/control/admin_fixture.h"

#include <string>
#include <vector>

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

namespace json = boost::json;
using testing::FakeOperator;
using ::testing::HasSubstr;
using testing::http_request;
using testing::RawPeer;
using ::testing::StartsWith;

class AdminServerTest : public AdminFixture {
 protected:
  std::string exchange(const std::string& request) const {
    const RawPeer peer = RawPeer::to_unix(path_);
    EXPECT_TRUE(peer.send(request));
    return peer.read();
  }
  std::vector<FakeOperator::Call> calls() {
    return thread_.run([&] { return operator_.calls; });
  }
  void set_result(Outcome outcome, const std::string& line) {
    thread_.run([&] { operator_.result = {outcome, {line}}; });
  }
};

json::object sent_body(const std::string& response) {
  return json::parse(response.substr(response.find("\r\n\r\n") + 4)).as_object();
}

TEST_F(AdminServerTest, MakesDirectoryAndSocketForTheGroupOnly) {
  start();
  struct stat socket{};
  struct stat directory{};
  ASSERT_EQ(::stat(path_.c_str(), &socket), 0);
  ASSERT_EQ(::stat(directory_.file("run").c_str(), &directory), 0);
  EXPECT_EQ(socket.st_mode & 07777U, 0660U);
  EXPECT_EQ(directory.st_mode & 07777U, 0750U);
}

TEST_F(AdminServerTest, AnswersEachView) {
  operator_.status_view.version = "1.2.3";
  operator_.service_views.resize(1);
  operator_.service_views[0].vips = {"203.0.113.10"};
  operator_.backend_views.resize(1);
  operator_.backend_views[0].name = "a";
  start();
  EXPECT_EQ(sent_body(exchange(http_request("GET", "/v1/status"))).at("version"), "1.2.3");
  const auto services = sent_body(exchange(http_request("GET", "/v1/services")));
  EXPECT_EQ(services.at("services").at(0).at("vips").at(0), "203.0.113.10");
  const auto backends = sent_body(exchange(http_request("GET", "/v1/backends")));
  EXPECT_EQ(backends.at("backends").at(0).at("name"), "a");
}

TEST_F(AdminServerTest, KeepsAConnectionForSeveralRequests) {
  start();
  const RawPeer peer = RawPeer::to_unix(path_);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(peer.send("GET /v1/services HTTP/1.1\r\nHost: x\r\n\r\n"));
    EXPECT_THAT(peer.read("[]}\n"), StartsWith("HTTP/1.1 200 OK"));
  }
}

TEST_F(AdminServerTest, TellsTheOperatorWhoAskedAndWhy) {
  start();
  const auto response =
      exchange(http_request("POST", "/v1/drain", R"({"object": "web/a", "reason": "new disk"})"));
  EXPECT_THAT(response, StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(sent_body(response).at("outcome"), "ok");
  EXPECT_EQ(sent_body(response).at("lines").at(0), "done");
  ASSERT_EQ(calls().size(), 1U);
  EXPECT_EQ(calls()[0].verb, "drain");
  EXPECT_EQ(calls()[0].object, "web/a");
  EXPECT_EQ(calls()[0].caller.reason, "new disk");
  EXPECT_THAT(calls()[0].caller.who, StartsWith("uid=" + std::to_string(::getuid())));
}

TEST_F(AdminServerTest, ReadsEveryKeyOfAVerb) {
  start();
  EXPECT_THAT(exchange(http_request("POST",
                                    "/v1/drain",
                                    R"({"objects": ["web/a", "host:10.0.3.12"], "deadline_ms": 500,
                                        "then": "keep", "ttl_ms": 60000, "dry_run": true,
                                        "force": false})")),
              StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(
      exchange(http_request("POST", "/v1/weight", R"({"object": "web/a", "weight": 65535})")),
      StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(exchange(http_request("POST", "/v1/weight", R"({"object": "web/a"})")),
              HasSubstr("'weight' is missing"));
  EXPECT_THAT(exchange(http_request("POST", "/v1/weight", R"({"object": "a", "weight": 65536})")),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(exchange(http_request("POST", "/v1/enable", R"({"object": "a", "ttl_ms": 5})")),
              HasSubstr("unknown key 'ttl_ms'"));
  ASSERT_EQ(calls().size(), 2U);
  const AdminRequest request = calls()[0].request;
  EXPECT_EQ(request.objects.size(), 2U);
  EXPECT_EQ(request.deadline, std::chrono::milliseconds(500));
  EXPECT_EQ(request.then, config::DrainEnd::kKeep);
  EXPECT_EQ(request.ttl, std::chrono::minutes(1));
  EXPECT_TRUE(request.dry_run && !request.force);
  EXPECT_EQ(calls()[1].request.weight, 65'535U);
}

TEST_F(AdminServerTest, RefusesARollbackThatIsNone) {
  start();
  for (const std::string body : {"{\"revision\": 0}",
                                 "{\"revision\": -1}",
                                 "{\"revision\": \"3\"}",
                                 "{\"revision\": 1.5}",
                                 "{\"revision\": 1, \"revision\": 2}",
                                 "{\"to\": 3}",
                                 "{\"force\": 1}",
                                 "3"}) {
    EXPECT_THAT(exchange(http_request("POST", "/v1/rollback", body)), StartsWith("HTTP/1.1 400"))
        << body;
  }
  EXPECT_TRUE(calls().empty());
  EXPECT_THAT(exchange(http_request("POST", "/v1/rollback", "{\"revision\": null}")),
              StartsWith("HTTP/1.1 200"));
}

TEST_F(AdminServerTest, TakesAFileByItsPath) {
  start();
  EXPECT_THAT(exchange(http_request("POST", "/v1/plan", R"({"path": "/etc/new.yaml"})")),
              StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(
      exchange(http_request(
          "POST",
          "/v1/apply",
          R"({"path": "/etc/new.yaml", "confirm_ms": 60000, "reason": "b", "force": true})")),
      StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(exchange(http_request("POST", "/v1/confirm", R"({"revision": 4})")),
              StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(exchange(http_request("POST", "/v1/confirm")), StartsWith("HTTP/1.1 200"));
  ASSERT_EQ(calls().size(), 4U);
  EXPECT_EQ(calls()[0].object, "/etc/new.yaml");
  EXPECT_EQ(calls()[1].caller.reason, "b");
  EXPECT_EQ(calls()[2].object, "4");
  ASSERT_EQ(operator_.applied.size(), 1U);
  EXPECT_EQ(operator_.applied[0].confirm, std::chrono::minutes(1));
  EXPECT_TRUE(operator_.applied[0].force);
}

TEST_F(AdminServerTest, RefusesAFileThatIsNotNamedWell) {
  start();
  const std::string path = R"({"path": "/a")";
  for (const std::string& body : {std::string(),
                                  std::string("{}"),
                                  std::string(R"({"path": "a.yaml"})"),
                                  std::string(R"({"path": ""})"),
                                  std::string(R"({"path": 3})"),
                                  std::string(R"({"path": "/a\nb"})"),
                                  "{\"path\": \"/" + std::string(5'000, 'a') + "\"}",
                                  path + R"(, "path": "/b"})",
                                  path + R"(, "confirm_ms": 0})",
                                  path + R"(, "confirm_ms": 999})",
                                  path + R"(, "confirm_ms": -1})",
                                  path + R"(, "confirm_ms": 1e30})",
                                  path + R"(, "confirm_ms": "60s"})",
                                  path + R"(, "revision": 3})"}) {
    EXPECT_THAT(exchange(http_request("POST", "/v1/apply", body)), StartsWith("HTTP/1.1 400"))
        << body;
  }
  EXPECT_THAT(exchange(http_request("POST", "/v1/plan", path + R"(, "force": true})")),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(exchange(http_request("POST", "/v1/confirm", R"({"path": "/a"})")),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(exchange(http_request("GET", "/v1/plan")), StartsWith("HTTP/1.1 405"));
  EXPECT_TRUE(calls().empty());
}

TEST_F(AdminServerTest, ReloadsWithoutABody) {
  start();
  EXPECT_THAT(exchange(http_request("POST", "/v1/reload")), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(exchange(http_request("POST", "/v1/undrain", R"({"object": "a"})")),
              StartsWith("HTTP/1.1 200 "));
  ASSERT_EQ(calls().size(), 2U);
  EXPECT_EQ(calls()[0].verb, "reload");
  EXPECT_EQ(calls()[1].verb, "undrain");
}

TEST_F(AdminServerTest, OrdersTheNodeByThePath) {
  start();
  for (const std::string order : {"drain", "undrain", "active", "standby"}) {
    EXPECT_THAT(exchange(http_request("POST", "/v1/node/" + order, R"({"reason": "kernel"})")),
                StartsWith("HTTP/1.1 200 "));
    EXPECT_EQ(calls().back().verb, "node " + order);
    EXPECT_EQ(calls().back().caller.reason, "kernel");
  }
  EXPECT_THAT(exchange(http_request("POST", "/v1/node/drain", R"({"object": "a"})")),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(exchange(http_request("GET", "/v1/node/drain")), StartsWith("HTTP/1.1 405 "));
}

TEST_F(AdminServerTest, GivesEachOutcomeItsStatus) {
  start();
  const std::vector<std::pair<Outcome, std::string>> expected = {
      {Outcome::kOk, "200"},
      {Outcome::kUsage, "400"},
      {Outcome::kRefused, "409"},
      {Outcome::kInvalidConfiguration, "422"},
      {Outcome::kFailed, "500"},
      {Outcome::kUnreachable, "503"},
      {Outcome::kTimedOut, "504"},
  };
  for (const auto& [outcome, status] : expected) {
    set_result(outcome, "why");
    const auto response = exchange(http_request("POST", "/v1/reload"));
    EXPECT_THAT(response, StartsWith("HTTP/1.1 " + status + " "));
    EXPECT_EQ(sent_body(response).at("lines").at(0), "why");
  }
}

TEST_F(AdminServerTest, RefusesUnknownPathsAndWrongMethods) {
  start();
  EXPECT_THAT(exchange(http_request("GET", "/v2/status")), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(exchange(http_request("POST", "/v1/drain?dry_run=true", R"({"object": "web/a"})")),
              StartsWith("HTTP/1.1 404 "));
  const auto response = exchange(http_request("GET", "/v1/drain"));
  EXPECT_THAT(response, StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(response, HasSubstr("Allow: POST\r\n"));
  EXPECT_THAT(exchange(http_request("DELETE", "/v1/status")), StartsWith("HTTP/1.1 405 "));
  EXPECT_TRUE(calls().empty());
}

TEST_F(AdminServerTest, IgnoresTheQueryOfAView) {
  start();
  EXPECT_THAT(exchange(http_request("GET", "/v1/status?x=1")), StartsWith("HTTP/1.1 200 "));
}

TEST_F(AdminServerTest, RefusesARepeatedKeyByItsName) {
  start();
  for (const std::string body : {
           R"({"object": "web/a", "dry_run": true, "dry_run": false})",
           R"({"object": "web/a", "dry_run": true, "dry\u005frun": false})",
       }) {
    const auto response = exchange(http_request("POST", "/v1/drain", body));
    EXPECT_THAT(response, StartsWith("HTTP/1.1 400 "));
    EXPECT_THAT(response, HasSubstr("repeated key 'dry_run'"));
  }
  EXPECT_THAT(exchange(http_request("POST", "/v1/reload", R"({"reason": "a", "reason": "b"})")),
              HasSubstr("repeated key 'reason'"));
  EXPECT_TRUE(calls().empty());
}

TEST_F(AdminServerTest, AnswersHeadWithoutABody) {
  start();
  const auto response = exchange(http_request("HEAD", "/v1/services"));
  EXPECT_THAT(response, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(response, HasSubstr("Content-Length: 16\r\n"));
  EXPECT_TRUE(response.ends_with("\r\n\r\n"));
}

TEST_F(AdminServerTest, RefusesBodiesThatAreNotAVerbs) {
  start();
  const std::vector<std::string> bodies = {
      "",
      "{",
      "[]",
      "\"web/a\"",
      R"({"reason": "no object"})",
      R"({"object": 7})",
      R"({"object": ""})",
      R"({"object": "a", "force": 1})",
      R"({"object": "a", "weight": 1})",
      R"({"object": "a", "fierce": true})",
      R"({"objects": "a"})",
      R"({"objects": ["a", 7]})",
      R"({"objects": []})",
      R"({"object": "a", "then": "die"})",
      R"({"object": "a", "deadline_ms": -1})",
      R"({"object": "a", "deadline_ms": 1e30})",
      R"({"object": "a", "ttl_ms": 0})",
      R"({"object": "a\nlevel=error"})",
      R"({"object": "a", "reason": ")" + std::string(300, 'x') + "\"}",
      std::string(60'000, '['),
  };
  for (const std::string& body : bodies) {
    EXPECT_THAT(exchange(http_request("POST", "/v1/drain", body)), StartsWith("HTTP/1.1 400 "))
        << body.substr(0, 80);
  }
  EXPECT_TRUE(calls().empty());
}

TEST_F(AdminServerTest, RefusesHeadersAndBodiesThatAreTooLarge) {
  start();
  const std::string header = "GET / HTTP/1.1\r\nX: " + std::string(1'000'000, 'x') + "\r\n\r\n";
  const RawPeer peer = RawPeer::to_unix(path_);
  peer.send(header);
  EXPECT_THAT(peer.read(), StartsWith("HTTP/1.1 431 "));
  const std::string body(65 * 1024, ' ');
  EXPECT_THAT(exchange(http_request("POST", "/v1/drain", body)), StartsWith("HTTP/1.1 413 "));
}

TEST_F(AdminServerTest, AnswersGarbageWithBadRequest) {
  start();
  EXPECT_THAT(exchange(std::string("\x16\x03\x01\x02\x00garbage\r\n\r\n", 16)),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(exchange("GET /\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(exchange("POST /v1/reload HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
              StartsWith("HTTP/1.1 400 "));
}

TEST_F(AdminServerTest, ClosesAPeerThatSendsTooSlowly) {
  start({.request = std::chrono::milliseconds(50)});
  const RawPeer peer = RawPeer::to_unix(path_);
  ASSERT_TRUE(peer.send("GET /v1/sta"));
  EXPECT_EQ(peer.read(), "");
}

TEST_F(AdminServerTest, TurnsAwayConnectionsBeyondItsLimit) {
  start({.connections = 2});
  const RawPeer first = RawPeer::to_unix(path_);
  const RawPeer second = RawPeer::to_unix(path_);
  EXPECT_THAT(RawPeer::to_unix(path_).read(), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(thread_.run([&] { return server_->connections(); }), 2U);
}

TEST_F(AdminServerTest, TurnsADefectIntoAnErrorWithoutDetail) {
  operator_.throws = true;
  start();
  const auto response = exchange(http_request("POST", "/v1/reload"));
  EXPECT_THAT(response, StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(response, Not(HasSubstr("defect")));
}

TEST_F(AdminServerTest, StopClosesConnectionsAndRemovesTheSocket) {
  start();
  const RawPeer peer = RawPeer::to_unix(path_);
  thread_.run([&] { server_->stop(); });
  EXPECT_EQ(peer.read(), "");
  EXPECT_NE(::access(path_.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace holdfast::control
