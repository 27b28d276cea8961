// SPDX-License-Identifier: Apache-2.0
// The lines of `holdfast replay --verdicts` in the capture's order: those behind a frame that is
// held wait for its end, which comes within the time that a fragment may wait. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <ostream>
#include <string>
#include <utility>

namespace holdfast::control {

class VerdictLines {
 public:
  // Without it nothing is kept. Requires: `out` outlives this, or its last call.
  void write_to(std::ostream& out) { out_ = &out; }

  // Of the next frame; nullopt while it is held.
  void add(std::optional<std::string> line) {
    if (out_ != nullptr) {
      lines_.push_back(std::move(line));
      write();
    }
  }
  // Of a frame that was held. Requires: added as such.
  void settle(std::uint64_t frame, std::string line) {
    if (out_ != nullptr) {
      lines_[frame - first_] = std::move(line);
      write();
    }
  }
  // The capture has ended: `line(frame)` for those that are still held.
  template <typename Line>
  void finish(const Line& line) {
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      if (!lines_[i]) {
        lines_[i] = line(first_ + i);
      }
    }
    write();
  }

 private:
  // What is not behind a frame that is held.
  void write() {
    while (!lines_.empty()) {
      const std::optional<std::string>& next = lines_.front();
      if (!next) {
        return;
      }
      *out_ << *next << '\n';
      lines_.pop_front();
      ++first_;
    }
  }

  std::ostream* out_ = nullptr;
  std::deque<std::optional<std::string>> lines_;
  std::uint64_t first_ = 0;  // frame of the first one
};

}  // namespace holdfast::control
