// SPDX-License-Identifier: Apache-2.0
// The verb `replay` and what stands behind it: records in, verdicts and frames out. What is
// transmitted is judged by Scapy in tests/end_to_end; here are the edges of files, records and
// time.
#include "control/cli/replay.h"

#include "control/cli/offline.h"
#include "tests/packet/icmp_quote.h"
#include "tests/support/appliance.h"
#include "tests/support/capture_file.h"
#include "tests/support/contents.h"
#include "tests/unit/cli/offline_config.h"

#include <cstring>

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>

namespace holdfast::control {
namespace {

namespace json = boost::json;
using dataplane::Drop;
using dataplane::Mode;
using dataplane::Verdict;
using holdfast::testing::Bytes;
using holdfast::testing::contents;
using holdfast::testing::FileBytes;
using holdfast::testing::kBackend1;
using holdfast::testing::kClient;
using holdfast::testing::kVip;
using holdfast::testing::OfflineConfig;
using holdfast::testing::tcp;
using holdfast::testing::udp;
using holdfast::testing::VerbRun;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

CaptureRecord record_of(const Bytes& frame,
                        std::uint64_t second = 0,
                        std::size_t captured = ~0ULL) {
  CaptureRecord record{.time = {.seconds = second, .nanoseconds = 0},
                       .link = 1,
                       .original_length = static_cast<std::uint32_t>(frame.size()),
                       .bytes = std::vector<std::byte>(std::min(captured, frame.size()))};
  std::ranges::transform(std::span(frame).first(record.bytes.size()),
                         record.bytes.begin(),
                         [](std::uint8_t byte) { return std::byte{byte}; });
  return record;
}

class Replaying : public ::testing::Test {
 protected:
  explicit Replaying(Mode mode = Mode::kNat)
      : solo_(dataplane::Solo::create(testing::three_backends(mode),
                                      testing::lab_neighborhood(),
                                      {.key = {}, .flows = 4096, .check_macs = false})
                  .value()),
        replay_(*solo_, 0) {}

  std::unique_ptr<dataplane::Solo> solo_;
  Replay replay_;
};

TEST_F(Replaying, NamesServiceAndBackendOfAForwardedFrame) {
  const ReplayResult result = replay_.push(record_of(tcp(kClient, kVip).syn().bytes()));
  EXPECT_EQ(result.verdict, Verdict::kForward);
  EXPECT_EQ(result.reason, std::nullopt);
  EXPECT_EQ(result.service, "web");
  EXPECT_NE(result.backend, "");
  ASSERT_EQ(result.sent.size(), 1U);
  EXPECT_EQ(result.sent[0].bytes.size(), result.sent[0].original_length);
  EXPECT_EQ(result.sent[0].port, 1);
}

TEST_F(Replaying, NamesTheServiceOfADropThatCameNoFurther) {
  for (const std::string backend : {"1", "2", "3"}) {
    solo_->set_disposition("web", backend, dataplane::Disposition::kAvoid);
  }
  const ReplayResult result = replay_.push(record_of(tcp(kClient, kVip).syn().bytes()));
  EXPECT_EQ(result.reason, Drop::kNoBackend);
  EXPECT_EQ(result.service, "web");
  EXPECT_EQ(result.backend, "");
  EXPECT_TRUE(result.sent.empty());
}

TEST_F(Replaying, NamesTheFlowThatAnIcmpErrorIsAbout) {
  const ReplayResult flow = replay_.push(record_of(tcp(kClient, kVip).syn().bytes()));
  const auto error = [](const testing::Endpoint& client) {
    return record_of(
        too_big(testing::kFarRouter, kVip, quote_of(tcp(kVip, client).ack(), 8)).bytes());
  };
  const ReplayResult known = replay_.push(error(kClient));
  EXPECT_EQ(known.verdict, Verdict::kForward);
  EXPECT_EQ(known.service, "web");
  EXPECT_EQ(known.backend, flow.backend);
  EXPECT_EQ(known.icmp_error, "tcp 198.51.100.7:40000 > 203.0.113.10:80");
  const ReplayResult unknown = replay_.push(error(kClient.at_port(1)));
  EXPECT_EQ(unknown.reason, Drop::kToPeer);
  EXPECT_EQ(unknown.service, "web");
  EXPECT_EQ(unknown.backend, "");
  EXPECT_EQ(unknown.icmp_error, "tcp 198.51.100.7:1 > 203.0.113.10:80");
  EXPECT_EQ(flow.icmp_error, "");
}

TEST_F(Replaying, NamesNoFlowOfAFrameTooShortForAHeaderBehindAnError) {
  replay_.push(
      record_of(too_big(testing::kFarRouter, kVip, quote_of(tcp(kVip, kClient).ack(), 8)).bytes()));
  const ReplayResult result = replay_.push(record_of(Bytes(13)));
  EXPECT_EQ(result.reason, Drop::kTruncated);
  EXPECT_EQ(result.icmp_error, "");
  EXPECT_EQ(result.service, "");
}

TEST_F(Replaying, AccountsForEverything) {
  const Bytes whole = tcp(kClient, kVip).syn().payload("data").bytes();
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    replay_.push(record_of(Bytes(whole.begin(), whole.begin() + static_cast<long>(size))));
    replay_.push(record_of(whole, 0, size));
  }
  EXPECT_EQ(unaccounted(solo_->worker().stats), 0U);
}

TEST_F(Replaying, ForwardsACutRecordAsLongAsItsHeadersAreThere) {
  const Bytes whole = tcp(kClient, kVip).syn().payload(1000).bytes();
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const ReplayResult result = replay_.push(record_of(whole, 0, size));
    if (size < 54) {
      EXPECT_EQ(result.reason, Drop::kTruncated) << size;
    } else {
      ASSERT_EQ(result.verdict, Verdict::kForward) << size;
      EXPECT_EQ(result.sent[0].bytes.size(), size);
      EXPECT_EQ(result.sent[0].original_length, whole.size());
    }
  }
}

