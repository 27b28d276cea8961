// SPDX-License-Identifier: Apache-2.0
// The counters' way to the seam: workers, ports, members, memory, as one reply. Main thread; reads
// what workers write.
#pragma once

#include "dataplane.pb.h"
#include "dataplane/process/publisher.h"
#include "dataplane/process/service_moves.h"
#include "dataplane/process/stats_rows.h"
#include "dataplane/process/vip_routes.h"
#include "dataplane/process/worker.h"

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace holdfast::dataplane {

class Counters {
 public:
  Counters(const WorkerSurroundings& surroundings,
           std::span<const std::unique_ptr<Worker>> workers,
           const Publisher& publisher,
           std::size_t state_bytes);

  // Notes where the counters of new members start. Call after each publication, before flows of
  // theirs are looked for.
  void members_changed();
  // The nft table (nft_ingress.h) was not there any more.
  void count_guard_loss() { ++guard_losses_; }
  // A port's link went down.
  void count_link_loss(PortIndex port) { ++link_losses_.at(port); }
  // nullptr: there are none. Requires: they outlive this, else.
  void set_routes(const VipRoutes* routes) { routes_ = routes; }
  // Notes what share of the time since the last call each worker was busy. About once a second.
  void sample_busy(std::uint64_t now_ns);
  // Workers are read between two of their bursts, where P5 holds, unless one does not come round.
  void read(bool with_members, seam::GetCountersReply& reply);

 private:
  // By row, then the refusals.
  using MemberValues = std::array<std::uint64_t, kMemberRows.size() + 1>;
  // What the counters of an index stood at when its present member got it.
  struct Base {
    std::uint8_t epoch = 0;
    MemberValues values{};
    // Of a copy (member_copies.h): whose its counts are, also once it is gone.
    std::optional<MemberId> original;
  };

  // How busy a worker was when it was last asked.
  struct Busy {
    std::uint64_t at_ns = 0;
    std::uint64_t busy_ns = 0;
    double ratio = 0;
  };

  void read_worker(Worker& worker, seam::WorkerCounters& out) const;
  void read_port(Port& port, seam::PortCounters& out) const;
  void note_copies();
  void add_copies(seam::GetCountersReply& reply) const;
  void read_member(std::uint16_t index, seam::MemberCounters& out) const;
  [[nodiscard]] MemberValues values_of(std::uint16_t index) const;
  // Since the index got its present member.
  [[nodiscard]] MemberValues counted_of(std::uint16_t index) const;

  const WorkerSurroundings& surroundings_;
  std::span<const std::unique_ptr<Worker>> workers_;
  const Publisher& publisher_;
  std::size_t state_bytes_;
  std::uint64_t guard_losses_ = 0;
  std::vector<std::uint64_t> link_losses_;  // by port
  ServiceMoves moves_;
  const VipRoutes* routes_ = nullptr;
  std::vector<Base> bases_;
  std::vector<Busy> busy_;  // by worker
};

// The member as the seam names it.
void to_wire(const MemberRecord& record, seam::MemberRef& out);

}  // namespace holdfast::dataplane
