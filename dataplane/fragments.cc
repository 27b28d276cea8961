// SPDX-License-Identifier: Apache-2.0
// See fragments.h.
#include "dataplane/fragments.h"

#include "dataplane/generation.h"
#include "dataplane/pipeline.h"
#include "dataplane/receive_spread.h"
#include "dataplane/worker_state.h"

namespace holdfast::dataplane {
namespace {

using Cover = FragmentTable::Cover;
using What = FragmentNote::What;

// What the first fragment tells the later ones.
FragmentNote note_of_first(const Burst& b, Slot i) {
  return {.source_port = b.key[i].source_port,
          .destination_port = b.key[i].destination_port,
          .protocol = b.key[i].protocol,
          .tcp_flags = b.tcp_flags[i],
          .fault = kNoFault,
          .what = What::kFlow};
}

void condemn(FragmentTable& table, Datagram& datagram, Drop fault, std::uint64_t now_ms) {
  if (datagram.note.what == What::kFault) {
    return;
  }
  datagram.note = {.fault = fault, .what = What::kFault};
  datagram.since_ms = now_ms;
  table.release(datagram);
}

// The way of the flow: on this worker or, by way of the released ones, on another.
bool go_on(
    Burst& b, Slot i, const FragmentNote& note, const Generation& generation, WorkerState& state) {
  b.kind[i] = Kind::kTransport;
  b.key[i].source_port = note.source_port;
  b.key[i].destination_port = note.destination_port;
  b.key[i].protocol = note.protocol;
  b.tcp_flags[i] = note.tcp_flags;
  b.hash[i] = generation.hasher()(b.key[i]);
  if (owner_of(b, i, generation, state.worker, {state.workers, state.spread}) == state.worker) {
    return true;
  }
  Frame frame = b.frame[i];
  frame.note = note;
  return state.fragments.pass_on(frame) ? b.end(i, Verdict::kHold)
                                        : b.drop(i, Drop::kFragmentBufferFull);
}

bool refuse(
    Burst& b, Slot i, Cover cover, Datagram& datagram, FragmentTable& table, std::uint64_t now_ms) {
  const Drop why = cover == Cover::kTooMany ? Drop::kFragmentTooMany : Drop::kFragmentOverlap;
  if (cover != Cover::kSeen) {
    condemn(table, datagram, why, now_ms);
  }
  return b.drop(i, why);
}

bool take_first(Burst& b,
                Slot i,
                Datagram& datagram,
                const Generation& generation,
                WorkerState& state,
                std::uint64_t now_ms) {
  const FragmentNote note = note_of_first(b, i);
  datagram.note = note;
  datagram.since_ms = now_ms;
  // Before those that waited for it: where another worker owns the flow, the first one opens it.
  const bool stays = go_on(b, i, note, generation, state);
  state.fragments.release(datagram);
  if (datagram.complete()) {
    state.fragments.forget(datagram);
  }
  return stays;
}

bool take_later(
    Burst& b, Slot i, Datagram& datagram, const Generation& generation, WorkerState& state) {
  if (datagram.waits()) {
    state.fragments.hold(datagram, b.frame[i], generation.hasher().source(b.key[i].source));
    return b.end(i, Verdict::kHold);
  }
  const FragmentNote note = datagram.note;
  if (datagram.complete()) {
    state.fragments.forget(datagram);
  }
  return go_on(b, i, note, generation, state);
}

bool has_room(const Burst& b,
              Slot i,
              const Datagram* datagram,
              const Generation& generation,
              const FragmentTable& table) {
  return table.may_hold(generation.hasher().source(b.key[i].source), datagram);
}

}  // namespace

DatagramName datagram_name(const Burst& b, Slot i) {
  const bool v4 = b.key[i].source.is_v4();
  return {.source = b.key[i].source,
          .destination = b.key[i].destination,
          .identification = b.fragment[i].identification,
          .protocol = v4 ? static_cast<std::uint8_t>(b.key[i].protocol) : std::uint8_t{0}};
}

std::uint64_t datagram_hash(const DatagramName& name, const FlowHasher& hasher) {
  return hasher.words(hasher.address_pair(name.source, name.destination),
                      name.identification | (std::uint64_t{name.protocol} << 32));
}

bool take_fragment(
    Burst& b, Slot i, const Generation& generation, WorkerState& state, std::uint64_t now_ms) {
  FragmentTable& table = state.fragments;
  state.stats.fragments.add(1);
  const DatagramName name = datagram_name(b, i);
  const bool first = b.piece[i] == Piece::kFirst;
  const bool faulty = b.fault[i] != kNoFault;
  Datagram* datagram = table.find(b.hash[i], name, now_ms);
  if (!first && !faulty && (datagram == nullptr || datagram->waits()) &&
      !has_room(b, i, datagram, generation, table)) {
    return b.drop(i, Drop::kFragmentBufferFull);
  }
  if (datagram == nullptr) {
    datagram = table.open(b.hash[i], name, now_ms);
  }
  if (faulty) {
    if (datagram != nullptr) {
      condemn(table, *datagram, b.fault[i], now_ms);
    }
    return b.drop(i, b.fault[i]);
  }
  if (datagram == nullptr) {
    return first ? go_on(b, i, note_of_first(b, i), generation, state)
                 : b.drop(i, Drop::kFragmentBufferFull);
  }
  if (datagram->note.what == What::kFault) {
    return b.drop(i, datagram->note.fault);
  }
  if (const Cover cover = FragmentTable::cover(*datagram, b.fragment[i]); cover != Cover::kNew) {
    return refuse(b, i, cover, *datagram, table, now_ms);
  }
  return first ? take_first(b, i, *datagram, generation, state, now_ms)
               : take_later(b, i, *datagram, generation, state);
}

}  // namespace holdfast::dataplane
