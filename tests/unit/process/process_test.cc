// SPDX-License-Identifier: Apache-2.0
// The whole process over in-process ports: start, publication, counters, a second instance,
// adoption.
#include "tests/support/capture_file.h"
#include "tests/unit/process/running_dataplane.h"
#include "tests/unit/process/seam_helpers.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr seconds kStopLimit{10};

TEST(Process, StartsPublishesAndStopsInOrder) {
  const Instance instance;
  RunningDataplane dataplane(instance, instance.startup());
  seam::Client client = dataplane.client(1);
  EXPECT_EQ(client.hello().generation(), 0U);
  EXPECT_EQ(client.hello().pid(), static_cast<std::uint64_t>(dataplane.pid()));
  const seam::Reply reply = publish(client, small_generation(1));
  ASSERT_TRUE(reply.has_publish()) << reply.error().text();
  EXPECT_EQ(reply.publish().number(), 1U);
  EXPECT_GT(reply.publish().build_ns(), 0U);
  const auto counters = get_counters(client);
  EXPECT_EQ(counters.generation(), 1U);
  ASSERT_EQ(counters.workers_size(), 1);
  EXPECT_EQ(counters.workers(0).unaccounted(), 0);
  EXPECT_EQ(counters.members_size(), 2);
  EXPECT_EQ(counters.mbufs_available(), counters.mbufs_total());
  const Ending ending = dataplane.end(SIGTERM);
  EXPECT_EQ(ending.exit_code, 0) << ending.error;
}

TEST(Process, RefusesAGenerationThatIsNotNewer) {
  const Instance instance;
  RunningDataplane dataplane(instance, instance.startup());
  seam::Client client = dataplane.client(1);
  ASSERT_TRUE(publish(client, small_generation(5)).has_publish());
  EXPECT_THAT(publish(client, small_generation(5)).error().text(), HasSubstr("not newer than 5"));
  EXPECT_THAT(publish(client, small_generation(4)).error().text(), HasSubstr("not newer than 5"));
}

TEST(Process, RefusesADefectiveGenerationAndKeepsTheOneBefore) {
  const Instance instance;
  RunningDataplane dataplane(instance, instance.startup());
  seam::Client client = dataplane.client(1);
  ASSERT_TRUE(publish(client, small_generation(1)).has_publish());
  GenerationSpec bad = small_generation(2);
  bad.services[0].slots = 4094;
  EXPECT_THAT(publish(client, bad).error().text(), HasSubstr("prime"));
  EXPECT_EQ(get_counters(client).generation(), 1U);
}

TEST(Process, SecondInstanceOnTheSameSocketNamesTheFirst) {
  const Instance instance;
  RunningDataplane first(instance, instance.startup());
  const seam::Client client = first.client(1);
  const Instance other;
  StartupSpec startup = other.startup();
  startup.socket = instance.startup().socket;
  RunningDataplane second(other, startup);
  const Ending ending = second.end(0);
  EXPECT_EQ(ending.exit_code, 5) << ending.error;
  EXPECT_THAT(ending.error, HasSubstr("process " + std::to_string(first.pid())));
}

TEST(Process, SecondInstanceOnTheSameStateFileNamesTheFirst) {
  const Instance instance;
  RunningDataplane first(instance, instance.startup());
  const seam::Client client = first.client(1);
  const Instance other;
  StartupSpec startup = other.startup();
  startup.state_file = instance.startup().state_file;
  RunningDataplane second(other, startup);
  const Ending ending = second.end(0);
  EXPECT_EQ(ending.exit_code, 5) << ending.error;
  EXPECT_THAT(ending.error, HasSubstr("process " + std::to_string(first.pid())));
}

TEST(Process, AfterSigkillForwardsByThePersistedGenerationAndKeepsDispositions) {
  const Instance instance;
  {
    RunningDataplane first(instance, instance.startup());
    seam::Client client = first.client(1);
    ASSERT_TRUE(publish(client, small_generation(7)).has_publish());
    ASSERT_TRUE(set_disposition(client, "b", Disposition::kKeep).has_set_disposition());
    first.end(SIGKILL);
  }
  RunningDataplane second(instance, instance.startup());
  seam::Client client = second.client(2);
  EXPECT_EQ(client.hello().generation(), 7U);
  const auto now = get_generation(client);
  ASSERT_EQ(now.members_size(), 2);
  EXPECT_EQ(now.members(1).ref().backend(), "b");
  EXPECT_EQ(now.members(1).disposition(), static_cast<std::uint32_t>(Disposition::kKeep));
  EXPECT_EQ(now.generation().services(0).members(1).disposition(),
            static_cast<std::uint32_t>(Disposition::kKeep));
}

