// SPDX-License-Identifier: Apache-2.0
// Readers of the configuration's sections: from a tree to the typed model, one value at a time.
// What concerns several values at once is in rules.h. Each reports into the journal and goes on.
#pragma once

#include "config/fields.h"
#include "config/journal.h"
#include "config/model.h"
#include "config/tree.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::config {

inline constexpr std::size_t kLongestPath = 1024;
inline constexpr std::size_t kLongestSocket = 104;  // sun_path less its NUL and ".ro"

// What services start from: the file's `defaults` over the model's.
struct Defaults {
  Check check;
  bool has_check = true;
  std::optional<Damping> damping = Damping();
  Balance balance;
  Affinity affinity;
  Drain drain;
  OnDown on_down = OnDown::kByProtocol;
  MinCapacity min_capacity;
  Announce announce;
  Timeouts timeouts;
  Mss mss;
  Mode mode = Service{}.mode;
  bool mode_known = true;
};

struct CheckTemplate {
  Check check;
  Span where;
};
using CheckTemplates = std::map<std::string, CheckTemplate, std::less<>>;

// A value that was read and the places that later rules complain about.
struct BackendDraft {
  Backend backend;
  Span name;
  Span address;
  Span port;
  Span inner_mac;  // its value, or the name when there is none
  Span mtu;        // likewise
  bool inner_mac_known = false;
};

struct ServiceDraft {
  Service service;
  Span name;
  Span slots;
  Span affinity;
  Span backends_key;
  Span tunnel;              // the key; line 0: there is none
  std::vector<Span> vips;   // parallel to service.vips
  std::vector<Span> ports;  // parallel to service.ports
  std::vector<BackendDraft> backends;
  // Whether the value and every element was read, so that something can be said to be missing.
  bool mode_known = true;
  bool vips_complete = false;
  bool ports_complete = false;
  bool backends_complete = false;
};

struct PoolDraft {
  AddressRange range;
  Span where;
};

// Where the paths of the sockets stand; line 0: the default is meant.
struct SocketPlaces {
  Span control;
  Span dataplane;
  bool complete = true;  // whether those that are there were read
};

struct Draft {
  Config config;
  SocketPlaces sockets;
  Span routes_device;  // or `routes`, when its device is the default
  std::vector<ServiceDraft> services;
  std::vector<PoolDraft> pools;
  bool pools_complete = true;
};

void read_dataplane(const Node& node,
                    Dataplane& dataplane,
                    SocketPlaces& sockets,
                    Journal& journal);
void read_control(const Node& node, Control& control, SocketPlaces& sockets, Journal& journal);
// Names of what a port stands on; a PCI address as the kernel writes it: 0000:65:00.0.
Read<std::string> read_interface(const Node& node);
Read<std::string> read_pci_address(const Node& node);
// A bond's own keys.
void read_bond(const Fields& fields, Port& port);
// What is a bond's link is nothing else. `spans`: the ports' keys.
void check_links(const std::vector<Port>& ports, const std::vector<Span>& spans, Journal& journal);
void read_ports(const Node& node, std::vector<Port>& ports, Journal& journal);
// Returns whether every range was read.
bool read_nat(const Node& node, std::vector<PoolDraft>& pools, Journal& journal);
void read_routes(const Node& node, Draft& draft, Journal& journal);
void read_pair(const Node& node, std::optional<Pair>& pair, Journal& journal);

Defaults read_defaults(const Node& node, Journal& journal);
void read_balance(const Node& node, std::string_view owner, Balance& balance, Journal& journal);
// A map, or none.
void read_affinity(const Node& node, std::string_view owner, Affinity& affinity, Journal& journal);
// A map, or none.
void read_damping(const Node& node,
                  std::string_view owner,
                  std::optional<Damping>& damping,
                  Journal& journal);
void read_drain(const Node& node, std::string_view owner, Drain& drain, Journal& journal);
void read_announce(const Node& node, std::string_view owner, Announce& announce, Journal& journal);
// Only the keys that the mode has; others are refused by name.
void read_tunnel(
    const Node& node, std::string_view owner, Mode mode, Tunnel& tunnel, Journal& journal);
void read_timeouts(const Node& node, std::string_view owner, Timeouts& timeouts, Journal& journal);

// Reads one check over `base`. `name` is kept; "" for an inline one.
Check read_check(const Node& node, const Check& base, std::string name, Journal& journal);
void read_templates(const Node& node,
                    const Check& base,
                    CheckTemplates& templates,
                    Journal& journal);

void read_services(const Node& node,
                   const Defaults& defaults,
                   const CheckTemplates& templates,
                   std::vector<ServiceDraft>& services,
                   Journal& journal);

// "ipip".
std::string_view mode_name(Mode mode);
// Readers of `mode`, `mss` and `min_capacity`, for services and defaults.
Read<Mode> read_mode(const Node& node);
Read<MinCapacity> read_min_capacity(const Node& node);
Read<Mss> read_mss(const Node& node);

}  // namespace holdfast::config
