// SPDX-License-Identifier: Apache-2.0
// See fragment_table.h.
#include "dataplane/fragment_table.h"

#include <algorithm>

namespace holdfast::dataplane {
namespace {

bool is_over(const Datagram& datagram, std::uint64_t now_ms) {
  return !datagram.waits() && now_ms - datagram.since_ms >= kDatagramMs;
}

std::uint16_t units_up(std::uint32_t bytes) { return static_cast<std::uint16_t>((bytes + 7) / 8); }

bool contradicts_end(const Datagram& datagram, const FragmentExtent& extent) {
  if (!extent.last) {
    return datagram.end != 0 && extent.end >= datagram.end;
  }
  const std::uint16_t highest =
      datagram.island_count == 0 ? 0 : datagram.islands[datagram.island_count - 1U].end;
  return datagram.end == 0 ? highest > units_up(extent.end) : datagram.end != extent.end;
}

// Puts a range in front of the island `at`, none of which it overlaps. False: one too many.
bool enter(Datagram& datagram, std::size_t at, Datagram::Island range) {
  auto& islands = datagram.islands;
  const std::size_t count = datagram.island_count;
  const bool joins_left = at > 0 && islands[at - 1].end == range.begin;
  const bool joins_right = at < count && islands[at].begin == range.end;
  if (joins_left && joins_right) {
    islands[at - 1].end = islands[at].end;
    std::copy(islands.begin() + static_cast<std::ptrdiff_t>(at) + 1,
              islands.begin() + static_cast<std::ptrdiff_t>(count),
              islands.begin() + static_cast<std::ptrdiff_t>(at));
    --datagram.island_count;
  } else if (joins_left) {
    islands[at - 1].end = range.end;
  } else if (joins_right) {
    islands[at].begin = range.begin;
  } else if (count == kMostIslands) {
    return false;
  } else {
    std::copy_backward(islands.begin() + static_cast<std::ptrdiff_t>(at),
                       islands.begin() + static_cast<std::ptrdiff_t>(count),
                       islands.begin() + static_cast<std::ptrdiff_t>(count) + 1);
    islands[at] = range;
    ++datagram.island_count;
  }
  return true;
}

}  // namespace

bool Datagram::complete() const {
  return end != 0 && island_count == 1 && islands[0].begin == 0 && islands[0].end == units_up(end);
}

FragmentTable::FragmentTable() : datagrams_(kDatagrams), held_(kHeldFrames + kBurstSize) {
  for (std::size_t i = 0; i < held_.size(); ++i) {
    held_[i].next = i + 1 == held_.size() ? kNone : static_cast<std::uint16_t>(i + 1);
  }
}

Datagram* FragmentTable::find(std::uint64_t hash, const DatagramName& name, std::uint64_t now_ms) {
  for (Datagram& datagram : bucket(hash)) {
    if (datagram.used && datagram.name == name) {
      if (!is_over(datagram, now_ms)) {
        return &datagram;
      }
      forget(datagram);
      return nullptr;
    }
  }
  return nullptr;
}

Datagram* FragmentTable::open(std::uint64_t hash, const DatagramName& name, std::uint64_t now_ms) {
  Datagram* place = nullptr;
  for (Datagram& datagram : bucket(hash)) {
    if (!datagram.used || is_over(datagram, now_ms)) {
      place = &datagram;
      break;
    }
    if (!datagram.waits() && (place == nullptr || datagram.order < place->order)) {
      place = &datagram;
    }
  }
  if (place != nullptr) {
    *place = Datagram{};
    place->name = name;
    place->since_ms = now_ms;
    place->order = ++opened_;
    place->used = true;
  }
  return place;
}

FragmentTable::Cover FragmentTable::cover(Datagram& datagram, const FragmentExtent& extent) {
  if (contradicts_end(datagram, extent)) {
    return Cover::kOverlaps;
  }
  const Datagram::Island range = {.begin = static_cast<std::uint16_t>(extent.begin / 8),
                                  .end = units_up(extent.end)};
  const std::span known = std::span(datagram.islands).first(datagram.island_count);
  const auto behind = std::ranges::find_if(
      known, [&](const Datagram::Island& island) { return island.end > range.begin; });
  if (behind != known.end() && behind->begin < range.end) {
    const bool inside = behind->begin <= range.begin && range.end <= behind->end;
    return inside && (!extent.last || datagram.end != 0) ? Cover::kSeen : Cover::kOverlaps;
  }
  const auto at = static_cast<std::size_t>(behind - known.begin());
  if (datagram.pieces == kMostPieces || !enter(datagram, at, range)) {
    return Cover::kTooMany;
  }
  ++datagram.pieces;
  if (extent.last) {
    datagram.end = extent.end;
  }
  return Cover::kNew;
}

bool FragmentTable::may_hold(std::uint64_t source, const Datagram* datagram) const {
  return free_ != kNone && waiting_ < kHeldFrames && of_group_[source % kGroups] < kHeldPerGroup &&
         (datagram == nullptr || datagram->held_count < kHeldPerDatagram);
}

std::uint16_t FragmentTable::take_place(const Frame& frame) {
  const std::uint16_t place = free_;
  free_ = held_[place].next;
  held_[place].frame = frame;
  held_[place].next = kNone;
  return place;
}

void FragmentTable::hold(Datagram& datagram, const Frame& frame, std::uint64_t source) {
  const std::uint16_t place = take_place(frame);
  held_[place].group = static_cast<std::uint8_t>(source % kGroups);
  if (datagram.held_count == 0) {
    datagram.held_first = place;
    enqueue(datagram);
  } else {
    held_[datagram.held_last].next = place;
  }
  datagram.held_last = place;
  ++datagram.held_count;
  ++of_group_[held_[place].group];
  ++waiting_;
}

void FragmentTable::enqueue(Datagram& datagram) {
  const auto index = static_cast<std::uint16_t>(&datagram - datagrams_.data());
  datagram.waits_before = waits_last_;
  (waits_last_ == kNone ? waits_first_ : datagrams_[waits_last_].waits_behind) = index;
  waits_last_ = index;
}

void FragmentTable::dequeue(Datagram& datagram) {
  const std::uint16_t before = datagram.waits_before;
  const std::uint16_t behind = datagram.waits_behind;
  (before == kNone ? waits_first_ : datagrams_[before].waits_behind) = behind;
  (behind == kNone ? waits_last_ : datagrams_[behind].waits_before) = before;
  datagram.waits_before = datagram.waits_behind = kNone;
}

void FragmentTable::make_ready(std::uint16_t place) {
  held_[place].next = kNone;
  if (ready_first_ == kNone) {
    ready_first_ = place;
  } else {
    held_[ready_last_].next = place;
  }
  ready_last_ = place;
}

bool FragmentTable::pass_on(const Frame& frame) {
  if (free_ == kNone) {
    return false;
  }
  make_ready(take_place(frame));
  return true;
}

void FragmentTable::release(Datagram& datagram) {
  if (datagram.held_count == 0) {
    return;
  }
  for (std::uint16_t place = datagram.held_first; place != kNone;) {
    Held& held = held_[place];
    const std::uint16_t next = held.next;
    held.frame.note = datagram.note;
    --of_group_[held.group];
    --waiting_;
    make_ready(place);
    place = next;
  }
  datagram.held_first = datagram.held_last = kNone;
  datagram.held_count = 0;
  dequeue(datagram);
}

void FragmentTable::give_up(Datagram& datagram) {
  datagram.note = {.fault = Drop::kFragmentTimeout, .what = FragmentNote::What::kFault};
  release(datagram);
  forget(datagram);
}

// Datagrams wait from their own beginning on, so the queue is in the order of their ends.
void FragmentTable::expire(std::uint64_t now_ms) {
  while (waits_first_ != kNone && now_ms - datagrams_[waits_first_].since_ms >= kHeldMs) {
    give_up(datagrams_[waits_first_]);
  }
}

void FragmentTable::abandon() {
  while (waits_first_ != kNone) {
    give_up(datagrams_[waits_first_]);
  }
}

std::uint16_t FragmentTable::take_released(std::span<Frame> frames) {
  std::uint16_t count = 0;
  while (count < frames.size() && ready_first_ != kNone) {
    const std::uint16_t place = ready_first_;
    frames[count++] = held_[place].frame;
    ready_first_ = held_[place].next;
    held_[place].next = free_;
    free_ = place;
  }
  return count;
}

}  // namespace holdfast::dataplane
