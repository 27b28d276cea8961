// SPDX-License-Identifier: Apache-2.0
// `holdfast replay`: a capture through the pipeline, frame by frame. This is the part without
// files: a record in, its verdict and what would be transmitted out. Each frame runs alone, in a
// buffer of its own size with 128 bytes of room on both sides, at its record's time; flows stay
// from record to record, so replies in the same capture are reversed. A frame that is held (an
// early fragment) keeps its buffer until it is released. One thread.
#pragma once

#include "control/cli/capture.h"
#include "control/cli/replay_clock.h"
#include "dataplane/solo.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace holdfast::control {

struct ReplayedFrame {
  std::vector<std::byte> bytes;
  std::uint32_t original_length = 0;  // more than bytes.size() when the record was cut
  dataplane::PortIndex port = 0;      // by which it leaves
};

struct ReplayResult {
  dataplane::Verdict verdict = dataplane::Verdict::kPending;
  std::optional<dataplane::Drop> reason = std::nullopt;  // with kDrop
  std::string service = {};                              // empty: none, or unknown
  std::string backend = {};                              // empty: none was chosen
  std::string icmp_error = {};  // the flow that the frame is an ICMP error about; empty: none
  std::vector<ReplayedFrame> sent = {};
};

// What became of an earlier record in the end.
struct ReleasedRecord {
  std::uint64_t number = 0;  // of pushed ones, from 0
  ReplayResult result;
};

class Replay {
 public:
  // Frames enter `entry`. Requires: `solo` outlives this.
  Replay(dataplane::Solo& solo, dataplane::PortIndex entry);
  ~Replay();
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;

  // Takes any record. Of one with a short snapshot length the missing bytes count as there, but
  // where a header is missing it is dropped as truncated. Two kinds reach neither the pipeline nor
  // the clock: a record whose bytes the file lacks is dropped as truncated, and one of a link type
  // that is not supported is the kernel's, as any frame is that the pipeline cannot tell.
  ReplayResult push(CaptureRecord record);
  // Records of before that were held, and whose end the last push() brought: in the order in which
  // they were released, behind the pushed one.
  std::vector<ReleasedRecord> released() { return std::exchange(released_, {}); }

 private:
  struct Buffer;

  void run_released();
  void pass_time(std::uint64_t until_ms);
  [[nodiscard]] ReplayResult result_of(const dataplane::Burst& burst, dataplane::Slot slot) const;

  dataplane::Solo& solo_;
  dataplane::PortIndex entry_;
  ReplayClock clock_;
  std::uint64_t now_ms_ = 0;
  dataplane::Burst burst_{};
  std::uint64_t pushed_ = 0;
  std::map<const void*, std::unique_ptr<Buffer>> held_;  // by frame handle
  std::vector<ReleasedRecord> released_;
};

// "forward", "reply", "kernel", "hold", "drop".
std::string_view verdict_name(dataplane::Verdict verdict);

}  // namespace holdfast::control
