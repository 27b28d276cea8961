// SPDX-License-Identifier: Apache-2.0
// An operator's walks over workers that are turned by hand: what is refused, what is found, and
// what becomes of a walk whose target, or whose writer, goes.
#include "dataplane/process/flow_walks.h"

#include "dataplane/process/counters.h"
#include "tests/unit/process/worker_rig.h"

#include <algorithm>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint64_t kFirstNs = 1'000;

class FlowWalksTest : public ::testing::Test {
 protected:
  FlowWalksTest() {
    workers.publisher().set_before_swap([this] {
      counters.members_changed();
      walks.members_changed();
    });
  }

  // As many flows, over all members.
  void open(std::uint16_t count) {
    for (std::uint16_t i = 0; i < count; ++i) {
      const auto client = kClient.at_port(++last_port_);
      workers.receive(tcp(client, kVip).syn().bytes());
      workers.receive(tcp(client, kVip).ack().bytes());
    }
    workers.run();
  }
  static seam::FlowFilter of(const std::string& backend) {
    seam::FlowFilter filter;
    filter.set_service("web");
    filter.set_backend(backend);
    return filter;
  }
  FlowWalks::Begun list(const std::string& backend = "", std::uint32_t limit = 1'000) {
    seam::ListFlows request;
    if (!backend.empty()) {
      *request.mutable_filter() = of(backend);
    }
    request.set_limit(limit);
    return walks.list(request);
  }
  FlowWalks::Begun reset(const std::string& backend, bool dry = false) {
    seam::ResetFlows request;
    *request.mutable_filter() = of(backend);
    request.set_dry(dry);
    return walks.reset(request);
  }
  FlowWalks::Begun move(const std::string& from, const std::string& to, bool dry = false) {
    seam::MoveFlows request;
    request.set_service("web");
    request.set_from(from);
    request.set_to(to);
    request.set_dry(dry);
    return walks.move(request);
  }
  // Walks to the end.
  seam::CollectFlowsReply found(const FlowWalks::Begun& begun) {
    EXPECT_TRUE(begun.has_value()) << begun.error();
    for (int i = 0; i < 4; ++i) {
      workers.run();
      walks.tend();
    }
    const auto reply = walks.collect(begun.value_or(0));
    EXPECT_TRUE(reply.has_value()) << reply.error();
    return reply.value_or(seam::CollectFlowsReply());
  }
  std::uint64_t flows_of(std::uint16_t member) { return workers.publisher().flows_of(member); }
  seam::GetCountersReply read() {
    seam::GetCountersReply reply;
    counters.read(true, reply);
    return reply;
  }
  std::size_t copies() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(workers.shared().member_records(), [](const MemberRecord& record) {
          return record.state != RegistryState::kFree && record.copy != 0;
        }));
  }

  Workers workers{2};
  Counters counters{workers.surroundings(), workers.all(), workers.publisher(), 0};
  FlowWalks walks{workers.publisher(), workers.all(), kFirstNs};

 private:
  std::uint16_t last_port_ = 1'024;
};

