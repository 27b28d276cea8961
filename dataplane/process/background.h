// SPDX-License-Identifier: Apache-2.0
// `--succeed`: the process that was started says how it went and ends; what takes over runs on in
// another one, which it has forked before anything else. So whoever starts it (`holdfast upgrade`,
// ExecReload of the systemd unit) waits for it as for any command. The service manager is told
// which process is the main one now before the predecessor ends.
#pragma once

#include "dataplane/process/descriptor.h"
#include "dataplane/process/failure.h"

namespace holdfast::dataplane {

class Background {
 public:
  // Forks; returns in the new process alone. The other one ends with 0 once that one forwards, else
  // with the code of its failure, whose text it prints. Requires: one thread.
  static Result<Background> begin();

  // From here on this process ends with the one that started it. Call again after each change of
  // the user.
  void stay() const;
  // No longer; false: it is gone, and nobody waits for us any more.
  [[nodiscard]] bool leave() const;
  // Returns when the service manager knows, or after two seconds.
  void say_forwards() const;
  void say_failed(const Failure& failure) const;

 private:
  Background(Descriptor parent, int parent_pid)
      : parent_(std::move(parent)), parent_pid_(parent_pid) {}

  Descriptor parent_;
  int parent_pid_;
};

}  // namespace holdfast::dataplane
