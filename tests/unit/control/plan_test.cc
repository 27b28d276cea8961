// SPDX-License-Identifier: Apache-2.0
// What `holdfast plan` says of two generations.
#include "control/engine/plan.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using dataplane::Address;
using dataplane::GenerationSpec;
using dataplane::MemberSpec;
using dataplane::Protocol;
using dataplane::ServiceSpec;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

MemberSpec member(const std::string& name, int last, std::uint32_t weight = 100) {
  return {.backend = name,
          .address = *Address::parse("10.0.3." + std::to_string(last)),
          .port = 8080,
          .weight = weight};
}

class PlanTest : public ::testing::Test {
 protected:
  PlanTest() {
    ServiceSpec& web = running_.services.emplace_back();
    web.name = "web";
    web.mode = dataplane::Mode::kDsr;
    web.slots = 4'093;
    web.bindings = {{*Address::parse("203.0.113.10"), Protocol::kTcp, 80, 80}};
    web.members = {member("a", 11), member("b", 12), member("c", 13)};
    running_.number = 7;
    wanted_ = running_;
  }
  [[nodiscard]] std::vector<std::string> changes() const {
    return planned_changes(
        running_, wanted_, [this](std::string_view, std::string_view) { return flows_; });
  }
  ServiceSpec& web() { return wanted_.services[0]; }

  GenerationSpec running_;
  GenerationSpec wanted_;
  std::optional<std::uint64_t> flows_ = 12;
};

TEST_F(PlanTest, SaysNothingOfWhatStays) { EXPECT_THAT(changes(), IsEmpty()); }

TEST_F(PlanTest, NamesBackendsThatComeGoAndChange) {
  web().members = {member("a", 11, 90), member("c", 23), member("d", 14, 50)};
  web().members[2].disposition = dataplane::Disposition::kKeep;
  EXPECT_THAT(
      changes(),
      ElementsAre("service web: backend a: weight 100 -> 90",
                  "service web: backend b is taken away, its 12 flows live on",
                  "service web: backend c: address 10.0.3.13:8080 -> 10.0.3.23:8080 (its 12 "
                  "flows stay at the old one)",
                  "service web: backend d (10.0.3.14:8080) is added with weight 50",
                  "service web: new flows go to 3 backends of weight 300 now, to 2 backends "
                  "of weight 190 and 1 that are not up then"));
}

TEST_F(PlanTest, NamesServicesThatComeAndGo) {
  web().name = "api";
  EXPECT_THAT(changes(),
              ElementsAre("service web is taken away, its 36 flows are lost",
                          "service api is added with 3 backends of weight 300"));
  flows_.reset();
  EXPECT_THAT(changes()[0], HasSubstr("its flows, which nobody can count now, are lost"));
}

TEST_F(PlanTest, NamesVipsPortsSettingsAndThePool) {
  web().bindings.push_back({*Address::parse("203.0.113.10"), Protocol::kTcp, 443, 443});
  web().timeouts.established += 1;
  wanted_.pools = {{*Address::parse("10.0.3.100"), *Address::parse("10.0.3.115")}};
  EXPECT_THAT(
      changes(),
      ElementsAre("service web: of its 1 pairs of VIP and port 0 are taken away, 1 are added",
                  "service web: its settings change (mode, timeouts, hash, ...)",
                  HasSubstr("new flows go to"),
                  "the nat pool changes: flows at addresses that it loses end"));
}

TEST_F(PlanTest, CountsTheSlotsThatMove) {
  for (MemberSpec& member : running_.services[0].members) {
    member.port = 0;  // as `dsr` has it
  }
  wanted_ = running_;
  const auto none = planned_slots(running_, wanted_, dataplane::HashKey{1});
  ASSERT_TRUE(none.has_value()) << none.error();
  EXPECT_THAT(*none, IsEmpty());
  web().members.pop_back();
  const auto slots = planned_slots(running_, wanted_, dataplane::HashKey{1});
  ASSERT_TRUE(slots.has_value());
  EXPECT_THAT(*slots, ElementsAre(HasSubstr("of 4093 slots moved, least possible 1364")));
}

TEST_F(PlanTest, SaysWhatTheDataplaneWouldRefuse) {
  web().slots = 4'094;
  EXPECT_FALSE(planned_slots(running_, wanted_, dataplane::HashKey{1}).has_value());
}

}  // namespace
}  // namespace holdfast::control
