// SPDX-License-Identifier: Apache-2.0
// `replay` with fragments: each record of the capture gets its end, also when that comes later.
#include "tests/support/capture_file.h"
#include "tests/support/fragmenting.h"
#include "tests/unit/cli/offline_config.h"

#include <iterator>

#include <gmock/gmock.h>

namespace holdfast::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ReplayFragments : public ::testing::Test {
 protected:
  void receive(const Bytes& frame, std::uint32_t second = 1) {
    const std::string text(frame.begin(), frame.end());
    capture_.pcap_record(second, 0, text, static_cast<std::uint32_t>(text.size()));
  }

  // The lines of the verdicts.
  std::vector<std::string> replay() {
    std::ofstream(config_.file("in"), std::ios::binary) << capture_.text();
    run_ = config_.run(
        "replay", {"--in", config_.file("in"), "--out", config_.file("out"), "--verdicts", "-"});
    EXPECT_EQ(run_.code, 0) << run_.error;
    std::istringstream text(run_.out);
    std::vector<std::string> lines;
    for (std::string line; std::getline(text, line);) {
      lines.push_back(line);
    }
    return lines;
  }

  // The frames that were sent.
  [[nodiscard]] std::vector<Bytes> sent() const {
    std::ifstream file(config_.file("out"), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    std::vector<Bytes> frames;
    for (std::size_t at = 24; at + 16 <= text.size();) {
      const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text.at(at + i)); };
      const std::size_t size = byte(8) + byte(9) * 256U;
      frames.emplace_back(text.begin() + static_cast<std::ptrdiff_t>(at + 16),
                          text.begin() + static_cast<std::ptrdiff_t>(at + 16 + size));
      at += 16 + size;
    }
    return frames;
  }

  FileBytes capture_ = FileBytes(false).pcap_header(0xa1b2c3d4, 1);
  OfflineConfig config_;
  VerbRun run_;
  Bytes whole_ = udp(kClient, kVipDns).payload(1000).bytes();
};

TEST_F(ReplayFragments, InOrderAreForwardedOneByOne) {
  for (const Bytes& fragment : fragments_of(whole_, {400, 800}, 7)) {
    receive(fragment);
  }
  const std::vector<std::string> lines = replay();
  ASSERT_EQ(lines.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_THAT(lines[i], HasSubstr(R"("verdict":"forward","reason":null,"service":"web")"));
    EXPECT_THAT(lines[i], HasSubstr(R"("out":[)" + std::to_string(i) + "]"));
  }
  const auto together = reassemble(sent());
  ASSERT_TRUE(together.has_value());
  EXPECT_TRUE(checksums_hold(*together));
}

TEST_F(ReplayFragments, ReversedGetTheVerdictThatTheFirstBrought) {
  const std::vector<Bytes> all = fragments_of(whole_, {400, 800}, 7);
  receive(all[2]);
  receive(all[1]);
  receive(tcp(kClient, kVip).syn().bytes());
  receive(all[0]);
  const std::vector<std::string> lines = replay();
  EXPECT_THAT(lines,
              ElementsAre(StartsWith(R"({"frame":0,"verdict":"forward")"),
                          StartsWith(R"({"frame":1,"verdict":"forward")"),
                          StartsWith(R"({"frame":2,"verdict":"forward")"),
                          StartsWith(R"({"frame":3,"verdict":"forward")")));
  EXPECT_THAT(lines,
              ElementsAre(HasSubstr(R"("out":[2])"),
                          HasSubstr(R"("out":[3])"),
                          HasSubstr(R"("out":[0])"),
                          HasSubstr(R"("out":[1])")));
  std::vector<Bytes> frames = sent();
  frames.erase(frames.begin());
  EXPECT_TRUE(reassemble(frames).has_value());
  EXPECT_THAT(run_.error, HasSubstr("4 frames: forward 4, reply 0, kernel 0, hold 0, drop 0"));
}

TEST_F(ReplayFragments, InterleavedDatagramsStayApart) {
  const Bytes other = udp(kClient.at_port(41000), kVipDns).payload(900).bytes();
  const std::vector<Bytes> ones = fragments_of(whole_, {400}, 7);
  const std::vector<Bytes> others = fragments_of(other, {400}, 8);
  receive(ones[1]);
  receive(others[0]);
  receive(ones[0]);
  receive(others[1]);
  EXPECT_EQ(replay().size(), 4U);
  const std::vector<Bytes> frames = sent();
  ASSERT_EQ(frames.size(), 4U);
  EXPECT_TRUE(reassemble(std::vector{frames[0], frames[3]}).has_value());
  EXPECT_TRUE(reassemble(std::vector{frames[1], frames[2]}).has_value());
}

TEST_F(ReplayFragments, WithoutAFirstAreHeldOrTimeOut) {
  const std::vector<Bytes> all = fragments_of(whole_, {400, 800}, 7);
  receive(all[1], 1);
  receive(tcp(kClient, kVip).syn().bytes(), 3);
  receive(all[2], 3);
  EXPECT_THAT(
      replay(),
      ElementsAre(
          HasSubstr(R"("frame":0,"verdict":"drop","reason":"fragment_timeout")"),
          HasSubstr(R"("frame":1,"verdict":"forward")"),
          R"({"frame":2,"verdict":"hold","reason":null,"service":null,"backend":null,"out":[]})"));
  EXPECT_THAT(run_.error, HasSubstr("hold 1, drop 1 (fragment_timeout 1)"));
}

TEST_F(ReplayFragments, DuplicatesAndOverlapsAreNamed) {
  receive(fragment_of(whole_, {.begin = 0, .end = 400}, true, 7));
  receive(fragment_of(whole_, {.begin = 0, .end = 400}, true, 7));
  receive(fragment_of(whole_, {.begin = 400, .end = 800}, true, 7));
  receive(fragment_of(whole_, {.begin = 792, .end = 1008}, false, 7));
  receive(fragment_of(whole_, {.begin = 800, .end = 1008}, false, 7));
  EXPECT_THAT(replay(),
              ElementsAre(HasSubstr(R"("verdict":"forward")"),
                          HasSubstr(R"("reason":"fragment_overlap")"),
                          HasSubstr(R"("verdict":"forward")"),
                          HasSubstr(R"("reason":"fragment_overlap")"),
                          HasSubstr(R"("reason":"fragment_overlap")")));
}

}  // namespace
}  // namespace holdfast::testing
