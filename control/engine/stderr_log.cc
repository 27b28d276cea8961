// SPDX-License-Identifier: Apache-2.0
// See stderr_log.h.
#include "control/engine/stderr_log.h"

#include <atomic>
#include <climits>
#include <string_view>

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
class PatientSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit PatientSink(int descriptor) : descriptor_(descriptor) {}
  [[nodiscard]] std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    constexpr std::string_view kCut = "...\n";
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    if (line.size() > PIPE_BUF) {
      line.resize(PIPE_BUF - kCut.size());
      line.append(kCut.data(), kCut.data() + kCut.size());
    }
    // poll() promises room for one PIPE_BUF; a line is no longer than that.
    pollfd entry{.fd = descriptor_, .events = POLLOUT, .revents = 0};
    const bool room = ::poll(&entry, 1, kWaitMs) == 1 && (entry.revents & POLLOUT) != 0;
    if (!room || ::write(descriptor_, line.data(), line.size()) < 0) {
      dropped_.store(dropped() + 1, std::memory_order_relaxed);
    }
  }
  void flush_() override {}

 private:
  int descriptor_;
  std::atomic<std::uint64_t> dropped_{0};
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
  explicit Queue(int descriptor) : sink(std::make_shared<PatientSink>(descriptor)) {}
  std::shared_ptr<PatientSink> sink;
  std::shared_ptr<spdlog::details::thread_pool> thread =
      std::make_shared<spdlog::details::thread_pool>(kQueuedLines, 1);
  std::shared_ptr<spdlog::async_logger> logger = std::make_shared<spdlog::async_logger>(
      "holdfast", sink, thread, spdlog::async_overflow_policy::overrun_oldest);
};

StderrLog::StderrLog(int descriptor) : queue_(std::make_unique<Queue>(descriptor)) {
  queue_->logger->set_pattern("time=%Y-%m-%dT%H:%M:%S.%eZ level=%l %v",
                              spdlog::pattern_time_type::utc);
}

StderrLog::~StderrLog() = default;

std::uint64_t StderrLog::dropped() const {
  return queue_->sink->dropped() + queue_->thread->overrun_counter();
}

void StderrLog::write(Severity severity, const std::string& line) {
  queue_->logger->log(level_of(severity), spdlog::string_view_t(line));
}

}  // namespace holdfast::control
