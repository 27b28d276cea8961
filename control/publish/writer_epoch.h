// SPDX-License-Identifier: Apache-2.0
// The rising number that tells the dataplane which control is the newest writer. Kept in a file,
// and never below the wall clock in milliseconds, so that a lost directory does not lock control
// out. Blocking (one small file per connection): called through offload().
#pragma once

#include <cstdint>
#include <expected>
#include <string>

namespace holdfast::control {

struct WriterEpoch {
  std::uint64_t value = 0;
  std::string disk_error;  // why it could not be kept; it is used all the same
};

// The next number above every one that this directory and process have seen.
WriterEpoch next_writer_epoch(const std::string& directory, std::uint64_t last);

}  // namespace holdfast::control
