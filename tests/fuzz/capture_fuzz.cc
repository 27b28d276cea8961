// SPDX-License-Identifier: Apache-2.0
// Hostile capture files: any bytes, as `holdfast replay` reads them. Whatever is read keeps the
// bounds that the reader promises, and becomes an Ethernet record when its link type is supported;
// what is lacking is told.
#include "control/cli/capture.h"
#include "control/cli/capture_link.h"
#include "control/cli/offline.h"

#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>
#include <utility>

namespace {

using namespace holdfast::control;

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void check(CaptureRecord record) {
  require(record.bytes.size() <= kMaxCaptured);
  require(record.bytes.size() <= record.original_length);
  require(record.time.nanoseconds < 1'000'000'000);
  require(!(record.cut || record.link == kUnknownLink) || !record.damage.empty());
  if (is_supported_link(record.link)) {
    make_ethernet(record, kOurMac, kNextHopMac);
    require(record.bytes.size() <= record.original_length);
    require(record.link == 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::istringstream in(std::string(reinterpret_cast<const char*>(data), size));
  auto reader = open_capture(in);
  if (!reader) {
    require(!reader.error().empty());
    return 0;
  }
  while (true) {
    auto record = (*reader)->next();
    if (!record || !*record) {
      require(record.has_value() || !record.error().empty());
      return 0;
    }
    check(std::move(**record));
  }
}
