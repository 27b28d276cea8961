// SPDX-License-Identifier: Apache-2.0
// Hostile configurations: any bytes are a configuration or at least one error, every error has a
// place in the text, and what is printed about it has no control characters. A valid one reads the
// same a second time.
#include "config/load.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using holdfast::config::Diagnostic;

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void check_diagnostics(const std::vector<Diagnostic>& diagnostics, std::string_view text) {
  const auto lines = std::ranges::count(text, '\n') + 1;
  for (const Diagnostic& diagnostic : diagnostics) {
    require(diagnostic.place.line >= 0 && diagnostic.place.line <= lines);
    require(!diagnostic.message.empty());
  }
  const std::string printed = holdfast::config::render(diagnostics);
  require(std::ranges::none_of(
      printed, [](unsigned char byte) { return (byte < 0x20 && byte != '\n') || byte == 0x7f; }));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto result = holdfast::config::parse_config(text, "fuzz.yaml");
  if (!result) {
    require(!result.error().empty());
    check_diagnostics(result.error(), text);
    return 0;
  }
  check_diagnostics(result->warnings, text);
  const auto again = holdfast::config::parse_sources(result->sources);
  require(again && again->services.size() == result->services.size());
  require(holdfast::config::startup_differences(*result, *again).empty());
  return 0;
}
