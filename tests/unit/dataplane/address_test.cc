// SPDX-License-Identifier: Apache-2.0
// Addresses as text and the wire integers.
#include "dataplane/address.h"

#include <string>

#include <gmock/gmock.h>

namespace holdfast::dataplane {
namespace {

// ::dead stands for "refused", and is asked for nowhere.
Address parsed(std::string_view text) {
  return Address::parse(text).value_or(
      Address{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xde, 0xad}});
}

TEST(Address, ReadsAndWritesBothFamilies) {
  for (const char* text : {"0.0.0.0",
                           "192.0.2.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "2001:db8::1",
                           "fe80::ff:fe00:1",
                           "ff02::1:ff00:1",
                           "2001:db8:1:2:3:4:5:6"}) {
    const Address address = parsed(text);
    EXPECT_EQ(address.text(), text);
    EXPECT_EQ(address.is_v4(), std::string_view(text).contains('.')) << text;
  }
}

TEST(Address, ReadsLongSpellingsOfIpv6) {
  EXPECT_EQ(parsed("2001:0DB8:0000:0000:0000:0000:0000:0001").text(), "2001:db8::1");
}

TEST(Address, RefusesWhatIsNoAddress) {
  using namespace std::string_view_literals;
  for (const std::string_view text : {""sv,
                                      " "sv,
                                      "192.0.2"sv,
                                      "192.0.2.1.1"sv,
                                      "192.0.2.256"sv,
                                      "192.0.2.01"sv,
                                      "192.0.2.1 "sv,
                                      " 192.0.2.1"sv,
                                      "0x7f.0.0.1"sv,
                                      "3221225985"sv,
                                      "192.0.2.1/24"sv,
                                      "192.0.2.1\0"sv,
                                      "192.0.2.1\0x"sv,
                                      "2001:db8"sv,
                                      "2001:db8:::1"sv,
                                      "2001:db8::1::2"sv,
                                      "[2001:db8::1]"sv,
                                      "fe80::1%eth0"sv,
                                      "2001:db8::10000"sv,
                                      "g::1"sv,
                                      "1:2:3:4:5:6:7:8:9"sv,
                                      "localhost"sv}) {
    EXPECT_EQ(Address::parse(text), std::nullopt) << text;
  }
  EXPECT_EQ(Address::parse(std::string(10'000, '1')), std::nullopt);
}

TEST(Address, RefusesSecondSpellingOfIpv4) {
  EXPECT_EQ(Address::parse("::ffff:192.0.2.1"), std::nullopt);
  EXPECT_EQ(Address::parse("::ffff:c000:201"), std::nullopt);
}

TEST(Address, KeepsIpv4InItsLastFourBytes) {
  const Address address = Address::v4(Be32::from_host(0xc0000201));
  EXPECT_EQ(address.text(), "192.0.2.1");
  EXPECT_EQ(address.v4_bits().to_host(), 0xc0000201u);
  EXPECT_EQ(address, parsed("192.0.2.1"));
}

TEST(Address, IsIpv4OnlyWithTheWholeMappedPrefix) {
  const Address mapped = parsed("192.0.2.1");
  for (std::size_t byte = 0; byte < 12; ++byte) {
    Address other = mapped;
    other.bytes[byte] ^= 1;
    EXPECT_FALSE(other.is_v4()) << byte;
  }
}

TEST(Address, WireIntegersStandBigEndianInMemory) {
  const auto bytes = std::bit_cast<std::array<std::uint8_t, 4>>(Be32::from_host(0x01020304));
  EXPECT_THAT(bytes, testing::ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(Be16::from_wire(Be16::from_host(0xabcd).wire()).to_host(), 0xabcd);
}

}  // namespace
}  // namespace holdfast::dataplane
