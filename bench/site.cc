// SPDX-License-Identifier: Apache-2.0
// See site.h.
#include "bench/site.h"

#include "bench/flows.h"
#include "bench/frames.h"
#include "dataplane/dispositions.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>

namespace holdfast::dataplane::bench {

namespace {

constexpr std::uint32_t kFirstMember = 0x0a000001;  // 10.0.0.1
constexpr std::uint32_t kFirstPool = 0x0afe0000;    // 10.254.0.0
constexpr std::uint64_t kFillTime = 1'000'000;      // ms

Address member_address(std::uint32_t index, bool of_v4) {
  return of_v4 ? v4(kFirstMember + index) : v6(3, kFirstMember + index);
}

template <typename Table>
std::uint64_t fill(Table& table, Site& site, std::uint32_t first, std::uint32_t end, bool of_v4) {
  const Generation& generation = site.generation();
  const std::vector<std::uint16_t>& slots = generation.service(0).tiers->front().slots;
  const BoundService* bound =
      generation.bindings().find(vip(0, of_v4), Protocol::kTcp, kServicePort);
  const auto hash_of_resident = [&](const auto& entry) {
    return site.hasher()({.source = entry.source_address(),
                          .destination = vip(0, of_v4),
                          .source_port = Be16::from_wire(entry.source_port),
                          .destination_port = Be16::from_wire(entry.destination_port),
                          .protocol = Protocol::kTcp});
  };
  const auto never = [](const auto&) { return false; };
  std::array<std::uint64_t, kBurstSize> hashes{};
  std::uint64_t filled = 0;
  for (std::uint32_t at = first; at < end; at += kBurstSize) {
    const std::uint32_t count = std::min<std::uint32_t>(kBurstSize, end - at);
    for (std::uint32_t i = 0; i < count; ++i) {
      hashes[i] = site.hasher()(flow_key(at + i, of_v4));
      table.prefetch(hashes[i]);
    }
    for (std::uint32_t i = 0; i < count; ++i) {
      auto* entry = table.make_room(
          hashes[i], FlowState::kEstablished, hash_of_resident, never, [](const auto&) {});
      if (entry == nullptr) {
        continue;
      }
      entry->set_key(flow_key(at + i, of_v4), bound->binding);
      entry->member = slots[maglev_slot(hashes[i], static_cast<std::uint32_t>(slots.size()))];
      entry->epoch = generation.members()[entry->member].epoch;
      entry->stamp = stamp_of(kFillTime);
      table.set_state(*entry, FlowState::kEstablished);
      ++filled;
    }
  }
  return filled;
}

}  // namespace

GenerationSpec build_specification(const Shape& shape, std::uint64_t number) {
  GenerationSpec spec{.number = number};
  for (std::uint32_t s = 0; s < shape.services; ++s) {
    ServiceSpec service{.name = "service-" + std::to_string(s),
                        .mode = shape.mode,
                        .slots = shape.slots,
                        .timeouts = shape.timeouts};
    if (is_tunnel(shape.mode)) {
      service.tunnel.source_v4 = v4(kFirstPool);
    }
    for (std::uint32_t b = 0; b < shape.bindings; ++b) {
      service.bindings.push_back({.vip = vip(s * shape.bindings + b, shape.v4),
                                  .protocol = Protocol::kTcp,
                                  .first_port = kServicePort,
                                  .last_port = kServicePort});
    }
    for (std::uint32_t m = 0; m < shape.members; ++m) {
      service.members.push_back({.backend = "backend-" + std::to_string(m),
                                 .address = member_address(s * shape.members + m, shape.v4)});
    }
    spec.services.push_back(std::move(service));
  }
  if (shape.mode == Mode::kNat) {
    spec.pools = {
        {.first = shape.v4 ? v4(kFirstPool) : v6(4, kFirstPool),
         .last = shape.v4 ? v4(kFirstPool + shape.pool - 1) : v6(4, kFirstPool + shape.pool - 1)}};
  }
  return spec;
}

Neighborhood build_neighborhood() {
  std::vector<Link> links = {{.port = 0, .name = "p", .mac = {2, 0, 0, 0, 0, 2}}};
  return Neighborhood::everything_via(std::move(links), 0, {2, 0, 0, 0, 0, 9});
}

StateGeometry geometry_for(const Shape& shape, std::uint64_t flows) {
  StateGeometry geometry;
  if (shape.mode == Mode::kNat) {
    geometry.records_nat = std::max<std::uint64_t>(flows, 16);
  } else if (shape.v4) {
    geometry.buckets_v4 = FlowTable4::buckets_for(flows);
  } else {
    geometry.buckets_v6 = FlowTable6::buckets_for(flows);
  }
  return geometry;
}

Site::Site(const GenerationSpec& spec, const StateGeometry& geometry)
    : region_(geometry.bytes()),
      shared_(SharedState::format(
          region_.bytes().first(geometry.bytes()), geometry, kBenchKey, BootId{})),
      hasher_(kBenchKey),
      members_(shared_.member_records()),
      bindings_(shared_.binding_records()),
      worker_(std::make_unique<WorkerState>(shared_, 0, 1)),
      neighborhood_(build_neighborhood()) {
  auto built = build_generation(spec, members_, bindings_, hasher_, nullptr, 0);
  if (!built) {
    std::cerr << built.error() << "\n";
    std::exit(1);
  }
  apply_dispositions(spec, members_, shared_.dispositions());
  generation_ = std::move(built->generation);
  hops_ = build_member_hops(*generation_, neighborhood_);
  forwarding_ = {.generation = generation_.get(),
                 .neighborhood = &neighborhood_,
                 .member_hops = hops_,
                 .check_macs = true};
}

void Site::run(Burst& burst, std::uint64_t now_ms) {
  sweep(*worker_, *generation_, now_ms);
  forward(burst, now_ms);
}

void Site::forward(Burst& burst, std::uint64_t now_ms) {
  parse(burst);
  hash_keys(burst, hasher_);
  run_stages(burst, forwarding_, *worker_, now_ms);
  worker_->notices.clear();
}

void establish(NatTable& nat, const Burst& burst) {
  for (std::uint16_t i = 0; i < burst.size; ++i) {
    if (burst.record[i] != kNoRecord && nat.record(burst.record[i]).state == FlowState::kHalfOpen) {
      nat.end_half_open(burst.record[i]);
      NatRecord& record = nat.record(burst.record[i]);
      record.state = FlowState::kEstablished;
      record.client_side = SideState::kOpen;
      record.member_side = SideState::kOpen;
    }
  }
}

void open_flows(Site& site, const Shape& shape, std::uint32_t first, std::uint32_t end) {
  const auto burst = std::make_unique<Burst>();
  Frames frames;
  const std::uint32_t bindings = shape.services * shape.bindings;
  for (std::uint32_t at = first; at < end; at += kBurstSize) {
    const auto count = static_cast<std::uint16_t>(std::min<std::uint32_t>(kBurstSize, end - at));
    for (const std::uint8_t flags : {kTcpSyn, kTcpAck}) {
      for (std::uint16_t i = 0; i < count; ++i) {
        const TcpFrame frame{.key = flow_key(at + i, shape.v4, bindings), .flags = flags};
        frames.write(*burst, static_cast<Slot>(i), frame);
      }
      burst->begin(count);
      site.forward(*burst, kFillTime);
      establish(site.worker().tables.nat, *burst);
    }
  }
}

std::uint64_t fill_table(Site& site, std::uint32_t first, std::uint32_t end, bool of_v4) {
  return of_v4 ? fill(site.worker().tables.v4, site, first, end, true)
               : fill(site.worker().tables.v6, site, first, end, false);
}

}  // namespace holdfast::dataplane::bench
