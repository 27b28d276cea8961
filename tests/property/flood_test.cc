// SPDX-License-Identifier: Apache-2.0
// Floods of ten times what the table holds, beside established flows: nothing is allocated, no
// established flow is lost, everything is counted. Both families; a mode without translation, a
// tunnel, and `nat`.
#include "dataplane/choose.h"
#include "tests/property/allocations.h"
#include "tests/support/appliance.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Burst;
using dataplane::FlowState;
using dataplane::kBurstSize;
using dataplane::MemberId;
using dataplane::Mode;
using dataplane::NatRecord;
using dataplane::Slot;
using dataplane::Solo;
using dataplane::Verdict;

constexpr std::uint64_t kTableFlows = 10'000;
constexpr std::uint16_t kEstablished = 500;

// Bursts over buffers that are allocated once, so that what is counted is the product's.
class Lane {
 public:
  explicit Lane(Mode mode)
      : solo_(*Solo::create(
            three_backends(mode), lab_neighborhood(), {.key = {1, 2, 3}, .flows = kTableFlows})),
        buffers_(kBurstSize) {}

  // Runs the frames as one burst. Requires: at most kBurstSize.
  const Burst& run(const std::vector<Bytes>& frames, dataplane::PortIndex port = kWan) {
    for (std::size_t i = 0; i < frames.size(); ++i) {
      std::memcpy(buffers_[i].data() + kRoom, frames[i].data(), frames[i].size());
      burst_.frame[i] = {.data = buffers_[i].data() + kRoom,
                         .length = static_cast<std::uint32_t>(frames[i].size()),
                         .contiguous = static_cast<std::uint16_t>(frames[i].size()),
                         .headroom = kRoom,
                         .tailroom = kRoom,
                         .port = port};
    }
    burst_.begin(static_cast<std::uint16_t>(frames.size()));
    const std::uint64_t before = allocations();
    solo_->run(burst_, now_ms_);
    allocated_ += allocations() - before;
    solo_->worker().notices.clear();
    solo_->worker().stats.transmitted.add(static_cast<std::uint64_t>(
        std::count_if(burst_.verdict.begin(),
                      burst_.verdict.begin() + static_cast<std::ptrdiff_t>(frames.size()),
                      [](Verdict v) { return v == Verdict::kForward || v == Verdict::kReply; })));
    EXPECT_EQ(unaccounted(solo_->worker().stats), 0U);
    return burst_;
  }

  [[nodiscard]] Solo& solo() { return *solo_; }
  [[nodiscard]] const dataplane::WorkerStats& stats() { return solo_->worker().stats; }
  [[nodiscard]] std::uint64_t drops() {
    const auto& drops = stats().drops;
    return std::accumulate(drops.begin(), drops.end(), std::uint64_t{0}, [](auto sum, auto& drop) {
      return sum + drop.get();
    });
  }
  [[nodiscard]] std::uint64_t allocated() const { return allocated_; }
  void advance(std::uint64_t milliseconds) { now_ms_ += milliseconds; }

 private:
  static constexpr std::uint16_t kRoom = 128;
  std::unique_ptr<Solo> solo_;
  std::vector<std::array<std::byte, 512>> buffers_;
  Burst burst_{};
  std::uint64_t now_ms_ = 1'000'000;
  std::uint64_t allocated_ = 0;
};

struct Subject {
  Mode mode = Mode::kDsr;
  bool v4 = true;
};

class Flood : public ::testing::TestWithParam<Subject> {
 protected:
  // One of the flows that must not be lost, with what it is known by.
  struct Kept {
    Endpoint client;
    MemberId member;
    std::uint32_t record = 0;
  };

  [[nodiscard]] bool v4() const { return GetParam().v4; }
  [[nodiscard]] bool nat() const { return GetParam().mode == Mode::kNat; }
  [[nodiscard]] const Endpoint& vip() const { return v4() ? kVip : kVip6; }

