// SPDX-License-Identifier: Apache-2.0
// What parse makes of a single fragment: its place in the datagram, and the faults that it has by
// itself. What its datagram makes of it is tested in fragment_test.cc.
#include "dataplane/parse.h"
#include "tests/support/exact_burst.h"
#include "tests/support/fragmenting.h"

#include <gmock/gmock.h>

namespace holdfast::testing {
namespace {

using dataplane::Drop;
using dataplane::FragmentExtent;
using dataplane::FragmentNote;
using dataplane::Kind;
using dataplane::kNoFault;
using dataplane::Piece;

struct FragmentCase {
  std::string what;
  Bytes frame;
  Drop fault = kNoFault;
};

std::ostream& operator<<(std::ostream& out, const FragmentCase& test) { return out << test.what; }

class ParseFragment : public ::testing::TestWithParam<FragmentCase> {};

TEST_P(ParseFragment, IsAFragmentWithItsFault) {
  const FragmentCase& test = GetParam();
  ExactBurst burst(test.frame);
  parse(*burst);
  ASSERT_EQ(burst->verdict[0], dataplane::Verdict::kPending);
  ASSERT_EQ(burst->kind[0], Kind::kFragment);
  EXPECT_EQ(burst->fault[0], test.fault)
      << (burst->fault[0] == kNoFault ? "sound" : drop_name(burst->fault[0]));
}

const Packet kSegment = tcp(kClient, kVip).tcp_options(Bytes(12, 1)).payload(100);
const Packet kSegment6 = tcp(kClient6, kVip6).tcp_options(Bytes(12, 1)).payload(100);
const Packet kDatagram = udp(kClient, kVip).payload(100);
const Packet kDatagram6 = udp(kClient6, kVip6).payload(100);

Bytes piece(const Packet& packet, std::size_t begin, std::size_t end, bool more = true) {
  return fragment_of(packet.bytes(), {.begin = begin, .end = end}, more, 7);
}

// A later fragment that claims to lie elsewhere.
Bytes piece_at(const Packet& packet, std::uint16_t offset, std::size_t size, bool more) {
  Bytes frame = fragment_of(packet.bytes(), {.begin = 8, .end = 8 + size}, more, 7);
  const bool v4 = frame[14] / 16 == 4;
  const std::size_t at = v4 ? 20 : 56;
  const unsigned field = v4 ? offset / 8U + (more ? 0x2000U : 0U) : offset + (more ? 1U : 0U);
  frame[at] = static_cast<std::uint8_t>(field >> 8);
  frame[at + 1] = static_cast<std::uint8_t>(field);
  if (v4) {
    frame[24] = frame[25] = 0;
    const Bytes header(frame.begin() + 14, frame.begin() + 34);
    const auto sum = static_cast<std::uint16_t>(~ones_complement_sum(header));
    frame[24] = static_cast<std::uint8_t>(sum >> 8);
    frame[25] = static_cast<std::uint8_t>(sum);
  }
  return frame;
}

std::vector<FragmentCase> ipv4_cases() {
  return {
      {"first with the TCP header", piece(kSegment, 0, 32)},
      {"first without all of the TCP header", piece(kSegment, 0, 24), Drop::kFragmentTiny},
      {"first of 16 bytes", piece(kSegment, 0, 16), Drop::kFragmentTiny},
      {"first of 8 bytes", piece(kSegment, 0, 8), Drop::kFragmentTiny},
      {"first with the UDP header", piece(kDatagram, 0, 8)},
      {"first of nothing", piece(kDatagram, 0, 0), Drop::kFragmentTiny},
      {"later of nothing", piece(kDatagram, 16, 16), Drop::kFragmentTiny},
      {"last of nothing", piece(kDatagram, 16, 16, false), Drop::kFragmentTiny},
      {"not cut at 8 bytes", piece(kDatagram, 8, 12), Drop::kFragmentTiny},
      {"last of any size", piece(kDatagram, 8, 9, false)},
      {"second unit of TCP", piece(kSegment, 8, 40), Drop::kFragmentTiny},
      {"third unit of TCP", piece(kSegment, 16, 40)},
      {"second unit of UDP", piece(kDatagram, 8, 40)},
      {"up to byte 65535", piece_at(kDatagram, 65'504, 11, false)},
      {"beyond byte 65535", piece_at(kDatagram, 65'504, 12, false), Drop::kFragmentTooLong},
      {"the last unit of all", piece_at(kDatagram, 65'528, 8, true), Drop::kFragmentTooLong},
      {"first with nonsense flags", piece(Packet(kSegment).flags(0), 0, 40), Drop::kBadTcpFlags},
      {"first with port 0", piece(udp(kClient.at_port(0), kVip).payload(9), 0, 8), Drop::kPortZero},
      {"first with UDP length 7",
       piece(Packet(kDatagram).upper_byte(5, 7), 0, 8),
       Drop::kBadLength},
  };
}

std::vector<FragmentCase> ipv6_cases() {
  const Packet hidden = Packet(kDatagram6).extension(60, 16);
  const Packet ping = echo_request(kClient6, kVip6).extension(60, 8).payload(40);
  return {
      {"first with the TCP header", piece(kSegment6, 0, 32)},
      {"first without all of the TCP header", piece(kSegment6, 0, 24), Drop::kFragmentTiny},
      {"first with the UDP header", piece(kDatagram6, 0, 8)},
      {"first of nothing", piece(kDatagram6, 0, 0), Drop::kFragmentTiny},
      {"not cut at 8 bytes", piece(kDatagram6, 8, 12), Drop::kFragmentTiny},
      {"last of any size", piece(kDatagram6, 8, 9, false)},
      {"second unit of TCP", piece(kSegment6, 8, 40), Drop::kFragmentTiny},
      {"up to byte 65535", piece_at(kDatagram6, 65'528, 7, false)},
      {"beyond byte 65535", piece_at(kDatagram6, 65'528, 8, false), Drop::kFragmentTooLong},
      {"first with a header and UDP behind", piece(hidden, 0, 24)},
      {"first without the UDP header behind", piece(hidden, 0, 16), Drop::kFragmentTiny},
      {"first with half of a header", piece(hidden, 0, 8), Drop::kFragmentTiny},
      {"later behind such a one", piece(hidden, 24, 32)},
      {"first of a ping behind a header", piece(ping, 0, 24), Drop::kFragment},
      {"another fragment header within",
       piece(Packet(kDatagram6).fragment(0, true), 0, 40),
       Drop::kFragment},
      {"an atomic one within",
       piece(Packet(kDatagram6).fragment(0, false), 0, 40),
       Drop::kFragment},
      {"hop-by-hop options within",
       piece(Packet(kDatagram6).extension(0, 8), 0, 40),
       Drop::kExtensionChain},
  };
}

INSTANTIATE_TEST_SUITE_P(Ipv4, ParseFragment, ::testing::ValuesIn(ipv4_cases()));
INSTANTIATE_TEST_SUITE_P(Ipv6, ParseFragment, ::testing::ValuesIn(ipv6_cases()));

TEST(ParseFragments, TellsWhereAFragmentLies) {
  ExactBurst burst(fragment_of(kDatagram.bytes(), {.begin = 16, .end = 64}, true, 0xabcd));
  parse(*burst);
  const FragmentExtent& extent = burst->fragment[0];
  EXPECT_EQ(burst->piece[0], Piece::kLater);
  EXPECT_EQ(extent.identification, 0xabcdU);
  EXPECT_EQ(extent.begin, 16U);
  EXPECT_EQ(extent.end, 64U);
  EXPECT_FALSE(extent.last);
  EXPECT_EQ(burst->key[0].source_port, Be16{});
}

TEST(ParseFragments, ReadsTheHeaderBehindAChain) {
  const Bytes whole = Packet(kDatagram6).extension(0, 8).extension(43, 24, {2, 0}).bytes();
  ExactBurst burst(fragment_of(whole, {.begin = 16, .end = 108}, false, 0x12345678, 32));
  parse(*burst);
  ASSERT_EQ(burst->kind[0], Kind::kFragment);
  EXPECT_EQ(burst->fault[0], kNoFault);
  const FragmentExtent& extent = burst->fragment[0];
  EXPECT_EQ(extent.identification, 0x12345678U);
  EXPECT_EQ(extent.begin, 16U);
  EXPECT_EQ(extent.end, 108U);
  EXPECT_TRUE(extent.last);
  EXPECT_EQ(burst->l4_offset[0], 14 + 40 + 32 + 8);
}

TEST(ParseFragments, CountsTheChainInFrontForTheLength) {
  Bytes frame = fragment_of(
      Packet(kDatagram6).extension(60, 8).bytes(), {.begin = 8, .end = 15}, false, 7, 8);
  frame[14 + 40 + 8 + 2] = 0xff;
  frame[14 + 40 + 8 + 3] = 0xf8;
  ExactBurst burst(frame);
  parse(*burst);
  EXPECT_EQ(burst->fault[0], Drop::kFragmentTooLong);
}

TEST(ParseFragments, ALaterFragmentWithANoteIsAPacketOfItsFlow) {
  ExactBurst burst(fragment_of(kDatagram6.bytes(), {.begin = 16, .end = 64}, true, 7));
  burst.frame().note = {.source_port = Be16::from_host(40000),
                        .destination_port = Be16::from_host(80),
                        .protocol = Protocol::kUdp,
                        .tcp_flags = 0,
                        .what = FragmentNote::What::kFlow};
  parse(*burst);
  EXPECT_EQ(burst->kind[0], Kind::kTransport);
  EXPECT_EQ(burst->key[0].source_port.to_host(), 40000);
  EXPECT_EQ(burst->key[0].destination_port.to_host(), 80);
  EXPECT_EQ(burst->released, 1);
}

TEST(ParseFragments, AFragmentOfACondemnedDatagramHasItsFault) {
  ExactBurst burst(fragment_of(kDatagram.bytes(), {.begin = 16, .end = 64}, true, 7));
  burst.frame().note = {.fault = Drop::kFragmentOverlap, .what = FragmentNote::What::kFault};
  parse(*burst);
  EXPECT_EQ(burst->kind[0], Kind::kFaulty);
  EXPECT_EQ(burst->fault[0], Drop::kFragmentOverlap);
}

}  // namespace
}  // namespace holdfast::testing
