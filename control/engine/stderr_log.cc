// SPDX-License-Identifier: Apache-2.0
// See stderr_log.h.
#include "control/engine/stderr_log.h"

#include <poll.h>
#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

constexpr std::size_t kQueuedLines = 8192;
constexpr int kWaitMs = 20;

// Only the queue's one thread writes here.
class PatientStderr final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    // poll() promises room for one PIPE_BUF; a line is shorter than that.
    pollfd entry{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
    if (::poll(&entry, 1, kWaitMs) == 1 && (entry.revents & POLLOUT) != 0) {
      [[maybe_unused]] const ssize_t written =
          ::write(STDERR_FILENO, line.data(), std::min<std::size_t>(line.size(), 4096));
    }
  }
  void flush_() override {}
};

spdlog::level::level_enum level_of(Severity severity) {
  switch (severity) {
    case Severity::kInfo:
      return spdlog::level::info;
    case Severity::kWarning:
      return spdlog::level::warn;
    case Severity::kError:
      break;
  }
  return spdlog::level::err;
}

}  // namespace

struct StderrLog::Queue {
  std::shared_ptr<spdlog::details::thread_pool> thread =
      std::make_shared<spdlog::details::thread_pool>(kQueuedLines, 1);
  std::shared_ptr<spdlog::async_logger> logger =
      std::make_shared<spdlog::async_logger>("holdfast",
                                             std::make_shared<PatientStderr>(),
                                             thread,
                                             spdlog::async_overflow_policy::overrun_oldest);
};

StderrLog::StderrLog() : queue_(std::make_unique<Queue>()) {
  queue_->logger->set_pattern("time=%Y-%m-%dT%H:%M:%S.%eZ level=%l %v",
                              spdlog::pattern_time_type::utc);
}

StderrLog::~StderrLog() = default;

void StderrLog::write(Severity severity, const std::string& line) {
  queue_->logger->log(level_of(severity), spdlog::string_view_t(line));
}

}  // namespace holdfast::control
