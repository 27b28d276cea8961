// SPDX-License-Identifier: Apache-2.0
// What must hold of a specification before a generation is compiled of it. Control's configuration
// keeps these rules already; the dataplane trusts nobody on the other side of the seam. Pure; main
// thread or replay.
#pragma once

#include "dataplane/spec.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace holdfast::dataplane {

// Addresses of all pools of a family: more would only cost memory, each carries 64 512 ports.
inline constexpr std::size_t kMaxPoolAddresses = 65'536;

// The first defect of a specification, or an empty text.
std::string defect_of(const GenerationSpec& spec);

// Appends a range's addresses; false when there would be more than kMaxPoolAddresses.
// Requires: a range of one family, first <= last.
bool append_range(const PoolSpec& pool, std::vector<Address>& addresses);

bool is_prime(std::uint32_t number);

}  // namespace holdfast::dataplane
