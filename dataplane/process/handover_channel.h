// SPDX-License-Identifier: Apache-2.0
// What two dataplanes say to each other while one takes over from the other (handover.h): small
// messages of fixed size over a Unix socket that keeps their bounds, with descriptors beside them.
// Both are processes of this machine, of one user or root's; what does not read as a message ends
// the conversation. Start-up and main thread.
#pragma once

#include "dataplane/process/descriptor.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::dataplane {

// In the order of a handover; the odd ones are the successor's.
enum class HandoverStep : std::uint32_t {
  kRefusal = 0,   // of the predecessor, with the reason; nothing has changed
  kAsk = 1,       // whether it would hand over
  kOffer = 2,     // what cannot be had twice, as descriptors; it goes on forwarding
  kPrepared = 3,  // everything else is there
  kStopped = 4,   // its workers have stopped: the tables are the successor's
  kForwards = 5,  // the successor's workers run
};

// The descriptors of an offer, in this order.
enum class HandedOver : std::uint8_t {
  kState,     // the state file, with its lock
  kSeamLock,  // the lock of the seam's sockets
  kWriter,    // its listening sockets
  kReader,
  kInstance,   // the name of the nft table
  kRoutes,     // the device of the routes to VIPs
  kChildLock,  // of `holdfast run` (control/cli/child_lock.h)
  kHandover,   // the listening socket for successors
  kLog,        // standard error
  kCount
};
inline constexpr std::size_t kHandedOverCount = static_cast<std::size_t>(HandedOver::kCount);
using HandedOverDescriptors = std::array<Descriptor, kHandedOverCount>;

struct HandoverMessage {
  HandoverStep step = HandoverStep::kAsk;
  std::uint64_t startup_id = 0;  // of kAsk: fnv1a() of the start-up message
  std::string text;              // of kRefusal
  HandedOverDescriptors descriptors;
};

// How long a successor may take until it is prepared, and until it forwards.
inline constexpr std::chrono::seconds kPrepareLimit{60};
inline constexpr std::chrono::seconds kTakeOverLimit{3};

// Where a dataplane whose seam is at `socket` listens for its successor.
std::string handover_path(const std::string& socket);

// One end of the conversation.
class HandoverChannel {
 public:
  HandoverChannel() = default;
  explicit HandoverChannel(Descriptor socket) : socket_(std::move(socket)) {}

  [[nodiscard]] int descriptor() const { return socket_.get(); }
  [[nodiscard]] bool open() const { return socket_.valid(); }
  void close() { socket_.close(); }

  // False: the other end is gone, or does not take it. `descriptors` may be not open; -1: none.
  bool send(HandoverStep step,
            std::uint64_t startup_id = 0,
            std::string_view text = {},
            const std::array<int, kHandedOverCount>* descriptors = nullptr) const;
  // The next message; nullopt: none came in time, the other end is gone, or it was none.
  [[nodiscard]] std::optional<HandoverMessage> receive(std::chrono::milliseconds limit) const;
  [[nodiscard]] bool peer_gone() const;
  // The process at the other end, by the kernel; 0: not known.
  [[nodiscard]] int peer() const;
  // Whether that is root, or of this user.
  [[nodiscard]] bool peer_is_ours() const;

 private:
  Descriptor socket_;
};

}  // namespace holdfast::dataplane
