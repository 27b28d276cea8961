// SPDX-License-Identifier: Apache-2.0
// Translated flows (`nat`): one 64-byte record per flow and two indexes of {tag, record} to find it
// by the client's packet and by the member's reply. Beside each record there is room for the VIP
// that the client addressed, used only where the binding is a prefix's and does not tell it. One
// set per worker, written by that worker alone, in the shared state.
//
// A pool endpoint (address, port) is in use towards a member exactly while a record in the reply
// index says so; there is no other free map, hence nothing to rebuild after a restart and the same
// endpoint serves different members at once. Endpoints are walked in turn per member, so that one
// is used again as late as possible; a closed flow keeps its endpoint for the quarantine below.
#pragma once

#include "dataplane/address.h"
#include "dataplane/flow_table.h"
#include "dataplane/prefetch.h"
#include "dataplane/segment.h"
#include "dataplane/spec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace holdfast::dataplane {

// What one side of a TCP connection has shown so far.
enum class SideState : std::uint8_t { kIdle, kSyn, kOpen, kFin, kReset };

// Seconds for which a closed flow's endpoint is not used again. When the client closed first, the
// TIME_WAIT (RFC 9293 §3.3.2) is the client's and only stray segments matter; otherwise the member
// may hold it, 60 s on Linux.
inline constexpr std::uint16_t kQuarantineClientFirst = 2;
inline constexpr std::uint16_t kQuarantine = 60;

struct alignas(64) NatRecord {
  Address client;
  Address pool;
  Be16 client_port;
  Be16 service_port;  // as the client addressed it
  Be16 pool_port;
  std::uint16_t binding = 0;
  std::uint16_t member = 0;
  std::uint8_t epoch = 0;
  FlowState state = FlowState::kFree;
  SideState client_side = SideState::kIdle;
  SideState member_side = SideState::kIdle;
  Stamp stamp = 0;
  std::uint8_t client_closed_first = 0;  // 0 or 1, like the next two: read from a file
  // The client reuses its 5-tuple for a newer flow: found by replies only, until the quarantine
  // ends.
  std::uint8_t detached = 0;
  // The flow is over for certain: no longer counted as a flow, kept for the quarantine.
  std::uint8_t ended = 0;
  // Room for what later needs state per direction, so that the layout stays: SYN cookies and the
  // PROXY protocol shift sequence numbers, early endpoint reuse shifts timestamps. 0 now, but for
  // the first one of a half-open record: see awaited_from().
  std::array<std::int32_t, 2> sequence_delta{};
  std::array<std::uint8_t, 4> timestamp_offset{};
};
static_assert(sizeof(NatRecord) == 64);

// {tag, record} pairs in cache lines of eight, two choices, the near one first, one cuckoo step.
// The tag is a part of the hash: a hit is verified by the caller against the record.
class NatIndex {
 public:
  static constexpr std::size_t kWays = 8;
  struct Slot {
    std::uint32_t tag = 0;
    std::uint32_t record_plus_one = 0;  // 0: free
  };
  // Tags side by side, so that all are compared at once.
  struct alignas(64) Bucket {
    std::array<std::uint32_t, kWays> tag;
    std::array<std::uint32_t, kWays> record_plus_one;

