// SPDX-License-Identifier: Apache-2.0
// See asking.h.
#include "dataplane/asking.h"

#include "dataplane/answer.h"
#include "dataplane/checksum.h"
#include "dataplane/flow_keys.h"
#include "dataplane/headers.h"
#include "dataplane/worker_state.h"

#include <optional>

namespace holdfast::dataplane {
namespace {

constexpr std::size_t kMostVisits = 4096;  // in one call
constexpr std::size_t kWays = 4;           // flows in one place at most

// Whether the client of a flow in that state has numbers to tell.
bool is_open(FlowState state) {
  return state == FlowState::kEstablished || state == FlowState::kClosing ||
         state == FlowState::kDoubtful;
}

// A moment lies in the round of the walk that ends with this visit.
bool came_by(std::uint64_t moment_ms, std::uint64_t visit_ms) {
  return moment_ms <= visit_ms && visit_ms - moment_ms < kAskRoundMs;
}

void look_at(WorkerState& state,
             MemberId member,
             const std::optional<FlowKey>& key,
             const Generation& generation,
             std::uint64_t visit_ms) {
  const std::optional<std::uint64_t> since = state.resets.since(member);
  if (!since || !key || key->protocol != Protocol::kTcp) {
    return;
  }
  const std::uint64_t hash = generation.hasher()(*key);
  const std::uint64_t turn = *since + turn_within(state.resets.window_ms, hash);
  MemberMoves& moves = state.moves[member.index];
  if (came_by(turn, visit_ms)) {
    constexpr std::uint64_t kDomain = 0x61736b;
    const auto number = static_cast<std::uint32_t>(generation.hasher().words(hash, kDomain));
    state.questions.all[state.questions.count++] = {.key = *key, .number = number};
    moves.asked.add(1);
  } else if (came_by(turn + kAnswerMs, visit_ms)) {
    moves.unanswered.add(1);
  }
}

template <typename Table>
void look_in(WorkerState& state,
             const Table& table,
             std::size_t bucket,
             const Generation& generation,
             std::uint64_t visit_ms) {
  for (const auto& entry : table.buckets()[bucket].way) {
    if (is_open(entry.state)) {
      look_at(state,
              {entry.member, entry.epoch},
              client_key_of(entry, generation),
              generation,
              visit_ms);
    }
  }
}

std::size_t places_of(const WorkerTables& tables) {
  return tables.v4.buckets().size() + tables.v6.buckets().size() + tables.wide.buckets().size() +
         tables.nat.records().size();
}

void visit(WorkerState& state,
           std::size_t place,
           const Generation& generation,
           std::uint64_t visit_ms) {
  const WorkerTables& tables = state.tables;
  if (place < tables.v4.buckets().size()) {
    return look_in(state, tables.v4, place, generation, visit_ms);
  }
  place -= tables.v4.buckets().size();
  if (place < tables.v6.buckets().size()) {
    return look_in(state, tables.v6, place, generation, visit_ms);
  }
  place -= tables.v6.buckets().size();
  if (place < tables.wide.buckets().size()) {
    return look_in(state, tables.wide, place, generation, visit_ms);
  }
  const auto index = static_cast<std::uint32_t>(place - tables.wide.buckets().size());
  const NatRecord& record = tables.nat.record(index);
  if (is_open(record.state) && !record.ended && !record.detached) {
    look_at(state,
            {record.member, record.epoch},
            client_key_of(tables.nat, index, generation),
            generation,
            visit_ms);
  }
}

}  // namespace

// Each place is visited a round behind its last visit by the walk's own clock, which falls behind
// when there is more to ask than the caller takes: so none is passed over.
void ask_idle_flows(WorkerState& state, const Generation& generation, std::uint64_t now_ms) {
  AskingWalk& walk = state.asking;
  if (const std::uint64_t last = state.resets.take_newest(); last != 0) {
    walk.until_ms = last + state.resets.window_ms + kAnswerMs + 2 * kAskRoundMs;
    walk.begun_ms = walk.begun_ms == 0 ? now_ms : walk.begun_ms;
  }
  if (walk.begun_ms == 0) {
    return;
  }
  const std::size_t places = places_of(state.tables);
  for (std::size_t left = kMostVisits; left > 0; --left) {
    const std::uint64_t visit_ms = walk.begun_ms + walk.visited * kAskRoundMs / places;
    if (visit_ms > walk.until_ms) {
      walk = {};
      return;
    }
    if (visit_ms > now_ms || state.questions.count + kWays > state.questions.all.size()) {
      return;
    }
    visit(state, walk.visited % places, generation, visit_ms);
    ++walk.visited;
  }
}

std::size_t build_question(std::span<std::byte> room,
                           const Question& question,
                           const MacAddress& to,
                           const MacAddress& from) {
  const FlowKey& key = question.key;
  const bool v4 = key.source.is_v4();
  store(room.data(),
        EthernetHeader{.destination = to, .source = from, .type = v4 ? kEtherIpv4 : kEtherIpv6});
  std::byte* const ip = room.data() + sizeof(EthernetHeader);
  put_answering_ip(ip, key, Protocol::kTcp, sizeof(TcpHeader));
  TcpHeader tcp{};
  tcp.source_port = key.destination_port;
  tcp.destination_port = key.source_port;
  tcp.sequence = Be32::from_host(question.number);
  tcp.acknowledgment = Be32::from_host(question.number);
  tcp.data_offset = 5 << 4;
  tcp.flags = kTcpAck;
  ChecksumSum sum = pseudo_header(key.destination, key.source, Protocol::kTcp, sizeof(TcpHeader));
  sum.add(std::as_bytes(std::span(&tcp, 1)));
  tcp.checksum = sum.checksum();
  store(ip + bare_ip_size(v4), tcp);
  return sizeof(EthernetHeader) + bare_ip_size(v4) + sizeof(TcpHeader);
}

}  // namespace holdfast::dataplane
