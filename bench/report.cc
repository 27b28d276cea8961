// SPDX-License-Identifier: Apache-2.0
// See report.h.
#include "bench/report.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string_view>

#include <time.h>
#include <x86intrin.h>

namespace holdfast::dataplane::bench {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  std::cerr << what << "\n";
  std::exit(2);
}

// Names, units and reasons here have nothing that JSON would have escaped but quotes.
std::string quoted(std::string text) {
  std::ranges::replace(text, '"', '\'');
  return '"' + text + '"';
}

std::string list_of(const std::vector<double>& values) {
  std::string text = "[";
  for (std::size_t i = 0; i < values.size(); ++i) {
    text += i == 0 ? "" : ",";
    text += std::to_string(values[i]);
  }
  return text + "]";
}

}  // namespace

Options read_options(int argc, char** argv) {
  Options options;
  const std::vector<std::string_view> words(argv + 1, argv + argc);
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--small") {
      options.small = true;
      options.rounds = 2;
      options.most_flows = 1000;
      continue;
    }
    if (i + 1 == words.size()) {
      refuse("unknown option, or one without its value: " + std::string(words[i]));
    }
    const std::string value(words[i + 1]);
    if (words[i] == "--rounds") {
      options.rounds = std::atoi(value.c_str());
    } else if (words[i] == "--most-flows") {
      options.most_flows = std::strtoull(value.c_str(), nullptr, 10);
    } else if (words[i] == "--only") {
      options.only = value;
    } else {
      refuse("unknown option " + std::string(words[i]));
    }
    ++i;
  }
  return options;
}

Report::Series& Report::series(const std::string& name) {
  const auto found = std::ranges::find(all_, name, &Series::name);
  return found != all_.end() ? *found : all_.emplace_back(Series{.name = name});
}

void Report::add(const std::string& name, const std::string& unit, double sample) {
  Series& one = series(name);
  one.unit = unit;
  one.samples.push_back(sample);
}

void Report::add_beside(const std::string& name, double sample) {
  series(name).beside.push_back(sample);
}

void Report::remark(const std::string& name, const std::string& words) {
  series(name).remark = words;
}

void Report::print() const {
  std::cout << "[";
  for (std::size_t i = 0; i < all_.size(); ++i) {
    const Series& one = all_[i];
    std::cout << (i == 0 ? "\n" : ",\n") << "{\"name\": " << quoted(one.name)
              << ", \"unit\": " << quoted(one.unit) << ", \"remark\": " << quoted(one.remark)
              << ", \"samples\": " << list_of(one.samples)
              << ", \"beside\": " << list_of(one.beside) << "}";
  }
  std::cout << "\n]\n";
}

double cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

double nanoseconds_per_tick() {
  static const double result = [] {
    const auto start = std::chrono::steady_clock::now();
    const std::uint64_t ticks = __rdtsc();
    while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(50)) {
    }
    const auto elapsed = std::chrono::steady_clock::now() - start;
    return std::chrono::duration<double, std::nano>(elapsed).count() /
           static_cast<double>(__rdtsc() - ticks);
  }();
  return result;
}

std::uint64_t available_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  while (file >> word) {
    if (word == "MemAvailable:") {
      std::uint64_t kilobytes = 0;
      file >> kilobytes;
      return kilobytes * 1024;
    }
  }
  return 0;
}

}  // namespace holdfast::dataplane::bench
