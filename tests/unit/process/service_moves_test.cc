// SPDX-License-Identifier: Apache-2.0
// What workers count of members is told by service, and outlives the members.
#include "dataplane/process/service_moves.h"

#include "tests/unit/process/worker_rig.h"

#include <algorithm>
#include <span>
#include <string>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

// Two workers and the members a and b of service web, at the indexes 0 and 1.
class ServiceMovesTest : public ::testing::Test {
 protected:
  // Gives an index of the registry to another member, as build_generation() does.
  void reuse(std::size_t index, const char* service) {
    records[index].service = Label::of(service);
    ++records[index].epoch;
    moves.members_changed();
  }
  // Of the service; empty when it is not told of.
  seam::ServiceMoves of(const std::string& service) const {
    seam::GetCountersReply reply;
    moves.read(reply);
    const auto found = std::ranges::find(reply.moves(), service, &seam::ServiceMoves::service);
    return found == reply.moves().end() ? seam::ServiceMoves() : *found;
  }
  std::uint64_t moved(const std::string& service) const {
    return value_of(of(service).moved(), "reset");
  }

  Workers workers{2};
  std::span<MemberRecord> records = workers.shared().member_records();
  ServiceMoves moves{workers.all(), records};
};

TEST_F(ServiceMovesTest, AddsUpWorkersAndMembers) {
  workers[0].state().moves[0].moved[0].add(2);
  workers[1].state().moves[1].moved[0].add(3);
  workers[1].state().moves[1].reset.add(4);
  workers[0].state().moves[1].untracked.add(5);
  EXPECT_EQ(moved("web"), 5U);
  EXPECT_EQ(value_of(of("web").moved(), "reopened"), 0U);
  EXPECT_EQ(of("web").moved_size(), static_cast<int>(kMoveCauses));
  EXPECT_EQ(of("web").reset(), 4U);
  EXPECT_EQ(of("web").untracked(), 5U);
}

TEST_F(ServiceMovesTest, ASumGoesOnWhenItsMembersIndexIsAnothers) {
  workers[0].state().moves[0].moved[0].add(2);
  reuse(0, "web");
  EXPECT_EQ(moved("web"), 2U);
  workers[0].state().moves[0].moved[0].add(1);
  EXPECT_EQ(moved("web"), 3U);
  reuse(0, "dns");
  workers[0].state().moves[0].moved[0].add(7);
  EXPECT_EQ(moved("web"), 3U);
  EXPECT_EQ(moved("dns"), 7U);
}

TEST_F(ServiceMovesTest, AServiceThatTheRegistryNamesNoMoreIsForgotten) {
  workers[0].state().moves[0].moved[0].add(2);
  reuse(0, "dns");
  EXPECT_EQ(of("web").service(), "web");
  reuse(1, "dns");
  EXPECT_EQ(of("web").service(), "");
}

}  // namespace
}  // namespace holdfast::dataplane
