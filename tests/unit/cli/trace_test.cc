// SPDX-License-Identifier: Apache-2.0
// The verb `trace`: what it tells of packets that are forwarded and of those that are not.
#include "control/cli/trace_packet.h"
#include "tests/support/appliance.h"
#include "tests/support/packet.h"
#include "tests/unit/cli/offline_config.h"

#include <tuple>

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>

namespace holdfast::control {
namespace {

namespace json = boost::json;
using holdfast::testing::OfflineConfig;
using holdfast::testing::VerbRun;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kClientText = "198.51.100.7:40112";
const std::string kWeb = "203.0.113.10:80";

VerbRun trace(const OfflineConfig& config, std::vector<std::string> words) {
  return config.run("trace", std::move(words));
}

json::object trace_object(const OfflineConfig& config, std::vector<std::string> words) {
  words.insert(words.begin(), {"-o", "json"});
  return json::parse(trace(config, std::move(words)).out).as_object();
}

std::string backend_of(const json::object& report) {
  const json::value& choice = report.at("choose");
  return choice.is_null() ? "" : std::string(choice.at("backend").as_string());
}

TEST(Trace, TellsTheWholeWayOfATranslatedPacket) {
  const OfflineConfig config;
  const VerbRun run = trace(config, {"tcp", kClientText, kWeb});
  EXPECT_EQ(run.code, 0);
  EXPECT_THAT(run.out, HasSubstr("match     service web (vip 203.0.113.10, tcp/80, mode nat)\n"));
  EXPECT_THAT(run.out, ContainsRegex("hash      0x[0-9a-f]+ of 5-tuple, by a fixed key"));
  EXPECT_THAT(run.out, ContainsRegex("choose    maglev slot [0-9]+ of 4093 -> [ab] by slot"));
  EXPECT_THAT(run.out, HasSubstr(":8080, weight 100, tier 0; 3 of 4 backends take new flows)\n"));
  EXPECT_THAT(run.out,
              ContainsRegex("rewrite   src 198.51.100.7:40112 -> 10.0.3.[0-9]+:1024  "
                            "dst 203.0.113.10:80 -> 10.0.3.1[12]:8080  ttl 64 -> 63"));
  EXPECT_THAT(run.out,
              HasSubstr("out       port lan0  mac 02:00:5e:10:00:01 -> 02:00:5e:20:00:01"));
  EXPECT_THAT(run.out, HasSubstr("verdict   FORWARD\n"));
  EXPECT_THAT(run.error, HasSubstr("a fixed one is used"));
}

TEST(Trace, NamesTheVlanOfTheEgressPortAndEntersWithThatOfTheFirst) {
  const OfflineConfig config;
  std::string text = OfflineConfig::kText;
  text.replace(text.find("{device: 'null'}"), 16, "{device: 'null', vlan: 100}");
  text.replace(text.find("{device: 'null'}"), 16, "{device: 'null', vlan: \"200.100\"}");
  config.write(text);
  const VerbRun run = trace(config, {"tcp", kClientText, kWeb});
  EXPECT_EQ(run.code, 0) << run.error;
  EXPECT_THAT(run.out,
              ContainsRegex("rewrite   src 198.51.100.7:40112 -> 10.0.3.[0-9]+:1024  "
                            "dst 203.0.113.10:80 -> 10.0.3.1[12]:8080  ttl 64 -> 63"));
  EXPECT_THAT(run.out, HasSubstr("out       port lan0 (vlan 200.100)  mac 02:00:5e:10:00:01"));
  const json::object report = trace_object(config, {"tcp", kClientText, kWeb});
  EXPECT_EQ(report.at("vlan").as_string(), "200.100");
  EXPECT_EQ(report.at("overhead").to_number<int>(), 0);
  const VerbRun dsr = trace(config, {"tcp", "[2001:db8:0:1::7]:5", "[2001:db8:0:2::a]:80"});
  EXPECT_THAT(dsr.out, HasSubstr("rewrite   MAC addresses only\n"));
}

TEST(Trace, TellsThatDsrChangesOnlyMacAddresses) {
  const OfflineConfig config;
  const VerbRun run = trace(config, {"tcp", "[2001:db8:0:1::7]:5", "[2001:db8:0:2::a]:80"});
  EXPECT_EQ(run.code, 0);
  EXPECT_THAT(run.out, HasSubstr("of source, by"));
  EXPECT_THAT(run.out, HasSubstr("-> a6 by slot (2001:db8:0:3::b, weight"));
  EXPECT_THAT(run.out, HasSubstr("rewrite   MAC addresses only\n"));
}

// A service of any mode, over IPv4.
std::string service_of(dataplane::Mode mode) {
  const std::string name(mode_name(mode));
  const bool vxlan = mode == dataplane::Mode::kVxlan;
  return "ports: {wan0: {device: 'null'}, lan0: {device: 'null'}}\n"
         "nat: {pool: [10.0.3.16]}\n"
         "services:\n"
         "  - name: web\n"
         "    vips: [203.0.113.10]\n"
         "    ports: [tcp/80]\n"
         "    mode: " +
         name + "\n" + (vxlan ? "    tunnel: {vni: 100}\n" : "") +
         "    check: none\n"
         "    balance: {slots: 4093}\n"
         "    backends: [{name: a, address: 10.0.3.11" +
         (vxlan ? ", inner_mac: '02:00:00:00:00:0b'" : "") + "}]\n";
}

TEST(Trace, SaysInEveryModeWhatThePacketBecomes) {
  const OfflineConfig config;
  for (const dataplane::Mode mode : testing::all_modes()) {
    config.write(service_of(mode));
    const VerbRun run = trace(config, {"tcp", kClientText, kWeb});
    EXPECT_EQ(run.code, 0) << mode_name(mode) << run.error;
    const std::string name(mode_name(mode));
    EXPECT_THAT(run.out, HasSubstr("tcp/80, mode " + name + ")\n"));
    EXPECT_THAT(run.out,
                ContainsRegex(is_tunnel(mode) ? "rewrite   [0-9]+ bytes of " + name +
                                                    " headers: src .*  dst 10.0.3.11.*  ttl 64; "
                                                    "behind them the packet as it came"
                              : mode == dataplane::Mode::kDsr
                                  ? "rewrite   MAC addresses only"
                                  : "rewrite   src .* dst .* -> 10.0.3.11:80  ttl 64 -> 63"));
    EXPECT_THAT(run.out, HasSubstr("verdict   FORWARD\n"));
  }
}

TEST(Trace, TellsTheOuterHeadersOfATunnel) {
  const OfflineConfig config;
  config.write(service_of(dataplane::Mode::kVxlan));
  const VerbRun vxlan = trace(config, {"tcp", kClientText, kWeb});
  EXPECT_THAT(vxlan.out, HasSubstr("outer     tos 0x00, id 0x0000, df, no udp checksum\n"));
  EXPECT_THAT(vxlan.out,
              HasSubstr("inner     vni 100, mac 02:00:5e:10:00:02 -> 02:00:00:00:00:0b\n"));
  const json::object report = trace_object(config, {"tcp", kClientText, kWeb});
  EXPECT_EQ(report.at("tunnel").at("vni"), 100);
  EXPECT_EQ(report.at("tunnel").at("inner_destination_mac"), "02:00:00:00:00:0b");
  EXPECT_EQ(report.at("tunnel").at("df"), true);
  config.write(service_of(dataplane::Mode::kIpip));
  EXPECT_THAT(trace(config, {"--may-fragment", "tcp", kClientText, kWeb}).out,
              HasSubstr("outer     tos 0x00, id 0x0000, may be fragmented\n"));
  config.write(service_of(dataplane::Mode::kGue));
  const VerbRun gue = trace(config, {"tcp", kClientText, kWeb});
  EXPECT_THAT(gue.out, HasSubstr("df, udp checksum\n"));
  EXPECT_THAT(gue.out, Not(HasSubstr("hops  ")));
  config.write(service_of(dataplane::Mode::kNat));
  EXPECT_TRUE(trace_object(config, {"tcp", kClientText, kWeb}).at("tunnel").is_null());
}

TEST(Trace, TellsTheHopsOfAGuePacket) {
  const OfflineConfig config;
  std::string text = service_of(dataplane::Mode::kGue);
  text.replace(text.find("    check:"), 0, "    tunnel: {hops: 1}\n");
  config.write(text);
  EXPECT_THAT(trace(config, {"tcp", kClientText, kWeb}).out, HasSubstr("hops      none\n"));
  text.replace(text.find("10.0.3.11}"), 10, "10.0.3.11}, {name: b, address: 10.0.3.12}");
  config.write(text);
  const json::object report = trace_object(config, {"tcp", kClientText, kWeb});
  const std::string other = backend_of(report) == "a" ? "10.0.3.12" : "10.0.3.11";
  ASSERT_EQ(report.at("tunnel").at("hops").as_array().size(), 1U);
  EXPECT_EQ(std::string(report.at("tunnel").at("hops").at(0).as_string()), other);
  EXPECT_THAT(trace(config, {"tcp", kClientText, kWeb}).out,
              HasSubstr("hops      " + other + "\n"));
}

constexpr const char* kNarrow = R"(
ports:
  wan0: {device: 'null', mtu: 1500}
  lan0: {device: 'null', mtu: 1400}
nat: {pool: [10.0.3.16-10.0.3.31]}
services:
  - name: web
    vips: [203.0.113.10]
    ports: [tcp/80, udp/53]
    check: none
    backends: [{name: a, address: 10.0.3.11}]
  - name: far
    vips: [203.0.113.11]
    ports: [tcp/80]
    mode: ipip
    mss: clamp
    check: none
    backends: [{name: a, address: 10.0.3.12, mtu: 1300}]
)";

TEST(Trace, TakesWhatOtherDropsNeed) {
  const OfflineConfig config;
  for (const auto& [option, value, reason] : {std::tuple("--flags", "syn,fin", "bad_tcp_flags"),
                                              {"--flags", "none", "bad_tcp_flags"},
                                              {"--flags", "rst", "no_flow"},
                                              {"--ttl", "0", "ttl_expired"}}) {
    EXPECT_THAT(trace(config, {option, value, "tcp", kClientText, kWeb}).out,
                HasSubstr(std::string("verdict   DROP ") + reason + ": "));
  }
  EXPECT_THAT(trace(config, {"--flags", "ack", "tcp", kClientText, kWeb}).out,
              HasSubstr("verdict   REPLY\n"))
      << "a reset: nobody knows the flow";
  config.write(kNarrow);
  EXPECT_THAT(
      trace(config, {"--may-fragment", "--size", "1401", "udp", kClientText, "203.0.113.10:53"})
          .out,
      HasSubstr("verdict   DROP mtu: "));
  EXPECT_EQ(trace(config, {"--flags", "sin", "tcp", kClientText, kWeb}).code, 2);
  EXPECT_EQ(trace(config, {"--flags", "syn", "udp", kClientText, kWeb}).code, 2);
  EXPECT_EQ(trace(config, {"--ttl", "256", "tcp", kClientText, kWeb}).code, 2);
}

TEST(Trace, TellsTheMssThatASynLeavesWith) {
  const OfflineConfig config;
  config.write(kNarrow);
  const VerbRun run = trace(config, {"tcp", kClientText, kWeb});
  EXPECT_EQ(run.code, 0) << run.error;
  EXPECT_THAT(run.out, HasSubstr("mss       1460 -> 1360\n"));
  const VerbRun far = trace(config, {"tcp", kClientText, "203.0.113.11:80"});
  EXPECT_THAT(far.out, HasSubstr("20 bytes of ipip headers"));
  EXPECT_THAT(far.out, HasSubstr("mss       1460 -> 1240\n"));
  EXPECT_EQ(trace_object(config, {"tcp", kClientText, kWeb}).at("mss"), 1360);
  EXPECT_THAT(trace(OfflineConfig(), {"tcp", kClientText, kWeb}).out, Not(HasSubstr("mss ")));
}

TEST(Trace, TellsWhatTheSenderOfAPacketThatIsTooBigIsTold) {
  const OfflineConfig config;
  config.write(kNarrow);
  const std::string dns = "203.0.113.10:53";
  EXPECT_EQ(trace(config, {"udp", kClientText, dns, "--size", "1400"}).code, 0);
  const VerbRun run = trace(config, {"udp", kClientText, dns, "--size", "1401"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.out,
              HasSubstr("answer    packet too big, at most 1400 bytes, from 203.0.113.10 to "
                        "198.51.100.7\nverdict   REPLY\n"));
  const json::object report =
      trace_object(config, {"tcp", kClientText, "203.0.113.11:80", "--size", "1281"});
  EXPECT_EQ(report.at("too_big"), 1280);
  EXPECT_EQ(report.at("verdict"), "reply");
  EXPECT_EQ(backend_of(report), "a");
  EXPECT_EQ(trace(config, {"udp", kClientText, dns, "--size", "65536"}).code, 2);
  EXPECT_EQ(trace(config, {"udp", kClientText, dns, "--size", "long"}).code, 2);
}

// The site of a service with prefixes of VIPs, any port and affinity.
constexpr const char* kAnycast = R"(
ports:
  wan0: {device: 'null'}
  lan0: {device: 'null'}
services:
  - name: anycast
    vips: [203.0.113.0/24, '2001:db8:0:2::/64']
    ports: [tcp/any]
    mode: dsr
    check: none
    affinity: {time: 10m, prefix: 24, prefix6: 56}
    balance: {slots: 4093}
    backends:
      - {name: a, address: 10.0.3.11}
      - {name: b, address: 10.0.3.12}
      - {name: a6, address: '2001:db8:0:3::b'}
)";

TEST(Trace, TellsOfPrefixesAnyPortAndAffinity) {
  const OfflineConfig config;
  config.write(kAnycast);
  const VerbRun run = trace(config, {"tcp", kClientText, "203.0.113.77:4711"});
  EXPECT_EQ(run.code, 0);
  EXPECT_THAT(run.out,
              HasSubstr("match     service anycast (vip 203.0.113.77 of 203.0.113.0/24, tcp/any, "
                        "mode dsr)\n"));
  EXPECT_THAT(run.out, ContainsRegex("hash      0x[0-9a-f]+ of source 198.51.100.0/24, by"));
  EXPECT_THAT(run.out,
              ContainsRegex("affinity  source 198.51.100.0/24 will go to [ab] for 600 s after its "
                            "newest flow, by affinity\n"));
  const json::object report =
      trace_object(config, {"tcp", "[2001:db8:0:1::7]:5", "[2001:db8:0:2::99]:443"});
  EXPECT_EQ(report.at("match").at("vip"), "2001:db8:0:2::/64");
  EXPECT_EQ(report.at("match").at("ports"), "tcp/any");
  EXPECT_EQ(report.at("hash").at("fields"), "source 2001:db8::/56");
}

TEST(Trace, SendsEveryClientOfAPrefixToOneBackend) {
  const OfflineConfig config;
  config.write(kAnycast);
  const std::string first =
      backend_of(trace_object(config, {"tcp", "198.51.100.1:1", "203.0.113.1:80"}));
  for (int host = 2; host < 20; ++host) {
    const std::string number = std::to_string(host);
    EXPECT_EQ(backend_of(trace_object(
                  config, {"tcp", "198.51.100." + number + ":9", "203.0.113." + number + ":443"})),
              first);
  }
}

TEST(Trace, PrintsTheSameAsJson) {
  const OfflineConfig config;
  const json::object report = trace_object(config, {"udp", "198.51.100.7:9", "203.0.113.10:53"});
  EXPECT_EQ(report.at("match").at("service"), "web");
  EXPECT_EQ(report.at("match").at("ports"), "udp/53");
  EXPECT_EQ(report.at("hash").at("key"), "fixed");
  EXPECT_EQ(report.at("choose").at("slots"), 4093);
  EXPECT_EQ(report.at("before").at("destination"), "203.0.113.10:53");
  EXPECT_EQ(report.at("after").at("ttl"), 63);
  EXPECT_EQ(report.at("out"), "lan0");
  EXPECT_EQ(report.at("verdict"), "forward");
  EXPECT_TRUE(report.at("reason").is_null());
}

TEST(Trace, PassesOverABackendThatIsDownAndMovesNoOtherFlow) {
  const OfflineConfig config;
  int moved = 0;
  for (int port = 1000; port < 1040; ++port) {
    const std::string client = "198.51.100.7:" + std::to_string(port);
    const json::object before = trace_object(config, {"tcp", client, kWeb});
    const json::object after = trace_object(config, {"--down", "web/a", "tcp", client, kWeb});
    EXPECT_EQ(backend_of(after), "b");
    if (backend_of(before) == "a") {
      ++moved;
      EXPECT_NE(after.at("choose").at("by"), "slot");
      EXPECT_EQ(after.at("passed_over").at(0).at("backend"), "a");
      EXPECT_EQ(after.at("passed_over").at(0).at("why"), "down");
    } else {
      EXPECT_TRUE(after.at("passed_over").as_array().empty());
    }
  }
  EXPECT_GT(moved, 5);
}

TEST(Trace, GoesToTheNextTierWhenTheFirstIsDown) {
  const OfflineConfig config;
  const json::object report =
      trace_object(config, {"--down", "web/a", "--down", "web/b", "tcp", kClientText, kWeb});
  EXPECT_EQ(backend_of(report), "spare");
  EXPECT_EQ(report.at("choose").at("tier"), 1);
  EXPECT_EQ(report.at("passed_over").as_array().size(), 3U) << "a, b, and off with weight 0";
}

TEST(Trace, TellsOfEveryBackendWhyNoneIsLeft) {
  const OfflineConfig config;
  const VerbRun run =
      trace(config, {"--down=web/a", "--down=web/b", "--down=web/spare", "tcp", kClientText, kWeb});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.out, HasSubstr("choose    none: 0 of 4 backends take new flows\n"));
  EXPECT_THAT(run.out, HasSubstr("passed    spare: down\n"));
  EXPECT_THAT(run.out, HasSubstr("passed    off: weight 0\n"));
  EXPECT_THAT(run.out, HasSubstr("verdict   DROP no_backend: "));
}

