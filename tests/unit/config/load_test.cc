// SPDX-License-Identifier: Apache-2.0
// Whole configurations: the example, what ends up in the model, what differs at a reload.
#include "config/load.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::config {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kExample = HOLDFAST_SOURCE_DIR "/config/example.yaml";

const std::string kSmall = R"(version: 1
dataplane: {workers: 2, flows: 64k}
ports:
  wan0: {device: af_packet, interface: veth-wan}
  lan0: {device: null}
nat: {pool: [10.0.3.16/28]}
services:
  - name: web
    vips: [203.0.113.10]
    ports: [tcp/80]
    backends:
      - {name: a, address: 10.0.3.11, port: 8080}
)";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

Config parsed(const std::string& text) {
  LoadResult result = parse_config(text, "site.yaml");
  EXPECT_TRUE(result) << (result ? "" : render(result.error()));
  return result.value_or(Config{});
}

std::string complaints(const std::string& text, const LoadOptions& options = {}) {
  const LoadResult result = parse_config(text, "site.yaml", options);
  return result ? "valid" : render(result.error());
}

TEST(Example, Loads) {
  const LoadResult result = load_config(kExample);
  ASSERT_TRUE(result) << render(result.error());
  EXPECT_EQ(result->services.size(), 5U);
  EXPECT_THAT(result->files, ElementsAre(kExample));
}

TEST(Load, FillsTheModel) {
  const Config config = load_config(kExample).value();
  EXPECT_EQ(config.dataplane.flows, 1'000'000U);
  EXPECT_EQ(config.dataplane.workers, std::nullopt);
  ASSERT_EQ(config.ports.size(), 2U);
  EXPECT_EQ(config.ports[0].name, "wan0");
  EXPECT_EQ(config.ports[0].interface, "veth-wan");
  ASSERT_EQ(config.nat.pool.size(), 2U);
  EXPECT_EQ(config.nat.pool[0].last.text(), "10.0.3.31");
  const Service& web = config.services[0];
  EXPECT_EQ(web.name, "web");
  EXPECT_EQ(web.mode, Mode::kNat);
  EXPECT_EQ(web.check.name, "web");
  EXPECT_EQ(web.check.type, CheckType::kHttp);
  EXPECT_EQ(web.check.path, "/healthz");
  ASSERT_EQ(web.check.status.size(), 2U);
  EXPECT_EQ(web.check.status[1].first, 304);
  EXPECT_EQ(web.check.status[1].last, 304);
  EXPECT_EQ(web.drain.deadline, 300s);
  EXPECT_EQ(web.timeouts.established, 7440s);
  ASSERT_EQ(web.backends.size(), 4U);
  EXPECT_EQ(web.backends[1].weight, 50U);
  EXPECT_EQ(web.backends[2].tier, 1);
  const Service& dns = config.services[1];
  EXPECT_EQ(dns.mode, Mode::kDsr);
  EXPECT_EQ(dns.check.interval, 250ms);  // from `defaults`
  EXPECT_EQ(dns.check.port, 53);
  EXPECT_EQ(dns.ports[2].last, 5010);
  EXPECT_EQ(dns.backends[1].weight, 0U);
  EXPECT_EQ(web.affinity.time, 600s);
  EXPECT_EQ(web.affinity.prefix_v4, 24);
  EXPECT_EQ(web.affinity.prefix_v6, 56);
  EXPECT_EQ(dns.affinity.time, 0s);
  const Service& anycast = config.services[2];
  EXPECT_EQ(anycast.vips[0].text(), "198.51.100.0/24");
  EXPECT_EQ(anycast.vips[0].last().text(), "198.51.100.255");
  EXPECT_EQ(anycast.vips[1].text(), "2001:db8:7::/64");
  EXPECT_EQ(anycast.ports[1].first, 1);
  EXPECT_EQ(anycast.ports[1].last, 65535);
}

