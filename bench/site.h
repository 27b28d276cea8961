// SPDX-License-Identifier: Apache-2.0
// The pipeline with one worker, over the memory that region.h gives: as dataplane/solo.h, for
// tables of any size. One thread.
#pragma once

#include "bench/region.h"
#include "dataplane/burst.h"
#include "dataplane/generation.h"
#include "dataplane/neighborhood.h"
#include "dataplane/pipeline.h"
#include "dataplane/state.h"
#include "dataplane/worker_state.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace holdfast::dataplane::bench {

// What a specification of benchmarks has: services of one mode, with VIPs from bench::vip() on, and
// members of their own.
struct Shape {
  Mode mode = Mode::kDsr;
  std::uint32_t services = 1;
  std::uint32_t bindings = 1;  // of each service
  std::uint32_t members = 100;
  std::uint32_t slots = 65537;
  std::uint32_t pool = 16;  // addresses, of `nat`
  bool v4 = true;
  TimeoutSpec timeouts{};
};
GenerationSpec build_specification(const Shape& shape, std::uint64_t number = 1);

// One port, everything by one next hop.
Neighborhood build_neighborhood();

// For one worker and nothing but the tables that flows of this kind stand in, `flows` of them at
// the load that the product plans with.
StateGeometry geometry_for(const Shape& shape, std::uint64_t flows);

inline constexpr HashKey kBenchKey = {1};

class Site {
 public:
  // Ends the process when the specification is wrong.
  Site(const GenerationSpec& spec, const StateGeometry& geometry);
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  // As a worker's turn: sweeps, parses, hashes and runs the stages; forgets what was noticed.
  void run(Burst& burst, std::uint64_t now_ms);
  // The same without sweeping, for tables that were filled past the pipeline.
  void forward(Burst& burst, std::uint64_t now_ms);

  [[nodiscard]] WorkerState& worker() { return *worker_; }
  [[nodiscard]] const Generation& generation() const { return *generation_; }
  [[nodiscard]] const Forwarding& forwarding() const { return forwarding_; }
  [[nodiscard]] const FlowHasher& hasher() const { return hasher_; }

 private:
  Region region_;
  SharedState shared_;
  FlowHasher hasher_;
  MemberRegistry members_;
  BindingRegistry bindings_;
  std::unique_ptr<WorkerState> worker_;
  std::unique_ptr<const Generation> generation_;
  Neighborhood neighborhood_;
  std::vector<NextHop> hops_;
  Forwarding forwarding_;
};

// As if the members had answered: of `nat` half-open records would give way to each other.
void establish(NatTable& nat, const Burst& burst);

// Opens flows [first, end) of bench::flow_key() through the pipeline, by two packets each.
void open_flows(Site& site, const Shape& shape, std::uint32_t first, std::uint32_t end);

// Enters flows [first, end) of bench::flow_key() as established, past the pipeline: for tables that
// it would take minutes to fill. Not for `nat`. Returns how many have found a place.
std::uint64_t fill_table(Site& site, std::uint32_t first, std::uint32_t end, bool of_v4 = true);

}  // namespace holdfast::dataplane::bench
