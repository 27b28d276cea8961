// SPDX-License-Identifier: Apache-2.0
// The model on one burst: the stages of dataplane/pipeline.h, one after the other over all frames.
// Inside of the model; included by model_*.cc only. Tests only.
#pragma once

#include "dataplane/reset_spread.h"
#include "tests/support/model/model.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace holdfast::testing {

// One frame on its way.
struct Travelling {
  const Arriving* frame = nullptr;
  std::size_t slot = 0;
  Reading packet;
  Foretold fate;
  std::size_t binding = 0;
  std::size_t service = 0;  // index in the specification, towards a member
  bool to_client = false;
  bool error = false;  // about a flow
  bool released = false;
  bool known = false;
  MemberIndex member = 0;
  std::optional<std::uint64_t> flow;  // translation
  // Whose its flow was that has to choose again, and why.
  std::optional<std::pair<MemberIndex, dataplane::MoveCause>> left;

  [[nodiscard]] bool pending() const { return fate.verdict == Verdict::kPending; }
  void drop(Drop why) {
    fate.verdict = Verdict::kDrop;
    fate.reason = why;
  }
  void to_kernel() {
    fate.verdict = Verdict::kKernel;
    fate.bytes = frame->bytes;
  }
  void reply(Bytes bytes, std::size_t beyond = 0) {
    fate.verdict = Verdict::kReply;
    fate.port = frame->port;
    fate.bytes = std::move(bytes);
    fate.beyond = beyond;
  }
  [[nodiscard]] FlowName name() const {
    return {.binding = binding,
            .vip = packet.destination,
            .client = packet.source,
            .client_port = packet.source_port,
            .service_port = packet.destination_port};
  }
};

class BurstRun {
 public:
  BurstRun(Model& model,
           std::uint64_t now_ms,
           const Witness& witness,
           const EntryWitness& entry_stands,
           const MemoryWitness& memory_stands,
           const TranslationWitness& translation_stands)
      : m_(model),
        now_ms_(now_ms),
        now_s_(now_ms / 1000),
        witness_(witness),
        entry_stands_(entry_stands),
        memory_stands_(memory_stands),
        translation_stands_(translation_stands) {}

  std::vector<Foretold> run(const std::vector<Arriving>& burst);
  std::vector<Foretold> run(const std::vector<Again>& burst);

 private:
  std::vector<Foretold> run(std::vector<Travelling>& all);
  void pass(std::vector<Travelling>& all, void (BurstRun::*stage)(Travelling&));

  // classify
  [[nodiscard]] const dataplane::Link& link(const Travelling& t) const {
    return m_.surroundings_.links.at(t.frame->port);
  }
  // Whether it has other tags than its port, or none where that has some.
  [[nodiscard]] bool is_foreign(const Travelling& t) const {
    return t.packet.tags != m_.surroundings_.tags_of(t.frame->port);
  }
  [[nodiscard]] bool answers_for(const Address& address, const Travelling& t) const {
    return !m_.surroundings_.standby && (m_.is_single_vip(address) || m_.in_pool(address)) &&
           m_.surroundings_.on_link(address, t.frame->port);
  }
  [[nodiscard]] static bool to_group(const Travelling& t) {
    return is_group_mac(mac_at(t.frame->bytes, 0));
  }

  void classify(Travelling& t);
  void classify_asked(Travelling& t, const Asked& asked);
  void classify_echo(Travelling& t);
  void classify_transport(Travelling& t);
  void classify_error(Travelling& t);
  void classify_fragment(Travelling& t);

  // track
  [[nodiscard]] const dataplane::ServiceSpec& service(const Travelling& t) const {
    return m_.spec_.services[t.service];
  }
  [[nodiscard]] bool translates(const Travelling& t) const {
    return service(t).mode == dataplane::Mode::kNat;
  }

  void track(Travelling& t);
  void track_entry(Travelling& t);
  void track_translation(Travelling& t);
  void track_reply(Travelling& t);
  void follow(Travelling& t, std::uint64_t id);

