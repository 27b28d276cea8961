// SPDX-License-Identifier: Apache-2.0
// The balancer of the packet tests.
#include "tests/support/appliance.h"

#include <algorithm>
#include <array>
#include <iterator>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::BindingSpec;
using dataplane::GenerationSpec;
using dataplane::Link;
using dataplane::MemberSpec;
using dataplane::Mode;
using dataplane::Neighbor;
using dataplane::Neighborhood;
using dataplane::Route;
using dataplane::ServiceSpec;

constexpr MacAddress kBackend6Mac(std::uint8_t number) { return {2, 0, 0, 0, 2, number}; }

std::vector<BindingSpec> bindings(Protocol protocol, std::uint16_t port) {
  return {{.vip = kVip.address, .protocol = protocol, .first_port = port, .last_port = port},
          {.vip = kVip6.address, .protocol = protocol, .first_port = port, .last_port = port}};
}

std::vector<MemberSpec> members(std::uint16_t port) {
  return {{.backend = "1", .address = kBackend1.address, .port = port},
          {.backend = "2", .address = kBackend2.address, .port = port},
          {.backend = "3", .address = kBackend3.address, .port = port},
          {.backend = "1v6", .address = v6(3, 11), .port = port},
          {.backend = "2v6", .address = v6(3, 12), .port = port},
          {.backend = "3v6", .address = v6(3, 13), .port = port}};
}

ServiceSpec service(std::string name, Mode mode, Protocol protocol, std::uint16_t port) {
  return {.name = std::move(name),
          .mode = mode,
          .slots = 4093,
          .hash = dataplane::HashFields::kFiveTuple,
          .timeouts = {},
          .bindings = bindings(protocol, port),
          .members = members(0)};
}

}  // namespace

Neighborhood lab_neighborhood(const LabLinks& of) {
  std::vector<Link> links = {
      {.port = kWan, .name = "wan0", .mac = kOurMac, .mtu = of.wan_mtu, .tags = of.wan},
      {.port = kLan, .name = "lan0", .mac = kLanMac, .mtu = of.lan_mtu, .tags = of.lan}};
  const Address router = v4(192, 0, 2, 1);
  const Address router6 = v6(1, 1);
  const std::array<Route, 7> routes = {
      Route{.prefix = v4(0, 0, 0, 0), .length = 0, .gateway = router, .port = kWan},
      Route{.prefix = v4(192, 0, 2, 0), .length = 24, .gateway = {}, .port = kWan},
      Route{.prefix = v4(203, 0, 113, 0), .length = 24, .gateway = {}, .port = kWan},
      Route{.prefix = v6(2, 0), .length = 64, .gateway = {}, .port = kWan},
      Route{.prefix = v4(10, 0, 3, 0), .length = 24, .gateway = {}, .port = kLan},
      Route{.prefix = v6(1, 0), .length = 64, .gateway = router6, .port = kWan},
      Route{.prefix = v6(3, 0), .length = 64, .gateway = {}, .port = kLan}};
  std::vector<Neighbor> neighbors = {
      {.address = router, .mac = kRouterMac, .port = kWan},
      {.address = router6, .mac = kRouterMac, .port = kWan},
      {.address = kBackend1.address, .mac = kBackend1.mac, .port = kLan},
      {.address = kBackend2.address, .mac = kBackend2.mac, .port = kLan},
      {.address = kBackend3.address, .mac = kBackend3.mac, .port = kLan}};
  for (const std::uint8_t host : {std::uint8_t{11}, std::uint8_t{12}, std::uint8_t{13}}) {
    neighbors.push_back({.address = v6(3, host), .mac = kBackend6Mac(host), .port = kLan});
  }
  return {std::move(links), routes, neighbors};
}

std::vector<Mode> all_modes() {
  std::vector<Mode> modes;
  for (std::uint8_t number = 0; mode_name(Mode{number}) != "unknown"; ++number) {
    modes.push_back(Mode{number});
  }
  return modes;
}

