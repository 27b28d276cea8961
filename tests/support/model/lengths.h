// SPDX-License-Identifier: Apache-2.0
// What the model expects of packets' lengths: the MSS that a SYN leaves with (RFC 9293 §3.1,
// §3.7.1; the contract in dataplane/mss.h), and the message that a packet is too big (RFC 1191 §4,
// RFC 4443 §3.2; dataplane/too_big.h). Pure; tests only.
#pragma once

#include "dataplane/spec.h"
#include "tests/support/model/reading.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

namespace holdfast::testing {

// The bound of a service's rule for members of a mode; nullopt: what a SYN announces stays.
std::optional<std::size_t> mss_bound(const dataplane::MssSpec& rule, dataplane::Mode mode);

enum class Clamped : std::uint8_t { kNo, kYes, kNoRoom };

// Lowers what the SYN announces to `bound` and to what packets of `mtu` bytes carry. `reading` goes
// along when the packet becomes longer. Requires: TCP, nothing stands behind the packet, the
// buffer has room in front.
Clamped clamp_mss(Arriving& frame, Reading& reading, std::size_t bound, std::size_t mtu);

// The answer to a packet that is longer than `mtu`; nullopt where none is given. Requires: TCP or
// UDP; the buffer has room in front.
std::optional<Bytes> too_big_message(const Arriving& frame,
                                     const Reading& reading,
                                     std::size_t mtu);

// 1000 messages a second, 200 at once, for all; for the sources of one group 250, and 50 at once.
class MessageRate {
 public:
  bool allows(std::uint64_t group, std::uint64_t now_ms);

 private:
  struct Left {
    std::uint64_t quarters;
    std::uint64_t last_ms = 0;
    bool take(std::uint64_t quarters_each_ms, std::uint64_t most, std::uint64_t now_ms);
  };
  Left all_ = {800};  // in quarters of a message
  std::map<std::uint64_t, Left> of_group_;
};

}  // namespace holdfast::testing
