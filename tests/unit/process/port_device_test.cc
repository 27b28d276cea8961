// SPDX-License-Identifier: Apache-2.0
// How ports are called in DPDK, and which capabilities they need.
#include "dataplane/process/port_device.h"

#include "dataplane/process/privileges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

PortSpec memif() {
  return {.name = "vm0",
          .device = PortDevice::kMemif,
          .mtu = 9000,
          .socket = "/run/vm0.sock",
          .role = MemifRole::kServer,
          .memif_id = 7,
          .mac = {2, 0, 0, 0, 0, 0x1f}};
}

TEST(PortDevice, NamesACardByItsAddressAndOthersByDriverAndPlace) {
  const PortSpec card{.device = PortDevice::kPci, .pci_address = "0000:65:00.0"};
  EXPECT_EQ(device_name(card, 3), "0000:65:00.0");
  EXPECT_EQ(device_name(memif(), 3), "net_memif3");
}

TEST(PortDevice, TellsAMemifItsSocketItsMacAndBuffersThatHoldItsMtu) {
  EXPECT_EQ(device_arguments(memif()).value(),
            "role=server,id=7,socket=/run/vm0.sock,socket-abstract=no,bsize=16384,"
            "mac=02:00:00:00:00:1f");
}

TEST(PortDevice, RefusesNamesThatDpdkCannotTake) {
  PortSpec spec = memif();
  spec.socket = "/run/a,b.sock";
  ASSERT_FALSE(device_arguments(spec).has_value());
  EXPECT_THAT(device_arguments(spec).error().text, HasSubstr("cannot take the name /run/a,b.sock"));
}

TEST(PortDevice, MakesUpAStationsAddressThatIsTheSameAtEachStart) {
  const MacAddress mac = made_up_mac("site", "wan0");
  EXPECT_EQ(mac, made_up_mac("site", "wan0"));
  EXPECT_NE(mac, made_up_mac("site", "lan0"));
  EXPECT_NE(mac, made_up_mac("other", "wan0"));
  EXPECT_EQ(mac[0], 0x02);
}

TEST(PortDevice, RefusesACardThatIsNotThereAndSaysHowToBindOne) {
  StartupSpec startup;
  startup.ports = {{.name = "nic0", .device = PortDevice::kPci, .pci_address = "ffff:1f:1f.7"}};
  const auto needs = bus_needs(startup);
  ASSERT_FALSE(needs.has_value());
  EXPECT_THAT(needs.error().text, HasSubstr("port nic0: the device ffff:1f:1f.7 is not there"));
  EXPECT_THAT(needs.error().text, HasSubstr("driverctl set-override ffff:1f:1f.7 vfio-pci"));
}

TEST(PortDevice, StandsOnTheCardsAmongABondsLinks) {
  const PortSpec bond{.device = PortDevice::kBond,
                      .links = {"0000:65:00.0", "leg0", "0000:65:00.1"}};
  EXPECT_EQ(device_name(bond, 3), "net_bonding3");
  EXPECT_THAT(pci_addresses(bond), ElementsAre("0000:65:00.0", "0000:65:00.1"));
  const PortSpec card{.device = PortDevice::kPci, .pci_address = "0000:65:00.0"};
  EXPECT_THAT(pci_addresses(card), ElementsAre("0000:65:00.0"));
  EXPECT_THAT(pci_addresses(memif()), IsEmpty());
}

TEST(PortDevice, RefusesALinkOfABondThatIsNotThereByTheBondsName) {
  StartupSpec startup;
  startup.ports = {{.name = "bond0", .device = PortDevice::kBond, .links = {"ffff:1f:1f.7"}}};
  const auto needs = bus_needs(startup);
  ASSERT_FALSE(needs.has_value());
  EXPECT_THAT(needs.error().text, HasSubstr("port bond0: the device ffff:1f:1f.7 is not there"));
}

TEST(Capabilities, OfABondAreThoseOfItsLinks) {
  const auto starting = [](std::vector<std::string> links) {
    StartupSpec startup;
    startup.ports = {{.device = PortDevice::kBond, .links = std::move(links)}};
    const CapabilityNeeds needs =
        capability_needs(startup, {.pci = true, .physical_addresses = false});
    EXPECT_EQ(needs.running, 0U);
    return needs.starting;
  };
  EXPECT_EQ(starting({"0000:65:00.0", "0000:65:00.1"}), kCapDacOverride);
  EXPECT_EQ(starting({"leg0"}), kCapNetAdmin);
  EXPECT_EQ(starting({"0000:65:00.0", "leg0"}), kCapDacOverride | kCapNetAdmin);
}

TEST(Capabilities, OfOwnedPortsAreForTheStartAlone) {
  const auto needs = [](PortDevice device, const std::string& twin, bool uio) {
    StartupSpec startup;
    startup.ports = {{.device = device, .twin = twin}};
    return capability_needs(startup, {.pci = true, .physical_addresses = uio});
  };
  EXPECT_EQ(needs(PortDevice::kMemif, "", false).starting, 0U);
  EXPECT_EQ(needs(PortDevice::kMemif, "vm0", false).starting, kCapNetAdmin);
  EXPECT_EQ(needs(PortDevice::kPci, "nic0", false).starting, kCapDacOverride | kCapNetAdmin);
  EXPECT_EQ(needs(PortDevice::kPci, "", true).starting,
            kCapDacOverride | kCapSysRawIo | kCapSysAdmin);
  for (const PortDevice device :
       {PortDevice::kTap, PortDevice::kMemif, PortDevice::kPci, PortDevice::kAfXdp}) {
    EXPECT_EQ(needs(device, "twin", true).running, 0U);
  }
  EXPECT_EQ(needs(PortDevice::kAfPacket, "", false).running, kCapNetAdmin);
}

TEST(Capabilities, OfRoutesAreNetAdminForAsLongAsTheProcessRuns) {
  StartupSpec startup;
  startup.ports = {{.device = PortDevice::kNull}};
  EXPECT_EQ(capability_needs(startup, {}).starting, 0U);
  startup.routes.device = "holdfast";
  EXPECT_EQ(capability_needs(startup, {}).starting, kCapNetAdmin);
  EXPECT_EQ(capability_needs(startup, {}).running, kCapNetAdmin);
}

}  // namespace
}  // namespace holdfast::dataplane
