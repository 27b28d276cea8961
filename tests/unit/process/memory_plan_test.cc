// SPDX-License-Identifier: Apache-2.0
// Memory decided at start: what fits, what does not, and what the refusal says.
#include "dataplane/process/memory_plan.h"

#include "dataplane/process/eal.h"
#include "dataplane/process/twin.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::size_t kGiB = 1U << 30U;

MachineMemory machine(std::size_t available, std::size_t huge) {
  return {.available_bytes = available, .huge_free_bytes = huge, .usable_cores = 4};
}

StartupSpec startup(std::uint64_t flows) {
  StartupSpec spec;
  spec.flows = flows;
  return spec;
}

TEST(MemoryPlan, TakesOneWorkerPerCoreLessOne) {
  EXPECT_EQ(plan_memory(startup(1000), {}, 0, machine(kGiB, 0))->workers, 3U);
  MachineMemory small = machine(kGiB, 0);
  small.usable_cores = 1;
  EXPECT_EQ(plan_memory(startup(1000), {}, 0, small)->workers, 1U);
}

TEST(MemoryPlan, TakesNoMoreWorkersByItselfThanAConfigurationMayAskFor) {
  MachineMemory large = machine(100 * kGiB, 0);
  large.usable_cores = 65;
  EXPECT_EQ(plan_memory(startup(1000), {}, 0, large)->workers, 64U);
  large.usable_cores = 256;
  EXPECT_EQ(plan_memory(startup(1000), {}, 0, large)->workers, 64U);
}

TEST(MemoryPlan, UsesHugePagesForWhatFitsOnThem) {
  const auto none = plan_memory(startup(1000), {}, 0, machine(kGiB, 0));
  EXPECT_FALSE(none->huge_buffers);
  EXPECT_FALSE(none->huge_state);
  const auto all = plan_memory(startup(1000), {}, 0, machine(kGiB, kGiB));
  EXPECT_TRUE(all->huge_buffers);
  EXPECT_TRUE(all->huge_state);
  const auto buffers = plan_memory(startup(1000), {}, 0, machine(kGiB, all->buffer_bytes));
  EXPECT_TRUE(buffers->huge_buffers);
  EXPECT_FALSE(buffers->huge_state);
  StartupSpec unwanted = startup(1000);
  unwanted.huge_pages = false;
  EXPECT_FALSE(plan_memory(unwanted, {}, 0, machine(kGiB, kGiB))->huge_buffers);
}

// A state of the plan's size, wholly in memory.
StateFound left_by(const MemoryPlan& plan) {
  return {.file_bytes = plan.state_file_bytes(), .held_bytes = plan.state_file_bytes()};
}

TEST(MemoryPlan, ARestartTakesOverTheHugePagesOfItsState) {
  // Pages for one state and no more: the old process's file holds them all.
  const auto first = plan_memory(startup(1'000'000), {}, 0, machine(kGiB, kGiB));
  MachineMemory after = machine(kGiB, 0);
  after.huge_state = left_by(*first);
  const auto second = plan_memory(startup(1'000'000), {}, 0, after);
  EXPECT_TRUE(second->huge_state);
  EXPECT_FALSE(second->huge_buffers);
  after.huge_state.file_bytes /= 2;  // of another size: put aside, it gives way
  EXPECT_TRUE(plan_memory(startup(1'000'000), {}, 0, after)->huge_state);
  after.huge_state.held_bytes /= 2;
  EXPECT_FALSE(plan_memory(startup(1'000'000), {}, 0, after)->huge_state);
}

TEST(MemoryPlan, ARestartStaysWithItsStateInOrdinaryMemory) {
  MachineMemory after = machine(kGiB, kGiB);  // huge pages were provided since
  after.ordinary_state = left_by(*plan_memory(startup(1000), {}, 0, machine(kGiB, 0)));
  EXPECT_FALSE(plan_memory(startup(1000), {}, 0, after)->huge_state);
  after.ordinary_state.file_bytes *= 2;
  EXPECT_TRUE(plan_memory(startup(1000), {}, 0, after)->huge_state);
}

TEST(MemoryPlan, ARestartIsNotChargedForTheStateThatIsThere) {
  const auto first = plan_memory(startup(1'000'000), {}, 0, machine(kGiB, 0));
  MachineMemory after = machine(first->total_bytes() - first->state_bytes, 0);
  EXPECT_FALSE(plan_memory(startup(1'000'000), {}, 0, after).has_value());
  after.ordinary_state = left_by(*first);
  EXPECT_TRUE(plan_memory(startup(1'000'000), {}, 0, after).has_value());
  after.ordinary_state.file_bytes += 2U << 20U;  // stays beside the new one
  EXPECT_FALSE(plan_memory(startup(1'000'000), {}, 0, after).has_value());
}

