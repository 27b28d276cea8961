// SPDX-License-Identifier: Apache-2.0
// Publication under workers that are turned by hand.
#include "tests/unit/process/worker_rig.h"

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

// Settles until `done`, as the main thread does; false when it does not happen within 10 s.
bool settled(Publisher& publisher, const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) {
      return false;
    }
    publisher.settle();
    std::this_thread::yield();
  }
  return true;
}

TEST(Publisher, NoPacketFindsAMemberWhoseIndexIsFree) {
  Workers workers(1);
  GenerationSpec fewer = small_generation(2);
  fewer.services[0].members.pop_back();
  ASSERT_TRUE(workers.publisher().publish(fewer).has_value());
  const MemberRecord& removed = workers.shared().member_records()[1];
  ASSERT_EQ(removed.backend.view(), "b");
  ASSERT_TRUE(settled(workers.publisher(), [&] { return removed.state == RegistryState::kFree; }));
  for (std::uint16_t i = 0; i < 100; ++i) {  // the middle of flows: half of them were b's
    workers.receive(tcp(kClient.at_port(static_cast<std::uint16_t>(1024 + i)), kVip).ack().bytes());
  }
  workers.run();
  EXPECT_EQ(workers[0].state().members[1].entries.get(), 0U);
  EXPECT_EQ(workers[0].state().members[0].entries.get(), 100U);
  EXPECT_EQ(workers.sum(&WorkerStats::forwarded), 100U);
}

TEST(Publisher, AMemberThatGetsAFlowWhileItIsGivenUpIsKept) {
  Workers workers(1);
  GenerationSpec fewer = small_generation(2);
  fewer.services[0].members.pop_back();
  ASSERT_TRUE(workers.publisher().publish(fewer).has_value());
  workers.quiescence().online(0);  // in the middle of a burst
  workers.publisher().settle();
  const MemberRecord& removed = workers.shared().member_records()[1];
  workers[0].state().members[1].entries.add(1);
  workers.quiescence().quiescent(0);
  workers.publisher().settle();
  EXPECT_EQ(removed.state, RegistryState::kRetired);
  EXPECT_EQ(workers.shared().dispositions().get({.index = 1, .epoch = removed.epoch}),
            Disposition::kKeep);
  workers[0].state().members[1].entries.subtract(1);
  workers.quiescence().offline(0);
  EXPECT_TRUE(settled(workers.publisher(), [&] { return removed.state == RegistryState::kFree; }));
}

TEST(Publisher, AGenerationThatAWorkerHasNotSeenIsInForceAndNotAcknowledged) {
  Workers workers(1);
  workers.quiescence().online(0);
  const auto done = workers.publisher().publish(small_generation(2));
  ASSERT_TRUE(done.has_value()) << done.error();
  EXPECT_FALSE(done->acknowledged);
  EXPECT_EQ(workers.publisher().generation().number(), 2U);
  EXPECT_EQ(workers.publisher().acknowledged(), 1U);
  workers.quiescence().quiescent(0);
  workers.publisher().settle();
  EXPECT_EQ(workers.publisher().acknowledged(), 2U);
  EXPECT_TRUE(workers.publisher().publish(small_generation(3)).has_value());
}

// One worker has every flow, whatever its owner rule.
TEST(Publisher, RefusesAnAffinityThatWouldPartFlowsFromTheirWorkers) {
  for (const std::uint32_t count : {1U, 2U}) {
    Workers workers(count);
    GenerationSpec spec = small_generation(2);
    spec.services[0].affinity = {.seconds = 600, .prefix_v4 = 24, .prefix_v6 = 64};
    workers.receive(syn(1024));
    workers.run();
    const auto begun = workers.publisher().publish(spec);
    EXPECT_EQ(begun.has_value(), count == 1);
    if (!begun) {
      EXPECT_NE(begun.error().find("its affinity cannot begin"), std::string::npos);
      EXPECT_EQ(workers.publisher().generation().number(), 1U);
    }
  }
  Workers workers(2);
  GenerationSpec spec = small_generation(2);
  spec.services[0].affinity = {.seconds = 600, .prefix_v4 = 24, .prefix_v6 = 64};
  EXPECT_TRUE(workers.publisher().publish(spec).has_value()) << "without flows";
  workers.receive(syn(1024));
  workers.run();
  spec.number = 3;
  spec.services[0].affinity.seconds = 60;
  EXPECT_TRUE(workers.publisher().publish(spec).has_value()) << "another time";
  spec.number = 4;
  spec.services[0].affinity = {};
  EXPECT_FALSE(workers.publisher().publish(spec).has_value());
}

