// SPDX-License-Identifier: Apache-2.0
// The whole pipeline with one worker over heap memory: the same stages and tables as in the
// process, without ports. `holdfast trace`, `holdfast replay`, tests and fuzzers run packets
// through it. One thread.
#pragma once

#include "dataplane/burst.h"
#include "dataplane/generation.h"
#include "dataplane/neighborhood.h"
#include "dataplane/pipeline.h"
#include "dataplane/state.h"
#include "dataplane/worker_state.h"

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::dataplane {

struct SoloOptions {
  HashKey key{};
  std::uint64_t flows = 65'536;
  bool check_macs = true;
};

class Solo {
 public:
  // The error is that of build_generation().
  static std::expected<std::unique_ptr<Solo>, std::string> create(const GenerationSpec& spec,
                                                                  Neighborhood neighborhood,
                                                                  const SoloOptions& options);

  // Replaces the generation, as a reload does; flows stay.
  std::expected<std::vector<ServiceChange>, std::string> publish(const GenerationSpec& spec);
  void set_neighborhood(Neighborhood neighborhood);
  // All members of that name in the service. Returns how many there are.
  std::size_t set_disposition(std::string_view service,
                              std::string_view backend,
                              Disposition disposition);

  // Sweeps, then parses and runs a burst whose frames are set and begun. `now_ms` never falls.
  // Frames that get kHold stay the caller's, as they are, until take_released() gives them back.
  void run(Burst& burst, std::uint64_t now_ms);
  // Sets and begins the burst with frames that were held; false when there are none to run. After
  // each run(), until it is false.
  bool take_released(Burst& burst);

  [[nodiscard]] const Generation& generation() const { return *generation_; }
  [[nodiscard]] const Neighborhood& neighborhood() const { return neighborhood_; }
  [[nodiscard]] WorkerState& worker() { return *worker_; }
  [[nodiscard]] const Forwarding& forwarding() const { return forwarding_; }
  [[nodiscard]] const SharedState& shared() const { return shared_; }
  // Names of a member, for what is printed.
  [[nodiscard]] const MemberRecord& member_record(MemberId id) const {
    return shared_.member_records()[id.index];
  }

 private:
  struct FreeMemory {
    void operator()(std::byte* memory) const;
  };
  using Memory = std::unique_ptr<std::byte[], FreeMemory>;

  Solo(Memory memory, const SharedState& shared, const SoloOptions& options);
  void refresh_forwarding();

  Memory memory_;
  SharedState shared_;
  FlowHasher hasher_;
  MemberRegistry members_;
  BindingRegistry bindings_;
  std::unique_ptr<WorkerState> worker_;
  std::unique_ptr<const Generation> generation_;
  Neighborhood neighborhood_;
  std::vector<NextHop> member_hops_;
  Forwarding forwarding_;
  std::uint64_t now_ms_ = 0;  // of the last run
};

}  // namespace holdfast::dataplane
