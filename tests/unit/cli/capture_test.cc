// SPDX-License-Identifier: Apache-2.0
// Capture files: both formats, byte orders and clocks, several interfaces, and files that are cut
// or lie. Files are built here byte by byte, so that nothing of the readers tests itself.
#include "control/cli/capture.h"

#include "control/cli/capture_clock.h"
#include "control/cli/capture_writer.h"
#include "tests/support/capture_file.h"

#include <sstream>

#include <gmock/gmock.h>

namespace holdfast::control {
namespace {

using holdfast::testing::bytes_of;
using holdfast::testing::FileBytes;
using ::testing::HasSubstr;

struct Read {
  std::vector<CaptureRecord> records;
  std::string error;
  bool nanoseconds = false;

  // What is wrong first, in a record or between two.
  [[nodiscard]] std::string problem() const {
    for (const CaptureRecord& record : records) {
      if (!record.damage.empty()) {
        return record.damage;
      }
    }
    return error;
  }
};

Read read_all(const std::string& file) {
  Read result;
  std::istringstream in(file);
  auto reader = open_capture(in);
  if (!reader) {
    result.error = reader.error();
    return result;
  }
  while (true) {
    auto record = (*reader)->next();
    result.nanoseconds = (*reader)->has_nanoseconds();
    if (!record) {
      result.error = record.error();
      return result;
    }
    if (!*record) {
      return result;
    }
    result.records.push_back(std::move(**record));
  }
}

class BothOrders : public ::testing::TestWithParam<bool> {};

TEST_P(BothOrders, ReadsMicrosecondPcap) {
  FileBytes file(GetParam());
  file.pcap_header(0xa1b2c3d4, 1).pcap_record(7, 250'000, "abcd", 4).pcap_record(8, 1, "xy", 60);
  const Read read = read_all(file.text());
  EXPECT_EQ(read.error, "");
  EXPECT_FALSE(read.nanoseconds);
  ASSERT_EQ(read.records.size(), 2U);
  EXPECT_EQ(read.records[0].time, (CaptureTime{.seconds = 7, .nanoseconds = 250'000'000}));
  EXPECT_EQ(read.records[0].bytes, bytes_of("abcd"));
  EXPECT_EQ(read.records[0].link, 1U);
  EXPECT_EQ(read.records[1].original_length, 60U);
  EXPECT_EQ(read.records[1].bytes, bytes_of("xy"));
}

TEST_P(BothOrders, ReadsNanosecondPcap) {
  FileBytes file(GetParam());
  file.pcap_header(0xa1b23c4d, 101).pcap_record(7, 999'999'999, "abcd", 4);
  const Read read = read_all(file.text());
  EXPECT_TRUE(read.nanoseconds);
  ASSERT_EQ(read.records.size(), 1U);
  EXPECT_EQ(read.records[0].time, (CaptureTime{.seconds = 7, .nanoseconds = 999'999'999}));
  EXPECT_EQ(read.records[0].link, 101U);
}

TEST_P(BothOrders, ReadsPcapngWithSeveralInterfaces) {
  FileBytes file(GetParam());
  file.section().interface(1, 96).interface(101, 0, {.resolution = 9});
  file.enhanced_packet(0, 2'500'000, "first", 5);
  file.enhanced_packet(1, 3'000'000'007, "second", 90);
  const Read read = read_all(file.text());
  EXPECT_EQ(read.error, "");
  EXPECT_TRUE(read.nanoseconds);
  ASSERT_EQ(read.records.size(), 2U);
  EXPECT_EQ(read.records[0].time, (CaptureTime{.seconds = 2, .nanoseconds = 500'000'000}));
  EXPECT_EQ(read.records[0].link, 1U);
  EXPECT_EQ(read.records[1].time, (CaptureTime{.seconds = 3, .nanoseconds = 7}));
  EXPECT_EQ(read.records[1].link, 101U);
  EXPECT_EQ(read.records[1].bytes, bytes_of("second"));
  EXPECT_EQ(read.records[1].original_length, 90U);
}

TEST_P(BothOrders, ReadsSimpleAndObsoletePackets) {
  FileBytes file(GetParam());
  file.section().interface(1, 3).obsolete_packet(0, 9'000'000, "hello", 5).simple_packet("abc", 64);
  const Read read = read_all(file.text());
  EXPECT_EQ(read.error, "");
  ASSERT_EQ(read.records.size(), 2U);
  EXPECT_EQ(read.records[0].bytes, bytes_of("hello"));
  EXPECT_EQ(read.records[1].bytes, bytes_of("abc"));
  EXPECT_EQ(read.records[1].original_length, 64U);
  EXPECT_EQ(read.records[1].time, read.records[0].time) << "a simple packet has no time of its own";
}

INSTANTIATE_TEST_SUITE_P(Capture, BothOrders, ::testing::Bool(), [](const auto& test) {
  return test.param ? "BigEndian" : "LittleEndian";
});

TEST(Capture, SectionsOfOnePcapngMayDifferInByteOrder) {
  FileBytes first(false);
  first.section().interface(1, 0).enhanced_packet(0, 1'000'000, "a", 1);
  FileBytes second(true);
  second.section().interface(228, 0).block(0x80000001, "whatever").enhanced_packet(0, 5, "b", 1);
  const Read read = read_all(first.text() + second.text());
  EXPECT_EQ(read.error, "");
  ASSERT_EQ(read.records.size(), 2U);
  EXPECT_EQ(read.records[1].link, 228U);
}

TEST(Capture, InterfacesOfAnEarlierSectionAreForgotten) {
  FileBytes file(false);
  file.section().interface(1, 0).section().enhanced_packet(0, 1, "a", 1);
  const Read read = read_all(file.text());
  ASSERT_EQ(read.records.size(), 1U);
  EXPECT_EQ(read.records[0].link, kUnknownLink);
  EXPECT_THAT(read.problem(), HasSubstr("not described"));
}

TEST(Capture, NanosecondsMayComeWithALaterInterfaceOfAPcapng) {
  FileBytes file(false);
  file.section();
  std::istringstream in(file.text());
  EXPECT_TRUE(open_capture(in).value()->has_nanoseconds());
}

TEST(Capture, OriginalLengthIsNeverLessThanWhatWasCaptured) {
  FileBytes file(false);
  file.pcap_header(0xa1b2c3d4, 1).pcap_record(0, 0, "abcd", 2);
  ASSERT_EQ(read_all(file.text()).records.size(), 1U);
  EXPECT_EQ(read_all(file.text()).records[0].original_length, 4U);
}

TEST(Capture, FractionsOfMoreThanASecondAreCarried) {
  FileBytes file(false);
  file.pcap_header(0xa1b2c3d4, 1).pcap_record(1, 2'500'000, "", 0);
  EXPECT_EQ(read_all(file.text()).records.at(0).time,
            (CaptureTime{.seconds = 3, .nanoseconds = 500'000'000}));
}

TEST(Capture, TakesEmptyFilesOfBothFormats) {
  FileBytes pcap(false);
  pcap.pcap_header(0xa1b2c3d4, 1);
  EXPECT_EQ(read_all(pcap.text()).error, "");
  FileBytes pcapng(false);
  pcapng.section();
  EXPECT_EQ(read_all(pcapng.text()).error, "");
}

TEST(Capture, RefusesWhatIsNoCapture) {
  EXPECT_THAT(read_all("").error, HasSubstr("no capture"));
  EXPECT_THAT(read_all("abc").error, HasSubstr("no capture"));
  EXPECT_THAT(read_all("GET / HTTP/1.0").error, HasSubstr("neither pcap nor pcapng"));
  EXPECT_THAT(read_all("\x1f\x8b\x08\x01").error, HasSubstr("gunzip"));
}

// Two records of four bytes, and where the second one's bytes begin and end.
struct CutCase {
  std::string file;
  std::size_t begin = 0;
  std::size_t end = 0;
};

std::vector<CutCase> cut_cases() {
  FileBytes pcap(false);
  pcap.pcap_header(0xa1b2c3d4, 1).pcap_record(0, 0, "abcd", 4);
  FileBytes pcapng(true);
  pcapng.section().interface(1, 0).enhanced_packet(0, 0, "abcd", 4);
  const std::size_t pcap_begin = pcap.text().size() + 16;
  const std::size_t pcapng_begin = pcapng.text().size() + 28;
  return {{pcap.pcap_record(0, 0, "efgh", 4).text(), pcap_begin, pcap_begin + 4},
          {pcapng.enhanced_packet(0, 0, "efgh", 4).text(), pcapng_begin, pcapng_begin + 4}};
}

TEST(Capture, ARecordIsGivenFromTheEndOfItsHeaderOnWhereverTheFileEnds) {
  for (const CutCase& whole : cut_cases()) {
    EXPECT_EQ(read_all(whole.file).problem(), "");
    for (std::size_t size = whole.begin; size < whole.file.size(); ++size) {
      const Read read = read_all(whole.file.substr(0, size));
      ASSERT_EQ(read.records.size(), 2U) << size;
      EXPECT_EQ(read.error, "") << "one cut is told once";
      EXPECT_THAT(read.records[1].damage, HasSubstr("ends within"));
      EXPECT_EQ(read.records[1].cut, size < whole.end) << size;
      EXPECT_EQ(read.records[1].bytes.size(), std::min(size, whole.end) - whole.begin);
      EXPECT_EQ(read.records[1].original_length, 4U);
    }
  }
}

TEST(Capture, ACutWithinTheNextHeaderGivesTheRecordsBeforeItAndAnError) {
  for (const CutCase& whole : cut_cases()) {
    std::size_t before = 0;
    for (std::size_t size = 0; size < whole.begin; ++size) {
      const Read read = read_all(whole.file.substr(0, size));
      EXPECT_GE(read.records.size(), before);
      EXPECT_LE(read.records.size(), 1U);
      before = read.records.size();
    }
    EXPECT_THAT(read_all(whole.file.substr(0, whole.begin - 1)).error, HasSubstr("ends within"));
  }
}

TEST(Capture, GoesOnBehindARecordThatClaimsTooMuch) {
  FileBytes pcap(false);
  pcap.pcap_header(0xa1b2c3d4, 1).pcap_record(0, 0, std::string(300'000, 'x'), 300'000);
  pcap.pcap_record(0, 0, "abcd", 4);
  FileBytes pcapng(false);
  pcapng.section().interface(1, 0).enhanced_packet(0, 0, std::string(300'000, 'x'), 300'000);
  pcapng.enhanced_packet(0, 0, "abcd", 4);
  FileBytes beyond_its_block(false);
  beyond_its_block.section().interface(1, 0).words({6, 32, 0, 0, 0, 300'000, 300'000, 32});
  beyond_its_block.enhanced_packet(0, 0, "abcd", 4);
  for (const std::string& file : {pcap.text(), pcapng.text(), beyond_its_block.text()}) {
    const Read read = read_all(file);
    EXPECT_EQ(read.error, "");
    ASSERT_EQ(read.records.size(), 2U);
    EXPECT_TRUE(read.records[0].cut);
    EXPECT_THAT(read.records[0].damage, HasSubstr("claims 300000 bytes"));
    EXPECT_EQ(read.records[1].bytes, bytes_of("abcd"));
    EXPECT_EQ(read.records[1].damage, "");
  }
}

TEST(Capture, AClaimBeyondTheFileIsItsLastRecord) {
  FileBytes pcap(false);
  pcap.pcap_header(0xa1b2c3d4, 1).words({0, 0, 0xffffffff, 0xffffffff});
  FileBytes pcapng(false);
  pcapng.section().interface(1, 0).words({6, 0xfffffffc, 0, 0, 0, 0xffffffff, 0xffffffff});
  for (const std::string& file : {pcap.text(), pcapng.text()}) {
    const Read read = read_all(file);
    EXPECT_EQ(read.error, "");
    ASSERT_EQ(read.records.size(), 1U);
    EXPECT_TRUE(read.records[0].cut);
    EXPECT_NE(read.records[0].damage, "");
  }
}

TEST(Capture, GoesOnBehindPacketsOfInterfacesThatAreNotDescribed) {
  FileBytes file(false);
  file.section().words({1, 16, 0, 16});  // a description without fields
  file.interface(1, 0).enhanced_packet(0, 1, "a", 1).enhanced_packet(7, 1, "b", 1);
  file.words({6, 12, 12}).enhanced_packet(1, 1, "c", 1);  // and a packet without fields
  const Read read = read_all(file.text());
  EXPECT_EQ(read.error, "");
  ASSERT_EQ(read.records.size(), 4U);
  EXPECT_THAT(read.records[0].damage, HasSubstr("not described"));
  EXPECT_THAT(read.records[1].damage, HasSubstr("not described"));
  EXPECT_FALSE(read.records[1].cut);
  EXPECT_THAT(read.records[2].damage, HasSubstr("without its fields"));
  EXPECT_TRUE(read.records[2].cut);
  EXPECT_EQ(read.records[3].damage, "");
  EXPECT_EQ(read.records[3].link, 1U);
}

TEST(Capture, GoesOnByTheFirstOfABlocksTwoLengths) {
  FileBytes file(false);
  file.section().interface(1, 0).words({6, 36, 0, 0, 0, 4, 4}).raw("abcd").word(40);
  file.enhanced_packet(0, 0, "efgh", 4);
  file.words({9, 12, 16}).enhanced_packet(0, 0, "ijkl", 4).words({9, 12, 16});
  const Read read = read_all(file.text());
  ASSERT_EQ(read.records.size(), 3U);
  EXPECT_EQ(read.records[0].bytes, bytes_of("abcd"));
  EXPECT_FALSE(read.records[0].cut);
  EXPECT_THAT(read.records[0].damage, HasSubstr("two lengths differ"));
  EXPECT_EQ(read.records[1].bytes, bytes_of("efgh"));
  EXPECT_EQ(read.records[1].damage, "");
  EXPECT_EQ(read.records[2].bytes, bytes_of("ijkl"));
  EXPECT_THAT(read.records[2].damage, HasSubstr("two lengths differ")) << "of the block before it";
  EXPECT_THAT(read.error, HasSubstr("two lengths differ"));
}

TEST(Capture, EndsWhereAWrongFirstLengthLeadsIntoAPacket) {
  FileBytes file(false);
  file.section().interface(1, 0).words({6, 32, 0, 0, 0, 4, 4}).raw("abcd").word(36);
  file.enhanced_packet(0, 0, "efgh", 4);
  const Read read = read_all(file.text());
  ASSERT_EQ(read.records.size(), 1U);
  EXPECT_TRUE(read.records[0].cut);
  EXPECT_NE(read.error, "");
}

TEST(Capture, RefusesBlocksThatContradictThemselves) {
  for (const std::vector<std::uint32_t>& words : std::vector<std::vector<std::uint32_t>>{
           {6, 4},                       // shorter than its own frame
           {6, 33},                      // no multiple of four
           {9, 12, 16},                  // closing length differs
           {0x0a0d0d0a, 28, 0xdeadbeef}  // no byte order mark
       }) {
    FileBytes file(false);
    file.section().interface(1, 0).words(words);
    EXPECT_NE(read_all(file.text()).error, "") << words[0] << ' ' << words[1];
  }
}

TEST(Capture, SkipsUnknownBlocksAndOptions) {
  FileBytes file(false);
  file.section().interface(1, 0, {.resolution = 9, .leading_option = true});
  file.block(5, std::string(100'000, 's')).enhanced_packet(0, 4, "abc", 3);
  const Read read = read_all(file.text());
  EXPECT_EQ(read.error, "");
  ASSERT_EQ(read.records.size(), 1U);
  EXPECT_EQ(read.records[0].time, (CaptureTime{.seconds = 0, .nanoseconds = 4}));
}

TEST(CaptureClock, TellsTimeAtEveryResolution) {
  const std::uint64_t most = ~std::uint64_t{0};
  for (unsigned value = 0; value < 256; ++value) {
    const CaptureClock clock = CaptureClock::from_option(static_cast<std::uint8_t>(value));
    EXPECT_LT(clock.time_of(most).nanoseconds, 1'000'000'000U) << value;
    EXPECT_EQ(clock.time_of(0), CaptureTime{}) << value;
    EXPECT_LE(clock.time_of(most / 2), clock.time_of(most)) << value;
  }
  EXPECT_EQ((CaptureClock{.exponent = 12}.time_of(1'500'000'000'001)),
            (CaptureTime{.seconds = 1, .nanoseconds = 500'000'000}));
  EXPECT_EQ((CaptureClock{.exponent = 20}.time_of(50'000'000'000'000)),
            (CaptureTime{.seconds = 0, .nanoseconds = 500}));
  EXPECT_EQ((CaptureClock{.binary = true, .exponent = 32}.time_of((5ULL << 32) | (1ULL << 31))),
            (CaptureTime{.seconds = 5, .nanoseconds = 500'000'000}));
  EXPECT_EQ((CaptureClock{.exponent = 0, .offset = 100}.time_of(7)),
            (CaptureTime{.seconds = 107, .nanoseconds = 0}));
}

TEST(CaptureWriter, WritesWhatTheReaderReads) {
  for (const auto resolution :
       {CaptureResolution::kMicroseconds, CaptureResolution::kNanoseconds}) {
    std::ostringstream out;
    CaptureWriter writer(out, resolution);
    writer.write({.seconds = 9, .nanoseconds = 123'456'789}, bytes_of("abcd"), 1000);
    writer.write({.seconds = 10, .nanoseconds = 0}, {}, 0);
    EXPECT_EQ(writer.count(), 2U);
    const bool fine = resolution == CaptureResolution::kNanoseconds;
    const Read read = read_all(out.str());
    EXPECT_EQ(read.nanoseconds, fine);
    ASSERT_EQ(read.records.size(), 2U);
    EXPECT_EQ(read.records[0].time.nanoseconds, fine ? 123'456'789U : 123'456'000U);
    EXPECT_EQ(read.records[0].bytes, bytes_of("abcd"));
    EXPECT_EQ(read.records[0].original_length, 1000U);
  }
}

}  // namespace
}  // namespace holdfast::control
