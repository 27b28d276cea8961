// SPDX-License-Identifier: Apache-2.0
// Towards which members a worker's pool endpoints have lately run out: so that a flood of new flows
// pays for the search once a millisecond and not with every packet. Written and read by nat_open.cc
// on that worker alone.
#pragma once

#include <array>
#include <cstdint>

namespace holdfast::dataplane {

class PoolShortage {
 public:
  // What the last search found: nothing free, but what half-open flows hold; or not even that.
  enum class Found : std::uint8_t { kEnough, kOnlyHalfOpen, kNothing };

  // `towards` is the keyed hash of the member's address, port and protocol and of the generation's
  // number: two of them may share a place, which costs a search, but are never taken for each
  // other.
  void note(std::uint64_t towards, Found found, std::uint64_t now_ms) {
    place(towards) = {.towards = towards, .at_ms = now_ms, .found = found};
  }
  // What was noted within the same millisecond.
  [[nodiscard]] Found last(std::uint64_t towards, std::uint64_t now_ms) const {
    const Place& at = places_[towards % places_.size()];
    return at.towards == towards && at.at_ms == now_ms ? at.found : Found::kEnough;
  }

 private:
  struct Place {
    std::uint64_t towards = 0;
    std::uint64_t at_ms = 0;
    Found found = Found::kEnough;
  };
  Place& place(std::uint64_t towards) { return places_[towards % places_.size()]; }

  std::array<Place, 256> places_{};
};

}  // namespace holdfast::dataplane
