// SPDX-License-Identifier: Apache-2.0
// Filters of flows on the seam: whole there and back, and nothing out of range comes in.
#include "dataplane/api/codec.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::seam {
namespace {

using dataplane::Address;
using ::testing::HasSubstr;

dataplane::FlowFilter whole() {
  return {.source = dataplane::VipPrefix{*Address::parse("10.0.0.0"), 104},
          .vip = Address::parse("2001:db8::10"),
          .first_port = 80,
          .last_port = 443,
          .protocol = dataplane::Protocol::kUdp,
          .states = 1U << static_cast<unsigned>(dataplane::FlowState::kClosing)};
}

TEST(FlowCodec, FiltersComeBackAsTheyWent) {
  EXPECT_EQ(from_wire(to_wire(whole())).value(), whole());
  EXPECT_EQ(from_wire(to_wire(dataplane::FlowFilter{})).value(), dataplane::FlowFilter{});
  EXPECT_EQ(to_wire(dataplane::FlowFilter{}).ByteSizeLong(), 0U) << "empty is told by its size";
}

std::string fault(const std::function<void(FlowFilter&)>& spoil) {
  FlowFilter message = to_wire(whole());
  spoil(message);
  const auto read = from_wire(message);
  return read ? "" : read.error();
}

TEST(FlowCodec, WhatIsOutOfRangeIsRefused) {
  EXPECT_THAT(fault([](FlowFilter& f) { f.set_source("short"); }), HasSubstr("source"));
  EXPECT_THAT(fault([](FlowFilter& f) { f.set_source_bits(95); }), HasSubstr("no prefix"));
  EXPECT_THAT(fault([](FlowFilter& f) { f.set_source_bits(129); }), HasSubstr("no prefix"));
  EXPECT_THAT(fault([](FlowFilter& f) { f.set_source_bits(98); }), HasSubstr("no prefix"));
  EXPECT_THAT(fault([](FlowFilter& f) { f.clear_source(); }), HasSubstr("no address"));
  EXPECT_THAT(fault([](FlowFilter& f) { f.set_vip("x"); }), HasSubstr("vip"));
  EXPECT_THAT(fault([](FlowFilter& f) { f.set_first_port(444); }), HasSubstr("ports"));
  EXPECT_THAT(fault([](FlowFilter& f) { f.set_last_port(65'536); }), HasSubstr("ports"));
  EXPECT_THAT(fault([](FlowFilter& f) { f.set_protocol(1); }), HasSubstr("protocol"));
  EXPECT_THAT(fault([](FlowFilter& f) { f.set_states(1); }), HasSubstr("state"));
  EXPECT_THAT(fault([](FlowFilter& f) { f.set_states(1U << 20U); }), HasSubstr("state"));
}

TEST(FlowCodec, AnOlderDataplaneKnowsNoWalks) {
  EXPECT_FALSE(has_flow_walks(4));
  EXPECT_TRUE(has_flow_walks(5));
}

}  // namespace
}  // namespace holdfast::seam