TEST_F(FlowWalksTest, ListsTheFlowsOfAllWorkersUpToALimitAndCountsAll) {
  open(100);
  const auto all = found(list());
  EXPECT_EQ(all.matched(), 100U);
  EXPECT_EQ(all.flows_size(), 100);
  EXPECT_EQ(all.flows(0).service(), "web");
  EXPECT_EQ(all.flows(0).port(), 80U);
  EXPECT_EQ(all.flows(0).state(), static_cast<std::uint32_t>(FlowState::kEstablished));
  const auto some = found(list("", 30));
  EXPECT_EQ(some.matched(), 100U);
  EXPECT_EQ(some.flows_size(), 30);
  const auto ones = found(list("a"));
  EXPECT_EQ(ones.matched(), flows_of(0));
  EXPECT_FALSE(list("", 10'001).has_value());
  EXPECT_THAT(list("z").error(), HasSubstr("no backend web/z"));
}

TEST_F(FlowWalksTest, AWalksNumberIsTheNextAndItsFindingsAreToldOnce) {
  const auto first = list();
  EXPECT_EQ(first, kFirstNs);
  EXPECT_TRUE(walks.collect(kFirstNs)->running());
  EXPECT_THAT(list().error(), HasSubstr("going on"));
  found(first);
  EXPECT_THAT(walks.collect(kFirstNs).error(), HasSubstr("no such walk"));
  EXPECT_EQ(list(), kFirstNs + 1);
  EXPECT_THAT(walks.collect(kFirstNs).error(), HasSubstr("no such walk"));
}

TEST_F(FlowWalksTest, ResetsByCopiesWhoseFlowsAndCountsAreTheirMembers) {
  open(100);
  const std::uint64_t ones = flows_of(0);
  const auto before = read();
  const auto dry = found(reset("a", true));
  EXPECT_EQ(dry.matched(), ones);
  EXPECT_EQ(dry.given(), 0U);
  EXPECT_EQ(copies(), 0U);
  const auto done = found(reset("a"));
  EXPECT_EQ(done.given(), ones);
  ASSERT_EQ(done.backends_size(), 1);
  EXPECT_EQ(done.backends(0).backend(), "a");
  EXPECT_EQ(done.backends(0).flows(), ones);
  EXPECT_EQ(flows_of(0), 0U);
  EXPECT_EQ(copies(), 1U);
  const auto after = read();
  ASSERT_EQ(after.members_size(), 2) << "a copy is no member of its own";
  EXPECT_EQ(after.members(0).flows(), ones);
  EXPECT_EQ(value_of(after.members(0).values(), "packets_to_member"),
            value_of(before.members(0).values(), "packets_to_member"));
  const auto again = found(reset("a"));
  EXPECT_EQ(again.given(), 0U);
  EXPECT_EQ(again.being_reset(), ones);
  EXPECT_EQ(again.matched(), ones);
  EXPECT_EQ(copies(), 1U) << "none without flows";
}

TEST_F(FlowWalksTest, ACopyGoesWithItsLastFlowAndItsCountsStay) {
  open(50);
  found(reset("a"));
  MemberRecord* copy = nullptr;
  std::uint16_t index = 0;
  for (std::size_t i = 0; i < workers.shared().member_records().size(); ++i) {
    MemberRecord& record = workers.shared().member_records()[i];
    if (record.state != RegistryState::kFree && record.copy != 0) {
      copy = &record;
      index = static_cast<std::uint16_t>(i);
    }
  }
  ASSERT_NE(copy, nullptr);
  for (const auto& worker : workers.all()) {
    worker->state().members[index].packets_to_member.add(7);
    Counter& entries = worker->state().members[index].entries;
    Counter& live = worker->state().members[index].live_flows;
    entries.set(0);
    live.set(0);
  }
  const auto before = value_of(read().members(0).values(), "packets_to_member");
  workers.publisher().settle();
  EXPECT_EQ(copy->state, RegistryState::kFree);
  EXPECT_EQ(value_of(read().members(0).values(), "packets_to_member"), before);
  ASSERT_TRUE(workers.publisher().publish(small_generation(2)).has_value());
  EXPECT_EQ(value_of(read().members(0).values(), "packets_to_member"), before);
}

TEST_F(FlowWalksTest, RefusesAnEmptyFilterUnlessAllIsSaid) {
  open(10);
  seam::ResetFlows request;
  EXPECT_THAT(walks.reset(request).error(), HasSubstr("no filter"));
  request.set_all(true);
  EXPECT_EQ(found(walks.reset(request)).given(), 10U);
}

TEST_F(FlowWalksTest, MovesFlowsAndCountsThem) {
  open(100);
  const std::uint64_t ones = flows_of(0);
  EXPECT_EQ(found(move("a", "b", true)).matched(), ones);
  EXPECT_EQ(flows_of(0), ones);
  const auto done = found(move("a", "b"));
  EXPECT_EQ(done.given(), ones);
  EXPECT_EQ(flows_of(0), 0U);
  EXPECT_EQ(flows_of(1), 100U);
  const auto moves = read().moves(0);
  EXPECT_EQ(value_of(moves.moved(), "operator"), ones);
}

TEST_F(FlowWalksTest, MovesNothingToWhereItWouldNotStay) {
  for (const auto disposition :
       {Disposition::kReset, Disposition::kRehash, Disposition::kRehashDatagrams}) {
    ASSERT_TRUE(workers.publisher().set_disposition("web", "b", disposition).has_value());
    EXPECT_THAT(move("a", "b", true).error(), HasSubstr("do not stay at web/b")) << "also dry";
    EXPECT_THAT(move("a", "b").error(), HasSubstr("do not stay at web/b"));
  }
  ASSERT_TRUE(workers.publisher().set_disposition("web", "b", Disposition::kAvoid).has_value());
  EXPECT_TRUE(move("a", "b").has_value());
  walks.abandon();
  EXPECT_THAT(move("a", "a").error(), HasSubstr("one backend"));
  EXPECT_THAT(move("z", "b").error(), HasSubstr("no backend web/z"));
  EXPECT_THAT(move("a", "z").error(), HasSubstr("no backend web/z"));
}

TEST_F(FlowWalksTest, MovesNoTranslatedFlowUnlessItsEndpointStays) {
  GenerationSpec spec = nat_generation(2);
  ASSERT_TRUE(workers.publisher().publish(spec).has_value());
  EXPECT_THAT(move("a", "b", true).error(), HasSubstr("in mode nat a connection is known"));
  // The same sockets under another name.
  spec.number = 3;
  spec.services[0].members.push_back(spec.services[0].members[0]);
  spec.services[0].members.back().backend = "a2";
  ASSERT_TRUE(workers.publisher().publish(spec).has_value());
  EXPECT_EQ(found(move("a", "a2")).given(), 0U);
}

TEST_F(FlowWalksTest, AMoveEndsWhenAReloadTakesItsTargetAway) {
  open(100);
  const auto begun = move("a", "b");
  ASSERT_TRUE(begun.has_value());
  GenerationSpec fewer = small_generation(2);
  fewer.services[0].members.pop_back();
  ASSERT_TRUE(workers.publisher().publish(fewer).has_value());
  const std::uint64_t ones = flows_of(0);
  const auto reply = found(begun);
  EXPECT_THAT(reply.ended_early(), HasSubstr("web/b is no longer configured"));
  EXPECT_EQ(reply.given(), 0U);
  EXPECT_EQ(flows_of(0), ones);
}

TEST_F(FlowWalksTest, AMoveEndsWhenItsTargetDies) {
  open(100);
  const auto begun = move("a", "b");
  ASSERT_TRUE(workers.publisher().set_disposition("web", "b", Disposition::kRehash).has_value());
  walks.tend();
  EXPECT_THAT(found(begun).ended_early(), HasSubstr("do not stay at web/b"));
}

// What is no longer configured may still have flows.
TEST_F(FlowWalksTest, FlowsOfARemovedBackendCanBeMovedAndReset) {
  open(100);
  GenerationSpec fewer = small_generation(2);
  std::swap(fewer.services[0].members[0], fewer.services[0].members[1]);
  fewer.services[0].members.pop_back();
  ASSERT_TRUE(workers.publisher().publish(fewer).has_value());
  const std::uint64_t ones = flows_of(0);
  ASSERT_GT(ones, 0U);
  EXPECT_EQ(found(list("a")).matched(), ones);
  EXPECT_EQ(found(move("a", "b")).given(), ones);
}

TEST_F(FlowWalksTest, AWalkEndsWithItsWriterAndLeavesTheWayFree) {
  open(100);
  ASSERT_TRUE(reset("a").has_value());
  workers.run();
  walks.tend();  // the second one has begun
  ASSERT_EQ(copies(), 1U);
  walks.abandon();
  workers.run();
  walks.tend();
  EXPECT_EQ(found(list()).matched(), 100U);
  workers.publisher().settle();
  for (std::size_t i = 0; i < workers.shared().member_records().size(); ++i) {
    const MemberRecord& record = workers.shared().member_records()[i];
    if (record.state != RegistryState::kFree && record.copy != 0) {
      const MemberId id{static_cast<std::uint16_t>(i), record.epoch};
      EXPECT_EQ(workers.publisher().dispositions().get(id), Disposition::kReset);
    }
  }
}

TEST_F(FlowWalksTest, AWalkCanBeForgotten) {
  const auto begun = list();
  EXPECT_THAT(walks.forget(*begun + 1).error(), HasSubstr("no such walk"));
  EXPECT_THAT(walks.forget(*begun)->ended_early(), ::testing::Not(IsEmpty()));
  workers.run();
  EXPECT_TRUE(list().has_value());
}

// A worker looks at a bounded number of places in each of its turns.
TEST_F(FlowWalksTest, AWalkTakesItsTimeFromNoOther) {
  open(10);
  const auto begun = list();
  std::size_t turns = 0;
  while (workers[0].is_walking()) {
    workers[0].turn(kSecond);
    ++turns;
  }
  const WorkerTables& tables = workers[0].state().tables;
  const std::size_t places = tables.v4.buckets().size() + tables.v6.buckets().size() +
                             tables.wide.buckets().size() + tables.nat.records().size();
  EXPECT_EQ(turns, places / kWalkPlaces + 1);
  EXPECT_EQ(found(begun).matched(), 10U);
}

}  // namespace
}  // namespace holdfast::dataplane
