// SPDX-License-Identifier: Apache-2.0
// Whole connections (connections.h) through one worker: how many per second of its CPU time. Only
// the pipeline and the sweeper are timed, by the thread's clock around each group of bursts, and
// their time is the time that flows age by. 16 pool addresses, 100 backends. `nat` and `dsr` over
// tables that take all of the run's connections; and `nat` over the tables of the default
// configuration for so long that closed records have to be used again (sustained): as many as the
// worker takes, which is more than there are records for, and 300 000 a second.
#include "bench/connections.h"
#include "bench/prepared_bursts.h"
#include "bench/report.h"
#include "bench/site.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

namespace holdfast::dataplane::bench {
namespace {

constexpr std::uint32_t kInFlight = 65'536;
constexpr std::uint64_t kDefaultFlows = 1'000'000;
constexpr double kPacketsPerConnection = 8;  // in `nat`
constexpr double kPacedPerSecond = 300'000;

struct Tally {
  double cpu_seconds = 0;
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;
};

class Run {
 public:
  Run(Mode mode, std::uint64_t flows, std::uint32_t in_flight)
      : site_(build_specification({.mode = mode}), geometry_for({.mode = mode}, flows)),
        connections_(mode == Mode::kNat ? Connections::Sides::kBoth : Connections::Sides::kClient,
                     in_flight) {}

  // From now on the flows' time passes as if not more packets than this came in a second.
  void pace(double packets_per_second) {
    least_ns_per_group_ = PreparedBursts::kCount * kBurstSize * 1e9 / packets_per_second;
  }
  // Until so many more connections are over, one way or the other.
  Tally run_connections(std::uint64_t count) {
    return run_while([&, last = over() + count] { return over() < last; });
  }
  Tally run_seconds(double seconds) {
    return run_while([&, last = flow_ns_ + seconds * 1e9] { return flow_ns_ < last; });
  }
  [[nodiscard]] double untracked() {
    return static_cast<double>(site_.worker().stats.flows_untracked.get());
  }

 private:
  static constexpr double kStartNs = 1e12;

  [[nodiscard]] std::uint64_t over() const {
    return connections_.completed() + connections_.failed();
  }
  template <typename GoOn>
  Tally run_while(const GoOn& go_on) {
    const Tally before{.cpu_seconds = cpu_ns_ * 1e-9,
                       .completed = connections_.completed(),
                       .failed = connections_.failed()};
    while (go_on()) {
      run_group();
    }
    return {.cpu_seconds = cpu_ns_ * 1e-9 - before.cpu_seconds,
            .completed = connections_.completed() - before.completed,
            .failed = connections_.failed() - before.failed};
  }
  void run_group() {
    bursts_.write([&](std::size_t) { return connections_.next(); });
    const auto now_ms = static_cast<std::uint64_t>((kStartNs + flow_ns_) * 1e-6);
    const double start = cpu_ns();
    for (std::size_t b = 0; b < PreparedBursts::kCount; ++b) {
      site_.run(bursts_[b], now_ms);
    }
    const double took = cpu_ns() - start;
    cpu_ns_ += took;
    flow_ns_ += std::max(took, least_ns_per_group_);
    for (std::size_t b = 0; b < PreparedBursts::kCount; ++b) {
      for (Slot i = 0; i < kBurstSize; ++i) {
        connections_.seen(bursts_[b], i);
      }
    }
  }

  Site site_;
  Connections connections_;
  PreparedBursts bursts_;
  double cpu_ns_ = 0;   // spent
  double flow_ns_ = 0;  // that flows have aged by
  double least_ns_per_group_ = 0;
};

void report_rate(const std::string& name, const Tally& tally, Report& report) {
  report.add(name, "connections/s", static_cast<double>(tally.completed) / tally.cpu_seconds);
}

void measure(Mode mode, std::uint64_t per_round, const Options& options, Report& report) {
  const std::string name = "cps." + std::string(mode_name(mode));
  const int rounds = std::max(2, options.rounds / 2);
  const auto parts = static_cast<std::uint64_t>(rounds) + 1;  // the first one is not counted
  const std::uint32_t in_flight = options.small ? 2048 : kInFlight;
  Run run(mode, per_round * parts + in_flight, in_flight);
  std::uint64_t failed = run.run_connections(per_round).failed;
  for (int round = 0; round < rounds; ++round) {
    const Tally tally = run.run_connections(per_round);
    report_rate(name, tally, report);
    failed += tally.failed;
  }
  report.add(name + ".failed", "connections", static_cast<double>(failed));
  report.add(name + ".untracked", "packets", run.untracked());
}

// Over the tables of `flows: 1M`, as fast as the worker can, or not faster than that.
void measure_sustained(const std::string& name,
                       std::optional<double> connections_per_second,
                       const Options& options,
                       Report& report) {
  const double part = options.small ? 0.001 : 1.0;  // seconds
  Run run(Mode::kNat, kDefaultFlows, options.small ? 2048 : kInFlight);
  if (connections_per_second) {
    run.pace(*connections_per_second * kPacketsPerConnection);
  }
  run.run_seconds(6 * part);
  std::uint64_t failed = 0;
  std::uint64_t over = 0;
  for (int round = 0; round < std::max(2, options.rounds / 2); ++round) {
    const Tally tally = run.run_seconds(part);
    report_rate(name, tally, report);
    failed += tally.failed;
    over += tally.failed + tally.completed;
  }
  report.add(
      name + ".failed",
      "%",
      100.0 * static_cast<double>(failed) / static_cast<double>(std::max<std::uint64_t>(over, 1)));
}

int run(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  Report report;
  measure(Mode::kNat, options.small ? 2'000 : 1'200'000, options, report);
  measure(Mode::kDsr, options.small ? 2'000 : 2'000'000, options, report);
  measure_sustained("cps.nat.sustained_1M", std::nullopt, options, report);
  measure_sustained("cps.nat.sustained_1M.paced_300k", kPacedPerSecond, options, report);
  report.print();
  return 0;
}

}  // namespace
}  // namespace holdfast::dataplane::bench

int main(int argc, char** argv) { return holdfast::dataplane::bench::run(argc, argv); }
