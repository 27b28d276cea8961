// SPDX-License-Identifier: Apache-2.0
#include "control/decide/ready_vips.h"

#include <array>
#include <cstddef>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using dataplane::Address;
using dataplane::Be32;
using dataplane::VipPrefix;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

const VipPrefix kOne{Address::v4(Be32::from_host(0xcb007101))};
const VipPrefix kTwo{Address::v4(Be32::from_host(0xcb007102))};

const VipPrefix kSix{Address::v6(std::array<std::byte, 16>{std::byte{0x20}}.data())};

OfferedService service(std::vector<VipPrefix> vips, std::size_t usable, std::uint32_t healthy = 1) {
  return {.vips = std::move(vips), .usable_v4 = usable, .usable_v6 = 0, .healthy = healthy};
}

TEST(ReadyVips, AreThoseWithEnoughMembers) {
  const std::vector<OfferedService> services = {service({kOne}, 2, 2), service({kTwo}, 1, 2)};
  EXPECT_THAT(ready_vips(services), ElementsAre(kOne));
}

TEST(ReadyVips, CountOnlyMembersThatTakeTheirFamily) {
  std::vector<OfferedService> services = {service({kOne, kSix}, 3)};
  EXPECT_THAT(ready_vips(services), ElementsAre(kOne));
  services[0].usable_v6 = 1;
  EXPECT_THAT(ready_vips(services), UnorderedElementsAre(kOne, kSix));
}

TEST(ReadyVips, OfSeveralServicesNeedAllOfThem) {
  std::vector<OfferedService> services = {service({kOne, kTwo}, 3), service({kTwo}, 0)};
  EXPECT_THAT(ready_vips(services), ElementsAre(kOne));
  services[1].usable_v4 = 1;
  EXPECT_THAT(ready_vips(services), ElementsAre(kOne, kTwo));
}

TEST(ReadyVips, DoNotAskAServiceThatNeedsNoMember) {
  const std::vector<OfferedService> services = {service({kOne}, 0, 0), service({kTwo}, 0)};
  EXPECT_THAT(ready_vips(services), ElementsAre(kOne));
  EXPECT_THAT(ready_vips({}), IsEmpty());
}

}  // namespace
}  // namespace holdfast::control