TEST_F(Replaying, KeepsTheTailOfARecordLongerThanAnyPacket) {
  CaptureRecord record = record_of(echo_request(kClient, kVip).bytes());
  record.bytes.resize(kMaxCaptured, std::byte{0x5a});
  record.original_length = kMaxCaptured;
  const ReplayResult result = replay_.push(record);
  ASSERT_EQ(result.verdict, Verdict::kReply);
  EXPECT_EQ(result.sent[0].bytes.size(), kMaxCaptured);
  EXPECT_EQ(result.sent[0].bytes.back(), std::byte{0x5a});
}

TEST_F(Replaying, AnsweredFrameIsAsLongAsItsAnswer) {
  const ReplayResult result =
      replay_.push(record_of(tcp(kClient, kVip).ack().payload(1000).bytes(), 0, 100));
  ASSERT_EQ(result.verdict, Verdict::kReply);
  EXPECT_EQ(result.sent[0].bytes.size(), 60U);
  EXPECT_EQ(result.sent[0].original_length, 60U);
}

TEST_F(Replaying, APacketThatIsTooBigIsAnsweredByThePortItCameFrom) {
  const Bytes longer = udp(kClient, kVip.at_port(53)).payload(1473).dont_fragment().bytes();
  const ReplayResult result = replay_.push(record_of(longer));
  EXPECT_EQ(result.verdict, Verdict::kReply);
  EXPECT_EQ(result.service, "dns");
  ASSERT_EQ(result.sent.size(), 1U);
  EXPECT_EQ(result.sent[0].port, 0);
  EXPECT_EQ(result.sent[0].bytes.size(), 14U + 576U);
  EXPECT_EQ(result.sent[0].original_length, 14U + 576U);
}

