// SPDX-License-Identifier: Apache-2.0
// From configuration and decisions to what the dataplane is told; the hash key's file; small files
// that must survive.
#include "control/publish/build.h"
#include "control/publish/durable_file.h"
#include "control/publish/hash_key.h"
#include "control/publish/writer_epoch.h"
#include "dataplane/api/codec.h"
#include "tests/support/temp_directory.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

using ::testing::HasSubstr;
using testing::TempDirectory;

config::IpAddress v4(std::uint8_t last) {
  config::IpAddress address;
  address.bytes = {10, 0, 3, last};
  return address;
}

config::Config sample_config() {
  config::Config config;
  config.ports = {{.name = "wan0",
                   .device = config::PortDevice::kPcap,
                   .interface = {},
                   .receive_file = "in.pcap",
                   .transmit_file = "out.pcap",
                   .repeat = true,
                   .mtu = 9000,
                   .vlan = {.service = 200, .id = 100},
                   .place = {}}};
  config.dataplane.workers = 2;
  config.nat.pool = {{v4(16), v4(31)}};
  config::Service web;
  web.name = "web";
  web.mode = config::Mode::kDsr;
  web.balance = {.slots = 4093, .hash = config::HashFields::kSource};
  config::IpAddress v6;
  v6.v6 = true;
  v6.bytes = {0x20, 0x01, 0x0d, 0xb8};
  web.vips = {{v4(1), 32}, {v6, 32}};
  web.affinity = {.time = std::chrono::seconds(600), .prefix_v4 = 24, .prefix_v6 = 56};
  web.ports = {{.protocol = config::Protocol::kTcp, .first = 80, .last = 80, .place = {}},
               {.protocol = config::Protocol::kUdp, .first = 5000, .last = 5010, .place = {}}};
  web.mss = {.rule = config::MssRule::kClamp, .most = 1360};
  web.backends = {
      {.name = "a",
       .address = v4(11),
       .port = 0,
       .weight = 10,
       .tier = 1,
       .mtu = 1400,
       .place = {}},
      {.name = "b", .address = v4(12), .port = 0, .weight = 20, .tier = 0, .place = {}}};
  config.services = {web};
  return config;
}

TEST(BuildGeneration, BindsEveryVipToEveryPortAndTakesWeightsFromTheDecisions) {
  const std::vector<ServiceDecision> decisions = {
      {.members = {{Disposition::kKeep, 10}, {Disposition::kNew, 0}}}};
  const auto spec = build_generation(sample_config(), decisions, 9);
  EXPECT_EQ(spec.number, 9U);
  ASSERT_EQ(spec.services.size(), 1U);
  const dataplane::ServiceSpec& web = spec.services[0];
  EXPECT_EQ(web.mode, dataplane::Mode::kDsr);
  EXPECT_EQ(web.slots, 4093U);
  EXPECT_EQ(web.hash, dataplane::HashFields::kSource);
  EXPECT_EQ(web.timeouts.udp, 300);
  ASSERT_EQ(web.bindings.size(), 4U);
  EXPECT_EQ(web.bindings[0].vip.text(), "10.0.3.1");
  EXPECT_EQ(web.bindings[1].protocol, dataplane::Protocol::kUdp);
  EXPECT_EQ(web.bindings[1].last_port, 5010);
  EXPECT_EQ(web.bindings[0].prefix_bits, dataplane::kWholeAddress);
  EXPECT_FALSE(web.bindings[2].vip.is_v4());
  EXPECT_EQ(web.bindings[2].prefix_bits, 32);
  EXPECT_EQ(web.affinity, (dataplane::AffinitySpec{600, 24, 56}));
  ASSERT_EQ(web.members.size(), 2U);
  EXPECT_EQ(web.members[0].disposition, Disposition::kKeep);
  EXPECT_EQ(web.members[0].tier, 1);
  EXPECT_EQ(web.members[0].mtu, 1400);
  EXPECT_EQ(web.members[1].mtu, 0);
  EXPECT_EQ(web.mss.rule, dataplane::MssSpec::Rule::kClamp);
  EXPECT_EQ(web.mss.most, 1360);
  EXPECT_EQ(web.members[1].weight, 0U);
  ASSERT_EQ(spec.pools.size(), 1U);
  EXPECT_EQ(spec.pools[0].last.text(), "10.0.3.31");
}

TEST(BuildGeneration, CountsTheBitsOfAnIpv4PrefixBehindTheMappedOnes) {
  config::Config config = sample_config();
  config.services[0].vips = {{v4(0), 24}};
  config.services[0].affinity = {};
  const auto spec = build_generation(config, all_up(config), 1);
  EXPECT_EQ(spec.services[0].bindings[0].prefix_bits, 96 + 24);
  EXPECT_EQ(spec.services[0].affinity, dataplane::AffinitySpec{});
}

TEST(BuildGeneration, MakesWhatTheSeamAccepts) {
  const auto spec = build_generation(sample_config(), all_up(sample_config()), 1);
  const auto back = seam::from_wire(seam::to_wire(spec));
  ASSERT_TRUE(back.has_value()) << back.error();
  EXPECT_EQ(*back, spec);
}

TEST(StartupSpec, CarriesEveryStartUpKey) {
  HashKey key{};
  key.fill(7);
  const auto spec = startup_spec(sample_config(), key);
  EXPECT_EQ(spec.workers, 2U);
  EXPECT_EQ(spec.flows, 1'000'000U);
  EXPECT_EQ(spec.hash_key, key);
  EXPECT_EQ(spec.socket, "/run/holdfast/dataplane.sock");
  ASSERT_EQ(spec.ports.size(), 1U);
  EXPECT_EQ(spec.ports[0].device, dataplane::PortDevice::kPcap);
  EXPECT_TRUE(spec.ports[0].repeat);
  EXPECT_EQ(spec.ports[0].mtu, 9000);
  EXPECT_EQ(spec.ports[0].vlan, dataplane::VlanTags(200, 100));
  EXPECT_EQ(spec.routes, dataplane::RoutesSpec{});
  EXPECT_TRUE(seam::from_wire(seam::to_wire(spec)).has_value());
}