TEST(Load, TakesAPrefixOfOneAddressForThatAddress) {
  const Config config = parsed(
      "version: 1\nports: {w: {device: null}}\nservices:\n"
      "  - {name: web, vips: [203.0.113.1/32, \"2001:db8::1/128\"], ports: [tcp/80], mode: dsr,\n"
      "     backends: [{name: a, address: 10.0.3.11}, {name: b, address: \"2001:db8:3::1\"}]}\n");
  ASSERT_EQ(config.services[0].vips.size(), 2U);
  EXPECT_TRUE(config.services[0].vips[0].is_single());
  EXPECT_EQ(config.services[0].vips[0].text(), "203.0.113.1");
  EXPECT_TRUE(config.services[0].vips[1].is_single());
}

TEST(Load, TakesAffinityFromTheDefaultsUnlessTheServiceSaysOtherwise) {
  const std::string service =
      ", ports: [tcp/80], mode: dsr, backends: [{name: a, address: 10.0.3.11}]";
  const Config config = parsed(
      "version: 1\nports: {w: {device: null}}\n"
      "defaults: {affinity: {time: 5m, prefix: 28}}\nservices:\n"
      "  - {name: a, vips: [203.0.113.1]" +
      service +
      "}\n"
      "  - {name: b, vips: [203.0.113.2]" +
      service +
      ", affinity: none}\n"
      "  - {name: c, vips: [203.0.113.3]" +
      service + ", affinity: {time: 1m}}\n");
  EXPECT_EQ(config.services[0].affinity.time, 300s);
  EXPECT_EQ(config.services[0].affinity.prefix_v4, 28);
  EXPECT_EQ(config.services[0].affinity.prefix_v6, 64);
  EXPECT_EQ(config.services[1].affinity.time, 0s);
  EXPECT_EQ(config.services[2].affinity.time, 60s);
  EXPECT_EQ(config.services[2].affinity.prefix_v4, 32);
}

TEST(Load, ReadsAMinCapacityAsBackendsOrAsAShare) {
  const auto read = [](const std::string& value) {
    return parse_config(kSmall + "defaults: {min_capacity: " + value + "}\n", "x.yaml");
  };
  EXPECT_EQ(parsed(kSmall).services.at(0).min_capacity.members, 1U);
  EXPECT_EQ(read("3")->services.at(0).min_capacity.members, 3U);
  EXPECT_EQ(read("60%")->services.at(0).min_capacity.percent, 60U);
  EXPECT_EQ(read("60%")->services.at(0).min_capacity.members, 1U);
  for (const char* value : {"0", "0%", "101%", "%", "half", "-1", "1.5", "[1]", "10 %"}) {
    EXPECT_FALSE(read(value)) << value;
  }
}

TEST(Load, ReadsWhatBecomesOfTheFlowsOfADeadBackend) {
  EXPECT_EQ(parsed(kSmall).services.at(0).on_down, OnDown::kByProtocol);
  const std::string all = kSmall + "defaults: {on_down: keep}\n";
  EXPECT_EQ(parsed(all).services.at(0).on_down, OnDown::kKeep);
  const Config own = parsed(replaced(all, "ports: [tcp", "on_down: rehash\n    ports: [tcp"));
  EXPECT_EQ(own.services.at(0).on_down, OnDown::kRehash);
  EXPECT_FALSE(parse_config(kSmall + "defaults: {on_down: drop}\n", "x.yaml"));
}

TEST(Load, ReadsWhenABackendThatFlapsIsHeldBack) {
  EXPECT_EQ(parsed(kSmall).services.at(0).damping->suppress, 2500U);
  const std::string all = kSmall + "defaults: {damping: {half_life: 30s, max: 2m}}\n";
  EXPECT_EQ(parsed(all).services.at(0).damping->half_life, 30s);
  const auto own = [&all](const std::string& value) {
    return parsed(replaced(all, "ports: [tcp", "damping: " + value + "\n    ports: [tcp"));
  };
  EXPECT_FALSE(own("none").services.at(0).damping);
  EXPECT_EQ(own("{reuse: 500}").services.at(0).damping->reuse, 500U);
  EXPECT_EQ(own("{reuse: 500}").services.at(0).damping->max, 2min);
  const std::string none = kSmall + "defaults: {damping: none}\n";
  EXPECT_FALSE(parsed(none).services.at(0).damping);
}

TEST(Load, TurnsChecksOffForServicesThatHaveNone) {
  const std::string text = kSmall + "defaults: {check: none}\n";
  EXPECT_FALSE(parsed(text).services.at(0).has_check);
  const Config config = parsed(replaced(text, "ports: [tcp", "check: {fall: 7}\n    ports: [tcp"));
  EXPECT_TRUE(config.services.at(0).has_check);
  EXPECT_EQ(config.services.at(0).check.fall, 7U);
}

