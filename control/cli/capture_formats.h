// SPDX-License-Identifier: Apache-2.0
// The two formats behind open_capture(). Each opener gets the four bytes that told the format.
#pragma once

#include "control/cli/capture.h"
#include "control/cli/capture_stream.h"

#include <array>
#include <cstddef>
#include <expected>
#include <memory>
#include <string>

namespace holdfast::control {

using CaptureMagic = std::array<std::byte, 4>;
using OpenedCapture = std::expected<std::unique_ptr<CaptureReader>, std::string>;

bool is_pcap(const CaptureMagic& magic);
OpenedCapture open_pcap(CaptureStream stream, const CaptureMagic& magic);

bool is_pcapng(const CaptureMagic& magic);
OpenedCapture open_pcapng(CaptureStream stream);

}  // namespace holdfast::control
