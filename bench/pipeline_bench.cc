// SPDX-License-Identifier: Apache-2.0
// What each stage costs per packet, in bursts of 32: established flows (hit), flows that are not in
// the table (miss: the lookup alone), and every packet a new flow (insert); `dsr` and `nat`; 1 k,
// 100 k and 1 M flows in random order. Frames are written between the timed parts. Times are of
// the time-stamp counter, calibrated at start; one reading per stage and burst is part of them. The
// counters are ns per packet, the median over bursts.
#include "dataplane/checksum.h"
#include "dataplane/classify.h"
#include "dataplane/headers.h"
#include "dataplane/rewrite.h"
#include "dataplane/select.h"
#include "dataplane/solo.h"
#include "dataplane/track.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <x86intrin.h>

namespace {

using namespace holdfast::dataplane;  // a program of one file

constexpr std::size_t kFrameBytes = 64;
constexpr std::size_t kRoom = 128;
constexpr std::array<std::uint8_t, 4> kMssOption = {2, 4, 1460 >> 8, 1460 & 0xff};
const Address kVip = *Address::parse("203.0.113.10");

enum class Traffic : std::uint8_t { kHit, kMiss, kInsert };

double nanoseconds_per_tick() {
  static const double result = [] {
    const auto start = std::chrono::steady_clock::now();
    const std::uint64_t ticks = __rdtsc();
    while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(50)) {
    }
    const auto elapsed = std::chrono::steady_clock::now() - start;
    return std::chrono::duration<double, std::nano>(elapsed).count() /
           static_cast<double>(__rdtsc() - ticks);
  }();
  return result;
}

GenerationSpec spec_of(Mode mode) {
  ServiceSpec service{.name = "web", .mode = mode};
  service.bindings = {{.vip = kVip, .protocol = Protocol::kTcp, .first_port = 80, .last_port = 80}};
  for (int i = 0; i < 100; ++i) {
    service.members.push_back({.backend = "b" + std::to_string(i),
                               .address = *Address::parse("10.0.3." + std::to_string(i + 1))});
  }
  GenerationSpec spec{.number = 1, .services = {service}, .pools = {}};
  spec.pools = {{.first = *Address::parse("10.1.0.0"), .last = *Address::parse("10.1.0.15")}};
  return spec;
}

std::unique_ptr<Solo> make_solo(Mode mode, std::uint64_t flows) {
  std::vector<Link> links = {{.port = 0, .name = "p", .mac = {2, 0, 0, 0, 0, 2}}};
  auto solo = Solo::create(spec_of(mode),
                           Neighborhood::everything_via(links, 0, {2, 0, 0, 0, 0, 9}),
                           {.key = {1}, .flows = flows, .check_macs = true});
  if (!solo) {
    std::abort();
  }
  return std::move(*solo);
}

// Bursts of minimum-size TCP frames, written in place. A SYN announces an MSS, as every client's.
class Frames {
 public:
  Frames() : memory_(kBurstSize * (kFrameBytes + 2 * kRoom)) {}

