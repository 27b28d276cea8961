// SPDX-License-Identifier: Apache-2.0
// See plan.h.
#include "control/engine/plan.h"

#include "dataplane/solo.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

namespace holdfast::control {
namespace {

using dataplane::Disposition;
using dataplane::GenerationSpec;
using dataplane::MemberSpec;
using dataplane::ServiceSpec;

std::string address_text(const MemberSpec& member) {
  return member.port == 0 ? member.address.text()
                          : fmt::format(fmt::runtime(member.address.is_v4() ? "{}:{}" : "[{}]:{}"),
                                        member.address.text(),
                                        member.port);
}

std::string flows_count_text(std::optional<std::uint64_t> flows) {
  return flows ? fmt::format("{} flows", *flows) : "flows, which nobody can count now,";
}

using MembersByName = std::map<std::string_view, const MemberSpec*>;

MembersByName members_of(const ServiceSpec& service) {
  MembersByName members;
  for (const MemberSpec& member : service.members) {
    members[member.backend] = &member;
  }
  return members;
}

// Bindings of the one service that the other one lacks.
std::size_t lacking(const ServiceSpec& one, const ServiceSpec& other) {
  const auto key = [](const dataplane::BindingSpec& binding) {
    return std::tuple(
        binding.vip, binding.protocol, binding.first_port, binding.last_port, binding.prefix_bits);
  };
  std::set<decltype(key(one.bindings.front()))> there;
  for (const dataplane::BindingSpec& binding : other.bindings) {
    there.insert(key(binding));
  }
  return static_cast<std::size_t>(std::ranges::count_if(
      one.bindings, [&](const auto& binding) { return !there.contains(key(binding)); }));
}

// How much a service can take: members with a weight, those of them that take new flows now.
std::string capacity_text(const ServiceSpec& service) {
  std::uint64_t weight = 0;
  std::size_t taking = 0;
  std::size_t not_yet = 0;
  for (const MemberSpec& member : service.members) {
    if (member.weight > 0) {
      const bool takes = member.disposition == Disposition::kNew;
      (takes ? taking : not_yet) += 1;
      weight += takes ? member.weight : 0;
    }
  }
  std::string text = fmt::format("{} backends of weight {}", taking, weight);
  if (not_yet > 0) {
    text += fmt::format(" and {} that are not up", not_yet);
  }
  return text;
}

// What is left of a service beside its members and bindings.
ServiceSpec settings_of(const ServiceSpec& service) {
  ServiceSpec settings = service;
  settings.bindings.clear();
  settings.members.clear();
  return settings;
}

class ServicePlan {
 public:
  ServicePlan(const ServiceSpec& before, const ServiceSpec& after, const MemberFlowsOf& flows_of)
      : before_(before), after_(after), flows_of_(flows_of) {}

  std::vector<std::string> lines() {
    const MembersByName then = members_of(after_);
    const MembersByName now = members_of(before_);
    for (const MemberSpec& member : before_.members) {
      const auto found = then.find(member.backend);
      if (found == then.end()) {
        note_removed(member);
      } else {
        note_changed(member, *found->second);
      }
    }
    for (const MemberSpec& member : after_.members) {
      if (!now.contains(member.backend)) {
        add(fmt::format("backend {} ({}) is added with weight {}",
                        member.backend,
                        address_text(member),
                        member.weight));
      }
    }
    note_bindings();
    if (settings_of(before_) != settings_of(after_)) {
      add("its settings change (mode, timeouts, hash, ...)");
    }
    if (!lines_.empty()) {
      add(fmt::format(
          "new flows go to {} now, to {} then", capacity_text(before_), capacity_text(after_)));
    }
    return std::move(lines_);
  }

 private:
  void add(const std::string& what) { lines_.push_back("service " + after_.name + ": " + what); }

  void note_removed(const MemberSpec& member) {
    add(fmt::format("backend {} is taken away, its {} live on",
                    member.backend,
                    flows_count_text(flows_of_(after_.name, member.backend))));
  }

