// SPDX-License-Identifier: Apache-2.0
// Telling the formats apart.
#include "control/cli/capture.h"

#include "control/cli/capture_formats.h"

namespace holdfast::control {
namespace {

bool is_gzip(const CaptureMagic& magic) {
  return magic[0] == std::byte{0x1f} && magic[1] == std::byte{0x8b};
}

}  // namespace

std::expected<std::unique_ptr<CaptureReader>, std::string> open_capture(std::istream& in) {
  CaptureStream stream(in);
  CaptureMagic magic{};
  if (stream.read(magic) != CaptureStream::Got::kAll) {
    return std::unexpected(stream.complaint("no capture: it ends within its first four bytes"));
  }
  if (is_pcap(magic)) {
    return open_pcap(stream, magic);
  }
  if (is_pcapng(magic)) {
    return open_pcapng(stream);
  }
  if (is_gzip(magic)) {
    return std::unexpected("no capture: it is compressed; unpack it with gunzip first");
  }
  return std::unexpected("no capture: neither pcap nor pcapng begins like this");
}

}  // namespace holdfast::control
