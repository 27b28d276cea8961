// SPDX-License-Identifier: Apache-2.0
// What a worker remembers of the neighbours that it has just heard of.
#include "dataplane/recent_neighbors.h"

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

Address client(std::uint32_t number) { return Address::v4(Be32::from_host(0xcb007100U + number)); }
MacAddress mac_of(std::uint8_t number) { return {2, 0, 0, 0, 0, number}; }

TEST(RecentNeighbors, KnowsNobodyAtFirst) {
  EXPECT_EQ(RecentNeighbors().find(Address{}, 0), nullptr);
}

TEST(RecentNeighbors, TellsPortsApartAndTakesTheLatestWord) {
  RecentNeighbors recent;
  recent.add(client(1), mac_of(1), 0);
  recent.add(client(1), mac_of(2), 1);
  recent.add(client(1), mac_of(3), 0);
  ASSERT_NE(recent.find(client(1), 0), nullptr);
  EXPECT_EQ(*recent.find(client(1), 0), mac_of(3));
  EXPECT_EQ(*recent.find(client(1), 1), mac_of(2));
  EXPECT_EQ(recent.find(client(2), 0), nullptr);
}

TEST(RecentNeighbors, ForgetsWhatItHeardLongestAgo) {
  RecentNeighbors recent;
  for (std::uint32_t i = 0; i <= RecentNeighbors::kPlaces; ++i) {
    recent.add(client(i), mac_of(static_cast<std::uint8_t>(i)), 0);
  }
  EXPECT_EQ(recent.find(client(0), 0), nullptr);
  for (std::uint32_t i = 1; i <= RecentNeighbors::kPlaces; ++i) {
    EXPECT_NE(recent.find(client(i), 0), nullptr) << i;
  }
}

}  // namespace
}  // namespace holdfast::dataplane
