// SPDX-License-Identifier: Apache-2.0
// What an operator's walk over the flows costs a worker: CPU time of one turn's share, and of the
// whole walk, over the tables that the product lays out for a number of flows, all of one kind.
#include "bench/flows.h"
#include "bench/report.h"
#include "bench/site.h"
#include "dataplane/flow_walk.h"
#include "dataplane/registry.h"

#include <string>

namespace holdfast::dataplane::bench {
namespace {

constexpr std::uint64_t kNow = 1'001'000;  // ms, shortly behind when the flows began

void want_all(FlowOrder& order, const Generation& generation) {
  order.members.resize(kRegistryCapacity);
  for (std::size_t i = 0; i < generation.members().size(); ++i) {
    order.members[i] = {.wanted = true,
                        .being_reset = false,
                        .epoch = generation.members()[i].epoch,
                        .to = std::nullopt};
  }
}

void measure(const char* kind, const Shape& shape, std::uint32_t flows, Report& report) {
  Site site(build_specification(shape), StateGeometry::from(flows, 1));
  if (shape.mode == Mode::kNat) {
    open_flows(site, shape, 0, flows);
  } else {
    fill_table(site, 0, flows, shape.v4);
  }
  const std::string name = std::string("walk.") + kind + "." + std::to_string(flows);
  for (int round = 0; round < 5; ++round) {
    FlowOrder order;
    order.most_rows = 1'000;
    want_all(order, site.generation());
    FlowWalk walk(order);
    std::uint64_t turns = 1;
    const double begun = cpu_ns();
    while (!walk_some(walk, site.worker(), site.generation(), kNow)) {
      ++turns;
    }
    const double all = cpu_ns() - begun;
    report.add(name + ".whole", "ms", all / 1e6);
    report.add(name + ".turn", "us", all / 1e3 / static_cast<double>(turns));
    report.add(name + ".turns", "turns", static_cast<double>(turns));
    report.add(name + ".found", "flows", static_cast<double>(walk.found.matched));
  }
}

int run(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  Report report;
  const std::uint32_t flows = options.small ? 1'000 : 1'000'000;
  measure("dsr", {.mode = Mode::kDsr}, flows, report);
  measure("nat", {.mode = Mode::kNat}, flows, report);
  report.print();
  return 0;
}

}  // namespace
}  // namespace holdfast::dataplane::bench

int main(int argc, char** argv) { return holdfast::dataplane::bench::run(argc, argv); }
