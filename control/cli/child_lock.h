// SPDX-License-Identifier: Apache-2.0
// The lock file by which a supervisor finds a child that another supervisor started. The child
// inherits the locked descriptor, so the lock lasts exactly as long as the child does, whatever
// becomes of its parent; the file holds the child's pid and start time, so that a pid that has been
// used again is not mistaken for it. Start-up and restarts only.
#pragma once

#include "control/admin/file_descriptor.h"

#include <expected>
#include <string>
#include <utility>
#include <variant>

#include <sys/types.h>

namespace holdfast::control {

// A process that holds a lock; the pidfd becomes readable when it ends.
struct Holder {
  pid_t pid = 0;
  FileDescriptor pidfd;
};

// The lock, taken: hand descriptor() to a child, then name it.
class ChildLock {
 public:
  // Takes the lock, or finds who holds it, or says why neither is possible.
  static std::expected<std::variant<ChildLock, Holder>, std::string> take(const std::string& path);

  [[nodiscard]] int descriptor() const { return file_.get(); }
  // Writes who holds the lock from now on. Returns whether it is on disk.
  bool name(pid_t holder) const;
  // The lock for a process that keeps it itself.
  FileDescriptor release() && { return std::move(file_); }

 private:
  explicit ChildLock(FileDescriptor file) : file_(std::move(file)) {}
  FileDescriptor file_;
};

}  // namespace holdfast::control
