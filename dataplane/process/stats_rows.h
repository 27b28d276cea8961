// SPDX-License-Identifier: Apache-2.0
// The counters by name, in one table: what the seam sends, and what a snapshot copies. A counter of
// stats.h that stands in no row does not compile.
#pragma once

#include "dataplane/stats.h"

#include <array>
#include <string_view>

namespace holdfast::dataplane {

template <typename Owner>
struct CounterRow {
  std::string_view name;
  Counter Owner::* counter;
};

inline constexpr std::array<CounterRow<WorkerStats>, 29> kWorkerRows = {{
    {"received", &WorkerStats::received},
    {"released", &WorkerStats::released},
    {"forwarded", &WorkerStats::forwarded},
    {"replied", &WorkerStats::replied},
    {"to_kernel", &WorkerStats::to_kernel},
    {"held", &WorkerStats::held},
    {"transmitted", &WorkerStats::transmitted},
    {"transmit_full", &WorkerStats::transmit_full},
    {"no_buffer", &WorkerStats::no_buffer},
    {"handed_over", &WorkerStats::handed_over},
    {"taken_over", &WorkerStats::taken_over},
    {"fragments", &WorkerStats::fragments},
    {"flows_inserted", &WorkerStats::flows_inserted},
    {"flows_ended", &WorkerStats::flows_ended},
    {"flows_untracked", &WorkerStats::flows_untracked},
    {"flows_rechosen", &WorkerStats::flows_rechosen},
    {"resets_sent", &WorkerStats::resets_sent},
    {"follow_previous", &WorkerStats::follow_previous},
    {"icmp_errors_forwarded", &WorkerStats::icmp_errors_forwarded},
    {"too_big_sent", &WorkerStats::too_big_sent},
    {"too_big_limited", &WorkerStats::too_big_limited},
    {"mss_clamped", &WorkerStats::mss_clamped},
    {"mss_no_room", &WorkerStats::mss_no_room},
    {"affinity_hits", &WorkerStats::affinity_hits},
    {"affinity_full", &WorkerStats::affinity_full},
    {"polls", &WorkerStats::polls},
    {"busy_polls", &WorkerStats::busy_polls},
    {"busy_ns", &WorkerStats::busy_ns},
    {"woken", &WorkerStats::woken},
}};

static_assert(sizeof(WorkerCounters) / sizeof(Counter) ==
                  kWorkerRows.size() + kDropCount + kGeneratedCount,
              "every counter of WorkerStats has a row");

// last_new_flow_ms and live_flows have fields of their own on the seam; entries are our own
// concern.
inline constexpr std::array<CounterRow<MemberStats>, 5> kMemberRows = {{
    {"new_flows", &MemberStats::new_flows},
    {"packets_to_member", &MemberStats::packets_to_member},
    {"bytes_to_member", &MemberStats::bytes_to_member},
    {"packets_to_client", &MemberStats::packets_to_client},
    {"bytes_to_client", &MemberStats::bytes_to_client},
}};
static_assert(sizeof(MemberStats) / sizeof(Counter) == kMemberRows.size() + 3,
              "every counter of MemberStats has a row");

// Copies what is in the rows, the drops and the generated frames.
inline void copy_stats(const WorkerStats& from, WorkerStats& to) {
  for (const auto& row : kWorkerRows) {
    (to.*row.counter).set((from.*row.counter).get());
  }
  for (std::size_t i = 0; i < kDropCount; ++i) {
    to.drops[i].set(from.drops[i].get());
  }
  for (std::size_t i = 0; i < kGeneratedCount; ++i) {
    to.generated[i].set(from.generated[i].get());
  }
}

}  // namespace holdfast::dataplane