    [[nodiscard]] Slot slot(std::size_t way) const { return {tag[way], record_plus_one[way]}; }
    void set(std::size_t way, Slot slot) {
      tag[way] = slot.tag;
      record_plus_one[way] = slot.record_plus_one;
    }
    // The ways with this tag, as bits; some may be free. Without a branch: which way it is nobody
    // can predict.
    [[nodiscard]] std::uint32_t ways_with(std::uint32_t of) const {
#ifdef __SSE2__
      const __m128i wanted = _mm_set1_epi32(static_cast<int>(of));
      const auto* const tags = reinterpret_cast<const __m128i*>(tag.data());
      const __m128i low = _mm_cmpeq_epi32(_mm_load_si128(tags), wanted);
      const __m128i high = _mm_cmpeq_epi32(_mm_load_si128(tags + 1), wanted);
      const __m128i bytes = _mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());
      return static_cast<std::uint32_t>(_mm_movemask_epi8(bytes));
#else
      std::uint32_t bits = 0;
      for (std::size_t way = 0; way < kWays; ++way) {
        bits |= static_cast<std::uint32_t>(tag[way] == of) << way;
      }
      return bits;
#endif
    }
  };
  static_assert(sizeof(Bucket) == 64);

  // Requires: buckets.size() is a power of two >= 2.
  explicit NatIndex(std::span<Bucket> buckets) : buckets_(buckets), mask_(buckets.size() - 1) {}

  static constexpr std::size_t buckets_for(std::uint64_t records) {
    std::size_t buckets = 2;
    while (buckets * kWays * 7 / 10 < records) {
      buckets *= 2;
    }
    return buckets;
  }

  // The bucket where a record stands as long as there is room in it, and the other one.
  void prefetch(std::uint64_t hash) const { dataplane::prefetch(&buckets_[first(hash)]); }
  void prefetch_far(std::uint64_t hash) const {
    dataplane::prefetch(&buckets_[second(hash, mask_)]);
  }

  // The first record with this hash's tag that `is_it(record)` accepts, or kNoRecord.
  template <typename IsIt>
  [[nodiscard]] std::uint32_t find(std::uint64_t hash, const IsIt& is_it) const {
    const std::uint32_t tag = tag_of(hash);
    if (const std::uint32_t near = find_in(buckets_[first(hash)], tag, is_it); near != kNoRecord)
        [[likely]] {
      return near;
    }
    return find_in(buckets_[second(hash, mask_)], tag, is_it);
  }

  // The record that find() looks at first in the near bucket, or in the far one, to be prefetched;
  // kNoRecord: none.
  [[nodiscard]] std::uint32_t near_candidate(std::uint64_t hash) const {
    return find_in(buckets_[first(hash)], tag_of(hash), [](std::uint32_t) { return true; });
  }
  [[nodiscard]] std::uint32_t far_candidate(std::uint64_t hash) const {
    return find_in(buckets_[second(hash, mask_)], tag_of(hash), [](std::uint32_t) { return true; });
  }

  // False when there is no room.
  bool insert(std::uint64_t hash, std::uint32_t record);
  // Takes the record out; nothing happens when it is not there.
  void erase(std::uint64_t hash, std::uint32_t record);
  void clear();

 private:
  [[nodiscard]] std::size_t first(std::uint64_t hash) const { return hash & mask_; }
  // The other bucket follows from the bucket and the tag alone, so that a resident can move without
  // its record (partial-key cuckoo hashing: Fan et al., CoNEXT'14).
  [[nodiscard]] static std::size_t second(std::uint64_t hash, std::size_t mask) {
    return other(hash & mask, tag_of(hash), mask);
  }
  static std::size_t other(std::size_t bucket, std::uint32_t tag, std::size_t mask) {
    return (bucket ^ (((tag * 0x9e3779b1U) | 1U) & mask)) & mask;
  }
  template <typename IsIt>
  static std::uint32_t find_in(const Bucket& bucket, std::uint32_t tag, const IsIt& is_it) {
    for (std::uint32_t ways = bucket.ways_with(tag); ways != 0; ways &= ways - 1) {
      const auto way = static_cast<std::size_t>(std::countr_zero(ways));
      const std::uint32_t record = bucket.record_plus_one[way];
      if (record != 0 && is_it(record - 1)) [[likely]] {
        return record - 1;
      }
    }
    return kNoRecord;
  }
  // A free way of a bucket; kWays: there is none.
  static std::size_t free_way(const Bucket& bucket) {
    return static_cast<std::size_t>(std::ranges::find(bucket.record_plus_one, 0U) -
                                    bucket.record_plus_one.begin());
  }
  static std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }
  bool displace(std::size_t bucket, Slot incoming);

  std::span<Bucket> buckets_;
  std::size_t mask_;
};

