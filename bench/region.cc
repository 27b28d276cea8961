// SPDX-License-Identifier: Apache-2.0
// See region.h.
#include "bench/region.h"

#include <cstdint>
#include <fstream>
#include <map>
#include <new>
#include <utility>

#include <sys/mman.h>

namespace holdfast::dataplane::bench {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t rounded(std::size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage; }

void* map(std::size_t bytes, int more) {
  return ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | more, -1, 0);
}

// Kilobytes by name, of this process.
std::map<std::string, std::size_t> memory_map_sums() {
  std::map<std::string, std::size_t> sums;
  std::ifstream file("/proc/self/smaps_rollup");
  std::string word;
  while (file >> word) {
    if (word.ends_with(':') && word.size() > 1) {
      file >> sums[word.substr(0, word.size() - 1)];
    }
  }
  return sums;
}

}  // namespace

Region::Region(std::size_t bytes) {
  void* start = map(rounded(bytes), MAP_HUGETLB);
  huge_ = start != MAP_FAILED;
  mapped_ = rounded(bytes) + (huge_ ? 0 : kHugePage);
  if (!huge_) {
    start = map(mapped_, MAP_NORESERVE);
  }
  if (start == MAP_FAILED) {
    throw std::bad_alloc();
  }
  mapping_ = static_cast<std::byte*>(start);
  const auto address = reinterpret_cast<std::uintptr_t>(mapping_);
  std::byte* const aligned = mapping_ + ((kHugePage - address % kHugePage) % kHugePage);
  bytes_ = {aligned, rounded(bytes)};
  if (!huge_) {
    ::madvise(aligned, bytes_.size(), MADV_HUGEPAGE);  // without them it goes on, slower
  }
}

Region::Region(Region&& other) noexcept
    : mapping_(std::exchange(other.mapping_, nullptr)),
      mapped_(other.mapped_),
      bytes_(std::exchange(other.bytes_, {})),
      huge_(other.huge_) {}

Region::~Region() {
  if (mapping_ != nullptr) {
    ::munmap(mapping_, mapped_);
  }
}

std::string pages_in_use() {
  std::map<std::string, std::size_t> sums = memory_map_sums();
  if (sums["Private_Hugetlb"] > 0) {
    return "2 MB (hugetlbfs)";
  }
  const std::size_t share = sums["Rss"] == 0 ? 0 : 100 * sums["AnonHugePages"] / sums["Rss"];
  return share == 0 ? "4 KB" : std::to_string(share) + " % on 2 MB (transparent)";
}

std::size_t resident_bytes() {
  std::map<std::string, std::size_t> sums = memory_map_sums();
  return (sums["Rss"] + sums["Private_Hugetlb"]) * 1024;
}

}  // namespace holdfast::dataplane::bench
