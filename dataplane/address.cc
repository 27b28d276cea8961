// SPDX-License-Identifier: Apache-2.0
// Addresses as text, for configuration, logs, trace and tests. Never called per packet; any thread.
// The reading is libc's inet_pton, which refuses leading zeros, short forms and trailing bytes.
#include "dataplane/address.h"

#include <algorithm>

#include <arpa/inet.h>

namespace holdfast::dataplane {

std::optional<Address> Address::parse(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.size() >= terminated.size() || text.contains('\0')) {
    return std::nullopt;
  }
  std::ranges::copy(text, terminated.begin());
  std::uint32_t v4_wire = 0;
  if (inet_pton(AF_INET, terminated.data(), &v4_wire) == 1) {
    return v4(Be32::from_wire(v4_wire));
  }
  Address result;
  if (inet_pton(AF_INET6, terminated.data(), result.bytes.data()) != 1 || result.is_v4()) {
    return std::nullopt;  // "::ffff:192.0.2.1" has one spelling here: 192.0.2.1
  }
  return result;
}

std::string Address::text() const {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  const bool four = is_v4();
  const std::uint8_t* from = four ? bytes.data() + 12 : bytes.data();
  return inet_ntop(four ? AF_INET : AF_INET6, from, buffer.data(), buffer.size());
}

}  // namespace holdfast::dataplane
