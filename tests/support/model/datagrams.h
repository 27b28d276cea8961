// SPDX-License-Identifier: Apache-2.0
// The model's datagrams: what the contracts of dataplane/fragments.h and fragment_table.h promise,
// kept as a receiver would keep it, byte range by byte range. Not modelled: a table so full that a
// datagram is forgotten before its time. Tests only.
#pragma once

#include "tests/support/model/reading.h"

#include <compare>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace holdfast::testing {

struct DatagramId {
  Address source;
  Address destination;
  std::uint32_t identification = 0;
  std::uint8_t protocol = 0;  // IPv4 only
  auto operator<=>(const DatagramId&) const = default;
};

// What the first fragment said, or the fault that condemns all of them.
struct Said {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint8_t protocol = 0;
  std::uint8_t flags = 0;
  std::optional<Drop> fault;
};

// A frame that was held and comes again.
struct Again {
  Arriving frame;
  Said said;
};

class Datagrams {
 public:
  // A number per source: sources with one number share a bound.
  using Group = std::function<std::uint64_t(const Address& source)>;
  explicit Datagrams(Group group) : group_(std::move(group)) {}

  // What becomes of a fragment: dropped, held (neither), or going on with what was said.
  struct Fate {
    std::optional<Drop> drop;
    std::optional<Said> said;
  };
  Fate take(const Arriving& frame, const Reading& reading, std::uint64_t now_ms);
  // Time has passed: what has waited too long is released.
  void expire(std::uint64_t now_ms);
  // The next ones that come again, at most `most`.
  std::vector<Again> released(std::size_t most);

 private:
  struct Known {
    std::uint64_t since_ms = 0;
    std::uint64_t number = 0;  // by beginning
    std::optional<Said> said;
    std::set<std::size_t> units;  // of 8 bytes, that came
    std::optional<std::size_t> end;
    std::size_t pieces = 0;
    std::vector<Arriving> held;
  };

  static std::optional<Drop> add(Known& datagram, const FragmentReading& piece, bool& condemns);
  static bool complete(const Known& datagram);
  void tell(const DatagramId& id, Known& datagram, const Said& said, std::uint64_t now_ms);
  void release(const DatagramId& id, Known& datagram);
  [[nodiscard]] bool may_wait(const Address& source, const Known* datagram) const;

  Group group_;
  std::map<DatagramId, Known> known_;
  std::map<std::uint64_t, std::size_t> waiting_;  // by group
  std::deque<Again> released_;
  std::uint64_t begun_ = 0;
};

}  // namespace holdfast::testing
