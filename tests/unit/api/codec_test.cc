// SPDX-License-Identifier: Apache-2.0
// Specifications survive the seam unchanged; hostile messages are refused with a sentence.
#include "dataplane/api/codec.h"

#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::seam {
namespace {

using dataplane::Address;
using dataplane::Be32;
using dataplane::GenerationSpec;
using dataplane::StartupSpec;
using ::testing::HasSubstr;

Address v4(std::uint32_t host) { return Address::v4(Be32::from_host(host)); }

GenerationSpec sample_generation() {
  GenerationSpec spec;
  spec.number = 7;
  spec.pools = {{v4(0x0a000310), v4(0x0a00031f)}};
  dataplane::ServiceSpec web;
  web.name = "web";
  web.mode = dataplane::Mode::kDsr;
  web.slots = 4093;
  web.hash = dataplane::HashFields::kSource;
  web.timeouts.udp = 30;
  web.bindings = {{v4(0xcb00710a), dataplane::Protocol::kTcp, 80, 80},
                  {v4(0xcb00710a), dataplane::Protocol::kUdp, 5000, 5010},
                  {v4(0xcb007100), dataplane::Protocol::kUdp, 1, 65535, 120}};
  web.affinity = {.seconds = 600, .prefix_v4 = 24, .prefix_v6 = 56};
  web.members = {{.backend = "a", .address = v4(0x0a00030b), .port = 8080, .weight = 100},
                 {.backend = "b",
                  .address = v4(0x0a00030c),
                  .port = 0,
                  .weight = 0,
                  .tier = 1,
                  .disposition = dataplane::Disposition::kHold}};
  spec.services = {web};
  return spec;
}

StartupSpec sample_startup() {
  StartupSpec spec;
  spec.ports = {{.name = "wan0",
                 .device = dataplane::PortDevice::kAfPacket,
                 .interface = "veth-wan",
                 .receive_file = {},
                 .transmit_file = {},
                 .repeat = false,
                 .mtu = 9000},
                {.name = "lan0", .device = dataplane::PortDevice::kNull, .vlan = {0, 100}},
                {.name = "dmz0", .device = dataplane::PortDevice::kRing, .vlan = {200, 4094}},
                {.name = "nic0",
                 .device = dataplane::PortDevice::kPci,
                 .pci_address = "0000:65:00.0",
                 .twin = "nic0"},
                {.name = "vm0",
                 .device = dataplane::PortDevice::kMemif,
                 .socket = "/run/vm0.sock",
                 .role = dataplane::MemifRole::kServer,
                 .memif_id = 7,
                 .mac = {2, 0, 0, 0, 0, 7},
                 .twin = {}},
                {.name = "bond0",
                 .device = dataplane::PortDevice::kBond,
                 .bond_mode = dataplane::BondMode::kActiveBackup,
                 .links = {"0000:66:00.0", "leg0"},
                 .twin = "bond0"}};
  spec.workers = 2;
  spec.idle = dataplane::Idle::kPoll;
  spec.hash_key.fill(0x5a);
  spec.socket = "/run/holdfast/dataplane.sock";
  spec.instance = "lab-1";
  spec.routes = {.device = "holdfast", .protocol = 77, .table = 1000};
  spec.role = dataplane::Role::kStandby;
  return spec;
}

TEST(Codec, CarriesAGenerationUnchanged) {
  const auto back = from_wire(to_wire(sample_generation()));
  ASSERT_TRUE(back.has_value()) << back.error();
  EXPECT_EQ(*back, sample_generation());
}

TEST(Codec, RefusesVlansThatAreNone) {
  const auto error = [](std::uint32_t service, std::uint32_t vlan) {
    Startup message = to_wire(sample_startup());
    message.mutable_ports(1)->set_service_vlan(service);
    message.mutable_ports(1)->set_vlan(vlan);
    const auto back = from_wire(message);
    return back ? "" : back.error();
  };
  EXPECT_EQ(error(4094, 1), "");
  EXPECT_EQ(error(0, 4095), "vlan is 4095, not 0 to 4094");
  EXPECT_EQ(error(65536, 7), "vlan is 65536, not 0 to 4094");
  EXPECT_EQ(error(7, 0), "a service VLAN without a VLAN in it");
}

TEST(Codec, RefusesATwinOfAPortThatTheKernelHasAnyway) {
  Startup message = to_wire(sample_startup());
  message.mutable_ports(0)->set_twin("wan1");
  const auto back = from_wire(message);
  ASSERT_FALSE(back.has_value());
  EXPECT_EQ(back.error(), "a twin of a port that is not owned");
}

TEST(Codec, CarriesAStartupUnchanged) {
  const auto back = from_wire(to_wire(sample_startup()));
  ASSERT_TRUE(back.has_value()) << back.error();
  EXPECT_EQ(*back, sample_startup());
}

struct Hostile {
  std::string title;
  std::function<void(Generation&)> change;
  std::string says;
};

void expect_refused(const std::vector<Hostile>& cases) {
  for (const Hostile& one : cases) {
    Generation message = to_wire(sample_generation());
    one.change(message);
    const auto result = from_wire(message);
    ASSERT_FALSE(result.has_value()) << one.title;
    EXPECT_THAT(result.error(), HasSubstr(one.says)) << one.title;
  }
}

TEST(Codec, RefusesEveryHostileGenerationWithASentence) {
  const std::vector<Hostile> cases = {
      {"short address",
       [](Generation& g) { g.mutable_services(0)->mutable_members(0)->set_address("abcd"); },
       "4 bytes, not 16"},
      {"no VIP",
       [](Generation& g) { g.mutable_services(0)->mutable_bindings(0)->clear_vip(); },
       "VIP"},
      {"port 65536",
       [](Generation& g) { g.mutable_services(0)->mutable_members(0)->set_port(65536); },
       "backend port"},
      {"weight",
       [](Generation& g) { g.mutable_services(0)->mutable_members(0)->set_weight(65536); },
       "weight"},
      {"tier",
       [](Generation& g) { g.mutable_services(0)->mutable_members(0)->set_tier(256); },
       "tier"},
      {"disposition",
       [](Generation& g) { g.mutable_services(0)->mutable_members(0)->set_disposition(7); },
       "disposition"},
      {"mode", [](Generation& g) { g.mutable_services(0)->set_mode(6); }, "mode"},
      {"hash", [](Generation& g) { g.mutable_services(0)->set_hash(4); }, "hash"},
      {"slots", [](Generation& g) { g.mutable_services(0)->set_slots(0); }, "slots"},
      {"slots above",
       [](Generation& g) { g.mutable_services(0)->set_slots(4'000'000'000U); },
       "slots"},
      {"protocol",
       [](Generation& g) { g.mutable_services(0)->mutable_bindings(0)->set_protocol(1); },
       "protocol"},
      {"port 0",
       [](Generation& g) { g.mutable_services(0)->mutable_bindings(0)->set_first_port(0); },
       "first port"},
      {"backwards",
       [](Generation& g) { g.mutable_services(0)->mutable_bindings(1)->set_last_port(4999); },
       "backwards"},
      {"timeout 0",
       [](Generation& g) { g.mutable_services(0)->mutable_timeouts()->set_udp(0); },
       "udp"},
      {"a timeout that stamps cannot tell from a younger one",
       [](Generation& g) { g.mutable_services(0)->mutable_timeouts()->set_established(65535); },
       "established is 65535, not 1 to 64800"},
      {"prefix length",
       [](Generation& g) { g.mutable_services(0)->mutable_bindings(2)->set_prefix_bits(129); },
       "prefix length"},
      {"affinity",
       [](Generation& g) { g.mutable_services(0)->mutable_affinity()->set_seconds(65000); },
       "affinity"},
      {"affinity's prefix",
       [](Generation& g) { g.mutable_services(0)->mutable_affinity()->set_prefix_v4(33); },
       "IPv4 prefix"},
      {"no timeouts", [](Generation& g) { g.mutable_services(0)->clear_timeouts(); }, "half_open"},
      {"empty name", [](Generation& g) { g.mutable_services(0)->set_name(""); }, "service name"},
      {"newline", [](Generation& g) { g.mutable_services(0)->set_name("a\nb"); }, "service name"},
      {"long name",
       [](Generation& g) { g.mutable_services(0)->set_name(std::string(kMaxNameBytes + 1, 'x')); },
       "service name"},
      {"backend twice",
       [](Generation& g) { g.mutable_services(0)->mutable_members(1)->set_backend("a"); },
       "twice"},
      {"service twice", [](Generation& g) { *g.add_services() = g.services(0); }, "twice"},
      {"pool backwards",
       [](Generation& g) {
         g.mutable_pools(0)->mutable_first()->swap(*g.mutable_pools(0)->mutable_last());
       },
       "backwards"},
      {"pool of two families",
       [](Generation& g) { g.mutable_pools(0)->set_last(std::string(16, '\xff')); },
       "families"},
  };
  expect_refused(cases);
}

TEST(Codec, RefusesTunnelsThatNoMemberCouldTake) {
  expect_refused({
      {"VNI",
       [](Generation& g) { g.mutable_services(0)->mutable_tunnel()->set_vni(1 << 24); },
       "VNI"},
      {"hops", [](Generation& g) { g.mutable_services(0)->mutable_tunnel()->set_hops(5); }, "hops"},
      {"outer source of the other family",
       [](Generation& g) {
         g.mutable_services(0)->mutable_tunnel()->set_source_v4(std::string(16, '\x20'));
       },
       "other family"},
      {"inner MAC",
       [](Generation& g) { g.mutable_services(0)->mutable_members(0)->set_inner_mac("abc"); },
       "inner MAC address has 3 bytes, not 6"},
  });
}

TEST(Codec, CarriesTunnelsUnchanged) {
  GenerationSpec spec = sample_generation();
  dataplane::ServiceSpec& service = spec.services[0];
  service.mode = dataplane::Mode::kVxlan;
  service.tunnel = {.source_v4 = v4(0xc0000205),
                    .source_v6 = {{0x20, 0x01, 0x0d, 0xb8}},
                    .port = 4790,
                    .hops = 3,
                    .vni = 0xffffff,
                    .inner_source = {2, 0, 0, 0, 0, 1}};
  service.members[1].inner_mac = {2, 0, 0, 0, 0, 2};
  const auto back = from_wire(to_wire(spec));
  ASSERT_TRUE(back.has_value()) << back.error();
  EXPECT_EQ(*back, spec);
}

TEST(Codec, CarriesMtusAndTheRuleForTheMss) {
  using Rule = dataplane::MssSpec::Rule;
  GenerationSpec spec = sample_generation();
  spec.services[0].members[1].mtu = 65535;
  for (const dataplane::MssSpec mss : {dataplane::MssSpec{.rule = Rule::kKeep, .most = 0},
                                       dataplane::MssSpec{.rule = Rule::kClamp, .most = 0},
                                       dataplane::MssSpec{.rule = Rule::kClamp, .most = 1360}}) {
    spec.services[0].mss = mss;
    const auto back = from_wire(to_wire(spec));
    ASSERT_TRUE(back.has_value()) << back.error();
    EXPECT_EQ(*back, spec);
  }
}

TEST(Codec, RefusesMtusAndRulesThatDoNotExist) {
  expect_refused({
      {"mtu of a backend",
       [](Generation& g) { g.mutable_services(0)->mutable_members(0)->set_mtu(65536); },
       "mtu"},
      {"rule", [](Generation& g) { g.mutable_services(0)->mutable_mss()->set_rule(3); }, "rule"},
      {"MSS", [](Generation& g) { g.mutable_services(0)->mutable_mss()->set_most(65496); }, "MSS"},
  });
  Startup startup = to_wire(sample_startup());
  for (const std::uint32_t mtu : {575U, 9217U}) {
    startup.mutable_ports(0)->set_mtu(mtu);
    EXPECT_FALSE(from_wire(startup).has_value()) << mtu;
  }
  startup.mutable_ports(0)->clear_mtu();  // of a control that knows none
  EXPECT_EQ(from_wire(startup)->ports[0].mtu, 1500);
}

TEST(Codec, CountsOverAllServicesBeforeItCopies) {
  Generation message;
  for (int s = 0; s < 3; ++s) {
    Service& service = *message.add_services();
    for (int i = 0; i < 4000; ++i) {
      service.add_members();
    }
  }
  const auto result = from_wire(message);
  ASSERT_FALSE(result.has_value());
  EXPECT_THAT(result.error(), HasSubstr("12000 members"));
}

TEST(Codec, RefusesABondWithoutLinksAndLinksOfWhatIsNone) {
  const Startup sample = to_wire(sample_startup());
  const int bond = sample.ports_size() - 1;
  Startup message = sample;
  message.mutable_ports(bond)->clear_links();
  EXPECT_FALSE(from_wire(message).has_value());
  message = sample;
  message.mutable_ports(0)->add_links("leg1");
  EXPECT_FALSE(from_wire(message).has_value());
  message = sample;
  message.mutable_ports(bond)->set_bond_mode(2);
  EXPECT_FALSE(from_wire(message).has_value());
  message = sample;
  for (std::size_t i = 0; i < kMaxLinks; ++i) {
    message.mutable_ports(bond)->add_links("leg");
  }
  EXPECT_FALSE(from_wire(message).has_value());
}

TEST(Codec, RefusesRoutesWithoutDeviceOrProtocol) {
  Startup message = to_wire(sample_startup());
  message.mutable_routes()->clear_device();
  EXPECT_FALSE(from_wire(message).has_value());
  message = to_wire(sample_startup());
  message.mutable_routes()->set_protocol(256);
  EXPECT_FALSE(from_wire(message).has_value());
  message.clear_routes();
  EXPECT_EQ(from_wire(message)->routes, dataplane::RoutesSpec{});
}

TEST(Codec, CarriesVipsWithARouteAndRefusesWhatIsNone) {
  const Address vip = Address::v4(dataplane::Be32::from_host(0xcb00710a));
  const std::vector<dataplane::VipPrefix> vips = {{vip, 120}, {vip}};
  const SetRoutes sample = to_wire(std::span<const dataplane::VipPrefix>(vips));
  EXPECT_THAT(from_wire(sample).value(), ::testing::ElementsAreArray(vips));
  SetRoutes message = sample;
  message.mutable_vips(0)->set_prefix_bits(129);
  EXPECT_FALSE(from_wire(message).has_value());
  message = sample;
  message.mutable_vips(1)->set_address("short");
  EXPECT_FALSE(from_wire(message).has_value());
  message = sample;
  for (std::size_t i = 0; i < kMaxBindings; ++i) {
    *message.add_vips() = sample.vips(0);
  }
  EXPECT_FALSE(from_wire(message).has_value());
}

TEST(Codec, RefusesAStartupWithAShortKeyOrTooManyPorts) {
  Startup message = to_wire(sample_startup());
  message.set_hash_key("short");
  EXPECT_FALSE(from_wire(message).has_value());
  message = to_wire(sample_startup());
  for (std::size_t i = 0; i < kMaxPorts; ++i) {
    *message.add_ports() = message.ports(0);
  }
  EXPECT_FALSE(from_wire(message).has_value());
  message = to_wire(sample_startup());
  message.set_role(3);
  EXPECT_FALSE(from_wire(message).has_value());
  message = to_wire(sample_startup());
  message.set_idle(2);
  EXPECT_FALSE(from_wire(message).has_value());
  message = to_wire(sample_startup());
  message.set_socket(std::string("a\0b", 3));
  EXPECT_FALSE(from_wire(message).has_value());
}

TEST(Codec, ChoosesTheHighestCommonVersionAndNamesBothRangesWhenThereIsNone) {
  EXPECT_EQ(choose_version(1, 9), kVersionMax);
  EXPECT_EQ(choose_version(0, kVersionMin), kVersionMin);
  const auto none = choose_version(kVersionMax + 1, kVersionMax + 3);
  ASSERT_FALSE(none.has_value());
  EXPECT_THAT(none.error(), HasSubstr("this build"));
}

TEST(Codec, ChoosesTheOlderVersionWithAPeerOfTheReleaseBefore) {
  EXPECT_EQ(choose_version(1, 1), 1U);
  EXPECT_EQ(choose_version(1, 2), 2U);
  EXPECT_EQ(choose_version(2, 3), 3U);
  EXPECT_EQ(choose_version(3, 4), 4U);
  EXPECT_EQ(choose_version(4, 5), 5U);
  EXPECT_EQ(choose_version(5, 6), 5U);
}

TEST(Codec, SaysOfADeadMemberWhatAnOlderVersionKnows) {
  using enum dataplane::Disposition;
  EXPECT_EQ(known_disposition(kRehash, 3), kKeep);
  EXPECT_EQ(known_disposition(kRehashDatagrams, 3), kKeep);
  EXPECT_EQ(known_disposition(kRehash, 4), kRehash);
  EXPECT_EQ(known_disposition(kReset, 1), kReset);
}

TEST(Codec, SaysWhichServiceAsksForMoreThanAnOlderVersionCarries) {
  const auto refused = [](const auto& change) {
    GenerationSpec spec;
    spec.services.push_back({.name = "plain",
                             .bindings = {{.vip = v4(0x0a000001)}},
                             .members = {{.backend = "a", .address = v4(0x0a000002)}}});
    spec.services.push_back(spec.services.front());
    spec.services.back().name = "new";
    EXPECT_TRUE(fits_version(spec, 1).has_value());
    change(spec.services.back());
    EXPECT_TRUE(fits_version(spec, 2).has_value());
    const auto fits = fits_version(spec, 1);
    return fits ? std::string() : fits.error();
  };
  using dataplane::ServiceSpec;
  EXPECT_EQ(refused([](ServiceSpec& s) { s.affinity.seconds = 9; }),
            "service 'new' has affinity, which needs seam version 2: the dataplane speaks 1");
  EXPECT_THAT(refused([](ServiceSpec& s) { s.bindings[0].prefix_bits = 120; }),
              HasSubstr("a prefix of VIPs"));
  EXPECT_THAT(refused([](ServiceSpec& s) { s.mss.rule = dataplane::MssSpec::Rule::kKeep; }),
              HasSubstr("an mss rule"));
  EXPECT_THAT(refused([](ServiceSpec& s) { s.members[0].mtu = 1400; }), HasSubstr("an mtu"));
  EXPECT_THAT(refused([](ServiceSpec& s) { s.members[0].slot_key = "b"; }),
              HasSubstr("a backend at another's place"));
}

TEST(Codec, FitsTheLargestGenerationIntoOneMessage) {
  GenerationSpec spec;
  dataplane::ServiceSpec service;
  service.name = "web";
  for (std::uint32_t i = 0; i < kMaxMembers; ++i) {
    service.members.push_back(
        {.backend = "backend-" + std::to_string(i), .address = v4(0x0a000000 + i), .port = 8080});
    service.bindings.push_back({v4(0xcb000000 + i), dataplane::Protocol::kTcp, 80, 80});
  }
  spec.services = {service};
  EXPECT_LT(to_wire(spec).ByteSizeLong(), 1U << 20U);
  EXPECT_TRUE(from_wire(to_wire(spec)).has_value());
}

}  // namespace
}  // namespace holdfast::seam
