// SPDX-License-Identifier: Apache-2.0
// See writer_epoch.h.
#include "control/publish/writer_epoch.h"

#include "control/publish/durable_file.h"

#include <algorithm>
#include <charconv>
#include <chrono>

namespace holdfast::control {
namespace {

std::uint64_t now_ms() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
}

std::uint64_t kept(const std::string& path) {
  const auto text = read_whole(path, 64);
  std::uint64_t value = 0;
  const std::string digits = text ? text->value_or("") : "";
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

}  // namespace

WriterEpoch next_writer_epoch(const std::string& directory, std::uint64_t last) {
  const std::string path = directory + "/writer_epoch";
  // A damaged file may hold any number; one far beyond the clock would leave no room to rise.
  const std::uint64_t ceiling = now_ms() * 2;
  std::uint64_t before = kept(path);
  before = before < ceiling ? before : 0;
  WriterEpoch epoch;
  epoch.value = std::max({before + 1, last + 1, now_ms()});
  if (auto written = write_durably(path, std::to_string(epoch.value) + "\n"); !written) {
    epoch.disk_error = written.error();
  }
  return epoch;
}

}  // namespace holdfast::control
