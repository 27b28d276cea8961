// SPDX-License-Identifier: Apache-2.0
// The neighbours that a worker has heard of last, by their own frames. The main thread takes a few
// milliseconds to learn them and to publish them in the neighbourhood; the answer to a client's
// first packet is there earlier, and its loss would cost the client a second (RFC 6298 §2.1). What
// the neighbourhood knows goes first; a frame to a station's last address harms nobody. Entries
// have no age: one counts only for a client that the neighbourhood does not know, and the next
// frame of that client renews it. Written and read by one worker.
#pragma once

#include "dataplane/address.h"
#include "dataplane/frame.h"

#include <array>
#include <cstddef>

namespace holdfast::dataplane {

class RecentNeighbors {
 public:
  // More clients than begin within the time that publication takes, but for a flood.
  static constexpr std::size_t kPlaces = 64;

  // Takes the place of what the same address said before on that port, else of the one that came in
  // longest ago, renewed since or not. O(kPlaces); not for the packets of a flow that stands.
  void add(const Address& address, const MacAddress& mac, PortIndex port) {
    Place* place = find_place(address, port);
    if (place == nullptr) {
      place = &places_[next_];
      next_ = (next_ + 1) % kPlaces;
    }
    *place = {.address = address, .mac = mac, .port = port, .used = true};
  }

  // nullptr when it has not been heard of. O(kPlaces).
  [[nodiscard]] const MacAddress* find(const Address& address, PortIndex port) const {
    const Place* place = const_cast<RecentNeighbors*>(this)->find_place(address, port);
    return place == nullptr ? nullptr : &place->mac;
  }

 private:
  struct Place {
    Address address;
    MacAddress mac{};
    PortIndex port = 0;
    bool used = false;
  };

  Place* find_place(const Address& address, PortIndex port) {
    for (Place& place : places_) {
      if (place.used && place.port == port && place.address == address) {
        return &place;
      }
    }
    return nullptr;
  }

  std::array<Place, kPlaces> places_{};
  std::size_t next_ = 0;
};

}  // namespace holdfast::dataplane
