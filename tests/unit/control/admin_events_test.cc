// SPDX-License-Identifier: Apache-2.0
// The ledger over the API: as a list, as a stream of server-sent events that goes on where it broke
// off, and bounded against readers that do not read.
#include "tests/support/eventually.h"
#include "tests/support/raw_peer.h"
#include "tests/unit/control/admin_fixture.h"

#include <chrono>
#include <string>
#include <vector>

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using ::testing::HasSubstr;
using testing::http_request;
using testing::RawPeer;
using ::testing::StartsWith;

class AdminEventsTest : public AdminFixture {
 protected:
  AdminEventsTest() {
    operator_.events_view = {.life = 7, .change = 5, .events = {}};
    operator_.events_view.events.push_back({.number = 1, .change = 3, .kind = "reload"});
    operator_.events_view.events.push_back({.number = 2, .change = 5, .kind = "drain"});
  }
  std::string follow(const std::string& headers = "") const {
    const RawPeer peer = RawPeer::to_unix(path_);
    EXPECT_TRUE(peer.send("GET /v1/events?follow HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n"));
    return peer.read();
  }
  bool become(std::size_t connections) {
    return testing::eventually(
        [&] { return thread_.run([&] { return server_->connections(); }) == connections; });
  }
};

TEST_F(AdminEventsTest, AreAListForWhoeverAsksOnce) {
  start();
  const RawPeer peer = RawPeer::to_unix(path_);
  ASSERT_TRUE(peer.send(http_request("GET", "/v1/events")));
  const std::string answer = peer.read();
  const auto body = boost::json::parse(answer.substr(answer.find("\r\n\r\n") + 4));
  EXPECT_EQ(body.at("events").at(1).at("kind"), "drain");
}

TEST_F(AdminEventsTest, AreAStreamForWhoeverFollows) {
  start();
  const std::string answer = follow();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/event-stream\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\n\r\nid: 7-3\nevent: entry\ndata: {\"number\":1,"));
  EXPECT_THAT(answer, HasSubstr("}\n\nid: 7-5\nevent: entry\ndata: {\"number\":2,"));
  EXPECT_TRUE(answer.ends_with("}\n\n"));
  const RawPeer browser = RawPeer::to_unix(path_);
  ASSERT_TRUE(
      browser.send("GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"));
  EXPECT_THAT(browser.read(), HasSubstr("id: 7-5\n"));
}

TEST_F(AdminEventsTest, AStreamGoesOnBehindTheLastIdThatCame) {
  start();
  EXPECT_THAT(follow("Last-Event-ID: 7-3\r\n"), HasSubstr("\r\n\r\nid: 7-5\n"));
  EXPECT_TRUE(follow("Last-Event-ID: 7-5\r\n").ends_with("\r\n\r\n"));
  for (const std::string other : {"8-5", "7-", "-5", "x", "7-5x", ""}) {
    EXPECT_THAT(follow("Last-Event-ID: " + other + "\r\n"), HasSubstr("\r\n\r\nid: 7-3\n"))
        << other;
  }
}

TEST_F(AdminEventsTest, AStreamSaysWhatItCannotTellAnyMore) {
  operator_.events_view.gap = true;
  start();
  EXPECT_THAT(follow(), HasSubstr("\r\n\r\nevent: gap\ndata:\n\nid: 7-3\n"));
}

TEST_F(AdminEventsTest, AReaderThatDoesNotReadIsCutOff) {
  operator_.endless_events = true;
  operator_.events_view.events[0].reason = std::string(100'000, 'x');
  start({.response = std::chrono::milliseconds(50)});
  const RawPeer peer = RawPeer::to_unix(path_);
  ASSERT_TRUE(peer.send("GET /v1/events?follow HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_THAT(peer.read("\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(become(0));
}

TEST_F(AdminEventsTest, StreamsLeaveConnectionsForOthers) {
  operator_.endless_events = true;
  operator_.events_view.events[0].reason = std::string(100'000, 'x');
  start({.streams = 1});
  const RawPeer first = RawPeer::to_unix(path_);
  ASSERT_TRUE(first.send("GET /v1/events?follow HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_THAT(first.read("\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(follow("Connection: close\r\n"), StartsWith("HTTP/1.1 503 "));
  const RawPeer other = RawPeer::to_unix(path_);
  ASSERT_TRUE(other.send(http_request("GET", "/v1/services")));
  EXPECT_THAT(other.read(), StartsWith("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace holdfast::control
