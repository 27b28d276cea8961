// SPDX-License-Identifier: Apache-2.0
// Routes to VIPs in a real kernel's tables, in a network namespace of the test's own.
#include "dataplane/process/vip_routes.h"

#include "dataplane/prefix.h"
#include "tests/support/eventually.h"
#include "tests/unit/process/network_lab.h"
#include "tests/unit/process/running_dataplane.h"
#include "tests/unit/process/seam_helpers.h"

#include <array>
#include <csignal>
#include <cstdio>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const RoutesSpec kSpec{.device = "hf0", .protocol = 240, .table = 254};

std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = ::popen(command.c_str(), "r");
  std::array<char, 4096> piece;
  while (pipe != nullptr && std::fgets(piece.data(), piece.size(), pipe) != nullptr) {
    text += piece.data();
  }
  if (pipe != nullptr) {
    ::pclose(pipe);
  }
  return text;
}

std::string routes4() { return output_of("ip -4 route list proto 240"); }
std::string routes6() { return output_of("ip -6 route list proto 240"); }

class VipRoutesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = lab_obstacle(); !why.empty()) {
      GTEST_SKIP() << why;
    }
  }
};

const VipPrefix kOneVip{address("203.0.113.10")};
const VipPrefix kOtherVip{address("203.0.113.11")};
const VipPrefix kSix{address("2001:db8::10")};
const VipPrefix kNet{address("198.51.100.0"), kMappedBits + 24};

std::unique_ptr<VipRoutes> opened(const RoutesSpec& spec = kSpec) {
  auto routes = VipRoutes::open(spec);
  EXPECT_TRUE(routes.has_value()) << routes.error().text;
  return routes ? std::move(*routes) : nullptr;
}

TEST_F(VipRoutesTest, StandInTheKernelsTableAsLongAsTheirOwnerLives) {
  in_new_network([] {
    auto routes = opened();
    ASSERT_TRUE(routes->set({kOneVip, kSix, kNet}).has_value());
    EXPECT_THAT(routes4(), HasSubstr("203.0.113.10 dev hf0"));
    EXPECT_THAT(routes4(), HasSubstr("198.51.100.0/24 dev hf0"));
    EXPECT_THAT(routes6(), HasSubstr("2001:db8::10 dev hf0"));
    ASSERT_TRUE(routes->set({kOtherVip, kSix}).has_value());
    EXPECT_THAT(routes4(), Not(HasSubstr("203.0.113.10 ")));
    EXPECT_THAT(routes4(), HasSubstr("203.0.113.11 dev hf0"));
    EXPECT_THAT(routes6(), HasSubstr("2001:db8::10 dev hf0"));
    EXPECT_EQ(routes->size(), 2U);
    routes.reset();
    EXPECT_EQ(output_of("ip link show hf0 2>/dev/null"), "");
    EXPECT_EQ(routes4() + routes6(), "");
  });
}

TEST_F(VipRoutesTest, StandInTheTableAndUnderTheProtocolThatTheySaidTo) {
  in_new_network([] {
    auto routes = opened({.device = "hf0", .protocol = 77, .table = 1000});
    ASSERT_TRUE(routes->set({kOneVip, kSix}).has_value());
    EXPECT_EQ(output_of("ip route list table 1000"), "203.0.113.10 dev hf0 proto 77 scope link \n");
    EXPECT_EQ(routes4(), "");
  });
}

TEST_F(VipRoutesTest, AreAsManyAsAConfigurationMayHave) {
  in_new_network([] {
    auto routes = opened();
    std::set<VipPrefix> many;
    for (std::uint32_t i = 0; i < 10'000; ++i) {
      many.insert({Address::v4(Be32::from_host(0x0a000000 + i))});
    }
    ASSERT_TRUE(routes->set(many).has_value());
    EXPECT_EQ(output_of("ip -4 route list proto 240 | wc -l"), "10000\n");
    ASSERT_TRUE(routes->set({}).has_value());
    EXPECT_EQ(routes4(), "");
  });
}

TEST_F(VipRoutesTest, LeaveOtherRoutesOfThePrefixAloneAndStandBesideThem) {
  in_new_network([] {
    run_command("ip link set lo up && ip route add 203.0.113.10/32 dev lo proto static");
    auto routes = opened();
    ASSERT_TRUE(routes->set({kOneVip}).has_value());
    EXPECT_THAT(routes4(), HasSubstr("203.0.113.10 dev hf0"));
    ASSERT_TRUE(routes->set({}).has_value());
    EXPECT_THAT(output_of("ip route list"), HasSubstr("203.0.113.10 dev lo proto static"));
  });
}

TEST_F(VipRoutesTest, AreMendedWhenSomebodyFlushesThemOrTheirDevice) {
  in_new_network([] {
    auto routes = opened();
    ASSERT_TRUE(routes->set({kOneVip, kSix}).has_value());
    EXPECT_FALSE(routes->mend());
    run_command("ip route flush proto 240");
    EXPECT_TRUE(routes->mend());
    EXPECT_THAT(routes4(), HasSubstr("203.0.113.10 dev hf0"));
    EXPECT_FALSE(routes->mend());
    run_command("ip link set hf0 down");
    EXPECT_EQ(routes4(), "");
    routes->mend();
    run_command("ip link set hf0 up");
    EXPECT_TRUE(testing::eventually([&] {
      routes->mend();
      return routes4().contains("203.0.113.10 dev hf0");
    }));
    EXPECT_THAT(routes4(), HasSubstr("203.0.113.10 dev hf0"));
    EXPECT_THAT(routes6(), HasSubstr("2001:db8::10 dev hf0"));
    run_command("ip link del hf0");
    EXPECT_TRUE(routes->mend());
    EXPECT_THAT(routes4(), HasSubstr("203.0.113.10 dev hf0"));
    EXPECT_EQ(routes->problem(), "");
  });
}

