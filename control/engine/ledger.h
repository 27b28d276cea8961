// SPDX-License-Identifier: Apache-2.0
// The ledger: an entry for every event that can move flows, with what moved from then on, by
// service and cause, as the dataplane counts it. What has grown between two readings belongs to
// the newest event about that service; frames held, released and dropped to the newest event of
// all, until it has settled. The last kKept events, in memory. No I/O, no clock; control thread.
#pragma once

#include "control/admin/operator.h"
#include "control/probe/clock.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::control {

// What the dataplane has counted since its start.
struct LedgerTotals {
  std::map<std::string, MovesView> services;
  FramesView frames;
};

// What happened.
struct LedgerEvent {
  std::string kind;                          // docs/ledger.md lists them
  std::string object{};                      // "web/a", "revision 4"; may be empty
  std::string who{};                         // an operator, or empty
  std::string reason{};                      // why, in words
  std::vector<std::string> services{};       // whose flows it can move; empty: of all
  std::optional<std::uint64_t> forgotten{};  // flows that a restart could not keep
};

class Ledger {
 public:
  static constexpr std::size_t kKept = 500;
  // Services of which an event says what moved, by their names; others together, as kOthers.
  static constexpr std::size_t kServices = 200;
  static constexpr std::string_view kOthers = "*";
  // An event of which nothing has come for so long has settled.
  static constexpr std::chrono::seconds kSettled{10};
  // What is told twice, by two who saw it, within this time is one event.
  static constexpr std::chrono::seconds kSameEvent{5};

  // `life` tells this ledger's numbers from those of another run of control.
  explicit Ledger(std::uint64_t life) : life_(life) {}

  void open(LedgerEvent event, std::int64_t unix_ms, Clock::TimePoint now);
  // A new reading. The first one of a dataplane that ran before control did counts for nothing.
  void count(const LedgerTotals& totals, Clock::TimePoint now);
  // The dataplane was started anew: it counts from 0 again.
  void restart_counts() { totals_ = LedgerTotals{}; }
  // Marks what has settled; true when anything has.
  bool settle(Clock::TimePoint now);

  [[nodiscard]] std::uint64_t life() const { return life_; }
  // The number of the last change; each event has that of its own last one.
  [[nodiscard]] std::uint64_t changes() const { return changes_; }
  // Those that have changed since, in the order of their changes.
  [[nodiscard]] EventsView since(std::uint64_t change) const;

 private:
  struct Entry {
    EventView view;
    std::vector<std::string> services;
    Clock::TimePoint quiet_since;
    [[nodiscard]] bool concerns(std::string_view service) const;
  };

  [[nodiscard]] Entry* newest_about(std::string_view service);
  void grow(const std::string& service, const MovesView& growth, Clock::TimePoint now);
  void grow_frames(const FramesView& totals);

  std::uint64_t life_;
  std::uint64_t opened_ = 0;
  std::uint64_t changes_ = 0;
  std::uint64_t lost_change_ = 0;  // the last one of those that are kept no more
  std::optional<LedgerTotals> totals_;
  std::deque<Entry> entries_;  // the oldest first
};

}  // namespace holdfast::control
