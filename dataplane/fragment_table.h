// SPDX-License-Identifier: Apache-2.0
// The datagrams whose fragments are under way, and the frames that wait for a first fragment: fixed
// memory of one worker, nothing is reassembled. Written and read by that worker alone; the stage
// that asks is fragments.h. Held frames stay their caller's: only Frame values are kept.
//
// What is known of a datagram, for kDatagramMs from its first fragment (or its fault) on: the note
// for its later fragments, the ranges seen so far, and the end, once the last one told. It is
// forgotten when every byte between has been seen. Ranges are exact: in units of 8 bytes, merged
// where they touch, at most kMostIslands; one more could not be joined by kMostPieces in all.
//
// Bounds, and what an attacker gets by them. In a full bucket the datagram that began first gives
// way, unless frames wait for it; so a flood of first fragments shortens memory for all, evenly,
// and no bucket can be aimed at, for the hash is keyed. Early fragments are few: all together have
// kHeldFrames places, those of one datagram kHeldPerDatagram, those of one group of sources (one of
// 64, by FlowHasher::source) kHeldPerGroup, each for at most kHeldMs.
#pragma once

#include "dataplane/address.h"
#include "dataplane/burst.h"
#include "dataplane/frame.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace holdfast::dataplane {

inline constexpr std::size_t kDatagrams = 4096;
inline constexpr std::uint64_t kDatagramMs = 2000;
inline constexpr unsigned kMostPieces = 64;  // 64 KiB in fragments of 1280 bytes are 54
inline constexpr std::size_t kMostIslands = kMostPieces / 2;
inline constexpr std::uint16_t kHeldFrames = 256;
inline constexpr unsigned kHeldPerDatagram = 16;
inline constexpr unsigned kHeldPerGroup = 32;
inline constexpr std::uint64_t kHeldMs = 1000;

// What fragments of one datagram have in common: RFC 791 §3.2, RFC 8200 §4.5 (no protocol there).
struct DatagramName {
  Address source;
  Address destination;
  std::uint32_t identification = 0;
  std::uint8_t protocol = 0;  // IPv4 only
  constexpr bool operator==(const DatagramName&) const = default;
};

struct Datagram {
  static constexpr std::uint16_t kNone = 0xffff;
  // In units of 8 bytes.
  struct Island {
    std::uint16_t begin = 0;
    std::uint16_t end = 0;
  };

  DatagramName name{};
  std::uint64_t since_ms = 0;
  std::uint64_t order = 0;  // of beginning, among all
  FragmentNote note{};      // kNothing: only early fragments came
  std::uint32_t end = 0;
  std::uint16_t held_first = kNone;
  std::uint16_t held_last = kNone;
  std::uint16_t waits_before = kNone;  // neighbours in the queue of datagrams that wait
  std::uint16_t waits_behind = kNone;
  std::uint8_t held_count = 0;
  std::uint8_t pieces = 0;
  std::uint8_t island_count = 0;
  bool used = false;
  std::array<Island, kMostIslands> islands{};

  [[nodiscard]] bool waits() const { return note.what == FragmentNote::What::kNothing; }
  [[nodiscard]] bool complete() const;
};

class FragmentTable {
 public:
  FragmentTable();

  // nullptr when unknown, or known too long ago. `hash` is keyed, of the name.
  Datagram* find(std::uint64_t hash, const DatagramName& name, std::uint64_t now_ms);
  // A place for a datagram that find() does not know. nullptr when frames wait for every datagram
  // of its bucket.
  Datagram* open(std::uint64_t hash, const DatagramName& name, std::uint64_t now_ms);
  void forget(Datagram& datagram) { datagram.used = false; }  // Requires: none of it is held

  // Notes which bytes a fragment brings.
  enum class Cover : std::uint8_t {
    kNew,
    kSeen,      // all of them before: it may be a duplicate
    kOverlaps,  // some of them before, or its end contradicts what is known
    kTooMany,
  };
  static Cover cover(Datagram& datagram, const FragmentExtent& extent);

  // Whether one more early fragment may wait, `source` being the keyed hash of where it is from.
  [[nodiscard]] bool may_hold(std::uint64_t source, const Datagram* datagram) const;
  // Keeps the frame until its datagram is released. Requires: may_hold().
  void hold(Datagram& datagram, const Frame& frame, std::uint64_t source);
  // Keeps the frame until the end of the burst: another worker owns its flow. Requires: its note is
  // set. False when there is no room, which only a caller that does not take_released() can bring
  // about.
  bool pass_on(const Frame& frame);
  // Gives what waits for the datagram its note, and lets it go.
  void release(Datagram& datagram);
  // Lets go what has waited too long. Once per loop.
  void expire(std::uint64_t now_ms);
  // Lets go everything: the worker ends.
  void abandon();

  // The next released frames, in the order in which they were released; returns how many. They make
  // another burst, whose frames pass parse again: take all of them after each burst and sweep.
  std::uint16_t take_released(std::span<Frame> frames);

 private:
  static constexpr std::size_t kWays = 8;
  static constexpr std::size_t kBuckets = kDatagrams / kWays;
  static constexpr std::size_t kGroups = 64;
  static constexpr std::uint16_t kNone = Datagram::kNone;

  struct Held {
    Frame frame;
    std::uint16_t next = kNone;
    std::uint8_t group = 0;
  };

  std::span<Datagram> bucket(std::uint64_t hash) {
    return std::span(datagrams_).subspan(hash % kBuckets * kWays, kWays);
  }
  std::uint16_t take_place(const Frame& frame);
  void make_ready(std::uint16_t place);
  void enqueue(Datagram& datagram);
  void dequeue(Datagram& datagram);
  void give_up(Datagram& datagram);

  std::vector<Datagram> datagrams_;
  std::vector<Held> held_;
  std::array<std::uint8_t, kGroups> of_group_{};
  std::uint16_t waiting_ = 0;
  std::uint16_t free_ = 0;
  std::uint16_t ready_first_ = kNone;
  std::uint16_t ready_last_ = kNone;
  std::uint64_t opened_ = 0;
  std::uint16_t waits_first_ = kNone;  // datagrams, the oldest first
  std::uint16_t waits_last_ = kNone;
};

}  // namespace holdfast::dataplane