  // Whether a member is being reset, and this flow of it has its turn.
  [[nodiscard]] bool is_reset(MemberIndex member,
                              const FlowName& name,
                              std::uint8_t protocol) const;
  // A flow that was the member's and is over; a translation that may have been so before.
  void reset_flow(Travelling& t, MemberIndex member);
  void reset_translation(Travelling& t, std::uint64_t id);
  void choose_again(Travelling& t, MemberIndex member);
  // A reset is never answered with one.
  void answer_with_reset(Travelling& t, Drop otherwise);

  // select
  void select(Travelling& t);

  [[nodiscard]] static dataplane::FlowKey key_of(const Travelling& t);
  [[nodiscard]] std::uint64_t hash_of(const Travelling& t) const;  // by the service's fields

  [[nodiscard]] const std::vector<Tier>& tiers(const Travelling& t) const {
    return m_.tiers_.at(service(t).name);
  }

  // affinity
  [[nodiscard]] bool has_affinity(const Travelling& t) const {
    return service(t).affinity.seconds != 0;
  }
  [[nodiscard]] static SourceName source_name(const dataplane::ServiceSpec& service,
                                              const Address& client);
  [[nodiscard]] std::optional<MemberIndex> remembered(const Travelling& t) const;
  void remember(const FlowName& name, MemberIndex member);

  [[nodiscard]] std::optional<MemberIndex> newly_chosen(const Travelling& t) const;
  [[nodiscard]] bool keeps_flows(MemberIndex member) const;
  [[nodiscard]] bool half_open_full(const Travelling& t);
  [[nodiscard]] bool unproven_full(const Travelling& t);
  // Whether a new flow in that state has a share left.
  [[nodiscard]] bool has_share(const Travelling& t, FlowState state);

  [[nodiscard]] std::optional<MemberIndex> formerly_chosen(const Travelling& t,
                                                           MemberIndex own) const;

  struct Choice {
    std::optional<MemberIndex> member;
    bool former = false;
    bool in_the_middle = false;  // by the tables, of a flow that nobody knows
  };
  // Where the flow began, if it did before the last change.
  [[nodiscard]] std::optional<MemberIndex> home(const Travelling& t) const;
  void count_move(const Travelling& t, bool in_the_middle);
  [[nodiscard]] Choice choose(const Travelling& t);
  [[nodiscard]] Choice choose_in_the_middle(const Travelling& t) const;
  [[nodiscard]] bool table_full(const Travelling& t) const;
  void open_entry(Travelling& t);
  bool make_room_in(Width width, FlowState state);
  void open_translation(Travelling& t);
  bool make_room();
  bool end_one_that_is_over();
  void enter_translation(Travelling& t);

  // ICMP errors
  void find_error(Travelling& t);
  [[nodiscard]] bool find_entry(Travelling& t) const;
  [[nodiscard]] bool find_translation(Travelling& t) const;
  [[nodiscard]] bool find_reply(Travelling& t) const;
  void place_by_hash(Travelling& t);
  // Of the client: those of one group share what a worker does for them.
  [[nodiscard]] std::uint64_t group_of(const Travelling& t) const;

  // rewrite
  void learn(const Told& told, std::uint8_t port);
  void learn_client(const Travelling& t, const Translation& flow);
  [[nodiscard]] Way way_of(const Travelling& t, const Translation* flow) const;
  // The addresses of the hop list that goes with the flow's packets.
  [[nodiscard]] std::vector<Address> hops_of(const Travelling& t) const;
  void rewrite(Travelling& t);
  void count_forwarded(const Travelling& t);
  void forward(Travelling& t, Arriving out, const Way& way);
  void refuse_long(Travelling& t, std::size_t mtu);
  void announce(const Travelling& t, Arriving& out, Reading& reading, std::size_t mtu);
  [[nodiscard]] std::size_t mtu_towards(const Member& member, const Way& way) const {
    return member.mtu == 0 ? way.mtu : std::min<std::size_t>(way.mtu, member.mtu);
  }
  [[nodiscard]] std::size_t narrower_mtu(const Travelling& t) const;
  void account(const Travelling& t);

  Model& m_;
  std::uint64_t now_ms_;
  std::uint64_t now_s_;
  const Witness& witness_;
  const EntryWitness& entry_stands_;
  const MemoryWitness& memory_stands_;
  const TranslationWitness& translation_stands_;
};

}  // namespace holdfast::testing