TEST(Load, TakesDefaultsFromTheModelAndTheFile) {
  const Config config = parsed(kSmall + "defaults: {drain: {then: keep}, check: {fall: 7}}\n");
  const Service& service = config.services[0];
  EXPECT_EQ(service.drain.then, DrainEnd::kKeep);
  EXPECT_EQ(service.drain.deadline, Drain{}.deadline);
  EXPECT_EQ(service.check.fall, 7U);
  EXPECT_EQ(service.check.interval, Check{}.interval);
  EXPECT_EQ(service.balance.slots, Balance{}.slots);
  EXPECT_TRUE(service.has_check);
}

TEST(Load, KnowsWhereThingsStand) {
  const Config config = parsed(kSmall);
  EXPECT_EQ(config.services[0].place, (Place{"site.yaml", 8, 11}));
  EXPECT_EQ(config.services[0].ports[0].place, (Place{"site.yaml", 10, 13}));
  EXPECT_EQ(config.services[0].backends[0].place, (Place{"site.yaml", 12, 16}));
  EXPECT_EQ(config.ports[1].place, (Place{"site.yaml", 5, 3}));
}

TEST(Load, TurnsChecksOffWithNone) {
  const Config config =
      parsed(replaced(kSmall, "    ports: [tcp/80]\n", "    ports: [tcp/80]\n    check: none\n"));
  EXPECT_FALSE(config.services[0].has_check);
}

TEST(Load, KeepsWarningsOfAValidConfiguration) {
  const Config config = parsed(replaced(kSmall, "port: 8080", "weight: 0"));
  ASSERT_EQ(config.warnings.size(), 1U);
  EXPECT_EQ(config.warnings[0].severity, Severity::kWarning);
  EXPECT_THAT(config.warnings[0].message, HasSubstr("every weight of service 'web' is 0"));
}

TEST(Load, ReadsBackWhatItKept) {
  const Config config = parsed(kSmall);
  const LoadResult again = parse_sources(config.sources);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->sources, config.sources);
  EXPECT_EQ(again->services[0].place, config.services[0].place);
}

TEST(Load, RefusesAddressesOfThisMachineAsVipsAndInThePool) {
  const LoadOptions here = {.local_addresses = {{{false, {10, 0, 3, 17}}, "lan0"},
                                                {{false, {10, 0, 3, 32}}, "lan0"},
                                                {{false, {203, 0, 113, 10}}, "wan0"},
                                                {{false, {203, 0, 113, 10}}, "lo"}}};
  EXPECT_EQ(
      complaints(kSmall, here),
      "site.yaml:6:14: error: the nat pool holds 10.0.3.17, an address of this machine "
      "(on 'lan0')\n"
      "    6 | nat: {pool: [10.0.3.16/28]}\n"
      "      |              ^~~~~~~~~~~~ take it off the interface, or leave it out of the pool\n"
      "site.yaml:9:12: error: VIP 203.0.113.10 is an address of this machine (on 'wan0')\n"
      "    9 |     vips: [203.0.113.10]\n"
      "      |            ^~~~~~~~~~~~ take it off the interface: the kernel would answer for it "
      "too\n"
      "2 errors; nothing was applied\n");
}

TEST(Load, RefusesAPrefixOfVipsThatHoldsAnAddressOfThisMachine) {
  const LoadOptions here = {.local_addresses = {{{false, {203, 0, 112, 1}}, "lan0"},
                                                {{false, {203, 0, 113, 200}}, "wan0"},
                                                {{false, {203, 0, 114, 1}}, "lan0"}}};
  const std::string text = replaced(kSmall, "203.0.113.10", "203.0.113.0/24");
  EXPECT_THAT(complaints(text, here),
              HasSubstr("VIPs 203.0.113.0/24 hold 203.0.113.200, an address of this machine (on "
                        "'wan0')"));
  const LoadOptions beside = {.local_addresses = {{{false, {203, 0, 112, 255}}, "lan0"},
                                                  {{false, {203, 0, 114, 0}}, "wan0"}}};
  EXPECT_TRUE(parse_config(text, "site.yaml", beside));
}