TEST(Process, RemovedMemberWithoutFlowsIsForgotten) {
  const Instance instance;
  RunningDataplane dataplane(instance, instance.startup());
  seam::Client client = dataplane.client(1);
  ASSERT_TRUE(publish(client, small_generation(1)).has_publish());
  GenerationSpec fewer = small_generation(2);
  fewer.services[0].members.pop_back();
  ASSERT_TRUE(publish(client, fewer).has_publish());
  const auto deadline = std::chrono::steady_clock::now() + kStopLimit;
  while (get_generation(client).members_size() != 1) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::yield();
  }
}

TEST(Process, HoldIsRefusedAndUnknownMembersAreNamed) {
  const Instance instance;
  RunningDataplane dataplane(instance, instance.startup());
  seam::Client client = dataplane.client(1);
  ASSERT_TRUE(publish(client, small_generation(1)).has_publish());
  EXPECT_THAT(set_disposition(client, "a", Disposition::kHold).error().text(),
              HasSubstr("not available"));
  GenerationSpec holding = small_generation(2);
  holding.services[0].members[0].disposition = Disposition::kHold;
  EXPECT_THAT(publish(client, holding).error().text(), HasSubstr("not available"));
  EXPECT_EQ(get_counters(client).generation(), 1U);
  EXPECT_THAT(set_disposition(client, "z", Disposition::kKeep).error().text(), HasSubstr("web/z"));
}

TEST(Process, ReaderCannotWriteAndDoesNotSeeTheHashKey) {
  const Instance instance;
  RunningDataplane dataplane(instance, instance.startup());
  seam::Client reader = dataplane.client(0, true);
  EXPECT_THAT(publish(reader, small_generation(1)).error().text(), HasSubstr("reading"));
  seam::Startup startup;
  ASSERT_TRUE(startup.ParseFromString(reader.hello().startup()));
  EXPECT_EQ(startup.hash_key(), std::string(16, '\0'));
}

TEST(Process, NewerWriterClosesTheOlder) {
  const Instance instance;
  RunningDataplane dataplane(instance, instance.startup());
  seam::Client older = dataplane.client(1);
  seam::Client newer = dataplane.client(2);
  EXPECT_TRUE(publish(newer, small_generation(1)).has_publish());
  EXPECT_TRUE(publish(older, small_generation(2)).has_error());
  const auto refused = seam::Client::connect(instance.startup().socket, 1, seconds(5));
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error(), HasSubstr("newer"));
}

TEST(Process, WithoutPortsSaysSoAndExitsAsInvalid) {
  const Instance instance;
  StartupSpec startup = instance.startup();
  startup.ports.clear();
  RunningDataplane dataplane(instance, startup);
  const Ending ending = dataplane.end(0);
  EXPECT_EQ(ending.exit_code, 3);
  EXPECT_THAT(ending.error, HasSubstr("port"));
}

TEST(Process, MissingInterfaceIsNamedWithWhatToDo) {
  const Instance instance;
  StartupSpec startup = instance.startup();
  startup.ports = {{.name = "wan0", .device = PortDevice::kAfPacket, .interface = "no-such-if"}};
  RunningDataplane dataplane(instance, startup);
  const Ending ending = dataplane.end(0);
  EXPECT_EQ(ending.exit_code, 77);
  EXPECT_THAT(ending.error, HasSubstr("port wan0: there is no interface no-such-if"));
}

TEST(Process, TheLoopbackInterfaceIsRefusedWithWhatToTake) {
  const Instance instance;
  StartupSpec startup = instance.startup();
  startup.ports = {{.name = "wan0", .device = PortDevice::kAfPacket, .interface = "lo"}};
  const Ending ending = RunningDataplane(instance, startup).end(0);
  EXPECT_EQ(ending.exit_code, 3);
  EXPECT_THAT(ending.error, HasSubstr("port wan0: lo is the loopback interface"));
  EXPECT_THAT(ending.error, HasSubstr("veth pair"));
}

TEST(Process, ADirectoryAsSocketIsRefusedByTheKeysName) {
  const Instance instance;
  for (const char* path : {"", "/"}) {
    StartupSpec startup = instance.startup();
    startup.socket = instance.path("") + path;
    const Ending ending = RunningDataplane(instance, startup).end(0);
    EXPECT_EQ(ending.exit_code, 3);
    EXPECT_THAT(ending.error, HasSubstr("dataplane.socket"));
    EXPECT_THAT(ending.error, HasSubstr("is a directory: name a file in it"));
  }
}

