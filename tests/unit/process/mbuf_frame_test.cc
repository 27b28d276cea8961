// SPDX-License-Identifier: Apache-2.0
// Frames over mbufs of several segments.
#include "dataplane/process/mbuf_frame.h"

#include "tests/unit/process/worker_rig.h"

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

// A packet of these segments.
rte_mbuf* chain(rte_mempool* pool, const std::vector<std::size_t>& sizes, std::uint16_t tailroom) {
  rte_mbuf* head = nullptr;
  std::uint8_t next = 0;
  for (const std::size_t size : sizes) {
    rte_mbuf* segment = rte_pktmbuf_alloc(pool);
    segment->data_off =
        static_cast<std::uint16_t>(segment->buf_len - size - (head == nullptr ? tailroom : 0));
    auto* bytes = rte_pktmbuf_append(segment, static_cast<std::uint16_t>(size));
    std::generate_n(reinterpret_cast<std::uint8_t*>(bytes), size, [&] { return next++; });
    if (head == nullptr) {
      head = segment;
    } else {
      rte_pktmbuf_chain(head, segment);
    }
  }
  return head;
}

TEST(MbufFrame, HeadersBecomeContiguousInPlaceOrByACopy) {
  rte_mempool* pool = Devices::get().pool.get();
  const unsigned level = rte_mempool_avail_count(pool);
  for (const std::uint16_t tailroom : {std::uint16_t{1000}, std::uint16_t{0}}) {
    rte_mbuf* packet = chain(pool, {20, 30, 400}, tailroom);
    const Frame frame = to_frame(packet, 3);
    EXPECT_EQ(frame.length, 450U);
    ASSERT_GE(frame.contiguous, kContiguousHeaders);
    for (std::size_t i = 0; i < kContiguousHeaders; ++i) {
      ASSERT_EQ(std::to_integer<std::uint8_t>(frame.data[i]), i % 256);
    }
    EXPECT_EQ(frame.port, 3);
    EXPECT_EQ(rte_mbuf_check(packet, 1, nullptr), 0);
    rte_pktmbuf_free(to_packet(frame));
  }
  EXPECT_EQ(rte_mempool_avail_count(pool), level);
}

TEST(MbufFrame, ShorterFrameGivesItsOtherSegmentsBack) {
  rte_mempool* pool = Devices::get().pool.get();
  const unsigned level = rte_mempool_avail_count(pool);
  rte_mbuf* packet = chain(pool, {300, 300}, 0);
  Frame frame = to_frame(packet, 0);
  frame.length = 54;
  frame.contiguous = 54;
  rte_mbuf* answer = to_packet(frame);
  EXPECT_EQ(answer->pkt_len, 54U);
  EXPECT_EQ(answer->nb_segs, 1);
  rte_pktmbuf_free(answer);
  EXPECT_EQ(rte_mempool_avail_count(pool), level);
}

TEST(MbufFrame, LosesItsEndFromItsLastSegments) {
  rte_mempool* pool = Devices::get().pool.get();
  const unsigned level = rte_mempool_avail_count(pool);
  struct Cut {
    std::uint32_t length;
    std::uint16_t segments;
  };
  for (const auto& [length, segments] : {Cut{1200, 4},
                                         Cut{1199, 4},
                                         Cut{901, 4},
                                         Cut{900, 3},
                                         Cut{899, 3},
                                         Cut{301, 2},
                                         Cut{300, 1}}) {
    rte_mbuf* packet = chain(pool, {300, 300, 300, 300}, 0);
    Frame frame = to_frame(packet, 0);
    frame.length = length;
    rte_mbuf* cut = to_packet(frame);
    EXPECT_EQ(cut->pkt_len, length);
    EXPECT_EQ(cut->nb_segs, segments);
    EXPECT_EQ(rte_mbuf_check(cut, 1, nullptr), 0) << length;
    rte_pktmbuf_free(cut);
  }
  EXPECT_EQ(rte_mempool_avail_count(pool), level);
}

TEST(MbufFrame, GrowsInFrontAndKeepsItsOtherSegments) {
  rte_mempool* pool = Devices::get().pool.get();
  const unsigned level = rte_mempool_avail_count(pool);
  rte_mbuf* packet = chain(pool, {300, 700}, 0);
  Frame frame = to_frame(packet, 0);
  frame.data -= 50;
  frame.contiguous = static_cast<std::uint16_t>(frame.contiguous + 50);
  frame.headroom = static_cast<std::uint16_t>(frame.headroom - 50);
  frame.length += 50;
  rte_mbuf* grown = to_packet(frame);
  EXPECT_EQ(grown->pkt_len, 1050U);
  EXPECT_EQ(grown->nb_segs, 2);
  EXPECT_EQ(rte_mbuf_check(grown, 1, nullptr), 0);
  rte_pktmbuf_free(grown);
  EXPECT_EQ(rte_mempool_avail_count(pool), level);
}

}  // namespace
}  // namespace holdfast::dataplane