struct Dropped {
  const char* source;
  const char* destination;
  const char* verdict;
};

TEST(Trace, NamesTheReasonOfADrop) {
  const OfflineConfig config;
  for (const Dropped& packet : {Dropped{"198.51.100.7:1", "203.0.113.10:81", "DROP no_service: "},
                                Dropped{"198.51.100.7:1", "10.0.3.16:80", "DROP no_nat_flow: "},
                                Dropped{"198.51.100.7:1", "192.0.2.1:80", "KERNEL\n"},
                                Dropped{"127.0.0.1:1", "203.0.113.10:80", "DROP martian: "},
                                Dropped{"203.0.113.10:80", "203.0.113.10:80", "DROP land: "},
                                Dropped{"203.0.113.11:1", "203.0.113.10:80", "DROP vip_source: "},
                                Dropped{"198.51.100.7:0", "203.0.113.10:80", "DROP port_zero: "}}) {
    const VerbRun run = trace(config, {"tcp", packet.source, packet.destination});
    EXPECT_EQ(run.code, 1);
    EXPECT_THAT(run.out, HasSubstr(std::string("verdict   ") + packet.verdict));
    EXPECT_THAT(run.out, Not(HasSubstr("choose"))) << "it never came so far";
  }
}

TEST(Trace, RefusesWhatItCannotAnswer) {
  const OfflineConfig config;
  EXPECT_EQ(trace(config, {"sctp", kClientText, kWeb}).code, 2);
  EXPECT_EQ(trace(config, {"tcp", kClientText}).code, 2);
  EXPECT_EQ(trace(config, {"tcp", "198.51.100.7", kWeb}).code, 2);
  EXPECT_EQ(trace(config, {"tcp", "[2001:db8::7]:1", kWeb}).code, 2);
  EXPECT_EQ(trace(config, {"--down", "web/z", "tcp", kClientText, kWeb}).code, 2);
  EXPECT_EQ(trace(config, {"--down", "web", "tcp", kClientText, kWeb}).code, 2);
  config.write("services: [\n");
  EXPECT_EQ(trace(config, {"tcp", kClientText, kWeb}).code, 3);
}

