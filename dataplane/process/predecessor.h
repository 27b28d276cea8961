// SPDX-License-Identifier: Apache-2.0
// The successor's side of a handover. Beside a dataplane that forwards, another one becomes ready:
// DPDK, buffers, ports. What cannot be had twice (locks, listening sockets, the name of the nft
// table, the device of the routes) comes from the predecessor as open descriptors, so that no lock
// is ever free and no route gone in between; then that one's workers stop, and ours begin.
//
//   successor                      predecessor (handover.h)
//   ask                       →    refuses, or offers
//   becomes ready             ←    (goes on forwarding)
//   prepared                  →    stops its workers
//   takes over the tables     ←    stopped
//   forwards                  →    ends at once, leaving everything as it is
//
// Whatever fails before `stopped` leaves the predecessor as it was. Behind that it goes on when the
// successor has not said in time that it forwards, and ends it first. Start-up, main thread.
#pragma once

#include "dataplane/process/failure.h"
#include "dataplane/process/handover_channel.h"

#include <cstdint>
#include <functional>
#include <string>

namespace holdfast::dataplane {

class Predecessor {
 public:
  // Asks whom `socket` belongs to. A failure with kRefused: it would not, or there is nobody; then
  // the way is to end it and to start.
  static Result<Predecessor> ask(const std::string& socket, std::uint64_t startup_id);

  // A descriptor of the offer; not open where there was none, or it was taken already.
  Descriptor take(HandedOver what) {
    return std::move(descriptors_[static_cast<std::size_t>(what)]);
  }
  // Says that we are prepared and waits until the workers have stopped; calls `meanwhile` about a
  // thousand times a second, and once more behind.
  Result<void> await_stop(const std::function<void()>& meanwhile);
  void say_forwards() const;

 private:
  explicit Predecessor(HandoverChannel channel) : channel_(std::move(channel)) {}

  HandoverChannel channel_;
  HandedOverDescriptors descriptors_;
};

}  // namespace holdfast::dataplane
