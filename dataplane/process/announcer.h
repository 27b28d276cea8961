// SPDX-License-Identifier: Apache-2.0
// Announces VIPs and pool addresses that are on-link (gratuitous ARP, unsolicited neighbour
// advertisement): at start, when they are added, when a link comes up, and when the node takes
// over. Paced, so that a large pool does not flood the segment; worker 0 sends them, because ports
// and counters are the workers'. Main thread.
#pragma once

#include "dataplane/generation.h"
#include "dataplane/neighborhood.h"
#include "dataplane/process/worker.h"

#include <deque>
#include <optional>
#include <set>

namespace holdfast::dataplane {

class Announcer {
 public:
  // Queues what this generation has and the one before had not.
  void generation_changed(const Generation& generation);
  // Queues everything again, for one port.
  void link_came_up(PortIndex port);
  // Whether the node speaks for its addresses at all. When that begins, everything is queued again.
  void speak(bool speaks);
  void repeat();
  // Hands the next few to worker 0. Call every 10 ms while pending().
  void send_some(const Neighborhood& neighborhood, Worker& worker);
  [[nodiscard]] bool pending() const { return !queue_.empty(); }

 private:
  struct Item {
    Address address;
    std::optional<PortIndex> only;  // every port, when empty
  };
  bool speaks_ = true;
  std::set<Address> ours_;
  std::deque<Item> queue_;
};

}  // namespace holdfast::dataplane