TEST(Trace, TakesTheConfiguredHashKey) {
  const OfflineConfig config;
  const json::object before = trace_object(config, {"tcp", kClientText, kWeb});
  const std::string key = config.file("hash_key");
  std::ofstream(key) << "00112233445566778899aabbccddeeff\n";
  std::filesystem::permissions(key, std::filesystem::perms::owner_read);
  std::ofstream(config.path()) << "version: 1\ndataplane: {hash_key_file: " << key << "}\n"
                               << OfflineConfig::kText;
  const json::object after = trace_object(config, {"tcp", kClientText, kWeb});
  EXPECT_EQ(after.at("hash").at("key"), "configured");
  EXPECT_NE(after.at("hash").at("value"), before.at("hash").at("value"));
  std::filesystem::remove(key);
  EXPECT_EQ(trace(config, {"tcp", kClientText, kWeb}).code, 3) << "no silent default";
}

TEST(TraceEndpoint, IsReadStrictly) {
  EXPECT_EQ(parse_endpoint("192.0.2.1:80")->port, 80);
  EXPECT_EQ(parse_endpoint("[2001:db8::1]:65535")->port, 65535);
  for (const char* text : {"",
                           ":",
                           ":80",
                           "192.0.2.1",
                           "192.0.2.1:",
                           "192.0.2.1:65536",
                           "192.0.2.1:-1",
                           "192.0.2.1:80x",
                           "192.0.2:80",
                           "2001:db8::1:80",
                           "[2001:db8::1]",
                           "[2001:db8::1]80",
                           "[2001:db8::1",
                           "[192.0.2.1]:80",
                           "[::ffff:192.0.2.1]:80",
                           "host:80"}) {
    EXPECT_FALSE(parse_endpoint(text).has_value()) << text;
  }
  EXPECT_EQ(endpoint_text(testing::v6(1, 7), 80), "[2001:db8:0:1::7]:80");
}