TEST(Process, TooLittleMemorySaysHowMuchIsNeeded) {
  const Instance instance;
  StartupSpec startup = instance.startup();
  startup.flows = 1'000'000;
  startup.memory_bytes = 64U << 20U;
  RunningDataplane dataplane(instance, startup);
  const Ending ending = dataplane.end(0);
  EXPECT_EQ(ending.exit_code, 3);
  EXPECT_THAT(ending.error, HasSubstr("dataplane.memory allows 64 MiB"));
}

// A capture of so many 60-byte frames, all zeros.
void write_capture(const std::string& path, std::uint32_t frames) {
  holdfast::testing::FileBytes file(false);
  file.pcap_header(0xa1b2c3d4, 1);
  for (std::uint32_t i = 0; i < frames; ++i) {
    file.pcap_record(0, 0, std::string(60, '\0'), 60);
  }
  std::ofstream(path, std::ios::binary) << file.text();
}

TEST(Process, ACaptureThatRepeatsIsKeptWholeInOrdinaryMemory) {
  constexpr std::uint32_t kFrames = 65'536;
  const Instance instance;
  StartupSpec startup = instance.startup();
  startup.ports = {{.name = "one",
                    .device = PortDevice::kPcap,
                    .receive_file = instance.path("many.pcap"),
                    .repeat = true}};
  write_capture(startup.ports[0].receive_file, kFrames);
  RunningDataplane dataplane(instance, startup);
  seam::Client client = dataplane.client(1);
  const auto counters = get_counters(client);
  EXPECT_GE(counters.mbufs_total(), kFrames + 8191U);
  EXPECT_LE(counters.mbufs_available(), counters.mbufs_total() - kFrames);
  EXPECT_GE(counters.mbufs_available(), 4096U);
}

// Asked again until it is as expected, though not before a second has passed: a worker that sleeps
// looks round 10 000 times in it at most.
double busy_ratio_of(seam::Client& client, double least, double most) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  double ratio = -1;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto counters = get_counters(client);
    ratio = counters.workers(0).busy_ratio();
    const std::uint64_t polls = value_of(counters.workers(0).values(), "polls");
    if (ratio >= least && ratio <= most && polls > 20'000) {
      break;
    }
  }
  return ratio;
}

TEST(Process, AWorkerWithoutFramesIsNotBusyAndOneThatGetsThemWithoutEndIsNothingElse) {
  const Instance instance;
  StartupSpec startup = instance.startup();
  {
    RunningDataplane idle(instance, startup);
    seam::Client client = idle.client(1);
    EXPECT_EQ(busy_ratio_of(client, 0.0, 0.0), 0.0);
  }
  startup.ports = {{.name = "one",
                    .device = PortDevice::kPcap,
                    .receive_file = instance.path("few.pcap"),
                    .repeat = true}};
  write_capture(startup.ports[0].receive_file, 64);
  RunningDataplane loaded(instance, startup);
  seam::Client client = loaded.client(1);
  EXPECT_GT(busy_ratio_of(client, 0.9, 1.0), 0.9);
}

TEST(Process, TheBuffersOfEightWorkersFitTheirPlan) {
  const Instance instance;
  StartupSpec startup = instance.startup();
  startup.workers = 8;
  RunningDataplane dataplane(instance, startup);
  seam::Client client = dataplane.client(1);
  EXPECT_EQ(get_counters(client).workers_size(), 8);
}

TEST(Process, StartsAsManyWorkersAsTheConfigurationTakesInTheMemoryOfItsPlan) {
  const Instance instance;
  StartupSpec startup = instance.startup();
  startup.workers = 64;
  startup.memory_bytes = 2U << 30U;
  RunningDataplane dataplane(instance, startup);
  seam::Client client = dataplane.client(1);
  EXPECT_EQ(get_counters(client).workers_size(), 64);
  std::ifstream memory("/proc/" + std::to_string(dataplane.pid()) + "/statm");
  std::size_t size = 0;
  std::size_t resident = 0;
  memory >> size >> resident;
  EXPECT_LE(resident * static_cast<std::size_t>(::getpagesize()), startup.memory_bytes);
}

TEST(Process, EndsAtOnceWhenItIsToldToDuringItsStart) {
  const Instance instance;
  StartupSpec startup = instance.startup();
  startup.workers = 64;
  RunningDataplane dataplane(instance, startup);
  const auto deadline = std::chrono::steady_clock::now() + kStopLimit;
  while (!std::filesystem::exists(startup.state_file)) {  // about to start DPDK
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::yield();
  }
  const Ending ending = dataplane.end(SIGTERM);
  EXPECT_EQ(ending.exit_code, 0) << ending.error;
  EXPECT_THAT(ending.error, ::testing::Not(HasSubstr("event=ready")));
}

}  // namespace
}  // namespace holdfast::dataplane
