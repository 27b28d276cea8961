// SPDX-License-Identifier: Apache-2.0
// The keyed hash: AES against FIPS 197's example, the portable form against the instructions, fixed
// values so that nodes of different builds and machines agree, and that every input bit counts.
#include "dataplane/hash.h"

#include "tests/support/packet.h"

#include <bitset>
#include <random>
#include <set>

#include <gmock/gmock.h>

namespace holdfast::dataplane {
namespace {

using holdfast::testing::address;

constexpr HashKey kCountingKey = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

FlowKey random_key(std::mt19937_64& random, bool v6) {
  FlowKey key;
  const auto random_address = [&] {
    if (!v6) {
      return Address::v4(Be32::from_host(static_cast<std::uint32_t>(random())));
    }
    Address result;
    for (std::uint8_t& byte : result.bytes) {
      byte = static_cast<std::uint8_t>(random());
    }
    return result;
  };
  key.source = random_address();
  key.destination = random_address();
  key.source_port = Be16::from_host(static_cast<std::uint16_t>(random()));
  key.destination_port = Be16::from_host(static_cast<std::uint16_t>(random()));
  key.protocol = random() % 2 == 0 ? Protocol::kTcp : Protocol::kUdp;
  return key;
}

FlowKey fixed_key(const char* source, const char* destination) {
  return {.source = address(source),
          .destination = address(destination),
          .source_port = Be16::from_host(40000),
          .destination_port = Be16::from_host(443),
          .protocol = Protocol::kTcp};
}

TEST(Hash, AesEncryptsTheExampleOfFips197) {
  aes::Portable::Block plain{};
  for (std::size_t i = 0; i < plain.size(); ++i) {
    plain[i] = static_cast<std::uint8_t>(i * 0x11);
  }
  const aes::Portable::Block expected = {0x69,
                                         0xc4,
                                         0xe0,
                                         0xd8,
                                         0x6a,
                                         0x7b,
                                         0x04,
                                         0x30,
                                         0xd8,
                                         0xcd,
                                         0xb7,
                                         0x80,
                                         0x70,
                                         0xb4,
                                         0xc5,
                                         0x5a};
  EXPECT_EQ(aes::encrypt(kCountingKey, plain), expected);
}

TEST(Hash, KeepsItsValuesForeverSoThatNodesOfAllBuildsAgree) {
  const FlowHasher hash(kCountingKey);
  EXPECT_EQ(hash(fixed_key("198.51.100.7", "203.0.113.10")), 0xc470772a5c7afac3u);
  EXPECT_EQ(hash(fixed_key("2001:db8::7", "2001:db8:1::10")), 0x1ff6ea614d2c4cb4u);
  EXPECT_EQ(hash.words(1, 2), 0xa8fb15b5d2226388u);
  EXPECT_EQ(hash.address_pair(address("198.51.100.7"), address("203.0.113.10")),
            0x3c4044993ac7f668u);
}

#ifdef __AES__
TEST(Hash, PortableFormAgreesWithTheInstructions) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; ++i) {
    HashKey secret{};
    for (std::uint8_t& byte : secret) {
      byte = static_cast<std::uint8_t>(random());
    }
    const HashSchedule keys = HashSchedule::from(secret);
    const FlowKey key = random_key(random, i % 2 == 0);
    using Portable = BasicHash<aes::Portable>;
    using Native = BasicHash<aes::Native>;
    ASSERT_EQ(Portable::flow(keys, key), Native::flow(keys, key));
    ASSERT_EQ(Portable::pair(keys, key.source, key.destination),
              Native::pair(keys, key.source, key.destination));
    const std::uint64_t word = random();
    ASSERT_EQ(Portable::words(keys, word, ~word), Native::words(keys, word, ~word));
  }
}
#endif

// Every single-bit change must flip about half of the 64 output bits: 32 on average, with a
// deviation of 4 for one sample and of 4 / sqrt(rounds) for the mean.
TEST(Hash, EveryBitOfTheTupleFlipsHalfOfTheOutput) {
  constexpr int kRounds = 400;
  std::mt19937_64 random(2);
  const FlowHasher hash(kCountingKey);
  for (const bool v6 : {false, true}) {
    for (std::size_t bit = 0; bit < 32 * 8; ++bit) {
      const std::size_t byte = bit / 8;
      if (!v6 && byte % 16 < 12) {
        continue;
      }
      double flipped = 0;
      for (int round = 0; round < kRounds; ++round) {
        const FlowKey before = random_key(random, v6);
        FlowKey after = before;
        Address& changed = byte < 16 ? after.source : after.destination;
        changed.bytes[byte % 16] ^= static_cast<std::uint8_t>(1u << (bit % 8));
        flipped += static_cast<double>(std::bitset<64>(hash(before) ^ hash(after)).count());
      }
      EXPECT_NEAR(flipped / kRounds, 32.0, 1.5) << "bit " << bit << (v6 ? " v6" : " v4");
    }
  }
}

TEST(Hash, PortsProtocolAndFamilyCount) {
  const FlowHasher hash(kCountingKey);
  const FlowKey key = fixed_key("198.51.100.7", "203.0.113.10");
  std::set<std::uint64_t> seen = {hash(key)};
  FlowKey other = key;
  std::swap(other.source, other.destination);
  EXPECT_TRUE(seen.insert(hash(other)).second) << "direction";
  other = key;
  std::swap(other.source_port, other.destination_port);
  EXPECT_TRUE(seen.insert(hash(other)).second) << "ports swapped";
  other = key;
  other.protocol = Protocol::kUdp;
  EXPECT_TRUE(seen.insert(hash(other)).second) << "protocol";
  EXPECT_TRUE(seen.insert(hash(fixed_key("::198.51.100.7", "::203.0.113.10"))).second) << "family";
  EXPECT_TRUE(seen.insert(FlowHasher(HashKey{})(key)).second) << "secret";
}

TEST(Hash, SpreadsConsecutivePortsEvenlyOverBuckets) {
  const FlowHasher hash(kCountingKey);
  FlowKey key = fixed_key("198.51.100.7", "203.0.113.10");
  std::array<int, 64> buckets{};
  for (unsigned port = 0; port < 65536; ++port) {
    key.source_port = Be16::from_host(static_cast<std::uint16_t>(port));
    ++buckets[hash(key) % buckets.size()];
  }
  // 1024 expected, deviation 32: six deviations.
  EXPECT_THAT(buckets, ::testing::Each(::testing::AllOf(::testing::Gt(832), ::testing::Lt(1216))));
}

TEST(Hash, WordsCountInTheirOrder) {
  const FlowHasher hash(kCountingKey);
  EXPECT_NE(hash.words(7, 9), hash.words(9, 7));
}

}  // namespace
}  // namespace holdfast::dataplane
