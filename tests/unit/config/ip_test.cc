// SPDX-License-Identifier: Apache-2.0
// Addresses, ranges and ports.
#include "config/ip.h"

#include <string>

#include <gtest/gtest.h>

namespace holdfast::config {
namespace {

Node text(std::string value) { return {.kind = Kind::kScalar, .text = std::move(value)}; }

TEST(Ip, ReadsAndWritesBothFamilies) {
  for (const char* address :
       {"192.0.2.1", "255.255.255.255", "::", "2001:db8::1", "::1", "2001:db8:0:1::"}) {
    const auto parsed = parse_ip(address);
    ASSERT_TRUE(parsed) << address;
    EXPECT_EQ(parsed->text(), address);
  }
  EXPECT_EQ(parse_ip("2001:DB8:0:0:0:0:0:1")->text(), "2001:db8::1");
}

TEST(Ip, RefusesWhatIsAmbiguous) {
  for (const char* address : {"",
                              "1",
                              "1.2.3",
                              "1.2.3.4.5",
                              "1.2.3.256",
                              "01.2.3.4",
                              "0x1.2.3.4",
                              "1.2.3.4 ",
                              " 1.2.3.4",
                              "1.2.3.4:80",
                              "::1%lo",
                              "1::2::3",
                              "g::",
                              "[::1]",
                              "localhost"}) {
    EXPECT_FALSE(parse_ip(address)) << address;
  }
  EXPECT_FALSE(parse_ip(std::string_view("1.2.3.4\0", 8)));
}

TEST(Unicast, RefusesAddressesThatNoHostHas) {
  for (const char* address : {"0.0.0.0",
                              "0.1.2.3",
                              "224.0.0.1",
                              "239.255.255.255",
                              "169.254.0.0",
                              "169.254.255.255",
                              "240.0.0.1",
                              "255.255.255.255",
                              "::",
                              "ff02::1",
                              "fe80::1",
                              "febf::1",
                              "::ffff:1.2.3.4",
                              "::1.2.3.4"}) {
    EXPECT_FALSE(read_unicast(text(address))) << address;
  }
  for (const char* address : {"1.0.0.0",
                              "10.0.0.1",
                              "127.0.0.1",
                              "169.253.255.255",
                              "169.255.0.0",
                              "223.255.255.255",
                              "::1",
                              "2001:db8::1",
                              "fc00::1",
                              "fec0::1",
                              "64:ff9b::1.2.3.4"}) {
    EXPECT_TRUE(read_unicast(text(address))) << address;
  }
}

TEST(Range, TakesThreeForms) {
  const auto both = read_range(text("10.0.3.16-10.0.3.31"));
  ASSERT_TRUE(both);
  EXPECT_EQ(range_size(*both), 16U);
  const auto prefix = read_range(text("10.0.3.16/28"));
  ASSERT_TRUE(prefix);
  EXPECT_EQ(prefix->first, both->first);
  EXPECT_EQ(prefix->last, both->last);
  const auto single = read_range(text("2001:db8::5"));
  ASSERT_TRUE(single);
  EXPECT_EQ(range_size(*single), 1U);
  EXPECT_EQ(read_range(text("2001:db8::/112"))->last.text(), "2001:db8::ffff");
}

TEST(Range, CountsAcrossBytes) {
  EXPECT_EQ(range_size(*read_range(text("10.0.0.255-10.0.1.0"))), 2U);
  EXPECT_EQ(range_size(*read_range(text("10.0.255.255-10.1.0.0"))), 2U);
  EXPECT_EQ(range_size(*read_range(text("10.0.0.0/8"))), 16777216U);
  EXPECT_GE(range_size(*read_range(text("2001:db8::/32"))), std::uint64_t{1} << 40U);
}

TEST(Range, RefusesWhatIsNoRange) {
  for (const char* range : {"10.0.3.31-10.0.3.16",
                            "10.0.3.17/28",
                            "10.0.3.0/33",
                            "10.0.3.0/0",
                            "10.0.3.0/",
                            "10.0.3.0/028",
                            "10.0.3.1-",
                            "-10.0.3.1",
                            "10.0.3.1-2001:db8::1",
                            "10.0.3.1-10.0.3.2-10.0.3.3",
                            "127.0.0.1",
                            "223.0.0.0-224.0.0.1",
                            "169.254.1.0/24",
                            ""}) {
    EXPECT_FALSE(read_range(text(range))) << range;
  }
}

TEST(ServicePorts, AreProtocolAndNumberOrRange) {
  const auto single = read_service_port(text("tcp/80"));
  ASSERT_TRUE(single);
  EXPECT_EQ(single->protocol, Protocol::kTcp);
  EXPECT_EQ(single->first, 80);
  EXPECT_EQ(single->last, 80);
  const auto range = read_service_port(text("udp/5000-5010"));
  ASSERT_TRUE(range);
  EXPECT_EQ(range->protocol, Protocol::kUdp);
  EXPECT_EQ(range->last, 5010);
  for (const char* port : {"80",
                           "80/tcp",
                           "TCP/80",
                           "sctp/80",
                           "tcp/",
                           "tcp/0",
                           "tcp/65536",
                           "tcp/080",
                           "tcp/80-",
                           "tcp/-80",
                           "tcp/90-80",
                           "tcp/80-90-100",
                           "tcp",
                           "tcp/80 ",
                           "tcp/http",
                           ""}) {
    EXPECT_FALSE(read_service_port(text(port))) << port;
  }
}

TEST(Listen, IsAnAddressWithPortOrNone) {
  for (const char* listen : {"127.0.0.1:9180", "[::1]:0", "0.0.0.0:80", "none"}) {
    EXPECT_TRUE(read_listen(text(listen))) << listen;
  }
  for (const char* listen : {"::1:80",
                             "127.0.0.1",
                             ":80",
                             "localhost:80",
                             "[127.0.0.1]:80",
                             "127.0.0.1:",
                             "127.0.0.1:65536",
                             "127.0.0.1:080",
                             "[::1]",
                             "[]:80",
                             "no",
                             ""}) {
    EXPECT_FALSE(read_listen(text(listen))) << listen;
  }
  EXPECT_TRUE(listens_publicly("0.0.0.0:80"));
  EXPECT_FALSE(listens_publicly("[::1]:80"));
  EXPECT_FALSE(listens_publicly("none"));
}

}  // namespace
}  // namespace holdfast::config
