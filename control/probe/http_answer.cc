// SPDX-License-Identifier: Apache-2.0
// See http_answer.h.
#include "control/probe/http_answer.h"

namespace holdfast::control {
namespace {

constexpr std::string_view kVersion = "HTTP/1.";
constexpr std::string_view kContentLength = "content-length";
constexpr std::uint64_t kMostLength = std::uint64_t{1} << 62;

bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

char lower(char byte) {
  return byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte;
}

// RFC 9110 §5.6.2.
bool is_token(char byte) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
  return letter || is_digit(byte) || kMarks.find(byte) != std::string_view::npos;
}

// Field values and phrases: visible, space, tab, and the obsolete high half.
bool is_text(char byte) {
  const auto value = static_cast<std::uint8_t>(byte);
  return byte == '\t' || (value >= 0x20 && value != 0x7f);
}

}  // namespace

HttpAnswer::State HttpAnswer::feed(std::string_view bytes) {
  for (const char byte : bytes) {
    if (state_ != State::kReading) {
      break;
    }
    if (++total_ > kMaxBytes) {
      state_ = State::kGarbage;
      break;
    }
    take(byte);
  }
  return state_;
}

void HttpAnswer::take(char byte) {
  switch (part_) {
    case Part::kVersion: {
      // "HTTP/1." DIGIT SP
      const std::size_t at = taken_++;
      const bool fits = at < kVersion.size()    ? byte == kVersion[at]
                        : at == kVersion.size() ? is_digit(byte)
                                                : byte == ' ';
      if (!fits) {
        state_ = State::kGarbage;
      } else if (at == kVersion.size() + 1) {
        part_ = Part::kStatus;
        taken_ = 0;
        status_ = 0;
      }
      return;
    }
    case Part::kStatus:
      return take_status(byte);
    case Part::kPhrase:
    case Part::kValue:
      if (ends_line(byte)) {
        part_ = Part::kFieldStart;
      } else if (state_ == State::kReading && !after_cr_ && !is_text(byte)) {
        state_ = State::kGarbage;
      }
      return;
    case Part::kFieldStart:
      return take_field_start(byte);
    case Part::kName:
      return take_name(byte);
    case Part::kLength:
      return take_length(byte);
  }
}

void HttpAnswer::take_status(char byte) {
  if (taken_ < 3) {
    if (!is_digit(byte)) {
      state_ = State::kGarbage;
      return;
    }
    status_ = status_ * 10 + (byte - '0');
    ++taken_;
    if (taken_ == 3 && status_ < 100) {
      state_ = State::kGarbage;
    }
    return;
  }
  if (ends_line(byte)) {
    part_ = Part::kFieldStart;
  } else if (byte == ' ' && !after_cr_) {
    part_ = Part::kPhrase;
  } else if (!after_cr_) {
    state_ = State::kGarbage;
  }
}

void HttpAnswer::take_field_start(char byte) {
  if (ends_line(byte)) {
    end_head();
  } else if (state_ == State::kReading && !after_cr_) {
    // A leading blank would fold the line before (obsolete, and a way to hide things).
    if (!is_token(byte) || ++fields_ > kMaxFields) {
      state_ = State::kGarbage;
    }
    part_ = Part::kName;
    taken_ = 0;
    is_length_ = true;
    note_name(byte);
  }
}

void HttpAnswer::take_name(char byte) {
  if (byte == ':') {
    part_ = is_length_ && taken_ == kContentLength.size() ? Part::kLength : Part::kValue;
    taken_ = 0;
    length_ = 0;
    length_ended_ = false;
  } else if (!is_token(byte)) {
    state_ = State::kGarbage;
  } else {
    note_name(byte);
  }
}

void HttpAnswer::note_name(char byte) {
  is_length_ =
      is_length_ && taken_ < kContentLength.size() && lower(byte) == kContentLength[taken_];
  ++taken_;
}

void HttpAnswer::take_length(char byte) {
  if (ends_line(byte)) {
    return end_length();
  }
  if (state_ != State::kReading || after_cr_) {
    return;
  }
  if (byte == ' ' || byte == '\t') {
    length_ended_ = taken_ > 0;
  } else if (!is_digit(byte) || length_ended_ || length_ > kMostLength / 10) {
    state_ = State::kGarbage;
  } else {
    length_ = length_ * 10 + static_cast<std::uint64_t>(byte - '0');
    ++taken_;
  }
}

void HttpAnswer::end_length() {
  if (taken_ == 0 || known_length_.value_or(length_) != length_) {
    state_ = State::kGarbage;
  }
  known_length_ = length_;
  part_ = Part::kFieldStart;
}

bool HttpAnswer::ends_line(char byte) {
  if (after_cr_) {
    after_cr_ = false;
    if (byte != '\n') {
      state_ = State::kGarbage;
    }
    return byte == '\n';
  }
  after_cr_ = byte == '\r';
  return byte == '\n';
}

void HttpAnswer::end_head() {
  if (status_ >= 200) {
    state_ = State::kWhole;
    return;
  }
  // 101 would change the protocol, which nobody asked for.
  state_ = status_ == 101 ? State::kGarbage : State::kReading;
  part_ = Part::kVersion;
  taken_ = 0;
  known_length_.reset();
}

}  // namespace holdfast::control
