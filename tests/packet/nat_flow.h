// SPDX-License-Identifier: Apache-2.0
// What tests of mode `nat` say of a flow: the endpoints it was given, and opening one whole.
#pragma once

#include "tests/support/appliance.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace holdfast::testing {

inline Address source_of(const Bytes& frame) {
  return dataplane::Address::v4(
      dataplane::load<Be32>(reinterpret_cast<const std::byte*>(frame.data()) + 26));
}

inline std::uint16_t source_port_of(const Bytes& frame, std::size_t l4 = 34) {
  return static_cast<std::uint16_t>((frame[l4] << 8) | frame[l4 + 1]);
}

// The endpoint of the backend that got the frame, with the pool endpoint it answers to.
struct Translated {
  Endpoint backend;
  Endpoint pool;
};

inline Translated translated(const Outcome& outcome) {
  const std::map<std::string, Endpoint> backends = {
      {"1", kBackend1}, {"2", kBackend2}, {"3", kBackend3}};
  Translated result;
  result.backend = backends.at(outcome.backend);
  result.backend.port = 80;
  result.pool = {source_of(outcome.bytes), source_port_of(outcome.bytes), kLanMac};
  return result;
}

// Another client for each number.
inline Endpoint numbered_client(std::uint32_t number) {
  Endpoint client = kClient.at_port(static_cast<std::uint16_t>(1 + number % 50'000));
  client.address = v4(198, 51, static_cast<std::uint8_t>(100 + number / 50'000), 7);
  return client;
}

// Opens a flow whole. The drop reason when its SYN was dropped.
inline std::optional<dataplane::Drop> establish(Appliance& appliance, const Endpoint& client) {
  const Outcome syn = appliance.send(tcp(client, kVip).syn());
  if (syn.verdict == dataplane::Verdict::kForward) {
    const Translated flow = translated(syn);
    appliance.send(tcp(flow.backend, flow.pool).syn().ack(), kLan);
    appliance.send(tcp(client, kVip).ack());
  }
  return syn.reason;
}

}  // namespace holdfast::testing
