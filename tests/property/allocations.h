// SPDX-License-Identifier: Apache-2.0
// How often this thread has called operator new, in programs that link allocations.cc: for tests
// that the packet path allocates nothing. Tests only.
#pragma once

#include <cstdint>

namespace holdfast::testing {

std::uint64_t allocations();

}  // namespace holdfast::testing
