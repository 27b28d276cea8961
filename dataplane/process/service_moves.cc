// SPDX-License-Identifier: Apache-2.0
// See service_moves.h.
#include "dataplane/process/service_moves.h"

#include <set>
#include <string_view>

namespace holdfast::dataplane {
namespace {

constexpr std::size_t kReset = kMoveCauses;
constexpr std::size_t kAsked = kReset + 1;
constexpr std::size_t kUnanswered = kAsked + 1;
constexpr std::size_t kUntracked = kUnanswered + 1;
static_assert(sizeof(MemberMoves) == (kUntracked + 1) * sizeof(Counter),
              "every counter of MemberMoves has a place");

template <typename Values>
void add(Values& sum, const Values& more) {
  for (std::size_t i = 0; i < sum.size(); ++i) {
    sum[i] += more[i];
  }
}

}  // namespace

ServiceMoves::ServiceMoves(std::span<const std::unique_ptr<Worker>> workers,
                           std::span<const MemberRecord> records)
    : workers_(workers), records_(records), places_(records.size()) {
  members_changed();
}

ServiceMoves::Values ServiceMoves::values_of(std::size_t index) const {
  Values values{};
  for (const auto& worker : workers_) {
    const MemberMoves& moves = worker->state().moves[index];
    for (std::size_t i = 0; i < kMoveCauses; ++i) {
      values[i] += moves.moved[i].get();
    }
    values[kReset] += moves.reset.get();
    values[kAsked] += moves.asked.get();
    values[kUnanswered] += moves.unanswered.get();
    values[kUntracked] += moves.untracked.get();
  }
  return values;
}

ServiceMoves::Values ServiceMoves::since_base(std::size_t index) const {
  Values values = values_of(index);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] -= places_[index].base[i];
  }
  return values;
}

void ServiceMoves::members_changed() {
  std::set<std::string_view> named;
  for (std::size_t i = 0; i < records_.size(); ++i) {
    const MemberRecord& record = records_[i];
    Place& place = places_[i];
    if (record.state != RegistryState::kFree && (!place.used || place.epoch != record.epoch)) {
      if (place.used) {
        add_to(gone_[std::string(place.service.view())], i);
      }
      place = {.service = record.service,
               .epoch = record.epoch,
               .used = true,
               .copy = record.copy != 0,
               .base = values_of(i)};
    }
    if (place.used) {
      named.insert(place.service.view());
    }
  }
  std::erase_if(gone_, [&](const auto& one) { return !named.contains(one.first); });
}

void ServiceMoves::add_to(Sums& sums, std::size_t index) const {
  const Values values = since_base(index);
  add(sums.all, values);
  if (places_[index].copy) {
    add(sums.ordered, values);
  }
}

void ServiceMoves::read(seam::GetCountersReply& reply) const {
  std::map<std::string, Sums, std::less<>> sums = gone_;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    if (places_[i].used) {
      add_to(sums[std::string(places_[i].service.view())], i);
    }
  }
  for (const auto& [service, both] : sums) {
    const Values& values = both.all;
    seam::ServiceMoves& out = *reply.add_moves();
    out.set_service(service);
    for (std::size_t i = 0; i < kMoveCauses; ++i) {
      seam::NamedValue& moved = *out.add_moved();
      moved.set_name(std::string(kMoveCauseNames[i]));
      moved.set_value(values[i]);
    }
    out.set_reset(values[kReset]);
    out.set_asked(values[kAsked]);
    out.set_unanswered(values[kUnanswered]);
    out.set_untracked(values[kUntracked]);
    out.set_ordered_reset(both.ordered[kReset]);
    out.set_ordered_asked(both.ordered[kAsked]);
    out.set_ordered_unanswered(both.ordered[kUnanswered]);
  }
}

}  // namespace holdfast::dataplane