TEST(Load, RefusesMoreThanItsLimits) {
  EXPECT_THAT(complaints(kSmall, {.max_bytes = 100}), HasSubstr("larger than 100 bytes"));
  EXPECT_THAT(complaints(kSmall, {.max_values = 10}), HasSubstr("more than 10 values"));
  const std::string many =
      complaints(replaced(kSmall, "tcp/80", "1, 2, 3, 4, 5"), {.max_diagnostics = 2});
  EXPECT_THAT(many, HasSubstr("only the first 2"));
}

TEST(Load, RefusesMoreThan10000Backends) {
  std::string text = replaced(kSmall, "port: 8080", "weight: 1");
  for (int i = 0; i < 10'000; ++i) {
    text += "      - {name: b" + std::to_string(i) + ", address: 10." +
            std::to_string(1 + i / 62500) + "." + std::to_string(i / 250 % 250) + "." +
            std::to_string(i % 250 + 1) + "}\n";
  }
  EXPECT_THAT(complaints(text), HasSubstr("more than 10000 backends in all services"));
}

TEST(Load, RefusesMoreThan10000Bindings) {
  std::string ports = "tcp/1";
  for (int i = 2; i <= 10'001; ++i) {
    ports += ", tcp/" + std::to_string(i);
  }
  EXPECT_THAT(complaints(replaced(kSmall, "tcp/80", ports)),
              HasSubstr("more than 10000 pairs of VIP and port"));
}

TEST(Load, SaysOnceThatAKeyHasABadByte) {
  std::string text = kSmall + "Xother: 1\n";
  text[text.find('X')] = '\0';
  EXPECT_THAT(complaints(text),
              AllOf(HasSubstr("site.yaml:13:1: error: a NUL byte"), HasSubstr("\n1 error;")));
  EXPECT_THAT(complaints(kSmall + "other: \"\\x7f\"\n"), HasSubstr("unknown key 'other'"));
}

TEST(Load, NamesLineEndsOfCarriageReturnsAlone) {
  std::string text = kSmall;
  std::ranges::replace(text, '\n', '\r');
  EXPECT_EQ(complaints(text),
            "site.yaml: error: the lines of this file end in carriage returns alone\n"
            "      = save it with line feeds\n"
            "1 error; nothing was applied\n");
  std::string controls = kSmall;
  for (int i = 0; i < 11; ++i) {
    controls += "# \x01\n";
  }
  EXPECT_THAT(complaints(controls), HasSubstr("not a text file: too many control characters"));
}

TEST(Load, EndsSoonOnHostileTexts) {
  const std::size_t size = std::size_t{2} << 20U;
  std::string nested;
  while (nested.size() < size) {
    nested += "[[[[[[],";
  }
  std::string one_line;
  while (one_line.size() < 7 * size) {
    one_line += "a value of 31 bytes on one line,";
  }
  for (const std::string& text : {std::string(size, '['),
                                  std::string(size, '{'),
                                  "a: " + nested,
                                  "a: [" + one_line + "b]",
                                  "a: \"" + std::string(size, 'x'),
                                  std::string(size, '\n'),
                                  std::string(size, '-'),
                                  "a: " + std::string(size, '\t')}) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_NE(complaints(text), "valid");
    // Far above what it takes, far below what it took without limits.
    EXPECT_LT(std::chrono::steady_clock::now() - start, 60s) << text.substr(0, 10);
  }
}

TEST(Load, BlamesTheQuotedTextThatNeverEndsAndNotWhatCameBefore) {
  const std::string text = kSmall + "# isn't \"it\nother: {a: 'it''s', b: x\"y}\n";
  const auto line = std::to_string(std::ranges::count(text, '\n') + 1);
  const std::string endless(std::size_t{2} << 20U, 'x');
  EXPECT_THAT(complaints(text + "\"" + endless + "\": 1\n"),
              HasSubstr("site.yaml:" + line + ":1: error: more than 1048576 bytes without an end"));
  EXPECT_THAT(complaints(text + "more: [a, '" + endless),
              HasSubstr("site.yaml:" + line + ":11: error: more than 1048576 bytes"));
}

