// SPDX-License-Identifier: Apache-2.0
// What of a new flow chooses its backend: each setting of `hash` against its name.
#include "tests/support/appliance.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::GenerationSpec;
using dataplane::HashFields;
using dataplane::Mode;

// One service of two VIPs and any port, without entries that could decide.
class Fields : public ::testing::Test {
 protected:
  void use(HashFields fields) {
    GenerationSpec spec = three_backends(Mode::kDsr);
    spec.services.resize(1);
    spec.services[0].hash = fields;
    spec.services[0].bindings.clear();
    for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp}) {
      for (const std::uint8_t host : {std::uint8_t{10}, std::uint8_t{11}}) {
        spec.services[0].bindings.push_back({.vip = v4(203, 0, 113, host),
                                             .protocol = protocol,
                                             .first_port = 1,
                                             .last_port = 65535});
      }
    }
    spec_ = spec;
  }
  // Whether the backend depends on what `vary` changes of the packet.
  template <typename Vary>
  bool depends_on(const Vary& vary) {
    std::set<std::string> all;
    for (std::uint8_t i = 1; i < 40; ++i) {
      Appliance appliance(spec_, 64);
      all.insert(appliance.send(vary(i)).backend);
    }
    return all.size() > 1;
  }
  bool on_source() {
    return depends_on(
        [](std::uint8_t i) { return tcp({v4(198, 51, 100, i), 9, kRouterMac}, kVip).syn(); });
  }
  bool on_source_port() {
    return depends_on([](std::uint8_t i) { return tcp(kClient.at_port(i), kVip).syn(); });
  }
  bool on_destination_port() {
    return depends_on([](std::uint8_t i) { return tcp(kClient, kVip.at_port(i)).syn(); });
  }
  // Of few values, over enough ports to see it.
  bool on_vip_or_protocol() {
    bool differs = false;
    for (std::uint16_t port = 1; port < 20; ++port) {
      const auto backend = [&](const Packet& packet) {
        return Appliance(spec_, 64).send(packet).backend;
      };
      const Endpoint other = {v4(203, 0, 113, 11), port, kOurMac};
      const std::string first = backend(tcp(kClient, kVip.at_port(port)).syn());
      differs = differs || first != backend(tcp(kClient, other).syn()) ||
                first != backend(udp(kClient, kVip.at_port(port)).payload(1));
    }
    return differs;
  }

 private:
  GenerationSpec spec_;
};

TEST_F(Fields, OfTheFiveTupleAllDecide) {
  use(HashFields::kFiveTuple);
  EXPECT_TRUE(on_source());
  EXPECT_TRUE(on_source_port());
  EXPECT_TRUE(on_destination_port());
  EXPECT_TRUE(on_vip_or_protocol());
}

TEST_F(Fields, SourceIsTheClientsAddressAlone) {
  use(HashFields::kSource);
  EXPECT_TRUE(on_source());
  EXPECT_FALSE(on_source_port());
  EXPECT_FALSE(on_destination_port());
  EXPECT_FALSE(on_vip_or_protocol());
}

TEST_F(Fields, SourceAndPortIsTheClientsAddressAndTheDestinationPort) {
  use(HashFields::kSourceAndPort);
  EXPECT_TRUE(on_source());
  EXPECT_FALSE(on_source_port());
  EXPECT_TRUE(on_destination_port());
  EXPECT_FALSE(on_vip_or_protocol());
}

TEST_F(Fields, DestinationPortIsThatAlone) {
  use(HashFields::kDestinationPort);
  EXPECT_FALSE(on_source());
  EXPECT_FALSE(on_source_port());
  EXPECT_TRUE(on_destination_port());
  EXPECT_FALSE(on_vip_or_protocol());
}

}  // namespace
}  // namespace holdfast::testing
