// SPDX-License-Identifier: Apache-2.0
// The stages for new flows, and what leaves: select, rewrite, accounting.
#include "tests/support/model/model_burst.h"
#include "tests/support/model/quoting.h"
#include "tests/support/model/wrapping.h"

#include <algorithm>

namespace holdfast::testing {
namespace {

using dataplane::HashFields;

constexpr std::size_t kMostHearsay = 8;
constexpr std::size_t kMostRecent = 64;

Be16 wire(std::uint16_t port) { return Be16::from_host(port); }

}  // namespace

void BurstRun::select(Travelling& t) {
  if (t.known || t.error) {
    return;
  }
  // An earlier frame of the burst may have opened the flow.
  if (!t.to_client) {
    track(t);
  }
  if (!t.pending() || t.known) {
    return;
  }
  if (m_.is_ours(t.packet.source)) {
    return t.drop(Drop::kVipSource);
  }
  if (translates(t) && t.packet.later()) {
    return t.drop(Drop::kNoFlow);
  }
  if (translates(t) && t.packet.tcp() && !t.packet.begins()) {
    return answer_with_reset(t, Drop::kNoFlow);
  }
  translates(t) ? open_translation(t) : open_entry(t);
}

dataplane::FlowKey BurstRun::key_of(const Travelling& t) {
  return {.source = t.packet.source,
          .destination = t.packet.destination,
          .source_port = wire(t.packet.source_port),
          .destination_port = wire(t.packet.destination_port),
          .protocol = Protocol{t.packet.protocol}};
}

// Fields that have no part are 0. With affinity the source's prefix decides, whatever the fields.
std::uint64_t BurstRun::hash_of(const Travelling& t) const {
  dataplane::FlowKey key = key_of(t);
  const HashFields fields = has_affinity(t) ? HashFields::kSource : service(t).hash;
  if (fields == HashFields::kFiveTuple) {
    return m_.hasher_(key);
  }
  const Address zero = t.packet.v4 ? v4(0, 0, 0, 0) : Address{};
  key.destination = zero;
  key.protocol = Protocol{0};  // NOLINT(clang-analyzer-optin.core.EnumCastOutOfRange): none
  key.source_port = {};
  if (fields == HashFields::kSource) {
    key.destination_port = {};
  }
  if (fields == HashFields::kDestinationPort) {
    key.source = zero;
  }
  if (has_affinity(t)) {
    key.source = source_name(service(t), t.packet.source).prefix;
  }
  return m_.hasher_(key);
}

std::optional<MemberIndex> BurstRun::newly_chosen(const Travelling& t) const {
  return choose_new(tiers(t), t.packet.v4, hash_of(t), m_.hasher_, [&](MemberIndex member) {
    return m_.members_[member].disposition == Disposition::kNew;
  });
}

bool BurstRun::keeps_flows(MemberIndex member) const {
  const Disposition disposition = m_.members_[member].disposition;
  return disposition == Disposition::kNew || disposition == Disposition::kKeep;
}

bool BurstRun::half_open_full(const Travelling& t) {
  const Width width = m_.width_of(t.name());
  return m_.half_open(width) >= m_.capacity(width) / 4;
}

bool BurstRun::unproven_full(const Travelling& t) {
  const Width width = m_.width_of(t.name());
  return m_.unproven(width) >= m_.capacity(width) / 4;
}

bool BurstRun::has_share(const Travelling& t, FlowState state) {
  return state == FlowState::kHalfOpen ? !half_open_full(t) : !unproven_full(t);
}

// Where the former table would have a packet in the middle of a flow go, if it disagrees.
std::optional<MemberIndex> BurstRun::formerly_chosen(const Travelling& t, MemberIndex own) const {
  const auto former = m_.former_.find(service(t).name);
  if (former == m_.former_.end() || now_ms_ >= former->second.until_ms) {
    return std::nullopt;
  }
  const Tier* table = first_tier(former->second.tiers, t.packet.v4);
  if (table == nullptr) {
    return std::nullopt;
  }
  const MemberIndex member = table->slots[slot_of(hash_of(t), table->slots.size())];
  if (member == own || !keeps_flows(member)) {
    return std::nullopt;
  }
  return member;
}

std::optional<MemberIndex> BurstRun::home(const Travelling& t) const {
  const auto former = m_.former_.find(service(t).name);
  const bool followed = former != m_.former_.end() && now_ms_ < former->second.until_ms;
  const Tier* before = followed ? first_tier(former->second.tiers, t.packet.v4) : nullptr;
  const Tier* table = before != nullptr ? before : first_tier(tiers(t), t.packet.v4);
  return table == nullptr ? std::nullopt
                          : std::optional(table->slots[slot_of(hash_of(t), table->slots.size())]);
}

// A flow that goes on elsewhere than it was, or, where nobody knew it, than it began.
void BurstRun::count_move(const Travelling& t, bool in_the_middle) {
  if (t.left) {
    const auto& [before, why] = *t.left;
    const bool moved = before != t.member;
    m_.members_[before].moves.moved.at(static_cast<std::size_t>(why)) += moved ? 1 : 0;
  } else if (in_the_middle && home(t) != t.member) {
    ++m_.members_[t.member].moves.untracked;
  }
}

BurstRun::Choice BurstRun::choose(const Travelling& t) {
  if (const auto member = remembered(t)) {
    ++m_.counts_.affinity_hits;
    return {.member = member};
  }
  const Tier* table = first_tier(tiers(t), t.packet.v4);
  if (table == nullptr) {
    return {};
  }
  const bool in_the_middle = t.packet.tcp() && !t.packet.syn() && !half_open_full(t);
  return in_the_middle ? choose_in_the_middle(t) : Choice{.member = newly_chosen(t)};
}

BurstRun::Choice BurstRun::choose_in_the_middle(const Travelling& t) const {
  const Tier* table = first_tier(tiers(t), t.packet.v4);
  if (table == nullptr) {
    return {};
  }
  const MemberIndex own = table->slots[slot_of(hash_of(t), table->slots.size())];
  if (const auto member = formerly_chosen(t, own)) {
    // One of another mode would not know what to do with it.
    const bool fits = m_.members_[*member].mode == service(t).mode;
    return {.member = fits ? member : newly_chosen(t), .former = fits, .in_the_middle = true};
  }
  return {.member = keeps_flows(own) ? own : newly_chosen(t), .in_the_middle = true};
}

bool BurstRun::table_full(const Travelling& t) const { return m_.is_full(m_.width_of(t.name())); }

void BurstRun::open_entry(Travelling& t) {
  Choice choice = choose(t);
  if (!choice.member) {
    return t.drop(Drop::kNoBackend);
  }
  if (t.packet.later()) {  // as its first one without an entry: by the table in force
    const auto member = choice.former ? newly_chosen(t) : choice.member;
    if (!member) {
      return t.drop(Drop::kNoBackend);
    }
    t.member = *member;
    return count_move(t, false);
  }
  const FlowState state = first_state(t.packet);
  const bool tracked = has_share(t, state) && make_room_in(m_.width_of(t.name()), state);
  if (tracked) {
    m_.set_state(t.name(), m_.entries_[t.name()], state);
    m_.entries_[t.name()].member = *choice.member;
    m_.entries_[t.name()].seen_s = now_s_;
    m_.count_begin(*choice.member, now_ms_);
    m_.counts_.follow_previous += choice.former ? 1 : 0;
  } else {
    ++m_.counts_.flows_untracked;
    if (choice.former && unproven_full(t) && !table_full(t)) {
      ++m_.counts_.follow_previous;  // its SYN had room, or came before all this
    } else if (choice.former) {
      choice.member = newly_chosen(t);  // the hash decides for the whole flow
    }
    if (!choice.member) {
      return t.drop(Drop::kNoBackend);
    }
  }
  t.member = *choice.member;
  count_move(t, choice.in_the_middle);
}

void BurstRun::open_translation(Travelling& t) {
  const Choice choice = choose(t);
  if (!choice.member) {
    return t.drop(Drop::kNoBackend);
  }
  if (t.packet.ttl <= 1) {
    return t.drop(Drop::kTtlExpired);
  }
  const bool pool = std::ranges::any_of(m_.spec_.pools, [&](const dataplane::PoolSpec& range) {
    return range.first.is_v4() == t.packet.v4;
  });
  if (!pool) {
    return t.drop(Drop::kNatPoolExhausted);
  }
  if (!make_room()) {
    return t.drop(Drop::kNatTableFull);
  }
  t.member = *choice.member;
  enter_translation(t);
}

// Half-open flows have a quarter of the records; when those are full, the one used least recently
// gives way, unless this burst has used it. When all are, one that is over, or else that one.
bool BurstRun::make_room() {
  const std::size_t records = m_.options_.capacity.records;
  const bool share_full = m_.half_open_flows_.size() >= records / 4;
  if (!share_full && (m_.translations_.size() < records || end_one_that_is_over())) {
    return true;
  }
  if (m_.half_open_flows_.empty() ||
      m_.translations_.at(m_.half_open_flows_.front()).burst == m_.bursts_) {
    return false;
  }
  m_.end_translation(m_.half_open_flows_.front());
  return true;
}

// Which one is the product's choice.
bool BurstRun::end_one_that_is_over() {
  bool any = false;
  for (const auto& [id, flow] : m_.translations_) {
    if (!m_.is_over(flow, now_s_)) {
      continue;
    }
    if (!translation_stands_(flow)) {
      m_.end_translation(id);
      return true;
    }
    any = true;
  }
  if (any) {
    throw Impossible("a translation that is over did not give way to a new one");
  }
  return false;
}

void BurstRun::enter_translation(Travelling& t) {
  const Member& member = m_.members_[t.member];
  const std::optional<PoolEndpoint> endpoint = witness_(t.slot);
  if (!endpoint) {
    throw Impossible("frame " + std::to_string(t.slot) + " should have opened a flow");
  }
  Translation flow{
      .name = t.name(),
      .reply = {.member = member.address,
                .member_port = member.port == 0 ? t.packet.destination_port : member.port,
                .pool = endpoint->address,
                .pool_port = endpoint->port,
                .protocol = t.packet.protocol},
      .member = t.member,
      .seen_s = now_s_,
      .burst = m_.bursts_};
  begin(flow, *t.frame, t.packet);
  if (!m_.in_pool(endpoint->address) || endpoint->address.is_v4() != t.packet.v4 ||
      endpoint->port < 1024) {
    throw Impossible("a flow got an endpoint that is none of the pool");
  }
  const std::uint64_t id = m_.opened_++;
  if (!m_.by_reply_.emplace(flow.reply, id).second) {
    throw Impossible("a flow got an endpoint that is in use towards its member");
  }
  m_.by_client_[flow.name] = id;
  m_.half_open_flows_.push_back(id);
  m_.translations_.emplace(id, flow);
  m_.count_begin(t.member, now_ms_);
  t.flow = id;
  count_move(t, false);
}

// The last 64 neighbours are remembered whether or not the hearsay has room for them.
void BurstRun::learn(const Told& told, std::uint8_t port) {
  if (is_group_mac(told.mac) || told.mac == MacAddress{}) {
    return;
  }
  const auto same = std::ranges::find_if(m_.recent_, [&](const dataplane::Neighbor& one) {
    return one.address == told.address && one.port == port;
  });
  if (same != m_.recent_.end()) {
    same->mac = told.mac;
  } else {
    m_.recent_.push_back({.address = told.address, .mac = told.mac, .port = port});
    if (m_.recent_.size() > kMostRecent) {
      m_.recent_.erase(m_.recent_.begin());
    }
  }
  if (m_.hearsay_.learned.size() < kMostHearsay) {
    m_.hearsay_.learned.emplace_back(told, port);
  }
}

// A client on our own link tells its MAC address until its flow stands, and later when it is not
// the one that packets to the client go to; but a router's is not a client's.
void BurstRun::learn_client(const Travelling& t, const Translation& flow) {
  const std::uint8_t port = t.frame->port;
  if (t.error || t.to_client || !m_.surroundings_.on_link(t.packet.source, port)) {
    return;
  }
  const Told told{.address = t.packet.source, .mac = mac_at(t.frame->bytes, 6)};
  const Way way = m_.surroundings_.way_to(told.address);
  const bool other =
      way.why == Drop::kNoNeighbor || (!way.why && way.port == port && way.to != told.mac);
  if (flow.state == FlowState::kHalfOpen ||
      (other && !m_.surroundings_.is_router(told.mac, port))) {
    learn(told, port);
  }
}

// As the surroundings tell; to a client that they do not know yet as its own frames told.
Way BurstRun::way_of(const Travelling& t, const Translation* flow) const {
  Way way = m_.surroundings_.way_to(flow != nullptr ? m_.ends_of(*flow, t.to_client).destination
                                                    : m_.members_[t.member].address);
  if (t.to_client && way.why == Drop::kNoNeighbor) {
    for (const dataplane::Neighbor& one : m_.recent_) {
      if (one.address == way.next_hop && one.port == way.port) {
        way.to = one.mac;
        way.why.reset();
      }
    }
  }
  return way;
}

std::vector<Address> BurstRun::hops_of(const Travelling& t) const {
  const Member& to = m_.members_[t.member];
  if (to.mode != dataplane::Mode::kGue || to.tunnel.hops == 0) {
    return {};
  }
  const auto former = m_.former_.find(service(t).name);
  const Tier* before =
      former == m_.former_.end() ? nullptr : first_tier(former->second.tiers, t.packet.v4);
  std::vector<Address> hops;
  for (const MemberIndex member : choose_others(before,
                                                first_tier(tiers(t), t.packet.v4),
                                                hash_of(t),
                                                m_.hasher_,
                                                t.member,
                                                to.tunnel.hops)) {
    if (const Address& address = m_.members_[member].address; address.is_v4()) {
      hops.push_back(address);  // a list has no place for others
    }
  }
  return hops;
}

void BurstRun::refuse_long(Travelling& t, std::size_t mtu) {
  const std::optional<Bytes> message = too_big_message(*t.frame, t.packet, mtu);
  if (!message || t.error || t.packet.later()) {
    return t.drop(Drop::kMtu);
  }
  if (!m_.too_big_rate_.allows(group_of(t), now_ms_)) {
    ++m_.counts_.too_big_limited;
    return t.drop(Drop::kMtu);
  }
  ++m_.counts_.too_big_sent;
  t.reply(*message);
}

void BurstRun::announce(const Travelling& t, Arriving& out, Reading& reading, std::size_t mtu) {
  const Member& member = m_.members_[t.member];
  const std::optional<std::size_t> bound = mss_bound(member.mss, member.mode);
  if (t.error || t.packet.fragment || !reading.tcp() || !reading.has(0x02) || !bound) {
    return;
  }
  const Clamped clamped = clamp_mss(out, reading, *bound, mtu);
  m_.counts_.mss_clamped += clamped == Clamped::kYes ? 1 : 0;
  m_.counts_.mss_no_room += clamped == Clamped::kNoRoom ? 1 : 0;
}

// What both links of a translated flow carry, as far as there are links.
std::size_t BurstRun::narrower_mtu(const Travelling& t) const {
  const Translation& flow = m_.translations_.at(*t.flow);
  const Member& member = m_.members_[t.member];
  const Way to_member = m_.surroundings_.way_to(member.address);
  const Way to_client = m_.surroundings_.way_to(flow.name.client);
  const std::size_t one = mtu_towards(member, to_member);
  const std::size_t other = to_client.mtu;
  return one == 0 ? other : other == 0 ? one : std::min(one, other);
}

void BurstRun::rewrite(Travelling& t) {
  const Translation* flow = t.flow ? &m_.translations_.at(*t.flow) : nullptr;
  if (flow != nullptr) {
    learn_client(t, *flow);
  }
  const Member& to = m_.members_[t.member];
  const Way way = way_of(t, flow);
  if (way.why == Drop::kNoNeighbor && m_.hearsay_.unresolved.size() < kMostHearsay) {
    m_.hearsay_.unresolved.push_back(way.next_hop);
  }
  if (way.why) {
    return t.drop(*way.why);
  }
  const bool tunnelled = flow == nullptr && is_tunnel(to.mode);
  const TunnelTo tunnel{.mode = to.mode,
                        .spec = to.tunnel,
                        .member = to.address,
                        .inner_mac = to.inner_mac,
                        .hash = m_.hasher_(key_of(t)),
                        .hops = tunnelled ? hops_of(t) : std::vector<Address>{}};
  const std::size_t outer = tunnelled ? outer_size(tunnel) : 0;
  const std::size_t mtu = t.to_client ? way.mtu : mtu_towards(to, way);
  if (t.packet.packet + outer > mtu) {
    return refuse_long(t, mtu - std::min(mtu, outer));
  }
  if (flow != nullptr && t.packet.ttl <= 1) {
    return t.drop(Drop::kTtlExpired);
  }
  Arriving out = without_trailer(*t.frame, t.packet);
  Reading reading = t.packet;
  announce(t, out, reading, flow != nullptr ? narrower_mtu(t) : mtu - outer);
  if (flow != nullptr) {
    Ends ends = m_.ends_of(*flow, t.to_client);
    // Opaque, as the hash is; an error quotes what its receiver sent.
    ends.other_id = t.error ? other_id(ends.destination, t.packet.destination, m_.hasher_)
                            : other_id(t.packet.source, ends.source, m_.hasher_);
    t.error ? translate_error(out, reading, ends, t.to_client) : translate(out, reading, ends);
  }
  if (tunnelled) {
    wrap(out, reading, tunnel);
  }
  replace_link(out.bytes, tunnelled ? 14 : reading.l3, way);
  forward(t, std::move(out), way);
}

void BurstRun::forward(Travelling& t, Arriving out, const Way& way) {
  count_forwarded(t);
  t.fate.verdict = Verdict::kForward;
  t.fate.port = way.port;
  t.fate.backend = m_.members_[t.member].backend;
  t.fate.beyond = out.beyond;
  t.fate.bytes = std::move(out.bytes);
}

void BurstRun::count_forwarded(const Travelling& t) {
  if (t.error) {
    ++m_.counts_.icmp_errors_forwarded;
    return;
  }
  MemberCounts& counts = m_.members_[t.member].counts;
  (t.to_client ? counts.packets_to_client : counts.packets_to_member) += 1;
  (t.to_client ? counts.bytes_to_client : counts.bytes_to_member) += t.packet.packet;
}

void BurstRun::account(const Travelling& t) {
  const Foretold& fate = t.fate;
  Counts& counts = m_.counts_;
  ++(t.released ? counts.released : counts.received);
  counts.held += fate.verdict == Verdict::kHold ? 1 : 0;
  counts.forwarded += fate.verdict == Verdict::kForward ? 1 : 0;
  counts.replied += fate.verdict == Verdict::kReply ? 1 : 0;
  counts.to_kernel += fate.verdict == Verdict::kKernel ? 1 : 0;
  if (fate.reason) {
    ++counts.drops.at(static_cast<std::size_t>(*fate.reason));
  }
}

}  // namespace holdfast::testing
