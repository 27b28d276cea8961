// SPDX-License-Identifier: Apache-2.0
// What each stage costs per packet, in bursts of 32. Established flows (hit) in `dsr`, `ipip` and
// `nat`, from a thousand to a hundred million, in uniform and in Zipf order; the members' answers
// in `nat` (reply); unknown flows (miss: the lookup alone); and every packet a new flow (insert),
// while a table for a million flows fills to 70 % and on to 90 %. Frames are written between the
// timed parts.
#include "bench/flows.h"
#include "bench/frames.h"
#include "bench/report.h"
#include "bench/site.h"
#include "bench/stage_timer.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

namespace holdfast::dataplane::bench {
namespace {

constexpr std::uint64_t kNow = 1'000'000;  // ms
constexpr std::uint64_t kBytesPerFlow = 120;
constexpr std::uint32_t kFewFlows = 1'000'000;  // as many as are opened by packets, in any mode

enum class Traffic : std::uint8_t { kHit, kMiss, kReply };

struct Case {
  const char* name;
  Mode mode;
  Traffic traffic;
  Order order;
  std::vector<std::uint32_t> flows;
};

// The members' answers to the flows of the table, before it is measured: a record that is read for
// writing a frame would be in the cache.
std::vector<FlowKey> reply_keys(const Site& site, const NatTable& nat) {
  std::vector<FlowKey> keys;
  for (const NatRecord& record : nat.records()) {
    if (record.state != FlowState::kFree) {
      keys.push_back({.source = site.generation().members()[record.member].address,
                      .destination = record.pool,
                      .source_port = record.service_port,
                      .destination_port = record.pool_port,
                      .protocol = Protocol::kTcp});
    }
  }
  return keys;
}

class Packets {
 public:
  Packets(const Case& which, std::uint32_t flows, std::uint64_t seed)
      : traffic_(which.traffic), flows_(flows), draw_(which.order, flows, seed) {}
  void take_replies(std::vector<FlowKey> keys) { replies_ = std::move(keys); }

  void write(Burst& burst) {
    for (Slot i = 0; i < kBurstSize; ++i) {
      const std::uint32_t flow = draw_();
      const FlowKey key = traffic_ == Traffic::kReply  ? replies_[flow % replies_.size()]
                          : traffic_ == Traffic::kMiss ? flow_key(flows_ + flow)
                                                       : flow_key(flow);
      frames_.write(burst, i, {.key = key});
    }
    burst.begin(kBurstSize);
  }

