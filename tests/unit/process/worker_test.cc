// SPDX-License-Identifier: Apache-2.0
// Workers turned by hand over ring ports, without threads: the owner rule, accounting and mbufs.
#include "dataplane/process/worker.h"

#include "dataplane/process/boot.h"
#include "dataplane/process/eal.h"
#include "dataplane/process/mbuf_frame.h"
#include "dataplane/process/publisher.h"
#include "dataplane/respond.h"
#include "tests/support/fragmenting.h"
#include "tests/support/packet.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/process/seam_helpers.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using holdfast::testing::Bytes;
using holdfast::testing::kClient;
using holdfast::testing::kVip;
using holdfast::testing::tcp;
using holdfast::testing::TempDirectory;

constexpr std::uint64_t kSecond = 1'000'000'000;

// DPDK starts once per process, and so do its ports; every test takes them over as the one before
// left them.
struct Devices {
  std::unique_ptr<rte_mempool, FreePool> pool;
  std::unique_ptr<Port> in;   // what is transmitted there is received there: loopback
  std::unique_ptr<Port> out;  // takes and frees everything, receives nothing

  static Devices& get() {
    static Devices devices;
    return devices;
  }

 private:
  Devices() {
    StartupSpec startup;
    startup.huge_pages = false;
    startup.flows = 1000;
    const auto plan = plan_memory(startup, {}, 0, load_machine_memory());
    if (auto started = start_eal(*plan, "worker-test"); !started) {
      throw std::runtime_error(started.error().text);
    }
    pool.reset(rte_pktmbuf_pool_create("test", 8191, 0, 0, 2176, SOCKET_ID_ANY));
    in = open("in", PortDevice::kRing, 0);
    out = open("out", PortDevice::kNull, 1);
  }
  std::unique_ptr<Port> open(const char* name, PortDevice device, PortIndex index) {
    const PortSpec spec{.name = name, .device = device};
    auto port = Port::open(spec, {.index = index, .shared = true}, pool.get());
    if (!port) {
      throw std::runtime_error(port.error().text);
    }
    return std::move(*port);
  }
};