TEST(Publisher, TellsOfNewMembersBeforeAnyWorkerSeesThem) {
  Workers workers(1);
  GenerationSpec more = small_generation(2);
  more.services[0].members.push_back({.backend = "c", .address = address("10.0.3.13")});
  std::uint64_t in_force = 0;
  RegistryState state = RegistryState::kFree;
  workers.publisher().set_before_swap([&] {
    in_force = workers.publisher().generation().number();
    state = workers.shared().member_records()[2].state;
  });
  ASSERT_TRUE(workers.publisher().publish(more).has_value());
  EXPECT_EQ(in_force, 1U);
  EXPECT_EQ(state, RegistryState::kActive);
}

TEST(Publisher, SavesAgainOnceTheDiskTakesIt) {
  Workers workers(1);
  const std::filesystem::path folder = workers.folder().path();
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(workers.publisher().publish(small_generation(2)).has_value());
  EXPECT_NE(workers.publisher().store_notice(), "");
  std::filesystem::create_directory(folder);
  EXPECT_TRUE(settled(workers.publisher(), [&] {
    const auto loaded = GenerationStore(folder).load();
    return loaded.spec && loaded.spec->number == 2 && workers.publisher().store_notice().empty();
  }));
}

TEST(Publisher, EndsADrainByItselfAndSaysSoInItsSpecification) {
  Workers workers(1);
  Publisher& publisher = workers.publisher();
  ASSERT_TRUE(publisher.set_disposition("web", "a", Disposition::kKeep, 1).has_value());
  ASSERT_TRUE(publisher.set_disposition("web", "b", Disposition::kKeep, 3'600'000).has_value());
  std::vector<std::string> ended;
  EXPECT_TRUE(settled(publisher, [&] {
    ended = publisher.end_drains();
    return !ended.empty();
  }));
  EXPECT_EQ(ended, std::vector<std::string>{"web/a"});
  EXPECT_EQ(publisher.spec().services[0].members[0].disposition, Disposition::kReset);
  EXPECT_EQ(publisher.spec().services[0].members[1].disposition, Disposition::kKeep);
}

TEST(Publisher, AStormOfDispositionsIsSavedAtMostOnceASecond) {
  Workers workers(1);
  const std::filesystem::path folder = workers.folder().path();
  const auto on_disk = [&] {
    const auto loaded = GenerationStore(folder).load();
    return loaded.spec ? loaded.spec->services[0].members[0].disposition : Disposition::kNew;
  };
  const auto start = std::chrono::steady_clock::now();
  int saves = 0;
  std::filesystem::file_time_type last{};
  for (int i = 0; i < 50; ++i) {
    const Disposition wanted = i % 2 == 0 ? Disposition::kKeep : Disposition::kAvoid;
    ASSERT_TRUE(workers.publisher().set_disposition("web", "a", wanted).has_value());
    workers.publisher().settle();
    const auto written = std::filesystem::last_write_time(folder / "generation.current");
    saves += written != last ? 1 : 0;
    last = written;
  }
  const auto passed = std::chrono::steady_clock::now() - start;
  EXPECT_LE(saves, 1 + passed / std::chrono::seconds(1));
  EXPECT_TRUE(settled(workers.publisher(), [&] { return on_disk() == Disposition::kAvoid; }));
}

}  // namespace
}  // namespace holdfast::dataplane
