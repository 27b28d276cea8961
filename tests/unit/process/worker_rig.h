// SPDX-License-Identifier: Apache-2.0
// Workers turned by hand over ring ports, without threads, and the frames that they are given. For
// the tests of workers, publication and mbufs, which are one program.
#pragma once

#include "dataplane/process/boot.h"
#include "dataplane/process/eal.h"
#include "dataplane/process/publisher.h"
#include "dataplane/process/worker.h"
#include "tests/support/packet.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/process/seam_helpers.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
#include <stdexcept>

#include <gtest/gtest.h>

namespace holdfast::dataplane {

using holdfast::testing::Bytes;
using holdfast::testing::kClient;
using holdfast::testing::kVip;
using holdfast::testing::tcp;
using holdfast::testing::TempDirectory;

inline constexpr std::uint64_t kSecond = 1'000'000'000;

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
    if (auto started = start_eal(*plan, "worker-test", {}, 0); !started) {
      throw std::runtime_error(started.error().text);
    }
    pool.reset(rte_pktmbuf_pool_create("test", 8191, 0, 0, 2176, SOCKET_ID_ANY));
    in = open("in", PortDevice::kRing, 0);
    out = open("out", PortDevice::kNull, 1);
  }
  std::unique_ptr<Port> open(const char* name, PortDevice device, PortIndex index) {
    const PortSpec spec{.name = name, .device = device};
    auto port = Port::open(spec, {.index = index, .workers = 8}, pool.get());
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
    for (std::uint32_t i = 0; i < count; ++i) {
      surroundings_.wakers.push_back(std::move(*Waker::create()));
    }
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
  [[nodiscard]] std::span<const std::unique_ptr<Worker>> all() const { return workers_; }
  Waker& waker(std::size_t worker) { return *surroundings_.wakers[worker]; }
  Publisher& publisher() { return *publisher_; }
  const WorkerSurroundings& surroundings() { return surroundings_; }
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
    ASSERT_EQ(in().transmit(0, std::span(&packet, 1)), 1);
  }
  // What was transmitted on a looped port.
  std::vector<Bytes> take_from(PortIndex port) {
    std::array<rte_mbuf*, 8> packets{};
    std::vector<Bytes> frames;
    const std::uint16_t count = surroundings_.ports[port]->receive(0, packets);
    for (rte_mbuf* packet : std::span(packets).first(count)) {
      const auto* bytes = rte_pktmbuf_mtod(packet, const std::uint8_t*);
      frames.emplace_back(bytes, bytes + packet->data_len);
      rte_pktmbuf_free(packet);
    }
    return frames;
  }
  // Puts `count` packets that bear the next numbers on the looped port; returns how many it took.
  std::size_t offer(std::size_t count, std::uint16_t& next) {
    std::vector<rte_mbuf*> packets;
    for (std::size_t i = 0; i < count; ++i) {
      packets.push_back(rte_pktmbuf_alloc(surroundings_.pool));
      const std::uint16_t number = next++;
      std::memcpy(rte_pktmbuf_append(packets.back(), 64), &number, sizeof(number));
    }
    const std::uint16_t taken = in().transmit(0, packets);
    rte_pktmbuf_free_bulk(packets.data() + taken, static_cast<unsigned>(count - taken));
    return taken;
  }
  // The number of the next packet on the looped port; nullopt: there is none.
  std::optional<std::uint16_t> take_number() {
    rte_mbuf* packet = nullptr;
    if (in().receive(0, std::span(&packet, 1)) == 0) {
      return std::nullopt;
    }
    std::uint16_t number = 0;
    std::memcpy(&number, rte_pktmbuf_mtod(packet, const void*), sizeof(number));
    rte_pktmbuf_free(packet);
    return number;
  }
  Port& in() { return *surroundings_.ports[0]; }
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

inline Bytes syn(std::uint16_t client_port) {
  return tcp(kClient.at_port(client_port), kVip).syn().bytes();
}

inline GenerationSpec nat_generation(std::uint64_t number) {
  GenerationSpec spec = small_generation(number);
  spec.services[0].mode = Mode::kNat;
  spec.pools = {{.first = address("10.0.3.16"), .last = address("10.0.3.17")}};
  return spec;
}

}  // namespace holdfast::dataplane
