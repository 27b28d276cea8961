// SPDX-License-Identifier: Apache-2.0
// The product, put together as Solo puts it together, but so that it can die and be started again
// over the state it left, with the sweeper called by hand, and with all that it counts and keeps
// readable in the words of the model. Tests only; one thread.
#pragma once

#include "dataplane/pipeline.h"
#include "dataplane/worker_state.h"
#include "tests/support/exact_burst.h"
#include "tests/support/model/model.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace holdfast::testing {

struct SubjectOptions {
  dataplane::HashKey key{};
  dataplane::StateGeometry geometry;
};

class Subject {
 public:
  explicit Subject(const SubjectOptions& options);

  // The error is that of build_generation().
  std::string publish(const dataplane::GenerationSpec& spec, std::uint64_t now_ms);
  void surround(const Surroundings& surroundings);
  void set_disposition(const std::string& service, const std::string& backend, Disposition value);
  // Dies, and is started again over the same state and generation. Requires: published.
  std::string restart(std::uint64_t now_ms);
  void sweep(std::uint64_t now_ms) { dataplane::sweep(*worker_, *generation_, now_ms); }

  // What became of each frame. The burst stays readable until the next one.
  std::vector<Foretold> run(const std::vector<Arriving>& frames, std::uint64_t now_ms);
  // The same for frames that were held and come again; empty when there are none.
  std::vector<Foretold> run_released(std::uint64_t now_ms);
  // Where the flow of a frame of the last burst was translated to.
  [[nodiscard]] std::optional<PoolEndpoint> endpoint(std::size_t slot) const;
  [[nodiscard]] Hearsay hearsay() const;
  [[nodiscard]] Counts counts() const;
  [[nodiscard]] std::uint64_t unaccounted() const { return dataplane::unaccounted(worker_->stats); }

  // Members and bindings are numbered in the order of their first appearance, as in the model.
  [[nodiscard]] std::size_t member_count() const;
  [[nodiscard]] Member member(MemberIndex index) const;
  [[nodiscard]] std::map<FlowName, Entry> entries() const;
  [[nodiscard]] std::map<SourceName, Remembered> memory() const;
  [[nodiscard]] std::map<ReplyName, Translation> translations() const;
  // Those that have shown one side only, as they would give way right after a restart.
  [[nodiscard]] std::vector<ReplyName> half_open_after_restart() const;
  // True when two buckets of a flow table are full: what happens next depends on the layout.
  [[nodiscard]] bool crowded() const;

 private:
  using Cell = std::array<std::byte, 64>;

  [[nodiscard]] Translation translation(std::uint32_t index) const;
  [[nodiscard]] std::size_t binding_number(std::uint16_t id) const;
  template <typename Table>
  void read_entries(const Table& table, std::map<FlowName, Entry>& into) const;
  template <typename Table>
  void read_memory(const Table& table, std::map<SourceName, Remembered>& into) const;
  [[nodiscard]] bool holds() const;
  std::vector<Foretold> run_burst(std::uint64_t now_ms);
  void refresh();
  void start(std::uint64_t now_ms);

  SubjectOptions options_;
  struct alignas(64) Line {
    Cell bytes;
  };
  std::vector<Line> memory_;
  dataplane::FlowHasher hasher_;
  std::unique_ptr<dataplane::SharedState> shared_;
  std::unique_ptr<dataplane::MemberRegistry> members_;
  std::unique_ptr<dataplane::BindingRegistry> bindings_;
  std::unique_ptr<dataplane::WorkerState> worker_;
  std::unique_ptr<const dataplane::Generation> generation_;
  dataplane::GenerationSpec spec_;
  dataplane::Neighborhood neighborhood_;
  std::vector<dataplane::NextHop> hops_;
  dataplane::Forwarding forwarding_;
  dataplane::Burst burst_{};
  // Buffers of the last burst, and of bursts some of whose frames may still be held.
  std::vector<std::unique_ptr<ExactBurst>> buffers_;
};

}  // namespace holdfast::testing
