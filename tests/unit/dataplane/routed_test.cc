// SPDX-License-Identifier: Apache-2.0
#include "dataplane/routed.h"

#include "dataplane/prefix.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Address v4_of_bits(std::uint32_t bits) { return Address::v4(Be32::from_host(bits)); }

class Routed : public ::testing::Test {
 protected:
  std::uint16_t bind(const Address& vip, std::uint16_t port, std::uint8_t bits = kWholeAddress) {
    const ServiceSpec service{.name = "web"};
    return bindings
        .allocate(service, {.vip = vip, .first_port = port, .last_port = port, .prefix_bits = bits})
        .value();
  }
  BindingRecord& at(std::uint16_t index) { return records[index]; }

  std::vector<BindingRecord> records = std::vector<BindingRecord>(8);
  BindingRegistry bindings{records};
  const VipPrefix one{v4_of_bits(0xcb007101)};
  const VipPrefix two{v4_of_bits(0xcb007102)};
  const VipPrefix prefix{v4_of_bits(0xc6336400), kMappedBits + 24};
};

TEST_F(Routed, IsEveryBindingOfAVipAndOnlyThoseThatWereSaidLast) {
  bind(one.address, 80);
  bind(one.address, 443);
  bind(two.address, 80);
  bind(prefix.address, 80, prefix.bits);
  EXPECT_THAT(routed_vips(bindings), IsEmpty());
  EXPECT_EQ(set_routed(bindings, {one, prefix}), 2U);
  EXPECT_THAT(routed_vips(bindings), ElementsAre(prefix, one));
  EXPECT_EQ(set_routed(bindings, {two}), 1U);
  EXPECT_THAT(routed_vips(bindings), ElementsAre(two));
}

TEST_F(Routed, LeavesOutAVipThatNothingIsBoundTo) {
  bind(one.address, 80);
  EXPECT_EQ(set_routed(bindings, {one, two, {prefix.address, kMappedBits + 25}}), 1U);
  EXPECT_THAT(routed_vips(bindings), ElementsAre(one));
}

TEST_F(Routed, EndsWithTheLastBindingAndDoesNotComeBackWithTheNextOne) {
  const std::uint16_t web = bind(one.address, 80);
  const std::uint16_t tls = bind(one.address, 443);
  set_routed(bindings, {one});
  at(web).state = RegistryState::kRetired;
  EXPECT_THAT(routed_vips(bindings), ElementsAre(one));
  at(tls).state = RegistryState::kRetired;
  EXPECT_THAT(routed_vips(bindings), IsEmpty());
  forget_unbound_routes(bindings);
  at(web).state = RegistryState::kActive;
  EXPECT_THAT(routed_vips(bindings), IsEmpty());
}

TEST_F(Routed, IsNotWhatARecordOfAnEarlierUseSaid) {
  const std::uint16_t index = bind(one.address, 80);
  set_routed(bindings, {one});
  bindings.free(index);
  for (std::size_t i = 0; i < records.size(); ++i) {
    bind(two.address, static_cast<std::uint16_t>(1000 + i));
  }
  EXPECT_THAT(routed_vips(bindings), IsEmpty());
}

}  // namespace
}  // namespace holdfast::dataplane
