// SPDX-License-Identifier: Apache-2.0
// Comparing frames so that a failure is readable: each field that differs, with both values, in the
// order in which they stand; what no header covers is the last one, "payload". Tests only.
#pragma once

#include "tests/support/packet.h"

#include <string>
#include <vector>

namespace holdfast::testing {

struct Field {
  std::string name;
  std::string value;
  bool operator==(const Field&) const = default;
};

// The fields of a frame as far as its headers reach, outermost first; "payload" is the last.
std::vector<Field> describe(const Bytes& frame);

// A line with both lengths, then one per field that differs; empty when the frames are equal.
std::string difference(const Bytes& actual, const Bytes& expected);

// Fails the running test with the difference, if there is one.
void expect_same(const Bytes& actual, const Bytes& expected);

}  // namespace holdfast::testing
