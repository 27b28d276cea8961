// SPDX-License-Identifier: Apache-2.0
// Affinity records: looked up by select, written by track, for services that have affinity only.
#include "dataplane/affinity.h"

#include "dataplane/flow_keys.h"
#include "dataplane/flow_life.h"

#include <algorithm>
#include <utility>

namespace holdfast::dataplane {
namespace {

// The first packet of a flow, as far as that can be told without an entry. An ICMP error has no
// flags.
bool begins(const Burst& b, Slot i) {
  return b.key[i].protocol != Protocol::kTcp || (b.kind[i] == Kind::kTransport && b.is_syn(i));
}

struct Place {
  FlowKey key;
  std::uint64_t hash = 0;
  std::uint16_t binding = 0;
};

Place place_of(const Address& client,
               const CompiledService& service,
               const Generation& generation) {
  const FlowKey key = affinity_key(service.affinity, client);
  return {.key = key,
          .hash = affinity_place(key, service.affinity_binding, generation.hasher()),
          .binding = service.affinity_binding};
}

// Whether the member may get this packet. A record may be damaged or older than the configuration:
// it is followed to no other service's member, and in the modes without a tunnel to none of the
// other family, which could not be written to.
bool may_take(const MemberForward& member,
              Disposition disposition,
              const CompiledService& service,
              const Burst& b,
              Slot i) {
  if (member.mode != service.mode || member.service != b.service[i] ||
      (!is_tunnel(service.mode) && member.address.is_v4() != b.key[i].source.is_v4())) {
    return false;
  }
  if (begins(b, i)) {
    return disposition == Disposition::kNew && member.has_share;
  }
  return disposition == Disposition::kNew || disposition == Disposition::kKeep;
}

template <typename Table>
std::optional<MemberId> find_record(Table& table,
                                    const Place& place,
                                    const Generation& generation,
                                    Stamp now) {
  const auto* entry = table.find(place.hash, place.key, place.binding);
  if (entry == nullptr || expired(*entry, generation, now)) {
    return std::nullopt;
  }
  return MemberId{entry->member, entry->epoch};
}

template <typename Table>
void write_record(Table& table,
                  const Place& place,
                  MemberId member,
                  const Generation& generation,
                  WorkerState& state,
                  Stamp now) {
  if (auto* entry = table.find(place.hash, place.key, place.binding)) {
    if (const MemberId before{entry->member, entry->epoch}; before != member) {
      count_gone(state, before, place.binding);
      count_record(state, member, place.binding);
      entry->member = member.index;
      entry->epoch = member.epoch;
    }
    entry->stamp = now;
    return;
  }
  auto* entry = make_room(state, table, place.hash, FlowState::kAffinity, generation, now);
  if (entry == nullptr) {
    state.stats.affinity_full.add(1);
    return;
  }
  entry->set_key(place.key, place.binding);
  entry->member = member.index;
  entry->epoch = member.epoch;
  entry->stamp = now;
  table.set_state(*entry, FlowState::kAffinity);
  count_record(state, member, place.binding);
}

}  // namespace

FlowKey affinity_key(const AffinitySpec& affinity, const Address& source) {
  const bool v4 = source.is_v4();
  const unsigned bits = v4 ? kMappedBits + affinity.prefix_v4 : unsigned{affinity.prefix_v6};
  return prefix_key(masked(source, bits));
}

std::optional<Choice> choose_by_affinity(
    const Burst& b, Slot i, const Generation& generation, WorkerState& state, Stamp now) {
  const CompiledService& service = generation.service(b.service[i]);
  const Place place = place_of(b.key[i].source, service, generation);
  const std::optional<MemberId> id = b.key[i].source.is_v4()
                                         ? find_record(state.tables.v4, place, generation, now)
                                         : find_record(state.tables.v6, place, generation, now);
  if (!id) {
    return std::nullopt;
  }
  const MemberForward* member = generation.member(*id);
  if (member == nullptr || !may_take(*member, state.dispositions.get(*id), service, b, i)) {
    return std::nullopt;
  }
  state.stats.affinity_hits.add(1);
  return Choice{.member = *id, .slot = kOnRecord, .tier = 0, .by = ChosenBy::kAffinity};
}

void remember_affinity(const Address& client,
                       const CompiledService& service,
                       MemberId member,
                       const Generation& generation,
                       WorkerState& state,
                       Stamp now) {
  const MemberForward* to = generation.member(member);
  if (to == nullptr || to->mode != service.mode || !to->has_share) {
    return;
  }
  const Place place = place_of(client, service, generation);
  if (client.is_v4()) {
    write_record(state.tables.v4, place, member, generation, state, now);
  } else {
    write_record(state.tables.v6, place, member, generation, state, now);
  }
}

std::vector<std::string_view> services_with_moved_owners(const Generation& generation,
                                                         const GenerationSpec& spec) {
  const auto bits_of = [](const AffinitySpec& affinity) {
    return affinity.seconds == 0 ? std::pair(0, 0)
                                 : std::pair(int{affinity.prefix_v4}, int{affinity.prefix_v6});
  };
  std::vector<std::string_view> moved;
  for (const ServiceSpec& service : spec.services) {
    const auto before =
        std::ranges::find(generation.services(), service.name, &CompiledService::name);
    if (before != generation.services().end() &&
        bits_of(before->affinity) != bits_of(service.affinity)) {
      moved.emplace_back(service.name);
    }
  }
  return moved;
}

}  // namespace holdfast::dataplane