TEST(StartupSpec, IsOneOfAPairAsItBegins) {
  config::Config config = sample_config();
  EXPECT_EQ(startup_spec(config, {}).role, dataplane::Role::kAlone);
  config.pair.emplace();
  EXPECT_EQ(startup_spec(config, {}).role, dataplane::Role::kStandby);
  config.pair->start = config::Role::kActive;
  EXPECT_EQ(startup_spec(config, {}).role, dataplane::Role::kActive);
}

TEST(StartupSpec, HasRoutesWhereTheConfigurationAsksForThem) {
  config::Config config = sample_config();
  config.routes = {.device = "hf0", .protocol = 77, .table = 1000, .place = {}};
  const auto spec = startup_spec(config, {});
  EXPECT_EQ(spec.routes, (dataplane::RoutesSpec{.device = "hf0", .protocol = 77, .table = 1000}));
}

TEST(HashKey, IsMadeOnceKeptAndOnlyReadableByItsOwner) {
  const TempDirectory directory;
  config::Dataplane dataplane;
  dataplane.directory = directory.file("deep/dataplane");
  const auto first = load_hash_key(dataplane);
  ASSERT_TRUE(first.has_value()) << first.error();
  EXPECT_EQ(load_hash_key(dataplane), first);
  struct stat info{};
  ASSERT_EQ(::stat(hash_key_path(dataplane).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  std::filesystem::remove(hash_key_path(dataplane));
  EXPECT_NE(load_hash_key(dataplane), first);
}

TEST(HashKey, IsRefusedWhenOthersCouldReadItOrPutALinkInItsPlace) {
  const TempDirectory directory;
  config::Dataplane dataplane;
  dataplane.hash_key_file = directory.file("key");
  const auto missing = load_hash_key(dataplane);
  ASSERT_FALSE(missing.has_value());
  EXPECT_THAT(missing.error(), ::testing::HasSubstr("dataplane.hash_key_file "));
  EXPECT_THAT(missing.error(), ::testing::HasSubstr("does not exist: put the 32 hex digits"));
  std::ofstream(dataplane.hash_key_file) << "000102030405060708090a0b0c0d0e0F\n";
  ::chmod(dataplane.hash_key_file.c_str(), 0644);
  EXPECT_THAT(load_hash_key(dataplane).error(), HasSubstr("chmod"));
  ::chmod(dataplane.hash_key_file.c_str(), 0600);
  const auto key = load_hash_key(dataplane);
  ASSERT_TRUE(key.has_value()) << key.error();
  EXPECT_EQ((*key)[15], 15);
  dataplane.hash_key_file = directory.file("link");
  std::filesystem::create_symlink(directory.file("key"), dataplane.hash_key_file);
  EXPECT_FALSE(load_hash_key(dataplane).has_value());
}

TEST(HashKey, NeedsThirtyTwoHexDigits) {
  EXPECT_TRUE(parse_hash_key("  000102030405060708090a0b0c0d0e0f \n").has_value());
  EXPECT_FALSE(parse_hash_key("").has_value());
  EXPECT_FALSE(parse_hash_key("000102030405060708090a0b0c0d0e").has_value());
  EXPECT_FALSE(parse_hash_key("000102030405060708090a0b0c0d0e0g").has_value());
}

TEST(DurableFile, ReplacesWholeAndNeverFollowsALink) {
  const TempDirectory directory;
  const std::string path = directory.file("file");
  EXPECT_FALSE(read_whole(path, 100).value().has_value());
  ASSERT_TRUE(write_durably(path, "one").has_value());
  ASSERT_TRUE(write_durably(path, "two").has_value());
  EXPECT_EQ(read_whole(path, 100).value(), "two");
  EXPECT_FALSE(read_whole(path, 2).has_value());
  EXPECT_FALSE(create_durably(path, "three").value());
  EXPECT_EQ(read_whole(path, 100).value(), "two");
  std::filesystem::create_symlink("/etc/passwd", directory.file("link"));
  EXPECT_FALSE(read_whole(directory.file("link"), 1'000'000).has_value());
  ASSERT_TRUE(write_durably(directory.file("link"), "mine").has_value());
  EXPECT_FALSE(std::filesystem::is_symlink(directory.file("link")));
  EXPECT_FALSE(read_whole(directory.path(), 100).has_value());
  EXPECT_FALSE(write_durably(directory.file("no/such/directory"), "x").has_value());
}

TEST(WriterEpoch, RisesEvenWhenItsFileIsDamagedOrTheDirectoryIsGone) {
  const TempDirectory directory;
  const auto first = next_writer_epoch(directory.path(), 0);
  EXPECT_TRUE(first.disk_error.empty()) << first.disk_error;
  EXPECT_GT(next_writer_epoch(directory.path(), 0).value, first.value);
  EXPECT_EQ(next_writer_epoch(directory.path(), first.value * 10).value, first.value * 10 + 1);
  std::ofstream(directory.file("writer_epoch")) << "18446744073709551615\n";
  const auto after = next_writer_epoch(directory.path(), first.value);
  EXPECT_GT(after.value, first.value);
  EXPECT_LT(after.value, first.value * 2);
  EXPECT_FALSE(next_writer_epoch("/nonexistent", 5).disk_error.empty());
}

}  // namespace
}  // namespace holdfast::control