// A worker's block of pool ports, host order: [1024, 65536) in equal parts.
struct PortBlock {
  std::uint16_t first = 0;
  std::uint16_t count = 0;
};
PortBlock port_block(std::uint32_t worker, std::uint32_t workers);
// The worker whose block holds a pool port.
std::uint32_t worker_of_pool_port(Be16 port, std::uint32_t workers);

class NatTable {
 public:
  // Requires: buckets.size() of each index a power of two; as many `vips` as records.
  NatTable(std::span<NatRecord> records,
           std::span<Address> vips,
           std::span<NatIndex::Bucket> forward,
           std::span<NatIndex::Bucket> reply);

  [[nodiscard]] NatRecord& record(std::uint32_t index) { return records_[index]; }
  [[nodiscard]] const NatRecord& record(std::uint32_t index) const { return records_[index]; }
  void prefetch(std::uint32_t index) const { dataplane::prefetch(&records_[index]); }
  [[nodiscard]] NatIndex& forward() { return forward_; }
  [[nodiscard]] NatIndex& reply() { return reply_; }
  [[nodiscard]] const NatIndex& forward() const { return forward_; }
  [[nodiscard]] const NatIndex& reply() const { return reply_; }
  [[nodiscard]] std::span<NatRecord> records() const { return records_; }
  // The destination of a flow of a prefix of VIPs; of other flows it means nothing.
  [[nodiscard]] Address& vip(std::uint32_t index) { return vips_[index]; }
  [[nodiscard]] const Address& vip(std::uint32_t index) const { return vips_[index]; }

  // A free record, or kNoRecord. Its `state` stays kFree until the caller sets it.
  std::uint32_t take();
  // Gives a record back. Requires: it stands in neither index.
  void give(std::uint32_t index);
  // Records that have shown one side only, least recently used first: the ones that may give way.
  // A burst's frames name their records by index until they are rewritten, so that what begins or
  // is renewed in a burst does not give way in it.
  void begin_burst() { ++burst_; }
  void begin_half_open(std::uint32_t index);
  void renew_half_open(std::uint32_t index);
  void end_half_open(std::uint32_t index);
  // The one to give way; kNoRecord when there is none that this burst has not used.
  [[nodiscard]] std::uint32_t oldest_half_open() const;
  // Whether a record in use is one that may give way.
  [[nodiscard]] bool gives_way(std::uint32_t index) const {
    return records_[index].state == FlowState::kHalfOpen && half_open_links_[index].burst != burst_;
  }

  [[nodiscard]] std::size_t used() const { return records_.size() - free_count_; }
  [[nodiscard]] std::size_t half_open() const { return half_open_; }
  // Half-open records take at most a quarter, as in FlowTable.
  [[nodiscard]] bool half_open_full() const { return half_open() >= records_.size() / 4; }

  // Rebuilds the lists of free and of half-open records from the records themselves; after mapping
  // an old table. Of the half-open ones the last in place counts as used least recently.
  void rebuild_lists();

 private:
  std::span<NatRecord> records_;
  std::span<Address> vips_;
  NatIndex forward_;
  NatIndex reply_;
  std::uint32_t free_head_ = kNoRecord;  // list through `client` of free records
  std::size_t free_count_ = 0;

  struct Links {
    std::uint32_t older = kNoRecord;
    std::uint32_t newer = kNoRecord;
    std::uint32_t burst = 0;  // that used the record last
  };
  std::vector<Links> half_open_links_;  // by record; process memory, rebuilt after mapping
  std::uint32_t oldest_ = kNoRecord;
  std::uint32_t newest_ = kNoRecord;
  std::uint32_t burst_ = 0;
  std::size_t half_open_ = 0;
};

