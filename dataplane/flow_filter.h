// SPDX-License-Identifier: Apache-2.0
// Which flows an operator means, their member aside. Carried by the seam, read by the walk
// (flow_walk.h). Pure, any thread.
#pragma once

#include "dataplane/address.h"
#include "dataplane/burst.h"
#include "dataplane/flow_state.h"
#include "dataplane/prefix.h"
#include "dataplane/spec.h"

#include <cstdint>
#include <optional>

namespace holdfast::dataplane {

struct FlowFilter {
  std::optional<VipPrefix> source;  // prefix of clients, of one family
  std::optional<Address> vip;
  std::uint16_t first_port = 0;  // as the client addresses it
  std::uint16_t last_port = 65'535;
  std::optional<Protocol> protocol;
  std::uint32_t states = 0;  // bits by FlowState; 0: any

  [[nodiscard]] bool matches(const FlowKey& key, FlowState state) const {
    const std::uint16_t port = key.destination_port.to_host();
    return port >= first_port && port <= last_port && (!protocol || key.protocol == *protocol) &&
           (!vip || key.destination == *vip) &&
           (states == 0 || ((states >> static_cast<unsigned>(state)) & 1U) != 0) &&
           (!source || (source->address.is_v4() == key.source.is_v4() &&
                        holds(source->address, source->bits, key.source)));
  }
  bool operator==(const FlowFilter&) const = default;
};

}  // namespace holdfast::dataplane
