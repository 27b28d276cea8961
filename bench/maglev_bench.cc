// SPDX-License-Identifier: Apache-2.0
// Maglev tables of 65 537 slots: the CPU time of a build, equal and mixed weights, and of the build
// after one of a thousand members has gone, which is a whole one as long as there is no other. Of
// that change also how many slots moved that need not have; and how evenly a thousand members share
// a table.
#include "bench/report.h"
#include "dataplane/maglev.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace holdfast::dataplane::bench {
namespace {

constexpr std::uint32_t kSlots = 65537;
constexpr std::size_t kMembers = 1000;
constexpr int kBuildsPerSample = 5;

enum class Weights : std::uint8_t { kEqual, kMixed };

class Members {
 public:
  Members(std::size_t count, Weights weights) {
    for (std::size_t i = 0; i < count; ++i) {
      names_.push_back("backend-" + std::to_string(i));
    }
    for (std::size_t i = 0; i < count; ++i) {
      const auto weight =
          static_cast<std::uint32_t>(weights == Weights::kMixed ? 50 + i % 100 : 100);
      all_.push_back({.key = names_[i], .weight = weight, .index = static_cast<std::uint16_t>(i)});
    }
  }
  [[nodiscard]] std::vector<std::uint16_t> build(const FlowHasher& hasher) const {
    return build_maglev(all_, kSlots, hasher);
  }
  void remove(std::size_t which) { all_.erase(all_.begin() + static_cast<std::ptrdiff_t>(which)); }

 private:
  std::vector<std::string> names_;
  std::vector<MaglevMember> all_;
};

// ms of CPU time of one build.
double timed_build(const Members& members, const FlowHasher& hasher) {
  std::vector<double> times;
  for (int i = 0; i < kBuildsPerSample; ++i) {
    const double start = cpu_ns();
    const auto table = members.build(hasher);
    times.push_back(cpu_ns() - start + static_cast<double>(table.empty()));
  }
  return median(times) * 1e-6;
}

// Slots of the member that has most, over the mean.
double most_over_mean(const std::vector<std::uint16_t>& table) {
  std::vector<std::uint32_t> slots(kMembers);
  for (const std::uint16_t member : table) {
    ++slots[member];
  }
  return static_cast<double>(*std::ranges::max_element(slots)) * kMembers / kSlots;
}

void measure_change(const Options& options, const FlowHasher& hasher, Report& report) {
  const Members before(kMembers, Weights::kEqual);
  const std::vector<std::uint16_t> table = before.build(hasher);
  report.add("maglev.65537.most_over_mean.1000", "ratio", most_over_mean(table));
  for (int round = 0; round < options.rounds; ++round) {
    Members after(kMembers, Weights::kEqual);
    after.remove(static_cast<std::size_t>(round) * 97 % kMembers);
    report.add("maglev.65537.one_gone.1000", "ms", timed_build(after, hasher));
    const TableChange change = compare_tables(table, after.build(hasher));
    report.add("maglev.65537.one_gone.needless",
               "% of slots",
               100.0 * (change.moved - change.least) / kSlots);
  }
}

int run(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  const FlowHasher hasher({1, 2, 3});
  Report report;
  for (int round = 0; round < options.rounds; ++round) {
    for (const std::size_t count : {std::size_t{10}, std::size_t{100}, kMembers}) {
      const std::string suffix = "." + std::to_string(count);
      report.add("maglev.65537.equal_weights" + suffix,
                 "ms",
                 timed_build(Members(count, Weights::kEqual), hasher));
      report.add("maglev.65537.mixed_weights" + suffix,
                 "ms",
                 timed_build(Members(count, Weights::kMixed), hasher));
    }
  }
  measure_change(options, hasher, report);
  report.print();
  return 0;
}

}  // namespace
}  // namespace holdfast::dataplane::bench

int main(int argc, char** argv) { return holdfast::dataplane::bench::run(argc, argv); }
