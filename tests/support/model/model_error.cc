// SPDX-License-Identifier: Apache-2.0
// ICMP errors: which flow they are about. By the contract of dataplane/icmp_error.h they change
// nothing, and come after all other frames of their burst have found or begun their flows.
#include "tests/support/model/model_burst.h"

namespace holdfast::testing {
namespace {

// Destination unreachable, RFC 792 and RFC 4443 §3.1, but for "fragmentation needed".
bool says_unreachable(const Arriving& frame, const Reading& error) {
  const std::uint8_t type = frame.bytes[error.l4];
  const std::uint8_t code = frame.bytes[error.l4 + 1];
  return error.v4 ? type == 3 && code != 4 : type == 1;
}

}  // namespace

bool BurstRun::find_entry(Travelling& t) const {
  const auto found = m_.entries_.find(t.name());
  if (found == m_.entries_.end() || m_.is_over(found->first, found->second, now_s_)) {
    return false;
  }
  t.member = found->second.member;
  return true;
}

bool BurstRun::find_translation(Travelling& t) const {
  const auto found = m_.by_client_.find(t.name());
  if (found == m_.by_client_.end() || m_.is_over(m_.translations_.at(found->second), now_s_)) {
    return false;
  }
  t.flow = found->second;
  t.member = m_.translations_.at(found->second).member;
  return true;
}

bool BurstRun::find_reply(Travelling& t) const {
  const auto found = m_.by_reply_.find({.member = t.packet.source,
                                        .member_port = t.packet.source_port,
                                        .pool = t.packet.destination,
                                        .pool_port = t.packet.destination_port,
                                        .protocol = t.packet.protocol});
  if (found == m_.by_reply_.end() || m_.is_over(m_.translations_.at(found->second), now_s_)) {
    return false;
  }
  t.flow = found->second;
  t.member = m_.translations_.at(found->second).member;
  return true;
}

// A flow that found no place in the table goes by the hash, as do the errors about it.
void BurstRun::place_by_hash(Travelling& t) {
  const bool share_full = t.packet.tcp() && half_open_full(t);
  if (translates(t) || (!share_full && !unproven_full(t) && !table_full(t))) {
    return t.drop(Drop::kToPeer);
  }
  if (const auto member = remembered(t)) {
    ++m_.counts_.affinity_hits;
    t.member = *member;
    return;
  }
  const bool in_the_middle = t.packet.tcp() && !share_full;
  Choice choice = in_the_middle ? choose_in_the_middle(t) : Choice{.member = newly_chosen(t)};
  if (choice.former && table_full(t)) {
    choice.member = newly_chosen(t);  // its SYN did not follow that table
  }
  if (!choice.member) {
    return t.drop(Drop::kNoBackend);
  }
  t.member = *choice.member;
}

// Of an answer in `nat` the client is the one whom the backend answers.
std::uint64_t BurstRun::group_of(const Travelling& t) const {
  const Address client =
      t.flow ? m_.ends_of(m_.translations_.at(*t.flow), true).destination : t.packet.source;
  return group_of_source(client, m_.hasher_);
}

void BurstRun::find_error(Travelling& t) {
  if (!t.error) {
    return;
  }
  if (t.to_client) {
    if (!find_reply(t)) {
      return t.drop(Drop::kNoNatFlow);
    }
  } else {
    const bool found =
        translates(t) ? find_translation(t) || find_entry(t) : find_entry(t) || find_translation(t);
    if (!found) {
      place_by_hash(t);
    }
  }
  if (!t.pending()) {
    return;
  }
  const bool over = t.flow && m_.translations_.at(*t.flow).given_up();
  const FlowName name = t.flow ? m_.translations_.at(*t.flow).name : t.name();
  const bool resets = m_.members_[t.member].disposition == Disposition::kReset;
  if (over || (resets && (!t.packet.tcp() || is_reset(t.member, name, t.packet.protocol)))) {
    return t.drop(Drop::kMemberReset);
  }
  if (t.to_client && says_unreachable(*t.frame, t.packet)) {
    ++m_.members_[t.member].moves.refusals;
  }
  if (!m_.error_rate_.allows(group_of(t), now_ms_)) {
    t.drop(Drop::kIcmpRateLimited);
  }
}

}  // namespace holdfast::testing
