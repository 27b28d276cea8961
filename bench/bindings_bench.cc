// SPDX-License-Identifier: Apache-2.0
// Established packets to one of ten thousand bindings in turn, beside as many to a single one: the
// same flows, members and frames but for the destination. `dsr` and `nat`; and as a figure without
// a target a thousand services of ten bindings and ten members each, whose members alone are more
// than the cache holds.
#include "bench/flows.h"
#include "bench/prepared_bursts.h"
#include "bench/report.h"
#include "bench/site.h"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

#include <x86intrin.h>

namespace holdfast::dataplane::bench {
namespace {

class BoundSite {
 public:
  BoundSite(const Shape& shape, std::uint32_t flows)
      : bindings_(shape.services * shape.bindings),
        site_(build_specification(shape), geometry_for(shape, flows)),
        draw_(Order::kUniform, flows, 1) {
    open_flows(site_, shape, 0, flows);
  }
  // ns per packet, of one group of bursts.
  double run() {
    bursts_.write([&](std::size_t) { return TcpFrame{.key = flow_key(draw_(), true, bindings_)}; });
    const std::uint64_t start = __rdtsc();
    for (std::size_t b = 0; b < PreparedBursts::kCount; ++b) {
      site_.forward(bursts_[b], 1'000'000);
    }
    const auto ticks = static_cast<double>(__rdtsc() - start);
    if (bursts_.count(Verdict::kForward) != PreparedBursts::packets()) {
      std::cerr << "not all packets are forwarded\n";
      std::exit(1);
    }
    return ticks * nanoseconds_per_tick() / static_cast<double>(PreparedBursts::packets());
  }

 private:
  std::uint32_t bindings_;
  Site site_;
  Draw draw_;
  PreparedBursts bursts_;
};

// Groups of both in turn; a sample is the median over a round's groups.
void compare(const std::string& name,
             std::array<Shape, 2> shapes,
             const Options& options,
             Report& report) {
  const std::uint32_t flows = options.small ? 1'000 : 65'536;
  BoundSite one(shapes[0], flows);
  BoundSite many(shapes[1], flows);
  for (int round = 0; round < options.rounds; ++round) {
    std::vector<double> alone;
    std::vector<double> among;
    for (int group = 0; group < (options.small ? 2 : 100); ++group) {
      alone.push_back(one.run());
      among.push_back(many.run());
    }
    report.add(name, "ns/packet", median(among));
    report.add_beside(name, median(alone));
    report.add(name + ".over_one", "ratio", median(among) / median(alone));
  }
}

int run(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  Report report;
  const std::uint32_t many = options.small ? 100 : 10'000;
  for (const Mode mode : {Mode::kDsr, Mode::kNat}) {
    const std::string name = "bindings." + std::string(mode_name(mode)) + ".10000";
    compare(name, {{{.mode = mode}, {.mode = mode, .bindings = many}}}, options, report);
  }
  compare("bindings.dsr.services_1000",
          {{{.members = 10, .slots = 4093},
            {.services = many / 10, .bindings = 10, .members = 10, .slots = 4093}}},
          options,
          report);
  report.print();
  return 0;
}

}  // namespace
}  // namespace holdfast::dataplane::bench

int main(int argc, char** argv) { return holdfast::dataplane::bench::run(argc, argv); }
