// SPDX-License-Identifier: Apache-2.0
// The model between bursts: what is configured, what a restart keeps, when flows are over.
#include "tests/support/model/model.h"

#include <algorithm>
#include <utility>

namespace holdfast::testing {
namespace {

using dataplane::BindingSpec;
using dataplane::GenerationSpec;
using dataplane::MemberSpec;
using dataplane::ServiceSpec;
using dataplane::TimeoutSpec;

std::uint64_t longest_ms(const TimeoutSpec& t) {
  return std::uint64_t{1000} * std::max({t.half_open, t.established, t.closing, t.udp});
}

// Bit by bit; of IPv4 the first 96 are those of every mapped address.
bool binds(const BindingSpec& binding, const Address& address) {
  for (std::size_t bit = 0; bit < binding.prefix_bits; ++bit) {
    const int differs = binding.vip.bytes.at(bit / 8) ^ address.bytes.at(bit / 8);
    if ((differs >> (7 - bit % 8) & 1) != 0) {
      return false;
    }
  }
  return true;
}

}  // namespace

Counts Counts::operator+(const Counts& other) const {
  Counts sum = *this;
  for (const WorkerCounter& counter : kCounters) {
    sum.*counter.ours += other.*counter.ours;
  }
  for (std::size_t i = 0; i < drops.size(); ++i) {
    sum.drops[i] += other.drops[i];
  }
  return sum;
}

namespace {

Datagrams::Group groups_by(const dataplane::FlowHasher& hasher) {
  return [&hasher](const Address& source) { return group_of_source(source, hasher); };
}

}  // namespace

Model::Model(const ModelOptions& options)
    : options_(options), hasher_(options.key), datagrams_(groups_by(hasher_)) {}

MemberIndex Model::enroll(const ServiceSpec& service, const MemberSpec& spec) {
  for (MemberIndex i = 0; i < members_.size(); ++i) {
    if (members_[i].is(service.name, spec) && members_[i].mode == service.mode) {
      members_[i].active = true;
      members_[i].disposition = spec.disposition;
      members_[i].tunnel = service.tunnel;
      members_[i].inner_mac = spec.inner_mac;
      members_[i].mtu = spec.mtu;
      members_[i].mss = service.mss;
      return i;
    }
  }
  members_.push_back({.service = service.name,
                      .backend = spec.backend,
                      .address = spec.address,
                      .port = spec.port,
                      .mode = service.mode,
                      .active = true,
                      .disposition = spec.disposition,
                      .tunnel = service.tunnel,
                      .inner_mac = spec.inner_mac,
                      .mtu = spec.mtu,
                      .mss = service.mss,
                      .counts = {}});
  return members_.size() - 1;
}

void Model::enroll_binding(std::size_t service, const BindingSpec& spec) {
  const std::string& name = spec_.services[service].name;
  for (Binding& binding : bindings_) {
    if (binding.service == name && binding.spec == spec) {
      binding.in_service = service;
      return;
    }
  }
  bindings_.push_back({.service = name, .spec = spec, .in_service = service});
}

// A packet without entry follows the table before the last change for as long as a flow of then
// may still live; timeouts that become shorter shorten that. Hop lists name it until a publication
// finds it too old.
void Model::replace_tables(const ServiceSpec& service,
                           std::vector<Tier> tiers,
                           std::uint64_t now_ms) {
  const std::uint64_t until = now_ms + longest_ms(service.timeouts);
  const auto before = tiers_.find(service.name);
  if (before != tiers_.end()) {
    if (before->second != tiers) {
      former_[service.name] = {.tiers = before->second, .until_ms = until};
    } else if (const auto former = former_.find(service.name); former != former_.end()) {
      former->second.until_ms = std::min(former->second.until_ms, until);
      if (now_ms >= former->second.until_ms) {
        former_.erase(former);
      }
    }
  }
  tiers_[service.name] = std::move(tiers);
}

void Model::publish(const GenerationSpec& spec, std::uint64_t now_ms) {
  spec_ = spec;
  for (Member& member : members_) {
    member.active = false;
  }
  for (Binding& binding : bindings_) {
    binding.in_service.reset();
  }
  std::map<std::string, std::vector<Tier>> gone = tiers_;
  for (std::size_t i = 0; i < spec.services.size(); ++i) {
    const ServiceSpec& service = spec.services[i];
    std::vector<MemberIndex> ids;
    for (const MemberSpec& member : service.members) {
      ids.push_back(enroll(service, member));
    }
    for (const BindingSpec& binding : service.bindings) {
      enroll_binding(i, binding);
    }
    replace_tables(service, build_tiers(service, ids, hasher_), now_ms);
    gone.erase(service.name);
  }
  for (const auto& [name, tiers] : gone) {
    tiers_.erase(name);
    former_.erase(name);
  }
  for (Member& member : members_) {
    if (!member.active && member.disposition == Disposition::kNew) {
      member.disposition = Disposition::kKeep;
    }
  }
}

void Model::set_disposition(const std::string& service,
                            const std::string& backend,
                            Disposition value) {
  for (Member& member : members_) {
    if (member.active && member.service == service && member.backend == backend) {
      member.disposition = value;
    }
  }
}

// Of a retired member's tunnel nothing is kept: it gets that of its service, if that still has the
// mode. Nor of what was to become of an MSS; its mtu stands in the registry.
void Model::forget_tunnels() {
  for (Member& member : members_) {
    if (member.active) {
      continue;
    }
    const auto same = std::ranges::find_if(spec_.services, [&](const ServiceSpec& service) {
      return service.name == member.service && service.mode == member.mode;
    });
    member.tunnel = same == spec_.services.end() ? dataplane::TunnelSpec{} : same->tunnel;
    member.inner_mac = {};
    member.mss = {};
  }
}

// Flows and dispositions survive, but not the flows of members that are being reset; counters and
// former tables begin anew, as do counts of what stands in the tables.
void Model::restart(const std::vector<ReplyName>& half_open) {
  forget_tunnels();
  datagrams_ = Datagrams(groups_by(hasher_));
  counts_ = {};
  recent_.clear();
  error_rate_ = {};
  too_big_rate_ = {};
  former_.clear();
  for (Member& member : members_) {
    member.counts = {};
    member.moves = {};
    member.reset_since_ms.reset();
  }
  const auto is_reset = [&](MemberIndex member) {
    return members_[member].disposition == Disposition::kReset;
  };
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto next = std::next(entry);
    if (is_reset(entry->second.member)) {
      set_state(entry->first, entry->second, FlowState::kFree);
      entries_.erase(entry);
    } else {
      ++members_[entry->second.member].counts.live_flows;
      ++members_[entry->second.member].counts.entries;
    }
    entry = next;
  }
  std::erase_if(memory_, [&](const auto& one) { return is_reset(one.second.member); });
  for (const auto& [name, one] : memory_) {
    ++members_[one.member].counts.entries;
  }
  for (auto flow = translations_.begin(); flow != translations_.end();) {
    const auto next = std::next(flow);
    const MemberIndex member = flow->second.member;
    if (is_reset(member)) {
      detach(flow->first);
      by_reply_.erase(flow->second.reply);
      std::erase(half_open_flows_, flow->first);
      translations_.erase(flow);
    } else {
      members_[member].counts.live_flows += flow->second.ended ? 0U : 1U;
      ++members_[member].counts.entries;
    }
    flow = next;
  }
  if (half_open.size() != half_open_flows_.size()) {
    throw Impossible("a restart changed which translations are half-open");
  }
  half_open_flows_.clear();
  for (const ReplyName& name : half_open) {
    const auto found = by_reply_.find(name);
    if (found == by_reply_.end() || translations_.at(found->second).state != FlowState::kHalfOpen) {
      throw Impossible("a restart made a translation half-open");
    }
    half_open_flows_.push_back(found->second);
  }
}

