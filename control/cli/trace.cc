// SPDX-License-Identifier: Apache-2.0
#include "control/cli/trace.h"

#include "control/cli/capture.h"
#include "control/cli/frame_tags.h"
#include "control/cli/replay.h"
#include "dataplane/headers.h"

#include <algorithm>
#include <span>

namespace holdfast::control {
namespace {

using dataplane::ChosenBy;
using dataplane::CompiledService;
using dataplane::Disposition;
using dataplane::FlowKey;
using dataplane::Generation;
using dataplane::MemberSpec;
using dataplane::Solo;
using dataplane::TierTable;

TraceHeaders read_headers(const std::vector<std::byte>& frame) {
  // The trace's frames have neither tags nor options, before or after; outer headers come first.
  const auto ethernet = dataplane::load<dataplane::EthernetHeader>(frame.data());
  const std::byte* const l3 = frame.data() + sizeof ethernet;
  TraceHeaders headers{
      .key = {}, .ttl = 0, .source_mac = ethernet.source, .destination_mac = ethernet.destination};
  FlowKey& key = headers.key;
  std::size_t l3_size = 0;
  if (ethernet.type == dataplane::kEtherIpv4) {
    const auto ip = dataplane::load<dataplane::Ipv4Header>(l3);
    key.source = dataplane::Address::v4(ip.source);
    key.destination = dataplane::Address::v4(ip.destination);
    key.protocol = dataplane::Protocol{ip.protocol};
    headers.ttl = ip.ttl;
    l3_size = sizeof ip;
  } else {
    const auto ip = dataplane::load<dataplane::Ipv6Header>(l3);
    key.source = dataplane::Address::v6(ip.source.data());
    key.destination = dataplane::Address::v6(ip.destination.data());
    key.protocol = dataplane::Protocol{ip.next_header};
    headers.ttl = ip.hop_limit;
    l3_size = sizeof ip;
  }
  if (key.protocol == dataplane::Protocol::kTcp || key.protocol == dataplane::Protocol::kUdp) {
    key.source_port = dataplane::load<dataplane::Be16>(l3 + l3_size);
    key.destination_port = dataplane::load<dataplane::Be16>(l3 + l3_size + 2);
  }
  return headers;
}

// The frame that left, without its port's tags; empty when none did.
std::vector<std::byte> sent_without_tags(const Solo& solo, const ReplayResult& result) {
  if (result.sent.empty()) {
    return {};
  }
  std::vector<std::byte> frame = result.sent.front().bytes;
  const dataplane::VlanTags tags = solo.neighborhood().link(result.sent.front().port).tags;
  const auto first = frame.begin() + 2 * sizeof(dataplane::MacAddress);
  frame.erase(first, first + static_cast<std::ptrdiff_t>(tags.count() * dataplane::kVlanTagSize));
  return frame;
}

// Explains the choice of a service for one flow.
class Explainer {
 public:
  Explainer(Solo& solo, const CompiledService& service, const FlowKey& key)
      : solo_(solo),
        service_(service),
        v4_(key.source.is_v4()),
        hash_(selection_hash(solo.generation(), service, key, solo.generation().hasher()(key))) {}

  void explain(TraceReport& report) const;

 private:
  // A tunnel carries either family.
  [[nodiscard]] bool serves_family(const MemberSpec& member) const {
    return is_tunnel(service_.mode) || member.address.is_v4() == v4_;
  }
  // Why a member takes no new flows; empty when it does.
  [[nodiscard]] std::string obstacle(const MemberSpec& member) const;
  [[nodiscard]] const MemberSpec& spec_of(std::uint16_t index) const;
  [[nodiscard]] const TierTable* table(std::uint8_t tier) const;

