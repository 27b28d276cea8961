// SPDX-License-Identifier: Apache-2.0
// Opening translated flows.
#include "dataplane/nat_open.h"

#include "dataplane/flow_keys.h"
#include "dataplane/flow_life.h"
#include "dataplane/receive_spread.h"
#include "dataplane/rewrite.h"
#include "dataplane/segment.h"

#include <algorithm>
#include <optional>

namespace holdfast::dataplane {
namespace {

// The half-open record that was used least recently gives way.
bool recycle(WorkerState& state, const Generation& generation) {
  const std::uint32_t oldest = state.tables.nat.oldest_half_open();
  if (oldest == kNoRecord) {
    return false;
  }
  end_nat_flow(state, generation, oldest);
  return true;
}

std::uint32_t take_record(WorkerState& state, const Generation& generation, Stamp now) {
  NatTable& nat = state.tables.nat;
  if (nat.half_open_full() && !recycle(state, generation)) {
    return kNoRecord;
  }
  const std::uint32_t index = nat.take();
  if (index != kNoRecord) {
    return index;
  }
  return reclaim_nat_record(state, generation, now) || recycle(state, generation) ? nat.take()
                                                                                  : kNoRecord;
}

// The worker's endpoints towards a member, in the order in which they are tried: addresses first,
// so that neighbouring flows differ in their address.
struct Endpoints {
  std::span<const Address> addresses;
  PortBlock block;

  [[nodiscard]] std::uint32_t count() const {
    return static_cast<std::uint32_t>(addresses.size()) * block.count;
  }
  // One of them, by its number and what that stands for.
  struct Place {
    std::uint32_t index = 0;
    std::uint32_t address = 0;
    std::uint32_t port = 0;
  };
  [[nodiscard]] Place at(std::uint32_t index) const {
    const auto addresses_count = static_cast<std::uint32_t>(addresses.size());
    return {.index = index,
            .address = index % addresses_count,
            .port = block.first + index / addresses_count};
  }
  // The next one, of the last one the first.
  [[nodiscard]] Place behind(Place place) const {
    if (++place.index == count()) {
      return at(0);
    }
    if (++place.address == addresses.size()) {
      place.address = 0;
      ++place.port;
    }
    return place;
  }
  [[nodiscard]] const Address& address(const Place& place) const {
    return addresses[place.address];
  }
  [[nodiscard]] static Be16 port(const Place& place) {
    return Be16::from_host(static_cast<std::uint16_t>(place.port));
  }
  void fill(const Place& place, FlowKey& reply) const {
    reply.destination = address(place);
    reply.destination_port = port(place);
  }
};

// An endpoint towards a member, the hash of its replies, and the half-open or expired record that
// holds it still; kNoRecord for a free one. Not as the replies' key: that is written in small
// parts, and each copy would wait for them.
struct PoolEndpoint {
  std::uint64_t reply_hash = 0;
  Endpoints::Place place;
  std::uint32_t gives_way = kNoRecord;
};

// Whom an endpoint is wanted towards, and for what.
struct Towards {
  MemberId member;
  const Address& address;
  Be16 port;
  Protocol protocol;
};

enum class Wanted : std::uint8_t { kFree, kFreeOrHalfOpen };

// A walk over the endpoints towards one member, from where the last one ended, so that an endpoint
// is used again as late as possible.
class EndpointWalk {
 public:
  EndpointWalk(WorkerState& state,
               const Generation& generation,
               const Towards& towards,
               const Endpoints& endpoints,
               Stamp now)
      : nat_(state.tables.nat),
        spread_(state.spread),
        worker_(state.worker),
        generation_(generation),
        endpoints_(endpoints),
        cursor_(state.pool_cursor[towards.member.index]),
        now_(now) {
    reply_.source = towards.address;
    reply_.source_port = towards.port;
    reply_.protocol = towards.protocol;
  }

