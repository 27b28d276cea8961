// SPDX-License-Identifier: Apache-2.0
// Source-address affinity: which member new flows go to, for how long, and what it leaves alone.
#include "dataplane/affinity.h"

#include "tests/packet/nat_flow.h"
#include "tests/support/appliance.h"
#include "tests/support/second_life.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::AffinitySpec;
using dataplane::Disposition;
using dataplane::FlowState;
using dataplane::GenerationSpec;
using dataplane::Mode;
using dataplane::Verdict;

constexpr AffinitySpec kByAddress = {.seconds = 600, .prefix_v4 = 32, .prefix_v6 = 128};
constexpr AffinitySpec kByPrefix = {.seconds = 600, .prefix_v4 = 24, .prefix_v6 = 64};

// web: tcp/80 and udp/53 at both VIPs and tcp/80 at a prefix, so that a source can ask in many
// ways.
GenerationSpec with_affinity(Mode mode, AffinitySpec affinity = kByAddress) {
  GenerationSpec spec = three_backends(mode);
  dataplane::ServiceSpec& web = spec.services[0];
  web.affinity = affinity;
  web.bindings.insert(
      web.bindings.end(), spec.services[1].bindings.begin(), spec.services[1].bindings.end());
  web.bindings.push_back({.vip = v4(203, 0, 113, 128),
                          .protocol = Protocol::kTcp,
                          .first_port = 80,
                          .last_port = 80,
                          .prefix_bits = 96 + 25});
  spec.services.resize(1);
  return spec;
}

// The same with other shares: nearly all new flows go to one backend.
GenerationSpec changed(GenerationSpec spec, const std::string& winner) {
  ++spec.number;
  for (dataplane::MemberSpec& member : spec.services[0].members) {
    member.weight = member.backend.starts_with(winner) ? 1000 : 1;
  }
  return spec;
}

Endpoint source(std::uint8_t host, std::uint16_t port = 40000) {
  return {v4(198, 51, 100, host), port, kRouterMac};
}

// Where a SYN goes.
std::string ask(Appliance& appliance, const Endpoint& client) {
  return appliance.send(tcp(client, kVip).syn()).backend;
}

// What a backend answers to a SYN that came to it.
Packet answer_to(const Bytes& syn) {
  const bool v4_frame = syn[12] == 0x08;
  const std::size_t length = v4_frame ? 4 : 16;
  const auto address_at = [&](std::size_t offset) {
    if (v4_frame) {
      return v4(syn[offset], syn[offset + 1], syn[offset + 2], syn[offset + 3]);
    }
    Address address;
    std::copy_n(syn.begin() + static_cast<std::ptrdiff_t>(offset), 16, address.bytes.begin());
    return address;
  };
  const std::size_t source_at = v4_frame ? 26 : 22;
  const std::size_t ports_at = source_at + 2 * length;
  MacAddress mac{};
  std::copy_n(syn.begin(), 6, mac.begin());
  const Endpoint backend = {address_at(source_at + length), source_port_of(syn, ports_at + 2), mac};
  const Endpoint pool = {address_at(source_at), source_port_of(syn, ports_at), kLanMac};
  return tcp(backend, pool).syn().ack();
}

// Where a connection goes that its client completes.
std::string open(Appliance& appliance, const Endpoint& client) {
  const Endpoint& vip = client.address.is_v4() ? kVip : kVip6;
  const Outcome syn = appliance.send(tcp(client, vip).syn());
  const Mode mode = appliance.solo().generation().service(0).mode;
  if (mode == Mode::kNat && syn.verdict == Verdict::kForward) {
    appliance.send(answer_to(syn.bytes), kLan);
  }
  appliance.send(tcp(client, vip).ack());
  return syn.backend;
}

std::map<std::uint8_t, std::string> open_all(Appliance& appliance) {
  std::map<std::uint8_t, std::string> chosen;
  for (std::uint8_t host = 1; host < 100; ++host) {
    chosen[host] = open(appliance, source(host));
  }
  return chosen;
}

