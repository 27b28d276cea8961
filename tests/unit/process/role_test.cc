// SPDX-License-Identifier: Apache-2.0
// One of a pair: whether it answers for its VIPs and announces them, and what it is after its end.
#include "tests/support/eventually.h"
#include "tests/unit/process/network_lab.h"
#include "tests/unit/process/running_dataplane.h"
#include "tests/unit/process/seam_helpers.h"

#include <csignal>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using ::testing::HasSubstr;

constexpr const char* kRoleVip = "10.0.1.10";

class Pair : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = lab_obstacle(); !why.empty()) {
      GTEST_SKIP() << why;
    }
  }
};

StartupSpec pair_startup(const Instance& instance, Role role) {
  StartupSpec startup = instance.startup();
  startup.ports = {{.name = "wan", .device = PortDevice::kAfPacket, .interface = "wan0"},
                   {.name = "lan", .device = PortDevice::kAfPacket, .interface = "lan0"}};
  startup.role = role;
  return startup;
}

GenerationSpec on_link_generation(std::uint64_t number) {
  GenerationSpec spec = small_generation(number);
  spec.services[0].bindings[0].vip = address(kRoleVip);
  spec.services[0].members = {{.backend = "a", .address = address("10.0.3.11")}};
  return spec;
}

seam::Reply tell(seam::Client& client, Role role) {
  seam::Request request;
  request.mutable_set_role()->set_role(static_cast<std::uint32_t>(role));
  return ask(client, request);
}

Role role_of(seam::Client& client) { return static_cast<Role>(get_generation(client).role()); }

std::uint64_t announced(seam::Client& client) {
  return value_of(get_counters(client).workers(0).generated(), "announcement");
}

// Whether the client learns who has the VIP.
bool is_answered(const Lab& lab) {
  try {
    lab.client.run(
        "ip neigh flush to 10.0.1.10; bash -c 'echo >/dev/udp/10.0.1.10/9';"
        "for i in $(seq 20); do ip neigh show 10.0.1.10 | grep -q lladdr && exit 0; sleep 0.05; "
        "done;"
        "exit 1");
  } catch (const std::runtime_error&) {
    return false;
  }
  return true;
}

TEST_F(Pair, AnswersForNoVipOnStandbyAndAnnouncesThemTwiceWhenItTakesOver) {
  in_new_network([] {
    const Lab lab;
    const Instance instance;
    RunningDataplane dataplane(instance, pair_startup(instance, Role::kStandby));
    seam::Client control = dataplane.client(1);
    ASSERT_TRUE(publish(control, on_link_generation(1)).has_publish());
    EXPECT_EQ(role_of(control), Role::kStandby);
    EXPECT_FALSE(is_answered(lab));
    EXPECT_EQ(announced(control), 0U);
    EXPECT_TRUE(tell(control, Role::kActive).has_set_role());
    EXPECT_TRUE(testing::eventually([&] { return announced(control) == 1; }));
    EXPECT_TRUE(is_answered(lab));
    EXPECT_TRUE(tell(control, Role::kActive).has_set_role());
    EXPECT_TRUE(testing::eventually([&] { return announced(control) == 2; }));
    EXPECT_TRUE(tell(control, Role::kStandby).has_set_role());
    EXPECT_FALSE(is_answered(lab));
    EXPECT_EQ(get_counters(control).workers(0).unaccounted(), 0);
  });
}

TEST_F(Pair, ForwardsOnStandbyWhatComesNevertheless) {
  in_new_network([] {
    const Lab lab;
    const Instance instance;
    RunningDataplane dataplane(instance, pair_startup(instance, Role::kStandby));
    seam::Client control = dataplane.client(1);
    ASSERT_TRUE(publish(control, on_link_generation(1)).has_publish());
    const auto forwarded = [&] {
      lab.client.run(
          "ip neigh replace 10.0.1.10 lladdr $(ip neigh show 10.0.1.1 | cut -d' ' -f5) dev eth0;"
          "timeout 0.2 bash -c '</dev/tcp/10.0.1.10/80' 2>/dev/null; true");
      return value_of(get_counters(control).workers(0).values(), "forwarded") > 0;
    };
    lab.client.run("bash -c 'echo >/dev/udp/10.0.1.1/9'");
    EXPECT_TRUE(testing::eventually(forwarded));
  });
}

TEST_F(Pair, IsAfterItsDeathWhatItWasAndAfterAnOrderlyStopWhatItBeginsWith) {
  in_new_network([] {
    const Lab lab;
    const Instance instance;
    const StartupSpec startup = pair_startup(instance, Role::kStandby);
    {
      RunningDataplane first(instance, startup);
      seam::Client control = first.client(1);
      publish(control, on_link_generation(1));
      tell(control, Role::kActive);
      first.end(SIGKILL);
    }
    {
      RunningDataplane second(instance, startup);
      seam::Client control = second.client(2);
      EXPECT_EQ(role_of(control), Role::kActive);
      EXPECT_TRUE(is_answered(lab));
      second.end(SIGTERM);
    }
    RunningDataplane third(instance, startup);
    seam::Client control = third.client(3);
    EXPECT_EQ(role_of(control), Role::kStandby);
    EXPECT_FALSE(is_answered(lab));
  });
}

TEST_F(Pair, HasNoRoutesOnStandby) {
  in_new_network([] {
    const Lab lab;
    const Instance instance;
    StartupSpec startup = pair_startup(instance, Role::kStandby);
    startup.routes.device = "hf0";
    RunningDataplane dataplane(instance, startup);
    seam::Client control = dataplane.client(1);
    publish(control, on_link_generation(1));
    seam::Request request;
    const Address vip = address(kRoleVip);
    request.mutable_set_routes()->add_vips()->set_address(vip.bytes.data(), vip.bytes.size());
    request.mutable_set_routes()->mutable_vips(0)->set_prefix_bits(128);
    EXPECT_EQ(ask(control, request).set_routes().routes(), 0U);
    tell(control, Role::kActive);
    EXPECT_EQ(get_counters(control).routes().routes(), 1U);
    tell(control, Role::kStandby);
    EXPECT_EQ(get_counters(control).routes().routes(), 0U);
  });
}

TEST_F(Pair, IsNoneWhereTheDataplaneWasStartedAlone) {
  const Instance instance;
  RunningDataplane dataplane(instance, instance.startup());
  seam::Client control = dataplane.client(1);
  EXPECT_EQ(role_of(control), Role::kAlone);
  EXPECT_THAT(tell(control, Role::kStandby).error().text(), HasSubstr("without `pair`"));
  EXPECT_THAT(tell(control, Role::kAlone).error().text(), HasSubstr("1 (active) or 2 (standby)"));
}

}  // namespace
}  // namespace holdfast::dataplane
