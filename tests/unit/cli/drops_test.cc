// SPDX-License-Identifier: Apache-2.0
// Every reason to drop is explained and shown: a capture that `holdfast replay` drops by it, or,
// for those that no capture can bring about, where else it is shown. A new enumerator without
// either fails here; one without words does not compile (control/cli/drop_text.h).
#include "control/cli/drop_text.h"
#include "dataplane/worker_state.h"
#include "tests/packet/icmp_quote.h"
#include "tests/support/capture_file.h"
#include "tests/support/fragmenting.h"
#include "tests/support/packet.h"
#include "tests/unit/cli/offline_config.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <ostream>
#include <sstream>

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>

namespace holdfast::control {
namespace {

namespace json = boost::json;
using dataplane::Drop;
using namespace holdfast::testing;  // NOLINT(google-build-using-namespace): the builder's words
using ::testing::HasSubstr;
using Words = std::vector<std::string>;

// What OfflineConfig's services are asked by: `web` translates, `direct` does not.
constexpr Endpoint kOurVip = kVip;
constexpr Endpoint kDirect = {v4(203, 0, 113, 11), 80, kOurMac};
constexpr Endpoint kDirect6 = kVip6;
constexpr Endpoint kPoolEnd = {v4(10, 0, 3, 16), 2000, kOurMac};

// A capture whose last frame is dropped.
struct Recipe {
  Drop reason;
  std::vector<Bytes> frames;
  Words options = {};
};

// What no capture can bring about, and where it is shown instead.
struct Elsewhere {
  Drop reason;
  const char* where;
};

Endpoint from(Endpoint endpoint, const char* text) {
  endpoint.address = address(text);
  return endpoint;
}

Bytes syn() { return tcp(kClient, kOurVip).syn().bytes(); }

Bytes with_source_mac(Bytes frame, const MacAddress& mac) {
  std::ranges::copy(mac, frame.begin() + 6);
  return frame;
}

// Datagrams of so many flows, each answered, since what is not answered gives way to others; then
// one more. Pool endpoints are given out in turn, over `addresses` of them.
std::vector<Bytes> answered_flows(std::size_t count, std::size_t addresses) {
  std::vector<Bytes> frames;
  for (std::size_t i = 0; i <= count; ++i) {
    Endpoint client = kClient.at_port(static_cast<std::uint16_t>(1 + i % 60'000));
    client.address.bytes[15] = static_cast<std::uint8_t>(1 + i / 60'000);
    frames.push_back(udp(client, kOurVip.at_port(53)).bytes());
    Endpoint pool = kPoolEnd.at_port(static_cast<std::uint16_t>(1024 + i / addresses));
    pool.address.bytes[15] = static_cast<std::uint8_t>(16 + i % addresses);
    frames.push_back(udp(kBackend2, pool).bytes());
  }
  frames.pop_back();
  return frames;
}

// What a router says of a member's segment to the client.
Bytes told_too_big(const Endpoint& vip, std::uint32_t mtu) {
  return too_big(kFarRouter, vip, quote_of(tcp(vip, kClient).ack(), 8), mtu).bytes();
}

// One error more than a worker forwards at once for one client, about a flow that is there.
std::vector<Bytes> flood_of_errors() {
  std::vector<Bytes> frames = {tcp(kClient, kDirect).syn().bytes()};
  constexpr std::size_t kOfOneClient =
      dataplane::kIcmpErrorsBurst / dataplane::SharedBudget::kShare;
  frames.resize(1 + kOfOneClient + 1, told_too_big(kDirect, 1400));
  return frames;
}

const Words kNoneIsUp = {"--down=web/a", "--down=web/b", "--down=web/spare"};
// One backend, so that a pool address has 64 512 ports for all flows (--config comes last and
// wins).
const Words kOneBackend = {"--down=web/a", "--down=web/spare"};

std::vector<Recipe> link_recipes() {
  return {
      {Drop::kOwnEgress, {with_source_mac(syn(), {2, 0, 0x5e, 0x10, 0, 1})}, {"--match-mac"}},
      {Drop::kNotOurMac, {syn()}, {"--match-mac"}},
      {Drop::kVlanUnknown, {tcp(kClient, kOurVip).vlan(7).syn().bytes()}},
  };
}

std::vector<Recipe> header_recipes() {
  return {
      {Drop::kTruncated, {tcp(kClient, kOurVip).syn().cut(50).bytes()}},
      {Drop::kBadVersion, {tcp(kClient, kOurVip).ip_byte(0, 0x65).bytes()}},
      {Drop::kBadHeaderLength, {tcp(kClient, kOurVip).ip_byte(0, 0x44).bytes()}},
      {Drop::kBadLength, {tcp(kClient, kOurVip).ip_byte(3, 19).bytes()}},
      {Drop::kBadChecksum, {tcp(kClient, kOurVip).byte(24, 0).byte(25, 0).bytes()}},
      {Drop::kFragment, {echo_request(kClient, kOurVip).fragment(1480, true).bytes()}},
      {Drop::kExtensionChain, {tcp(kClient6, kDirect6).extension(43, 8, {0, 1}).bytes()}},
      {Drop::kMartian, {tcp(from(kClient, "127.0.0.1"), kOurVip).syn().bytes()}},
      {Drop::kLand, {tcp(kOurVip, kOurVip).syn().bytes()}},
      {Drop::kVipSource, {tcp(kDirect, kOurVip).syn().bytes()}},
      {Drop::kTtlExpired, {tcp(kClient, kOurVip).ttl(0).syn().bytes()}},
      {Drop::kBadTcpFlags, {tcp(kClient, kOurVip).syn().fin().bytes()}},
      {Drop::kPortZero, {tcp(kClient.at_port(0), kOurVip).syn().bytes()}},
      {Drop::kUnknownProtocol, {tcp(kClient, kOurVip).next_protocol(132).bytes()}},
      {Drop::kIcmpUnsupported, {echo_request(kClient, kOurVip).icmp(13, 0).bytes()}},
      {Drop::kIcmpImplausible, {told_too_big(kOurVip, 500)}},
  };
}

// Of a datagram to `direct`: the fragment from one byte to another.
Bytes piece(std::size_t begin, std::size_t end, std::uint32_t identification = 1) {
  const Bytes whole = tcp(kClient, kDirect).syn().payload(1200).bytes();
  return fragment_of(whole, {.begin = begin, .end = end}, true, identification);
}

// The first `count` of 8 bytes each, behind a first one.
std::vector<Bytes> many_pieces(std::size_t count) {
  std::vector<Bytes> frames = {piece(0, 40)};
  for (std::size_t i = 0; frames.size() < count; ++i) {
    frames.push_back(piece(40 + 8 * i, 48 + 8 * i));
  }
  return frames;
}

// Early ones of as many datagrams.
std::vector<Bytes> early_pieces(std::uint32_t count) {
  std::vector<Bytes> frames;
  for (std::uint32_t i = 0; i < count; ++i) {
    frames.push_back(piece(80, 160, i));
  }
  return frames;
}

std::vector<Recipe> fragment_recipes() {
  return {
      {Drop::kFragmentTiny, {piece(0, 16)}},
      {Drop::kFragmentTooLong, {udp(kClient, kDirect).fragment(65'528, false).payload(64).bytes()}},
      {Drop::kFragmentOverlap, {piece(0, 80), piece(72, 160)}},
      {Drop::kFragmentTooMany, many_pieces(65)},
      {Drop::kFragmentBufferFull, early_pieces(33)},
  };
}

std::vector<Recipe> flow_recipes() {
  return {
      {Drop::kNoService, {tcp(kClient, kOurVip.at_port(81)).syn().bytes()}},
      {Drop::kNoNatFlow, {tcp(kBackend1, kPoolEnd).ack().bytes()}},
      {Drop::kNoFlow, {tcp(kClient, kOurVip).rst().bytes()}},
      {Drop::kToPeer, {told_too_big(kDirect, 1400)}},
      {Drop::kIcmpRateLimited, flood_of_errors()},
      {Drop::kNoBackend, {syn()}, kNoneIsUp},
      {Drop::kNatPoolExhausted, answered_flows(64'512, 1), kOneBackend},
      {Drop::kNatTableFull, answered_flows(65'536, 16), kOneBackend},
      {Drop::kMtu, {tcp(kClient, kDirect).ack().payload(std::size_t{1600}).bytes()}},
  };
}

const std::vector<Elsewhere>& elsewhere() {
  static const std::vector<Elsewhere> places = {
      {Drop::kDispatchFull, "one worker has no ring to another: worker_test.cc"},
      {Drop::kFragmentTimeout, "these captures take no time: replay_fragments_test.cc"},
      {Drop::kMemberReset, "--down only avoids a backend: nat_lifetime_test.cc, the model"},
      {Drop::kNoRoute, "every backend has a route here: the model, neighborhood_test.cc"},
      {Drop::kNoNeighbor, "every next hop is resolved here: the model, dsr_test.cc"},
      {Drop::kNoHeadroom, "there are 128 bytes before each frame: tunnel_test.cc"},
  };
  return places;
}

std::map<Drop, Recipe> recipes() {
  std::map<Drop, Recipe> all;
  for (const auto& some : {link_recipes(), header_recipes(), fragment_recipes(), flow_recipes()}) {
    for (const Recipe& recipe : some) {
      EXPECT_TRUE(all.emplace(recipe.reason, recipe).second)
          << drop_name(recipe.reason) << " has two recipes";
    }
  }
  return all;
}

std::vector<Drop> all_reasons() {
  std::vector<Drop> reasons;
  for (std::size_t i = 0; i < dataplane::kDropCount; ++i) {
    reasons.push_back(static_cast<Drop>(i));
  }
  return reasons;
}

std::string capture_of(const std::vector<Bytes>& frames) {
  FileBytes capture(false);
  capture.pcap_header(0xa1b2c3d4, 1);
  for (const Bytes& frame : frames) {
    const std::string text(frame.begin(), frame.end());
    capture.pcap_record(1, 0, text, static_cast<std::uint32_t>(frame.size()));
  }
  return capture.text();
}

// The reason of the last verdict.
std::string replayed_reason(const OfflineConfig& config, const Recipe& recipe) {
  std::ofstream(config.file("in"), std::ios::binary) << capture_of(recipe.frames);
  Words words = recipe.options;
  for (const auto& [option, file] :
       {std::pair("--in", "in"), std::pair("--out", "out"), std::pair("--verdicts", "verdicts")}) {
    words.insert(words.end(), {option, config.file(file)});
  }
  const VerbRun run = config.run("replay", words);
  EXPECT_EQ(run.code, 0) << run.error;
  std::ifstream verdicts(config.file("verdicts"));
  std::string last;
  for (std::string line; std::getline(verdicts, line);) {
    last = line;
  }
  const json::value& verdict = json::parse(last);
  const json::value& reason = verdict.at("reason");
  return reason.is_null() ? "forwarded" : std::string(reason.as_string());
}

TEST(Drops, HaveEachACaptureOrAPlaceWhereTheyAreShown) {
  const auto captures = recipes();
  for (const Drop reason : all_reasons()) {
    const auto listed = std::ranges::count(elsewhere(), reason, &Elsewhere::reason);
    EXPECT_EQ(captures.count(reason) + static_cast<std::size_t>(listed), 1U)
        << drop_name(reason) << ": add a capture to this file, or say where it is shown instead";
  }
}

TEST(Drops, AreNamedByReplayForACaptureOfEach) {
  OfflineConfig config;
  std::string text = OfflineConfig::kText;
  text.replace(text.find("10.0.3.16-10.0.3.31"), 19, "10.0.3.16");
  for (const auto& [reason, recipe] : recipes()) {
    // A pool of one address for the pool that runs out, of many for the table that does.
    config.write(reason == Drop::kNatPoolExhausted ? text : OfflineConfig::kText);
    EXPECT_EQ(replayed_reason(config, recipe), drop_name(reason));
  }
}

TEST(Drops, AreExplainedInTheDocumentation) {
  std::ifstream page(HOLDFAST_SOURCE_DIR "/docs/drops.md");
  std::stringstream text;
  text << page.rdbuf();
  std::string rows;
  for (const DropText& drop : kDropTexts) {
    rows.append("| `").append(drop_name(drop.reason)).append("` | ");
    rows.append(drop.meaning).append(" | ").append(drop.remedy).append(" |\n");
  }
  EXPECT_THAT(text.str(), HasSubstr("| --- | --- | --- |\n" + rows + "\n"))
      << "docs/drops.md must hold the rows of control/cli/drop_text.h:\n"
      << rows;
}

struct Traced {
  Drop reason;
  const char* source;
  const char* destination;
  Words options = {};
};

// Every reason that the first packet of a flow, sound in itself, can have.
TEST(Drops, OfAFirstPacketAreExplainedByTrace) {
  const OfflineConfig config;
  for (const Traced& packet :
       {Traced{Drop::kNoService, "198.51.100.7:1", "203.0.113.10:81"},
        Traced{Drop::kNoNatFlow, "198.51.100.7:1", "10.0.3.16:80"},
        Traced{Drop::kMartian, "127.0.0.1:1", "203.0.113.10:80"},
        Traced{Drop::kLand, "203.0.113.10:80", "203.0.113.10:80"},
        Traced{Drop::kVipSource, "203.0.113.11:1", "203.0.113.10:80"},
        Traced{Drop::kPortZero, "198.51.100.7:0", "203.0.113.10:80"},
        Traced{Drop::kNoBackend, "198.51.100.7:1", "203.0.113.10:80", kNoneIsUp}}) {
    Words words = packet.options;
    words.insert(words.end(), {"tcp", packet.source, packet.destination});
    const VerbRun run = config.run("trace", words);
    EXPECT_EQ(run.code, 1);
    const DropText& text = drop_text(packet.reason);
    EXPECT_THAT(run.out,
                HasSubstr("verdict   DROP " + std::string(drop_name(packet.reason)) + ": " +
                          std::string(text.meaning) + "\nremedy    " + std::string(text.remedy)));
  }
}

}  // namespace
}  // namespace holdfast::control