TEST(MemoryPlan, RefusesMoreThanTheConfigurationAllows) {
  StartupSpec spec = startup(10'000'000);
  spec.memory_bytes = 100U << 20U;
  const auto plan = plan_memory(spec, {}, 0, machine(100 * kGiB, 0));
  ASSERT_FALSE(plan.has_value());
  EXPECT_EQ(plan.error().code, ExitCode::kInvalid);
  EXPECT_THAT(plan.error().text, HasSubstr("dataplane.memory allows 100 MiB"));
}

TEST(MemoryPlan, SaysThatALimitBeyondTheMachineLimitsNothing) {
  StartupSpec spec = startup(1000);
  spec.memory_bytes = 8 * kGiB;
  MachineMemory small = machine(kGiB, 0);
  EXPECT_EQ(plan_memory(spec, {}, 0, small)->notice, "");
  small.total_bytes = 4 * kGiB;
  EXPECT_THAT(plan_memory(spec, {}, 0, small)->notice,
              HasSubstr("dataplane.memory is 8192 MiB, more than the 4096 MiB"));
  spec.memory_bytes = 4 * kGiB;
  EXPECT_EQ(plan_memory(spec, {}, 0, small)->notice, "");
}

TEST(MemoryPlan, RefusesMoreThanTheMachineHas) {
  const auto plan = plan_memory(startup(10'000'000), {}, 0, machine(kGiB, 0));
  ASSERT_FALSE(plan.has_value());
  EXPECT_EQ(plan.error().code, ExitCode::kEnvironment);
  EXPECT_THAT(plan.error().text, HasSubstr("1024 MiB are available"));
}

