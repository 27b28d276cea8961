// SPDX-License-Identifier: Apache-2.0
// What somebody at the other end of a memif adds to a frame's way: frames of 64 flows with the time
// of their sending inside go there and come back. First as many as it takes, to know its capacity;
// then half of that, evenly spread. `latency_bench NAME SOCKET [--small] ...`: the other end, which
// made the socket, is started and named by who calls this.
#include "bench/dpdk.h"
#include "bench/report.h"
#include "dataplane/checksum.h"
#include "dataplane/headers.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <x86intrin.h>

namespace holdfast::dataplane::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint16_t kPort = 0;
constexpr auto kAnySocket = static_cast<unsigned>(SOCKET_ID_ANY);
constexpr std::uint16_t kBurst = 32;
constexpr unsigned kBuffers = 16'383;
constexpr std::uint16_t kFlows = 64;
constexpr std::uint16_t kStampOffset = 42;  // behind Ethernet, IPv4 and UDP
constexpr std::uint16_t kFrameBytes = 60;
constexpr std::uint64_t kMostUnanswered = 4096;

[[noreturn]] void fail(const std::string& what) {
  std::cerr << what << "\n";
  std::exit(1);
}

rte_mempool* open_port() {
  rte_mempool* pool = rte_pktmbuf_pool_create("pool", kBuffers, 256, 0, 2048, SOCKET_ID_ANY);
  const rte_eth_conf configuration{};
  if (pool == nullptr || rte_eth_dev_configure(kPort, 1, 1, &configuration) != 0 ||
      rte_eth_rx_queue_setup(kPort, 0, 1024, kAnySocket, nullptr, pool) != 0 ||
      rte_eth_tx_queue_setup(kPort, 0, 1024, kAnySocket, nullptr) != 0 ||
      rte_eth_dev_start(kPort) != 0) {
    fail("the memif does not open");
  }
  const auto deadline = Clock::now() + std::chrono::seconds(10);
  rte_eth_link link{};
  while (rte_eth_link_get_nowait(kPort, &link) == 0 && link.link_status == 0) {
    if (Clock::now() > deadline) {
      fail("nobody answers at the memif");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return pool;
}

std::array<std::byte, kFrameBytes> build_frame(std::uint16_t flow) {
  std::array<std::byte, kFrameBytes> frame{};
  store(frame.data(),
        EthernetHeader{
            .destination = {2, 0, 0, 0, 0, 2}, .source = {2, 0, 0, 0, 0, 1}, .type = kEtherIpv4});
  constexpr std::uint16_t kIpBytes = kFrameBytes - sizeof(EthernetHeader);
  Ipv4Header ip{.version_and_length = 0x45,
                .total_length = Be16::from_host(kIpBytes),
                .ttl = 64,
                .protocol = 17,
                .source = Be32::from_host(0x0b000001),
                .destination = Be32::from_host(0xc0000201)};
  ip.checksum = ChecksumSum(std::as_bytes(std::span(&ip, 1))).checksum();
  store(frame.data() + sizeof(EthernetHeader), ip);
  // No checksum: the stamp changes.
  store(frame.data() + sizeof(EthernetHeader) + sizeof ip,
        UdpHeader{.source_port = Be16::from_host(static_cast<std::uint16_t>(1024 + flow)),
                  .destination_port = Be16::from_host(80),
                  .length = Be16::from_host(kIpBytes - sizeof ip)});
  return frame;
}

class Link {
 public:
  explicit Link(rte_mempool* pool) : pool_(pool) {
    for (std::uint16_t flow = 0; flow < kFlows; ++flow) {
      frames_.push_back(build_frame(flow));
    }
  }

  // Sends up to `count` frames that bear the time of now; returns how many went.
  std::uint16_t send(std::uint16_t count) {
    std::array<rte_mbuf*, kBurst> packets{};
    if (count == 0 || rte_pktmbuf_alloc_bulk(pool_, packets.data(), count) != 0) {
      return 0;
    }
    const std::uint64_t now = __rdtsc();
    for (std::uint16_t i = 0; i < count; ++i) {
      const auto& frame = frames_[next_++ % kFlows];
      auto* data = reinterpret_cast<std::byte*>(rte_pktmbuf_append(packets[i], kFrameBytes));
      std::ranges::copy(frame, data);
      store(data + kStampOffset, now);
    }
    const std::uint16_t sent = rte_eth_tx_burst(kPort, 0, packets.data(), count);
    rte_pktmbuf_free_bulk(packets.data() + sent, static_cast<unsigned>(count - sent));
    return sent;
  }
  // Takes what has come back; tells `seen` each frame's ticks on the way.
  template <typename Seen>
  std::uint16_t receive(const Seen& seen) {
    std::array<rte_mbuf*, kBurst> packets{};
    const std::uint16_t count = rte_eth_rx_burst(kPort, 0, packets.data(), kBurst);
    const std::uint64_t now = __rdtsc();
    for (std::uint16_t i = 0; i < count; ++i) {
      const auto* data = rte_pktmbuf_mtod(packets[i], const std::byte*);
      seen(now - load<std::uint64_t>(data + kStampOffset));
    }
    rte_pktmbuf_free_bulk(packets.data(), count);
    return count;
  }

 private:
  rte_mempool* pool_;
  std::vector<std::array<std::byte, kFrameBytes>> frames_;
  std::uint32_t next_ = 0;
};

// Frames per second that come back when as many are sent as the other end takes.
double capacity(Link& link, double seconds) {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  const auto start = Clock::now();
  std::chrono::duration<double> elapsed{};
  while (elapsed.count() < seconds) {
    if (sent - received < kMostUnanswered / 4) {
      sent += link.send(kBurst);
    }
    received += link.receive([](std::uint64_t) {});
    elapsed = Clock::now() - start;
  }
  return static_cast<double>(received) / elapsed.count();
}

// Microseconds on the way, of each frame that came back while `rate` frames per second were sent.
std::vector<double> latencies(Link& link, double rate, double seconds) {
  std::vector<double> seen;
  seen.reserve(static_cast<std::size_t>(rate * seconds * 1.1) + kBurst);
  const double us_per_tick = nanoseconds_per_tick() * 1e-3;
  const std::uint64_t start = __rdtsc();
  std::uint64_t sent = 0;
  double elapsed = 0;  // seconds
  while (elapsed < seconds) {
    elapsed = static_cast<double>(__rdtsc() - start) * us_per_tick * 1e-6;
    const auto due = static_cast<std::uint64_t>(elapsed * rate);
    if (due > sent + kBurst) {
      sent = due - kBurst;  // we were not running: what is late is not sent in one heap
    }
    sent += link.send(
        static_cast<std::uint16_t>(std::min<std::uint64_t>(due - std::min(due, sent), kBurst)));
    link.receive(
        [&](std::uint64_t ticks) { seen.push_back(static_cast<double>(ticks) * us_per_tick); });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  while (link.receive([](std::uint64_t) {}) > 0) {
  }
  return seen;
}

double quantile(std::vector<double>& values, double share) {
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::ranges::nth_element(values, at);
  return *at;
}

int run(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "latency_bench NAME SOCKET [option ...]\n";
    return 2;
  }
  const std::string name = argv[1];
  const Options options = read_options(argc - 2, argv + 2);
  if (!start_dpdk(
          128,
          {"--vdev=net_memif0,role=client,socket-abstract=no,socket=" + std::string(argv[2])})) {
    fail("DPDK does not start");
  }
  Link link(open_port());
  capacity(link, 0.2);  // the other end wakes up
  const double most = capacity(link, 0.5);
  Report report;
  report.add(name + ".capacity", "packets/s", most);
  for (int round = 0; round < options.rounds; ++round) {
    std::vector<double> seen = latencies(link, most / 2, 0.2);
    if (seen.empty()) {
      fail("no frame comes back");
    }
    for (const auto& [suffix, share] :
         {std::pair{".p50", 0.5}, std::pair{".p99", 0.99}, std::pair{".p99_9", 0.999}}) {
      report.add(name + suffix, "us", quantile(seen, share));
    }
  }
  report.print();
  rte_eth_dev_stop(kPort);
  rte_eth_dev_close(kPort);
  return 0;
}

}  // namespace
}  // namespace holdfast::dataplane::bench

int main(int argc, char** argv) { return holdfast::dataplane::bench::run(argc, argv); }
