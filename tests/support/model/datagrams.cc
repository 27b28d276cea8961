// SPDX-License-Identifier: Apache-2.0
// Fragments of a datagram, one at a time.
#include "tests/support/model/datagrams.h"

#include <algorithm>
#include <utility>

namespace holdfast::testing {
namespace {

constexpr std::uint64_t kRememberedMs = 2000;
constexpr std::uint64_t kWaitMs = 1000;
constexpr std::size_t kMostPieces = 64;
constexpr std::size_t kMostIslands = 32;
constexpr std::size_t kMostWaiting = 256;
constexpr std::size_t kMostOfDatagram = 16;
constexpr std::size_t kMostOfGroup = 32;

std::size_t units_up(std::size_t bytes) { return (bytes + 7) / 8; }

DatagramId id_of(const Reading& reading) {
  return {.source = reading.source,
          .destination = reading.destination,
          .identification = reading.fragment->identification,
          .protocol = reading.v4 ? reading.protocol : std::uint8_t{0}};
}

std::size_t islands_of(const std::set<std::size_t>& units) {
  return static_cast<std::size_t>(
      std::ranges::count_if(units, [&](std::size_t unit) { return !units.contains(unit + 1); }));
}

}  // namespace

bool Datagrams::complete(const Known& datagram) {
  return datagram.end && datagram.units.size() == units_up(*datagram.end);
}

// Why the fragment does not belong to what came before, if so; and whether that is the end of all.
std::optional<Drop> Datagrams::add(Known& datagram, const FragmentReading& piece, bool& condemns) {
  const std::size_t highest = datagram.units.empty() ? 0 : *datagram.units.rbegin() + 1;
  const bool another_end =
      piece.last ? (datagram.end ? *datagram.end != piece.end : highest > units_up(piece.end))
                 : datagram.end && piece.end >= *datagram.end;
  std::set<std::size_t> units = datagram.units;
  std::size_t again = 0;
  for (std::size_t unit = piece.begin / 8; unit < units_up(piece.end); ++unit) {
    again += units.insert(unit).second ? 0U : 1U;
  }
  condemns = true;
  if (another_end) {
    return Drop::kFragmentOverlap;
  }
  if (again > 0) {
    const bool all = units.size() == datagram.units.size();
    condemns = !all || (piece.last && !datagram.end);
    return Drop::kFragmentOverlap;
  }
  if (datagram.pieces == kMostPieces || islands_of(units) > kMostIslands) {
    return Drop::kFragmentTooMany;
  }
  ++datagram.pieces;
  datagram.units = std::move(units);
  if (piece.last) {
    datagram.end = piece.end;
  }
  return std::nullopt;
}

bool Datagrams::may_wait(const Address& source, const Known* datagram) const {
  std::size_t all = 0;
  for (const auto& [group, count] : waiting_) {
    all += count;
  }
  const auto own = waiting_.find(group_(source));
  return all < kMostWaiting && (own == waiting_.end() || own->second < kMostOfGroup) &&
         (datagram == nullptr || datagram->held.size() < kMostOfDatagram);
}

void Datagrams::release(const DatagramId& id, Known& datagram) {
  for (Arriving& frame : datagram.held) {
    --waiting_[group_(id.source)];
    released_.push_back({.frame = std::move(frame), .said = *datagram.said});
  }
  datagram.held.clear();
}

void Datagrams::tell(const DatagramId& id,
                     Known& datagram,
                     const Said& said,
                     std::uint64_t now_ms) {
  datagram.said = said;
  datagram.since_ms = now_ms;
  release(id, datagram);
}

Datagrams::Fate Datagrams::take(const Arriving& frame,
                                const Reading& reading,
                                std::uint64_t now_ms) {
  const DatagramId id = id_of(reading);
  const FragmentReading& piece = *reading.fragment;
  auto found = known_.find(id);
  if (found != known_.end() && found->second.said &&
      now_ms - found->second.since_ms >= kRememberedMs) {
    known_.erase(found);
    found = known_.end();
  }
  const bool early =
      !piece.first() && !piece.fault && (found == known_.end() || !found->second.said);
  if (early && !may_wait(id.source, found == known_.end() ? nullptr : &found->second)) {
    return {.drop = Drop::kFragmentBufferFull};
  }
  if (found == known_.end()) {
    found = known_.emplace(id, Known{.since_ms = now_ms, .number = begun_++}).first;
  }
  Known& datagram = found->second;
  const bool condemned = datagram.said && datagram.said->fault;
  if (piece.fault) {
    if (!condemned) {
      tell(id, datagram, {.fault = piece.fault}, now_ms);
    }
    return {.drop = piece.fault};
  }
  if (condemned) {
    return {.drop = datagram.said->fault};
  }
  bool condemns = false;
  if (const std::optional<Drop> why = add(datagram, piece, condemns)) {
    if (condemns) {
      tell(id, datagram, {.fault = why}, now_ms);
    }
    return {.drop = why};
  }
  if (early) {
    datagram.held.push_back(frame);
    ++waiting_[group_(id.source)];
    return {};
  }
  if (piece.first()) {
    tell(id,
         datagram,
         {.source_port = reading.source_port,
          .destination_port = reading.destination_port,
          .protocol = reading.protocol,
          .flags = reading.flags,
          .fault = {}},
         now_ms);
  }
  const Said said = *datagram.said;
  if (complete(datagram)) {
    known_.erase(found);
  }
  return {.said = said};
}

void Datagrams::expire(std::uint64_t now_ms) {
  std::map<std::uint64_t, DatagramId> over;  // by beginning
  for (const auto& [id, datagram] : known_) {
    if (!datagram.said && now_ms - datagram.since_ms >= kWaitMs) {
      over.emplace(datagram.number, id);
    }
  }
  for (const auto& [number, id] : over) {
    Known& datagram = known_.at(id);
    datagram.said = Said{.fault = Drop::kFragmentTimeout};
    release(id, datagram);
    known_.erase(id);
  }
}

std::vector<Again> Datagrams::released(std::size_t most) {
  std::vector<Again> next;
  while (next.size() < most && !released_.empty()) {
    next.push_back(std::move(released_.front()));
    released_.pop_front();
  }
  return next;
}

}  // namespace holdfast::testing