TEST(MemoryPlan, MakesRoomForJumboFramesAndRepeatedCaptures) {
  const auto plain = plan_memory(startup(1000), {1500}, 0, machine(kGiB, 0));
  const auto jumbo = plan_memory(startup(1000), {1500, 9000}, 0, machine(kGiB, 0));
  EXPECT_GE(jumbo->mbuf_data_room, 9000 + 18);
  EXPECT_GE(plain->mbuf_data_room, 1500 + 18);
  const auto repeated = plan_memory(startup(1000), {}, 65'536, machine(kGiB, 0));
  EXPECT_EQ(repeated->mbufs, plain->mbufs + 65'536);
}

TEST(MemoryPlan, ARefusalSaysWhatTheMemoryIsFor) {
  StartupSpec spec = startup(1000);
  spec.memory_bytes = 200U << 20U;
  EXPECT_TRUE(plan_memory(spec, {}, 0, machine(kGiB, 0)).has_value());
  const auto plan = plan_memory(spec, {}, 65'536, machine(kGiB, 0));
  ASSERT_FALSE(plan.has_value());
  EXPECT_THAT(plan.error().text, HasSubstr("packet buffers (65536 of them for captures"));
  EXPECT_THAT(plan.error().text, HasSubstr("flows with 3 workers"));
}

TEST(MemoryPlan, CountsEachBufferWithItsHeadersAndRings) {
  const auto plain = plan_memory(startup(1000), {}, 0, machine(kGiB, 0));
  const auto repeated = plan_memory(startup(1000), {}, 65'536, machine(kGiB, 0));
  constexpr std::size_t kBuffer = 128 + 64 + 2048 + 128 + 2 * 16;  // and nothing for pages
  EXPECT_EQ(repeated->buffer_bytes - plain->buffer_bytes, 65'536 * kBuffer);
}

TEST(MemoryPlan, BoundsTheRingsBetweenWorkersWhateverTheirNumber) {
  EXPECT_EQ(dispatch_ring_frames(1), 1024U);
  EXPECT_EQ(dispatch_ring_frames(16), 1024U);
  EXPECT_EQ(dispatch_ring_frames(17), 512U);
  EXPECT_EQ(dispatch_ring_frames(64), 64U);
  StartupSpec spec = startup(1U << 20U);
  spec.workers = 64;
  const auto plan = plan_memory(spec, {1500, 1500}, 0, machine(4 * kGiB, 0));
  ASSERT_TRUE(plan.has_value()) << plan.error().text;
  EXPECT_LE(plan->total_bytes(), 2 * kGiB);
}

TEST(MemoryPlan, CountsWhatEachWorkerNeedsForItself) {
  StartupSpec spec = startup(1000);
  spec.workers = 64;
  const auto plan = plan_memory(spec, {}, 0, machine(4 * kGiB, 0));
  spec.workers = 1;
  const auto alone = plan_memory(spec, {}, 0, machine(4 * kGiB, 0));
  EXPECT_EQ(plan->total_bytes() - plan->state_bytes - plan->buffer_bytes - alone->total_bytes() +
                alone->state_bytes + alone->buffer_bytes,
            plan->worker_bytes - alone->worker_bytes);
  EXPECT_GE(plan->worker_bytes, 64 * alone->worker_bytes + 64 * 63 * 64 * sizeof(void*));
  const auto refused = plan_memory(spec, {}, 0, machine(32U << 20U, 0));
  EXPECT_THAT(refused.error().text, HasSubstr("lower dataplane.flows or dataplane.workers"));
}

TEST(MemoryPlan, RefusesANetworkCardWithoutHugePagesForItsBuffers) {
  StartupSpec spec = startup(1000);
  spec.ports = {{.name = "nic0", .device = PortDevice::kPci, .twin = "nic0"}};
  const auto none = plan_memory(spec, {1500}, 0, machine(kGiB, 0));
  ASSERT_FALSE(none.has_value());
  EXPECT_THAT(none.error().text, HasSubstr("port nic0: a network card needs"));
  EXPECT_THAT(none.error().text, HasSubstr("sysctl vm.nr_hugepages="));
  EXPECT_TRUE(plan_memory(spec, {1500}, 0, machine(kGiB, kGiB)).has_value());
}

TEST(MemoryPlan, HasBuffersForTheRingsAndTheTwinOfAnOwnedPort) {
  StartupSpec spec = startup(1000);
  const auto plain = plan_memory(spec, {}, 0, machine(kGiB, 0));
  spec.ports = {{.name = "vm0", .device = PortDevice::kMemif}};
  const auto rings = plan_memory(spec, {1500}, 0, machine(kGiB, 0));
  spec.ports[0].twin = "vm0";
  const auto twin = plan_memory(spec, {1500}, 0, machine(kGiB, 0));
  EXPECT_EQ(rings->mbufs - plain->mbufs, 2U * kDeviceDescriptors);
  EXPECT_EQ(twin->mbufs - rings->mbufs, kTwinFrames);
}

TEST(MemoryPlan, HasBuffersForACardsQueuesPerWorker) {
  StartupSpec spec = startup(1000);
  spec.workers = 4;
  const auto plain = plan_memory(spec, {}, 0, machine(kGiB, kGiB));
  spec.ports = {{.name = "nic0", .device = PortDevice::kPci}};
  const auto card = plan_memory(spec, {1500}, 0, machine(kGiB, kGiB));
  ASSERT_TRUE(card.has_value());
  EXPECT_EQ(card->mbufs - plain->mbufs, 2U * 4U * kDeviceDescriptors);
}

TEST(MemoryPlan, HasBuffersForTheRingsOfEveryLinkOfABond) {
  StartupSpec spec = startup(1000);
  const auto plain = plan_memory(spec, {}, 0, machine(kGiB, 0));
  spec.ports = {{.name = "bond0", .device = PortDevice::kBond, .links = {"leg0", "leg1"}}};
  const auto bond = plan_memory(spec, {1500}, 0, machine(kGiB, 0));
  EXPECT_EQ(bond->mbufs - plain->mbufs, 4U * kDeviceDescriptors);
  spec.ports[0].links[1] = "0000:65:00.0";
  const auto card = plan_memory(spec, {1500}, 0, machine(kGiB, 0));
  ASSERT_FALSE(card.has_value());
  EXPECT_THAT(card.error().text, HasSubstr("port bond0: a network card needs"));
}

TEST(RingFrame, HoldsTheMtuItWasMadeForAndSaysWhatElse) {
  for (const std::uint16_t mtu : {std::uint16_t{68}, std::uint16_t{1500}, std::uint16_t{9000}}) {
    EXPECT_GE(ring_mtu(ring_frame_bytes(mtu)), mtu);
  }
  EXPECT_EQ(ring_mtu(2048), 1966);
  EXPECT_EQ(ring_mtu(1U << 17), 65535);
}

TEST(EalArguments, NeverMixInMemoryAndNoHuge) {
  MemoryPlan plan;
  plan.huge_buffers = true;
  const auto huge = build_eal_arguments(plan, "a", {});
  EXPECT_THAT(huge, Contains("--in-memory"));
  EXPECT_THAT(huge, Not(Contains("--no-huge")));
  plan.huge_buffers = false;
  const auto ordinary = build_eal_arguments(plan, "a", {});
  EXPECT_THAT(ordinary, Contains("--no-huge"));
  EXPECT_THAT(ordinary, Not(Contains("--in-memory")));
  EXPECT_THAT(ordinary, Contains("--file-prefix=holdfast-a"));
  EXPECT_THAT(ordinary, Contains("--no-telemetry"));
  EXPECT_THAT(ordinary, Contains("--no-pci"));
}

TEST(EalArguments, LetTheBusBeScannedForCardsAloneAndTakeNoneByItself) {
  MemoryPlan plan;
  plan.huge_buffers = true;
  const auto vfio = build_eal_arguments(plan, "a", {.pci = true, .physical_addresses = false});
  EXPECT_THAT(vfio, Not(Contains("--no-pci")));
  EXPECT_THAT(vfio, Contains("--allow"));
  EXPECT_THAT(vfio, Contains("--iova-mode=va"));
  const auto uio = build_eal_arguments(plan, "a", {.pci = true, .physical_addresses = true});
  EXPECT_THAT(uio, Contains("--iova-mode=pa"));
}

}  // namespace
}  // namespace holdfast::dataplane
