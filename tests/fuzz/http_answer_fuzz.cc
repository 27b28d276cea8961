// SPDX-License-Identifier: Apache-2.0
// Hostile health servers: any bytes, cut anywhere. The answer must not depend on the cuts, and its
// status must be one that HTTP knows.
#include "control/probe/http_answer.h"

#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using holdfast::control::HttpAnswer;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  HttpAnswer whole;
  whole.feed(bytes);
  HttpAnswer pieces;
  const std::size_t piece = size > 0 ? 1 + data[size - 1] % 16 : 1;
  for (std::size_t at = 0; at < size; at += piece) {
    pieces.feed(bytes.substr(at, piece));
  }
  if (whole.state() != pieces.state()) {
    std::abort();
  }
  if (whole.state() == HttpAnswer::State::kWhole &&
      (whole.status() != pieces.status() || whole.status() < 200 || whole.status() > 999)) {
    std::abort();
  }
  return 0;
}
