// SPDX-License-Identifier: Apache-2.0
// Counted reading.
#include "control/cli/capture_stream.h"

namespace holdfast::control {

CaptureStream::Got CaptureStream::read(std::span<std::byte> into) {
  if (into.empty()) {
    return Got::kAll;
  }
  in_.read(reinterpret_cast<char*>(into.data()), static_cast<std::streamsize>(into.size()));
  const auto count = static_cast<std::size_t>(in_.gcount());
  offset_ += count;
  if (count == into.size()) {
    return Got::kAll;
  }
  return count == 0 ? Got::kNothing : Got::kPart;
}

std::vector<std::byte> CaptureStream::take(std::size_t count) {
  std::vector<std::byte> bytes(count);
  const std::uint64_t begin = offset_;
  read(bytes);
  bytes.resize(offset_ - begin);
  return bytes;
}

CaptureStream::Got CaptureStream::skip(std::uint64_t count) {
  std::array<std::byte, 4096> ignored;
  bool some = false;
  while (count > 0) {
    const std::size_t piece = std::min<std::uint64_t>(count, ignored.size());
    if (const Got got = read(std::span(ignored).first(piece)); got != Got::kAll) {
      return some ? Got::kPart : got;
    }
    some = true;
    count -= piece;
  }
  return Got::kAll;
}

std::string CaptureStream::complaint(std::string_view what) const {
  std::string text = failed() ? "the input cannot be read" : std::string(what);
  text.append(" (byte ").append(std::to_string(offset_)).append(")");
  return text;
}

}  // namespace holdfast::control
