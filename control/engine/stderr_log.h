// SPDX-License-Identifier: Apache-2.0
// Where log lines go in production: through spdlog's asynchronous queue, which drops the oldest
// when it is full, to stderr, which is only written while it takes data. So neither a full pipe nor
// a stopped terminal holds up control, nor its end.
#pragma once

#include "control/engine/event_log.h"

#include <memory>
#include <string>

namespace holdfast::control {

class StderrLog {
 public:
  StderrLog();
  ~StderrLog();
  StderrLog(const StderrLog&) = delete;
  StderrLog& operator=(const StderrLog&) = delete;
  void write(Severity severity, const std::string& line);

 private:
  struct Queue;
  std::unique_ptr<Queue> queue_;
};

}  // namespace holdfast::control