TEST_F(Replaying, PaddingBehindTheLongestPacketIsCut) {
  solo_->set_neighborhood(testing::lab_neighborhood(65535, 65535));
  Bytes longest = udp(kClient, kVip.at_port(53)).payload(65507).bytes();
  longest.resize(70'000);
  const ReplayResult result = replay_.push(record_of(longest));
  ASSERT_EQ(result.verdict, Verdict::kForward);
  EXPECT_EQ(result.sent[0].bytes.size(), 14U + 65535U);
  EXPECT_EQ(result.sent[0].original_length, 14U + 65535U);
}

TEST_F(Replaying, FlowsEndWhenTheCaptureSaysThatTimeHasPassed) {
  const auto flows = [&] { return solo_->worker().tables.nat.used(); };
  replay_.push(record_of(udp(kClient, kVip.at_port(53)).bytes(), 100));
  EXPECT_EQ(flows(), 1U);
  const Bytes other = udp(kBackend1, kClient).bytes();
  replay_.push(record_of(other, 50));
  EXPECT_EQ(flows(), 1U) << "time does not run backward";
  replay_.push(record_of(other, 0xffffffffffff));
  EXPECT_EQ(flows(), 0U);
}

TEST(ReplayClock, NeverRunsBackwardAndBoundsGaps) {
  ReplayClock clock;
  EXPECT_EQ(clock.advance({.seconds = 500, .nanoseconds = 0}), 1000U);
  EXPECT_EQ(clock.advance({.seconds = 500, .nanoseconds = 999'999}), 1000U);
  EXPECT_EQ(clock.advance({.seconds = 500, .nanoseconds = 1'000'000}), 1001U);
  EXPECT_EQ(clock.advance({.seconds = 0, .nanoseconds = 0}), 1001U);
  EXPECT_EQ(clock.advance({.seconds = 501, .nanoseconds = 0}), 2000U);
  EXPECT_EQ(clock.advance({.seconds = ~0ULL, .nanoseconds = 0}), 2000U + 32'768'000U);
}

std::string text_of(const Bytes& frame) { return {frame.begin(), frame.end()}; }

class ReplayVerb : public ::testing::Test {
 protected:
  VerbRun replay(const std::string& capture, std::vector<std::string> words = {}) {
    std::ofstream(config_.file("in"), std::ios::binary) << capture;
    words.insert(words.begin(),
                 {"--in", config_.file("in"), "--out", config_.file("out"), "--verdicts", "-"});
    return config_.run("replay", words);
  }

  OfflineConfig config_;
};

TEST_F(ReplayVerb, WritesAFrameAndALinePerRecord) {
  FileBytes capture(false);
  const Bytes frame = tcp(kClient, kVip).syn().bytes();
  capture.pcap_header(0xa1b2c3d4, 1).pcap_record(3, 4, text_of(frame), 54).pcap_record(5, 6, "", 0);
  const VerbRun run = replay(capture.text());
  EXPECT_EQ(run.code, 0) << run.error;
  std::istringstream lines(run.out);
  std::string first;
  std::string second;
  std::getline(lines, first);
  std::getline(lines, second);
  EXPECT_THAT(first, HasSubstr(R"({"frame":0,"verdict":"forward","reason":null,"service":"web",)"));
  EXPECT_THAT(first, HasSubstr(R"("out":[0]})"));
  EXPECT_EQ(second,
            R"({"frame":1,"verdict":"drop","reason":"truncated","service":null,)"
            R"("backend":null,"out":[]})");
  EXPECT_EQ(contents(config_.file("out")).size(), 24U + 16U + frame.size());
  EXPECT_THAT(run.error,
              HasSubstr("2 frames: forward 1, reply 0, kernel 0, hold 0, drop 1 "
                        "(truncated 1)\n  truncated 1: a header or the packet reaches past the "
                        "end of the frame\n"));
}

std::string magic_of(std::uint32_t magic) { return FileBytes(false).word(magic).text(); }

TEST_F(ReplayVerb, KeepsTheResolutionOfAPcap) {
  for (const std::uint32_t magic : {0xa1b2c3d4U, 0xa1b23c4dU}) {
    FileBytes pcap(true);
    EXPECT_EQ(replay(pcap.pcap_header(magic, 1).text()).code, 0);
    EXPECT_EQ(contents(config_.file("out")).substr(0, 4), magic_of(magic));
  }
}

TEST_F(ReplayVerb, WritesNanosecondsForAPcapngWhoseFineInterfaceComesLate) {
  const std::string frame = text_of(tcp(kClient, kVip).syn().bytes());
  FileBytes pcapng(true);
  pcapng.section().interface(1, 0).enhanced_packet(0, 1'000'000, frame, 54);
  pcapng.interface(1, 0, {.resolution = 9}).enhanced_packet(1, 2'000'000'007, frame, 54);
  EXPECT_EQ(replay(pcapng.text()).code, 0);
  const std::string out = contents(config_.file("out"));
  EXPECT_EQ(out.substr(0, 4), magic_of(0xa1b23c4d));
  EXPECT_EQ(out.substr(24 + 16 + 54, 8), FileBytes(false).words({2, 7}).text());
}

TEST_F(ReplayVerb, RefusesToWriteOverItsInput) {
  const std::string in = config_.file("in");
  std::ofstream(in) << "x";
  const VerbRun run = config_.run("replay", {"--in", in, "--out", in});
  EXPECT_EQ(run.code, 2);
  EXPECT_THAT(run.error, HasSubstr("must be different files"));
  EXPECT_EQ(contents(in), "x");
}

TEST_F(ReplayVerb, EndsWithAnErrorAtWhatItCannotRead) {
  EXPECT_EQ(replay("").code, 1);
  EXPECT_EQ(replay("no capture").code, 1);
}

// "forward", "drop truncated", ...: a line of the verdicts each.
std::vector<std::string> verdicts(const VerbRun& run) {
  std::vector<std::string> verdicts;
  std::istringstream lines(run.out);
  for (std::string line; std::getline(lines, line);) {
    const json::value verdict = json::parse(line);
    EXPECT_EQ(verdict.at("frame"), verdicts.size());
    const json::value& reason = verdict.at("reason");
    verdicts.push_back(std::string(verdict.at("verdict").as_string()) +
                       (reason.is_null() ? "" : " " + std::string(reason.as_string())));
  }
  return verdicts;
}

TEST_F(ReplayVerb, LeavesFramesOfOtherLinkTypesToTheKernel) {
  const std::string frame = text_of(tcp(kClient, kVip).syn().bytes());
  FileBytes capture(false);
  capture.section().interface(127, 0).interface(1, 0);
  capture.enhanced_packet(0, 0, "abc", 3).enhanced_packet(1, 0, frame, 54);
  capture.enhanced_packet(0, 0, "def", 3);
  const VerbRun run = replay(capture.text());
  EXPECT_EQ(run.code, 0);
  EXPECT_THAT(verdicts(run), ElementsAre("kernel", "forward", "kernel"));
  EXPECT_THAT(run.error, HasSubstr("note: frame 0: link type 127 cannot be replayed"));
  EXPECT_THAT(run.error, Not(HasSubstr("frame 2"))) << "said once";
}

TEST_F(ReplayVerb, GivesEveryDamagedRecordALineAndGoesOn) {
  const std::string frame = text_of(tcp(kClient, kVip).syn().bytes());
  FileBytes capture(false);
  capture.section().interface(1, 0);
  capture.words({6, 32, 0, 0, 0, 1000, 1000, 32});  // more than its block
  capture.enhanced_packet(9, 0, frame, 54);         // of no interface
  capture.enhanced_packet(0, 0, frame, 54);
  const VerbRun run = replay(capture.text());
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(verdicts(run), ElementsAre("drop truncated", "kernel", "forward"));
  EXPECT_THAT(run.error, HasSubstr("frame 0: a packet claims 1000 bytes (byte 80); 2 places"));
}

TEST_F(ReplayVerb, GivesTheRecordThatTheFileCutsALine) {
  const std::string frame = text_of(tcp(kClient, kVip).syn().bytes());
  FileBytes capture(false);
  capture.pcap_header(0xa1b2c3d4, 1).pcap_record(0, 0, std::string(300'000, 'x'), 300'000);
  capture.pcap_record(0, 0, frame, 54).pcap_record(0, 0, frame, 54);
  const VerbRun run = replay(capture.text().substr(0, capture.text().size() - 1));
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(verdicts(run), ElementsAre("drop truncated", "forward", "drop truncated"));
  EXPECT_THAT(run.error, HasSubstr("frame 0: a record claims 300000 bytes"));
}

TEST_F(ReplayVerb, ReplaysAWholeFrameOfABlockThatTheFileCuts) {
  const std::string frame = text_of(tcp(kClient, kVip).syn().bytes());
  FileBytes capture(false);
  capture.section().interface(1, 0).enhanced_packet(0, 0, frame, 54);
  const VerbRun run = replay(capture.text().substr(0, capture.text().size() - 5));
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(verdicts(run), ElementsAre("forward"));
  EXPECT_THAT(run.error, HasSubstr("frame 0: the file ends within a block"));
}

TEST(OfflineMac, IsReadStrictly) {
  EXPECT_EQ(parse_mac("02:00:5e:20:00:01"), kNextHopMac);
  EXPECT_EQ(mac_text(kNextHopMac), "02:00:5e:20:00:01");
  for (const char* text : {"",
                           "02:00:5e:20:00",
                           "02:00:5e:20:00:0",
                           "02-00-5e-20-00-01",
                           "02:00:5e:20:00:0g",
                           "+2:00:5e:20:00:01",
                           "02:00:5e:20:00:011"}) {
    EXPECT_FALSE(parse_mac(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace holdfast::control
