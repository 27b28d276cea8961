// SPDX-License-Identifier: Apache-2.0
// Writing what the packet tests send. Tests only.
#include "tests/support/frame_record.h"

#include "tests/support/capture_file.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

constexpr std::size_t kLongestSequence = 4096;  // libFuzzer mutates short inputs best
// Of one test: some send thousands of flows that differ in a port only.
constexpr std::size_t kMostOfATest = 64;

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

const std::string& seeds() {
  static const std::string folder = variable("HOLDFAST_SEEDS");
  return folder;
}

std::string test_name() {
  const auto* const test = ::testing::UnitTest::GetInstance()->current_test_info();
  return test == nullptr ? "none" : std::string(test->test_suite_name()) + "." + test->name();
}

std::string_view text(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void write_seed(const std::string& fuzzer, const Bytes& input) {
  static std::unordered_set<std::string> written;
  const std::string name =
      fuzzer + "/" + std::to_string(std::hash<std::string_view>{}(text(input)));
  if (written.insert(name).second) {
    const std::filesystem::path path = std::filesystem::path(seeds()) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text(input);
  }
}

// True for the first so many calls from one test.
bool is_wanted(std::unordered_map<std::string, std::size_t>& counts) {
  return ++counts[test_name()] <= kMostOfATest;
}

class OutcomeFiles {
 public:
  explicit OutcomeFiles(const std::string& path) {
    if (!path.empty()) {
      capture_.open(path, std::ios::binary | std::ios::trunc);
      lines_.open(path + ".txt", std::ios::trunc);
      capture_ << FileBytes(false).pcap_header(0xa1b2c3d4, 1).text();
    }
  }

  [[nodiscard]] bool wanted() { return capture_.is_open() && is_wanted(counts_); }
  void add(const Bytes& before, const Bytes& after, std::string_view words) {
    put(before, 0);
    put(after, 1);
    lines_ << pairs_ << ' ' << words << ' ' << test_name() << '\n';
    ++pairs_;
  }

 private:
  void put(const Bytes& frame, std::uint32_t microsecond) {
    capture_ << FileBytes(false)
                    .pcap_record(
                        pairs_, microsecond, text(frame), static_cast<std::uint32_t>(frame.size()))
                    .text();
  }

  std::ofstream capture_;
  std::ofstream lines_;
  std::unordered_map<std::string, std::size_t> counts_;
  std::uint32_t pairs_ = 0;
};

}  // namespace

void record_frames(std::span<const Bytes> frames) {
  if (seeds().empty()) {
    return;
  }
  static std::unordered_map<std::string, std::size_t> counts;
  for (const Bytes& frame : frames) {
    if (!is_wanted(counts)) {
      return;
    }
    Bytes with_room{0};
    with_room.insert(with_room.end(), frame.begin(), frame.end());
    write_seed("parse_fuzz", with_room);
    write_seed("parse_rate_fuzz", frame);
  }
}

void record_outcome(const Bytes& before,
                    const Bytes& after,
                    std::string_view verdict,
                    std::string_view mode) {
  static OutcomeFiles files(variable("HOLDFAST_OUTPUTS"));
  if (files.wanted()) {
    files.add(before, after, std::string(verdict) + " " + (mode.empty() ? "-" : std::string(mode)));
  }
}

void SequenceRecord::send(std::span<const Bytes> frames) {
  if (!seeds().empty() && input_.bytes().size() < kLongestSequence) {
    input_.send(frames);
  }
}

void SequenceRecord::pass(std::uint64_t milliseconds) {
  if (!seeds().empty() && input_.bytes().size() < kLongestSequence) {
    input_.pass(milliseconds);
  }
}

SequenceRecord::~SequenceRecord() {
  if (!seeds().empty() && input_.bytes().size() > 1) {
    write_seed("replay_fuzz", input_.bytes());
  }
}

}  // namespace holdfast::testing
