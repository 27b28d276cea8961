// SPDX-License-Identifier: Apache-2.0
// Build time of a Maglev table: full size, by number of members, equal and mixed weights.
#include "dataplane/maglev.h"

#include <string>
#include <vector>

#include <benchmark/benchmark.h>

namespace {

using holdfast::dataplane::build_maglev;
using holdfast::dataplane::FlowHasher;
using holdfast::dataplane::MaglevMember;

void build(benchmark::State& state, bool mixed) {
  const auto count = static_cast<std::size_t>(state.range(0));
  std::vector<std::string> names;
  std::vector<MaglevMember> members;
  for (std::size_t i = 0; i < count; ++i) {
    names.push_back("backend-" + std::to_string(i));
  }
  for (std::size_t i = 0; i < count; ++i) {
    const auto weight = static_cast<std::uint32_t>(mixed ? 50 + i % 100 : 100);
    members.push_back({.key = names[i], .weight = weight, .index = static_cast<std::uint16_t>(i)});
  }
  const FlowHasher hasher({1, 2, 3});
  for (auto step : state) {
    benchmark::DoNotOptimize(build_maglev(members, 65537, hasher));
  }
}

void equal_weights(benchmark::State& state) { build(state, false); }
void mixed_weights(benchmark::State& state) { build(state, true); }

BENCHMARK(equal_weights)->Arg(10)->Arg(100)->Arg(1000)->Unit(benchmark::kMillisecond);
BENCHMARK(mixed_weights)->Arg(10)->Arg(100)->Arg(1000)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