GenerationSpec three_backends(Mode mode) {
  GenerationSpec spec{.number = 1, .services = {}, .pools = {}};
  spec.services.push_back(service("web", mode, Protocol::kTcp, 80));
  spec.services.push_back(service("dns", mode, Protocol::kUdp, 53));
  if (mode == Mode::kNat) {
    spec.services.push_back(service("mapped", mode, Protocol::kTcp, 443));
    spec.services.back().members = members(8080);
    spec.pools = {{.first = kPool.address, .last = v4(10, 0, 3, 31)},
                  {.first = kPool6.address, .last = v6(3, 31)}};
  }
  return spec;
}

void set_mode(ServiceSpec& service, Mode mode) {
  service.mode = mode;
  service.tunnel = {};
  service.tunnel.vni = mode == Mode::kVxlan ? 4711 : 0;
  service.tunnel.inner_source = {2, 0, 0, 0, 9, 0};
  for (MemberSpec& member : service.members) {
    member.inner_mac = {2, 0, 0, 0, 9, 1};
  }
  if (mode == Mode::kGue && service.bindings.front().protocol == Protocol::kUdp) {
    service.tunnel.hops = 2;
    std::erase_if(service.members, [](const auto& member) { return !member.address.is_v4(); });
  }
}

Appliance::Appliance(const GenerationSpec& spec, std::uint64_t flows) {
  auto solo = dataplane::Solo::create(
      spec, lab_neighborhood(), {.key = {1, 2, 3}, .flows = flows, .check_macs = true});
  if (!solo) {
    ADD_FAILURE() << solo.error();
    std::abort();
  }
  solo_ = std::move(*solo);
}

Outcome Appliance::send(const Bytes& frame, dataplane::PortIndex port) {
  return send_burst(std::span(&frame, 1), port).front();
}

std::vector<Outcome> Appliance::send_burst(std::span<const Bytes> frames,
                                           dataplane::PortIndex port) {
  std::vector<Arrival> arrivals;
  for (const Bytes& frame : frames) {
    arrivals.push_back({.frame = frame, .port = port});
  }
  return send_burst(arrivals);
}

std::vector<Outcome> Appliance::send_burst(std::span<const Arrival> arrivals) {
  std::vector<Bytes> frames;
  for (const Arrival& arrival : arrivals) {
    frames.push_back(arrival.frame);
  }
  record_.send(frames);
  auto burst = std::make_unique<ExactBurst>(frames, Room{.head = 128, .tail = 128, .beyond = 0});
  for (dataplane::Slot i = 0; i < frames.size(); ++i) {
    burst->frame(i).port = arrivals[i].port;
  }
  solo_->run(**burst, now_ms_);
  std::vector<Outcome> all = outcomes(**burst, frames);
  if (std::ranges::find(all, dataplane::Verdict::kHold, &Outcome::verdict) != all.end()) {
    kept_.push_back(std::move(burst));
  }
  run_released();
  return all;
}

void Appliance::wait(std::uint64_t milliseconds) {
  now_ms_ += milliseconds;
  dataplane::Burst nothing{};
  nothing.begin(0);
  solo_->run(nothing, now_ms_);
  run_released();
}

void Appliance::run_released() {
  dataplane::Burst burst{};
  while (solo_->take_released(burst)) {
    solo_->run(burst, now_ms_);
    std::ranges::move(outcomes(burst, {}), std::back_inserter(released_));
  }
}