  // A client that exists nowhere: a new source address and port each time.
  Endpoint spoofed() {
    Endpoint client = v4() ? kClient : kClient6;
    const std::uint64_t random = random_();
    std::memcpy(client.address.bytes.data() + 13, &random, 3);
    client.address.bytes[12] = v4() ? 11 : 0;
    client.port = static_cast<std::uint16_t>(1024 + (random >> 32) % 60'000);
    return client;
  }

  std::size_t capacity() {
    auto& tables = lane_.solo().worker().tables;
    if (nat()) {
      return tables.nat.records().size();
    }
    return v4() ? tables.v4.capacity() : tables.v6.capacity();
  }

  // Opens the flows that must live.
  void establish() {
    for (std::uint16_t i = 0; i < kEstablished; ++i) {
      Kept flow{.client = (v4() ? kClient : kClient6).at_port(static_cast<std::uint16_t>(2000 + i)),
                .member = {}};
      const Burst& syn = lane_.run({tcp(flow.client, vip()).syn().bytes()});
      ASSERT_EQ(syn.verdict[0], Verdict::kForward);
      flow.member = syn.member[0];
      flow.record = syn.record[0];
      if (nat()) {
        lane_.run({reply_of(flow, true)}, kLan);
      }
      const Burst& ack = lane_.run({tcp(flow.client, vip()).ack().bytes()});
      ASSERT_TRUE(ack.known[0]);
      ASSERT_EQ(ack.member[0], flow.member);
      kept_.push_back(flow);
    }
  }

  // What the member of a translated flow sends.
  Bytes reply_of(const Kept& flow, bool opening) {
    const NatRecord& record = lane_.solo().worker().tables.nat.record(flow.record);
    const Address member = lane_.solo().member_record(flow.member).address;
    const Endpoint from = {member, 80, {2, 0, 0, 0, 2, member.bytes[15]}};
    const Endpoint to = {record.pool, record.pool_port.to_host(), kLanMac};
    return opening ? tcp(from, to).syn().ack().bytes() : tcp(from, to).ack().bytes();
  }

  // Every flow that must live goes on, towards its member and back from it.
  void expect_none_lost() {
    std::size_t lost = 0;
    for (const Kept& flow : kept_) {
      const Burst& there = lane_.run({tcp(flow.client, vip()).ack().bytes()});
      lost +=
          there.verdict[0] == Verdict::kForward && there.known[0] && there.member[0] == flow.member
              ? 0U
              : 1U;
      if (nat()) {
        const Burst& back = lane_.run({reply_of(flow, false)}, kLan);
        lost += back.verdict[0] == Verdict::kForward && back.record[0] == flow.record ? 0U : 1U;
      }
    }
    EXPECT_EQ(lost, 0U) << "established flows lost";
  }

  // Bursts of new spoofed flows. Returns how many frames were sent.
  std::size_t flood(std::size_t frames, bool syn) {
    std::size_t sent = 0;
    std::vector<Bytes> burst(kBurstSize);
    for (; sent < frames; sent += kBurstSize) {
      for (Bytes& frame : burst) {
        Packet packet = tcp(spoofed(), vip());
        frame = (syn ? packet.syn() : packet.ack()).bytes();
      }
      lane_.run(burst);
    }
    return sent;
  }

  Lane lane_{GetParam().mode};
  std::vector<Kept> kept_;
  std::mt19937_64 random_{7};
};

TEST_P(Flood, OfSynsTakesNoMemoryAndNoEstablishedFlow) {
  establish();
  if (HasFatalFailure()) {
    return;
  }
  auto& worker = lane_.solo().worker();
  const std::uint64_t inserted = lane_.stats().flows_inserted.get();
  const std::uint64_t untracked = lane_.stats().flows_untracked.get();
  const std::uint64_t drops = lane_.drops();
  std::size_t sent = 0;
  for (int part = 0; part < 10; ++part) {
    sent += flood(capacity(), true);
    expect_none_lost();
    lane_.advance(100);
  }
  EXPECT_GE(sent, 10 * capacity());
  EXPECT_EQ(lane_.allocated(), 0U) << "operator new on the packet path";
  EXPECT_EQ(lane_.drops(), drops);
  // Each SYN is counted: as a flow that begins, or as one that the hash serves without an entry.
  EXPECT_EQ(lane_.stats().flows_inserted.get() - inserted + lane_.stats().flows_untracked.get() -
                untracked,
            sent);
  if (nat()) {
    EXPECT_LE(worker.tables.nat.half_open(), capacity() / 4);
    EXPECT_GE(lane_.stats().flows_ended.get(), sent - capacity() / 4);  // what gave way
  } else {
    const std::size_t half_open =
        v4() ? worker.tables.v4.half_open() : worker.tables.v6.half_open();
    EXPECT_LE(half_open, capacity() / 4);
    EXPECT_GE(lane_.stats().flows_untracked.get(), sent - capacity() / 4);
  }
}

// Segments of flows that nobody opened: each may be a flow from before a restart, and has an entry
// as long as such ones have their share. `nat` answers them instead.
TEST_P(Flood, OfSegmentsTakesItsShareAndTheHashGoesOn) {
  establish();
  if (HasFatalFailure()) {
    return;
  }
  auto& worker = lane_.solo().worker();
  const auto unproven = [&] {
    return v4() ? worker.tables.v4.unproven() : worker.tables.v6.unproven();
  };
  const std::uint64_t drops = lane_.drops();
  const std::size_t sent = flood(10 * capacity(), false);
  expect_none_lost();
  EXPECT_EQ(lane_.allocated(), 0U);
  EXPECT_EQ(lane_.drops(), drops);
  if (nat()) {
    EXPECT_EQ(lane_.stats().resets_sent.get(), sent);
    EXPECT_EQ(worker.tables.nat.used(), std::size_t{kEstablished});
    return;
  }
  EXPECT_LE(unproven(), capacity() / 4);
  EXPECT_GE(lane_.stats().flows_untracked.get(), sent - capacity() / 4 - sent / 1000);
  // Connections that begin meanwhile have their entries.
  for (std::uint16_t port = 10'000; port < 10'500; ++port) {
    const Endpoint client = (v4() ? kClient : kClient6).at_port(port);
    const MemberId member = lane_.run({tcp(client, vip()).syn().bytes()}).member[0];
    const Burst& ack = lane_.run({tcp(client, vip()).ack().bytes()});
    ASSERT_TRUE(ack.known[0]);
    ASSERT_EQ(ack.member[0], member);
  }
}

// Two packets of each flow cannot be told from a flow: they fill the table.
TEST_P(Flood, OfPairsFillsTheTableAndTheHashGoesOn) {
  establish();
  if (HasFatalFailure() || nat()) {
    return;
  }
  for (std::size_t sent = 0; sent < 4 * capacity(); ++sent) {
    const Endpoint client = spoofed();
    lane_.run({tcp(client, vip()).ack().bytes(), tcp(client, vip()).ack().bytes()});
  }
  expect_none_lost();
  EXPECT_EQ(lane_.allocated(), 0U);
  Lane empty(GetParam().mode);
  std::uint64_t counted = 0;
  for (int i = 0; i < 1000; ++i) {
    const Bytes syn = tcp(spoofed(), vip()).syn().bytes();
    const std::uint64_t before = lane_.stats().flows_untracked.get();
    const Burst& here = lane_.run({syn});
    const Burst& there = empty.run({syn});
    ASSERT_EQ(here.verdict[0], Verdict::kForward);
    EXPECT_EQ(here.member[0], there.member[0]);  // the choice of an empty table
    counted += lane_.stats().flows_untracked.get() - before;
  }
  EXPECT_EQ(counted, 1000U) << "new flows on a full table that were not counted";
}

TEST(Allocations, AreCounted) {
  const std::uint64_t before = allocations();
  ::operator delete(::operator new(1));  // called by name, which no compiler leaves out
  EXPECT_EQ(allocations(), before + 1);
}

std::string name_of(const ::testing::TestParamInfo<Subject>& info) {
  const char* mode = info.param.mode == Mode::kDsr    ? "Dsr"
                     : info.param.mode == Mode::kIpip ? "Ipip"
                                                      : "Nat";
  return std::string(mode) + (info.param.v4 ? "4" : "6");
}

INSTANTIATE_TEST_SUITE_P(AllModes,
                         Flood,
                         ::testing::Values(Subject{Mode::kDsr, true},
                                           Subject{Mode::kDsr, false},
                                           Subject{Mode::kIpip, true},
                                           Subject{Mode::kIpip, false},
                                           Subject{Mode::kNat, true},
                                           Subject{Mode::kNat, false}),
                         name_of);

}  // namespace
}  // namespace holdfast::testing
