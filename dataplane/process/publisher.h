// SPDX-License-Identifier: Apache-2.0
// Publication: turns specifications into generations and swaps them under the workers. Main thread.
//
// One pointer, one writer: build beside the live one, exchange, and free the old one when the last
// worker has left it (quiescence.h). A new neighbourhood goes the same way. A publication is
// acknowledged when no worker can see an older generation; until then nothing that the older one
// names is freed.
#pragma once

#include "dataplane/generation.h"
#include "dataplane/neighborhood.h"
#include "dataplane/pipeline.h"
#include "dataplane/process/generation_store.h"
#include "dataplane/process/quiescence.h"
#include "dataplane/process/worker.h"
#include "dataplane/registry.h"
#include "dataplane/state.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::dataplane {

struct Publication {
  std::uint64_t number = 0;
  std::uint64_t build_ns = 0;
  std::uint64_t swap_ns = 0;
  bool acknowledged = false;  // else: in force, but a worker has not left the one before yet
  std::vector<ServiceChange> changes;
};

class Publisher {
 public:
  // Why a specification must not be published here (a VIP is a local address); empty: it may.
  using Objection = std::function<std::string(const GenerationSpec&)>;

  // `neighborhood` has at least the links of all ports.
  Publisher(const SharedState& shared,
            WorkerSurroundings& surroundings,
            GenerationStore store,
            Neighborhood neighborhood,
            bool check_macs);
  ~Publisher();

  // First, before workers run: the specification of before, or an empty one. Members that the
  // shared state knew keep their dispositions. An error leaves an empty generation in force.
  std::expected<void, std::string> start(const GenerationSpec& spec);
  void set_workers(std::span<const std::unique_ptr<Worker>> workers) { workers_ = workers; }
  void set_objection(Objection objection) { objection_ = std::move(objection); }
  // Called with the registry of a new generation in place, before any worker sees it.
  void set_before_swap(std::function<void()> call) { before_swap_ = std::move(call); }

  // The error says what is wrong with the specification, and then nothing has changed. Waits for
  // the workers to leave the generation before, for a second at most.
  std::expected<Publication, std::string> publish(GenerationSpec spec);
  // Sets all active members of that name; returns how many, and nanoseconds until the last worker
  // saw it. After `reset_in_ms` one that keeps its flows is reset; 0: never.
  struct DispositionChange {
    std::size_t members = 0;
    std::uint64_t visible_ns = 0;
  };
  std::expected<DispositionChange, std::string> set_disposition(std::string_view service,
                                                                std::string_view backend,
                                                                Disposition disposition,
                                                                std::uint64_t reset_in_ms = 0);
  // Which VIPs have a route from now on; of those that are bound.
  void set_routed_vips(const std::set<VipPrefix>& vips);
  [[nodiscard]] std::set<VipPrefix> routed_vips() const;
  // Resets the members whose drains have reached their deadline; returns their names. Call several
  // times a second.
  std::vector<std::string> end_drains();
  void set_neighborhood(Neighborhood neighborhood);
  // Copies of members (member_copies.h), which every worker knows of when it next looks. They stay,
  // also without flows, until release_copies().
  std::expected<std::vector<MemberId>, std::string> copy_members(
      std::span<const MemberId> originals);
  // All that the copies have is reset from now on; those without flows go.
  void release_copies();
  // The node's role, which a restart finds again. Workers see a change within a turn.
  void set_role(Role role);
  // The next process is not told what this one was.
  void forget_role() const { shared_.set_role(Role::kAlone); }
  [[nodiscard]] Role role() const { return role_; }

  // Frees what no worker sees, acknowledges, saves, and gives back retired members and bindings
  // without flows. Call a few times a second.
  void settle();
  // Saves what is not on disk yet. For an orderly stop.
  void save_rest();

  [[nodiscard]] const Generation& generation() const { return *live_->generation; }
  [[nodiscard]] const Neighborhood& neighborhood() const { return *neighborhood_; }
  [[nodiscard]] std::span<const NextHop> member_hops() const { return live_->hops; }
  // As published, with the dispositions of now.
  [[nodiscard]] const GenerationSpec& spec() const { return spec_; }
  [[nodiscard]] std::uint64_t acknowledged() const { return acknowledged_; }
  [[nodiscard]] const MemberRegistry& members() const { return members_; }
  [[nodiscard]] DispositionTable dispositions() const { return dispositions_; }
  // Live entries over all workers.
  [[nodiscard]] std::uint64_t flows_of(std::uint16_t member) const;
  // Lines about what is degraded: empty when nothing is.
  [[nodiscard]] const std::string& store_notice() const { return store_notice_; }

 private:
  // Everything that one Forwarding refers to, so that all of it dies together.
  struct Published {
    std::shared_ptr<const Generation> generation;
    std::shared_ptr<const Neighborhood> neighborhood;
    std::vector<NextHop> hops;
    Forwarding forwarding;
  };
  struct Replaced {
    std::unique_ptr<Published> published;
    Quiescence::Token token = 0;
  };

  std::expected<std::vector<ServiceChange>, std::string> build(const GenerationSpec& spec);
  // Why flows would be lost by a change of owners; empty: none would be.
  [[nodiscard]] std::string parted_flows(const Generation& before,
                                         const GenerationSpec& spec) const;
  void swap(std::shared_ptr<const Generation> generation);
  void reclaim();
  void acknowledge();
  void give_up_retired();
  void take_back_given_up();
  void free_given_up();
  void free_bindings();
  void free_copies();
  template <typename EntriesOf>
  [[nodiscard]] bool unused(const EntriesOf& entries_of) const;
  void save();

  WorkerSurroundings& surroundings_;
  GenerationStore store_;
  const bool check_macs_;
  SharedState shared_;
  Role role_ = Role::kAlone;
  MemberRegistry members_;
  BindingRegistry bindings_;
  DispositionTable dispositions_;
  Objection objection_;
  std::function<void()> before_swap_;
  std::span<const std::unique_ptr<Worker>> workers_;
  std::shared_ptr<const Neighborhood> neighborhood_;
  std::unique_ptr<Published> live_;
  std::deque<Replaced> replaced_;  // oldest first
  GenerationSpec spec_;
  std::uint64_t acknowledged_ = 0;
  // Retired members without entries, on the way to be freed, and when every worker has seen that
  // they take no flow.
  std::vector<MemberId> given_up_;
  Quiescence::Token given_up_token_ = 0;
  std::vector<MemberId> held_copies_;  // that are to get flows
  bool unsaved_ = false;
  std::chrono::steady_clock::time_point last_save_{};
  std::string store_notice_;
};

}  // namespace holdfast::dataplane
