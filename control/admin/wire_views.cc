// SPDX-License-Identifier: Apache-2.0
// See wire_views.h. Counters go by name: what a newer dataplane adds is left out for members, kept
// for workers and ports.
#include "control/admin/wire_views.h"

#include "config/scalar.h"
#include "control/admin/port_rule.h"
#include "dataplane/api/codec.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string_view>

namespace holdfast::control {
namespace {

using Values = google::protobuf::RepeatedPtrField<seam::NamedValue>;

std::vector<NamedCount> counts(const Values& values) {
  std::vector<NamedCount> result;
  for (const seam::NamedValue& value : values) {
    result.push_back({value.name(), value.value()});
  }
  return result;
}

struct MemberField {
  std::string_view name;
  std::optional<std::uint64_t> BackendView::* field;
};

constexpr std::array<MemberField, 6> kMemberFields = {{
    {"new_flows", &BackendView::new_flows},
    {"packets_to_member", &BackendView::packets_to_member},
    {"bytes_to_member", &BackendView::bytes_to_member},
    {"packets_to_client", &BackendView::packets_to_client},
    {"bytes_to_client", &BackendView::bytes_to_client},
    {"refusals", &BackendView::refusals},
}};

std::string address_text(std::string_view bytes) {
  const auto address = seam::address_from_wire(bytes);
  return address ? address->text() : "";
}

std::string vip_text(const seam::Binding& binding) {
  const auto address = seam::address_from_wire(binding.vip());
  const std::uint32_t bits = binding.prefix_bits();
  const bool prefix = bits != 0 && bits <= dataplane::kWholeAddress;
  return address ? dataplane::prefix_text(*address, prefix ? bits : dataplane::kWholeAddress) : "";
}

void add_once(std::vector<std::string>& texts, std::string text) {
  if (std::ranges::find(texts, text) == texts.end()) {
    texts.push_back(std::move(text));
  }
}

}  // namespace

std::string affinity_text(const dataplane::AffinitySpec& affinity) {
  if (affinity.seconds == 0) {
    return "";
  }
  return config::duration_text(std::chrono::seconds(affinity.seconds)) + " /" +
         std::to_string(affinity.prefix_v4) + " /" + std::to_string(affinity.prefix_v6);
}

std::string role_text(std::uint32_t role) {
  const auto known = seam::role_from_wire(role);
  return known && *known != dataplane::Role::kAlone ? std::string(dataplane::role_name(*known))
                                                    : std::string();
}

WorkerView to_view(const seam::WorkerCounters& worker) {
  return {.worker = worker.worker(),
          .counters = counts(worker.values()),
          .drops = counts(worker.drops()),
          .generated = counts(worker.generated()),
          .flows = {{"v4", worker.flows_v4()},
                    {"v6", worker.flows_v6()},
                    {"prefix_v6", worker.flows_prefix_v6()},
                    {"nat", worker.flows_nat()}},
          .capacity = {{"v4", worker.capacity_v4()},
                       {"v6", worker.capacity_v6()},
                       {"prefix_v6", worker.capacity_prefix_v6()},
                       {"nat", worker.capacity_nat()}},
          .unaccounted = worker.unaccounted(),
          .affinities = {{"v4", worker.affinity_v4()}, {"v6", worker.affinity_v6()}},
          .busy_ratio = worker.busy_ratio(),
          .silent_s = worker.silent_s()};
}

PortView to_view(const seam::PortCounters& port) {
  return {port.name(), port.link_up(), counts(port.values())};
}

ServiceView to_view(const seam::Service& service) {
  ServiceView view;
  view.name = service.name();
  view.mode = mode_name(static_cast<dataplane::Mode>(std::min(service.mode(), 255U)));
  view.slots = service.slots();
  view.affinity =
      affinity_text({.seconds = static_cast<std::uint16_t>(service.affinity().seconds()),
                     .prefix_v4 = static_cast<std::uint8_t>(service.affinity().prefix_v4()),
                     .prefix_v6 = static_cast<std::uint8_t>(service.affinity().prefix_v6())});
  for (const seam::Binding& binding : service.bindings()) {
    add_once(view.vips, vip_text(binding));
    add_once(view.ports,
             port_rule(dataplane::Protocol{static_cast<std::uint8_t>(binding.protocol())},
                       binding.first_port(),
                       binding.last_port()));
  }
  return view;
}

MovesView to_view(const seam::ServiceMoves& moves) {
  return {.moved = counts(moves.moved()),
          .untracked = moves.untracked(),
          .reset = moves.reset(),
          .asked = moves.asked(),
          .unanswered = moves.unanswered(),
          .ordered_reset = moves.ordered_reset(),
          .ordered_asked = moves.ordered_asked(),
          .ordered_unanswered = moves.ordered_unanswered()};
}

FlowView to_view(const seam::Flow& flow) {
  FlowView view{.service = flow.service(),
                .backend = flow.backend(),
                .client = address_text(flow.client()),
                .client_port = static_cast<std::uint16_t>(flow.client_port()),
                .vip = address_text(flow.vip()),
                .port = static_cast<std::uint16_t>(flow.port()),
                .protocol = flow.protocol() == 6 ? "tcp" : "udp",
                .mode = "",
                .state = "",
                .age_s = flow.age_s(),
                .pool = "",
                .pool_port = static_cast<std::uint16_t>(flow.pool_port())};
  view.mode = mode_name(static_cast<dataplane::Mode>(std::min(flow.mode(), 255U)));
  view.state = flow_state_name(static_cast<dataplane::FlowState>(std::min(flow.state(), 255U)));
  view.pool = flow.pool().empty() ? "" : address_text(flow.pool());
  return view;
}

BackendView to_view(const seam::MemberCounters& member) {
  BackendView view;
  view.service = member.ref().service();
  view.name = member.ref().backend();
  view.address = address_text(member.ref().address());
  view.port = static_cast<std::uint16_t>(member.ref().port());
  if (const auto disposition = seam::disposition_from_wire(member.disposition())) {
    view.disposition = seam::disposition_name(*disposition);
  }
  view.retired = member.retired();
  view.flows = member.flows();
  view.last_new_flow_unix_ns = member.last_new_flow_ns();
  for (const MemberField& known : kMemberFields) {
    view.*(known.field) = 0;
  }
  for (const seam::NamedValue& value : member.values()) {
    const auto* const known = std::ranges::find(kMemberFields, value.name(), &MemberField::name);
    if (known != kMemberFields.end()) {
      view.*(known->field) = value.value();
    }
  }
  return view;
}

}  // namespace holdfast::control
