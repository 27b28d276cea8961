// SPDX-License-Identifier: Apache-2.0
// /metrics and /healthz over a real TCP socket on a port that the server picked.
#include "control/metrics/server.h"
#include "tests/support/event_thread.h"
#include "tests/support/fake_operator.h"
#include "tests/support/raw_peer.h"
#include "tests/support/temp_directory.h"

#include <fstream>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

using ::testing::HasSubstr;
using testing::http_request;
using testing::RawPeer;
using ::testing::StartsWith;

class MetricsServerTest : public ::testing::Test {
 protected:
  MetricsServerTest() {
    operator_.status_view.dataplane_connected = true;
    thread_.run([&] {
      server_ = std::make_unique<MetricsServer>(thread_.context().get_executor(), operator_);
      const auto listening = server_->listen("127.0.0.1:0", directory_.file("metrics.port"));
      ASSERT_TRUE(listening) << listening.error();
      port_ = listening->port;
    });
  }
  ~MetricsServerTest() override {
    thread_.run([&] { server_.reset(); });
  }
  std::string exchange(const std::string& method, const std::string& target) const {
    const RawPeer peer = RawPeer::to_loopback(port_);
    EXPECT_TRUE(peer.send(http_request(method, target)));
    return peer.read();
  }

  testing::TempDirectory directory_;
  testing::FakeOperator operator_;
  testing::EventThread thread_;
  std::unique_ptr<MetricsServer> server_;
  std::uint16_t port_ = 0;
};

TEST_F(MetricsServerTest, WritesThePortThatItPicked) {
  std::ifstream file(directory_.file("metrics.port"));
  std::uint16_t written = 0;
  file >> written;
  EXPECT_EQ(written, port_);
  thread_.run([&] { server_->stop(); });
  EXPECT_NE(::access(directory_.file("metrics.port").c_str(), F_OK), 0);
}

TEST_F(MetricsServerTest, ServesThePrometheusText) {
  const auto response = exchange("GET", "/metrics");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(response, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(response, HasSubstr("\nholdfast_dataplane_connected 1\n"));
}

TEST_F(MetricsServerTest, IsHealthyWhileTheDataplaneIsConnected) {
  const auto response = exchange("GET", "/healthz");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(response.ends_with("\r\n\r\nok\n"));
}

TEST_F(MetricsServerTest, SaysWhyItIsNotHealthy) {
  thread_.run([&] { operator_.status_view.dataplane_connected = false; });
  const auto response = exchange("GET", "/healthz");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 503 "));
  EXPECT_TRUE(response.ends_with("\r\n\r\nthe dataplane is not connected\n"));
}

TEST_F(MetricsServerTest, IsNotHealthyWhileTheConfigurationIsNotInForce) {
  thread_.run([&] { operator_.status_view.not_in_force = "a VIP is a local address"; });
  const auto response = exchange("GET", "/healthz");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 503 "));
  EXPECT_TRUE(response.ends_with("the configuration is not in force: a VIP is a local address\n"));
}

TEST_F(MetricsServerTest, LivesWhateverTheDataplaneDoes) {
  thread_.run([&] { operator_.status_view.dataplane_connected = false; });
  EXPECT_THAT(exchange("GET", "/livez"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(MetricsServerTest, IsReadyWhileAServiceTakesFlowsAndSaysWhyItIsNot) {
  thread_.run([&] {
    operator_.status_view.generation = 1;
    operator_.service_views = {{.name = "web", .usable = 1}};
  });
  EXPECT_THAT(exchange("GET", "/readyz"), StartsWith("HTTP/1.1 200 OK\r\n"));
  thread_.run([&] { operator_.service_views[0].usable = 0; });
  const auto response = exchange("GET", "/readyz");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 503 "));
  EXPECT_TRUE(response.ends_with("\r\n\r\nno service has a backend that takes new flows\n"));
}

TEST_F(MetricsServerTest, AnswersHeadWithoutABody) {
  const auto response = exchange("HEAD", "/metrics");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(response, Not(HasSubstr("Content-Length: 0\r\n")));
  EXPECT_TRUE(response.ends_with("\r\n\r\n"));
}

TEST_F(MetricsServerTest, IgnoresTheQueryThatPrometheusMayAdd) {
  EXPECT_THAT(exchange("GET", "/metrics?x=1"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(exchange("GET", "/healthz?"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(MetricsServerTest, KnowsNoOtherPathAndNoOtherMethod) {
  EXPECT_THAT(exchange("GET", "/"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(exchange("GET", "/v1/status"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(exchange("POST", "/metrics"), StartsWith("HTTP/1.1 405 "));
}

}  // namespace
}  // namespace holdfast::control
