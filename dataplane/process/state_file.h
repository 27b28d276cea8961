// SPDX-License-Identifier: Apache-2.0
// The state file: the shared state (state.h) as a mapping of a file that outlives this process.
// Where one that fits is already, else on hugetlbfs when there is one with enough free pages, else
// in /dev/shm, which works and is slower.
// One owner, by lock. Start-up only; the mapping stays until the process ends.
#pragma once

#include "dataplane/process/descriptor.h"
#include "dataplane/process/failure.h"
#include "dataplane/process/memory_plan.h"
#include "dataplane/spec.h"
#include "dataplane/state.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace holdfast::dataplane {

// A state file that is open and locked, and its memory.
struct MappedState {
  Descriptor file;
  std::span<std::byte> memory;
  SharedState state;
};

// Says whether a process started like that could go on with the flows of the one that runs. Reads
// the file only, and takes no lock: the other one goes on. What it says is a line for the operator.
Result<std::string> examine_state(const StartupSpec& startup);

class StateFile {
 public:
  // Maps the file, adopts what an earlier process left in it, or puts it aside as `<file>.aside`
  // and starts with what can be had of it: with all of it but the flows where its sizes are others,
  // empty where it cannot be used, with the reason among the notices. One in the other of the
  // default places is removed: what stands there is older, and must not be found by a later start.
  // Its lock makes a second instance fail with the owner's process id.
  static Result<StateFile> open(const StartupSpec& startup, const MemoryPlan& plan);
  // Maps the file of a process that still writes to it, which hands it over with its lock. Nothing
  // is changed, nothing removed; a file that does not fit is refused.
  static Result<StateFile> share(const StartupSpec& startup,
                                 const MemoryPlan& plan,
                                 Descriptor file);
  StateFile(StateFile&& other) noexcept;
  StateFile& operator=(StateFile&&) = delete;
  ~StateFile();

  [[nodiscard]] const SharedState& state() const { return state_; }
  [[nodiscard]] bool adopted() const { return adopted_; }
  // Where the flows of an earlier process of other sizes still are; nullptr: there is none. Until
  // settle() a process that ends leaves them there for the next one.
  [[nodiscard]] const SharedState* former() const { return former_ ? &former_->state : nullptr; }
  // Gives the memory of `former` back. Requires: what it had is in state().
  void settle();
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const Descriptor& file() const { return file_; }
  [[nodiscard]] const std::vector<std::string>& notices() const { return notices_; }

 private:
  StateFile(std::string path, MappedState mapped);
  void note_pages();
  void note_mended();

  std::string path_;
  Descriptor file_;  // carries the lock
  std::span<std::byte> memory_;
  SharedState state_;
  bool adopted_ = false;
  std::optional<MappedState> former_;
  std::vector<std::string> notices_;
};

// Where the file goes when the start-up message does not say: the first hugetlbfs of 2 MiB pages
// that this process may write to, else /dev/shm.
std::string default_state_path(const std::string& instance, bool huge_pages);

// The state files that are there, for `MachineMemory`.
struct StatesFound {
  StateFound huge;
  StateFound ordinary;
};
StatesFound load_states_found(const StartupSpec& startup);

}  // namespace holdfast::dataplane