  void write(Burst& burst, Slot slot, std::uint32_t flow, std::uint8_t flags) {
    std::byte* const data = memory_.data() + slot * (kFrameBytes + 2 * kRoom) + kRoom;
    const EthernetHeader ethernet{
        .destination = {2, 0, 0, 0, 0, 2}, .source = {2, 0, 0, 0, 0, 1}, .type = kEtherIpv4};
    const bool syn = (flags & kTcpSyn) != 0;
    Ipv4Header ip{.version_and_length = 0x45,
                  .total_length = Be16::from_host(syn ? 44 : 40),
                  .ttl = 64,
                  .protocol = 6,
                  .source = Be32::from_host(0x0b000000 + flow / 50'000),
                  .destination = kVip.v4_bits()};
    ip.checksum = ChecksumSum(std::as_bytes(std::span(&ip, 1))).checksum();
    TcpHeader tcp{.source_port = Be16::from_host(static_cast<std::uint16_t>(1 + flow % 50'000)),
                  .destination_port = Be16::from_host(80),
                  .data_offset = static_cast<std::uint8_t>((syn ? 6 : 5) << 4),
                  .flags = flags};
    store(data, ethernet);
    store(data + sizeof ethernet, ip);
    store(data + sizeof ethernet + sizeof ip, tcp);
    store(data + sizeof ethernet + sizeof ip + sizeof tcp, kMssOption);
    burst.frame[slot] = {.data = data,
                         .length = kFrameBytes,
                         .contiguous = kFrameBytes,
                         .headroom = kRoom,
                         .tailroom = kRoom,
                         .port = 0};
  }

 private:
  std::vector<std::byte> memory_;
};

enum Stage : std::uint8_t { kParse, kClassify, kTrack, kSelect, kRewrite, kTotal, kStages };
constexpr std::array<const char*, kStages> kStageNames = {
    "parse", "classify", "track", "select", "rewrite", "total"};

// Ticks per stage and burst. The median of bursts is reported: on a shared machine a burst that was
// interrupted says nothing about the code.
class Ticks {
 public:
  void add(Stage stage, std::uint64_t ticks) { samples_[stage].push_back(ticks); }
  [[nodiscard]] double median(Stage stage) {
    std::vector<std::uint64_t>& samples = samples_[stage];
    const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
    std::ranges::nth_element(samples, middle);
    return static_cast<double>(*middle);
  }
  [[nodiscard]] bool measured(Stage stage) const { return !samples_[stage].empty(); }
  [[nodiscard]] std::uint64_t last_total() const { return samples_[kTotal].back(); }

 private:
  std::array<std::vector<std::uint64_t>, kStages> samples_;
};

void run_timed(Solo& solo, Burst& burst, Traffic traffic, Ticks& ticks) {
  const Forwarding& forwarding = solo.forwarding();
  const Generation& generation = *forwarding.generation;
  WorkerState& worker = solo.worker();
  const std::uint64_t start = __rdtsc();
  parse(burst);
  hash_keys(burst, generation.hasher());
  const std::uint64_t parsed = __rdtsc();
  classify(burst, forwarding, worker, 1'000'000);
  const std::uint64_t classified = __rdtsc();
  track(burst, generation, worker, 1'000'000);
  const std::uint64_t tracked = __rdtsc();
  ticks.add(kParse, parsed - start);
  ticks.add(kClassify, classified - parsed);
  ticks.add(kTrack, tracked - classified);
  if (traffic == Traffic::kMiss) {
    ticks.add(kTotal, tracked - start);
    return;
  }
  select(burst, generation, worker, 1'000'000);
  const std::uint64_t selected = __rdtsc();
  rewrite(burst, forwarding, worker, 1'000'000);
  const std::uint64_t rewritten = __rdtsc();
  ticks.add(kSelect, selected - tracked);
  ticks.add(kRewrite, rewritten - selected);
  ticks.add(kTotal, rewritten - start);
}

// As if the members had answered: half-open records would give way to each other.
void establish(NatTable& nat, const Burst& burst) {
  for (std::uint16_t i = 0; i < burst.size; ++i) {
    if (burst.record[i] != kNoRecord && nat.record(burst.record[i]).state == FlowState::kHalfOpen) {
      nat.end_half_open(burst.record[i]);
      nat.record(burst.record[i]).state = FlowState::kEstablished;
    }
  }
}

// Two packets of each flow from `first` on, so that all are in the table and have shown themselves.
void fill(Solo& solo,
          Frames& frames,
          Burst& burst,
          std::uint32_t first,
          std::uint32_t end,
          std::uint8_t flags) {
  for (std::uint32_t flow = first; flow < end; flow += kBurstSize) {
    const auto count = static_cast<std::uint16_t>(std::min<std::uint32_t>(kBurstSize, end - flow));
    for (int round = 0; round < 2; ++round) {
      for (std::uint16_t i = 0; i < count; ++i) {
        frames.write(burst, static_cast<Slot>(i), flow + i, flags);
      }
      burst.begin(count);
      solo.run(burst, 1'000'000);
      solo.worker().notices.clear();
      establish(solo.worker().tables.nat, burst);
    }
  }
}

void report(benchmark::State& state, Ticks& ticks) {
  for (std::size_t i = 0; i < kStages; ++i) {
    if (const auto stage = static_cast<Stage>(i); ticks.measured(stage)) {
      state.counters[kStageNames[i]] = ticks.median(stage) * nanoseconds_per_tick() / kBurstSize;
    }
  }
}

void stages(benchmark::State& state, Mode mode, Traffic traffic) {
  const auto flows = static_cast<std::uint32_t>(state.range(0));
  auto burst = std::make_unique<Burst>();
  Frames frames;
  std::mt19937 random(1);
  // An inserting run starts from an empty table whenever the flows have all been seen once.
  std::unique_ptr<Solo> solo = make_solo(mode, flows * 2);
  const std::uint8_t opening = mode == Mode::kNat ? kTcpSyn : kTcpAck;
  if (traffic != Traffic::kInsert) {
    fill(*solo, frames, *burst, 0, flows, opening);
  }
  std::uint32_t next = 0;
  Ticks ticks;
  for (auto step : state) {
    if (traffic == Traffic::kInsert && next + kBurstSize > flows) {
      solo = make_solo(mode, flows * 2);
      next = 0;
    }
    for (Slot i = 0; i < kBurstSize; ++i) {
      const auto any = static_cast<std::uint32_t>(random() % flows);
      const std::uint32_t flow = traffic == Traffic::kInsert ? next++
                                 : traffic == Traffic::kMiss ? flows + any
                                                             : any;
      frames.write(*burst, i, flow, traffic == Traffic::kInsert ? opening : kTcpAck);
    }
    burst->begin(kBurstSize);
    run_timed(*solo, *burst, traffic, ticks);
    solo->worker().notices.clear();
    // Neither half-open nor unproven flows are to reach their share.
    establish(solo->worker().tables.nat, *burst);
    if (traffic == Traffic::kInsert && mode != Mode::kNat) {
      fill(*solo, frames, *burst, next - std::uint32_t{kBurstSize}, next, opening);
    }
    state.SetIterationTime(static_cast<double>(ticks.last_total()) * nanoseconds_per_tick() * 1e-9);
  }
  report(state, ticks);
}

void register_all() {
  struct Case {
    const char* name;
    Mode mode;
    Traffic traffic;
  };
  constexpr std::array<Case, 6> kCases = {{{"dsr_hit", Mode::kDsr, Traffic::kHit},
                                           {"dsr_miss", Mode::kDsr, Traffic::kMiss},
                                           {"dsr_insert", Mode::kDsr, Traffic::kInsert},
                                           {"nat_hit", Mode::kNat, Traffic::kHit},
                                           {"nat_miss", Mode::kNat, Traffic::kMiss},
                                           {"nat_insert", Mode::kNat, Traffic::kInsert}}};
  for (const Case& which : kCases) {
    benchmark::RegisterBenchmark(
        which.name, [which](benchmark::State& state) { stages(state, which.mode, which.traffic); })
        ->Arg(1'000)
        ->Arg(100'000)
        ->Arg(1'000'000)
        ->UseManualTime()
        ->Unit(benchmark::kNanosecond);
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
  register_all();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
