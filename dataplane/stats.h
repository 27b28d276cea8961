// SPDX-License-Identifier: Apache-2.0
// A worker's counters. Each has one writer, the worker; the seam's thread reads them at any time.
// Adding is a plain load, add and store (no locked instruction). P5 holds between these at the end
// of every burst: received + released = forwarded + replied + to_kernel + held + the sum of drops
// (a released frame gets a second verdict, if need be by the worker that owns its flow), and
// transmitted = forwarded + replied + generated - transmit_full.
#pragma once

#include "dataplane/drop.h"
#include "dataplane/move_cause.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

namespace holdfast::dataplane {

// A counter with one writer and any number of readers.
class Counter {
 public:
  void add(std::uint64_t amount) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  void subtract(std::uint64_t amount) { add(~amount + 1); }
  void set(std::uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// Frames that the dataplane makes itself.
enum class Generated : std::uint8_t { kReset, kAnnouncement, kQuestion, kCount };
inline constexpr std::size_t kGeneratedCount = static_cast<std::size_t>(Generated::kCount);
inline constexpr std::array<std::string_view, kGeneratedCount> kGeneratedNames = {
    "reset",
    "announcement",
    "question",
};

struct WorkerCounters {
  Counter received;
  std::array<Counter, kGeneratedCount> generated;
  Counter released;  // held frames that came back
  Counter forwarded;
  Counter replied;
  Counter to_kernel;
  Counter held;
  std::array<Counter, kDropCount> drops;
  Counter transmitted;
  Counter transmit_full;
  Counter no_buffer;    // frames that could not be generated: the pool was empty
  Counter handed_over;  // frames given to their owner worker (not in `received` here)
  Counter taken_over;   // frames that came from another worker (part of `received` or `released`)
  Counter fragments;    // for an address of ours; counted where their datagram is kept

  Counter flows_inserted;
  Counter flows_ended;
  Counter flows_untracked;        // packets that got no entry: the table, or their share, was full
  Counter flows_rechosen;         // entries whose member was given up (down, reset, new SYN)
  Counter resets_sent;            // TCP resets given as answers
  Counter follow_previous;        // packets without entry that went by the previous table
  Counter icmp_errors_forwarded;  // part of `forwarded`; not among the packets of MemberStats
  Counter too_big_sent;           // packet-too-big messages given as answers
  Counter too_big_limited;        // not given: the rate was reached (dropped as mtu)
  Counter mss_clamped;            // SYNs that leave with a lower MSS than they came with
  Counter mss_no_room;            // SYNs without the option, and without room for it
  Counter affinity_hits;          // packets without entry that went to the member on record
  Counter affinity_full;          // new flows that were not put on record: no room

  Counter polls;
  Counter busy_polls;  // polls that found frames
  Counter busy_ns;     // that they took
  Counter woken;       // waits that frames on a port ended
};
struct alignas(64) WorkerStats : WorkerCounters {};

// Per member and worker; readable at any time.
struct MemberStats {
  Counter new_flows;
  Counter packets_to_member;
  Counter bytes_to_member;
  Counter packets_to_client;  // `nat` only: the other modes do not see them
  Counter bytes_to_client;
  Counter live_flows;        // goes down too
  Counter entries;           // that name the member: live flows and closed ones in quarantine
  Counter last_new_flow_ms;  // set, not added: the worker's clock at the newest flow
};

// What became of flows beside their ordinary ends, per member and worker. Apart from MemberStats,
// which is a cache line that most packets touch.
struct MemberMoves {
  std::array<Counter, kMoveCauses>
      moved;           // flows that the member had, and another one goes on with
  Counter reset;       // flows that it had, answered with a reset
  Counter asked;       // idle flows whose clients were asked for their numbers
  Counter unanswered;  // of these, those that did not answer in time
  // Packets in the middle of a TCP flow without entry that came to the member, though the table
  // which their flow began by names another one (home_of() in choose.h).
  Counter untracked;
};

}  // namespace holdfast::dataplane