void Model::sweep(std::uint64_t now_ms,
                  bool whole,
                  const std::function<bool(const FlowName&)>& entry_stands,
                  const std::function<bool(const SourceName&)>& memory_stands,
                  const std::function<bool(const ReplyName&)>& translation_stands) {
  datagrams_.expire(now_ms);
  for (Member& member : members_) {
    if (member.disposition != Disposition::kReset) {
      member.reset_since_ms.reset();
    } else if (!member.reset_since_ms) {
      member.reset_since_ms = now_ms;
    }
  }
  const auto judge_one = [&](bool over, bool stands) {
    if (!stands && !over) {
      throw Impossible("the sweeper ended a flow before its time");
    }
    if (stands && over && whole) {
      throw Impossible("the sweeper left a flow that is over");
    }
  };
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto next = std::next(entry);
    const bool stands = entry_stands(entry->first);
    judge_one(is_over(entry->first, entry->second, now_ms / 1000), stands);
    if (!stands) {
      end_entry(entry);
    }
    entry = next;
  }
  for (auto one = memory_.begin(); one != memory_.end();) {
    const auto next = std::next(one);
    const bool stands = memory_stands(one->first);
    judge_one(is_over(one->first, one->second, now_ms / 1000), stands);
    if (!stands) {
      forget(one);
    }
    one = next;
  }
  for (auto flow = translations_.begin(); flow != translations_.end();) {
    const auto next = std::next(flow);
    const bool stands = translation_stands(flow->second.reply);
    judge_one(is_over(flow->second, now_ms / 1000), stands);
    if (!stands) {
      end_translation(flow->first);
    }
    flow = next;
  }
}

