// SPDX-License-Identifier: Apache-2.0
// The comparison that failing packet tests print.
#include "tests/support/frame_difference.h"

#include <gmock/gmock.h>

namespace holdfast::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(FrameDifference, NamesEachDifferingFieldWithBothValues) {
  const std::string text =
      difference(tcp(kClient, kVip).syn().bytes(), tcp(kClient, kBackend1).syn().bytes());
  EXPECT_THAT(text, HasSubstr("ip.destination: is '203.0.113.10', expected '10.0.3.11'"));
  EXPECT_THAT(text, HasSubstr("tcp.destination_port: is '80', expected '8080'"));
  EXPECT_THAT(text, HasSubstr("tcp.checksum"));
  EXPECT_THAT(text, Not(HasSubstr("ip.ttl")));
}

TEST(FrameDifference, IsEmptyForEqualFramesAndSeesPayloadAndLength) {
  const Bytes frame = udp(kClient6, kVip6).payload("abc").bytes();
  EXPECT_EQ(difference(frame, frame), "");
  Bytes longer = frame;
  longer.push_back(0);
  EXPECT_THAT(difference(frame, longer), HasSubstr("payload: is '616263', expected '61626300'"));
}

TEST(FrameDifference, DescribesFramesCutAnywhere) {
  const Bytes whole = tcp(kClient6, kVip6).vlan(7).tcp_options({2, 4, 5, 0xb4}).bytes();
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    EXPECT_FALSE(describe({whole.begin(), whole.begin() + static_cast<int>(size)}).empty());
  }
}

}  // namespace
}  // namespace holdfast::testing
