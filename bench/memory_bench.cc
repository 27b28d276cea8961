// SPDX-License-Identifier: Apache-2.0
// What a flow takes of memory: the tables that the product lays out for a number of flows, filled
// with as many, divided by them. Beside it what the process grew by, which has what stands outside
// of the shared state too. Tables are powers of two, so that the load, and with it the figure, goes
// up and down with the number.
#include "bench/flows.h"
#include "bench/report.h"
#include "bench/site.h"

#include <memory>
#include <string>

namespace holdfast::dataplane::bench {
namespace {

struct FlowKind {
  const char* name;
  Shape shape;
};

std::size_t used(Site& site, const Shape& shape) {
  WorkerTables& tables = site.worker().tables;
  return shape.mode == Mode::kNat ? tables.nat.used()
         : shape.v4               ? tables.v4.used()
                                  : tables.v6.used();
}

void measure(const FlowKind& kind, std::uint32_t flows, Report& report) {
  const StateGeometry geometry = geometry_for(kind.shape, flows);
  const double tables =
      static_cast<double>(geometry.bytes()) - static_cast<double>(StateGeometry{}.bytes());
  const auto resident = static_cast<double>(resident_bytes());
  Site site(build_specification(kind.shape), geometry);
  if (kind.shape.mode == Mode::kNat) {
    open_flows(site, kind.shape, 0, flows);
  } else {
    fill_table(site, 0, flows, kind.shape.v4);
  }
  const auto held = static_cast<double>(used(site, kind.shape));
  const std::string name = std::string("memory.") + kind.name + "." + std::to_string(flows);
  report.add(name, "bytes/flow", tables / held);
  report.add_beside(name, (static_cast<double>(resident_bytes()) - resident) / held);
  report.add(name + ".tracked", "%", 100 * held / flows);
}

int run(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  Report report;
  const FlowKind kinds[] = {{"ipv4", {.mode = Mode::kDsr}},
                            {"ipv6", {.mode = Mode::kDsr, .v4 = false}},
                            {"nat", {.mode = Mode::kNat}}};
  for (const std::uint32_t flows : {1'000U, 1'000'000U, 10'000'000U}) {
    const bool wanted = options.small ? flows == 1'000 : flows > 1'000;
    for (const FlowKind& kind : kinds) {
      if (wanted && flows <= options.most_flows) {
        measure(kind, flows, report);
      }
    }
  }
  report.print();
  return 0;
}

}  // namespace
}  // namespace holdfast::dataplane::bench

int main(int argc, char** argv) { return holdfast::dataplane::bench::run(argc, argv); }