 private:
  Traffic traffic_;
  std::uint32_t flows_;
  Draw draw_;
  Frames frames_;
  std::vector<FlowKey> replies_;
};

void measure(const Case& which, std::uint32_t flows, const Options& options, Report& report) {
  const Shape shape{.mode = which.mode};
  Site site(build_specification(shape), geometry_for(shape, flows));
  const bool by_packets = which.mode == Mode::kNat || flows <= kFewFlows;
  const std::uint32_t opened = by_packets ? flows : 0;
  open_flows(site, shape, 0, opened);
  fill_table(site, opened, flows);
  Packets packets(which, flows, 1);
  if (which.traffic == Traffic::kReply) {
    packets.take_replies(reply_keys(site, site.worker().tables.nat));
  }
  const auto burst = std::make_unique<Burst>();
  StageTimer timer;
  const std::string name = std::string(which.name) + "." + std::to_string(flows);
  const int bursts = options.small ? 10 : 2000;
  for (int round = 0; round < options.rounds; ++round) {
    for (int i = 0; i < bursts; ++i) {
      packets.write(*burst);
      which.traffic == Traffic::kMiss ? timer.run_to_track(site, *burst, kNow)
                                      : timer.run(site, *burst, kNow);
    }
    timer.report(name, report);
  }
  const bool forwarded = std::ranges::all_of(
      burst->verdict, [](Verdict verdict) { return verdict == Verdict::kForward; });
  if (which.traffic != Traffic::kMiss && !forwarded) {
    std::cerr << name << ": not all packets are forwarded\n";
    std::exit(1);
  }
}

std::size_t used(Site& site, Mode mode) {
  WorkerTables& tables = site.worker().tables;
  return mode == Mode::kNat ? tables.nat.used() : tables.v4.used();
}

// New flows until `share` of the table is in use. What has shown itself by a single packet has a
// part of the table only, so that each burst's flows go on, untimed, before the next one.
void insert_until(Site& site, Mode mode, double share, std::uint32_t& next, StageTimer& timer) {
  static const auto burst = std::make_unique<Burst>();
  static Frames frames;
  WorkerTables& tables = site.worker().tables;
  const std::size_t capacity =
      mode == Mode::kNat ? tables.nat.records().size() : tables.v4.capacity();
  const auto write = [&](std::uint32_t first, std::uint8_t flags) {
    for (Slot i = 0; i < kBurstSize; ++i) {
      frames.write(*burst, i, {.key = flow_key(first + i), .flags = flags});
    }
    burst->begin(kBurstSize);
  };
  while (static_cast<double>(used(site, mode)) < share * static_cast<double>(capacity)) {
    write(next, kTcpSyn);
    timer.run(site, *burst, kNow);
    establish(tables.nat, *burst);
    if (mode != Mode::kNat) {
      write(next, kTcpAck);
      site.forward(*burst, kNow);
    }
    next += kBurstSize;
  }
}

void measure_inserts(Mode mode, const Options& options, Report& report) {
  const Shape shape{.mode = mode};
  const std::string name = std::string(mode_name(mode)) + "_insert";
  const std::uint64_t flows = options.small ? 1'000 : 700'000;  // a table of 2^20 places
  for (int round = 0; round < std::max(2, options.rounds / 2); ++round) {
    Site site(build_specification(shape),
              geometry_for(shape, mode == Mode::kNat ? flows * 3 / 2 : flows));
    std::uint32_t next = 0;
    StageTimer timer;
    insert_until(site, mode, 0.7, next, timer);
    timer.report(name + ".to_70", report);
    insert_until(site, mode, 0.9, next, timer);
    timer.report(name + ".70_to_90", report);
    const auto untracked = static_cast<double>(site.worker().stats.flows_untracked.get());
    report.add("stage." + name + ".untracked", "%", 100 * untracked / next);
  }
}

int run(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  Report report;
  const std::vector<std::uint32_t> few = {1'000, 100'000, kFewFlows};
  const std::vector<Case> cases = {
      {"dsr_hit",
       Mode::kDsr,
       Traffic::kHit,
       Order::kUniform,
       {1'000, 100'000, kFewFlows, 10'000'000, 100'000'000}},
      {"dsr_hit_zipf", Mode::kDsr, Traffic::kHit, Order::kZipf, {kFewFlows}},
      {"dsr_miss", Mode::kDsr, Traffic::kMiss, Order::kUniform, few},
      {"ipip_hit", Mode::kIpip, Traffic::kHit, Order::kUniform, few},
      {"nat_hit",
       Mode::kNat,
       Traffic::kHit,
       Order::kUniform,
       {1'000, 100'000, kFewFlows, 10'000'000}},
      {"nat_hit_zipf", Mode::kNat, Traffic::kHit, Order::kZipf, {kFewFlows}},
      {"nat_miss", Mode::kNat, Traffic::kMiss, Order::kUniform, few},
      {"nat_reply", Mode::kNat, Traffic::kReply, Order::kUniform, {1'000, kFewFlows}},
  };
  for (const Case& which : cases) {
    for (const std::uint32_t flows : which.flows) {
      if (flows > options.most_flows || !std::string(which.name).starts_with(options.only)) {
        continue;
      }
      if (available_bytes() < kBytesPerFlow * flows) {
        report.remark("stage." + std::string(which.name) + "." + std::to_string(flows) + ".total",
                      "too little memory is free");
        continue;
      }
      measure(which, flows, options, report);
    }
  }
  for (const Mode mode : {Mode::kDsr, Mode::kNat}) {
    if ((std::string(mode_name(mode)) + "_insert").starts_with(options.only)) {
      measure_inserts(mode, options, report);
    }
  }
  report.print();
  return 0;
}

}  // namespace
}  // namespace holdfast::dataplane::bench

int main(int argc, char** argv) { return holdfast::dataplane::bench::run(argc, argv); }
