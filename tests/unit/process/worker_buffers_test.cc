// SPDX-License-Identifier: Apache-2.0
// A worker without a free packet buffer: others have most of them, and a flood of fragments whose
// first ones never come keeps the rest.
#include "tests/support/fragmenting.h"
#include "tests/unit/process/worker_rig.h"

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

class OutOfBuffers : public ::testing::Test {
 protected:
  ~OutOfBuffers() override { give_back(); }

  // Until the pool has so many left.
  void take_elsewhere(unsigned left) {
    while (workers_.free_mbufs() > left) {
      elsewhere_.push_back(rte_pktmbuf_alloc(Devices::get().pool.get()));
    }
  }
  void give_back() {
    rte_pktmbuf_free_bulk(elsewhere_.data(), static_cast<unsigned>(elsewhere_.size()));
    elsewhere_.clear();
  }
  // The last fragment of a SYN, each of another source.
  void receive_early_fragment() {
    const auto source = Address::v4(Be32::from_host(0xc6336400U + number_));
    const Bytes whole = tcp({source, 1024}, kVip).syn().payload(300).bytes();
    workers_.receive(holdfast::testing::fragments_of(whole, {64}, number_++)[1]);
    workers_.run();
  }
  [[nodiscard]] std::uint64_t sum(Counter WorkerStats::* counter) const {
    return workers_.sum(counter);
  }

  Workers workers_{2};
  const unsigned level_ = workers_.free_mbufs();

 private:
  std::vector<rte_mbuf*> elsewhere_;
  std::uint32_t number_ = 0;
};

TEST_F(OutOfBuffers, CountsWhatItCannotMakeAndForwardsAgainOnceThereAreSome) {
  constexpr unsigned kLeft = 100;
  take_elsewhere(kLeft);
  while (workers_.free_mbufs() > 0) {
    receive_early_fragment();
  }
  EXPECT_EQ(sum(&WorkerStats::held), kLeft);
  for (const char* vip : {"203.0.113.10", "2001:db8::10"}) {
    workers_[0].announcements.push({.address = address(vip), .mac = {2}, .port = 1});
  }
  workers_.run();
  EXPECT_EQ(sum(&WorkerStats::no_buffer), 2U);
  EXPECT_EQ(sum(&WorkerStats::transmitted), 0U);
  workers_.expect_accounted();

  for (std::uint32_t worker = 0; worker < 2; ++worker) {
    workers_[worker].turn(3 * kSecond);  // their time is over
  }
  EXPECT_EQ(workers_.free_mbufs(), kLeft);
  for (std::uint16_t i = 0; i < kLeft; ++i) {
    workers_.receive(syn(static_cast<std::uint16_t>(1024 + i)));
  }
  workers_.run();
  EXPECT_EQ(sum(&WorkerStats::forwarded), kLeft);
  EXPECT_EQ(sum(&WorkerStats::transmitted), kLeft);
  workers_.expect_accounted();
  give_back();
  EXPECT_EQ(workers_.free_mbufs(), level_);
}

TEST_F(OutOfBuffers, IsNotWhereAFloodOfFragmentsLeadsByItself) {
  constexpr std::uint64_t kFlood = 2 * 8191;
  for (std::uint64_t i = 0; i < kFlood; ++i) {
    receive_early_fragment();
  }
  const std::uint64_t held = sum(&WorkerStats::held);
  EXPECT_LE(held, 2U * kHeldFrames);
  EXPECT_EQ(workers_.free_mbufs(), level_ - held);
  std::uint64_t dropped = 0;
  for (const auto& worker : workers_.all()) {
    for (const Counter& reason : worker->state().stats.drops) {
      dropped += reason.get();
    }
  }
  EXPECT_EQ(held + dropped, kFlood);
  workers_.expect_accounted();
}

}  // namespace
}  // namespace holdfast::dataplane