TEST_F(VipRoutesTest, AreNotMendedForWhatWasWithdrawn) {
  in_new_network([] {
    auto routes = opened();
    ASSERT_TRUE(routes->set({kOneVip, kOtherVip}).has_value());
    ASSERT_TRUE(routes->set({kOtherVip}).has_value());
    ASSERT_TRUE(routes->set({kOneVip, kOtherVip}).has_value());
    EXPECT_FALSE(routes->mend());
  });
}

TEST_F(VipRoutesTest, EndWhatTheMachineItselfSendsToAVipAndCountIt) {
  in_new_network([] {
    run_command("ip link set lo up");
    auto routes = opened();
    ASSERT_TRUE(routes->set({kOneVip}).has_value());
    run_command("ip addr add 10.9.9.9/32 dev lo");
    run_command("bash -c 'for i in 1 2 3; do echo >/dev/udp/203.0.113.10/9; done'");
    routes->discard();
    EXPECT_EQ(routes->discarded(), 3U);
    routes->discard();
    EXPECT_EQ(routes->discarded(), 3U);
  });
}

TEST_F(VipRoutesTest, TakeADeviceThatWasMadeToStayWithThem) {
  in_new_network([] {
    run_command("ip tuntap add dev hf0 mode tun");
    auto routes = opened();
    ASSERT_TRUE(routes->set({kOneVip}).has_value());
    routes.reset();
    EXPECT_EQ(output_of("ip link show hf0 2>/dev/null"), "");
  });
}

TEST_F(VipRoutesTest, RefuseADeviceOfAnotherKind) {
  in_new_network([] {
    run_command("ip tuntap add dev hf0 mode tap");
    const auto routes = VipRoutes::open(kSpec);
    ASSERT_FALSE(routes.has_value());
    EXPECT_THAT(routes.error().text, HasSubstr("routes: cannot make the interface hf0"));
  });
}

seam::Reply set_routes(seam::Client& client, const std::vector<VipPrefix>& vips) {
  seam::Request request;
  for (const VipPrefix& vip : vips) {
    auto& out = *request.mutable_set_routes()->add_vips();
    out.set_address(vip.address.bytes.data(), vip.address.bytes.size());
    out.set_prefix_bits(vip.bits);
  }
  return ask(client, request);
}

StartupSpec routing_startup(const Instance& instance) {
  StartupSpec startup = instance.startup();
  startup.routes = kSpec;
  return startup;
}

TEST_F(VipRoutesTest, OfTheProcessGoWithItAndComeBackWithTheNextOneWithoutControl) {
  in_new_network([] {
    const Instance instance;
    {
      RunningDataplane first(instance, routing_startup(instance));
      seam::Client control = first.client(1);
      EXPECT_FALSE(publish(control, small_generation(1)).has_error());
      EXPECT_EQ(routes4(), "");
      EXPECT_EQ(set_routes(control, {kOneVip, kOtherVip}).set_routes().routes(), 1U);
      EXPECT_THAT(routes4(), HasSubstr("203.0.113.10 dev hf0"));
      EXPECT_EQ(get_counters(control).routes().routes(), 1U);
      first.end(SIGKILL);
      EXPECT_EQ(routes4(), "");
    }
    RunningDataplane second(instance, routing_startup(instance));
    seam::Client control = second.client(2);
    EXPECT_TRUE(testing::eventually([] { return routes4().contains("203.0.113.10 dev hf0"); }));
    second.end(SIGTERM);
    EXPECT_EQ(routes4(), "");
  });
}

TEST_F(VipRoutesTest, OfTheProcessEndWithTheVip) {
  in_new_network([] {
    const Instance instance;
    RunningDataplane dataplane(instance, routing_startup(instance));
    seam::Client control = dataplane.client(1);
    publish(control, small_generation(1));
    set_routes(control, {kOneVip});
    GenerationSpec other = small_generation(2);
    other.services[0].bindings[0].vip = kOtherVip.address;
    EXPECT_FALSE(publish(control, other).has_error());
    EXPECT_EQ(routes4(), "");
    publish(control, small_generation(3));
    EXPECT_EQ(routes4(), "");
    EXPECT_EQ(set_routes(control, {kOneVip}).set_routes().routes(), 1U);
  });
}

TEST_F(VipRoutesTest, AreRefusedByAProcessThatWasStartedWithout) {
  const Instance instance;
  RunningDataplane dataplane(instance, instance.startup());
  seam::Client control = dataplane.client(1);
  publish(control, small_generation(1));
  EXPECT_THAT(set_routes(control, {kOneVip}).error().text(), HasSubstr("without `routes`"));
  EXPECT_FALSE(get_counters(control).has_routes());
}

}  // namespace
}  // namespace holdfast::dataplane
