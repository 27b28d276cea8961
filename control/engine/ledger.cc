// SPDX-License-Identifier: Apache-2.0
// See ledger.h.
#include "control/engine/ledger.h"

#include <algorithm>
#include <utility>

namespace holdfast::control {
namespace {

// A counter that is lower than it was belongs to somebody who counts from 0.
std::uint64_t growth_of(std::uint64_t now, std::uint64_t before) {
  return now >= before ? now - before : now;
}

std::uint64_t value_in(const std::vector<NamedCount>& counts, std::string_view name) {
  const auto found = std::ranges::find(counts, name, &NamedCount::name);
  return found == counts.end() ? 0 : found->value;
}

// Only what has grown.
MovesView growth_of(const MovesView& now, const MovesView& before) {
  MovesView growth{
      .moved = {},
      .untracked = growth_of(now.untracked, before.untracked),
      .reset = growth_of(now.reset, before.reset),
      .asked = growth_of(now.asked, before.asked),
      .unanswered = growth_of(now.unanswered, before.unanswered),
      .ordered_reset = growth_of(now.ordered_reset, before.ordered_reset),
      .ordered_asked = growth_of(now.ordered_asked, before.ordered_asked),
      .ordered_unanswered = growth_of(now.ordered_unanswered, before.ordered_unanswered)};
  for (const NamedCount& count : now.moved) {
    const std::uint64_t grown = growth_of(count.value, value_in(before.moved, count.name));
    if (grown != 0) {
      growth.moved.push_back({count.name, grown});
    }
  }
  return growth;
}

bool is_nothing(const MovesView& moves) {
  return moves.moved.empty() && moves.untracked == 0 && moves.reset == 0 && moves.asked == 0 &&
         moves.unanswered == 0;
}

void add(MovesView& sum, const MovesView& more) {
  sum.untracked += more.untracked;
  sum.reset += more.reset;
  sum.asked += more.asked;
  sum.unanswered += more.unanswered;
  sum.ordered_reset += more.ordered_reset;
  sum.ordered_asked += more.ordered_asked;
  sum.ordered_unanswered += more.ordered_unanswered;
  for (const NamedCount& count : more.moved) {
    const auto found = std::ranges::find(sum.moved, count.name, &NamedCount::name);
    if (found == sum.moved.end()) {
      sum.moved.push_back(count);
    } else {
      found->value += count.value;
    }
  }
}

}  // namespace

bool Ledger::Entry::concerns(std::string_view service) const {
  return services.empty() || std::ranges::find(services, service) != services.end();
}

void Ledger::open(LedgerEvent event, std::int64_t unix_ms, Clock::TimePoint now) {
  const auto same = [&](const Entry& one) {
    return one.view.kind == event.kind && one.view.object == event.object &&
           now - one.quiet_since < kSameEvent;
  };
  if (event.who.empty() && !event.object.empty() && std::ranges::any_of(entries_, same)) {
    return;
  }
  Entry& entry = entries_.emplace_back();
  entry.view = {.number = ++opened_,
                .change = ++changes_,
                .unix_ms = unix_ms,
                .kind = std::move(event.kind),
                .object = std::move(event.object),
                .who = std::move(event.who),
                .reason = std::move(event.reason),
                .forgotten = event.forgotten};
  entry.services = std::move(event.services);
  entry.quiet_since = now;
  if (entries_.size() > kKept) {
    lost_change_ = std::max(lost_change_, entries_.front().view.change);
    entries_.pop_front();
  }
}

Ledger::Entry* Ledger::newest_about(std::string_view service) {
  const auto found = std::find_if(
      entries_.rbegin(), entries_.rend(), [&](const Entry& one) { return one.concerns(service); });
  return found == entries_.rend() ? nullptr : &*found;
}

void Ledger::grow(const std::string& service, const MovesView& growth, Clock::TimePoint now) {
  Entry* entry = newest_about(service);
  if (entry == nullptr || is_nothing(growth)) {
    return;
  }
  auto& services = entry->view.services;
  auto found = std::ranges::find(services, service, &ServiceMovesView::service);
  if (found == services.end() && services.size() >= kServices) {
    found = std::ranges::find(services, kOthers, &ServiceMovesView::service);
  }
  if (found == services.end()) {
    const bool named = services.size() < kServices;
    found = services.insert(found, {.service = named ? service : std::string(kOthers)});
  }
  add(found->moves, growth);
  entry->view.settled = false;
  entry->view.change = ++changes_;
  entry->quiet_since = now;
}

void Ledger::grow_frames(const FramesView& totals) {
  if (!totals_ || entries_.empty() || entries_.back().view.settled) {
    return;
  }
  FramesView& frames = entries_.back().view.frames;
  frames.held += growth_of(totals.held, totals_->frames.held);
  frames.released += growth_of(totals.released, totals_->frames.released);
  frames.dropped += growth_of(totals.dropped, totals_->frames.dropped);
}

void Ledger::count(const LedgerTotals& totals, Clock::TimePoint now) {
  if (totals_) {
    for (const auto& [service, moves] : totals.services) {
      const auto before = totals_->services.find(service);
      grow(service,
           growth_of(moves, before == totals_->services.end() ? MovesView{} : before->second),
           now);
    }
    grow_frames(totals.frames);
  }
  totals_ = totals;
}

bool Ledger::settle(Clock::TimePoint now) {
  bool any = false;
  for (Entry& entry : entries_) {
    if (!entry.view.settled && now - entry.quiet_since >= kSettled) {
      entry.view.settled = true;
      entry.view.change = ++changes_;
      any = true;
    }
  }
  return any;
}

EventsView Ledger::since(std::uint64_t change) const {
  EventsView view{.life = life_, .change = changes_, .gap = change < lost_change_, .events = {}};
  for (const Entry& entry : entries_) {
    if (entry.view.change > change) {
      view.events.push_back(entry.view);
    }
  }
  std::ranges::sort(view.events, {}, &EventView::change);
  return view;
}

}  // namespace holdfast::control
