// SPDX-License-Identifier: Apache-2.0
// Sums and updates against a plain recomputation, also where one's complement has two zeros.
#include "dataplane/checksum.h"

#include "dataplane/headers.h"
#include "tests/support/packet.h"

#include <array>
#include <memory>
#include <random>

#include <gmock/gmock.h>

namespace holdfast::dataplane {
namespace {

using holdfast::testing::Bytes;
using holdfast::testing::kClient;
using holdfast::testing::kClient6;
using holdfast::testing::kVip;
using holdfast::testing::kVip6;
using holdfast::testing::ones_complement_sum;
using holdfast::testing::tcp;
using holdfast::testing::udp;

Bytes random_bytes(std::mt19937& random, std::size_t size) {
  Bytes bytes(size);
  for (std::uint8_t& byte : bytes) {
    // Many zeros and ones, so that sums meet their edges.
    const auto value = random();
    byte = value % 4 == 0 ? 0 : value % 4 == 1 ? 0xff : static_cast<std::uint8_t>(value >> 8);
  }
  return bytes;
}

std::span<const std::byte> view(const Bytes& bytes) { return std::as_bytes(std::span(bytes)); }

Be16 recompute(const Bytes& bytes) {
  return Be16::from_host(static_cast<std::uint16_t>(~ones_complement_sum(bytes)));
}

TEST(Checksum, SumsTheExampleOfRfc1071) {
  const Bytes bytes = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(ChecksumSum(view(bytes)).checksum().to_host(), static_cast<std::uint16_t>(~0xddf2));
}

TEST(Checksum, SumsEveryLengthAtEveryAlignmentWithoutReadingFurther) {
  std::mt19937 random(1);
  for (std::size_t head = 0; head < 4; ++head) {
    for (std::size_t size = 0; size < 70; ++size) {
      const Bytes bytes = random_bytes(random, size);
      const std::unique_ptr<std::byte[]> exact(new std::byte[head + size]);
      if (size > 0) {
        std::memcpy(exact.get() + head, bytes.data(), size);
      }
      EXPECT_EQ(ChecksumSum({exact.get() + head, size}).checksum(), recompute(bytes)) << size;
    }
  }
}

TEST(Checksum, SumsLargeDataWithoutLosingCarries) {
  const Bytes ones(65535, 0xff);
  EXPECT_EQ(ChecksumSum(view(ones)).checksum(), recompute(ones));
}

TEST(Checksum, PartsAddUp) {
  std::mt19937 random(2);
  const Bytes bytes = random_bytes(random, 61);
  const auto whole = view(bytes);
  EXPECT_EQ((ChecksumSum(whole.first(20)) + ChecksumSum(whole.subspan(20))).checksum(),
            recompute(bytes));
}

TEST(Checksum, VerifiesDataThatHoldsItsOwnChecksum) {
  std::mt19937 random(3);
  Bytes bytes = random_bytes(random, 20);
  bytes[10] = bytes[11] = 0;
  const std::uint16_t checksum = recompute(bytes).to_host();
  bytes[10] = static_cast<std::uint8_t>(checksum >> 8);
  bytes[11] = static_cast<std::uint8_t>(checksum);
  EXPECT_TRUE(ChecksumSum(view(bytes)).verifies());
  bytes[3] ^= 0x10;
  EXPECT_FALSE(ChecksumSum(view(bytes)).verifies());
}

// The case that RFC 1624 §3 works out: eqn. 2 would answer 0xffff.
TEST(Checksum, UpdatesTheExampleOfRfc1624) {
  ChecksumSum changes;
  changes.replace(Be16::from_host(0x5555), Be16::from_host(0x3285));
  EXPECT_EQ(update_checksum(Be16::from_host(0xdd2f), changes).to_host(), 0x0000);
}

TEST(Checksum, UpdateEqualsRecomputationForEveryWordAgainstEveryEdge) {
  for (const std::uint16_t rest :
       std::initializer_list<std::uint16_t>{1, 0xff, 0x7fff, 0xfffe, 0xffff}) {
    for (const std::uint16_t before :
         std::initializer_list<std::uint16_t>{0, 1, 0x8000, 0xfffe, 0xffff}) {
      for (unsigned after = 0; after < 65536; ++after) {
        const auto data = [&](unsigned word) {
          return Bytes{static_cast<std::uint8_t>(rest >> 8),
                       static_cast<std::uint8_t>(rest),
                       static_cast<std::uint8_t>(word >> 8),
                       static_cast<std::uint8_t>(word)};
        };
        ChecksumSum changes;
        changes.replace(Be16::from_host(before),
                        Be16::from_host(static_cast<std::uint16_t>(after)));
        ASSERT_EQ(update_checksum(recompute(data(before)), changes), recompute(data(after)))
            << rest << ' ' << before << ' ' << after;
      }
    }
  }
}

TEST(Checksum, UpdateEqualsRecomputationForAddressesAndPorts) {
  std::mt19937 random(4);
  for (int round = 0; round < 20'000; ++round) {
    const bool v6 = round % 2 == 0;
    const std::size_t size = v6 ? 16 : 4;
    Bytes before = random_bytes(random, size + 6);
    before[size + 5] |= 1;  // data of a packet is never all zero: its length is in the sum
    Bytes after = random_bytes(random, size + 2);
    after.insert(after.end(), before.end() - 4, before.end());
    const auto address = [&](const Bytes& bytes) {
      return v6 ? Address::v6(bytes.data()) : Address::v4(load<Be32>(view(bytes).data()));
    };
    const auto port = [&](const Bytes& bytes) { return load<Be16>(view(bytes).data() + size); };
    ChecksumSum changes;
    changes.replace(address(before), address(after));
    changes.replace(port(before), port(after));
    ASSERT_EQ(update_checksum(recompute(before), changes), recompute(after));
    if (!v6) {
      ChecksumSum words;
      words.replace(address(before).v4_bits(), address(after).v4_bits());
      words.replace(port(before), port(after));
      ASSERT_EQ(update_checksum(recompute(before), words), recompute(after));
    }
  }
}

TEST(Checksum, UdpZeroStaysZeroAndIsNeverMade) {
  ChecksumSum changes;
  changes.replace(Be16::from_host(1), Be16::from_host(2));
  EXPECT_EQ(update_udp_checksum(Be16{}, changes), Be16{});
  for (unsigned value = 1; value < 65536; ++value) {
    const Be16 checksum = Be16::from_host(static_cast<std::uint16_t>(value));
    const Be16 updated = update_udp_checksum(checksum, changes);
    ASSERT_NE(updated, Be16{}) << value;
    const Be16 plain = update_checksum(checksum, changes);
    ASSERT_TRUE(updated == plain || (plain == Be16{} && updated.to_host() == 0xffff)) << value;
  }
}

// 0xffff on the wire is a computed 0; after a change and back it must still verify.
TEST(Checksum, UdpChecksumSurvivesAChangeAndItsReversal) {
  ChecksumSum there;
  ChecksumSum back;
  there.replace(Be32::from_host(0xcb00710a), Be32::from_host(0x0a00030b));
  back.replace(Be32::from_host(0x0a00030b), Be32::from_host(0xcb00710a));
  for (unsigned value = 1; value < 65536; ++value) {
    const Be16 checksum = Be16::from_host(static_cast<std::uint16_t>(value));
    ASSERT_EQ(update_udp_checksum(update_udp_checksum(checksum, there), back), checksum);
  }
}

TEST(Checksum, PseudoHeadersAgreeWithRealPackets) {
  for (const Bytes& frame : {udp(kClient, kVip).payload("hello").bytes(),
                             tcp(kClient6, kVip6).syn().payload("odd").bytes()}) {
    const bool v4 = frame[12] == 0x08;
    const std::size_t l4 = v4 ? 34 : 54;
    const auto upper = view(frame).subspan(l4);
    const ChecksumSum sum =
        ChecksumSum(upper) + pseudo_header(v4 ? kClient.address : kClient6.address,
                                           v4 ? kVip.address : kVip6.address,
                                           v4 ? Protocol::kUdp : Protocol::kTcp,
                                           static_cast<std::uint32_t>(upper.size()));
    EXPECT_TRUE(sum.verifies());
  }
}

}  // namespace
}  // namespace holdfast::dataplane