class Workers {
 public:
  // `third` is a port of this test alone.
  explicit Workers(std::uint32_t count, std::unique_ptr<Port> third = nullptr)
      : devices_(Devices::get()),
        hasher_(HashKey{1}),
        quiescence_(count),
        geometry_(StateGeometry::from(10'000, count)),
        memory_(geometry_.bytes() / sizeof(Line) + 1),
        shared_(SharedState::format(
            std::as_writable_bytes(std::span(memory_)), geometry_, HashKey{1}, BootId{})),
        rings_(DispatchRings::create(count)) {
    surroundings_.ports.push_back(std::move(devices_.in));
    surroundings_.ports.push_back(std::move(devices_.out));
    if (third) {
      surroundings_.ports.push_back(std::move(third));
    }
    surroundings_.pool = devices_.pool.get();
    surroundings_.hasher = &hasher_;
    surroundings_.quiescence = &quiescence_;
    surroundings_.workers = count;
    std::vector<Link> links = {in().link(), out().link()};
    publisher_ = std::make_unique<Publisher>(
        shared_,
        surroundings_,
        GenerationStore(folder_.path()),
        Neighborhood::everything_via(std::move(links), 1, {2, 0, 0, 0, 0, 9}),
        false);
    EXPECT_TRUE(publisher_->start(small_generation(1)));
    for (std::uint32_t i = 0; i < count; ++i) {
      workers_.push_back(std::make_unique<Worker>(surroundings_, *rings_, shared_, i));
    }
    publisher_->set_workers(workers_);
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  ~Workers() {
    workers_.clear();
    rings_.reset();
    devices_.in = std::move(surroundings_.ports[0]);
    devices_.out = std::move(surroundings_.ports[1]);
  }

  Worker& operator[](std::size_t index) { return *workers_[index]; }
  Publisher& publisher() { return *publisher_; }
  Quiescence& quiescence() { return quiescence_; }
  [[nodiscard]] const SharedState& shared() const { return shared_; }
  [[nodiscard]] const TempDirectory& folder() const { return folder_; }

  // Turns all workers until none finds anything.
  void run() {
    bool busy = true;
    while (busy) {
      busy = false;
      for (const auto& worker : workers_) {
        busy |= worker->turn(kSecond);
      }
    }
  }

  // Puts a frame where worker 0 finds it.
  void receive(const Bytes& bytes) {
    rte_mbuf* packet = rte_pktmbuf_alloc(surroundings_.pool);
    std::ranges::copy(bytes,
                      reinterpret_cast<std::uint8_t*>(
                          rte_pktmbuf_append(packet, static_cast<std::uint16_t>(bytes.size()))));
    ASSERT_EQ(in().transmit(std::span(&packet, 1)), 1);
  }
  // What was transmitted on a looped port.
  std::vector<Bytes> take_from(PortIndex port) {
    std::array<rte_mbuf*, 8> packets{};
    std::vector<Bytes> frames;
    const std::uint16_t count = surroundings_.ports[port]->receive(packets);
    for (rte_mbuf* packet : std::span(packets).first(count)) {
      const auto* bytes = rte_pktmbuf_mtod(packet, const std::uint8_t*);
      frames.emplace_back(bytes, bytes + packet->data_len);
      rte_pktmbuf_free(packet);
    }
    return frames;
  }
  [[nodiscard]] unsigned free_mbufs() const { return rte_mempool_avail_count(surroundings_.pool); }
  [[nodiscard]] std::uint64_t sum(Counter WorkerStats::* counter) const {
    return std::accumulate(
        workers_.begin(), workers_.end(), std::uint64_t{0}, [&](auto total, const auto& worker) {
          return total + (worker->state().stats.*counter).get();
        });
  }
  void expect_accounted() const {
    for (const auto& worker : workers_) {
      EXPECT_EQ(unaccounted(worker->state().stats), 0U);
    }
  }

 private:
  struct alignas(64) Line {
    std::array<std::byte, 64> bytes;
  };
  Port& in() { return *surroundings_.ports[0]; }
  Port& out() { return *surroundings_.ports[1]; }

  Devices& devices_;  // first: it starts DPDK, which the rings need
  TempDirectory folder_;
  FlowHasher hasher_;
  Quiescence quiescence_;
  StateGeometry geometry_;
  std::vector<Line> memory_;
  SharedState shared_;
  WorkerSurroundings surroundings_;
  std::unique_ptr<DispatchRings> rings_;
  std::unique_ptr<Publisher> publisher_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

Bytes syn(std::uint16_t client_port) {
  return tcp(kClient.at_port(client_port), kVip).syn().bytes();
}

TEST(Worker, ForwardsAndAccountsForEveryFrame) {
  Workers workers(1);
  const unsigned level = workers.free_mbufs();
  for (std::uint16_t i = 0; i < 100; ++i) {
    workers.receive(syn(static_cast<std::uint16_t>(1024 + i)));
  }
  workers.receive(tcp(kClient, kVip.at_port(81)).syn().bytes());  // no service
  while (workers[0].turn(kSecond)) {
  }
  EXPECT_EQ(workers.sum(&WorkerStats::received), 101U);
  EXPECT_EQ(workers.sum(&WorkerStats::forwarded), 100U);
  EXPECT_EQ(workers.sum(&WorkerStats::transmitted), 100U);
  const WorkerStats& stats = workers[0].state().stats;
  EXPECT_EQ(stats.drops[static_cast<std::size_t>(Drop::kNoService)].get(), 1U);
  workers.expect_accounted();
  EXPECT_EQ(workers.free_mbufs(), level);
}

TEST(Worker, EveryFlowHasOneOwner) {
  Workers workers(2);
  const unsigned level = workers.free_mbufs();
  constexpr std::uint16_t kFlows = 200;
  for (int round = 0; round < 3; ++round) {
    for (std::uint16_t i = 0; i < kFlows; ++i) {
      workers.receive(syn(static_cast<std::uint16_t>(1024 + i)));
    }
    while (workers[0].turn(kSecond) | workers[1].turn(kSecond)) {
    }
  }
  EXPECT_EQ(workers.sum(&WorkerStats::received), 3U * kFlows);
  EXPECT_EQ(workers.sum(&WorkerStats::forwarded), 3U * kFlows);
  EXPECT_EQ(workers.sum(&WorkerStats::flows_inserted), kFlows);
  const std::uint64_t crossed = workers[0].state().stats.handed_over.get();
  EXPECT_EQ(workers[1].state().stats.taken_over.get(), crossed);
  EXPECT_NEAR(static_cast<double>(crossed), 1.5 * kFlows, 0.5 * kFlows);
  workers.expect_accounted();
  EXPECT_EQ(workers.free_mbufs(), level);
}

TEST(Worker, CountsWhatTheOwnersRingDoesNotTake) {
  Workers workers(2);
  const unsigned level = workers.free_mbufs();
  constexpr std::uint16_t kFrames = 4000;
  for (std::uint16_t i = 0; i < kFrames; ++i) {
    workers.receive(syn(static_cast<std::uint16_t>(1024 + i)));
    workers[0].turn(kSecond);
  }
  const WorkerStats& stats = workers[0].state().stats;
  const std::uint64_t full = stats.drops[static_cast<std::size_t>(Drop::kDispatchFull)].get();
  EXPECT_EQ(stats.handed_over.get(), kDispatchRingFrames - 1);
  EXPECT_GT(full, 0U);
  EXPECT_EQ(stats.received.get() + stats.handed_over.get(), kFrames);
  workers.expect_accounted();
  while (workers[1].turn(kSecond)) {
  }
  workers.expect_accounted();
  EXPECT_EQ(workers.free_mbufs(), level);
}

TEST(Worker, AnnouncementsAreGeneratedAndTransmitted) {
  Workers workers(1);
  workers[0].announcements.push({.address = address("203.0.113.10"), .mac = {2}, .port = 1});
  workers[0].announcements.push({.address = address("2001:db8::10"), .mac = {2}, .port = 1});
  EXPECT_TRUE(workers[0].turn(kSecond));
  const auto kind = static_cast<std::size_t>(Generated::kAnnouncement);
  EXPECT_EQ(workers[0].state().stats.generated[kind].get(), 2U);
  EXPECT_EQ(workers.sum(&WorkerStats::transmitted), 2U);
  workers.expect_accounted();
}

TEST(Worker, AnnouncesWithTheTagsOfThePort) {
  Devices& devices = Devices::get();
  const PortSpec spec{.name = "vlan", .device = PortDevice::kRing, .vlan = {200, 100}};
  auto port = Port::open(spec, {.index = 2, .shared = true}, devices.pool.get());
  ASSERT_TRUE(port.has_value()) << port.error().text;
  EXPECT_EQ((*port)->link().tags, VlanTags(200, 100));
  Workers workers(1, std::move(*port));
  workers[0].announcements.push({.address = address("203.0.113.10"), .mac = {2}, .port = 2});
  workers[0].announcements.push({.address = address("2001:db8::10"), .mac = {2}, .port = 2});
  EXPECT_TRUE(workers[0].turn(kSecond));
  const std::vector<Bytes> sent = workers.take_from(2);
  ASSERT_EQ(sent.size(), 2U);
  const Bytes tags = {0x88, 0xa8, 0, 200, 0x81, 0, 0, 100};
  for (const Bytes& frame : sent) {
    EXPECT_EQ(Bytes(frame.begin() + 12, frame.begin() + 20), tags);
  }
  EXPECT_EQ(sent[0].size(), kGratuitousArpSize + 8);
  EXPECT_EQ(sent[0].at(20), 0x08);
  EXPECT_EQ(sent[0].at(21), 0x06);
  EXPECT_EQ(sent[1].size(), kAdvertisementSize + 8);
}

TEST(Worker, LeavesASnapshotBetweenBursts) {
  Workers workers(1);
  workers[0].request_snapshot();
  EXPECT_FALSE(workers[0].snapshot_ready());
  workers.receive(syn(1024));
  workers[0].turn(kSecond);
  ASSERT_TRUE(workers[0].snapshot_ready());
  EXPECT_EQ(workers[0].snapshot().received.get(), 1U);
  EXPECT_EQ(unaccounted(workers[0].snapshot()), 0U);
}

TEST(Worker, MeetsTheNewGenerationAtItsNextBurst) {
  Workers workers(1);
  GenerationSpec other = small_generation(2);
  other.services[0].bindings[0].first_port = 81;
  other.services[0].bindings[0].last_port = 81;
  ASSERT_TRUE(workers.publisher().publish(other).has_value());
  workers.receive(syn(1024));
  workers[0].turn(kSecond);
  const WorkerStats& stats = workers[0].state().stats;
  EXPECT_EQ(stats.drops[static_cast<std::size_t>(Drop::kNoService)].get(), 1U);
}

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

// Clients of one network meet one worker, and what it opens comes back to it.
TEST(Worker, EverySourcePrefixWithAffinityHasOneOwner) {
  Workers workers(2);
  GenerationSpec spec = small_generation(2);
  spec.services[0].affinity = {.seconds = 600, .prefix_v4 = 24, .prefix_v6 = 64};
  ASSERT_TRUE(workers.publisher().publish(spec).has_value());
  for (std::uint16_t i = 0; i < 100; ++i) {
    workers.receive(syn(static_cast<std::uint16_t>(1024 + i)));
  }
  workers.run();
  const std::uint64_t first = workers[0].state().stats.flows_inserted.get();
  EXPECT_TRUE(first == 0 || first == 100) << first;
  EXPECT_EQ(workers.sum(&WorkerStats::flows_inserted), 100U);
  EXPECT_EQ(workers.sum(&WorkerStats::affinity_hits), 99U);
  workers.expect_accounted();
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

GenerationSpec nat_generation(std::uint64_t number) {
  GenerationSpec spec = small_generation(number);
  spec.services[0].mode = Mode::kNat;
  spec.pools = {{.first = address("10.0.3.16"), .last = address("10.0.3.17")}};
  return spec;
}

TEST(Worker, ARepliesOwnerIsTheOneOfItsPoolPort) {
  Workers workers(2);
  ASSERT_TRUE(workers.publisher().publish(nat_generation(2)).has_value());
  const unsigned level = workers.free_mbufs();
  constexpr std::uint16_t kFlows = 200;
  for (std::uint16_t i = 0; i < kFlows; ++i) {
    workers.receive(syn(static_cast<std::uint16_t>(1024 + i)));
  }
  workers.run();
  std::array<std::uint64_t, 2> flows{};
  std::vector<Bytes> replies;
  for (std::uint32_t worker = 0; worker < 2; ++worker) {
    const PortBlock block = port_block(worker, 2);
    for (const NatRecord& record : workers[worker].state().tables.nat.records()) {
      if (record.state == FlowState::kFree) {
        continue;
      }
      ++flows[worker];
      EXPECT_GE(record.pool_port.to_host(), block.first);
      EXPECT_LT(record.pool_port.to_host(), std::uint32_t{block.first} + block.count);
      const Address member = workers.shared().member_records()[record.member].address;
      replies.push_back(tcp({member, 80}, {record.pool, record.pool_port.to_host()})
                            .flags(kTcpSyn | kTcpAck)
                            .bytes());
    }
  }
  EXPECT_EQ(flows[0] + flows[1], kFlows);
  EXPECT_GT(flows[0], kFlows / 4U);
  EXPECT_GT(flows[1], kFlows / 4U);
  const std::uint64_t crossed = workers[0].state().stats.handed_over.get();
  EXPECT_EQ(crossed, flows[1]);
  for (const Bytes& reply : replies) {  // all arrive at worker 0's port
    workers.receive(reply);
  }
  workers.run();
  EXPECT_EQ(workers[0].state().stats.handed_over.get(), 2 * crossed);
  EXPECT_EQ(workers[1].state().stats.taken_over.get(), 2 * crossed);
  EXPECT_EQ(workers.sum(&WorkerStats::forwarded), 2U * kFlows);
  for (std::uint32_t worker = 0; worker < 2; ++worker) {
    for (const NatRecord& record : workers[worker].state().tables.nat.records()) {
      EXPECT_TRUE(record.state == FlowState::kFree || record.member_side != SideState::kIdle);
    }
    std::uint64_t to_client = 0;
    for (const MemberStats& member : workers[worker].state().members) {
      to_client += member.packets_to_client.get();
    }
    EXPECT_EQ(to_client, flows[worker]);
  }
  workers.expect_accounted();
  EXPECT_EQ(workers.free_mbufs(), level);
}

// A SYN in three fragments.
std::vector<Bytes> fragmented_syn(std::uint16_t client_port) {
  const Bytes whole = tcp(kClient.at_port(client_port), kVip).syn().payload(300).bytes();
  return holdfast::testing::fragments_of(whole, {64, 128}, client_port);
}

TEST(Worker, FragmentsReachTheOwnerOfTheirFlowInAnyOrder) {
  Workers workers(3);
  const unsigned level = workers.free_mbufs();
  constexpr std::uint16_t kFlows = 200;
  for (std::uint16_t i = 0; i < kFlows; ++i) {
    std::vector<Bytes> fragments = fragmented_syn(static_cast<std::uint16_t>(1024 + i));
    std::ranges::rotate(fragments, fragments.begin() + i % 3);
    for (const Bytes& fragment : fragments) {
      workers.receive(fragment);
      workers.run();
    }
  }
  EXPECT_EQ(workers.sum(&WorkerStats::received), 3U * kFlows);
  EXPECT_EQ(workers.sum(&WorkerStats::fragments), 3U * kFlows);
  EXPECT_EQ(workers.sum(&WorkerStats::forwarded), 3U * kFlows);
  EXPECT_EQ(workers.sum(&WorkerStats::held), workers.sum(&WorkerStats::released));
  EXPECT_EQ(workers.sum(&WorkerStats::flows_inserted), kFlows);
  for (std::uint16_t i = 0; i < kFlows; ++i) {
    workers.receive(tcp(kClient.at_port(static_cast<std::uint16_t>(1024 + i)), kVip).ack().bytes());
  }
  workers.run();
  EXPECT_EQ(workers.sum(&WorkerStats::flows_inserted), kFlows) << "whole packets found the flows";
  for (std::uint32_t worker = 0; worker < 3; ++worker) {
    EXPECT_GT(workers[worker].state().stats.fragments.get(), 0U);
    EXPECT_GT(workers[worker].state().stats.released.get(), 0U);
  }
  workers.expect_accounted();
  EXPECT_EQ(workers.free_mbufs(), level);
}

TEST(Worker, FragmentsOfRepliesReachTheOwnerOfTheirPoolPort) {
  Workers workers(2);
  ASSERT_TRUE(workers.publisher().publish(nat_generation(2)).has_value());
  const unsigned level = workers.free_mbufs();
  constexpr std::uint16_t kFlows = 100;
  for (std::uint16_t i = 0; i < kFlows; ++i) {
    workers.receive(syn(static_cast<std::uint16_t>(1024 + i)));
  }
  workers.run();
  std::uint32_t number = 0;
  for (std::uint32_t worker = 0; worker < 2; ++worker) {
    for (const NatRecord& record : workers[worker].state().tables.nat.records()) {
      if (record.state == FlowState::kFree) {
        continue;
      }
      const Address member = workers.shared().member_records()[record.member].address;
      const Bytes whole = tcp({member, 80}, {record.pool, record.pool_port.to_host()})
                              .flags(kTcpSyn | kTcpAck)
                              .payload(200)
                              .bytes();
      const auto fragments = holdfast::testing::fragments_of(whole, {64}, ++number);
      workers.receive(fragments[1]);
      workers.receive(fragments[0]);
    }
  }
  ASSERT_EQ(number, kFlows);
  workers.run();
  EXPECT_EQ(workers.sum(&WorkerStats::forwarded), 3U * kFlows);
  EXPECT_EQ(workers.sum(&WorkerStats::held), workers.sum(&WorkerStats::released));
  workers.expect_accounted();
  EXPECT_EQ(workers.free_mbufs(), level);
}

TEST(Worker, EarlyFragmentsGiveTheirBuffersBackWhenTheirTimeIsOver) {
  Workers workers(2);
  const unsigned level = workers.free_mbufs();
  for (std::uint16_t i = 0; i < 20; ++i) {
    workers.receive(fragmented_syn(static_cast<std::uint16_t>(1024 + i))[1]);
  }
  workers.run();
  EXPECT_EQ(workers.sum(&WorkerStats::held), 20U);
  EXPECT_EQ(workers.free_mbufs(), level - 20);
  workers.expect_accounted();
  for (std::uint32_t worker = 0; worker < 2; ++worker) {
    workers[worker].turn(2 * kSecond);
  }
  EXPECT_EQ(workers.sum(&WorkerStats::released), 20U);
  workers.expect_accounted();
  EXPECT_EQ(workers.free_mbufs(), level);
}

TEST(Worker, EarlyFragmentsGiveTheirBuffersBackWhenTheWorkerEnds) {
  const unsigned level = rte_mempool_avail_count(Devices::get().pool.get());
  {
    Workers workers(2);
    for (std::uint16_t i = 0; i < 20; ++i) {
      workers.receive(fragmented_syn(static_cast<std::uint16_t>(1024 + i))[1]);
    }
    workers.run();
    EXPECT_EQ(workers.free_mbufs(), level - 20);
  }
  EXPECT_EQ(rte_mempool_avail_count(Devices::get().pool.get()), level);
}

// A packet of these segments.
rte_mbuf* chain(rte_mempool* pool, const std::vector<std::size_t>& sizes, std::uint16_t tailroom) {
  rte_mbuf* head = nullptr;
  std::uint8_t next = 0;
  for (const std::size_t size : sizes) {
    rte_mbuf* segment = rte_pktmbuf_alloc(pool);
    segment->data_off =
        static_cast<std::uint16_t>(segment->buf_len - size - (head == nullptr ? tailroom : 0));
    auto* bytes = rte_pktmbuf_append(segment, static_cast<std::uint16_t>(size));
    std::generate_n(reinterpret_cast<std::uint8_t*>(bytes), size, [&] { return next++; });
    if (head == nullptr) {
      head = segment;
    } else {
      rte_pktmbuf_chain(head, segment);
    }
  }
  return head;
}

TEST(MbufFrame, HeadersBecomeContiguousInPlaceOrByACopy) {
  rte_mempool* pool = Devices::get().pool.get();
  const unsigned level = rte_mempool_avail_count(pool);
  for (const std::uint16_t tailroom : {std::uint16_t{1000}, std::uint16_t{0}}) {
    rte_mbuf* packet = chain(pool, {20, 30, 400}, tailroom);
    const Frame frame = to_frame(packet, 3);
    EXPECT_EQ(frame.length, 450U);
    ASSERT_GE(frame.contiguous, kContiguousHeaders);
    for (std::size_t i = 0; i < kContiguousHeaders; ++i) {
      ASSERT_EQ(std::to_integer<std::uint8_t>(frame.data[i]), i % 256);
    }
    EXPECT_EQ(frame.port, 3);
    EXPECT_EQ(rte_mbuf_check(packet, 1, nullptr), 0);
    rte_pktmbuf_free(to_packet(frame));
  }
  EXPECT_EQ(rte_mempool_avail_count(pool), level);
}

TEST(MbufFrame, TagsThatTheDriverTookOffStandInTheFrameAgain) {
  rte_mempool* pool = Devices::get().pool.get();
  const auto tagged = [&](std::uint64_t flags) {
    const Bytes bytes = syn(1);
    rte_mbuf* packet = rte_pktmbuf_alloc(pool);
    std::ranges::copy(bytes,
                      reinterpret_cast<std::uint8_t*>(
                          rte_pktmbuf_append(packet, static_cast<std::uint16_t>(bytes.size()))));
    packet->ol_flags = flags;
    packet->vlan_tci = 0x2064;
    packet->vlan_tci_outer = 200;
    to_frame(packet, 0);
    const Frame frame = to_frame(packet, 0);  // as on the way to another worker: not once more
    Bytes found(frame.contiguous);
    std::memcpy(found.data(), frame.data, found.size());
    rte_pktmbuf_free(to_packet(frame));
    return found;
  };
  const std::uint64_t one = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
  const std::uint64_t two = one | RTE_MBUF_F_RX_QINQ | RTE_MBUF_F_RX_QINQ_STRIPPED;
  const auto packet = [] { return tcp(kClient.at_port(1), kVip).syn(); };
  EXPECT_EQ(tagged(0), packet().bytes());
  EXPECT_EQ(tagged(RTE_MBUF_F_RX_VLAN), packet().bytes()) << "a tag that is still there";
  EXPECT_EQ(tagged(one), packet().vlan(0x2064).bytes());
  EXPECT_EQ(tagged(two), packet().vlan(200, kEtherServiceVlan).vlan(0x2064).bytes());
}

TEST(MbufFrame, ATagWithoutRoomLeavesNothingToRead) {
  rte_mbuf* packet = rte_pktmbuf_alloc(Devices::get().pool.get());
  packet->data_off = 3;
  rte_pktmbuf_append(packet, 60);
  packet->ol_flags = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
  EXPECT_EQ(to_frame(packet, 0).contiguous, 0);
  rte_pktmbuf_free(packet);
}

TEST(MbufFrame, ShorterFrameGivesItsOtherSegmentsBack) {
  rte_mempool* pool = Devices::get().pool.get();
  const unsigned level = rte_mempool_avail_count(pool);
  rte_mbuf* packet = chain(pool, {300, 300}, 0);
  Frame frame = to_frame(packet, 0);
  frame.length = 54;
  frame.contiguous = 54;
  rte_mbuf* answer = to_packet(frame);
  EXPECT_EQ(answer->pkt_len, 54U);
  EXPECT_EQ(answer->nb_segs, 1);
  rte_pktmbuf_free(answer);
  EXPECT_EQ(rte_mempool_avail_count(pool), level);
}

TEST(MbufFrame, LosesItsEndFromItsLastSegments) {
  rte_mempool* pool = Devices::get().pool.get();
  const unsigned level = rte_mempool_avail_count(pool);
  struct Case {
    std::uint32_t length;
    std::uint16_t segments;
  };
  for (const auto& [length, segments] : {Case{1200, 4},
                                         Case{1199, 4},
                                         Case{901, 4},
                                         Case{900, 3},
                                         Case{899, 3},
                                         Case{301, 2},
                                         Case{300, 1}}) {
    rte_mbuf* packet = chain(pool, {300, 300, 300, 300}, 0);
    Frame frame = to_frame(packet, 0);
    frame.length = length;
    rte_mbuf* cut = to_packet(frame);
    EXPECT_EQ(cut->pkt_len, length);
    EXPECT_EQ(cut->nb_segs, segments);
    EXPECT_EQ(rte_mbuf_check(cut, 1, nullptr), 0) << length;
    rte_pktmbuf_free(cut);
  }
  EXPECT_EQ(rte_mempool_avail_count(pool), level);
}

TEST(MbufFrame, GrowsInFrontAndKeepsItsOtherSegments) {
  rte_mempool* pool = Devices::get().pool.get();
  const unsigned level = rte_mempool_avail_count(pool);
  rte_mbuf* packet = chain(pool, {300, 700}, 0);
  Frame frame = to_frame(packet, 0);
  frame.data -= 50;
  frame.contiguous = static_cast<std::uint16_t>(frame.contiguous + 50);
  frame.headroom = static_cast<std::uint16_t>(frame.headroom - 50);
  frame.length += 50;
  rte_mbuf* grown = to_packet(frame);
  EXPECT_EQ(grown->pkt_len, 1050U);
  EXPECT_EQ(grown->nb_segs, 2);
  EXPECT_EQ(rte_mbuf_check(grown, 1, nullptr), 0);
  rte_pktmbuf_free(grown);
  EXPECT_EQ(rte_mempool_avail_count(pool), level);
}

}  // namespace
}  // namespace holdfast::dataplane