  void note_changed(const MemberSpec& before, const MemberSpec& after) {
    std::string changes;
    const auto note = [&changes](std::string_view what, const auto& from, const auto& to) {
      if (from != to) {
        changes += fmt::format("{}{} {} -> {}", changes.empty() ? "" : ", ", what, from, to);
      }
    };
    note("weight", before.weight, after.weight);
    note("tier", before.tier, after.tier);
    note("mtu", before.mtu, after.mtu);
    note("slots as", before.maglev_key(), after.maglev_key());
    note("address", address_text(before), address_text(after));
    if (address_text(before) != address_text(after)) {
      changes += fmt::format(" (its {} stay at the old one)",
                             flows_count_text(flows_of_(after_.name, before.backend)));
    }
    if (before.inner_mac != after.inner_mac) {
      changes += changes.empty() ? "another inner MAC address" : ", another inner MAC address";
    }
    if (!changes.empty()) {
      add(fmt::format("backend {}: {}", before.backend, changes));
    }
  }

  void note_bindings() {
    const std::size_t taken = lacking(before_, after_);
    const std::size_t added = lacking(after_, before_);
    if (taken + added > 0) {
      add(fmt::format("of its {} pairs of VIP and port {} are taken away, {} are added",
                      before_.bindings.size(),
                      taken,
                      added));
    }
  }

  const ServiceSpec& before_;
  const ServiceSpec& after_;
  const MemberFlowsOf& flows_of_;
  std::vector<std::string> lines_;
};

std::optional<std::uint64_t> flows_of_service(const ServiceSpec& service,
                                              const MemberFlowsOf& flows_of) {
  std::optional<std::uint64_t> sum = 0;
  for (const MemberSpec& member : service.members) {
    const auto flows = flows_of(service.name, member.backend);
    sum = sum && flows ? std::optional(*sum + *flows) : std::nullopt;
  }
  return sum;
}

std::map<std::string_view, const ServiceSpec*> by_name(const GenerationSpec& generation) {
  std::map<std::string_view, const ServiceSpec*> services;
  for (const ServiceSpec& service : generation.services) {
    services[service.name] = &service;
  }
  return services;
}

}  // namespace

std::vector<std::string> planned_changes(const GenerationSpec& running,
                                         const GenerationSpec& wanted,
                                         const MemberFlowsOf& flows_of) {
  std::vector<std::string> lines;
  const auto before = by_name(running);
  const auto after = by_name(wanted);
  for (const auto& [name, service] : before) {
    const auto now = after.find(name);
    if (now == after.end()) {
      lines.push_back(fmt::format("service {} is taken away, its {} are lost",
                                  name,
                                  flows_count_text(flows_of_service(*service, flows_of))));
    } else {
      std::ranges::move(ServicePlan(*service, *now->second, flows_of).lines(),
                        std::back_inserter(lines));
    }
  }
  for (const auto& [name, service] : after) {
    if (!before.contains(name)) {
      lines.push_back(fmt::format("service {} is added with {}", name, capacity_text(*service)));
    }
  }
  if (running.pools != wanted.pools) {
    lines.emplace_back("the nat pool changes: flows at addresses that it loses end");
  }
  return lines;
}

std::string slots_line(std::string_view service,
                       std::uint32_t moved,
                       std::uint32_t slots,
                       std::uint32_t least) {
  return fmt::format(
      "service {}: {} of {} slots moved, least possible {}", service, moved, slots, least);
}

std::expected<std::vector<std::string>, std::string> planned_slots(const GenerationSpec& running,
                                                                   GenerationSpec wanted,
                                                                   const dataplane::HashKey& key) {
  constexpr std::uint64_t kFlows = 1'024;  // none comes
  auto solo = dataplane::Solo::create(running, {}, {.key = key, .flows = kFlows});
  if (!solo) {
    return std::unexpected("what runs cannot be built, so nobody knows: " + solo.error());
  }
  wanted.number = running.number + 1;
  const auto changes = (*solo)->publish(wanted);
  if (!changes) {
    return std::unexpected("the dataplane would refuse it: " + changes.error());
  }
  std::vector<std::string> lines;
  for (const dataplane::ServiceChange& one : *changes) {
    if (one.change.moved > 0) {
      lines.push_back(slots_line(one.service, one.change.moved, one.slots, one.change.least));
    }
  }
  return lines;
}

}  // namespace holdfast::control