  Solo& solo_;
  const CompiledService& service_;
  bool v4_;
  std::uint64_t hash_;
};

const MemberSpec& Explainer::spec_of(std::uint16_t index) const {
  const std::string_view name = solo_.member_record({.index = index, .epoch = 0}).backend.view();
  return *std::ranges::find(service_.members, name, &MemberSpec::backend);
}

const TierTable* Explainer::table(std::uint8_t tier) const {
  for (const TierTable& table : *service_.tiers) {
    if (table.tier == tier && table.v4 == v4_) {
      return &table;
    }
  }
  return nullptr;
}

std::string Explainer::obstacle(const MemberSpec& member) const {
  if (!serves_family(member)) {
    return v4_ ? "its address is IPv6" : "its address is IPv4";
  }
  if (member.weight == 0) {
    return "weight 0";
  }
  return member.disposition == Disposition::kNew ? "" : "down";
}

void Explainer::explain(TraceReport& report) const {
  report.fields = service_.hash;
  report.affinity = service_.affinity;
  report.hash = hash_;
  for (const MemberSpec& member : service_.members) {
    report.members += serves_family(member) ? 1U : 0U;
    report.usable += obstacle(member).empty() ? 1U : 0U;
  }
  const auto choice =
      choose_member(solo_.generation(), service_, solo_.worker().availability(), v4_, hash_);
  if (choice) {
    report.choice =
        TraceChoice{.slot = choice->slot,
                    .slots = static_cast<std::uint32_t>(table(choice->tier)->slots.size()),
                    .tier = choice->tier,
                    .by = choice->by,
                    .member = spec_of(choice->member.index)};
  }
  // Before the chosen one come the lower tiers, and the slot's own member.
  for (const MemberSpec& member : service_.members) {
    if (!choice || member.tier < choice->tier) {
      report.passed_over.push_back({.backend = member.backend, .why = obstacle(member)});
    }
  }
  if (choice && choice->by != ChosenBy::kSlot) {
    const MemberSpec& own = spec_of(table(choice->tier)->slots[choice->slot]);
    report.passed_over.push_back({.backend = own.backend, .why = obstacle(own)});
  }
}

// Requires: the service has a binding for this key.
dataplane::BindingSpec find_binding(const dataplane::GenerationSpec& spec,
                                    std::string_view service,
                                    const FlowKey& key) {
  const auto owner = std::ranges::find(spec.services, service, &dataplane::ServiceSpec::name);
  const std::uint16_t port = key.destination_port.to_host();
  return *std::ranges::find_if(owner->bindings, [&](const dataplane::BindingSpec& binding) {
    return holds(binding.vip, binding.prefix_bits, key.destination) &&
           binding.protocol == key.protocol && binding.first_port <= port &&
           port <= binding.last_port;
  });
}

// Where the SYN's MSS stands. Outer headers come before, nothing behind, so it is found again by
// its distance from the end.
constexpr std::size_t kMssOffset = sizeof(dataplane::EthernetHeader) +
                                   sizeof(dataplane::Ipv4Header) + sizeof(dataplane::TcpHeader) + 2;
constexpr std::size_t kMoreOfIpv6 = sizeof(dataplane::Ipv6Header) - sizeof(dataplane::Ipv4Header);

std::uint16_t mss_at(const std::vector<std::byte>& frame, std::size_t from_end) {
  return dataplane::load<dataplane::Be16>(frame.data() + frame.size() - from_end).to_host();
}

// The last word of a packet-too-big message's ICMP header.
std::uint32_t told_mtu(const std::vector<std::byte>& frame, bool v4) {
  const std::size_t ip = v4 ? sizeof(dataplane::Ipv4Header) : sizeof(dataplane::Ipv6Header);
  const std::size_t at = sizeof(dataplane::EthernetHeader) + ip + 4;
  return dataplane::load<dataplane::Be32>(frame.data() + at).to_host();
}

TraceTarget target_of(const Generation& generation, const FlowKey& key) {
  if (generation.bindings().is_vip(key.destination)) {
    return TraceTarget::kVip;
  }
  return generation.in_pool(key.destination) ? TraceTarget::kPool : TraceTarget::kOther;
}

}  // namespace

TraceReport trace_packet(const Offline& offline, const TracePacket& packet) {
  const FlowKey& key = packet.key;
  Solo& solo = *offline.solo;
  const Generation& generation = solo.generation();
  TraceReport report{.target = target_of(generation, key), .key = offline.key};
  const dataplane::BoundService* bound =
      generation.bindings().find(key.destination, key.protocol, key.destination_port.to_host());
  std::vector<std::byte> frame = build_trace_frame(packet, kOurMac, kNextHopMac);
  report.before = read_headers(frame);
  const auto length = static_cast<std::uint32_t>(frame.size());
  const std::size_t mss_from_end =
      length - (key.source.is_v4() ? kMssOffset : kMssOffset + kMoreOfIpv6);
  tag_frame(frame, solo.neighborhood().link(offline.entry).tags);
  const auto tagged = static_cast<std::uint32_t>(frame.size());
  const ReplayResult result =
      Replay(solo, offline.entry)
          .push({.time = {}, .link = 1, .original_length = tagged, .bytes = std::move(frame)});
  const std::vector<std::byte> sent = sent_without_tags(solo, result);
  report.verdict = result.verdict;
  report.reason = result.reason;
  if (bound != nullptr) {
    const CompiledService& service = generation.service(bound->service);
    report.target = TraceTarget::kService;
    report.service = service.name;
    report.binding = find_binding(offline.spec, service.name, key);
    report.mode = service.mode;
    report.decided = !result.backend.empty() || result.reason == dataplane::Drop::kNoBackend;
    if (report.decided) {
      Explainer(solo, service, key).explain(report);
    }
  }
  if (solo.worker().stats.too_big_sent.get() != 0) {
    report.too_big = told_mtu(sent, key.source.is_v4());
  }
  if (result.verdict == dataplane::Verdict::kForward) {
    if (key.protocol == dataplane::Protocol::kTcp && (packet.tcp_flags & dataplane::kTcpSyn) != 0) {
      report.mss = mss_at(sent, mss_from_end);
    }
    report.after = read_headers(sent);
    report.overhead = static_cast<std::uint32_t>(sent.size()) - length;
    if (is_tunnel(report.mode) && bound != nullptr) {
      report.tunnel = read_tunnel(sent, report.mode);
    }
    report.port = solo.neighborhood().link(result.sent.front().port).name;
    report.vlan = solo.neighborhood().link(result.sent.front().port).tags;
  }
  return report;
}

}  // namespace holdfast::control
