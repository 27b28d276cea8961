// SPDX-License-Identifier: Apache-2.0
// What anybody may send to the seam's sockets: the process answers, closes, and goes on.
#include "dataplane/api/codec.h"
#include "dataplane/api/framing.h"
#include "tests/support/raw_peer.h"
#include "tests/unit/process/running_dataplane.h"
#include "tests/unit/process/seam_helpers.h"

#include <csignal>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using holdfast::testing::RawPeer;
using ::testing::HasSubstr;

class HostileSeam : public ::testing::Test {
 protected:
  HostileSeam() : dataplane_(instance_, instance_.startup()) {
    const seam::Client answering = dataplane_.client(0);
  }
  void TearDown() override {
    seam::Client control = dataplane_.client(1000);
    EXPECT_EQ(get_counters(control).workers_size(), 1);
    EXPECT_EQ(dataplane_.end(SIGTERM).exit_code, 0);
  }
  [[nodiscard]] RawPeer connect() const { return RawPeer::to_unix(instance_.startup().socket); }

  Instance instance_;
  RunningDataplane dataplane_;
};

TEST_F(HostileSeam, AnnouncedLengthAboveTheLimitIsRefusedAtOnce) {
  const RawPeer peer = connect();
  peer.send("\x7f\xff\xff\xff");
  EXPECT_THAT(peer.read(), HasSubstr("limit"));
}

TEST_F(HostileSeam, GarbageInAFrameIsNoRequest) {
  const RawPeer peer = connect();
  peer.send(seam::frame(std::string(64, '\xff')));
  EXPECT_THAT(peer.read(), HasSubstr("not a request"));
}

TEST_F(HostileSeam, RequestBeforeHelloIsRefused) {
  const RawPeer peer = connect();
  seam::Request request;
  *request.mutable_publish()->mutable_generation() = seam::to_wire(small_generation(9));
  peer.send(*seam::frame(request));
  EXPECT_THAT(peer.read(), HasSubstr("say hello first"));
}

TEST_F(HostileSeam, VersionsThatDoNotOverlapAreNamed) {
  const RawPeer peer = connect();
  seam::Request request;
  request.mutable_hello()->set_version_min(1000);
  request.mutable_hello()->set_version_max(1001);
  peer.send(*seam::frame(request));
  EXPECT_THAT(peer.read(), HasSubstr("1000"));
}

TEST_F(HostileSeam, SilentConnectionIsClosedAtTheDeadline) { EXPECT_EQ(connect().read(), ""); }

TEST_F(HostileSeam, ManyConnectionsDoNotLockControlOut) {
  std::vector<RawPeer> peers;
  for (int i = 0; i < 100; ++i) {
    peers.push_back(connect());
  }
  EXPECT_EQ(dataplane_.client(0).hello().generation(), 0U);
}

TEST_F(HostileSeam, AControlOfTheReleaseBeforeIsServedInItsOwnVersion) {
  seam::Request hello;
  hello.mutable_hello()->set_version_min(1);
  hello.mutable_hello()->set_version_max(1);
  hello.mutable_hello()->set_writer_epoch(7);
  const RawPeer peer = connect();
  peer.send(*seam::frame(hello) + "\xff\xff\xff\xff");  // which ends the session
  seam::FrameDecoder decoder;
  decoder.feed(peer.read());
  const auto message = decoder.next();
  ASSERT_TRUE(message && message->has_value());
  seam::Reply reply;
  ASSERT_TRUE(reply.ParseFromString(**message));
  EXPECT_EQ(reply.hello().version(), 1U);
}

TEST_F(HostileSeam, MutatedRequestsGetAnswersOrAClosedConnection) {
  std::mt19937 random(99);
  seam::Request request;
  *request.mutable_publish()->mutable_generation() = seam::to_wire(small_generation(9));
  const std::string good = request.SerializeAsString();
  seam::Request hello;
  hello.mutable_hello()->set_version_min(seam::kVersionMin);
  hello.mutable_hello()->set_version_max(seam::kVersionMax);
  for (unsigned i = 0; i < 300; ++i) {
    hello.mutable_hello()->set_writer_epoch(i + 1);
    std::string bad = good;
    for (int hits = 0; hits < 4; ++hits) {
      bad[random() % bad.size()] = static_cast<char>(random());
    }
    const RawPeer peer = connect();
    peer.send(*seam::frame(hello) + seam::frame(bad) + "\xff\xff\xff\xff");
    EXPECT_FALSE(peer.read().empty());
  }
}

}  // namespace
}  // namespace holdfast::dataplane
