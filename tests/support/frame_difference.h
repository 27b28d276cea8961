// SPDX-License-Identifier: Apache-2.0
// Comparing frames so that a failure is readable: each differing header field with both values,
// then the first differing byte of what no field covers. Tests only.
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

// One line per difference; empty when the frames are equal.
std::string difference(const Bytes& actual, const Bytes& expected);

// Fails the running test with the difference, if there is one.
void expect_same(const Bytes& actual, const Bytes& expected);

}  // namespace holdfast::testing
