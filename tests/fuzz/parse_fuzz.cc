// SPDX-License-Identifier: Apache-2.0
// Fuzzes parse and the responders on one frame in an exact-size buffer. The first input byte
// chooses what surrounds the frame, the rest is the frame. An IPv4 header whose checksum is wrong
// is tried a second time with the right one, so that the layers behind it are reached, and an ICMP
// error likewise.
#include "dataplane/checksum.h"
#include "dataplane/headers.h"
#include "dataplane/parse.h"
#include "dataplane/respond.h"
#include "tests/fuzz/parse_checks.h"
#include "tests/support/exact_burst.h"
#include "tests/support/fuzz_input.h"

namespace holdfast::testing {
namespace {

using dataplane::ChecksumSum;
using dataplane::Drop;
using dataplane::Frame;
using dataplane::Kind;
using dataplane::Verdict;

void respond(ExactBurst& burst) {
  constexpr MacAddress kOurs = {2, 0, 0, 0, 0, 2};
  Frame& frame = burst.frame();
  if (burst->kind[0] == Kind::kArp) {
    learn_from_arp(read_arp(frame, burst->l3_offset[0]).value());
    answer_arp(frame, burst->l3_offset[0], kOurs);
  }
  if (burst->kind[0] == Kind::kEchoRequest) {
    answer_echo(frame, *burst, 0);
  }
  if (burst->kind[0] == Kind::kNeighborSolicitation) {
    learn_from_solicitation(frame, *burst, 0);
    answer_neighbor_solicitation(frame, *burst, 0, kOurs);
  }
}

void run(const Bytes& bytes, Room room) {
  ExactBurst burst(bytes, room);
  parse(*burst);
  check_parsed(*burst, 0);
  require(burst->live_count == (burst->verdict[0] == Verdict::kDrop ? 0 : 1));
  if (burst->live_count == 0) {
    return;
  }
  const std::size_t room_before = burst.frame().contiguous + std::size_t{burst.frame().tailroom};
  respond(burst);
  require(burst.frame().contiguous + std::size_t{burst.frame().tailroom} == room_before);
}

// True when the frame had an IPv4 header with a wrong checksum, which it has no longer.
bool mend_checksum(Bytes& bytes) {
  ExactBurst burst(bytes);
  parse(*burst);
  if (burst->verdict[0] != Verdict::kPending || burst->kind[0] != Kind::kFaulty ||
      burst->fault[0] != Drop::kBadChecksum) {
    return false;
  }
  std::uint8_t* ip = bytes.data() + burst->l3_offset[0];
  ip[10] = ip[11] = 0;
  const auto header = std::as_bytes(std::span(ip, std::size_t{ip[0] & 0x0fu} * 4));
  const std::uint16_t checksum = ChecksumSum(header).checksum().to_host();
  ip[10] = static_cast<std::uint8_t>(checksum >> 8);
  ip[11] = static_cast<std::uint8_t>(checksum);
  return true;
}

// True when the frame was an ICMP error with a wrong checksum, which it is no longer. Requires: its
// IPv4 header's checksum is right.
bool mend_error(Bytes& bytes) {
  ExactBurst burst(bytes);
  burst->l4_offset[0] = 0;
  parse(*burst);
  const dataplane::FlowKey& key = burst->key[0];
  const std::size_t l4 = burst->l4_offset[0];
  if (burst->verdict[0] != Verdict::kPending || burst->kind[0] != Kind::kFaulty ||
      burst->fault[0] != Drop::kBadChecksum || l4 == 0) {
    return false;
  }
  bytes[l4 + 2] = bytes[l4 + 3] = 0;
  const std::size_t size = burst->l3_offset[0] + std::size_t{burst->l3_length[0]} - l4;
  ChecksumSum sum(std::as_bytes(std::span(bytes)).subspan(l4, size));
  if (key.protocol == Protocol::kIcmp6) {
    sum = sum + dataplane::pseudo_header(
                    key.source, key.destination, key.protocol, static_cast<std::uint32_t>(size));
  }
  const std::uint16_t checksum = sum.checksum().to_host();
  bytes[l4 + 2] = static_cast<std::uint8_t>(checksum >> 8);
  bytes[l4 + 3] = static_cast<std::uint8_t>(checksum);
  return true;
}

void run_both_ways(const std::uint8_t* data, std::size_t size) {
  const Room room = parse_room(data[0]);
  Bytes frame(data + 1, data + size);
  run(frame, room);
  if (mend_checksum(frame)) {
    run(frame, room);
  }
  if (mend_error(frame)) {
    run(frame, room);
  }
}

}  // namespace
}  // namespace holdfast::testing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 0 && size <= 4096) {
    holdfast::testing::run_both_ways(data, size);
  }
  return 0;
}
