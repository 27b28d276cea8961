// SPDX-License-Identifier: Apache-2.0
// Routes and neighbours: longest prefix, metrics, gateways, both families, and agreement with a
// plain linear search over random routes.
#include "dataplane/neighborhood.h"

#include "tests/support/packet.h"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>

namespace holdfast::dataplane {
namespace {

using State = NextHop::State;

constexpr MacAddress kWanMac = {2, 0, 0, 0, 0, 1};
constexpr MacAddress kLanMac = {2, 0, 0, 0, 0, 2};
constexpr MacAddress kRouterMac = {2, 0, 0, 0, 0, 0x10};
constexpr MacAddress kBackendMac = {2, 0, 0, 0, 0, 0x20};

Address at(const char* text) { return holdfast::testing::address(text); }

std::vector<Link> two_links() {
  return {{.port = 0, .name = "wan0", .mac = kWanMac, .mtu = 1500},
          {.port = 1, .name = "lan0", .mac = kLanMac, .mtu = 9000}};
}

Route route(const char* prefix,
            std::uint8_t length,
            const char* gateway,
            PortIndex port,
            std::uint32_t metric = 0) {
  return {.prefix = at(prefix),
          .length = length,
          .gateway = gateway == nullptr ? Address{} : at(gateway),
          .port = port,
          .metric = metric};
}

Neighborhood example() {
  const std::vector<Route> routes = {
      route("0.0.0.0", 0, "192.0.2.1", 0),
      route("192.0.2.0", 24, nullptr, 0),
      route("10.0.3.0", 24, nullptr, 1),
      route("10.0.3.128", 25, "10.0.3.9", 1),
      route("::", 0, "fe80::1", 0),
      route("2001:db8:3::", 64, nullptr, 1),
      route("fe80::", 64, nullptr, 0),
  };
  const std::vector<Neighbor> neighbors = {
      {.address = at("192.0.2.1"), .mac = kRouterMac, .port = 0},
      {.address = at("10.0.3.11"), .mac = kBackendMac, .port = 1},
      {.address = at("fe80::1"), .mac = kRouterMac, .port = 0},
      {.address = at("2001:db8:3::11"), .mac = kBackendMac, .port = 1},
  };
  return {two_links(), routes, neighbors};
}

TEST(Neighborhood, ResolvesOnLinkDestinationByItsOwnEntry) {
  for (const char* backend : {"10.0.3.11", "2001:db8:3::11"}) {
    const NextHop hop = example().resolve(at(backend));
    EXPECT_EQ(hop.state, State::kResolved) << backend;
    EXPECT_EQ(hop.port, 1);
    EXPECT_EQ(hop.mtu, 9000);
    EXPECT_EQ(hop.destination, kBackendMac);
    EXPECT_EQ(hop.source, kLanMac);
  }
}

TEST(Neighborhood, ResolvesFarDestinationByItsGateway) {
  for (const char* client : {"198.51.100.7", "2001:db8:ffff::7"}) {
    const NextHop hop = example().resolve(at(client));
    EXPECT_EQ(hop.state, State::kResolved) << client;
    EXPECT_EQ(hop.port, 0);
    EXPECT_EQ(hop.destination, kRouterMac);
    EXPECT_EQ(hop.source, kWanMac);
  }
}

TEST(Neighborhood, NamesTheAddressWhoseNeighborIsMissing) {
  const Neighborhood hood = example();
  EXPECT_EQ(hood.resolve(at("10.0.3.12")).state, State::kNoNeighbor);
  EXPECT_EQ(hood.resolve(at("10.0.3.12")).port, 1);
  EXPECT_EQ(hood.next_hop_address(at("10.0.3.12")), at("10.0.3.12"));
  EXPECT_EQ(hood.next_hop_address(at("198.51.100.7")), at("192.0.2.1"));
}

TEST(Neighborhood, LongerPrefixWins) {
  EXPECT_EQ(example().next_hop_address(at("10.0.3.200")), at("10.0.3.9"));
  EXPECT_EQ(example().next_hop_address(at("10.0.3.100")), at("10.0.3.100"));
}

TEST(Neighborhood, DefaultRouteOfOneFamilyIsNoRouteOfTheOther) {
  const std::vector<Route> only_v6 = {route("::", 0, "fe80::1", 0)};
  const Neighborhood hood(two_links(), only_v6, {});
  EXPECT_EQ(hood.resolve(at("198.51.100.7")).state, State::kNoRoute);
  EXPECT_EQ(hood.next_hop_address(at("198.51.100.7")), Address{});
  const std::vector<Route> only_v4 = {route("0.0.0.0", 0, "192.0.2.1", 0)};
  EXPECT_EQ(Neighborhood(two_links(), only_v4, {}).resolve(at("2001:db8::1")).state,
            State::kNoRoute);
}

TEST(Neighborhood, SmallerMetricWinsThenTheLaterRoute) {
  const std::vector<Route> routes = {route("10.0.0.0", 8, "192.0.2.1", 0, 20),
                                     route("10.0.0.0", 8, "192.0.2.2", 0, 10),
                                     route("10.0.0.0", 8, "192.0.2.3", 0, 10),
                                     route("10.0.0.0", 8, "192.0.2.4", 0, 30)};
  EXPECT_EQ(Neighborhood(two_links(), routes, {}).next_hop_address(at("10.1.1.1")),
            at("192.0.2.3"));
}

TEST(Neighborhood, SameNeighborAddressOnTwoPortsIsTwoNeighbors) {
  const std::vector<Route> routes = {route("10.0.1.0", 24, "fe80::1", 0),
                                     route("10.0.2.0", 24, "fe80::1", 1)};
  const std::vector<Neighbor> neighbors = {
      {.address = at("fe80::1"), .mac = kRouterMac, .port = 0},
      {.address = at("fe80::1"), .mac = kBackendMac, .port = 1}};
  const Neighborhood hood(two_links(), routes, neighbors);
  EXPECT_EQ(hood.resolve(at("10.0.1.1")).destination, kRouterMac);
  EXPECT_EQ(hood.resolve(at("10.0.2.1")).destination, kBackendMac);
}

TEST(Neighborhood, LaterNeighborReplacesTheEarlierOne) {
  const std::vector<Route> routes = {route("10.0.3.0", 24, nullptr, 1)};
  const std::vector<Neighbor> neighbors = {
      {.address = at("10.0.3.11"), .mac = kRouterMac, .port = 1},
      {.address = at("10.0.3.11"), .mac = kBackendMac, .port = 1}};
  EXPECT_EQ(Neighborhood(two_links(), routes, neighbors).resolve(at("10.0.3.11")).destination,
            kBackendMac);
}

TEST(Neighborhood, OnLinkHoldsPerPortAndOnlyWithoutGateway) {
  const Neighborhood hood = example();
  EXPECT_TRUE(hood.on_link(at("10.0.3.77"), 1));
  EXPECT_FALSE(hood.on_link(at("10.0.3.77"), 0));
  EXPECT_FALSE(hood.on_link(at("198.51.100.7"), 0)) << "behind the default gateway";
  EXPECT_TRUE(hood.on_link(at("10.0.3.200"), 1)) << "the /24 holds it, though a /25 routes it";
  EXPECT_TRUE(hood.on_link(at("2001:db8:3::77"), 1));
}

TEST(Neighborhood, OnLinkHoldsOnBothPortsOfOneSubnet) {
  const std::vector<Route> routes = {route("10.0.3.0", 24, nullptr, 0, 100),
                                     route("10.0.3.0", 24, nullptr, 1, 200)};
  const Neighborhood hood(two_links(), routes, {});
  EXPECT_TRUE(hood.on_link(at("10.0.3.1"), 0));
  EXPECT_TRUE(hood.on_link(at("10.0.3.1"), 1));
}

TEST(Neighborhood, LeavesOutWhatNamesNoLinkOrNoPrefix) {
  const std::vector<Route> routes = {route("10.0.0.0", 8, nullptr, 7),
                                     route("10.0.0.0", 33, nullptr, 0),
                                     route("2001:db8::", 129, nullptr, 0)};
  const std::vector<Neighbor> neighbors = {
      {.address = at("10.0.0.1"), .mac = kBackendMac, .port = 7}};
  const Neighborhood hood(two_links(), routes, neighbors);
  EXPECT_EQ(hood.resolve(at("10.0.0.1")).state, State::kNoRoute);
  EXPECT_EQ(hood.resolve(at("2001:db8::")).state, State::kNoRoute);
}

TEST(Neighborhood, EverythingViaOneMacKnowsEveryDestination) {
  const Neighborhood hood = Neighborhood::everything_via(two_links(), 1, kRouterMac);
  for (const char* anyone : {"10.0.3.11", "198.51.100.7", "2001:db8::1"}) {
    const NextHop hop = hood.resolve(at(anyone));
    EXPECT_EQ(hop.state, State::kResolved);
    EXPECT_EQ(hop.port, 1);
    EXPECT_EQ(hop.destination, kRouterMac);
    EXPECT_EQ(hop.source, kLanMac);
    EXPECT_EQ(hood.next_hop_address(at(anyone)), at(anyone));
    EXPECT_TRUE(hood.on_link(at(anyone), 0));
  }
}

TEST(Neighborhood, KnowsTheGatewaysOfAPort) {
  const Neighborhood hood = example();
  EXPECT_TRUE(hood.is_gateway(kRouterMac, 0));
  EXPECT_FALSE(hood.is_gateway(kRouterMac, 1));
  EXPECT_FALSE(hood.is_gateway(MacAddress{2, 0, 0, 0, 9, 9}, 0));
}

TEST(Neighborhood, EmptyOneHasNoRoute) {
  EXPECT_EQ(Neighborhood().resolve(at("10.0.0.1")).state, State::kNoRoute);
  EXPECT_FALSE(Neighborhood().on_link(at("10.0.0.1"), 0));
}

bool holds(const Route& candidate, const Address& address) {
  if (candidate.prefix.is_v4() != address.is_v4()) {
    return false;
  }
  const unsigned skipped = address.is_v4() ? 96 : 0;
  for (unsigned bit = skipped; bit < skipped + candidate.length; ++bit) {
    if (((candidate.prefix.bytes[bit / 8] ^ address.bytes[bit / 8]) & (0x80 >> bit % 8)) != 0) {
      return false;
    }
  }
  return true;
}

const Route* search(const std::vector<Route>& routes, const Address& address) {
  const Route* best = nullptr;
  for (const Route& candidate : routes) {
    if (holds(candidate, address) &&
        (best == nullptr || candidate.length > best->length ||
         (candidate.length == best->length && candidate.metric <= best->metric))) {
      best = &candidate;
    }
  }
  return best;
}

// Addresses of a tiny space, so that prefixes nest and collide.
Address crowded(std::mt19937& random, bool v6) {
  Address address = v6 ? at("2001:db8::") : at("10.0.0.0");
  for (const std::size_t byte : {13u, 14u, 15u}) {
    address.bytes[byte] = static_cast<std::uint8_t>(random() % 4);
  }
  return address;
}

TEST(Neighborhood, AgreesWithALinearSearchOverRandomRoutes) {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    std::vector<Route> routes;
    for (unsigned i = 0; i < 200; ++i) {
      const bool v6 = random() % 2 == 0;
      Address gateway = at("192.0.2.0");
      gateway.bytes[15] = static_cast<std::uint8_t>(i + 1);
      routes.push_back({.prefix = crowded(random, v6),
                        .length = static_cast<std::uint8_t>(random() % (v6 ? 129 : 33)),
                        .gateway = gateway,
                        .port = static_cast<PortIndex>(random() % 2),
                        .metric = static_cast<std::uint32_t>(random() % 3)});
    }
    const Neighborhood hood(two_links(), routes, {});
    for (int i = 0; i < 200; ++i) {
      const Address address = crowded(random, i % 2 == 0);
      const Route* expected = search(routes, address);
      ASSERT_EQ(hood.next_hop_address(address), expected ? expected->gateway : Address{})
          << address.text();
      ASSERT_EQ(hood.resolve(address).state, expected ? State::kNoNeighbor : State::kNoRoute);
    }
  }
}

}  // namespace
}  // namespace holdfast::dataplane
