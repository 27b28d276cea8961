// SPDX-License-Identifier: Apache-2.0
// Every fault that parse names, one frame each, and their order where two meet in one frame. Each
// is recorded, not dropped, and keeps both addresses for classify.
#include "dataplane/parse.h"
#include "tests/packet/icmp_quote.h"
#include "tests/support/exact_burst.h"
#include "tests/support/packet.h"

#include <ostream>
#include <string>

#include <gmock/gmock.h>

namespace holdfast::testing {
namespace {

using dataplane::Drop;
using dataplane::Kind;
using dataplane::Verdict;

struct FaultCase {
  std::string what;
  Packet packet;
  Drop fault;
};

std::ostream& operator<<(std::ostream& out, const FaultCase& test) { return out << test.what; }

Endpoint with_address(Endpoint endpoint, const char* text) {
  endpoint.address = address(text);
  return endpoint;
}

class ParseFault : public ::testing::TestWithParam<FaultCase> {};

TEST_P(ParseFault, IsRecordedWithBothAddressesAndLeftToClassify) {
  const FaultCase& test = GetParam();
  ExactBurst burst(test.packet.bytes());
  parse(*burst);
  ASSERT_EQ(burst->kind[0], Kind::kFaulty) << test.what;
  EXPECT_EQ(drop_name(burst->fault[0]), drop_name(test.fault)) << test.what;
  EXPECT_EQ(burst->verdict[0], Verdict::kPending);
  EXPECT_EQ(burst->key[0].source_port, Be16{});
  const bool v4 = burst.bytes()[12] == 0x08;
  const Bytes frame = burst.bytes();
  const std::size_t at = v4 ? 30 : 38;
  EXPECT_TRUE(std::equal(frame.begin() + static_cast<int>(at),
                         frame.begin() + static_cast<int>(at) + (v4 ? 4 : 16),
                         burst->key[0].destination.bytes.begin() + (v4 ? 12 : 0)));
}

std::vector<FaultCase> ipv4_fault_cases() {
  return {
      {"version 6 behind EtherType IPv4", tcp(kClient, kVip).ip_byte(0, 0x65), Drop::kBadVersion},
      {"version 0", tcp(kClient, kVip).ip_byte(0, 0x05), Drop::kBadVersion},
      {"IHL 0", tcp(kClient, kVip).ip_byte(0, 0x40), Drop::kBadHeaderLength},
      {"IHL 4", tcp(kClient, kVip).ip_byte(0, 0x44), Drop::kBadHeaderLength},
      {"IHL 15 in a frame of 42", udp(kClient, kVip).ip_byte(0, 0x4f), Drop::kTruncated},
      {"total length 0", tcp(kClient, kVip).ip_byte(3, 0), Drop::kBadLength},
      {"total length 19", tcp(kClient, kVip).ip_byte(3, 19), Drop::kBadLength},
      {"total length one too long", tcp(kClient, kVip).ip_byte(3, 41), Drop::kTruncated},
      {"total length 65535",
       tcp(kClient, kVip).ip_byte(2, 0xff).ip_byte(3, 0xff),
       Drop::kTruncated},
      {"cut behind the IP header", tcp(kClient, kVip).cut(34), Drop::kTruncated},
      {"cut inside the payload", tcp(kClient, kVip).payload(9).cut(60), Drop::kTruncated},
      {"header checksum", tcp(kClient, kVip).byte(24, 0x00).byte(25, 0x00), Drop::kBadChecksum},
      {"options not in the checksum",
       tcp(kClient, kVip).options({1, 1, 1, 0}).byte(34, 7),
       Drop::kBadChecksum},
      {"first fragment of a ping", echo_request(kClient, kVip).fragment(0, true), Drop::kFragment},
      {"later fragment of a ping", echo_request(kClient, kVip).fragment(8, false), Drop::kFragment},
      {"fragment of GRE",
       udp(kClient, kVip).fragment(8, false).next_protocol(47),
       Drop::kUnknownProtocol},
      {"source 0.0.0.0", tcp(with_address(kClient, "0.0.0.0"), kVip), Drop::kMartian},
      {"source in 0/8", tcp(with_address(kClient, "0.1.2.3"), kVip), Drop::kMartian},
      {"loopback source", tcp(with_address(kClient, "127.0.0.1"), kVip), Drop::kMartian},
      {"multicast source", udp(with_address(kClient, "224.0.0.1"), kVip), Drop::kMartian},
      {"link-local source", tcp(with_address(kClient, "169.254.0.1"), kVip), Drop::kMartian},
      {"link-local source, the last one",
       udp(with_address(kClient, "169.254.255.255"), kVip),
       Drop::kMartian},
      {"reserved source", udp(with_address(kClient, "240.0.0.1"), kVip), Drop::kMartian},
      {"broadcast source", udp(with_address(kClient, "255.255.255.255"), kVip), Drop::kMartian},
      {"LAND", tcp(kVip, kVip).syn(), Drop::kLand},
      {"TTL 0", tcp(kClient, kVip).ttl(0), Drop::kTtlExpired},
      {"SCTP", udp(kClient, kVip).next_protocol(132), Drop::kUnknownProtocol},
      {"ICMPv6 in IPv4", udp(kClient, kVip).next_protocol(58), Drop::kUnknownProtocol},
      {"IPIP", udp(kClient, kVip).next_protocol(4), Drop::kUnknownProtocol},
      {"TCP in 19 bytes", tcp(kClient, kVip).ip_byte(3, 39), Drop::kTruncated},
      {"UDP in 7 bytes", udp(kClient, kVip).ip_byte(3, 27), Drop::kTruncated},
      {"ICMP in 7 bytes", echo_request(kClient, kVip).ip_byte(3, 27), Drop::kTruncated},
      {"no upper header at all", tcp(kClient, kVip).ip_byte(3, 20), Drop::kTruncated},
  };
}

std::vector<FaultCase> upper_cases() {
  return {
      {"data offset 0", tcp(kClient, kVip).upper_byte(12, 0x00), Drop::kBadHeaderLength},
      {"data offset 4", tcp(kClient, kVip).upper_byte(12, 0x40), Drop::kBadHeaderLength},
      {"data offset beyond", tcp(kClient, kVip).upper_byte(12, 0x60), Drop::kBadHeaderLength},
      {"data offset in padding",
       tcp(kClient, kVip).upper_byte(12, 0x60).pad_to(60),
       Drop::kBadHeaderLength},
      {"null scan", tcp(kClient, kVip).flags(0), Drop::kBadTcpFlags},
      {"xmas scan", tcp(kClient6, kVip6).flags(0x29), Drop::kBadTcpFlags},
      {"SYN and FIN", tcp(kClient, kVip).syn().fin(), Drop::kBadTcpFlags},
      {"SYN and RST", tcp(kClient, kVip).syn().rst(), Drop::kBadTcpFlags},
      {"FIN without ACK", tcp(kClient, kVip).fin(), Drop::kBadTcpFlags},
      {"all flags", tcp(kClient, kVip).flags(0xff), Drop::kBadTcpFlags},
      {"UDP length 7", udp(kClient, kVip).upper_byte(5, 7), Drop::kBadLength},
      {"UDP length 0", udp(kClient6, kVip6).upper_byte(5, 0), Drop::kBadLength},
      {"UDP length too long", udp(kClient, kVip).payload(4).upper_byte(5, 13), Drop::kBadLength},
      {"UDP length in padding", udp(kClient, kVip).upper_byte(5, 9).pad_to(60), Drop::kBadLength},
      {"TCP source port 0", tcp(kClient.at_port(0), kVip), Drop::kPortZero},
      {"TCP destination port 0", tcp(kClient, kVip.at_port(0)), Drop::kPortZero},
      {"UDP source port 0", udp(kClient6.at_port(0), kVip6), Drop::kPortZero},
      {"UDP destination port 0", udp(kClient, kVip.at_port(0)), Drop::kPortZero},
      {"echo reply", echo_reply(kClient, kVip), Drop::kIcmpUnsupported},
      {"echo request with a code", echo_request(kClient, kVip).icmp(8, 1), Drop::kIcmpUnsupported},
      {"redirect", echo_request(kClient, kVip).icmp(5, 1), Drop::kIcmpUnsupported},
      {"ICMPv6 echo reply", echo_reply(kClient6, kVip6), Drop::kIcmpUnsupported},
      {"ICMPv6 echo with a code",
       echo_request(kClient6, kVip6).icmp(128, 3),
       Drop::kIcmpUnsupported},
      {"solicitation without target",
       echo_request(kClient6, kVip6).icmp(135, 0).ttl(255),
       Drop::kIcmpUnsupported},
  };
}

std::vector<FaultCase> ipv6_fault_cases() {
  return {
      {"version 4 behind EtherType IPv6", tcp(kClient6, kVip6).ip_byte(0, 0x40), Drop::kBadVersion},
      {"payload length too long", tcp(kClient6, kVip6).ip_byte(5, 21), Drop::kTruncated},
      {"payload length 65535",
       tcp(kClient6, kVip6).ip_byte(4, 0xff).ip_byte(5, 0xff),
       Drop::kBadLength},
      {"payload length 0", tcp(kClient6, kVip6).ip_byte(5, 0), Drop::kTruncated},
      {"ICMPv4 in IPv6", udp(kClient6, kVip6).next_protocol(1), Drop::kUnknownProtocol},
      {"no next header", udp(kClient6, kVip6).next_protocol(59), Drop::kUnknownProtocol},
      {"ESP", udp(kClient6, kVip6).next_protocol(50), Drop::kUnknownProtocol},
      {"first fragment of a ping",
       echo_request(kClient6, kVip6).fragment(0, true),
       Drop::kFragment},
      {"later fragment of a ping",
       echo_request(kClient6, kVip6).fragment(8, false),
       Drop::kFragment},
      {"fragment of ESP",
       udp(kClient6, kVip6).fragment(8, false).next_protocol(50),
       Drop::kUnknownProtocol},
      {"five extension headers",
       udp(kClient6, kVip6)
           .extension(60, 8)
           .extension(60, 8)
           .extension(60, 8)
           .extension(60, 8)
           .extension(60, 8),
       Drop::kExtensionChain},
      {"264 bytes of options", udp(kClient6, kVip6).extension(60, 264), Drop::kExtensionChain},
      {"264 bytes in two",
       udp(kClient6, kVip6).extension(60, 128).extension(60, 136),
       Drop::kExtensionChain},
      {"routing type 0", udp(kClient6, kVip6).extension(43, 8, {0, 0}), Drop::kExtensionChain},
      {"segments left", udp(kClient6, kVip6).extension(43, 8, {4, 1}), Drop::kExtensionChain},
      {"hop-by-hop in second place",
       udp(kClient6, kVip6).extension(60, 8).extension(0, 8),
       Drop::kExtensionChain},
      {"option length lies",
       udp(kClient6, kVip6).payload(8).extension(60, 8).byte(55, 3),
       Drop::kTruncated},
      {"chain cut by the payload length",
       udp(kClient6, kVip6).extension(60, 8).ip_byte(5, 7),
       Drop::kTruncated},
      {"unspecified source", tcp(with_address(kClient6, "::"), kVip6), Drop::kMartian},
      {"loopback source", tcp(with_address(kClient6, "::1"), kVip6), Drop::kMartian},
      {"multicast source", tcp(with_address(kClient6, "ff02::1"), kVip6), Drop::kMartian},
      {"link-local source", tcp(with_address(kClient6, "fe80::1"), kVip6), Drop::kMartian},
      {"link-local source at the end of its range",
       tcp(with_address(kClient6, "febf:ffff::1"), kVip6),
       Drop::kMartian},
      {"ping from a link-local source",
       echo_request(with_address(kClient6, "fe80::1"), kVip6),
       Drop::kMartian},
      {"v4-mapped source",
       udp(kClient6, kVip6)
           .byte(32, 0xff)
           .byte(33, 0xff)
           .byte(22, 0)
           .byte(23, 0)
           .byte(24, 0)
           .byte(25, 0)
           .byte(29, 0),
       Drop::kMartian},
      {"v4-mapped destination",
       udp(kClient6, kVip6)
           .byte(48, 0xff)
           .byte(49, 0xff)
           .byte(38, 0)
           .byte(39, 0)
           .byte(40, 0)
           .byte(41, 0)
           .byte(45, 0),
       Drop::kMartian},
      {"solicitation from a group",
       neighbor_solicitation(with_address(kClient6, "ff02::1"), kVip6, kVip6.address),
       Drop::kMartian},
      {"LAND", tcp(kVip6, kVip6).syn(), Drop::kLand},
      {"hop limit 0", tcp(kClient6, kVip6).ttl(0), Drop::kTtlExpired},
  };
}

std::vector<FaultCase> order_cases() {
  const Endpoint martian = with_address(kClient, "127.0.0.1");
  return {
      {"version before header length", tcp(kClient, kVip).ip_byte(0, 0x30), Drop::kBadVersion},
      {"length before checksum", tcp(kClient, kVip).ip_byte(3, 41).byte(24, 0), Drop::kTruncated},
      {"checksum before fragment",
       tcp(kClient, kVip).fragment(8, true).byte(24, 0),
       Drop::kBadChecksum},
      {"source before fragment", tcp(martian, kVip).fragment(8, true), Drop::kMartian},
      {"TTL before fragment", tcp(kClient, kVip).fragment(8, true).ttl(0), Drop::kTtlExpired},
      {"source before TTL", tcp(martian, kVip).ttl(0), Drop::kMartian},
      {"LAND before TTL", tcp(kVip, kVip).ttl(0), Drop::kLand},
      {"TTL before protocol", tcp(kClient, kVip).ttl(0).next_protocol(47), Drop::kTtlExpired},
      {"data offset before flags",
       tcp(kClient, kVip).flags(0).upper_byte(12, 0x10),
       Drop::kBadHeaderLength},
      {"flags before ports", tcp(kClient.at_port(0), kVip).flags(0), Drop::kBadTcpFlags},
      {"UDP length before ports", udp(kClient.at_port(0), kVip).upper_byte(5, 1), Drop::kBadLength},
      {"ICMP checksum before MTU",
       too_big(kFarRouter, kVip, quote_of(tcp(kVip, kClient), 8), 100).byte(36, 0),
       Drop::kBadChecksum},
      {"MTU before the quote", too_big(kFarRouter, kVip, {}, 100), Drop::kIcmpImplausible},
      {"quoted addresses before its fragment",
       too_big(kFarRouter, kVip, quote_of(tcp(kClient, kVip).fragment(8, true), 8)),
       Drop::kIcmpImplausible},
      {"quoted fragment before its protocol",
       too_big(
           kFarRouter, kVip, quote_of(tcp(kVip, kClient).fragment(8, true).next_protocol(47), 8)),
       Drop::kFragment},
      {"quoted protocol before its length",
       too_big(kFarRouter, kVip, quote_of(tcp(kVip, kClient).next_protocol(47), 0)),
       Drop::kIcmpUnsupported},
      {"quoted length before its ports",
       too_big(kFarRouter, kVip, quote_of(tcp(kVip.at_port(0), kClient), 7)),
       Drop::kTruncated},
  };
}

INSTANTIATE_TEST_SUITE_P(Ipv4, ParseFault, ::testing::ValuesIn(ipv4_fault_cases()));
INSTANTIATE_TEST_SUITE_P(Ipv6, ParseFault, ::testing::ValuesIn(ipv6_fault_cases()));
INSTANTIATE_TEST_SUITE_P(Upper, ParseFault, ::testing::ValuesIn(upper_cases()));
INSTANTIATE_TEST_SUITE_P(Order, ParseFault, ::testing::ValuesIn(order_cases()));

TEST(ParseFaults, ALinkLocalSourceRangeEndsWhereItShould) {
  for (const char* neighbor : {"fe7f::1", "fec0::1", "::2"}) {
    ExactBurst burst(tcp(with_address(kClient6, neighbor), kVip6).bytes());
    parse(*burst);
    EXPECT_EQ(burst->kind[0], Kind::kTransport) << neighbor;
  }
}

TEST(ParseFaults, AChainOfExactly256BytesIsFollowed) {
  ExactBurst burst(udp(kClient6, kVip6).extension(60, 256).bytes());
  parse(*burst);
  EXPECT_EQ(burst->kind[0], Kind::kTransport);
}

TEST(ParseFaults, HeadersBehindTheContiguousBytesCountAsTooLongAChain) {
  Bytes frame = tcp(kClient6, kVip6).extension(60, 240).tcp_options(Bytes(20, 1)).bytes();
  const auto size = static_cast<std::uint32_t>(frame.size());
  for (const std::uint32_t contiguous : {54u, 61u, 100u, 256u, size - 21, size - 20, size - 1}) {
    Bytes first(frame.begin(), frame.begin() + static_cast<int>(contiguous));
    ExactBurst burst(first, {.head = 0, .tail = 0, .beyond = size - contiguous});
    parse(*burst);
    ASSERT_EQ(burst->kind[0], Kind::kFaulty) << contiguous;
    EXPECT_EQ(burst->fault[0], Drop::kExtensionChain) << contiguous;
  }
}

}  // namespace
}  // namespace holdfast::testing