// What a sender would make: the test's packet builder knows nothing of the product's checksums.
testing::Bytes expected_frame(const testing::Endpoint& from,
                              const testing::Endpoint& to,
                              bool tcp,
                              std::size_t payload) {
  const bool v4 = from.address.is_v4();
  testing::Packet packet = tcp ? testing::tcp(from, to) : testing::udp(from, to);
  packet.payload(testing::Bytes(payload, 0));
  if (tcp) {
    const std::uint8_t mss = v4 ? 0xb4 : 0xa0;
    packet.syn().tcp_options({2, 4, 5, mss}).sequence(0).acknowledgment(0);
    packet.upper_byte(14, 0xfa).upper_byte(15, 0xf0);  // window
  }
  return v4 ? packet.ip_byte(5, 0).dont_fragment().bytes() : packet.bytes();
}

TEST(TracePacket, IsTheFrameThatASenderWouldMake) {
  using testing::kClient;
  using testing::kClient6;
  using testing::kVip;
  using testing::kVip6;
  for (const auto& [from, to] : {std::pair(kClient, kVip), std::pair(kClient6, kVip6)}) {
    for (const bool tcp : {true, false}) {
      for (const std::size_t payload : {std::size_t{0}, std::size_t{501}}) {
        const std::size_t headers = (from.address.is_v4() ? 20U : 40U) + (tcp ? 24U : 8U);
        const auto frame = build_trace_frame(
            {.key = {.source = from.address,
                     .destination = to.address,
                     .source_port = dataplane::Be16::from_host(from.port),
                     .destination_port = dataplane::Be16::from_host(to.port),
                     .protocol = tcp ? dataplane::Protocol::kTcp : dataplane::Protocol::kUdp},
             .size = payload == 0 ? 0 : headers + payload},
            to.mac,
            from.mac);
        testing::Bytes bytes(frame.size());
        std::memcpy(bytes.data(), frame.data(), frame.size());
        EXPECT_EQ(bytes, expected_frame(from, to, tcp, payload));
      }
    }
  }
}

}  // namespace
}  // namespace holdfast::control