  // The next endpoint that is as wanted; failing that, of those that were tried, the first one that
  // a record can give up. As they are given out in turn, long-lived flows stand in
  // blocks: a block is passed by jumps, each about four times as far as the one before, the last
  // ones to anywhere. Jumps are keyed, so that nobody can place flows where they lead. When they
  // lead nowhere, the next walk goes on behind the row: no endpoint stays untried for good.
  std::optional<PoolEndpoint> next(Wanted wanted) {
    const std::uint32_t count = endpoints_.count();
    if (count == 0) {
      return std::nullopt;
    }
    cursor_ = cursor_ < count ? cursor_ : 0;  // the pool may have become smaller
    if (spread_ != nullptr && spread_->covers(reply_) && try_suited()) {
      return found_;
    }
    if (try_in_a_row(cursor_, std::min(kTriesInARow, count), wanted)) {
      prefetch_next();
      return found_;
    }
    std::uint32_t place = cursor_;
    std::uint64_t reach = kTriesInARow;
    for (std::uint32_t jump = 0; jump < kJumps; ++jump) {
      reach = std::min<std::uint64_t>(reach * 4, count);
      place = static_cast<std::uint32_t>((place + generation_.hasher()(reply_) % reach) % count);
      if (try_in_a_row(place, std::min(kTriesPerJump, count), wanted)) {
        cursor_ = place;
        return found_;
      }
    }
    return found_;
  }

 private:
  // Whether the flow's endpoint may be another's from now on: of one that is over before the sweep
  // comes by, as afterwards. An answer of UDP does not say what it answers: one that is still on
  // its way would go to the other.
  [[nodiscard]] bool gives_up(std::uint32_t user) const {
    const NatRecord& record = nat_.record(user);
    return expired(record, generation_, now_) ||
           (nat_.gives_way(user) &&
            (reply_.protocol != Protocol::kUdp || age_of(record.stamp, now_) > kSecondsToAnswer));
  }
  // For the member's next flow, which looks there first: two misses for each new flow otherwise.
  void prefetch_next() {
    endpoints_.fill(endpoints_.at(cursor_), reply_);
    const std::uint64_t hash = generation_.hasher()(reply_);
    nat_.reply().prefetch(hash);
    nat_.reply().prefetch_far(hash);
  }
  // Moves the cursor behind the next free endpoint whose replies come by this worker's queue;
  // false, and nothing has changed, when none is near.
  bool try_suited() {
    const std::uint8_t source = spread_->of_source(reply_);
    Endpoints::Place place = endpoints_.at(cursor_);
    for (std::uint32_t tries = kSuitedPerWorker * spread_->workers(); tries > 0; --tries) {
      const Endpoints::Place tried = place;
      place = endpoints_.behind(place);
      if (spread_->worker_of(source, endpoints_.address(tried), Endpoints::port(tried)) !=
          worker_) {
        continue;
      }
      endpoints_.fill(tried, reply_);
      const std::uint64_t hash = generation_.hasher()(reply_);
      if (find_reply(nat_, generation_, hash, reply_) == kNoRecord) {
        found_ = {.reply_hash = hash, .place = tried, .gives_way = kNoRecord};
        cursor_ = place.index;
        return true;
      }
    }
    return false;
  }
  // Moves `index` behind the next endpoint that is as wanted; true when found_ is that.
  bool try_in_a_row(std::uint32_t& index, std::uint32_t tries, Wanted wanted) {
    for (Endpoints::Place place = endpoints_.at(index); tries > 0; --tries) {
      const Endpoints::Place tried = place;
      endpoints_.fill(tried, reply_);
      place = endpoints_.behind(tried);
      index = place.index;
      const std::uint64_t hash = generation_.hasher()(reply_);
      const std::uint32_t user = find_reply(nat_, generation_, hash, reply_);
      if (user == kNoRecord) [[likely]] {
        found_ = {.reply_hash = hash, .place = tried, .gives_way = kNoRecord};
        return true;
      }
      if (!found_ && gives_up(user)) {
        found_ = {.reply_hash = hash, .place = tried, .gives_way = user};
        if (wanted == Wanted::kFreeOrHalfOpen) {
          return true;
        }
      }
    }
    return false;
  }

