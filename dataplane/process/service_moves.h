// SPDX-License-Identifier: Apache-2.0
// The workers' MemberMoves added up by service. Sums outlive the members: they go on when an index
// of the registry gets another member, and end when the registry names the service no more. Main
// thread; reads what workers write.
#pragma once

#include "dataplane.pb.h"
#include "dataplane/process/worker.h"
#include "dataplane/registry.h"
#include "dataplane/stats.h"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace holdfast::dataplane {

class ServiceMoves {
 public:
  // Requires: both outlive it.
  ServiceMoves(std::span<const std::unique_ptr<Worker>> workers,
               std::span<const MemberRecord> records);

  // Takes note of members that have an index of others. Call after each publication, before flows
  // of theirs are looked for.
  void members_changed();
  void read(seam::GetCountersReply& reply) const;

 private:
  // What MemberMoves counts, in its order.
  using Values = std::array<std::uint64_t, sizeof(MemberMoves) / sizeof(Counter)>;
  // Whose an index is, and what its counters stood at then.
  struct Place {
    Label service;
    std::uint8_t epoch = 0;
    bool used = false;
    bool copy = false;  // of flows that are reset by order (member_copies.h)
    Values base{};
  };
  struct Sums {
    Values all{};
    Values ordered{};  // of these, of flows that were reset by order
  };
  void add_to(Sums& sums, std::size_t index) const;

  [[nodiscard]] Values values_of(std::size_t index) const;
  [[nodiscard]] Values since_base(std::size_t index) const;

  std::span<const std::unique_ptr<Worker>> workers_;
  std::span<const MemberRecord> records_;
  std::vector<Place> places_;
  std::map<std::string, Sums, std::less<>> gone_;  // of members whose index is another's
};

}  // namespace holdfast::dataplane
