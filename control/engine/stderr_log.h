// SPDX-License-Identifier: Apache-2.0
// Where log lines go in production: through spdlog's asynchronous queue, which drops the oldest
// when it is full, to stderr, which is only written while it takes data. So neither a full pipe nor
// a stopped terminal holds up control, nor its end. What is dropped is counted; a line that is too
// long for one write ends in "...".
#pragma once

#include "control/engine/event_log.h"

#include <cstdint>
#include <memory>
#include <string>

namespace holdfast::control {

class StderrLog {
 public:
  // Requires: `descriptor` stays open. Lines are written to it.
  explicit StderrLog(int descriptor);
  ~StderrLog();
  StderrLog(const StderrLog&) = delete;
  StderrLog& operator=(const StderrLog&) = delete;
  void write(Severity severity, const std::string& line);
  // Lines that were dropped so far, from the queue or at the descriptor. Any thread.
  [[nodiscard]] std::uint64_t dropped() const;

 private:
  struct Queue;
  std::unique_ptr<Queue> queue_;
};

}  // namespace holdfast::control
