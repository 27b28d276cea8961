// SPDX-License-Identifier: Apache-2.0
// Zeroed memory for tables, on the largest pages that this machine gives: hugetlbfs' when some are
// free, else transparent huge pages. Tables of gigabytes on pages of 4 KB cost several times as
// much, and the product puts its own on hugetlbfs when it can.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace holdfast::dataplane::bench {

class Region {
 public:
  // Throws std::bad_alloc when there is no address space.
  explicit Region(std::size_t bytes);
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  Region(Region&& other) noexcept;
  Region& operator=(Region&&) = delete;
  ~Region();

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
  [[nodiscard]] bool huge() const { return huge_; }

 private:
  std::byte* mapping_ = nullptr;
  std::size_t mapped_ = 0;
  std::span<std::byte> bytes_;
  bool huge_ = false;
};

// Which pages Regions of this process have got so far: "2 MB (hugetlbfs)", or what share of the
// memory in use stands on transparent huge pages.
std::string pages_in_use();
// Resident memory of this process.
std::size_t resident_bytes();

}  // namespace holdfast::dataplane::bench
