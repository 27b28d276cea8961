// SPDX-License-Identifier: Apache-2.0
// Fragments that must not pass, and what a sender of them can use up: one test per reason and
// bound.
#include "tests/support/appliance.h"
#include "tests/support/fragmenting.h"

#include <algorithm>
#include <string>

#include <gmock/gmock.h>

namespace holdfast::testing {
namespace {

using dataplane::Drop;
using dataplane::kDatagramMs;
using dataplane::kHeldFrames;
using dataplane::kHeldMs;
using dataplane::kHeldPerDatagram;
using dataplane::kHeldPerGroup;
using dataplane::kMostPieces;
using dataplane::Mode;
using dataplane::Verdict;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class FragmentBounds : public ::testing::TestWithParam<bool> {
 protected:
  [[nodiscard]] Endpoint client(std::uint8_t number = 0) const {
    Endpoint from = GetParam() ? kClient : kClient6;
    std::uint8_t& differs = from.address.bytes.at(GetParam() ? 15 : 6);  // another /64
    differs = static_cast<std::uint8_t>(differs + number);
    return from;
  }
  [[nodiscard]] Endpoint vip() const { return (GetParam() ? kVip : kVip6).at_port(53); }
  [[nodiscard]] Bytes datagram(std::uint8_t from = 0, std::size_t size = 1200) const {
    return udp(client(from), vip()).payload(size).bytes();
  }
  Outcome send(std::size_t begin, std::size_t end, bool more = true, std::uint32_t id = 1) {
    return appliance_.send(fragment_of(datagram(), {.begin = begin, .end = end}, more, id));
  }
  std::optional<Drop> reason(std::size_t begin, std::size_t end, bool more = true) {
    return send(begin, end, more).reason;
  }
  Verdict verdict(std::size_t begin, std::size_t end, bool more = true) {
    return send(begin, end, more).verdict;
  }
  // Early fragments of so many datagrams of one source; how many may wait.
  std::size_t flood(std::uint8_t from, std::uint32_t datagrams) {
    std::size_t held = 0;
    for (std::uint32_t id = 0; id < datagrams; ++id) {
      const Bytes early = fragment_of(datagram(from), {.begin = 400, .end = 800}, true, id);
      held += appliance_.send(early).verdict == Verdict::kHold ? 1U : 0U;
    }
    return held;
  }

  Appliance appliance_{three_backends(Mode::kDsr)};
};

TEST_P(FragmentBounds, AnOverlapCondemnsTheDatagram) {
  EXPECT_EQ(verdict(0, 400), Verdict::kForward);
  EXPECT_EQ(verdict(400, 800), Verdict::kForward);
  EXPECT_EQ(reason(792, 1000), Drop::kFragmentOverlap);
  EXPECT_EQ(reason(800, 1000), Drop::kFragmentOverlap);
  EXPECT_EQ(reason(0, 400), Drop::kFragmentOverlap);
  EXPECT_EQ(send(0, 400, true, 2).verdict, Verdict::kForward);
}

TEST_P(FragmentBounds, AnOverlapInFrontCondemnsTheDatagram) {
  EXPECT_EQ(verdict(0, 400), Verdict::kForward);
  EXPECT_EQ(verdict(800, 1000), Verdict::kForward);
  EXPECT_EQ(reason(600, 808), Drop::kFragmentOverlap);
  EXPECT_EQ(reason(1000, 1208, false), Drop::kFragmentOverlap);
}

TEST_P(FragmentBounds, OneAroundAnotherIsAnOverlap) {
  EXPECT_EQ(verdict(0, 400), Verdict::kForward);
  EXPECT_EQ(verdict(800, 1000), Verdict::kForward);
  EXPECT_EQ(reason(400, 1200), Drop::kFragmentOverlap);
  EXPECT_EQ(reason(400, 800), Drop::kFragmentOverlap);
}

TEST_P(FragmentBounds, ADuplicateIsDroppedAndCondemnsNothing) {
  EXPECT_EQ(verdict(0, 400), Verdict::kForward);
  EXPECT_EQ(verdict(400, 800), Verdict::kForward);
  EXPECT_EQ(reason(0, 400), Drop::kFragmentOverlap);
  EXPECT_EQ(reason(400, 800), Drop::kFragmentOverlap);
  EXPECT_EQ(verdict(800, 1208, false), Verdict::kForward);
}

TEST_P(FragmentBounds, TwoEndsContradictEachOther) {
  EXPECT_EQ(verdict(0, 400), Verdict::kForward);
  EXPECT_EQ(verdict(800, 1000, false), Verdict::kForward);
  EXPECT_EQ(reason(1000, 1208, false), Drop::kFragmentOverlap);
}

TEST_P(FragmentBounds, NothingComesBehindTheEnd) {
  EXPECT_EQ(verdict(0, 400), Verdict::kForward);
  EXPECT_EQ(verdict(600, 800, false), Verdict::kForward);
  EXPECT_EQ(reason(800, 1000), Drop::kFragmentOverlap);
  EXPECT_EQ(reason(400, 600), Drop::kFragmentOverlap);
}

TEST_P(FragmentBounds, AnEndBeforeWhatCameIsAContradiction) {
  EXPECT_EQ(verdict(0, 400), Verdict::kForward);
  EXPECT_EQ(verdict(800, 1000), Verdict::kForward);
  EXPECT_EQ(reason(400, 600, false), Drop::kFragmentOverlap);
}

TEST_P(FragmentBounds, AMiddleThatEndsWhereTheLastDoesIsAContradiction) {
  EXPECT_EQ(verdict(0, 400), Verdict::kForward);
  EXPECT_EQ(verdict(600, 800, false), Verdict::kForward);
  EXPECT_EQ(reason(600, 800), Drop::kFragmentOverlap);
  EXPECT_EQ(reason(400, 600), Drop::kFragmentOverlap);
}

TEST_P(FragmentBounds, ALastOneThatCameAsAMiddleIsAContradiction) {
  EXPECT_EQ(verdict(0, 400), Verdict::kForward);
  EXPECT_EQ(verdict(600, 800), Verdict::kForward);
  EXPECT_EQ(reason(600, 800, false), Drop::kFragmentOverlap);
  EXPECT_EQ(reason(400, 600), Drop::kFragmentOverlap);
}

TEST_P(FragmentBounds, WhatWaitsIsDroppedWithItsDatagram) {
  EXPECT_EQ(verdict(400, 800), Verdict::kHold);
  EXPECT_EQ(verdict(800, 1000), Verdict::kHold);
  EXPECT_EQ(reason(600, 1008), Drop::kFragmentOverlap);
  EXPECT_THAT(appliance_.released(),
              ElementsAre(Field(&Outcome::reason, Drop::kFragmentOverlap),
                          Field(&Outcome::reason, Drop::kFragmentOverlap)));
  EXPECT_EQ(reason(0, 400), Drop::kFragmentOverlap);
}

TEST_P(FragmentBounds, ATinyOneCondemnsTheDatagram) {
  EXPECT_EQ(verdict(400, 800), Verdict::kHold);
  EXPECT_EQ(reason(0, 12), Drop::kFragmentTiny);
  EXPECT_THAT(appliance_.released(), ElementsAre(Field(&Outcome::reason, Drop::kFragmentTiny)));
  EXPECT_EQ(reason(0, 400), Drop::kFragmentTiny);
  EXPECT_EQ(reason(800, 1208, false), Drop::kFragmentTiny);
}

TEST_P(FragmentBounds, ATinyOneCondemnsADatagramThatNobodyKnewYet) {
  EXPECT_EQ(reason(0, 12), Drop::kFragmentTiny);
  EXPECT_EQ(reason(0, 400), Drop::kFragmentTiny);
}

TEST_P(FragmentBounds, OneBeyondTheLongestPacketCondemnsTheDatagram) {
  Bytes beyond = fragment_of(datagram(), {.begin = 400, .end = 800}, false, 1);
  const std::size_t at = GetParam() ? 20 : 56;
  const unsigned field = GetParam() ? 65'528 / 8 : 65'528;
  beyond[at] = static_cast<std::uint8_t>(field >> 8);
  beyond[at + 1] = static_cast<std::uint8_t>(field);
  if (GetParam()) {
    beyond[24] = beyond[25] = 0;
    const auto sum = static_cast<std::uint16_t>(
        ~ones_complement_sum(Bytes(beyond.begin() + 14, beyond.begin() + 34)));
    beyond[24] = static_cast<std::uint8_t>(sum >> 8);
    beyond[25] = static_cast<std::uint8_t>(sum);
  }
  EXPECT_EQ(verdict(0, 400), Verdict::kForward);
  EXPECT_EQ(appliance_.send(beyond).reason, Drop::kFragmentTooLong);
  EXPECT_EQ(reason(400, 800), Drop::kFragmentTooLong);
}

TEST_P(FragmentBounds, MoreThanADatagramMayHaveCondemnIt) {
  for (std::size_t i = 0; i < kMostPieces; ++i) {
    ASSERT_EQ(verdict(i * 8, i * 8 + 8), Verdict::kForward) << i;
  }
  EXPECT_EQ(reason(kMostPieces * 8, kMostPieces * 8 + 8), Drop::kFragmentTooMany);
  EXPECT_EQ(reason(1000, 1208, false), Drop::kFragmentTooMany);
}

TEST_P(FragmentBounds, MoreIslandsThanCanBeJoinedCondemnADatagram) {
  ASSERT_EQ(verdict(0, 8), Verdict::kForward);
  for (std::size_t i = 1; i < dataplane::kMostIslands; ++i) {
    ASSERT_EQ(verdict(i * 16, i * 16 + 8), Verdict::kForward) << i;
  }
  EXPECT_EQ(reason(1000, 1008), Drop::kFragmentTooMany);
}

TEST_P(FragmentBounds, TheMostPiecesInTheWorstOrderPass) {
  ASSERT_EQ(verdict(0, 8), Verdict::kForward);
  for (std::size_t i = 2; i < kMostPieces; i += 2) {
    ASSERT_EQ(verdict(i * 8, i * 8 + 8), Verdict::kForward) << i;
  }
  for (std::size_t i = 1; i < kMostPieces; i += 2) {
    ASSERT_EQ(verdict(i * 8, i * 8 + 8, i + 1 < kMostPieces), Verdict::kForward) << i;
  }
}

TEST_P(FragmentBounds, OneDatagramMayKeepSoManyWaiting) {
  for (std::size_t i = 1; i <= kHeldPerDatagram; ++i) {
    ASSERT_EQ(verdict(i * 8, i * 8 + 8), Verdict::kHold) << i;
  }
  EXPECT_EQ(reason(1000, 1208, false), Drop::kFragmentBufferFull);
  EXPECT_EQ(verdict(0, 8), Verdict::kForward);
  EXPECT_THAT(appliance_.released(),
              AllOf(SizeIs(kHeldPerDatagram), Each(Field(&Outcome::verdict, Verdict::kForward))));
  EXPECT_EQ(verdict(1000, 1208, false), Verdict::kForward);
}

TEST_P(FragmentBounds, OneSourceMayNotTakeAllTheRoomToWait) {
  EXPECT_EQ(flood(0, 1000), kHeldPerGroup);
  EXPECT_GT(flood(1, 10) + flood(2, 10), 0U);
  EXPECT_EQ(send(0, 400, true, 5000).verdict, Verdict::kForward);
  EXPECT_EQ(send(400, 800, true, 5000).verdict, Verdict::kForward);
}

TEST(FragmentBoundsOfIpv6, HoldForAWholeSlash64) {
  Appliance appliance(three_backends(Mode::kDsr));
  std::size_t held = 0;
  for (std::uint8_t host = 0; host < 100; ++host) {
    Endpoint client = kClient6;
    client.address.bytes[15] = host;
    const Bytes whole = udp(client, kVip6.at_port(53)).payload(1200).bytes();
    const Bytes early = fragment_of(whole, {.begin = 400, .end = 800}, true, 1);
    held += appliance.send(early).verdict == Verdict::kHold ? 1U : 0U;
  }
  EXPECT_EQ(held, kHeldPerGroup);
}

TEST_P(FragmentBounds, AllSourcesTogetherHaveSoMuchRoomToWait) {
  std::size_t held = 0;
  for (std::uint8_t from = 0; from < 100; ++from) {
    held += flood(from, 10);
  }
  EXPECT_EQ(held, kHeldFrames);
  appliance_.wait(kHeldMs);
  EXPECT_THAT(appliance_.released(),
              AllOf(SizeIs(kHeldFrames), Each(Field(&Outcome::reason, Drop::kFragmentTimeout))));
  EXPECT_EQ(flood(0, 10), 10U);
}

TEST_P(FragmentBounds, EarlyOnesWaitSoLong) {
  EXPECT_EQ(verdict(400, 800), Verdict::kHold);
  appliance_.wait(kHeldMs - 1);
  EXPECT_EQ(verdict(800, 1000), Verdict::kHold);
  EXPECT_THAT(appliance_.released(), IsEmpty());
  appliance_.wait(1);
  EXPECT_THAT(appliance_.released(),
              ElementsAre(Field(&Outcome::reason, Drop::kFragmentTimeout),
                          Field(&Outcome::reason, Drop::kFragmentTimeout)));
  EXPECT_EQ(verdict(0, 400), Verdict::kForward);
}

TEST_P(FragmentBounds, ADatagramIsKnownSoLong) {
  EXPECT_EQ(verdict(0, 400), Verdict::kForward);
  appliance_.wait(kDatagramMs - 1);
  EXPECT_EQ(verdict(400, 800), Verdict::kForward);
  appliance_.wait(1);
  EXPECT_EQ(verdict(800, 1000), Verdict::kHold);
}

TEST_P(FragmentBounds, ACondemnedDatagramIsRememberedSoLong) {
  EXPECT_EQ(reason(0, 12), Drop::kFragmentTiny);
  appliance_.wait(kDatagramMs - 1);
  EXPECT_EQ(reason(0, 400), Drop::kFragmentTiny);
  appliance_.wait(1);
  EXPECT_EQ(verdict(0, 400), Verdict::kForward);
}

TEST_P(FragmentBounds, AnIdentificationMayComeAgainOnceItsDatagramIsComplete) {
  for (int times = 0; times < 3; ++times) {
    EXPECT_EQ(verdict(400, 800), Verdict::kHold);
    EXPECT_EQ(verdict(0, 400), Verdict::kForward);
    EXPECT_EQ(verdict(800, 1208, false), Verdict::kForward);
    EXPECT_THAT(appliance_.released(), SizeIs(1));
  }
}

TEST_P(FragmentBounds, AFloodOfFirstOnesDisplacesTheOldest) {
  EXPECT_EQ(verdict(0, 400), Verdict::kForward);
  appliance_.wait(1);
  for (std::uint32_t id = 100; id < 100 + 8 * dataplane::kDatagrams; ++id) {
    ASSERT_EQ(send(0, 400, true, id).verdict, Verdict::kForward);
  }
  EXPECT_EQ(verdict(400, 800), Verdict::kHold) << "forgotten";
  EXPECT_EQ(send(400, 800, true, 99 + 8 * dataplane::kDatagrams).verdict, Verdict::kForward);
}

std::string family_of(const ::testing::TestParamInfo<bool>& test) {
  return test.param ? "v4" : "v6";
}

INSTANTIATE_TEST_SUITE_P(Families, FragmentBounds, ::testing::Bool(), family_of);

}  // namespace
}  // namespace holdfast::testing
