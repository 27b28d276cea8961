// SPDX-License-Identifier: Apache-2.0
// Numbers to fragments.
#include "tests/support/model/cutting.h"

#include "tests/support/fragmenting.h"
#include "tests/support/model/octets.h"

#include <algorithm>

namespace holdfast::testing {
namespace {

constexpr std::size_t kRegular = 96;  // bytes; the first one holds every header
constexpr std::size_t kTooth = 8;

// A fragment as a story wants it: where it lies, and where it says that it lies.
struct Wanted {
  Cut cut;
  bool more = true;
  std::size_t claimed = 0;
};

Wanted wanted_of(const FrameOp& op, std::size_t size) {
  const std::size_t number = op.argument / 8U;
  switch (op.argument % 8) {
    case 5: {  // a comb: each leaves a gap
      const std::size_t begin = std::min(number % 64 * 2 * kTooth, size - kTooth - size % 8);
      return {.cut = {.begin = begin, .end = begin + kTooth}, .claimed = begin};
    }
    case 6: {  // anywhere, of any size
      const std::size_t begin = number % 24 * 8;
      const std::size_t length =
          op.argument / 256 % 48 + (op.size % 2 == 0 ? 0 : op.size / 8U * 8U);
      return {.cut = {.begin = begin, .end = std::min(begin + length, size)},
              .more = op.flags % 4 != 0,
              .claimed = begin};
    }
    case 7:  // at the end of all
      return {.cut = {.begin = 8, .end = 8 + op.size % 32U},
              .more = op.flags % 2 == 0,
              .claimed = 65'528 - 8 * (number % 6)};
    default: {
      const std::size_t begin = number % kRegularFragments * kRegular;
      const bool last = number % kRegularFragments == kRegularFragments - 1;
      return {.cut = {.begin = begin, .end = last ? begin + kRegular + 3 : begin + kRegular},
              .more = !last,
              .claimed = begin};
    }
  }
}

void claim(Bytes& frame, const Wanted& wanted, bool v4, std::size_t unfragmentable) {
  const std::size_t at = v4 ? 20 : 14 + 40 + unfragmentable + 2;
  const std::size_t more = wanted.more ? 1 : 0;
  put16(frame, at, v4 ? wanted.claimed / 8 + more * 0x2000 : wanted.claimed + more);
  if (v4) {
    const std::size_t header = frame.at(14) % 16U * 4U;
    put16(frame, 24, 0);
    put16(frame,
          24,
          static_cast<std::uint16_t>(~ones_complement_sum(Bytes(
              frame.begin() + 14, frame.begin() + static_cast<std::ptrdiff_t>(14 + header)))));
  }
}

}  // namespace

Bytes cut_fragment(const FrameOp& op, Packet packet, bool v4) {
  std::size_t in_front = 0;
  if (!v4 && op.ttl % 8 < 2) {
    packet.extension(60, 8);
    in_front = op.ttl % 8 == 0 ? 8 : 0;
  }
  if (v4 && op.ttl % 8 == 0) {
    packet.options({1, 1, 1, 0});
  }
  const Bytes whole = packet.payload(kCutPayload).bytes();
  const Wanted wanted = wanted_of(op, fragmentable_size(whole, in_front));
  Bytes frame = fragment_of(whole, wanted.cut, wanted.more, op.pick % 3, in_front);
  claim(frame, wanted, v4, in_front);
  return frame;
}

}  // namespace holdfast::testing