Ends Model::ends_of(const Translation& flow, bool to_client) const {
  if (to_client) {
    return {.source = flow.name.vip,
            .source_port = flow.name.service_port,
            .destination = flow.name.client,
            .destination_port = flow.name.client_port};
  }
  return {.source = flow.reply.pool,
          .source_port = flow.reply.pool_port,
          .destination = flow.reply.member,
          .destination_port = flow.reply.member_port};
}

bool Model::in_pool(const Address& address) const {
  return std::ranges::any_of(spec_.pools, [&](const dataplane::PoolSpec& pool) {
    return pool.first <= address && address <= pool.last;
  });
}

bool Model::is_vip(const Address& address) const {
  return std::ranges::any_of(bindings_, [&](const Binding& binding) {
    return binding.in_service && binds(binding.spec, address);
  });
}

bool Model::is_single_vip(const Address& address) const {
  return std::ranges::any_of(bindings_, [&](const Binding& binding) {
    return binding.in_service && binding.spec.prefix_bits == dataplane::kWholeAddress &&
           binding.spec.vip == address;
  });
}

const Binding* Model::find_binding(const Reading& packet) const {
  const auto found = std::ranges::find_if(bindings_, [&](const Binding& binding) {
    return binding.in_service && binds(binding.spec, packet.destination) &&
           static_cast<std::uint8_t>(binding.spec.protocol) == packet.protocol &&
           binding.spec.first_port <= packet.destination_port &&
           packet.destination_port <= binding.spec.last_port;
  });
  return found == bindings_.end() ? nullptr : &*found;
}

TimeoutSpec Model::timeouts_of(std::size_t binding) const {
  const auto& service = bindings_[binding].in_service;
  return service ? spec_.services[*service].timeouts : TimeoutSpec{};
}

bool Model::is_over(const FlowName& name, const Entry& entry, std::uint64_t now_s) const {
  return now_s - entry.seen_s > lifetime(entry.state, timeouts_of(name.binding));
}

bool Model::is_over(const Translation& flow, std::uint64_t now_s) const {
  return now_s - flow.seen_s > lifetime(flow, timeouts_of(flow.name.binding));
}

