// SPDX-License-Identifier: Apache-2.0
// A configuration's forwarding without any process: what `trace` and `replay` run packets through.
// The pipeline is the dataplane's own with one worker; what only a running node knows is assumed:
//   - every backend is up, but for those that --down names;
//   - packets enter the first port (--port) and go back to clients by it; frames to backends leave
//     by the next other port, when there is one;
//   - frames enter and leave with the VLAN tags of their port;
//   - every port has the MAC address kOurMac and its `mtu`, or 65535 where that is a netdev's;
//   every
//     next hop is resolved, to kNextHopMac (--next-hop-mac);
//   - the hash key is the configuration's; without `hash_key_file` the one this node has generated;
//     when there is none that can be read, kFixedKey.
// Blocking (files); one thread.
#pragma once

#include "config/model.h"
#include "control/cli/program.h"
#include "control/publish/hash_key.h"
#include "dataplane/solo.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::control {

class Verb;

inline constexpr dataplane::MacAddress kOurMac = {0x02, 0x00, 0x5e, 0x10, 0x00, 0x01};
inline constexpr dataplane::MacAddress kNextHopMac = {0x02, 0x00, 0x5e, 0x20, 0x00, 0x01};
inline constexpr HashKey kFixedKey = {
    'h', 'o', 'l', 'd', 'f', 'a', 's', 't', ' ', 'f', 'i', 'x', 'e', 'd', ' ', '1'};

enum class KeyOrigin : std::uint8_t { kConfigured, kNode, kFixed };

struct OfflineOptions {
  std::string config;
  std::string port;               // empty: the first one
  std::vector<std::string> down;  // SERVICE/BACKEND
  dataplane::MacAddress next_hop = kNextHopMac;
  bool match_mac = false;      // compare destination MAC addresses with kOurMac
  std::uint64_t flows = 4096;  // most flows that are tracked at once
};

struct Offline {
  std::unique_ptr<dataplane::Solo> solo;
  dataplane::GenerationSpec spec;  // what it was built from
  dataplane::PortIndex entry = 0;
  KeyOrigin key = KeyOrigin::kFixed;
};

// --config, --down and the rest that both verbs have.
void add_offline(Verb& verb, OfflineOptions& options);

// Loads the configuration and builds its forwarding. When nothing is returned, what is wrong has
// been printed and the exit code set. Warns on the error stream when kFixedKey is used.
std::optional<Offline> set_up_offline(const OfflineOptions& options, Context& context);

// "02:00:5e:20:00:01"; nullopt for anything else.
std::optional<dataplane::MacAddress> parse_mac(std::string_view text);
std::string mac_text(const dataplane::MacAddress& mac);

// "configured", "node", "fixed".
std::string_view key_origin_name(KeyOrigin origin);

}  // namespace holdfast::control
