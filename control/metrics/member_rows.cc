// SPDX-License-Identifier: Apache-2.0
// Metrics of services, bindings and members. A member's labels are service, backend and address:
// a retired member keeps its series beside its successor's of the same name. The dataplane's
// counters have no series while it does not answer: a counter that fell to 0 would be a reset.
#include "control/metrics/rows.h"
#include "dataplane/spec.h"

#include <algorithm>
#include <array>
#include <functional>

namespace holdfast::control {
namespace {

constexpr std::array<std::string_view, 4> kHealth = {"unknown", "up", "down", "damped"};
constexpr std::array<std::string_view, 4> kAdmin = {
    "enabled", "draining", "maintenance", "removed"};

std::span<const BackendView> shown(const Snapshot& snapshot) {
  return std::span(snapshot.backends).first(std::min(snapshot.backends.size(), kMemberLimit));
}

std::vector<Label> labels(const BackendView& member) {
  const bool v6 = member.address.find(':') != std::string::npos;
  std::string address = v6 ? "[" + member.address + "]" : member.address;
  if (member.port != 0) {  // 0: the port is not translated
    address += ":" + std::to_string(member.port);
  }
  return {{"service", member.service}, {"backend", member.name}, {"address", std::move(address)}};
}

std::vector<Label> labels(const BackendView& member, Label more) {
  std::vector<Label> result = labels(member);
  result.push_back(std::move(more));
  return result;
}

template <auto Field>
void service(const Snapshot& snapshot, Series& series) {
  for (const ServiceView& view : snapshot.services) {
    series.add(std::invoke(Field, view), {{"service", view.name}});
  }
}

void moved(const Snapshot& snapshot, Series& series) {
  for (const ServiceView& view : snapshot.services) {
    if (!view.moves) {
      continue;
    }
    for (const NamedCount& count : view.moves->moved) {
      series.add(count.value, {{"service", view.name}, {"cause", count.name}});
    }
  }
}

template <auto Field>
void moves(const Snapshot& snapshot, Series& series) {
  for (const ServiceView& view : snapshot.services) {
    if (view.moves) {
      series.add(std::invoke(Field, *view.moves), {{"service", view.name}});
    }
  }
}

// By why flows are reset: what their member is, or an operator's word.
template <auto Field, auto Ordered>
void resets(const Snapshot& snapshot, Series& series) {
  for (const ServiceView& view : snapshot.services) {
    if (view.moves) {
      const std::uint64_t ordered = std::invoke(Ordered, *view.moves);
      const std::uint64_t all = std::invoke(Field, *view.moves);
      series.add(all - ordered, {{"service", view.name}, {"cause", "member"}});
      series.add(ordered, {{"service", view.name}, {"cause", "operator"}});
    }
  }
}

void bindings(const Snapshot& snapshot, Series& series) {
  std::size_t left = kMemberLimit;
  for (const ServiceView& view : snapshot.services) {
    for (const std::string& vip : view.vips) {
      for (const std::string& port : view.ports) {
        if (left-- == 0) {
          return;
        }
        series.add(1.0,
                   {{"service", view.name}, {"vip", vip}, {"port", port}, {"mode", view.mode}});
      }
    }
  }
}

template <auto Field>
void member(const Snapshot& snapshot, Series& series) {
  for (const BackendView& view : shown(snapshot)) {
    series.add(std::invoke(Field, view), labels(view));
  }
}

template <auto Field, const auto& Known>
void state(const Snapshot& snapshot, Series& series) {
  for (const BackendView& view : shown(snapshot)) {
    series.add_one_hot(std::invoke(Field, view), Known, labels(view));
  }
}

template <auto ToMember, auto ToClient>
void directions(const Snapshot& snapshot, Series& series) {
  for (const BackendView& view : shown(snapshot)) {
    series.add(std::invoke(ToMember, view), labels(view, {"direction", "to_member"}));
    series.add(std::invoke(ToClient, view), labels(view, {"direction", "to_client"}));
  }
}

void check_results(const Snapshot& snapshot, Series& series) {
  for (const BackendView& view : shown(snapshot)) {
    series.add(view.check.passed, labels(view, {"result", "passed"}));
    series.add(view.check.failed, labels(view, {"result", "failed"}));
    series.add(view.check.voided, labels(view, {"result", "voided"}));
  }
}

void check_duration(const Snapshot& snapshot, Series& series) {
  for (const BackendView& view : shown(snapshot)) {
    if (!view.check.last_reason.empty()) {
      series.add(view.check.last_duration_s, labels(view));
    }
  }
}

void check_last(const Snapshot& snapshot, Series& series) {
  for (const BackendView& view : shown(snapshot)) {
    if (!view.check.last_reason.empty()) {
      std::vector<Label> with_layer = labels(view, {"layer", view.check.last_layer});
      with_layer.push_back({"reason", view.check.last_reason});
      series.add(1.0, std::move(with_layer));
    }
  }
}

void check_streak(const Snapshot& snapshot, Series& series) {
  for (const BackendView& view : shown(snapshot)) {
    series.add(view.check.streak, labels(view));
  }
}

void omitted(const Snapshot& snapshot, Series& series) {
  series.add(snapshot.backends.size() - shown(snapshot).size());
}

constexpr std::array kMemberRows = std::to_array<MetricRow>({
    {"holdfast_binding_info",
     "Bindings (VIP, protocol, ports) by service; always 1.",
     kGauge,
     bindings},
    {"holdfast_service_slots",
     "Slots of the service's Maglev table.",
     kGauge,
     service<&ServiceView::slots>},
    {"holdfast_service_backends", "Backends configured.", kGauge, service<&ServiceView::backends>},
    {"holdfast_service_usable_backends",
     "Backends that take new flows.",
     kGauge,
     service<&ServiceView::usable>},
    {"holdfast_service_flows", "Live flows.", kGauge, service<&ServiceView::flows>},
    {"holdfast_service_new_flows_total",
     "Flows begun.",
     kCounter,
     service<&ServiceView::new_flows>},
    {"holdfast_flows_moved_total",
     "Flows that went on at another member than before; cause reopened: begun anew by a SYN.",
     kCounter,
     moved},
    {"holdfast_untracked_moves_total",
     "Packets of TCP flows without entry that went to another member than the table before says.",
     kCounter,
     moves<&MovesView::untracked>},
    {"holdfast_flows_reset_total",
     "Flows answered with a reset because their member, or an operator's order, wanted it.",
     kCounter,
     resets<&MovesView::reset, &MovesView::ordered_reset>},
    {"holdfast_flows_asked_total",
     "Idle flows to be reset whose clients were asked for their numbers.",
     kCounter,
     resets<&MovesView::asked, &MovesView::ordered_asked>},
    {"holdfast_resets_unanswered_total",
     "Idle flows to be reset whose clients did not answer: nobody could reset them.",
     kCounter,
     resets<&MovesView::unanswered, &MovesView::ordered_unanswered>},
    {"holdfast_members_omitted",
     "Members without series of their own: there are too many.",
     kGauge,
     omitted},
    {"holdfast_member_health",
     "Health by the checks, one-hot.",
     kGauge,
     state<&BackendView::health, kHealth>},
    {"holdfast_member_admin",
     "What the operator asked for, one-hot.",
     kGauge,
     state<&BackendView::admin, kAdmin>},
    {"holdfast_member_disposition",
     "What the fast path does with the member, one-hot.",
     kGauge,
     state<&BackendView::disposition, dataplane::kDispositionNames>},
    {"holdfast_member_retired",
     "1 when no longer configured, while its flows live on.",
     kGauge,
     member<&BackendView::retired>},
    {"holdfast_member_weight",
     "Weight in force; 0 when it is down for long.",
     kGauge,
     member<&BackendView::weight>},
    {"holdfast_member_tier", "Tier; 0 is used first.", kGauge, member<&BackendView::tier>},
    {"holdfast_member_flows",
     "Live flows; absent while the dataplane does not answer.",
     kGauge,
     member<&BackendView::flows>},
    {"holdfast_member_new_flows_total", "Flows begun.", kCounter, member<&BackendView::new_flows>},
    {"holdfast_member_packets_total",
     "Packets by direction; to_client only in mode nat.",
     kCounter,
     directions<&BackendView::packets_to_member, &BackendView::packets_to_client>},
    {"holdfast_member_bytes_total",
     "Bytes by direction; to_client only in mode nat.",
     kCounter,
     directions<&BackendView::bytes_to_member, &BackendView::bytes_to_client>},
    {"holdfast_member_refusals_total",
     "Handshakes that the backend reset, and errors that say it cannot be reached; mode nat.",
     kCounter,
     member<&BackendView::refusals>},
    {"holdfast_member_state_changes_total",
     "Changes of health, admin state or disposition.",
     kCounter,
     member<&BackendView::changes>},
    {"holdfast_member_state_age_seconds",
     "Time since the last such change.",
     kGauge,
     member<&BackendView::since_s>},
    {"holdfast_member_penalty",
     "Of its falls, 1000 each, fading; what held it back is over below `reuse`.",
     kGauge,
     member<&BackendView::penalty>},
    {"holdfast_check_results_total",
     "Check results; void ones were late or failed locally.",
     kCounter,
     check_results},
    {"holdfast_check_streak", "Equal check results in a row.", kGauge, check_streak},
    {"holdfast_check_last_duration_seconds", "Duration of the last check.", kGauge, check_duration},
    {"holdfast_check_last_result_info",
     "Layer and reason of the last check; always 1.",
     kGauge,
     check_last},
});

}  // namespace

std::span<const MetricRow> member_rows() { return kMemberRows; }

}  // namespace holdfast::control