TEST(Load, RefusesABackendThatVerbsWouldTakeForTheNode) {
  EXPECT_THAT(complaints(replaced(kSmall, "name: a,", "name: node,")),
              HasSubstr("error: name 'node' stands for every backend in the operator's verbs"));
}

TEST(StartupDifferences, AreEmptyForWhatAReloadCanDo) {
  const Config running = parsed(kSmall);
  const Config wanted =
      parsed(replaced(kSmall, "8080}", "8081, weight: 3}\n      - {name: b, address: 10.0.3.12}"));
  EXPECT_THAT(startup_differences(running, wanted), IsEmpty());
}

TEST(StartupDifferences, NameEveryKeyWithItsPlace) {
  const Config running = parsed(kSmall);
  const Config wanted = parsed(
      replaced(replaced(kSmall,
                        "{workers: 2, flows: 64k}",
                        "{workers: auto, memory: 1GiB, huge_pages: false, socket: /run/x.sock, "
                        "idle: poll}"),
               "interface: veth-wan",
               "interface: eth0"));
  EXPECT_THAT(
      startup_differences(running, wanted),
      ElementsAre(
          "site.yaml:2:13: dataplane.workers cannot change from 2 to auto without a restart",
          "site.yaml:2:28: dataplane.memory cannot change from auto to 1GiB without a restart",
          "dataplane.flows cannot change from 64000 to 1000000 without a restart",
          "site.yaml:2:42: dataplane.huge_pages cannot change from true to false without a restart",
          "site.yaml:2:82: dataplane.idle cannot change from sleep to poll without a restart",
          "site.yaml:2:61: dataplane.socket cannot change from '/run/holdfast/dataplane.sock' "
          "to '/run/x.sock' without a restart",
          "site.yaml:4:3: port 'wan0' cannot be changed without a restart"));
}

TEST(StartupDifferences, NameRoutesThatComeGoOrChange) {
  const auto with = [](const std::string& routes) {
    return parsed(replaced(kSmall, "ports:\n", routes + "ports:\n"));
  };
  const Config none = parsed(kSmall);
  const Config some = with("routes: {device: hf0}\n");
  EXPECT_THAT(startup_differences(some, with("routes: {protocol: 240, device: hf0}\n")), IsEmpty());
  EXPECT_THAT(startup_differences(none, some),
              ElementsAre("site.yaml:3:9: 'routes' cannot be added without a restart"));
  EXPECT_THAT(startup_differences(some, none),
              ElementsAre("'routes' cannot be removed without a restart"));
  for (const char* other : {"{}", "{device: hf0, protocol: 5}", "{device: hf0, table: 7}"}) {
    EXPECT_THAT(startup_differences(some, with("routes: " + std::string(other) + "\n")),
                ElementsAre("site.yaml:3:9: 'routes' cannot be changed without a restart"));
  }
}

TEST(StartupDifferences, NameAPairThatBeginsOrEnds) {
  const Config alone = parsed(kSmall);
  const Config paired = parsed(replaced(kSmall, "ports:\n", "pair: {}\nports:\n"));
  EXPECT_EQ(paired.pair->start, Role::kStandby);
  EXPECT_THAT(startup_differences(paired, paired), IsEmpty());
  EXPECT_THAT(startup_differences(alone, paired),
              ElementsAre("site.yaml:3:7: 'pair' cannot be added or changed without a restart"));
  EXPECT_THAT(startup_differences(paired, alone),
              ElementsAre("'pair' cannot be removed without a restart"));
}

TEST(StartupDifferences, NamePortsThatComeGoOrMove) {
  const Config running = parsed(kSmall);
  const Config renamed = parsed(replaced(kSmall, "lan0: {", "dmz0: {"));
  EXPECT_THAT(startup_differences(running, renamed),
              ElementsAre("port 'lan0' cannot be removed without a restart",
                          "site.yaml:5:3: port 'dmz0' cannot be added without a restart"));
  const Config moved = parsed(replaced(replaced(kSmall, "  lan0: {device: null}\n", ""),
                                       "ports:\n",
                                       "ports:\n  lan0: {device: null}\n"));
  EXPECT_THAT(startup_differences(running, moved),
              ElementsAre("the order of the ports cannot be changed without a restart"));
}

}  // namespace
}  // namespace holdfast::config
