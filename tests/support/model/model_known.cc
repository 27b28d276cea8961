// SPDX-License-Identifier: Apache-2.0
// The stages up to known flows: parse, classify, track.
#include "tests/support/model/model_burst.h"

namespace holdfast::testing {
namespace {

constexpr std::uint8_t kRstFlag = 0x04;

}  // namespace

std::vector<Foretold> BurstRun::run(const std::vector<Arriving>& burst) {
  std::vector<Travelling> all(burst.size());
  for (std::size_t i = 0; i < burst.size(); ++i) {
    all[i].frame = &burst[i];
    all[i].slot = i;
    all[i].packet = read_frame(burst[i]);
  }
  return run(all);
}

std::vector<Foretold> BurstRun::run(std::vector<Travelling>& all) {
  ++m_.bursts_;
  m_.hearsay_ = {};
  pass(all, &BurstRun::classify);
  pass(all, &BurstRun::track);
  pass(all, &BurstRun::select);
  pass(all, &BurstRun::find_error);
  pass(all, &BurstRun::rewrite);
  std::vector<Foretold> fates;
  for (Travelling& t : all) {
    account(t);
    fates.push_back(std::move(t.fate));
  }
  return fates;
}

void BurstRun::pass(std::vector<Travelling>& all, void (BurstRun::*stage)(Travelling&)) {
  for (Travelling& t : all) {
    if (t.pending()) {
      (this->*stage)(t);
    }
  }
}

void BurstRun::classify(Travelling& t) {
  if (t.packet.shape == Shape::kCut) {
    return t.drop(Drop::kTruncated);
  }
  const MacAddress destination = mac_at(t.frame->bytes, 0);
  const MacAddress source = mac_at(t.frame->bytes, 6);
  if (is_group_mac(source)) {
    return t.drop(Drop::kMartian);
  }
  if (source == link(t).mac) {
    return t.drop(Drop::kOwnEgress);
  }
  if (destination != link(t).mac && !is_group_mac(destination)) {
    return t.drop(Drop::kNotOurMac);
  }
  switch (t.packet.shape) {
    case Shape::kTransport:
      return classify_transport(t);
    case Shape::kFragment:
      return classify_fragment(t);
    case Shape::kEcho:
      return classify_echo(t);
    case Shape::kError:
      return classify_error(t);
    case Shape::kArp:
      return classify_asked(t, read_arp(*t.frame, t.packet, link(t).mac));
    case Shape::kSolicitation:
      return classify_asked(t, read_solicitation(*t.frame, t.packet, link(t).mac));
    case Shape::kFaulty:
      return m_.is_ours(t.packet.destination)
                 ? t.drop(is_foreign(t) ? Drop::kVlanUnknown : t.packet.fault)
                 : t.to_kernel();
    case Shape::kOther:
    case Shape::kCut:
      return t.to_kernel();
  }
}

void BurstRun::classify_asked(Travelling& t, const Asked& asked) {
  if (is_foreign(t) || !answers_for(asked.target, t)) {
    return t.to_kernel();
  }
  if (asked.told) {
    learn(*asked.told, t.frame->port);
  }
  asked.answer ? t.reply(*asked.answer, t.frame->beyond) : t.to_kernel();
}

void BurstRun::classify_echo(Travelling& t) {
  if (!m_.is_ours(t.packet.destination)) {
    return t.to_kernel();
  }
  if (is_foreign(t)) {
    return t.drop(Drop::kVlanUnknown);
  }
  if (to_group(t)) {
    return t.drop(Drop::kNotOurMac);
  }
  if (m_.is_ours(t.packet.source)) {
    return t.drop(Drop::kVipSource);
  }
  const std::optional<Bytes> answer = echo_reply(*t.frame, t.packet);
  answer ? t.reply(*answer, t.frame->beyond) : t.drop(Drop::kBadChecksum);
}

void BurstRun::classify_transport(Travelling& t) {
  const Binding* binding = m_.find_binding(t.packet);
  t.to_client = binding == nullptr && m_.in_pool(t.packet.destination);
  if (binding == nullptr && !t.to_client) {
    return m_.is_vip(t.packet.destination) ? t.drop(Drop::kNoService) : t.to_kernel();
  }
  if (is_foreign(t)) {
    return t.drop(Drop::kVlanUnknown);
  }
  if (to_group(t)) {
    return t.drop(Drop::kNotOurMac);
  }
  if (binding != nullptr) {
    t.binding = static_cast<std::size_t>(binding - m_.bindings_.data());
    t.service = binding->in_service.value_or(0);
  }
}

void BurstRun::classify_error(Travelling& t) {
  classify_transport(t);
  if (t.pending() && m_.is_ours(t.packet.sender)) {
    return t.drop(Drop::kVipSource);
  }
  t.error = true;
}

// A flow goes on in the mode it began in: the tables of both are asked, the service's own first.
void BurstRun::track(Travelling& t) {
  if (t.error) {
    return;
  }
  if (t.to_client) {
    return track_reply(t);
  }
  const bool translated = translates(t);
  translated ? track_translation(t) : track_entry(t);
  if (t.pending() && !t.known) {
    translated ? track_entry(t) : track_translation(t);
  }
}

void BurstRun::track_entry(Travelling& t) {
  const auto found = m_.entries_.find(t.name());
  if (found == m_.entries_.end()) {
    return;
  }
  Entry& entry = found->second;
  if (m_.is_over(found->first, entry, now_s_)) {
    return m_.end_entry(found);
  }
  const Disposition disposition = m_.members_[entry.member].disposition;
  const bool waits = disposition == Disposition::kReset && t.packet.tcp() && !t.packet.begins() &&
                     !is_reset(entry.member, found->first, t.packet.protocol);
  switch (waits ? Judged::kStays
                : judge_entry(entry, now_s_ - entry.seen_s, disposition, t.packet)) {
    case Judged::kReset: {
      const MemberIndex member = entry.member;
      m_.end_entry(found);
      return reset_flow(t, member);
    }
    case Judged::kChooseAgain:
      choose_again(t, entry.member);
      return m_.end_entry(found);
    case Judged::kStays:
      break;
  }
  entry.seen_s = now_s_;
  t.known = true;
  t.member = entry.member;
  if (t.packet.later()) {
    return;
  }
  const FlowState before = entry.state;
  const FlowState after = next_state(before, t.packet);
  m_.set_state(found->first, entry, after);
  if (shows_itself(before, after)) {
    remember(found->first, t.member);
  }
}

void BurstRun::track_translation(Travelling& t) {
  const auto found = m_.by_client_.find(t.name());
  if (found == m_.by_client_.end()) {
    return;
  }
  const std::uint64_t id = found->second;
  const Translation& flow = m_.translations_.at(id);
  if (m_.is_over(flow, now_s_)) {
    return m_.end_translation(id);
  }
  // What only the client's side has said may be forged: until the member agrees, the flow stands.
  const FlowState state = flow.state == FlowState::kClosing && !flow.member_over()
                              ? FlowState::kEstablished
                              : flow.state;
  const Disposition disposition = m_.members_[flow.member].disposition;
  const bool waits = disposition == Disposition::kReset && t.packet.tcp() && !t.packet.begins() &&
                     !is_reset(flow.member, flow.name, t.packet.protocol);
  switch (waits ? Judged::kStays : judge(state, disposition, t.packet)) {
    case Judged::kReset:
      return reset_translation(t, id);
    case Judged::kChooseAgain:
      choose_again(t, flow.member);
      return m_.give_up(id, now_s_);
    case Judged::kStays:
      break;
  }
  if (flow.member_over() && t.packet.begins()) {
    return m_.detach(id);  // a new connection gets an endpoint of its own
  }
  follow(t, id);
}

void BurstRun::track_reply(Travelling& t) {
  const auto found = m_.by_reply_.find({.member = t.packet.source,
                                        .member_port = t.packet.source_port,
                                        .pool = t.packet.destination,
                                        .pool_port = t.packet.destination_port,
                                        .protocol = t.packet.protocol});
  if (found == m_.by_reply_.end() || m_.is_over(m_.translations_.at(found->second), now_s_)) {
    return t.drop(Drop::kNoNatFlow);
  }
  const Translation& flow = m_.translations_.at(found->second);
  const bool reset = is_reset(flow.member, flow.name, t.packet.protocol);
  if (t.packet.tcp() && (flow.given_up() || reset)) {
    return reset_translation(t, found->second);
  }
  if (answers_another(flow, *t.frame, t.packet)) {
    return t.drop(Drop::kNoNatFlow);
  }
  follow(t, found->second);
}

void BurstRun::follow(Travelling& t, std::uint64_t id) {
  Translation& flow = m_.translations_.at(id);
  if (!flow.given_up()) {
    const bool was_half_open = flow.state == FlowState::kHalfOpen;
    if (!t.packet.later()) {
      advance(flow, *t.frame, t.packet, !t.to_client);
      const bool refused = was_half_open && t.to_client && t.packet.tcp() && t.packet.has(kRstFlag);
      m_.members_[flow.member].moves.refusals += refused ? 1 : 0;
    }
    flow.seen_s = now_s_;
    flow.burst = m_.bursts_;
    if (was_half_open) {
      std::erase(m_.half_open_flows_, id);
    }
    if (was_half_open && flow.state == FlowState::kHalfOpen) {
      m_.half_open_flows_.push_back(id);
    }
    if (was_half_open && shows_itself(FlowState::kHalfOpen, flow.state)) {
      remember(flow.name, flow.member);
    }
    if (!flow.ended && flow.client_side == SideState::kFin && flow.member_side == SideState::kFin) {
      flow.ended = true;
      --m_.members_[flow.member].counts.live_flows;
      ++m_.counts_.flows_ended;
    }
  }
  t.known = true;
  t.flow = id;
  t.member = flow.member;
}

// When a flow has its turn is opaque, as its hash is.
bool BurstRun::is_reset(MemberIndex index, const FlowName& name, std::uint8_t protocol) const {
  const Member& member = m_.members_[index];
  if (member.disposition != Disposition::kReset) {
    return false;
  }
  const std::uint64_t hash = m_.hasher_({.source = name.client,
                                         .destination = name.vip,
                                         .source_port = Be16::from_host(name.client_port),
                                         .destination_port = Be16::from_host(name.service_port),
                                         .protocol = Protocol{protocol}});
  return member.reset_since_ms &&
         now_ms_ >= *member.reset_since_ms + dataplane::turn_within(kResetWindowMs, hash);
}

void BurstRun::reset_flow(Travelling& t, MemberIndex member) {
  answer_with_reset(t, Drop::kMemberReset);
  m_.members_[member].moves.reset += t.fate.verdict == Verdict::kReply ? 1 : 0;
}

void BurstRun::reset_translation(Travelling& t, std::uint64_t id) {
  const Translation& flow = m_.translations_.at(id);
  const bool was_over = flow.ended;
  m_.give_up(id, now_s_);
  was_over ? answer_with_reset(t, Drop::kMemberReset) : reset_flow(t, flow.member);
}

void BurstRun::choose_again(Travelling& t, MemberIndex member) {
  using enum dataplane::MoveCause;
  ++m_.counts_.flows_rechosen;
  const bool resets = m_.members_[member].disposition == Disposition::kReset;
  t.left = {member, t.packet.begins() ? kReopened : resets ? kReset : kDown};
}

void BurstRun::answer_with_reset(Travelling& t, Drop otherwise) {
  if (t.packet.has(kRstFlag) || t.packet.later()) {
    return t.drop(otherwise);
  }
  ++m_.counts_.resets_sent;
  t.reply(reset_for(*t.frame, t.packet));
}

std::vector<Foretold> Model::run(const std::vector<Arriving>& burst,
                                 std::uint64_t now_ms,
                                 const Witness& witness,
                                 const EntryWitness& entry_stands,
                                 const MemoryWitness& memory_stands,
                                 const TranslationWitness& translation_stands) {
  return BurstRun(*this, now_ms, witness, entry_stands, memory_stands, translation_stands)
      .run(burst);
}

}  // namespace holdfast::testing
