// SPDX-License-Identifier: Apache-2.0
// Two workers beside one, in turn: the CPU time of a packet when the other worker runs too, each on
// flows and tables of its own, as behind a card that spreads flows by their hash. What they share
// is what the product lets them share: the generation, the dispositions, the caches.
#include "bench/plane.h"
#include "bench/report.h"

#include <chrono>
#include <cstdint>
#include <thread>

namespace holdfast::dataplane::bench {
namespace {

constexpr std::size_t kBursts = 256;

// ns of CPU time per packet, over all workers.
double run(Plane& plane, std::uint32_t workers, std::chrono::milliseconds length) {
  plane.start(workers, kBursts, 1);
  plane.begin_stretch();
  std::this_thread::sleep_for(length);
  double cpu = 0;
  double packets = 0;
  for (const Stretch& stretch : plane.end_stretch()) {
    cpu += stretch.cpu_ns;
    packets += static_cast<double>(stretch.bursts * kBurstSize);
  }
  plane.stop();
  return cpu / packets;
}

int run(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  Report report;
  Plane plane(build_specification({}), 2, 65'536);
  const std::chrono::milliseconds length(options.small ? 2 : 400);
  for (int round = 0; round < options.rounds; ++round) {
    const double one = run(plane, 1, length);
    const double two = run(plane, 2, length);
    report.add("scale.pipeline.ns", "ns/packet", two);
    report.add_beside("scale.pipeline.ns", one);
    report.add("scale.pipeline.two_workers", "ratio", one / two);
  }
  report.print();
  return 0;
}

}  // namespace
}  // namespace holdfast::dataplane::bench

int main(int argc, char** argv) { return holdfast::dataplane::bench::run(argc, argv); }
