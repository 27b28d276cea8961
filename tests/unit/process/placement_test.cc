// SPDX-License-Identifier: Apache-2.0
// Cores and NUMA nodes of workers, on machines that are made up.
#include "dataplane/process/placement.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <gmock/gmock.h>
#include <numaif.h>
#include <sys/mman.h>

namespace holdfast::dataplane {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// So many cores on each of so many nodes, numbered in turn as most machines do.
std::vector<Core> cores(std::size_t count, int nodes) {
  std::vector<Core> result;
  for (std::size_t core = 0; core < count; ++core) {
    result.push_back({.number = core, .node = static_cast<int>(core) % nodes});
  }
  return result;
}

TEST(Placement, TakesTheLastCoresOfTheOneNode) {
  const Placement placement = place_workers(cores(8, 1), {}, 3);
  EXPECT_THAT(placement.cores, ElementsAre(7, 6, 5));
  EXPECT_THAT(placement.nodes, ElementsAre(0, 0, 0));
  EXPECT_EQ(placement.buffers, 0);
  EXPECT_THAT(placement.notices, IsEmpty());
}

TEST(Placement, LeavesWorkersToTheSchedulerWhereNoTwoCoresAreLeftOver) {
  const Placement placement = place_workers(cores(4, 1), {}, 3);
  EXPECT_THAT(placement.cores, IsEmpty());
  EXPECT_THAT(placement.nodes, ElementsAre(0, 0, 0));
  const Placement two = place_workers(cores(4, 2), {}, 3);
  EXPECT_THAT(two.cores, IsEmpty());
  EXPECT_THAT(two.nodes, ElementsAre(kNoNode, kNoNode, kNoNode));
  EXPECT_EQ(two.buffers, kNoNode);
}

TEST(Placement, TakesCoresOfTheNodeThatHasTheCards) {
  const std::vector<PortPlace> ports = {{"wan0", 0}, {"lan0", 0}, {"twin", kNoNode}};
  const Placement placement = place_workers(cores(12, 2), ports, 4);
  EXPECT_THAT(placement.cores, ElementsAre(10, 8, 6, 4));
  EXPECT_THAT(placement.nodes, ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(placement.buffers, 0);
  EXPECT_THAT(placement.notices, IsEmpty());
}

TEST(Placement, WarnsOfACardOnAnotherNodeThanAWorkers) {
  const std::vector<PortPlace> ports = {{"wan0", 1}, {"lan0", 1}, {"dmz0", 0}};
  const Placement placement = place_workers(cores(12, 2), ports, 2);
  EXPECT_THAT(placement.nodes, ElementsAre(1, 1));
  EXPECT_THAT(
      placement.notices,
      ElementsAre(HasSubstr("port dmz0: its card is on NUMA node 0, not so the workers 0, 1,")));
}

TEST(Placement, GoesOnToOtherNodesWhereOneHasTooFewCoresAndWarns) {
  const std::vector<PortPlace> ports = {{"wan0", 1}};
  const Placement placement = place_workers(cores(8, 2), ports, 5);
  EXPECT_THAT(placement.cores, ElementsAre(7, 5, 3, 1, 6));
  EXPECT_THAT(placement.nodes, ElementsAre(1, 1, 1, 1, 0));
  EXPECT_EQ(placement.buffers, 1);
  EXPECT_THAT(placement.notices,
              ElementsAre(HasSubstr("port wan0: its card is on NUMA node 1, not so the workers 4"),
                          HasSubstr("packet buffers are on NUMA node 1, not so the workers 4")));
}

TEST(Placement, StaysOnOneNodeWhereNoCardTells) {
  const std::vector<PortPlace> ports = {{"memif0", kNoNode}};
  const Placement placement = place_workers(cores(8, 2), ports, 2);
  EXPECT_THAT(placement.cores, ElementsAre(7, 5));
  EXPECT_EQ(placement.buffers, 1);
  EXPECT_THAT(placement.notices, IsEmpty());
}

TEST(Placement, KnowsTheCoresOfThisMachine) {
  const std::vector<Core> found = load_cores();
  ASSERT_FALSE(found.empty());
  EXPECT_TRUE(std::ranges::is_sorted(found, {}, &Core::number));
}

class Tables : public ::testing::Test {
 protected:
  static constexpr std::size_t kBytes = std::size_t{64} << 20U;

  void SetUp() override {
    int mode = 0;
    if (::get_mempolicy(&mode, nullptr, 0, nullptr, 0) != 0) {
      GTEST_SKIP() << "the kernel tells nothing of memory policies: " << strerror(errno);
    }
    void* made = ::mmap(nullptr,
                        kBytes,
                        PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                        -1,
                        0);
    ASSERT_NE(made, MAP_FAILED);
    memory_ = {static_cast<std::byte*>(made), kBytes};
  }
  void TearDown() override {
    if (!memory_.empty()) {
      ::munmap(memory_.data(), memory_.size());
    }
  }
  // Of the page in the middle of the worker's tables.
  static int mode_of(const SharedState& state, std::uint32_t worker) {
    const auto tables = state.memory_of(worker);
    int mode = -1;
    ::get_mempolicy(&mode, nullptr, 0, tables.data() + tables.size() / 2, MPOL_F_ADDR);
    return mode;
  }
  std::span<std::byte> memory_;
};

TEST_F(Tables, AreKeptOnTheNodeOfTheirWorkerWhereThatIsKnown) {
  const auto geometry = StateGeometry::from(100'000, 2);
  ASSERT_LE(geometry.bytes(), kBytes);
  const SharedState state = SharedState::format(memory_, geometry, HashKey{1}, BootId{});
  EXPECT_EQ(place_tables(state, std::array{kNoNode, 0}), "");
  EXPECT_EQ(mode_of(state, 0), MPOL_DEFAULT);
  EXPECT_EQ(mode_of(state, 1), MPOL_PREFERRED);
}

TEST_F(Tables, OfANodeThatTheMachineHasNotStayAndThatIsSaid) {
  const SharedState state =
      SharedState::format(memory_, StateGeometry::from(100'000, 1), HashKey{1}, BootId{});
  EXPECT_THAT(place_tables(state, std::array{63}),
              HasSubstr("worker 0 may be on another NUMA node"));
}

}  // namespace
}  // namespace holdfast::dataplane
