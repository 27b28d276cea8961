// SPDX-License-Identifier: Apache-2.0
// What a benchmark program measured, as JSON on its standard output for run.py: per figure the
// samples in the order in which they were taken, of the subject and, taken in turn with it, of what
// it is compared with. Medians, spreads and targets are run.py's. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace holdfast::dataplane::bench {

// The command line of every program here.
struct Options {
  bool small = false;  // a size at which it only shows that it runs
  int rounds = 10;
  std::uint64_t most_flows = 100'000'000;
  std::string only;  // cases whose name begins with this; empty: all
};
// --small, --rounds N, --most-flows N, --only PREFIX. Ends the process with status 2 for others.
Options read_options(int argc, char** argv);

class Report {
 public:
  void add(const std::string& name, const std::string& unit, double sample);
  // What the figure `name` is compared with, in the same round.
  void add_beside(const std::string& name, double sample);
  // A figure in words: why it could not be taken, or what others depend on.
  void remark(const std::string& name, const std::string& words);
  void print() const;

 private:
  struct Series {
    std::string name;
    std::string unit;
    std::string remark;
    std::vector<double> samples;
    std::vector<double> beside;
  };
  Series& series(const std::string& name);
  std::vector<Series> all_;  // few: looked for one by one
};

// CPU time of this thread: others on the machine do not count.
double cpu_ns();
// Requires: not empty.
double median(std::vector<double> values);
// Nanoseconds per tick of the time-stamp counter, measured once.
double nanoseconds_per_tick();
// MemAvailable of this machine.
std::uint64_t available_bytes();

}  // namespace holdfast::dataplane::bench
