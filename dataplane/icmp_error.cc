// SPDX-License-Identifier: Apache-2.0
// The flow of an ICMP error, and its translation. Rare packets: no prefetching.
#include "dataplane/icmp_error.h"

#include "dataplane/checksum.h"
#include "dataplane/extension_headers.h"
#include "dataplane/flow_keys.h"
#include "dataplane/flow_life.h"
#include "dataplane/select.h"
#include "dataplane/worker_state.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>

namespace holdfast::dataplane {
namespace {

bool found(Burst& b, Slot i, MemberId member, std::uint32_t record) {
  b.known[i] = true;
  b.member[i] = member;
  b.record[i] = record;
  return true;
}

bool find_by_reply(
    Burst& b, Slot i, const Generation& generation, const WorkerState& state, Stamp now) {
  const NatTable& nat = state.tables.nat;
  const std::uint32_t index = find_reply(nat, generation, b.hash[i], b.key[i]);
  if (index == kNoRecord || expired(nat.record(index), generation, now)) {
    return false;
  }
  const NatRecord& record = nat.record(index);
  b.binding[i] = record.binding;
  return found(b, i, {record.member, record.epoch}, index);
}

bool find_translated(
    Burst& b, Slot i, const Generation& generation, const WorkerState& state, Stamp now) {
  const NatTable& nat = state.tables.nat;
  const std::uint32_t index = nat.forward().find(b.hash[i], [&](std::uint32_t candidate) {
    const NatRecord& record = nat.record(candidate);
    return record.binding == b.binding[i] && client_key_of(nat, candidate, generation) == b.key[i];
  });
  if (index == kNoRecord) {
    return false;
  }
  const NatRecord& record = nat.record(index);
  const MemberId member{record.member, record.epoch};
  return !expired(record, generation, now) && generation.member(member) != nullptr &&
         found(b, i, member, index);
}

template <typename Table>
bool find_in(Burst& b, Slot i, const Table& table, const Generation& generation, Stamp now) {
  const auto* entry = table.find(b.hash[i], b.key[i], b.binding[i]);
  if (entry == nullptr) {
    return false;
  }
  const MemberId member{entry->member, entry->epoch};
  return !expired(*entry, generation, now) && generation.member(member) != nullptr &&
         found(b, i, member, kNoRecord);
}

bool find_untranslated(
    Burst& b, Slot i, const Generation& generation, const WorkerState& state, Stamp now) {
  return state.tables.with_table(b.key[i].source.is_v4(), b.prefixed[i], [&](const auto& table) {
    return find_in(b, i, table, generation, now);
  });
}

// A flow that began under another mode of its service stands in the tables of that mode.
bool find_of_client(
    Burst& b, Slot i, const Generation& generation, const WorkerState& state, Stamp now) {
  return b.translated[i] ? find_translated(b, i, generation, state, now) ||
                               find_untranslated(b, i, generation, state, now)
                         : find_untranslated(b, i, generation, state, now) ||
                               find_translated(b, i, generation, state, now);
}

// What in the tables may have left a flow without an entry.
struct Lack {
  bool place = false;
  bool half_open = false;  // the share of half-open flows
  bool unproven = false;   // that of unproven ones
};

Lack lack_of(const Burst& b, Slot i, const WorkerTables& tables) {
  return tables.with_table(b.key[i].source.is_v4(), b.prefixed[i], [&](const auto& table) {
    return Lack{.place = !table.has_place(b.hash[i]),
                .half_open = b.is_tcp(i) && table.half_open_full(),
                .unproven = table.unproven_full()};
  });
}

// As select does with a packet in the middle of a flow that gets no entry: where its SYN found none
// either, the previous table, which that did not follow, is not followed.
Standing standing_of(const Burst& b, Slot i, const Lack& lack) {
  if (!b.is_tcp(i) || lack.half_open) {
    return Standing::kBegins;
  }
  return lack.place ? Standing::kNewTable : Standing::kMiddle;
}

bool place_untracked(
    Burst& b, Slot i, const Generation& generation, WorkerState& state, std::uint64_t now_ms) {
  const Lack lack = lack_of(b, i, state.tables);
  if (b.translated[i] || !(lack.place || lack.half_open || lack.unproven)) {
    return b.drop(i, Drop::kToPeer);
  }
  const std::optional<Choice> choice =
      choose_for_packet(b, i, standing_of(b, i, lack), generation, state, now_ms);
  if (!choice) {
    return b.drop(i, Drop::kNoBackend);
  }
  b.chosen_slot[i] = choice->slot;
  return found(b, i, choice->member, kNoRecord);
}

// RFC 792, RFC 1812 §5.2.7.1; RFC 4443 §3.1. That a packet is too big says that the way is there.
bool says_unreachable(const Burst& b, Slot i) {
  constexpr std::uint8_t kUnreachable = 3;
  constexpr std::uint8_t kTooBig = 4;  // a code
  constexpr std::uint8_t kUnreachable6 = 1;
  const auto header = load<IcmpHeader>(b.frame[i].data + b.l4_offset[i]);
  return b.key[i].destination.is_v4() ? header.type == kUnreachable && header.code != kTooBig
                                      : header.type == kUnreachable6;
}

// A flow that its ends no longer have in common.
bool is_over(const Burst& b, Slot i, const Generation& generation, const WorkerState& state) {
  if (b.record[i] != kNoRecord && given_up(state.tables.nat.record(b.record[i]))) {
    return true;
  }
  if (state.dispositions.get(b.member[i]) != Disposition::kReset) {
    return false;
  }
  const auto key = b.direction[i] == Direction::kToMember
                       ? std::optional(b.key[i])
                       : client_key_of(state.tables.nat, b.record[i], generation);
  return !key || key->protocol != Protocol::kTcp ||
         state.resets.has_turn(b.member[i], generation.hasher()(*key));
}

// False when the slot has a verdict.
bool find_flow(
    Burst& b, Slot i, const Generation& generation, WorkerState& state, std::uint64_t now_ms) {
  const Stamp now = stamp_of(now_ms);
  if (b.direction[i] == Direction::kToClient) {
    if (!find_by_reply(b, i, generation, state, now)) {
      return b.drop(i, Drop::kNoNatFlow);
    }
  } else if (!find_of_client(b, i, generation, state, now) &&
             !place_untracked(b, i, generation, state, now_ms)) {
    return false;
  }
  if (is_over(b, i, generation, state)) {
    return b.drop(i, Drop::kMemberReset);
  }
  if (b.direction[i] == Direction::kToClient && says_unreachable(b, i)) {
    note_refusal(state, b.member[i]);
  }
  const std::uint64_t source = generation.hasher().source(client_of(b, i, state.tables.nat));
  return state.icmp_errors.take(source, now_ms) || b.drop(i, Drop::kIcmpRateLimited);
}

void store_address(std::byte* at, const Address& address) {
  if (address.is_v4()) {
    store(at, address.v4_bits());
  } else {
    store(at, address.bytes);
  }
}

// Gives a quoted fragment the id that its sender gave it. Returns what changed.
template <typename Identification>
ChecksumSum restore_identification(std::byte* at,
                                   const FlowKey& from,
                                   const FlowKey& to,
                                   const FlowHasher& hasher) {
  const auto came = load<Identification>(at);
  const auto sent = changed_identification(came, to.source, from.source, hasher);
  store(at, sent);
  ChecksumSum changes;
  changes.replace(came, sent);
  return changes;
}

// Replaces the addresses of the quoted IP header. Returns what changed within the message.
ChecksumSum translate_quoted_header(std::byte* ip,
                                    const FlowKey& from,
                                    const FlowKey& to,
                                    const FlowHasher& hasher) {
  ChecksumSum changes;
  if (from.source.is_v4() && is_fragment(load<Be16>(ip + offsetof(Ipv4Header, fragment)))) {
    changes =
        restore_identification<Be16>(ip + offsetof(Ipv4Header, identification), from, to, hasher);
  } else if (!from.source.is_v4()) {
    if (std::byte* const at = parsing::find_identification(ip)) {
      changes = restore_identification<Be32>(at, from, to, hasher);
    }
  }
  changes.replace(from.source, to.source);
  changes.replace(from.destination, to.destination);
  if (from.source.is_v4()) {
    store_address(ip + offsetof(Ipv4Header, source), to.source);
    store_address(ip + offsetof(Ipv4Header, destination), to.destination);
    std::byte* const at = ip + offsetof(Ipv4Header, checksum);
    const auto before = load<Be16>(at);
    const Be16 after = update_checksum(before, changes);
    store(at, after);
    changes.replace(before, after);
  } else {
    store_address(ip + offsetof(Ipv6Header, source), to.source);
    store_address(ip + offsetof(Ipv6Header, destination), to.destination);
  }
  return changes;
}

// Replaces the ports, and the checksum if it is `within` the quote. Returns what changed.
ChecksumSum translate_quoted_upper(std::byte* upper,
                                   std::uint32_t within,
                                   const FlowKey& from,
                                   const FlowKey& to) {
  ChecksumSum ports;
  ports.replace(from.source_port, to.source_port);
  ports.replace(from.destination_port, to.destination_port);
  store(upper, to.source_port);
  store(upper + sizeof(Be16), to.destination_port);
  const bool tcp = from.protocol == Protocol::kTcp;
  const std::size_t offset = tcp ? offsetof(TcpHeader, checksum) : offsetof(UdpHeader, checksum);
  if (offset + sizeof(Be16) > within) {
    return ports;
  }
  ChecksumSum covered = ports;
  covered.replace(from.source, to.source);
  covered.replace(from.destination, to.destination);
  const auto before = load<Be16>(upper + offset);
  const Be16 after = tcp ? update_checksum(before, covered) : update_udp_checksum(before, covered);
  store(upper + offset, after);
  ports.replace(before, after);
  return ports;
}

FlowKey reversed(const FlowKey& key) {
  return {.source = key.destination,
          .destination = key.source,
          .source_port = key.destination_port,
          .destination_port = key.source_port,
          .protocol = key.protocol};
}

}  // namespace

Address error_source(const Burst& b, Slot i) {
  const std::byte* const ip = b.frame[i].data + b.l3_offset[i];
  return b.key[i].destination.is_v4() ? Address::v4(load<Be32>(ip + offsetof(Ipv4Header, source)))
                                      : Address::v6(ip + offsetof(Ipv6Header, source));
}

void find_error_flows(Burst& b,
                      const Generation& generation,
                      WorkerState& state,
                      std::uint64_t now_ms) {
  std::array<Slot, kBurstSize> back;
  std::size_t count = 0;
  for (const Slot i : std::span(b.aside).first(b.aside_count)) {
    if (find_flow(b, i, generation, state, now_ms)) {
      back[count++] = i;
    }
  }
  std::array<Slot, kBurstSize> all;
  const auto end =
      std::ranges::merge(b.live_slots(), std::span(back).first(count), all.begin()).out;
  std::copy(all.begin(), end, b.live.begin());
  b.live_count = static_cast<std::uint16_t>(end - all.begin());
}

void translate_quote(
    Burst& b, Slot i, const FlowKey& to, const ErrorEnds& ends, const FlowHasher& hasher) {
  std::byte* const data = b.frame[i].data;
  std::byte* const icmp = data + b.l4_offset[i];
  // The quoted packet went the other way.
  const FlowKey quoted = reversed(b.key[i]);
  const FlowKey sent = reversed(to);
  const std::uint32_t within =
      std::uint32_t{b.l3_offset[i]} + b.l3_length[i] - b.quoted_l4_offset[i];
  ChecksumSum changes = translate_quoted_header(icmp + sizeof(IcmpHeader), quoted, sent, hasher) +
                        translate_quoted_upper(data + b.quoted_l4_offset[i], within, quoted, sent);
  if (!quoted.source.is_v4()) {  // ICMPv6 covers a pseudo header (RFC 4443 §2.3)
    changes.replace(ends.before.source, ends.after.source);
    changes.replace(ends.before.destination, ends.after.destination);
  }
  std::byte* const checksum = icmp + offsetof(IcmpHeader, checksum);
  store(checksum, update_checksum(load<Be16>(checksum), changes));
}

}  // namespace holdfast::dataplane
