// SPDX-License-Identifier: Apache-2.0
// NAT records, their indexes, TCP state as seen from between, and port blocks.
#include "dataplane/nat_table.h"

#include <algorithm>
#include <cstring>

namespace holdfast::dataplane {
namespace {

constexpr std::uint32_t kFirstPoolPort = 1024;
constexpr std::uint32_t kPoolPorts = 65536 - kFirstPoolPort;

std::uint32_t next_free(const NatRecord& record) {
  std::uint32_t next = 0;
  std::memcpy(&next, record.client.bytes.data(), sizeof(next));
  return next;
}

void set_next_free(NatRecord& record, std::uint32_t next) {
  std::memcpy(record.client.bytes.data(), &next, sizeof(next));
}

bool over(SideState side) { return side == SideState::kFin || side == SideState::kReset; }

void await(NatRecord& record, std::uint32_t from, std::uint32_t to) {
  record.sequence_delta = {static_cast<std::int32_t>(from), static_cast<std::int32_t>(to)};
}

bool completes_handshake(const NatRecord& record, const Segment& segment) {
  const std::uint32_t most = awaited_to(record) - awaited_from(record);
  return (segment.flags & (kTcpAck | kTcpRst)) == kTcpAck &&
         record.member_side == SideState::kSyn &&
         segment.acknowledgment - awaited_from(record) <= most;
}

bool knows_what_it_awaits(const NatRecord& record) {
  return record.sequence_delta != std::array<std::int32_t, 2>{};
}

// Of a SYN that comes again without its data the numbers stay; one with another number is of
// another attempt, whose answer alone counts.
void follow_client_syn(NatRecord& record, const Segment& syn) {
  const std::uint32_t first = syn.sequence + 1;
  const std::uint32_t data = syn.first_fragment ? kMostBeforeHandshake : syn.length - 1;
  const bool again = knows_what_it_awaits(record) && awaited_from(record) == first;
  if (!again || data > awaited_to(record) - first) {
    await(record, first, first + data);
  }
}

// Of a SYN that comes again the numbers stay; one with another number is of another attempt, whose
// acknowledgment alone counts.
void follow_member(NatRecord& record, const Segment& segment) {
  const std::uint32_t first = segment.sequence + 1;
  if ((segment.flags & kTcpSyn) != 0 &&
      (record.member_side != SideState::kSyn || awaited_from(record) != first)) {
    record.member_side = SideState::kSyn;
    await(record, first, first);
  }
  if (record.member_side == SideState::kSyn) {
    const std::uint32_t from = awaited_from(record);
    const std::uint32_t sent = segment.sequence + segment.length - from;
    if (sent <= kMostBeforeHandshake && sent > awaited_to(record) - from) {
      await(record, from, from + sent);
    }
  }
}

}  // namespace

bool NatIndex::insert(std::uint64_t hash, std::uint32_t record) {
  const Slot incoming{.tag = tag_of(hash), .record_plus_one = record + 1};
  const std::array<std::size_t, 2> choice = {first(hash), second(hash, mask_)};
  for (const std::size_t bucket : choice) {
    if (const std::size_t way = free_way(buckets_[bucket]); way != kWays) {
      buckets_[bucket].set(way, incoming);
      return true;
    }
  }
  return displace(choice[0], incoming) || displace(choice[1], incoming);
}

bool NatIndex::displace(std::size_t bucket, Slot incoming) {
  for (std::size_t way = 0; way < kWays; ++way) {
    const Slot resident = buckets_[bucket].slot(way);
    Bucket& elsewhere = buckets_[other(bucket, resident.tag, mask_)];
    if (const std::size_t place = free_way(elsewhere); place != kWays) {
      elsewhere.set(place, resident);
      buckets_[bucket].set(way, incoming);
      return true;
    }
  }
  return false;
}

void NatIndex::erase(std::uint64_t hash, std::uint32_t record) {
  for (const std::size_t bucket : {first(hash), second(hash, mask_)}) {
    for (std::size_t way = 0; way < kWays; ++way) {
      if (buckets_[bucket].record_plus_one[way] == record + 1) {
        buckets_[bucket].set(way, Slot{});
        return;
      }
    }
  }
}

void NatIndex::clear() { std::ranges::fill(buckets_, Bucket{}); }

PortBlock port_block(std::uint32_t worker, std::uint32_t workers) {
  const std::uint32_t count = kPoolPorts / workers;
  return {.first = static_cast<std::uint16_t>(kFirstPoolPort + worker * count),
          .count = static_cast<std::uint16_t>(count)};
}

std::uint32_t worker_of_pool_port(Be16 port, std::uint32_t workers) {
  const std::uint32_t host = port.to_host();
  const std::uint32_t block = kPoolPorts / workers;
  return host < kFirstPoolPort ? 0 : std::min((host - kFirstPoolPort) / block, workers - 1);
}

NatTable::NatTable(std::span<NatRecord> records,
                   std::span<Address> vips,
                   std::span<NatIndex::Bucket> forward,
                   std::span<NatIndex::Bucket> reply)
    : records_(records),
      vips_(vips),
      forward_(forward),
      reply_(reply),
      half_open_links_(records.size()) {
  rebuild_lists();
}

std::uint32_t NatTable::take() {
  const std::uint32_t index = free_head_;
  if (index != kNoRecord) {
    free_head_ = next_free(records_[index]);
    records_[index] = NatRecord{};
    --free_count_;
    if (free_head_ != kNoRecord) {
      prefetch(free_head_);  // a flow later
      dataplane::prefetch(&half_open_links_[free_head_]);
    }
  }
  return index;
}

void NatTable::give(std::uint32_t index) {
  NatRecord& record = records_[index];
  if (record.state == FlowState::kHalfOpen) {
    end_half_open(index);
  }
  record = NatRecord{};
  set_next_free(record, free_head_);
  free_head_ = index;
  ++free_count_;
}

void NatTable::begin_half_open(std::uint32_t index) {
  half_open_links_[index] = {.older = newest_, .newer = kNoRecord, .burst = burst_};
  (newest_ == kNoRecord ? oldest_ : half_open_links_[newest_].newer) = index;
  newest_ = index;
  ++half_open_;
}

void NatTable::renew_half_open(std::uint32_t index) {
  end_half_open(index);
  begin_half_open(index);
}

// What this burst used stands at the newest end: when the oldest is such a one, all are.
std::uint32_t NatTable::oldest_half_open() const {
  return oldest_ != kNoRecord && half_open_links_[oldest_].burst != burst_ ? oldest_ : kNoRecord;
}

void NatTable::end_half_open(std::uint32_t index) {
  const Links links = half_open_links_[index];
  (links.older == kNoRecord ? oldest_ : half_open_links_[links.older].newer) = links.newer;
  (links.newer == kNoRecord ? newest_ : half_open_links_[links.newer].older) = links.older;
  --half_open_;
}

void NatTable::rebuild_lists() {
  free_head_ = kNoRecord;
  free_count_ = 0;
  oldest_ = kNoRecord;
  newest_ = kNoRecord;
  half_open_ = 0;
  for (std::size_t i = records_.size(); i-- > 0;) {
    const auto index = static_cast<std::uint32_t>(i);
    if (records_[i].state == FlowState::kHalfOpen) {
      begin_half_open(index);
    } else if (records_[i].state == FlowState::kFree) {
      set_next_free(records_[i], free_head_);
      free_head_ = index;
      ++free_count_;
    }
  }
}

void begin_handshake(NatRecord& record, const Segment& syn) {
  record.client_side = SideState::kSyn;
  follow_client_syn(record, syn);
}

bool answers_another(const NatRecord& record, const Segment& segment) {
  const bool answers = (segment.flags & kTcpAck) != 0 && (segment.flags & (kTcpSyn | kTcpRst)) != 0;
  return answers && record.state == FlowState::kHalfOpen &&
         record.member_side == SideState::kIdle && knows_what_it_awaits(record) &&
         segment.acknowledgment - awaited_from(record) > awaited_to(record) - awaited_from(record);
}

void advance_handshake(NatRecord& record, bool from_client, const Segment& segment) {
  if (!from_client) {
    if ((segment.flags & kTcpRst) != 0) {
      record.member_side = SideState::kReset;
      await(record, 0, 0);
    } else {
      follow_member(record, segment);
    }
  } else if (completes_handshake(record, segment)) {
    await(record, 0, 0);
    record.state = FlowState::kEstablished;
    record.member_side = SideState::kOpen;
    record.client_side = SideState::kOpen;
    advance_tcp(record, from_client, segment.flags);
  } else if ((segment.flags & (kTcpSyn | kTcpAck)) == kTcpSyn &&
             record.member_side == SideState::kIdle) {
    follow_client_syn(record, segment);
  }
}

bool plausible_handshake(const NatRecord& record, Protocol protocol) {
  const bool half_open_tcp = record.state == FlowState::kHalfOpen && protocol == Protocol::kTcp;
  if (half_open_tcp &&
      (record.client_side != SideState::kSyn || record.member_side == SideState::kOpen ||
       record.member_side == SideState::kFin)) {
    return false;
  }
  return half_open_tcp && record.member_side != SideState::kReset
             ? awaited_to(record) - awaited_from(record) <= kMostBeforeHandshake
             : record.sequence_delta == std::array<std::int32_t, 2>{};
}

void advance_tcp(NatRecord& record, bool from_client, std::uint8_t tcp_flags) {
  SideState& side = from_client ? record.client_side : record.member_side;
  const SideState other = from_client ? record.member_side : record.client_side;
  if ((tcp_flags & kTcpRst) != 0) {
    if (!over(side) && !over(other)) {
      record.client_closed_first = from_client;
    }
    side = SideState::kReset;
  } else if ((tcp_flags & kTcpFin) != 0) {
    if (!over(side) && !over(other)) {
      record.client_closed_first = from_client;
    }
    side = SideState::kFin;
  } else if ((tcp_flags & kTcpSyn) != 0) {
    // A client that comes again with its old 5-tuple: what it has closed is behind it.
    const bool again = from_client && over(side) && (tcp_flags & kTcpAck) == 0;
    side = again ? SideState::kSyn : side;
  } else if (side != SideState::kFin) {
    side = SideState::kOpen;  // also after a reset: who goes on sending has not sent it
  }
  if (over(record.client_side) || over(record.member_side)) {
    record.state = FlowState::kClosing;
  } else if (record.client_side == SideState::kOpen) {
    record.state = FlowState::kEstablished;
  }
}

bool member_is_over(const NatRecord& record) { return over(record.member_side); }

bool closed(const NatRecord& record) {
  return record.member_side == SideState::kReset ||
         (over(record.client_side) && over(record.member_side));
}

bool finished(const NatRecord& record) {
  return record.client_side == SideState::kFin && record.member_side == SideState::kFin;
}

std::uint16_t lifetime_of(const NatRecord& record, const TimeoutSpec& timeouts) {
  if (!closed(record)) {
    return timeout_of(record.state, timeouts);
  }
  // A reset leaves no TIME_WAIT on either side (RFC 9293 §3.10.7.4).
  const bool reset =
      record.client_side == SideState::kReset || record.member_side == SideState::kReset;
  return reset || record.client_closed_first ? kQuarantineClientFirst : kQuarantine;
}

}  // namespace holdfast::dataplane
