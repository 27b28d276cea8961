// SPDX-License-Identifier: Apache-2.0
// See stage_timer.h.
#include "bench/stage_timer.h"

#include "dataplane/classify.h"
#include "dataplane/rewrite.h"
#include "dataplane/select.h"
#include "dataplane/track.h"

#include <x86intrin.h>

namespace holdfast::dataplane::bench {

std::uint64_t StageTimer::run_first(Site& site,
                                    Burst& burst,
                                    std::uint64_t now_ms,
                                    std::uint64_t start) {
  parse(burst);
  hash_keys(burst, site.hasher());
  const std::uint64_t parsed = __rdtsc();
  classify(burst, site.forwarding(), site.worker(), now_ms);
  const std::uint64_t classified = __rdtsc();
  track(burst, site.generation(), site.worker(), now_ms);
  const std::uint64_t tracked = __rdtsc();
  add(Stage::kParse, parsed - start);
  add(Stage::kClassify, classified - parsed);
  add(Stage::kTrack, tracked - classified);
  return tracked;
}

void StageTimer::run_to_track(Site& site, Burst& burst, std::uint64_t now_ms) {
  const std::uint64_t start = __rdtsc();
  add(Stage::kTotal, run_first(site, burst, now_ms, start) - start);
  site.worker().notices.clear();
}

void StageTimer::run(Site& site, Burst& burst, std::uint64_t now_ms) {
  const std::uint64_t start = __rdtsc();
  const std::uint64_t tracked = run_first(site, burst, now_ms, start);
  const std::uint64_t selecting = __rdtsc();
  select(burst, site.generation(), site.worker(), now_ms);
  const std::uint64_t selected = __rdtsc();
  rewrite(burst, site.forwarding(), site.worker(), now_ms);
  const std::uint64_t rewritten = __rdtsc();
  add(Stage::kSelect, selected - selecting);
  add(Stage::kRewrite, rewritten - selected);
  add(Stage::kTotal, tracked - start + rewritten - selecting);
  site.worker().notices.clear();
}

void StageTimer::report(const std::string& name, Report& report) {
  for (std::size_t i = 0; i < kStages; ++i) {
    if (!ticks_[i].empty()) {
      report.add("stage." + name + "." + kStageNames[i],
                 "ns/packet",
                 median(std::move(ticks_[i])) * nanoseconds_per_tick() / kBurstSize);
      ticks_[i].clear();
    }
  }
}

}  // namespace holdfast::dataplane::bench