std::vector<Outcome> Appliance::outcomes(const dataplane::Burst& burst,
                                         std::span<const Bytes> came) {
  std::vector<Outcome> all;
  std::uint64_t sent = 0;
  for (dataplane::Slot i = 0; i < burst.size; ++i) {
    const auto span = burst.frame[i].bytes();
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(span.data());
    Outcome outcome{.verdict = burst.verdict[i],
                    .reason = {},
                    .port = burst.frame[i].port,
                    .backend = {},
                    .bytes = {bytes, bytes + span.size()}};
    if (outcome.verdict == dataplane::Verdict::kDrop) {
      outcome.reason = burst.reason[i];
    }
    if (outcome.verdict == dataplane::Verdict::kForward) {
      outcome.backend = solo_->member_record(burst.member[i]).backend.view();
      EXPECT_TRUE(burst.record[i] == dataplane::kNoRecord ||
                  translated_by_own_record(burst, i, *solo_))
          << "frame " << unsigned{i} << " of the burst went another flow's way";
    }
    if (outcome.verdict == dataplane::Verdict::kForward ||
        outcome.verdict == dataplane::Verdict::kReply) {
      ++sent;
      if (burst.piece[i] == dataplane::Piece::kWhole) {  // a fragment cannot be judged by itself
        const bool forwarded = outcome.verdict == dataplane::Verdict::kForward;
        record_outcome(came[i],
                       outcome.bytes,
                       forwarded ? "forward" : "reply",
                       forwarded ? mode_of(burst, i) : "");
      }
    }
    all.push_back(std::move(outcome));
  }
  solo_->worker().stats.transmitted.add(sent);
  EXPECT_EQ(dataplane::unaccounted(stats()), 0U);
  return all;
}

std::string_view Appliance::mode_of(const dataplane::Burst& burst, dataplane::Slot slot) {
  if (burst.record[slot] != dataplane::kNoRecord) {
    return mode_name(Mode::kNat);
  }
  // Retired members keep their place.
  return mode_name(solo_->generation().members()[burst.member[slot].index].mode);
}

bool translated_by_own_record(const dataplane::Burst& burst,
                              dataplane::Slot slot,
                              dataplane::Solo& solo) {
  const dataplane::NatRecord& record = solo.worker().tables.nat.record(burst.record[slot]);
  const dataplane::FlowKey& came = burst.key[slot];
  const bool error = burst.kind[slot] == dataplane::Kind::kIcmpError;
  const std::byte* data = burst.frame[slot].data;
  const std::byte* l3 = data + (error ? burst.l4_offset[slot] + 8 : burst.l3_offset[slot]);
  const std::byte* l4 = data + (error ? burst.quoted_l4_offset[slot] : burst.l4_offset[slot]);
  // What an error quotes went the other way.
  const auto address_at = [&](bool source) {
    return came.source.is_v4()
               ? Address::v4(dataplane::load<Be32>(l3 + (source != error ? 12 : 16)))
               : Address::v6(l3 + (source != error ? 8 : 24));
  };
  const auto port_at = [&](bool source) {
    return dataplane::load<Be16>(l4 + (source != error ? 0 : sizeof(Be16)));
  };
  const bool ports = burst.piece[slot] != dataplane::Piece::kLater;
  if (burst.direction[slot] == dataplane::Direction::kToMember) {
    return record.client == came.source && record.client_port == came.source_port &&
           record.service_port == came.destination_port && record.pool == address_at(true) &&
           (!ports || record.pool_port == port_at(true));
  }
  return record.pool == came.destination && record.pool_port == came.destination_port &&
         record.client == address_at(false) && (!ports || record.client_port == port_at(false));
}

void Appliance::publish(const GenerationSpec& spec) {
  const auto published = solo_->publish(spec);
  EXPECT_TRUE(published.has_value()) << (published ? "" : published.error());
}

void Appliance::set(std::string_view backend, dataplane::Disposition disposition) {
  std::size_t found = 0;
  for (const dataplane::CompiledService& service : solo_->generation().services()) {
    found += solo_->set_disposition(service.name, backend, disposition);
  }
  EXPECT_GT(found, 0U) << "no backend " << backend;
}

std::uint64_t Appliance::moved(dataplane::MoveCause why) {
  std::uint64_t sum = 0;
  for (const dataplane::MemberMoves& moves : solo_->worker().moves) {
    sum += moves.moved.at(static_cast<std::size_t>(why)).get();
  }
  return sum;
}

}  // namespace holdfast::testing
