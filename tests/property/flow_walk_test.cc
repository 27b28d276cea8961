// SPDX-License-Identifier: Apache-2.0
// Random flows begin, end, are reset and moved, at a table's full load; a std::unordered_map knows
// where each belongs. The walk's count, its rows and its moves agree with that, entry by entry.
#include "tests/packet/walk_rig.h"

#include <random>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::FlowFindings;
using dataplane::FlowRow;
using dataplane::Mode;
using dataplane::Verdict;

class WalkStory {
 public:
  WalkStory(Mode mode, std::uint32_t seed) : rig_(three_backends(mode), 512), random_(seed) {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      const unsigned what = static_cast<unsigned>(random_() % 100);
      if (what < 90) {
        begin_or_go_on();
      } else if (what < 96) {
        move();
      } else {
        look();
      }
    }
    look();
  }

 private:
  std::uint16_t any_port() { return static_cast<std::uint16_t>(1 + random_() % 600); }

  void begin_or_go_on() {
    const std::uint16_t port = any_port();
    const Endpoint client = kClient.at_port(port);
    const auto known = backends_.find(port);
    const Outcome outcome = rig_.appliance.send(known == backends_.end() ? tcp(client, kVip).syn()
                                                                         : tcp(client, kVip).ack());
    ASSERT_EQ(outcome.verdict, Verdict::kForward);
    if (known != backends_.end()) {
      EXPECT_EQ(outcome.backend, known->second) << "port " << port;
    } else if (rig_.worker().stats.flows_untracked.get() == untracked_) {
      backends_[port] = outcome.backend;
      rig_.appliance.send(tcp(client, kVip).ack());
    }
    untracked_ = rig_.worker().stats.flows_untracked.get();
  }

  void move() {
    const std::string from = std::to_string(1 + random_() % 3);
    const std::string to = std::to_string(1 + random_() % 3);
    if (from == to) {
      return;
    }
    const FlowFindings found = rig_.move(from, to);
    std::uint64_t expected = 0;
    for (auto& [port, backend] : backends_) {
      expected += backend == from ? 1U : 0U;
      backend = backend == from ? to : backend;
    }
    EXPECT_EQ(found.given, expected);
  }

  void look() {
    const FlowFindings found = rig_.list();
    EXPECT_EQ(found.matched, backends_.size());
    std::unordered_map<std::uint16_t, std::string> rows;
    for (const FlowRow& row : found.rows) {
      rows[row.key.source_port.to_host()] = rig_.name_of(row.member);
    }
    EXPECT_EQ(rows, backends_);
    EXPECT_EQ(rig_.live_flows(), backends_.size());
  }

  WalkRig rig_;
  std::mt19937 random_;
  std::unordered_map<std::uint16_t, std::string> backends_;  // by the client's port
  std::uint64_t untracked_ = 0;
};

TEST(FlowWalkProperty, AgreesWithAMapOfAllFlows) {
  for (const Mode mode : {Mode::kDsr, Mode::kIpip, Mode::kVxlan}) {
    for (std::uint32_t seed = 1; seed <= 3; ++seed) {
      SCOPED_TRACE(std::string(mode_name(mode)) + " seed " + std::to_string(seed));
      WalkStory(mode, seed).run(1'000);
    }
  }
}

// What the order finds is to go to backend 2 of its service and family.
void send_to_second(std::span<const dataplane::MemberRecord> records, dataplane::FlowOrder& order) {
  for (std::size_t i = 0; i < records.size(); ++i) {
    const bool two = records[i].backend.view() == "2";
    for (std::size_t from = 0; two && from < records.size(); ++from) {
      if (order.members[from].wanted && records[from].service == records[i].service &&
          records[from].address.is_v4() == records[i].address.is_v4()) {
        order.members[from].to =
            dataplane::MemberId{static_cast<std::uint16_t>(i), records[i].epoch};
      }
    }
  }
}

// While a walk goes on, flows begin and crowd others into their other buckets: none that stood
// before is passed over.
TEST(FlowWalkProperty, AWalkAmongNewFlowsMissesNoneThatStood) {
  for (std::uint32_t seed = 1; seed <= 10; ++seed) {
    WalkRig rig(three_backends(Mode::kDsr), 512);
    std::mt19937 random(seed);
    std::vector<std::uint16_t> ports;
    const auto begin = [&](std::uint16_t port) {
      const std::uint64_t before = rig.worker().stats.flows_untracked.get();
      rig.appliance.send(tcp(kClient.at_port(port), kVip).syn());
      rig.appliance.send(tcp(kClient.at_port(port), kVip).ack());
      return rig.worker().stats.flows_untracked.get() == before;
    };
    std::uint16_t next = static_cast<std::uint16_t>(random() % 10'000);
    for (int i = 0; i < 400; ++i) {
      if (begin(++next)) {
        ports.push_back(next);
      }
    }
    const auto order = rig.order(dataplane::WalkKind::kMove, "1");
    send_to_second(rig.appliance.solo().shared().member_records(), *order);
    dataplane::FlowWalk walk(*order);
    while (!walk_some(walk, rig.worker(), rig.appliance.solo().generation(), rig.now_ms())) {
      begin(++next);
      begin(++next);
    }
    for (const std::uint16_t port : ports) {
      EXPECT_NE(rig.appliance.send(tcp(kClient.at_port(port), kVip).ack()).backend, "1");
    }
  }
}

}  // namespace
}  // namespace holdfast::testing
