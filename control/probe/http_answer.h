// SPDX-License-Identifier: Apache-2.0
// Reads the head of an HTTP/1.x answer as it comes, from a server that may be hostile: status line
// and header fields (RFC 9112 §4, §5), nothing of the body. Every byte is looked at once, none is
// kept, and after 64 KiB or 1024 fields the answer is garbage; so it is when its Content-Length is
// no number or there are different ones (§6.3). Interim answers (1xx) are passed over. Pure; fuzzed
// (tests/fuzz/http_answer_fuzz.cc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace holdfast::control {

class HttpAnswer {
 public:
  static constexpr std::size_t kMaxBytes = 65536;
  static constexpr std::size_t kMaxFields = 1024;

  enum class State : std::uint8_t { kReading, kWhole, kGarbage };

  // Takes the next bytes; those behind the head are ignored.
  State feed(std::string_view bytes);
  [[nodiscard]] State state() const { return state_; }
  // 200 to 599 and whatever three digits above 199 say. Requires: state() is kWhole.
  [[nodiscard]] int status() const { return status_; }

 private:
  enum class Part : std::uint8_t {
    kVersion,
    kStatus,
    kPhrase,
    kFieldStart,
    kName,
    kValue,
    kLength  // the value of Content-Length
  };
  void take(char byte);
  void take_status(char byte);
  void take_field_start(char byte);
  void take_name(char byte);
  void note_name(char byte);
  void take_length(char byte);
  void end_length();
  // True when the byte ended the line; a CR must be followed by LF.
  bool ends_line(char byte);
  void end_head();

  State state_ = State::kReading;
  Part part_ = Part::kVersion;
  bool after_cr_ = false;
  std::size_t taken_ = 0;  // bytes of the part so far
  std::size_t fields_ = 0;
  std::size_t total_ = 0;
  int status_ = 0;
  bool is_length_ = false;  // so far the field's name is that of Content-Length
  bool length_ended_ = false;
  std::uint64_t length_ = 0;
  std::optional<std::uint64_t> known_length_;
};

}  // namespace holdfast::control
