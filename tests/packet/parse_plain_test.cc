// SPDX-License-Identifier: Apache-2.0
// The short way through parse says what the layers say. A priority tag (VLAN 0) means nothing and
// keeps a packet off the short way, so every frame is parsed with one and without.
#include "dataplane/parse.h"
#include "tests/support/exact_burst.h"
#include "tests/support/mutation.h"
#include "tests/support/packet.h"

#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Kind;

constexpr std::size_t kFrames = 200'000;
constexpr std::size_t kTypeAt = 12;

std::vector<Bytes> plain_frames() {
  const Endpoint dns = kVip.at_port(53);
  return {tcp(kClient, kVip).syn().tcp_options({2, 4, 5, 0xb4}).bytes(),
          tcp(kClient, kVip).ack().payload("hello").bytes(),
          tcp(kClient, kVip).fin().ack().pad_to(60).bytes(),
          tcp(kClient, kVip).rst().bytes(),
          udp(kClient, dns).payload(1).pad_to(60).bytes(),
          udp(kClient, dns).no_checksum().payload(40).bytes()};
}

Bytes with_priority_tag(Bytes frame) {
  constexpr std::array<std::uint8_t, 4> kTag = {0x81, 0, 0, 0};
  frame.insert(frame.begin() + kTypeAt, kTag.begin(), kTag.end());
  return frame;
}

// What later stages read of a packet of a flow, or the fault.
std::string told_of(const Bytes& frame) {
  ExactBurst exact(frame);
  dataplane::Burst& b = *exact;
  dataplane::parse(b);
  if (b.live_count == 0) {
    return "dropped";
  }
  std::string told = "kind " + std::to_string(static_cast<int>(b.kind[0]));
  if (b.kind[0] == Kind::kFaulty) {
    return told + " fault " + std::to_string(static_cast<int>(b.fault[0]));
  }
  if (b.kind[0] == Kind::kTransport) {
    const dataplane::FlowKey& key = b.key[0];
    told += " " + key.source.text() + ":" + std::to_string(key.source_port.to_host()) + " " +
            key.destination.text() + ":" + std::to_string(key.destination_port.to_host()) + " " +
            std::to_string(static_cast<int>(key.protocol)) + " flags " +
            std::to_string(b.tcp_flags[0]) + " header " +
            std::to_string(b.l4_offset[0] - b.l3_offset[0]) + " length " +
            std::to_string(b.l3_length[0]);
  }
  return told;
}

TEST(ParsePlain, SaysOfADamagedFrameWhatTheLayersSay) {
  const std::vector<Bytes> frames = plain_frames();
  Mutator mutator(20'261'126);
  std::size_t transports = 0;
  for (std::size_t i = 0; i < kFrames; ++i) {
    Bytes frame = frames[i % frames.size()];
    mutator.mutate(frame);
    if (frame.size() < kTypeAt + 2 || network_offset(frame) != kTypeAt + 2) {
      continue;
    }
    const std::string told = told_of(frame);
    ASSERT_EQ(told, told_of(with_priority_tag(frame))) << "frame " << i;
    transports += told.starts_with("kind 2") ? 1U : 0U;
  }
  EXPECT_GT(transports, kFrames / 20);
}

}  // namespace
}  // namespace holdfast::testing
