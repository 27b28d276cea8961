// SPDX-License-Identifier: Apache-2.0
// The reference model of the packet's way: plain containers, slow, meant to be obviously right. It
// foretells the verdict, the drop reason, every byte, the port, the member and every counter of
// each frame, from the RFCs, ARCHITECTURE.md and the contracts in dataplane/*.h. Tests only.
//
// What the product may choose freely is not foretold but judged, and then taken over:
//   - which pool endpoint a translated flow gets: one of the pool, not in use towards its member;
//   - when the sweeper ends an idle flow: not before its time, and within a round afterwards;
//   - which of the translations that are over gives way when there is no room for another one;
//   - in which order half-open translations give way that began before a restart.
// Taken from the product as opaque: the keyed hash. Not modelled: full buckets (tests keep tables
// far below that), a pool that ends, an index reused in the registry, several workers, dispatch.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/stats.h"
#include "tests/support/model/choosing.h"
#include "tests/support/model/datagrams.h"
#include "tests/support/model/flows.h"
#include "tests/support/model/lengths.h"
#include "tests/support/model/reading.h"
#include "tests/support/model/surroundings.h"
#include "tests/support/model/writing.h"

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::testing {

using dataplane::Disposition;
using dataplane::Verdict;

// What the model expects of one frame.
struct Foretold {
  Verdict verdict = Verdict::kPending;
  std::optional<Drop> reason;
  std::uint8_t port = 0;   // of forwarded and replied frames
  std::string backend;     // of forwarded frames
  Bytes bytes;             // of frames that are not dropped
  std::size_t beyond = 0;  // bytes behind those, of frames that leave
};

// Counters as plain numbers, named like those of WorkerStats and MemberStats.
struct MemberCounts {
  std::uint64_t new_flows = 0;
  std::uint64_t packets_to_member = 0;
  std::uint64_t bytes_to_member = 0;
  std::uint64_t packets_to_client = 0;
  std::uint64_t bytes_to_client = 0;
  std::uint64_t live_flows = 0;
  std::uint64_t entries = 0;
  std::uint64_t last_new_flow_ms = 0;
  bool operator==(const MemberCounts&) const = default;
};
struct Counts {  // kCounters, below, lists all but the drops
  std::uint64_t received = 0;
  std::uint64_t released = 0;
  std::uint64_t held = 0;
  std::uint64_t fragments = 0;
  std::uint64_t forwarded = 0;
  std::uint64_t replied = 0;
  std::uint64_t to_kernel = 0;
  std::array<std::uint64_t, dataplane::kDropCount> drops{};
  std::uint64_t flows_inserted = 0;
  std::uint64_t flows_ended = 0;
  std::uint64_t flows_untracked = 0;
  std::uint64_t flows_rechosen = 0;
  std::uint64_t resets_sent = 0;
  std::uint64_t follow_previous = 0;
  std::uint64_t icmp_errors_forwarded = 0;
  std::uint64_t too_big_sent = 0;
  std::uint64_t too_big_limited = 0;
  std::uint64_t mss_clamped = 0;
  std::uint64_t mss_no_room = 0;
  std::uint64_t affinity_hits = 0;
  std::uint64_t affinity_full = 0;
  bool operator==(const Counts&) const = default;
  Counts operator+(const Counts& other) const;
};

// Each number that model and product both keep, in the words of both.
template <typename Ours, typename Theirs>
struct CounterPair {
  std::string_view name;
  std::uint64_t Ours::* ours;
  dataplane::Counter Theirs::* theirs;
};
using WorkerCounter = CounterPair<Counts, dataplane::WorkerCounters>;
using MemberCounter = CounterPair<MemberCounts, dataplane::MemberStats>;
inline constexpr std::array kCounters = {
    WorkerCounter{"received", &Counts::received, &dataplane::WorkerCounters::received},
    WorkerCounter{"released", &Counts::released, &dataplane::WorkerCounters::released},
    WorkerCounter{"held", &Counts::held, &dataplane::WorkerCounters::held},
    WorkerCounter{"fragments", &Counts::fragments, &dataplane::WorkerCounters::fragments},
    WorkerCounter{"forwarded", &Counts::forwarded, &dataplane::WorkerCounters::forwarded},
    WorkerCounter{"replied", &Counts::replied, &dataplane::WorkerCounters::replied},
    WorkerCounter{"to_kernel", &Counts::to_kernel, &dataplane::WorkerCounters::to_kernel},
    WorkerCounter{
        "flows_inserted", &Counts::flows_inserted, &dataplane::WorkerCounters::flows_inserted},
    WorkerCounter{"flows_ended", &Counts::flows_ended, &dataplane::WorkerCounters::flows_ended},
    WorkerCounter{
        "flows_untracked", &Counts::flows_untracked, &dataplane::WorkerCounters::flows_untracked},
    WorkerCounter{
        "flows_rechosen", &Counts::flows_rechosen, &dataplane::WorkerCounters::flows_rechosen},
    WorkerCounter{"resets_sent", &Counts::resets_sent, &dataplane::WorkerCounters::resets_sent},
    WorkerCounter{
        "follow_previous", &Counts::follow_previous, &dataplane::WorkerCounters::follow_previous},
    WorkerCounter{"icmp_errors_forwarded",
                  &Counts::icmp_errors_forwarded,
                  &dataplane::WorkerCounters::icmp_errors_forwarded},
    WorkerCounter{"too_big_sent", &Counts::too_big_sent, &dataplane::WorkerCounters::too_big_sent},
    WorkerCounter{
        "too_big_limited", &Counts::too_big_limited, &dataplane::WorkerCounters::too_big_limited},
    WorkerCounter{"mss_clamped", &Counts::mss_clamped, &dataplane::WorkerCounters::mss_clamped},
    WorkerCounter{"mss_no_room", &Counts::mss_no_room, &dataplane::WorkerCounters::mss_no_room},
    WorkerCounter{
        "affinity_hits", &Counts::affinity_hits, &dataplane::WorkerCounters::affinity_hits},
    WorkerCounter{
        "affinity_full", &Counts::affinity_full, &dataplane::WorkerCounters::affinity_full}};
static_assert(sizeof(Counts) == sizeof(std::uint64_t) * (kCounters.size() + dataplane::kDropCount));
inline constexpr std::array kMemberCounters = {
    MemberCounter{"new_flows", &MemberCounts::new_flows, &dataplane::MemberStats::new_flows},
    MemberCounter{"packets_to_member",
                  &MemberCounts::packets_to_member,
                  &dataplane::MemberStats::packets_to_member},
    MemberCounter{"bytes_to_member",
                  &MemberCounts::bytes_to_member,
                  &dataplane::MemberStats::bytes_to_member},
    MemberCounter{"packets_to_client",
                  &MemberCounts::packets_to_client,
                  &dataplane::MemberStats::packets_to_client},
    MemberCounter{"bytes_to_client",
                  &MemberCounts::bytes_to_client,
                  &dataplane::MemberStats::bytes_to_client},
    MemberCounter{"live_flows", &MemberCounts::live_flows, &dataplane::MemberStats::live_flows},
    MemberCounter{"entries", &MemberCounts::entries, &dataplane::MemberStats::entries},
    MemberCounter{"last_new_flow_ms",
                  &MemberCounts::last_new_flow_ms,
                  &dataplane::MemberStats::last_new_flow_ms}};
static_assert(sizeof(MemberCounts) == sizeof(std::uint64_t) * kMemberCounters.size());

// What became of a member's flows beside their ordinary ends.
struct MoveCounts {
  std::array<std::uint64_t, dataplane::kMoveCauses> moved{};  // away from it, by why
  std::uint64_t reset = 0;
  std::uint64_t untracked = 0;  // packets of flows without entry that began elsewhere
  std::uint64_t refusals = 0;   // handshakes that it reset, and errors that say it is not reached
  bool operator==(const MoveCounts&) const = default;
};

struct Member {
  std::string service;
  std::string backend;
  Address address;
  std::uint16_t port = 0;
  dataplane::Mode mode = dataplane::Mode::kNat;
  bool active = true;  // false: retired
  Disposition disposition = Disposition::kNew;
  dataplane::TunnelSpec tunnel;  // of its mode: as it was while the member was active
  MacAddress inner_mac{};
  std::uint16_t mtu = 0;   // likewise
  dataplane::MssSpec mss;  // likewise
  MemberCounts counts;
  MoveCounts moves{};
  // When the sweeper found that it is being reset; none: it is not, or that has not been seen yet.
  std::optional<std::uint64_t> reset_since_ms{};

  [[nodiscard]] bool is(const std::string& of_service, const dataplane::MemberSpec& spec) const {
    return service == of_service && backend == spec.backend && address == spec.address &&
           port == spec.port;
  }
};

struct Binding {
  std::string service;
  dataplane::BindingSpec spec;
  std::optional<std::size_t> in_service;  // index in the specification; none: retired
};

// The tables of entries: by what their entries have to bear (flow_table.h).
enum class Width : std::uint8_t { kNarrow, kMiddle, kWide };

// Sizes of the tables: entries of each kind, records, over one worker.
struct Capacity {
  std::array<std::size_t, 3> entries{};  // by Width
  std::size_t records = 0;
  // The entries of a family are a single pair of buckets, so that any flow may stand anywhere: then
  // the model knows when there is no room. In larger tables it does not, and there must be room.
  bool one_pair = false;
};

// Over which the resets of a member's flows are spread.
inline constexpr std::uint32_t kResetWindowMs = 2'000;

struct ModelOptions {
  dataplane::HashKey key{};
  Capacity capacity;
};

// The pool endpoint that the product gave to the flow that frame `slot` opened.
struct PoolEndpoint {
  Address address;
  std::uint16_t port = 0;
};
using Witness = std::function<std::optional<PoolEndpoint>(std::size_t slot)>;
// Whether the product still has an entry after a burst of one frame.
using EntryWitness = std::function<bool(const FlowName&)>;
using MemoryWitness = std::function<bool(const SourceName&)>;
// Whether the product still has a translation that is over, after the burst.
using TranslationWitness = std::function<bool(const Translation&)>;

// What a burst's frames told about the neighbourhood: at most eight of each, the first ones.
struct Hearsay {
  std::vector<std::pair<Told, std::uint8_t>> learned;  // and the port
  std::vector<Address> unresolved;
  bool operator==(const Hearsay&) const = default;
};

class Model {
 public:
  using Entries = std::map<FlowName, Entry>;
  using Memory = std::map<SourceName, Remembered>;
  using Translations = std::map<std::uint64_t, Translation>;  // by order of opening

  explicit Model(const ModelOptions& options);

  // Requires: a valid specification.
  void publish(const dataplane::GenerationSpec& spec, std::uint64_t now_ms);
  void surround(Surroundings surroundings) { surroundings_ = std::move(surroundings); }
  void set_disposition(const std::string& service, const std::string& backend, Disposition value);
  // The process dies; the next one finds its state. Half-open translations give way in the order
  // given, which the product chooses. Throws Impossible when those are other ones.
  void restart(const std::vector<ReplyName>& half_open);
  // Throws Impossible when the witness tells of something that no product may do.
  std::vector<Foretold> run(const std::vector<Arriving>& burst,
                            std::uint64_t now_ms,
                            const Witness& witness,
                            const EntryWitness& entry_stands,
                            const MemoryWitness& memory_stands,
                            const TranslationWitness& translation_stands);
  // The same for the next frames that were held and come again; empty when there are none.
  std::vector<Foretold> run_released(std::uint64_t now_ms,
                                     const Witness& witness,
                                     const EntryWitness& entry_stands,
                                     const MemoryWitness& memory_stands,
                                     const TranslationWitness& translation_stands);
  // The sweeper came by: those for which `stands` is false are gone. Throws Impossible when one
  // that is not over is gone; or when one that is over still stands and the round is `whole`.
  void sweep(std::uint64_t now_ms,
             bool whole,
             const std::function<bool(const FlowName&)>& entry_stands,
             const std::function<bool(const SourceName&)>& memory_stands,
             const std::function<bool(const ReplyName&)>& translation_stands);

  // What a translated packet has to bear.
  [[nodiscard]] Ends ends_of(const Translation& flow, bool to_client) const;

  [[nodiscard]] const Counts& counts() const { return counts_; }
  [[nodiscard]] const Surroundings& surroundings() const { return surroundings_; }
  [[nodiscard]] const Hearsay& hearsay() const { return hearsay_; }
  [[nodiscard]] const std::vector<Member>& members() const { return members_; }
  [[nodiscard]] const std::vector<Binding>& bindings() const { return bindings_; }
  [[nodiscard]] const Entries& entries() const { return entries_; }
  [[nodiscard]] const Memory& memory() const { return memory_; }
  [[nodiscard]] const Translations& translations() const { return translations_; }

 private:
  friend class BurstRun;

  struct Former {
    std::vector<Tier> tiers;
    std::uint64_t until_ms = 0;
  };

  void forget_tunnels();
  [[nodiscard]] MemberIndex enroll(const dataplane::ServiceSpec& service,
                                   const dataplane::MemberSpec& spec);
  void enroll_binding(std::size_t service, const dataplane::BindingSpec& spec);
  void replace_tables(const dataplane::ServiceSpec& service,
                      std::vector<Tier> tiers,
                      std::uint64_t now_ms);
  [[nodiscard]] bool in_pool(const Address& address) const;
  [[nodiscard]] bool is_vip(const Address& address) const;
  [[nodiscard]] bool is_single_vip(const Address& address) const;
  [[nodiscard]] bool is_ours(const Address& address) const {
    return is_vip(address) || in_pool(address);
  }
  [[nodiscard]] const Binding* find_binding(const Reading& packet) const;
  [[nodiscard]] dataplane::TimeoutSpec timeouts_of(std::size_t binding) const;
  [[nodiscard]] bool is_over(const FlowName& name, const Entry& entry, std::uint64_t now_s) const;
  [[nodiscard]] bool is_over(const Translation& flow, std::uint64_t now_s) const;
  [[nodiscard]] bool is_over(const SourceName& name,
                             const Remembered& one,
                             std::uint64_t now_s) const;
  // The table that a flow's entry stands in.
  [[nodiscard]] Width width_of(const FlowName& name) const;
  [[nodiscard]] static Width width_of(const SourceName& name) {
    return name.prefix.is_v4() ? Width::kNarrow : Width::kMiddle;
  }
  [[nodiscard]] std::size_t capacity(Width width) const {
    return options_.capacity.entries.at(static_cast<std::size_t>(width));
  }
  [[nodiscard]] std::size_t& half_open(Width width) {
    return half_open_.at(static_cast<std::size_t>(width));
  }
  [[nodiscard]] std::size_t& unproven(Width width) {
    return unproven_.at(static_cast<std::size_t>(width));
  }
  [[nodiscard]] std::size_t remembered(bool v4) const;
  // For certain: in larger tables than a pair of buckets it is not known.
  [[nodiscard]] bool is_full(Width width) const;

  void count_begin(MemberIndex member, std::uint64_t now_ms);
  void set_state(const FlowName& name, Entry& entry, FlowState state);
  void end_entry(Entries::iterator entry);
  void forget(Memory::iterator one);
  void end_translation(std::uint64_t id);
  void detach(std::uint64_t id);
  void give_up(std::uint64_t id, std::uint64_t now_s);

  ModelOptions options_;
  dataplane::FlowHasher hasher_;
  Datagrams datagrams_;
  dataplane::GenerationSpec spec_;
  Surroundings surroundings_;
  std::vector<Member> members_;                     // every one that ever was
  std::vector<Binding> bindings_;                   // likewise
  std::map<std::string, std::vector<Tier>> tiers_;  // by service
  std::map<std::string, Former> former_;

  Entries entries_;
  std::array<std::size_t, 3> half_open_{};  // entries, by Width
  std::array<std::size_t, 3> unproven_{};   // likewise
  Memory memory_;
  Translations translations_;
  std::map<FlowName, std::uint64_t> by_client_;
  std::map<ReplyName, std::uint64_t> by_reply_;
  std::vector<std::uint64_t> half_open_flows_;  // translations, least recently used first
  std::uint64_t opened_ = 0;
  std::uint64_t bursts_ = 0;

  Counts counts_;
  Hearsay hearsay_;
  std::vector<dataplane::Neighbor> recent_;  // heard of last, the latest newcomer behind
  MessageRate error_rate_;
  MessageRate too_big_rate_;
};

// The product did what it must not.
struct Impossible : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace holdfast::testing
