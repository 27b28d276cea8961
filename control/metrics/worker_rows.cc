// SPDX-License-Identifier: Apache-2.0
// Metrics of the dataplane's workers and ports. Drops and generated frames have a series for every
// reason and kind that this build knows, also at 0; names that a newer dataplane sends are added.
#include "control/metrics/rows.h"
#include "dataplane/drop.h"
#include "dataplane/stats.h"

#include <algorithm>
#include <array>

namespace holdfast::control {
namespace {

// A string as a template argument: the dataplane's name of a counter.
template <std::size_t Size>
struct Name {
  // NOLINTNEXTLINE(google-explicit-constructor): worker<"x"> is to mean worker<Name{"x"}>
  constexpr Name(const char (&text)[Size]) { std::copy_n(text, Size, characters); }
  [[nodiscard]] constexpr std::string_view view() const { return {characters, Size - 1}; }
  char characters[Size] = {};
};

std::vector<Label> worker_label(const WorkerView& worker) {
  return {{"worker", std::to_string(worker.worker)}};
}

// One sample per worker: the counter of that name.
template <Name Counter>
void worker(const Snapshot& snapshot, Series& series) {
  for (const WorkerView& view : snapshot.status.workers) {
    const auto found = std::ranges::find(view.counters, Counter.view(), &NamedCount::name);
    if (found != view.counters.end()) {
      series.add(found->value, worker_label(view));
    }
  }
}

// One sample per worker and known name, 0 when the dataplane did not send it, then what else it
// sent.
void named(const WorkerView& worker,
           const std::vector<NamedCount>& counts,
           std::span<const std::string_view> known,
           const std::string& label,
           Series& series) {
  const auto add = [&](std::string_view name, std::uint64_t value) {
    series.add(value, {{"worker", std::to_string(worker.worker)}, {label, std::string(name)}});
  };
  for (const std::string_view name : known) {
    const auto found = std::ranges::find(counts, name, &NamedCount::name);
    add(name, found == counts.end() ? 0 : found->value);
  }
  for (const NamedCount& count : counts) {
    if (std::ranges::find(known, std::string_view(count.name)) == known.end()) {
      add(count.name, count.value);
    }
  }
}

void drops(const Snapshot& snapshot, Series& series) {
  for (const WorkerView& view : snapshot.status.workers) {
    named(view, view.drops, dataplane::kDropNames, "reason", series);
  }
}

void generated(const Snapshot& snapshot, Series& series) {
  for (const WorkerView& view : snapshot.status.workers) {
    named(view, view.generated, dataplane::kGeneratedNames, "kind", series);
  }
}

template <auto Field>
void tables(const Snapshot& snapshot, Series& series) {
  for (const WorkerView& view : snapshot.status.workers) {
    named(view, view.*Field, {}, "table", series);
  }
}

void unaccounted(const Snapshot& snapshot, Series& series) {
  for (const WorkerView& view : snapshot.status.workers) {
    series.add(static_cast<double>(view.unaccounted), worker_label(view));
  }
}

void busy_seconds(const Snapshot& snapshot, Series& series) {
  for (const WorkerView& view : snapshot.status.workers) {
    const auto found =
        std::ranges::find(view.counters, std::string_view("busy_ns"), &NamedCount::name);
    if (found != view.counters.end()) {
      series.add(static_cast<double>(found->value) / 1e9, worker_label(view));
    }
  }
}

void busy_ratio(const Snapshot& snapshot, Series& series) {
  for (const WorkerView& view : snapshot.status.workers) {
    series.add(view.busy_ratio, worker_label(view));
  }
}

void silent_seconds(const Snapshot& snapshot, Series& series) {
  for (const WorkerView& view : snapshot.status.workers) {
    series.add(view.silent_s, worker_label(view));
  }
}

void link_up(const Snapshot& snapshot, Series& series) {
  for (const PortView& port : snapshot.status.ports) {
    series.add(port.link_up ? 1.0 : 0.0, {{"port", port.name}});
  }
}

// One sample per port: the counter of that name.
template <Name Counter>
void port(const Snapshot& snapshot, Series& series) {
  for (const PortView& view : snapshot.status.ports) {
    const auto found = std::ranges::find(view.counters, Counter.view(), &NamedCount::name);
    if (found != view.counters.end()) {
      series.add(found->value, {{"port", view.name}});
    }
  }
}

// One sample per port and counter of that prefix; what follows it is the label. The dataplane names
// them.
template <Name Prefix, Name LabelName>
void by_label(const Snapshot& snapshot, Series& series) {
  for (const PortView& view : snapshot.status.ports) {
    for (const NamedCount& count : view.counters) {
      if (count.name.starts_with(Prefix.view())) {
        series.add(count.value,
                   {{"port", view.name},
                    {std::string(LabelName.view()), count.name.substr(Prefix.view().size())}});
      }
    }
  }
}

constexpr std::array kWorkerRows = std::to_array<MetricRow>({
    {"holdfast_worker_received_frames_total",
     "Frames that entered the worker's pipeline.",
     kCounter,
     worker<"received">},
    {"holdfast_worker_forwarded_frames_total",
     "Frames sent towards a member or a client.",
     kCounter,
     worker<"forwarded">},
    {"holdfast_worker_replied_frames_total",
     "Frames answered in place (ICMP echo, ARP, ND).",
     kCounter,
     worker<"replied">},
    {"holdfast_worker_kernel_frames_total",
     "Frames left to the kernel.",
     kCounter,
     worker<"to_kernel">},
    {"holdfast_worker_held_frames_total", "Frames put on hold.", kCounter, worker<"held">},
    {"holdfast_worker_released_frames_total",
     "Held frames that re-entered the pipeline.",
     kCounter,
     worker<"released">},
    {"holdfast_worker_transmitted_frames_total",
     "Frames that a port took.",
     kCounter,
     worker<"transmitted">},
    {"holdfast_worker_transmit_full_frames_total",
     "Frames that no port queue took.",
     kCounter,
     worker<"transmit_full">},
    {"holdfast_worker_no_buffer_frames_total",
     "Frames that could not be generated: no packet buffer was free.",
     kCounter,
     worker<"no_buffer">},
    {"holdfast_worker_handed_over_frames_total",
     "Frames given to their owner worker.",
     kCounter,
     worker<"handed_over">},
    {"holdfast_worker_taken_over_frames_total",
     "Frames taken from another worker.",
     kCounter,
     worker<"taken_over">},
    {"holdfast_worker_fragments_total",
     "IP fragments for a VIP or a pool address.",
     kCounter,
     worker<"fragments">},
    {"holdfast_worker_flows_inserted_total",
     "Flow entries made.",
     kCounter,
     worker<"flows_inserted">},
    {"holdfast_worker_flows_ended_total", "Flow entries removed.", kCounter, worker<"flows_ended">},
    {"holdfast_worker_flows_untracked_total",
     "Packets that got no flow entry: the table, or their share of it, was full.",
     kCounter,
     worker<"flows_untracked">},
    {"holdfast_worker_flows_rechosen_total",
     "Flows whose member was given up: down, reset or a new SYN.",
     kCounter,
     worker<"flows_rechosen">},
    {"holdfast_worker_resets_sent_total",
     "TCP resets sent in answer to a flow's packet.",
     kCounter,
     worker<"resets_sent">},
    {"holdfast_worker_follow_previous_frames_total",
     "Frames without entry that followed the previous Maglev table.",
     kCounter,
     worker<"follow_previous">},
    {"holdfast_worker_icmp_errors_forwarded_total",
     "ICMP errors about flows, forwarded to the other end.",
     kCounter,
     worker<"icmp_errors_forwarded">},
    {"holdfast_worker_too_big_sent_total",
     "Packet-too-big messages sent in answer to a packet.",
     kCounter,
     worker<"too_big_sent">},
    {"holdfast_worker_too_big_limited_total",
     "Packet-too-big messages not sent: the rate limit was reached.",
     kCounter,
     worker<"too_big_limited">},
    {"holdfast_worker_mss_clamped_total",
     "SYNs whose announced MSS was lowered.",
     kCounter,
     worker<"mss_clamped">},
    {"holdfast_worker_mss_no_room_total",
     "SYNs without an MSS, and without room to announce one.",
     kCounter,
     worker<"mss_no_room">},
    {"holdfast_worker_affinity_hits_total",
     "Frames without entry that went to the member remembered for their source.",
     kCounter,
     worker<"affinity_hits">},
    {"holdfast_worker_affinity_full_total",
     "Flows whose source was not remembered: the table had no room for it.",
     kCounter,
     worker<"affinity_full">},
    {"holdfast_worker_polls_total",
     "Rounds of the worker's loop; must rise.",
     kCounter,
     worker<"polls">},
    {"holdfast_worker_busy_polls_total",
     "Rounds that found frames.",
     kCounter,
     worker<"busy_polls">},
    {"holdfast_worker_woken_total",
     "Waits for frames that a port ended.",
     kCounter,
     worker<"woken">},
    {"holdfast_worker_busy_seconds_total",
     "Time that rounds with frames took; what is left was idle.",
     kCounter,
     busy_seconds},
    {"holdfast_worker_busy_ratio",
     "Share of the last second that rounds with frames took, 0 to 1.",
     kGauge,
     busy_ratio},
    {"holdfast_worker_silent_seconds",
     "Time since the worker's loop had last come round; above 1 the node is not ready.",
     kGauge,
     silent_seconds},
    {"holdfast_drops_total", "Frames dropped, by reason.", kCounter, drops},
    {"holdfast_generated_frames_total",
     "Frames that the dataplane made itself, by kind.",
     kCounter,
     generated},
    {"holdfast_flow_entries", "Entries in use, by table.", kGauge, tables<&WorkerView::flows>},
    {"holdfast_affinity_entries",
     "Sources whose member is remembered; they share the table's room with its flows.",
     kGauge,
     tables<&WorkerView::affinities>},
    {"holdfast_flow_entries_capacity",
     "Entries that the table has room for.",
     kGauge,
     tables<&WorkerView::capacity>},
    {"holdfast_unaccounted_frames",
     "Frames in minus frames out, dropped, held and left to the kernel; not 0 is a defect.",
     kGauge,
     unaccounted},
    {"holdfast_port_link_up", "1 while the port has a link.", kGauge, link_up},
    {"holdfast_port_link_losses_total",
     "Times that the port's link went down.",
     kCounter,
     port<"link_losses">},
    {"holdfast_port_bond_link_up",
     "1 while the bond's link can carry frames.",
     kGauge,
     by_label<"link_up_", "link">},
    {"holdfast_port_received_frames_total", "Frames received.", kCounter, port<"received">},
    {"holdfast_port_received_bytes_total", "Bytes received.", kCounter, port<"received_bytes">},
    {"holdfast_port_missed_frames_total",
     "Frames lost before us: the receive ring was full.",
     kCounter,
     port<"missed">},
    {"holdfast_port_no_buffer_frames_total",
     "Frames lost: no packet buffer was free.",
     kCounter,
     port<"no_buffer">},
    {"holdfast_port_receive_errors_total",
     "Frames received with an error.",
     kCounter,
     port<"receive_errors">},
    {"holdfast_port_transmitted_frames_total",
     "Frames transmitted.",
     kCounter,
     port<"transmitted">},
    {"holdfast_port_transmitted_bytes_total",
     "Bytes transmitted.",
     kCounter,
     port<"transmitted_bytes">},
    {"holdfast_port_transmit_errors_total",
     "Frames that the kernel or device did not take.",
     kCounter,
     port<"transmit_errors">},
    {"holdfast_kernel_rx_frames_total",
     "Frames that the kernel got by the port's twin.",
     kCounter,
     port<"kernel_received">},
    {"holdfast_kernel_tx_frames_total",
     "Frames that the kernel sent by the port's twin.",
     kCounter,
     port<"kernel_transmitted">},
    {"holdfast_kernel_rx_dropped_total",
     "Frames for the kernel that found their class's queue full or its interface down.",
     kCounter,
     by_label<"kernel_dropped_", "class">},
});

}  // namespace

std::span<const MetricRow> worker_rows() { return kWorkerRows; }

}  // namespace holdfast::control
