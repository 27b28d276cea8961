// SPDX-License-Identifier: Apache-2.0
// Established flows while SYNs of ten times the table's places go by, each of another flow, one
// burst of them to each burst of established packets: what a packet of an established flow costs
// then, beside the same without the flood, as a rate; and whether any of these flows is lost. Half
// of the table's places are theirs. `dsr` and `nat`.
#include "bench/flows.h"
#include "bench/frames.h"
#include "bench/prepared_bursts.h"
#include "bench/report.h"
#include "bench/site.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <x86intrin.h>

namespace holdfast::dataplane::bench {
namespace {

constexpr std::uint32_t kFloodOfTables = 10;
constexpr std::uint32_t kFirstOfFlood = 1'000'000'000;

class FloodedSite {
 public:
  FloodedSite(Mode mode, std::uint32_t places)
      : shape_{.mode = mode},
        places_(places),
        established_(places / 2),
        site_(build_specification(shape_), geometry_of(mode, places)),
        draw_(Order::kUniform, established_, 1) {
    open_flows(site_, shape_, 0, established_);
  }

  // ns per packet of established flows, the median over groups of bursts, while `flood` SYNs go by.
  double run(std::uint64_t packets, bool flooded) {
    std::vector<double> ticks;
    for (std::uint64_t sent = 0; sent < packets; sent += PreparedBursts::packets()) {
      own_.write([&](std::size_t) { return TcpFrame{.key = flow_key(draw_())}; });
      if (flooded) {
        flood_.write([&](std::size_t) {
          return TcpFrame{.key = flow_key(kFirstOfFlood + next_++), .flags = kTcpSyn};
        });
      }
      ticks.push_back(static_cast<double>(run_group(flooded)));
      forwarded_ += own_.count(Verdict::kForward);
      sent_ += PreparedBursts::packets();
    }
    return median(ticks) * nanoseconds_per_tick() / static_cast<double>(PreparedBursts::packets());
  }

  // Established flows that have no entry any more.
  std::uint32_t lost() {
    std::uint32_t lost = 0;
    for (std::uint32_t at = 0; at + kBurstSize <= established_; at += kBurstSize) {
      Burst& burst = own_[0];
      for (Slot i = 0; i < kBurstSize; ++i) {
        probe_frames_.write(burst, i, {.key = flow_key(at + i)});
      }
      burst.begin(kBurstSize);
      site_.forward(burst, kNow);
      for (Slot i = 0; i < kBurstSize; ++i) {
        lost += burst.known[i] && burst.verdict[i] == Verdict::kForward ? 0U : 1U;
      }
    }
    return lost;
  }
  [[nodiscard]] double not_forwarded() const { return static_cast<double>(sent_ - forwarded_); }
  [[nodiscard]] std::uint64_t flood_packets() const {
    return std::uint64_t{places_} * kFloodOfTables;
  }

 private:
  static constexpr std::uint64_t kNow = 1'000'000;  // ms

  static StateGeometry geometry_of(Mode mode, std::uint32_t places) {
    StateGeometry geometry;
    (mode == Mode::kNat ? geometry.records_nat : geometry.buckets_v4) =
        mode == Mode::kNat ? places : places / FlowTable4::kWays;
    return geometry;
  }
  std::uint64_t run_group(bool flooded) {
    std::uint64_t ticks = 0;
    for (std::size_t b = 0; b < PreparedBursts::kCount; ++b) {
      const std::uint64_t start = __rdtsc();
      site_.run(own_[b], kNow);
      ticks += __rdtsc() - start;
      if (flooded) {
        site_.run(flood_[b], kNow);
      }
    }
    return ticks;
  }

  Shape shape_;
  std::uint32_t places_;
  std::uint32_t established_;
  Site site_;
  Draw draw_;
  PreparedBursts own_;
  PreparedBursts flood_;
  Frames probe_frames_;
  std::uint32_t next_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t forwarded_ = 0;
};

void measure(Mode mode, const Options& options, Report& report) {
  const std::string name = "flood." + std::string(mode_name(mode));
  FloodedSite site(mode, options.small ? 1U << 10 : 1U << 18);
  const std::uint64_t part = site.flood_packets() / static_cast<std::uint64_t>(options.rounds);
  for (int round = 0; round < options.rounds; ++round) {
    const double alone = site.run(part, false);
    const double beside_flood = site.run(part, true);
    report.add(name + ".established", "ns/packet", beside_flood);
    report.add_beside(name + ".established", alone);
    report.add(name + ".rate", "of alone", alone / beside_flood);
  }
  report.add(name + ".flows_lost", "flows", site.lost());
  report.add(name + ".packets_lost", "packets", site.not_forwarded());
}

int run(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  Report report;
  measure(Mode::kDsr, options, report);
  measure(Mode::kNat, options, report);
  report.print();
  return 0;
}

}  // namespace
}  // namespace holdfast::dataplane::bench

int main(int argc, char** argv) { return holdfast::dataplane::bench::run(argc, argv); }