// Of a half-open record of TCP: the acknowledgments that are awaited of the other side, from the
// one of the SYN alone to the one of all that was sent with it and behind it. At first that is the
// client's SYN, which the member's answer acknowledges (RFC 9293 §3.10.7.3: SND.UNA < SEG.ACK =<
// SND.NXT); 0 to 0 when nothing is known of it, as in a record that an older process left. Once the
// member has sent a SYN it is that one, whose acknowledgment completes the handshake (§3.10.7.4).
// More than its SYN a side sends before the other's acknowledgment only with TCP Fast Open
// (RFC 7413), within the other's unscaled window or in one packet.
inline constexpr std::uint32_t kMostBeforeHandshake = 65'535;
inline std::uint32_t awaited_from(const NatRecord& record) {
  return static_cast<std::uint32_t>(record.sequence_delta[0]);
}
inline std::uint32_t awaited_to(const NatRecord& record) {
  return static_cast<std::uint32_t>(record.sequence_delta[1]);
}

// A new record of TCP, after the SYN that it began with.
void begin_handshake(NatRecord& record, const Segment& syn);

// True for a member's SYN-ACK or RST-ACK that answers another SYN than the record's client sent:
// that of the one who had the endpoint before. It is not for this client, and says nothing of this
// flow. Only the first answer is judged: who has answered the client knows the other no more.
bool answers_another(const NatRecord& record, const Segment& segment);

// The state of a half-open TCP record after a segment of one side. A SYN of the client with another
// number is another attempt, as long as the member has not answered. The client completes the
// handshake by an acknowledgment of the member's SYN, and by nothing else: who cannot see what the
// member sends makes no flow that stands, nor one that is closing. A FIN or a reset of the client
// alone changes nothing, for the record's life is short as it is; the member's reset shortens it.
// Requires: record.state is kHalfOpen.
void advance_handshake(NatRecord& record, bool from_client, const Segment& segment);

// Whether a segment of that side without SYN, FIN and RST leaves an established record as it is, as
// advance_tcp() would.
inline bool is_steady(const NatRecord& record, bool from_client) {
  return record.state == FlowState::kEstablished &&
         (from_client ? record.client_side : record.member_side) == SideState::kOpen &&
         (from_client ? record.member_side : record.client_side) <= SideState::kOpen;
}

// The TCP state after a packet from one side, once the handshake is complete: updates both sides
// and `state`. A new SYN of the client takes back that it has closed. Source: RFC 9293 §3.3.2, as
// far as it can be seen from between. Requires: record.state is not kHalfOpen.
void advance_tcp(NatRecord& record, bool from_client, std::uint8_t tcp_flags);

// True once the member has closed or reset. What the client's side shows may be anybody's, since
// its numbers are not judged here but by the member (RFC 5961): so only the member's word ends a
// flow before its timeout, or lets a SYN on the same 5-tuple begin another one.
bool member_is_over(const NatRecord& record);

// True once both sides have closed, or the member has reset.
bool closed(const NatRecord& record);

// True once both sides have closed in order. A reset may be wrong and ignored by both (no sequence
// numbers are known here): it shortens the record's life, and traffic of its side takes it back.
bool finished(const NatRecord& record);

// Whether advance_handshake() can have left the record so; of UDP it is never asked. For records
// from a file. Requires: both sides are one of SideState.
bool plausible_handshake(const NatRecord& record, Protocol protocol);

// True for a flow that was ended from here (give_up_nat_flow). Its state changes no more.
inline bool given_up(const NatRecord& record) {
  return record.detached && record.client_side == SideState::kReset &&
         record.member_side == SideState::kReset;
}

// How long a record lives without traffic, in seconds: the service's timeouts while the flow lives,
// the quarantine once it is closed. A flow that the client alone has closed or reset lives for the
// service's `closing`: not for the quarantine, since anybody may have sent that; nor on as an
// established one, since a member does not answer a reset, and each client that ends its
// connections by one would leave an endpoint in use for hours.
std::uint16_t lifetime_of(const NatRecord& record, const TimeoutSpec& timeouts);

}  // namespace holdfast::dataplane
