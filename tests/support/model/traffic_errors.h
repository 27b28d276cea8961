// SPDX-License-Identifier: Apache-2.0
// ICMP errors by number, mostly about flows that there are. Part of traffic.cc; tests only.
#pragma once

#include "tests/support/model/traffic.h"

namespace holdfast::testing {

// Somebody's flow to a VIP, which there may be or not.
struct Somebody {
  Endpoint client;
  Endpoint vip;
  bool tcp = true;
};

// To a VIP, or of kind kErrorInside to a pool address. What is odd about the quote is chosen by the
// oddity's argument, one time in four where the frame has no other oddity.
Packet build_error(const FrameOp& op, const Model& model, const Somebody& somebody);

}  // namespace holdfast::testing
