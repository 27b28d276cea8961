// SPDX-License-Identifier: Apache-2.0
// Metrics of the node as a whole: version, revision, generation, reloads, memory, the seam.
#include "control/metrics/rows.h"

#include <array>
#include <functional>

namespace holdfast::control {
namespace {

// One sample without labels: a field of the status view.
template <auto Field>
void status(const Snapshot& snapshot, Series& series) {
  series.add(std::invoke(Field, snapshot.status));
}

void build_info(const Snapshot& snapshot, Series& series) {
  series.add(1.0,
             {{"version", snapshot.status.version},
              {"dataplane_version", snapshot.status.dataplane_version}});
}

void reloads(const Snapshot& snapshot, Series& series) {
  series.add(snapshot.status.reloads_applied, {{"result", "applied"}});
  series.add(snapshot.status.reloads_refused, {{"result", "refused"}});
  series.add(snapshot.status.reloads_unchanged, {{"result", "unchanged"}});
}

void last_reload_successful(const Snapshot& snapshot, Series& series) {
  if (!snapshot.status.last_reload.result.empty()) {
    series.add(snapshot.status.last_reload.result == "refused" ? 0.0 : 1.0);
  }
}

void last_reload_age(const Snapshot& snapshot, Series& series) {
  if (!snapshot.status.last_reload.result.empty()) {
    series.add(snapshot.status.last_reload.age_s);
  }
}

void adoption_duration(const Snapshot& snapshot, Series& series) {
  if (snapshot.status.adopted_ms >= 0) {
    series.add(snapshot.status.adopted_ms / 1e3);
  }
}

void revision_unconfirmed(const Snapshot& snapshot, Series& series) {
  series.add(snapshot.status.trial ? 1.0 : 0.0);
}

void notices(const Snapshot& snapshot, Series& series) {
  series.add(snapshot.status.notices.size());
}

void drained(const Snapshot& snapshot, Series& series) {
  series.add(snapshot.status.drained ? 1.0 : 0.0);
}

void standby(const Snapshot& snapshot, Series& series) {
  if (!snapshot.status.role.empty()) {
    series.add(snapshot.status.role == "standby" ? 1.0 : 0.0);
  }
}

constexpr std::array kNodeRows = std::to_array<MetricRow>({
    {"holdfast_build_info", "Versions of the two processes; always 1.", kGauge, build_info},
    {"holdfast_uptime_seconds",
     "Time since control started.",
     kGauge,
     status<&StatusView::uptime_s>},
    {"holdfast_dataplane_connected",
     "1 while control holds the seam to the dataplane.",
     kGauge,
     status<&StatusView::dataplane_connected>},
    {"holdfast_revision",
     "Configuration revision in force.",
     kGauge,
     status<&StatusView::revision>},
    {"holdfast_revision_unconfirmed",
     "1 while the revision in force is taken back unless somebody confirms it.",
     kGauge,
     revision_unconfirmed},
    {"holdfast_generation",
     "Forwarding generation that every worker acknowledged.",
     kGauge,
     status<&StatusView::generation>},
    {"holdfast_reloads_total", "Reloads asked for, by result.", kCounter, reloads},
    {"holdfast_last_reload_successful",
     "1 unless the last reload was refused.",
     kGauge,
     last_reload_successful},
    {"holdfast_last_reload_age_seconds",
     "Time since the last reload ended.",
     kGauge,
     last_reload_age},
    {"holdfast_adoption_duration_seconds",
     "How long control took to adopt the running dataplane.",
     kGauge,
     adoption_duration},
    {"holdfast_adoption_state_changes",
     "Dispositions, and the generation as one, that the last adoption had to change: 0 unless "
     "something happened while control and dataplane were apart.",
     kGauge,
     status<&StatusView::adoption_state_changes>},
    {"holdfast_publish_failures_total",
     "Generations that the dataplane did not acknowledge.",
     kCounter,
     status<&StatusView::publish_failures>},
    {"holdfast_disk_errors_total",
     "Journal and revision writes that failed.",
     kCounter,
     status<&StatusView::disk_errors>},
    {"holdfast_probe_lateness_p99_seconds",
     "How late probes started, 99th percentile; high values void results.",
     kGauge,
     status<&StatusView::probe_lateness_p99_s>},
    {"holdfast_probes_skipped_total",
     "Probes left out: the check's one before was still in flight.",
     kCounter,
     status<&StatusView::probes_skipped>},
    {"holdfast_log_lines_suppressed_total",
     "Log lines left out: too many at once.",
     kCounter,
     status<&StatusView::log_lines_suppressed>},
    {"holdfast_log_lines_dropped_total",
     "Log lines lost: stderr took them too slowly.",
     kCounter,
     status<&StatusView::log_lines_dropped>},
    {"holdfast_mbufs_available",
     "Free packet buffers.",
     kGauge,
     status<&StatusView::mbufs_available>},
    {"holdfast_mbufs_capacity", "All packet buffers.", kGauge, status<&StatusView::mbufs_total>},
    {"holdfast_state_bytes",
     "Size of the dataplane's state file.",
     kGauge,
     status<&StatusView::state_bytes>},
    {"holdfast_guard_losses_total",
     "Times that somebody removed or changed the nft table which keeps VIPs and pools from the "
     "kernel; it is put back.",
     kCounter,
     status<&StatusView::guard_losses>},
    {"holdfast_routes",
     "VIPs that the kernel has a route to, for a routing daemon.",
     kGauge,
     status<&StatusView::routes>},
    {"holdfast_routes_discarded_packets_total",
     "Packets that the machine itself sent to VIPs with a route; nobody forwards them.",
     kCounter,
     status<&StatusView::routes_discarded>},
    {"holdfast_node_drained",
     "1 while the node as a whole is drained: not ready, and without routes.",
     kGauge,
     drained},
    {"holdfast_node_standby",
     "1 while this node of a pair leaves its VIPs to the other one.",
     kGauge,
     standby},
    {"holdfast_notices", "Degraded modes in force; `holdfast status` names them.", kGauge, notices},
});

}  // namespace

std::span<const MetricRow> node_rows() { return kNodeRows; }

}  // namespace holdfast::control
