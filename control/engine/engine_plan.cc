// SPDX-License-Identifier: Apache-2.0
// See engine.h. What a file of the operator's would change: the same checks as of an apply, and the
// tables built to count the slots, but nothing told to anybody.
#include "config/load.h"
#include "control/engine/engine.h"
#include "control/publish/offload.h"
#include "dataplane/api/codec.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <utility>

namespace holdfast::control {

namespace asio = boost::asio;

namespace {

struct Done {
  std::shared_ptr<bool> busy;
  ~Done() { *busy = false; }
};

// What is reckoned away from the control thread.
struct Reckoned {
  std::vector<std::string> changes;
  std::expected<std::vector<std::string>, std::string> slots;
};

}  // namespace

asio::awaitable<VerbResult> Engine::plan(std::string path) {
  if (*planning_) {
    co_return VerbResult{Outcome::kRefused, {"another plan is being made: ask again"}};
  }
  *planning_ = true;
  const Done done{planning_};
  auto read = [path = std::move(path)] { return config::load_config(path); };
  config::LoadResult loaded = co_await offload(parts_.disk, std::move(read));
  if (!loaded) {
    co_return VerbResult{Outcome::kInvalidConfiguration, config::rendered_lines(loaded.error())};
  }
  if (adopted_ && !counters_) {
    co_await refresh(kCountersWait);
  }
  co_return co_await plan_of(std::move(*loaded));
}

asio::awaitable<VerbResult> Engine::plan_of(config::Config wanted) {
  VerbResult result{Outcome::kOk, config::rendered_lines(wanted.warnings)};
  const auto startup = running_startup();
  auto reckon = [running = build_wanted(),
                 then = build_candidate(wanted),
                 flows_of = flows_by_member(),
                 key = startup ? std::optional(startup->hash_key) : std::nullopt] {
    Reckoned reckoned{.changes = planned_changes(running, then, flows_of), .slots = {}};
    if (key) {
      reckoned.slots = planned_slots(running, then, *key);
    }
    return reckoned;
  };
  Reckoned reckoned = co_await offload(parts_.reckon, std::move(reckon));
  if (reckoned.changes.empty()) {
    reckoned.changes.emplace_back("nothing changes in what is forwarded");
  }
  std::ranges::move(reckoned.changes, std::back_inserter(result.lines));
  if (!startup) {
    result.lines.emplace_back("the dataplane is not connected: how many slots move is not known");
  } else if (reckoned.slots) {
    std::ranges::move(*reckoned.slots, std::back_inserter(result.lines));
  } else {
    result.outcome = Outcome::kRefused;
    result.lines.push_back(reckoned.slots.error());
  }
  if (auto large = refused_as_large(wanted); !large.empty()) {
    result.outcome = Outcome::kRefused;
    std::ranges::move(large, std::back_inserter(result.lines));
  }
  if (auto fixed = needing_restart(wanted); !fixed.empty()) {
    result.outcome = Outcome::kInvalidConfiguration;
    std::ranges::move(fixed, std::back_inserter(result.lines));
  }
  co_return result;
}

MemberFlowsOf Engine::flows_by_member() {
  std::map<MemberName, std::optional<std::uint64_t>> flows;
  for (const BackendView& view : backends()) {
    std::optional<std::uint64_t>& sum =
        flows.try_emplace(MemberName{view.service, view.name}, 0).first->second;
    sum = sum && view.flows ? std::optional(*sum + *view.flows) : std::nullopt;
  }
  return [flows = std::move(flows)](std::string_view service, std::string_view backend) {
    const auto found = flows.find({std::string(service), std::string(backend)});
    return found == flows.end() ? std::optional<std::uint64_t>(0) : found->second;
  };
}

}  // namespace holdfast::control