void Model::count_begin(MemberIndex member, std::uint64_t now_ms) {
  MemberCounts& counts = members_[member].counts;
  ++counts.new_flows;
  ++counts.live_flows;
  ++counts.entries;
  counts.last_new_flow_ms = now_ms;
  ++counts_.flows_inserted;
}

void Model::set_state(const FlowName& name, Entry& entry, FlowState state) {
  std::size_t& count = half_open(width_of(name));
  count -= entry.state == FlowState::kHalfOpen ? 1 : 0;
  count += state == FlowState::kHalfOpen ? 1 : 0;
  const auto is_unproven = [](FlowState one) {
    return one == FlowState::kUnproven || one == FlowState::kUnprovenEnd;
  };
  unproven(width_of(name)) -= is_unproven(entry.state) ? 1U : 0U;
  unproven(width_of(name)) += is_unproven(state) ? 1U : 0U;
  entry.state = state;
}

void Model::end_entry(Entries::iterator entry) {
  MemberCounts& counts = members_[entry->second.member].counts;
  --counts.live_flows;
  --counts.entries;
  ++counts_.flows_ended;
  set_state(entry->first, entry->second, FlowState::kFree);
  entries_.erase(entry);
}

// Forgotten at once when the service is gone or has no affinity any more.
bool Model::is_over(const SourceName& name, const Remembered& one, std::uint64_t now_s) const {
  const auto service = std::ranges::find(spec_.services, name.service, &ServiceSpec::name);
  const std::uint64_t seconds =
      service == spec_.services.end() ? 0 : std::uint64_t{service->affinity.seconds};
  return now_s - one.seen_s > seconds;
}

Width Model::width_of(const FlowName& name) const {
  const bool prefix = bindings_[name.binding].spec.prefix_bits != 128;
  if (name.client.is_v4()) {
    return prefix ? Width::kMiddle : Width::kNarrow;
  }
  return prefix ? Width::kWide : Width::kMiddle;
}

std::size_t Model::remembered(bool v4) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      memory_, [&](const auto& one) { return one.first.prefix.is_v4() == v4; }));
}

bool Model::is_full(Width width) const {
  const auto here = [&](const auto& one) { return width_of(one.first) == width; };
  const auto used = std::ranges::count_if(entries_, here) + std::ranges::count_if(memory_, here);
  return options_.capacity.one_pair && static_cast<std::size_t>(used) == capacity(width);
}

void Model::forget(Memory::iterator one) {
  --members_[one->second.member].counts.entries;
  memory_.erase(one);
}

void Model::end_translation(std::uint64_t id) {
  const Translation& flow = translations_.at(id);
  MemberCounts& counts = members_[flow.member].counts;
  counts.live_flows -= flow.ended ? 0 : 1;
  counts_.flows_ended += flow.ended ? 0 : 1;
  --counts.entries;
  detach(id);
  by_reply_.erase(flow.reply);
  std::erase(half_open_flows_, id);
  translations_.erase(id);
}

void Model::detach(std::uint64_t id) {
  Translation& flow = translations_.at(id);
  if (const auto found = by_client_.find(flow.name);
      found != by_client_.end() && found->second == id) {
    by_client_.erase(found);
  }
  flow.detached = true;
}

void Model::give_up(std::uint64_t id, std::uint64_t now_s) {
  detach(id);
  Translation& flow = translations_.at(id);
  if (flow.ended) {
    return;
  }
  std::erase(half_open_flows_, id);
  flow.state = FlowState::kClosing;
  flow.client_side = SideState::kReset;
  flow.member_side = SideState::kReset;
  flow.client_begins = flow.client_next = 0;
  flow.member_begins = flow.member_next = 0;
  flow.seen_s = now_s;
  flow.ended = true;
  --members_[flow.member].counts.live_flows;
  ++counts_.flows_ended;
}

}  // namespace holdfast::testing
