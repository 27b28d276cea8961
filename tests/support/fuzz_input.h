// SPDX-License-Identifier: Apache-2.0
// What the packet fuzzers read, as bytes: for the fuzzers themselves and for the recorder that
// turns the frames of the packet tests into their seeds (frame_record.h). Pure.
//
//   parse_fuzz        room, then the frame
//   parse_rate_fuzz   the frame
//   replay_fuzz       room, then commands; see replay_fuzz.cc for those that no seed has
#pragma once

#include "tests/support/exact_burst.h"

#include <cstdint>

namespace holdfast::testing {

// The room around the one frame of parse_fuzz.
inline Room parse_room(std::uint8_t choice) {
  return {.head = static_cast<std::uint16_t>(choice & 0x03),
          .tail = static_cast<std::uint16_t>((choice >> 2) & 0x3f),
          .beyond = (choice & 0x80) != 0 ? 300U : 0U};
}

// The room around every frame of replay_fuzz; outer headers need bit 4.
inline Room replay_room(std::uint8_t choice) {
  return {.head = static_cast<std::uint16_t>((choice & 3) + ((choice & 16) != 0 ? 128 : 0)),
          .tail = static_cast<std::uint16_t>((choice & 4) != 0 ? 128 : 0),
          .beyond = (choice & 8) != 0 ? 700U : 0U};
}
inline constexpr std::uint8_t kReplayRoom = 4 + 16;

// Commands of replay_fuzz. Below kReplayDisposition time passes: two bytes, shifted by the command.
inline constexpr std::uint8_t kReplayDisposition = 16;
inline constexpr std::uint8_t kReplayPublish = 48;
inline constexpr std::uint8_t kReplayBurst = 56;  // and above; of 1 + command % kReplayMost frames
inline constexpr std::uint8_t kReplayMost = 8;
// A frame is its kind, what the kind asks for, and the damage.
inline constexpr std::uint8_t kReplayLiteral = 31;  // two bytes of size, then the frame
inline constexpr std::uint8_t kReplayUnmended = 32;

// Writes an input of replay_fuzz.
class ReplayInput {
 public:
  void pass(std::uint64_t milliseconds) {
    std::uint8_t shift = 0;
    while (shift + 1 < kReplayDisposition && milliseconds >> shift > 0xffff) {
      ++shift;
    }
    bytes_.push_back(shift);
    word(static_cast<std::uint16_t>(milliseconds >> shift));
  }

  // Frames that are too long for an input are left out.
  void send(std::span<const Bytes> frames) {
    constexpr std::size_t kLongest = 2047;
    for (std::size_t at = 0; at < frames.size(); at += kReplayMost) {
      const auto some = frames.subspan(at, std::min<std::size_t>(kReplayMost, frames.size() - at));
      bytes_.push_back(static_cast<std::uint8_t>(kReplayBurst + some.size() - 1));
      for (const Bytes& frame : some) {
        bytes_.push_back(kReplayLiteral);
        const std::size_t size = frame.size() > kLongest ? 0 : frame.size();
        word(static_cast<std::uint16_t>(size));
        bytes_.insert(
            bytes_.end(), frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size));
        bytes_.push_back(kReplayUnmended);
      }
    }
  }

  [[nodiscard]] const Bytes& bytes() const { return bytes_; }

 private:
  void word(std::uint16_t value) {
    bytes_.push_back(static_cast<std::uint8_t>(value >> 8));
    bytes_.push_back(static_cast<std::uint8_t>(value));
  }

  Bytes bytes_{kReplayRoom};
};

}  // namespace holdfast::testing