dataplane::MemberStats& stats_of(Appliance& appliance, const std::string& backend) {
  const auto records = appliance.solo().shared().member_records();
  const auto found = std::ranges::find_if(
      records, [&](const auto& record) { return record.backend.view() == backend; });
  return appliance.solo().worker().members[static_cast<std::size_t>(found - records.begin())];
}

// Time passes, and the sweeper comes round.
void pass(Appliance& appliance, std::uint64_t seconds) {
  appliance.advance(seconds * 1000);
  for (int i = 0; i < 3; ++i) {
    appliance.send(tcp(kClient, {v4(192, 0, 2, 9), 1, kOurMac}).syn());
    appliance.advance(2'000);
  }
}

TEST(Affinity, EveryWayToAskLeadsASourceToOneMember) {
  for (const Mode mode : {Mode::kDsr, Mode::kNat, Mode::kIpip}) {
    Appliance appliance(with_affinity(mode));
    std::set<std::string> all;
    for (std::uint8_t host = 1; host < 60; ++host) {
      const std::string first = open(appliance, source(host, 1));
      all.insert(first);
      for (std::uint16_t port = 2; port < 6; ++port) {
        EXPECT_EQ(open(appliance, source(host, port)), first);
        EXPECT_EQ(appliance.send(udp(source(host, port), kVip.at_port(53)).payload(9)).backend,
                  first);
        const Endpoint other = {
            v4(203, 0, 113, static_cast<std::uint8_t>(128 + port)), 80, kOurMac};
        EXPECT_EQ(appliance.send(tcp(source(host, port), other).syn()).backend, first);
      }
    }
    EXPECT_GT(all.size(), 1U) << mode_name(mode);
  }
}

TEST(Affinity, APrefixCountsAsOneSource) {
  Appliance appliance(with_affinity(Mode::kDsr, kByPrefix));
  const std::string first = open(appliance, source(1));
  for (std::uint8_t host = 2; host < 60; ++host) {
    EXPECT_EQ(open(appliance, source(host)), first);
  }
  const std::string first6 = open(appliance, kClient6);
  for (std::uint8_t host = 20; host < 60; ++host) {
    const Endpoint client = {v6(1, host), 40000, kRouterMac};
    EXPECT_EQ(open(appliance, client), first6);
  }
  EXPECT_EQ(appliance.solo().worker().tables.v4.affinities(), 1U);
  EXPECT_EQ(appliance.solo().worker().tables.v6.affinities(), 1U);
}

TEST(Affinity, HoldsWhenTheTableChanges) {
  for (const Mode mode : {Mode::kDsr, Mode::kNat, Mode::kGue}) {
    const GenerationSpec spec = with_affinity(mode);
    Appliance appliance(spec);
    const auto before = open_all(appliance);
    appliance.publish(changed(spec, "2"));
    Appliance fresh(changed(spec, "2"));
    std::size_t would_move = 0;
    for (const auto& [host, backend] : before) {
      EXPECT_EQ(open(appliance, source(host, 50000)), backend);
      would_move += open(fresh, source(host, 50000)) != backend ? 1U : 0U;
    }
    EXPECT_GT(would_move, 30U);
    EXPECT_EQ(appliance.stats().affinity_hits.get(), 99U);
  }
}

TEST(Affinity, EndsWithAMemberThatTakesNoNewFlowsAndIsLearnedAnew) {
  for (const Disposition disposition :
       {Disposition::kKeep, Disposition::kAvoid, Disposition::kReset}) {
    Appliance appliance(with_affinity(Mode::kDsr));
    const std::string first = open(appliance, source(1, 1));
    appliance.set(first, disposition);
    const std::string second = open(appliance, source(1, 2));
    EXPECT_NE(second, first);
    EXPECT_FALSE(second.empty());
    appliance.set(first, Disposition::kNew);
    EXPECT_EQ(open(appliance, source(1, 3)), second) << "the newest flow's member counts";
  }
}

TEST(Affinity, EndsWithAMemberOfWeightZeroOrGone) {
  GenerationSpec spec = with_affinity(Mode::kDsr);
  Appliance appliance(spec);
  const std::string first = open(appliance, source(1, 1));
  ++spec.number;
  for (dataplane::MemberSpec& member : spec.services[0].members) {
    member.weight = member.backend == first ? 0 : 100;
  }
  appliance.publish(spec);
  const std::string second = open(appliance, source(1, 2));
  EXPECT_NE(second, first);
  ++spec.number;
  std::erase_if(spec.services[0].members,
                [&](const dataplane::MemberSpec& member) { return member.backend == second; });
  appliance.publish(spec);
  const std::string third = open(appliance, source(1, 3));
  EXPECT_NE(third, first);
  EXPECT_NE(third, second);
}

TEST(Affinity, TimeCountsFromTheNewestNewFlowNotFromPackets) {
  const GenerationSpec spec = with_affinity(Mode::kDsr);
  Appliance appliance(spec);
  const auto before = open_all(appliance);
  appliance.publish(changed(spec, "2"));
  pass(appliance, 580);
  for (const auto& [host, backend] : before) {  // renewed
    EXPECT_EQ(open(appliance, source(host, 2)), backend);
  }
  pass(appliance, 300);
  for (const auto& [host, backend] : before) {  // packets of a flow that stands renew nothing
    EXPECT_EQ(appliance.send(tcp(source(host, 2), kVip).ack()).verdict, Verdict::kForward);
  }
  pass(appliance, 300);
  EXPECT_EQ(appliance.solo().worker().tables.v4.affinities(), 0U);
  std::size_t moved = 0;
  for (const auto& [host, backend] : before) {
    moved += open(appliance, source(host, 3)) != backend ? 1U : 0U;
  }
  EXPECT_GT(moved, 30U);
}

TEST(Affinity, OutlivesTheProcess) {
  for (const Mode mode : {Mode::kDsr, Mode::kNat}) {
    const GenerationSpec spec = with_affinity(mode);
    Appliance appliance(spec);
    const auto before = open_all(appliance);
    const std::string first6 = open(appliance, kClient6);
    appliance.publish(changed(spec, "2"));
    Region region(appliance.solo().shared());
    Adopted second(adopted_state(region, appliance), changed(spec, "2"));
    EXPECT_EQ(second.report.dropped, 0U);
    EXPECT_EQ(second.report.kept, 200U);  // a flow and a record each
    EXPECT_EQ(second.worker.tables.v4.affinities(), 99U);
    std::uint64_t live = 0;
    std::uint64_t entries = 0;
    for (const dataplane::MemberStats& member : second.worker.members) {
      live += member.live_flows.get();
      entries += member.entries.get();
    }
    EXPECT_EQ(live, 100U);
    EXPECT_EQ(entries, 200U);
    for (const auto& [host, backend] : before) {
      EXPECT_EQ(second.send(tcp(source(host, 2), kVip).syn().bytes(), 1'001'000), backend);
    }
    EXPECT_EQ(second.send(tcp(kClient6.at_port(2), kVip6).syn().bytes(), 1'001'000), first6);
  }
}

TEST(Affinity, WhatNobodyCompletesIsNotRemembered) {
  for (const Mode mode : {Mode::kDsr, Mode::kNat, Mode::kGre}) {
    Appliance appliance(with_affinity(mode), 1000);
    const dataplane::FlowTable4& table = appliance.solo().worker().tables.v4;
    for (std::uint8_t host = 1; host < 250; ++host) {
      ask(appliance, source(host));
      appliance.send(udp(source(host), kVip.at_port(53)).payload(9));
    }
    EXPECT_EQ(table.affinities(), 0U) << mode_name(mode);
    open(appliance, source(1, 7));
    EXPECT_EQ(table.affinities(), 1U) << mode_name(mode);
  }
}

TEST(Affinity, ASecondDatagramIsRememberedAndAForgedSynRenewsNothing) {
  const GenerationSpec spec = with_affinity(Mode::kDsr);
  Appliance appliance(spec);
  const dataplane::FlowTable4& table = appliance.solo().worker().tables.v4;
  appliance.send(udp(source(1), kVip.at_port(53)).payload(9));
  appliance.send(udp(source(1), kVip.at_port(53)).payload(9));
  EXPECT_EQ(table.affinities(), 1U);
  pass(appliance, 590);
  ask(appliance, source(1, 2));
  pass(appliance, 20);
  EXPECT_EQ(table.affinities(), 0U);
}

TEST(Affinity, ADrainEndsWithItsFlowsWhileTheMemberIsStillNamed) {
  Appliance appliance(with_affinity(Mode::kDsr));
  const std::string backend = open(appliance, source(1));
  EXPECT_EQ(stats_of(appliance, backend).live_flows.get(), 1U);
  EXPECT_EQ(stats_of(appliance, backend).entries.get(), 2U);
  appliance.set(backend, Disposition::kKeep);
  appliance.send(tcp(source(1), kVip).fin().ack());
  pass(appliance, 70);
  EXPECT_EQ(stats_of(appliance, backend).live_flows.get(), 0U);
  EXPECT_EQ(stats_of(appliance, backend).entries.get(), 1U);
  EXPECT_EQ(appliance.stats().flows_ended.get(), 1U);
  pass(appliance, 600);
  EXPECT_EQ(stats_of(appliance, backend).entries.get(), 0U);
  EXPECT_EQ(appliance.stats().flows_ended.get(), 1U);
  EXPECT_EQ(appliance.stats().flows_inserted.get(), 1U);
}

TEST(Affinity, IsForgottenOnceTheServiceHasNone) {
  GenerationSpec spec = with_affinity(Mode::kDsr);
  Appliance appliance(spec);
  open_all(appliance);
  ++spec.number;
  spec.services[0].affinity = {};
  appliance.publish(spec);
  pass(appliance, 2);
  EXPECT_EQ(appliance.solo().worker().tables.v4.affinities(), 0U);
  EXPECT_GT(appliance.solo().worker().tables.v4.used(), 0U);
}

TEST(Affinity, APacketInTheMiddleOfAnUnknownFlowGoesToTheMemberOnRecord) {
  const GenerationSpec spec = with_affinity(Mode::kDsr);
  Appliance appliance(spec);
  const auto before = open_all(appliance);
  appliance.publish(changed(spec, "2"));
  for (const auto& [host, backend] : before) {
    appliance.set(backend, Disposition::kKeep);  // keeps what it has
    EXPECT_EQ(appliance.send(tcp(source(host, 7), kVip).ack()).backend, backend);
    appliance.set(backend, Disposition::kNew);
  }
}

TEST(Affinity, RecordsTakeAQuarterOfTheTableAndPushOutNothing) {
  Appliance appliance(with_affinity(Mode::kDsr), 64);
  dataplane::FlowTable4& table = appliance.solo().worker().tables.v4;
  std::map<std::uint8_t, std::string> flows;
  for (std::uint8_t host = 1; host < 40; ++host) {
    flows[host] = open(appliance, source(host));
  }
  for (int i = 0; i < 4000; ++i) {
    const Endpoint client = {v4(198,
                                51,
                                static_cast<std::uint8_t>(101 + i / 250),
                                static_cast<std::uint8_t>(1 + i % 250)),
                             40000,
                             kRouterMac};
    EXPECT_FALSE(open(appliance, client).empty());
    appliance.send(tcp(client, kVip).fin().ack());
    ASSERT_LE(table.affinities(), table.capacity() / 4);
  }
  // Until flows fill the rest of the table: one without an entry asks for no record.
  EXPECT_GT(appliance.stats().affinity_full.get(), 0U);
  for (const auto& [host, backend] : flows) {
    EXPECT_EQ(appliance.send(tcp(source(host), kVip).ack()).backend, backend);
  }
}

TEST(Affinity, WithoutRoomTheSourcesPrefixStillChoosesOneMember) {
  Appliance appliance(with_affinity(Mode::kDsr), 64);
  std::size_t asked_again = 0;
  for (int i = 0; i < 2000; ++i) {
    const Endpoint client = {v4(198,
                                51,
                                static_cast<std::uint8_t>(101 + i / 250),
                                static_cast<std::uint8_t>(1 + i % 250)),
                             40000,
                             kRouterMac};
    const std::string first = open(appliance, client);
    EXPECT_EQ(open(appliance, client.at_port(40001)), first);
    ++asked_again;
  }
  EXPECT_EQ(asked_again, 2000U);
  EXPECT_GT(appliance.stats().affinity_full.get(), 0U);
}

// A damaged file may name a member of the other family, to which an IPv4 packet cannot be turned.
TEST(Affinity, ARecordThatNamesAMemberOfTheOtherFamilyIsNotFollowed) {
  Appliance appliance(with_affinity(Mode::kNat));
  open(appliance, source(1, 1));
  const auto records = appliance.solo().shared().member_records();
  for (auto& bucket : appliance.solo().worker().tables.v4.buckets()) {
    for (auto& entry : bucket.way) {
      if (entry.state == FlowState::kAffinity) {
        appliance.solo().worker().members[entry.member].entries.subtract(1);
        appliance.solo().worker().members[3].entries.add(1);
        entry.member = 3;
        ASSERT_EQ(records[3].backend.view(), "1v6");
        entry.epoch = records[3].epoch;
      }
    }
  }
  const Outcome outcome = appliance.send(tcp(source(1, 2), kVip).syn());
  EXPECT_EQ(outcome.verdict, Verdict::kForward);
  EXPECT_EQ(outcome.backend.size(), 1U);
}

// Nor one of another service.
TEST(Affinity, ARecordThatNamesAMemberOfAnotherServiceIsNotFollowed) {
  GenerationSpec spec = with_affinity(Mode::kDsr);
  dataplane::ServiceSpec other = three_backends(Mode::kDsr).services[0];
  other.name = "other";
  other.bindings = {{.vip = kVip.address, .first_port = 99, .last_port = 99}};
  other.members = {{.backend = "stranger", .address = kBackend1.address}};
  spec.services.push_back(other);
  Appliance appliance(spec);
  open(appliance, source(1, 1));
  const auto records = appliance.solo().shared().member_records();
  const auto found = std::ranges::find_if(
      records, [](const auto& record) { return record.backend.view() == "stranger"; });
  const auto stranger = static_cast<std::uint16_t>(found - records.begin());
  for (auto& bucket : appliance.solo().worker().tables.v4.buckets()) {
    for (auto& entry : bucket.way) {
      if (entry.state != FlowState::kFree) {
        stats_of(appliance, "stranger").entries.add(1);
        appliance.solo().worker().members[entry.member].entries.subtract(1);
        entry.member = stranger;
        entry.epoch = found->epoch;
      }
    }
  }
  Region region(appliance.solo().shared());
  EXPECT_EQ(Adopted(adopted_state(region, appliance), spec).report.dropped, 2U);
  const Outcome outcome = appliance.send(tcp(source(1, 2), kVip).syn());
  EXPECT_EQ(outcome.verdict, Verdict::kForward);
  EXPECT_NE(outcome.backend, "stranger");
}

TEST(Affinity, AServiceWithoutItIsChosenByItsFieldsAsBefore) {
  GenerationSpec spec = three_backends(Mode::kDsr);
  Appliance plain(spec);
  spec.services[1].affinity = kByAddress;  // the other one's
  Appliance beside(spec);
  for (std::uint16_t port = 1; port < 200; ++port) {
    EXPECT_EQ(open(plain, source(1, port)), open(beside, source(1, port)));
  }
  EXPECT_EQ(beside.solo().worker().tables.v4.affinities(), 0U);
}

TEST(Affinity, TellsWhichServicesWouldPartTheirFlowsFromTheirOwners) {
  GenerationSpec spec = three_backends(Mode::kDsr);
  spec.services[0].affinity = kByAddress;
  Appliance appliance(spec);
  const auto moved = [&] {
    return services_with_moved_owners(appliance.solo().generation(), spec);
  };
  EXPECT_TRUE(moved().empty());
  spec.services[0].affinity.seconds = 5;
  EXPECT_TRUE(moved().empty()) << "only the time";
  spec.services[0].affinity.prefix_v4 = 24;
  EXPECT_EQ(moved(), std::vector<std::string_view>{"web"});
  spec.services[0].affinity = {};
  spec.services[1].affinity = kByPrefix;
  EXPECT_EQ(moved(), (std::vector<std::string_view>{"web", "dns"}));
}

}  // namespace
}  // namespace holdfast::testing
