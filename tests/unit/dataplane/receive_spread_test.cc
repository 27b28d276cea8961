// SPDX-License-Identifier: Apache-2.0
// Which queue a card chooses, and which pool ports bring a reply to a given one.
#include "dataplane/receive_spread.h"

#include "dataplane/nat_open.h"
#include "tests/support/packet.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using testing::address;

constexpr HashedPorts kAll = {.tcp4 = true, .udp4 = true, .tcp6 = true, .udp6 = true};

// The key, addresses, ports and hashes of Microsoft's "Verifying the RSS Hash Calculation".
constexpr std::array<std::uint8_t, 40> kTheirKey = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

struct Vector {
  const char* source;
  std::uint16_t source_port;
  const char* destination;
  std::uint16_t destination_port;
  std::uint32_t of_ports;
  std::uint32_t of_addresses;

  [[nodiscard]] FlowKey key() const {
    return {.source = address(source),
            .destination = address(destination),
            .source_port = Be16::from_host(source_port),
            .destination_port = Be16::from_host(destination_port),
            .protocol = Protocol::kTcp};
  }
};

constexpr auto kVectors = std::to_array<Vector>(
    {{"66.9.149.187", 2794, "161.142.100.80", 1766, 0x51ccc178, 0x323e8fc2},
     {"199.92.111.2", 14230, "65.69.140.83", 4739, 0xc626b0ea, 0xd718262a},
     {"24.19.198.95", 12898, "12.22.207.184", 38024, 0x5c2b394a, 0xd2d0a5de},
     {"38.27.205.30", 48228, "209.142.163.6", 2217, 0xafc7327f, 0x82989176},
     {"153.39.163.191", 44251, "202.188.127.2", 1303, 0x10e828a2, 0x5d1809c5},
     {"3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x40207d3d, 0x2cc18cd5},
     {"3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0xdde51bbf, 0x0f0c461c},
     {"3ffe:1900:4545:3:200:f8ff:fe21:67cf",
      44251,
      "fe80::200:f8ff:fe21:67cf",
      38024,
      0x02d1feef,
      0x4b61e985}});

std::vector<std::uint8_t> addresses_of(const FlowKey& key) {
  std::vector<std::uint8_t> tuple;
  for (const Address& each : {key.source, key.destination}) {
    const auto first = each.bytes.begin() + (each.is_v4() ? 12 : 0);
    tuple.insert(tuple.end(), first, each.bytes.end());
  }
  return tuple;
}

std::vector<std::uint8_t> tuple_of(const FlowKey& key) {
  std::vector<std::uint8_t> tuple = addresses_of(key);
  for (const Be16 port : {key.source_port, key.destination_port}) {
    tuple.push_back(static_cast<std::uint8_t>(port.to_host() >> 8));
    tuple.push_back(static_cast<std::uint8_t>(port.to_host()));
  }
  return tuple;
}

TEST(Toeplitz, GivesTheHashesOfTheRssSpecification) {
  for (const Vector& vector : kVectors) {
    EXPECT_EQ(toeplitz(kTheirKey, tuple_of(vector.key())), vector.of_ports) << vector.source;
    EXPECT_EQ(toeplitz(kTheirKey, addresses_of(vector.key())), vector.of_addresses)
        << vector.source;
  }
}

TEST(ReceiveSpread, FollowsTheSpecificationsHashesForEveryNumberOfWorkers) {
  RssKey key{};
  std::ranges::copy(kTheirKey, key.begin());
  for (std::uint32_t workers = 1; workers <= 64; ++workers) {
    const ReceiveSpread spread(key, workers, kAll);
    for (const Vector& vector : kVectors) {
      EXPECT_EQ(spread.worker_of(vector.key()), vector.of_ports % 128 % workers);
    }
  }
}

TEST(ReceiveSpread, IsToldFromOthersThatLeadElsewhere) {
  const RssKey key = build_rss_key(FlowHasher(HashKey{1}));
  const std::vector<std::uint64_t> ids = {
      id_of({.workers = 2}),
      ReceiveSpread(key, 2, kAll).id(),
      ReceiveSpread(key, 3, kAll).id(),
      ReceiveSpread(key, 2, {.tcp4 = true}).id(),
      ReceiveSpread(build_rss_key(FlowHasher(HashKey{2})), 2, kAll).id(),
  };
  EXPECT_EQ(std::set(ids.begin(), ids.end()).size(), ids.size());
  EXPECT_EQ(ReceiveSpread(key, 2, kAll).id(), ids[1]);
}

TEST(ReceiveSpread, CoversWhatAllCardsHashWithPorts) {
  const ReceiveSpread spread(RssKey{}, 2, {.tcp4 = true, .udp6 = true});
  FlowKey four{.source = address("10.0.3.11"), .destination = address("10.0.3.16")};
  FlowKey six{.source = address("2001:db8::1"), .destination = address("2001:db8::2")};
  EXPECT_TRUE(spread.covers(four));
  EXPECT_FALSE(spread.covers(six));
  four.protocol = six.protocol = Protocol::kUdp;
  EXPECT_FALSE(spread.covers(four));
  EXPECT_TRUE(spread.covers(six));
}

TEST(RssKey, IsTheSecretsAndReachesEveryByteThatACardReads) {
  const RssKey one = build_rss_key(FlowHasher(HashKey{1}));
  const RssKey other = build_rss_key(FlowHasher(HashKey{2}));
  EXPECT_EQ(one, build_rss_key(FlowHasher(HashKey{1})));
  std::size_t differ = 0;
  for (std::size_t i = 0; i < one.size(); ++i) {
    differ += one[i] != other[i] ? 1U : 0U;
  }
  EXPECT_GT(differ, 50U);
}

// So that a suitable port is never far.
TEST(RssKey, MakesEachWorkerComeOnceAmongAsManyNeighbouringPorts) {
  for (std::uint8_t secret = 1; secret < 20; ++secret) {
    const RssKey rss_key = build_rss_key(FlowHasher(HashKey{secret}));
    for (const auto* const pool : {"10.0.3.16", "2001:db8:3::100"}) {
      const bool v4 = address(pool).is_v4();
      FlowKey reply{.source = address(v4 ? "10.0.3.11" : "2001:db8:3::11"),
                    .destination = address(pool),
                    .source_port = Be16::from_host(8080)};
      for (const std::uint32_t workers : {2U, 4U, 8U, 16U, 32U, 64U}) {
        const ReceiveSpread spread(rss_key, workers, kAll);
        for (std::uint32_t first = 1024; first < 65536; first += 8192) {
          std::set<std::uint32_t> seen;
          for (std::uint32_t port = first; port < first + workers; ++port) {
            reply.destination_port = Be16::from_host(static_cast<std::uint16_t>(port));
            seen.insert(spread.worker_of(reply));
          }
          EXPECT_EQ(seen.size(), workers) << pool << " " << workers << " " << first;
        }
      }
    }
  }
}

// Also where the number of workers is no power of two, and there is one pool address.
TEST(RssKey, PutsASuitablePortAmongThoseThatAreLookedAt) {
  const RssKey rss_key = build_rss_key(FlowHasher(HashKey{4}));
  FlowKey reply{.source = address("10.0.3.11"),
                .destination = address("10.0.3.16"),
                .source_port = Be16::from_host(8080)};
  for (std::uint32_t workers = 1; workers <= 64; ++workers) {
    const ReceiveSpread spread(rss_key, workers, kAll);
    std::vector<std::uint32_t> last(workers, 1023);
    for (std::uint32_t port = 1024; port < 65536; ++port) {
      reply.destination_port = Be16::from_host(static_cast<std::uint16_t>(port));
      std::uint32_t& before = last[spread.worker_of(reply)];
      ASSERT_LE(port - before, kSuitedPerWorker * workers) << workers << " " << port;
      before = port;
    }
  }
}

TEST(RssKey, SpreadsClientsOfOneServiceEvenly) {
  const ReceiveSpread spread(build_rss_key(FlowHasher(HashKey{3})), 3, kAll);
  std::map<std::uint32_t, int> share;
  for (std::uint16_t i = 0; i < 3000; ++i) {
    const FlowKey key{
        .source = address("198.18." + std::to_string(i / 250) + "." + std::to_string(i % 250)),
        .destination = address("203.0.113.10"),
        .source_port = Be16::from_host(static_cast<std::uint16_t>(1024 + 7 * i)),
        .destination_port = Be16::from_host(80)};
    ++share[spread.worker_of(key)];
  }
  for (std::uint32_t worker = 0; worker < 3; ++worker) {
    EXPECT_NEAR(share[worker], 1000, 150) << worker;
  }
}

TEST(RssTable, GivesEachQueueItsShareInTurn) {
  EXPECT_EQ(build_rss_table(4, 2), (std::vector<std::uint16_t>{0, 1, 0, 1}));
  for (const std::size_t entries : {64U, 128U, 512U, 2048U}) {
    for (std::uint16_t queues = 1; queues <= 64; ++queues) {
      std::map<std::uint16_t, std::size_t> share;
      for (const std::uint16_t queue : build_rss_table(entries, queues)) {
        ++share[queue];
      }
      EXPECT_EQ(share.size(), queues);
      const std::size_t turns = std::max<std::size_t>(entries / 128, 1);
      EXPECT_LE(share[0] - share[static_cast<std::uint16_t>(queues - 1)], turns);
    }
  }
}

TEST(RssTable, AgreesWithTheSpreadWhereItsIndexTellsTheQueue) {
  for (const std::size_t entries : {8U, 64U, 128U, 512U}) {
    for (std::uint16_t queues = 1; queues <= 64; ++queues) {
      const auto table = build_rss_table(entries, queues);
      const auto wide = build_rss_table(2048, queues);
      bool same = true;
      for (std::size_t hash = 0; hash < 2048; ++hash) {
        same = same && table[hash % entries] == wide[hash];
      }
      EXPECT_EQ(agrees_with_spread(entries, queues), same) << entries << " " << queues;
    }
  }
  EXPECT_FALSE(agrees_with_spread(192, 2));
}

}  // namespace
}  // namespace holdfast::dataplane