  const NatTable& nat_;
  const ReceiveSpread* spread_;
  std::uint32_t worker_;
  const Generation& generation_;
  const Endpoints& endpoints_;
  std::uint32_t& cursor_;
  FlowKey reply_;
  Stamp now_;
  std::optional<PoolEndpoint> found_;
};

// An endpoint, free from now on. A flood towards a member uses up what its own half-open flows
// hold, before others of that member go without.
std::optional<PoolEndpoint> take_endpoint(WorkerState& state,
                                          const Generation& generation,
                                          const Towards& towards,
                                          const Endpoints& endpoints,
                                          std::uint64_t now_ms) {
  using Found = PoolShortage::Found;
  // A generation may come with another pool within the same millisecond.
  const std::uint64_t whom = std::uint64_t{towards.member.index} |
                             std::uint64_t{towards.member.epoch} << 16 |
                             std::uint64_t{towards.port.wire()} << 24 |
                             std::uint64_t{static_cast<std::uint8_t>(towards.protocol)} << 40;
  const std::uint64_t name = generation.hasher().words(whom, generation.number());
  const Found last = state.pool_shortage.last(name, now_ms);
  if (last == Found::kNothing) [[unlikely]] {
    return std::nullopt;
  }
  const auto endpoint =
      EndpointWalk(state, generation, towards, endpoints, stamp_of(now_ms))
          .next(last == Found::kOnlyHalfOpen ? Wanted::kFreeOrHalfOpen : Wanted::kFree);
  if (!endpoint) [[unlikely]] {
    state.pool_shortage.note(name, Found::kNothing, now_ms);
    return std::nullopt;
  }
  if (endpoint->gives_way != kNoRecord) [[unlikely]] {
    state.pool_shortage.note(name, Found::kOnlyHalfOpen, now_ms);
    end_nat_flow(state, generation, endpoint->gives_way);
  }
  return endpoint;
}

// Puts a filled record into both indexes.
bool enter(NatTable& nat, std::uint32_t index, std::uint64_t forward, std::uint64_t reply) {
  if (!nat.reply().insert(reply, index)) {
    return false;
  }
  if (!nat.forward().insert(forward, index)) {
    nat.reply().erase(reply, index);
    return false;
  }
  return true;
}

void fill_record(NatRecord& record, const Burst& b, Slot i, Stamp now) {
  const FlowKey& key = b.key[i];
  record.client = key.source;
  record.client_port = key.source_port;
  record.service_port = key.destination_port;
  record.binding = b.binding[i];
  record.member = b.member[i].index;
  record.epoch = b.member[i].epoch;
  record.state = FlowState::kHalfOpen;
  record.stamp = now;
  if (key.protocol == Protocol::kTcp) {
    begin_handshake(record, segment_of(b, i));
  }
}

}  // namespace

bool open_nat_flow(
    Burst& b, Slot i, const Generation& generation, WorkerState& state, std::uint64_t now_ms) {
  if (ttl_of(b, i) <= 1) {
    return b.drop(i, Drop::kTtlExpired);  // before it costs another flow its record
  }
  NatTable& nat = state.tables.nat;
  const FlowKey& key = b.key[i];
  const MemberForward& member = *generation.member(b.member[i]);
  const Endpoints endpoints{.addresses = generation.pool_addresses(member.address.is_v4()),
                            .block = port_block(state.worker, state.workers)};
  const std::optional<PoolEndpoint> endpoint =
      take_endpoint(state,
                    generation,
                    {.member = b.member[i],
                     .address = member.address,
                     .port = member_port_of(member, key.destination_port),
                     .protocol = key.protocol},
                    endpoints,
                    now_ms);
  if (!endpoint) {
    return b.drop(i, Drop::kNatPoolExhausted);
  }
  const std::uint32_t index = take_record(state, generation, stamp_of(now_ms));
  if (index == kNoRecord) {
    return b.drop(i, Drop::kNatTableFull);
  }
  if (!enter(nat, index, b.hash[i], endpoint->reply_hash)) {
    nat.give(index);
    return b.drop(i, Drop::kNatTableFull);
  }
  NatRecord& record = nat.record(index);
  fill_record(record, b, i, stamp_of(now_ms));
  record.pool = endpoints.address(endpoint->place);
  record.pool_port = endpoints.port(endpoint->place);
  if (b.prefixed[i]) [[unlikely]] {
    nat.vip(index) = key.destination;
  }
  nat.begin_half_open(index);
  b.record[i] = index;
  count_begin(state, b.member[i], b.binding[i], now_ms);
  ++state.binding_records[b.binding[i]];
  return true;
}

}  // namespace holdfast::dataplane
