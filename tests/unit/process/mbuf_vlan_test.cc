// SPDX-License-Identifier: Apache-2.0
// VLAN tags that a driver took off its frames. The packets here lie in memory of the test's own, so
// DPDK need not be started.
#include "dataplane/process/mbuf_frame.h"
#include "tests/support/packet.h"

#include <array>
#include <cstring>
#include <memory>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using holdfast::testing::Bytes;
using holdfast::testing::kClient;
using holdfast::testing::kVip;
using holdfast::testing::tcp;

class LonePacket {
 public:
  LonePacket(const Bytes& bytes, std::uint16_t headroom, std::uint64_t flags) {
    std::memcpy(room_.data() + headroom, bytes.data(), bytes.size());
    packet_->buf_addr = room_.data();
    packet_->buf_len = static_cast<std::uint16_t>(room_.size());
    packet_->data_off = headroom;
    packet_->data_len = static_cast<std::uint16_t>(bytes.size());
    packet_->pkt_len = packet_->data_len;
    packet_->nb_segs = 1;
    packet_->ol_flags = flags;
    packet_->vlan_tci = 0x2064;
    packet_->vlan_tci_outer = 200;
  }
  Frame frame() {
    rte_mbuf* packet = packet_.get();
    return to_frame(packet, 0);
  }

 private:
  std::array<std::byte, 256> room_{};
  std::unique_ptr<rte_mbuf> packet_ = std::make_unique<rte_mbuf>();
};

constexpr std::uint64_t kOneTag = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
constexpr std::uint64_t kTwoTags = kOneTag | RTE_MBUF_F_RX_QINQ | RTE_MBUF_F_RX_QINQ_STRIPPED;

TEST(MbufFrame, TagsThatTheDriverTookOffStandInTheFrameAgain) {
  const auto packet = [] { return tcp(kClient, kVip).syn(); };
  const auto read = [&](std::uint64_t flags) {
    LonePacket lone(packet().bytes(), 128, flags);
    lone.frame();
    const Frame frame = lone.frame();  // as on the way to another worker: not once more
    EXPECT_EQ(frame.length, frame.contiguous);
    Bytes found(frame.contiguous);
    std::memcpy(found.data(), frame.data, found.size());
    return found;
  };
  EXPECT_EQ(read(0), packet().bytes());
  EXPECT_EQ(read(RTE_MBUF_F_RX_VLAN), packet().bytes()) << "a tag that is still there";
  EXPECT_EQ(read(kOneTag), packet().vlan(0x2064).bytes());
  EXPECT_EQ(read(kTwoTags), packet().vlan(200, kEtherServiceVlan).vlan(0x2064).bytes());
}

TEST(MbufFrame, ATagWithoutRoomLeavesNothingToRead) {
  const Bytes bytes = tcp(kClient, kVip).syn().bytes();
  EXPECT_EQ(LonePacket(bytes, 3, kOneTag).frame().contiguous, 0);
  EXPECT_EQ(LonePacket(bytes, 7, kTwoTags).frame().contiguous, 0);
  EXPECT_EQ(LonePacket(bytes, 8, kTwoTags).frame().contiguous, bytes.size() + 8);
}

}  // namespace
}  // namespace holdfast::dataplane
