// SPDX-License-Identifier: Apache-2.0
// Hostile bytes on the seam, in both directions: framing in pieces, then parsing, then the codec.
// What from_wire() accepts must survive the way back unchanged.
#include "dataplane/api/codec.h"
#include "dataplane/api/framing.h"

#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace {

using namespace holdfast;

void check_generation(const seam::Generation& message) {
  if (const auto spec = seam::from_wire(message)) {
    const auto again = seam::from_wire(seam::to_wire(*spec));
    if (!again || *again != *spec) {
      std::abort();
    }
  }
}

void check_filter(const seam::FlowFilter& message) {
  if (const auto filter = seam::from_wire(message)) {
    const auto again = seam::from_wire(seam::to_wire(*filter));
    if (!again || *again != *filter) {
      std::abort();
    }
  }
}

void check_message(const std::string& bytes) {
  seam::Request request;
  if (request.ParseFromString(bytes)) {
    check_generation(request.publish().generation());
    check_filter(request.list_flows().filter());
    check_filter(request.reset_flows().filter());
    static_cast<void>(seam::disposition_from_wire(request.set_disposition().disposition()));
  }
  seam::Reply reply;
  if (reply.ParseFromString(bytes)) {
    check_generation(reply.get_generation().generation());
  }
  seam::Startup startup;
  if (startup.ParseFromString(bytes)) {
    if (const auto spec = seam::from_wire(startup)) {
      const auto again = seam::from_wire(seam::to_wire(*spec));
      if (!again || *again != *spec) {
        std::abort();
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check_message(std::string(bytes));
  seam::FrameDecoder decoder;
  const std::size_t piece = size > 0 ? 1 + data[0] % 32 : 1;
  for (std::size_t at = 0; at < size; at += piece) {
    decoder.feed(bytes.substr(at, piece));
    while (true) {
      const auto message = decoder.next();
      if (!message) {
        return 0;
      }
      if (!message->has_value()) {
        break;
      }
      check_message(**message);
    }
  }
  return 0;
}
