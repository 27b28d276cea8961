// SPDX-License-Identifier: Apache-2.0
// Runs the stages of pipeline.h one by one over a burst and keeps how long each took, by the
// time-stamp counter; one reading per stage and burst is part of the figures. What is reported is
// the median over bursts: on a shared machine a burst that was interrupted says nothing about the
// code. One thread.
#pragma once

#include "bench/report.h"
#include "bench/site.h"
#include "dataplane/burst.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace holdfast::dataplane::bench {

enum class Stage : std::uint8_t { kParse, kClassify, kTrack, kSelect, kRewrite, kTotal };
inline constexpr std::size_t kStages = 6;
inline constexpr std::array<const char*, kStages> kStageNames = {
    "parse", "classify", "track", "select", "rewrite", "total"};

class StageTimer {
 public:
  // Requires: the burst's frames are set and begun. Afterwards it has its verdicts.
  void run(Site& site, Burst& burst, std::uint64_t now_ms);
  // Likewise, as far as the lookup.
  void run_to_track(Site& site, Burst& burst, std::uint64_t now_ms);
  // Adds ns per packet to "stage.NAME.STAGE", and forgets what was measured.
  void report(const std::string& name, Report& report);

 private:
  void add(Stage stage, std::uint64_t ticks) {
    ticks_[static_cast<std::size_t>(stage)].push_back(static_cast<double>(ticks));
  }
  // Returns the counter after track.
  std::uint64_t run_first(Site& site, Burst& burst, std::uint64_t now_ms, std::uint64_t start);

  std::array<std::vector<double>, kStages> ticks_;
};

}  // namespace holdfast::dataplane::bench
