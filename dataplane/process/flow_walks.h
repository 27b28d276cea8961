// SPDX-License-Identifier: Apache-2.0
// An operator's walks over the flows of all workers (flow_walk.h), one at a time: makes the order,
// hands it to the workers, goes on when the last has finished, tells what was found. A walk is
// begun, and its findings are asked for until they are there, so that nothing waits for it here. It
// is the writer's that began it, and ends where it is when that one goes. Main thread.
//
// Flows are reset in two walks: the first counts whose flows match, the second gives them to copies
// of these members (member_copies.h), which are reset once all workers have finished.
#pragma once

#include "dataplane.pb.h"
#include "dataplane/flow_walk.h"
#include "dataplane/process/publisher.h"
#include "dataplane/process/worker.h"

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::dataplane {

class FlowWalks {
 public:
  // A walk's number, or why there is none.
  using Begun = std::expected<std::uint64_t, std::string>;
  using Found = std::expected<seam::CollectFlowsReply, std::string>;

  // Numbers go up from `first_number`, which no process before has come to: its start in
  // nanoseconds. Requires: all outlive this; workers have stopped when it is destroyed.
  FlowWalks(Publisher& publisher,
            std::span<const std::unique_ptr<Worker>> workers,
            std::uint64_t first_number);

  Begun list(const seam::ListFlows& request);
  Begun reset(const seam::ResetFlows& request);
  Begun move(const seam::MoveFlows& request);
  // What a walk has found, once; before it is over only that it runs.
  Found collect(std::uint64_t number);
  // Ends a walk where it is.
  Found forget(std::uint64_t number);
  // Whoever began it has gone.
  void abandon();

  // Goes on with what the workers have finished. Many times a second.
  void tend();
  // Call before a new generation is seen: a walk towards a member that it retires ends.
  void members_changed();

 private:
  // An order, and the workers' walks by it.
  struct Errand {
    FlowOrder order;
    std::vector<std::unique_ptr<FlowWalk>> walks;
  };
  struct Walk {
    std::uint64_t number = 0;
    std::string what;  // for the log; empty: it only looks
    bool dry = true;
    bool counts_first = false;  // and is to be followed by the one that acts
    std::size_t limit = 0;
    std::optional<MemberId> target;
    std::unique_ptr<Errand> errand;  // null: it is over
    std::string ended_early;
    seam::CollectFlowsReply reply;
  };

  [[nodiscard]] std::span<const MemberRecord> records() const;
  [[nodiscard]] bool any_walks() const;
  // The member at that index, whose flows stay where they are.
  [[nodiscard]] WalkedMember walked(std::size_t index) const;
  // The order's members: all that the names mean, which may be empty. The error: there is none.
  std::expected<std::unique_ptr<Errand>, std::string> errand_for(
      const seam::FlowFilter& filter) const;
  // Why flows cannot be moved there; empty: they can.
  [[nodiscard]] std::string objection_to(MemberId target) const;
  std::expected<std::unique_ptr<Errand>, std::string> errand_to(const seam::MoveFlows& request,
                                                                MemberId target) const;
  Begun begin(Walk walk);
  void send_out(Errand& errand);
  bool let_go();
  void finish();
  void give_to_copies();
  void tell(const Errand& errand, Walk& walk) const;
  void tell_rows(const Errand& errand, Walk& walk) const;

  Publisher& publisher_;
  std::span<const std::unique_ptr<Worker>> workers_;
  std::uint64_t next_number_;
  std::optional<Walk> walk_;
  std::unique_ptr<Errand> cancelled_;  // that workers may still be at
};

}  // namespace holdfast::dataplane
