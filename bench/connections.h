// SPDX-License-Identifier: Apache-2.0
// Both ends of many TCP connections, as far as a balancer sees them: connect, one request, one
// answer, close by the client first. Eight packets in `nat`, where both directions go by here; the
// client's five in `dsr`. No payload: a packet's cost here does not depend on it. One thread.
#pragma once

#include "bench/frames.h"
#include "dataplane/burst.h"

#include <cstdint>
#include <vector>

namespace holdfast::dataplane::bench {

class Connections {
 public:
  enum class Sides : std::uint8_t { kBoth, kClient };

  // `in_flight` connections at a time, each at another step of its life.
  Connections(Sides sides, std::uint32_t in_flight);

  // The next packet of the next connection, round and round. Neighbours are at different steps, as
  // the packets of many clients are. Requires: fewer packets than half of the connections are to be
  // seen yet.
  TcpFrame next();
  // What became of the packets that next() gave, in that order: a SYN that was forwarded tells the
  // endpoint that the member's side is to be sent to.
  void seen(const Burst& burst, Slot slot);

  [[nodiscard]] std::uint64_t completed() const { return completed_; }
  // Connections of which a packet was not forwarded; each is given up and begun anew.
  [[nodiscard]] std::uint64_t failed() const { return failed_; }

 private:
  struct Connection {
    FlowKey client;  // of its packets
    FlowKey member;  // of the packets that answer them
    std::uint32_t number = 0;
    std::uint8_t step = 0;
    std::uint8_t waits = 0;  // rounds until its first packet
  };
  void begin(Connection& connection);
  void learn_member(Connection& connection, const Frame& syn);

  Sides sides_;
  std::vector<Connection> all_;
  std::size_t to_send_ = 0;
  std::vector<std::uint32_t> sent_;  // indexes of connections
  std::size_t to_see_ = 0;           // of sent_
  std::uint32_t begun_ = 0;
  std::uint64_t completed_ = 0;
  std::uint64_t failed_ = 0;
};

}  // namespace holdfast::dataplane::bench
