// SPDX-License-Identifier: Apache-2.0
// What the operator asked for, as typed values: the result of load_config(). Defaults stand here,
// in the initialisers, and nowhere else. Read by control, the CLI and replay; immutable after
// loading. A leaf: includes nothing of ours.
#pragma once

#include "config/diagnostic.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace holdfast::config {

// An IPv4 address (first 4 bytes, v6 false) or an IPv6 address, in network order.
struct IpAddress {
  bool v6 = false;
  std::array<std::uint8_t, 16> bytes{};
  // Dotted decimal or RFC 5952 text.
  [[nodiscard]] std::string text() const;
  auto operator<=>(const IpAddress&) const = default;
};

// A VIP, or a prefix of them.
struct Vip {
  IpAddress address;         // no bit is set behind the first `length`
  std::uint8_t length = 32;  // in bits; 32 or 128: a single address
  [[nodiscard]] bool is_single() const { return length == (address.v6 ? 128 : 32); }
  [[nodiscard]] IpAddress last() const;
  [[nodiscard]] bool holds(const IpAddress& other) const;
  // "203.0.113.10", "203.0.113.0/24".
  [[nodiscard]] std::string text() const;
  auto operator<=>(const Vip&) const = default;
};

enum class PortDevice : std::uint8_t {
  kAfPacket,
  kPcap,
  kRing,
  kNull,
  kTap,
  kMemif,
  kPci,
  kAfXdp,
  kBond,
};
// Whether the port's frames are all ours, so that the kernel has to be given its own view of it.
constexpr bool is_owned(PortDevice device) { return device >= PortDevice::kTap; }
// How a bond uses its links: all that the switch agrees to (IEEE 802.1AX), or one at a time.
enum class BondMode : std::uint8_t { kLacp, kActiveBackup };
// What workers do while no frames come.
enum class Idle : std::uint8_t { kSleep, kPoll };
// Which end of a memif makes the socket.
enum class MemifRole : std::uint8_t { kServer, kClient };
enum class Mode : std::uint8_t { kNat, kDsr, kIpip, kGue, kGre, kVxlan };
// Whether packets go to the backend whole, behind outer headers.
constexpr bool is_tunnel(Mode mode) { return mode >= Mode::kIpip; }
enum class HashFields : std::uint8_t { kFiveTuple, kSource, kSourceAndPort, kDestinationPort };
enum class Protocol : std::uint8_t { kTcp, kUdp };
enum class CheckType : std::uint8_t { kTcp, kHttp };
enum class DrainEnd : std::uint8_t { kReset, kKeep, kRemove };
// What becomes of the flows of a backend that is down. kByProtocol, where nothing is said: UDP as
// with kRehash, TCP as with kKeep.
enum class OnDown : std::uint8_t { kByProtocol, kKeep, kReset, kRehash };

using MacAddress = std::array<std::uint8_t, 6>;

// VLAN tags of a port: 802.1Q, perhaps within an 802.1ad service tag. 0: none.
struct Vlan {
  std::uint16_t service = 0;
  std::uint16_t id = 0;
  bool operator==(const Vlan&) const = default;
};

inline constexpr std::uint16_t kDefaultPortMtu = 1500;

struct Port {
  std::string name;
  PortDevice device = PortDevice::kAfPacket;
  std::string interface;      // af_packet, af_xdp: the kernel's; tap: the one that is made
  std::string receive_file;   // pcap: `rx`
  std::string transmit_file;  // pcap: `tx`
  bool repeat = false;        // pcap
  std::uint16_t mtu = kDefaultPortMtu;   // but for af_packet and af_xdp: there the interface's
  Vlan vlan = {};                        // all but af_packet
  std::string pci_address;               // pci: `address`, as 0000:65:00.0
  std::string socket;                    // memif
  MemifRole role = MemifRole::kClient;   // memif
  std::uint32_t memif_id = 0;            // memif: `id`
  BondMode bond_mode = BondMode::kLacp;  // bond: `mode`
  std::vector<std::string> links;        // bond: PCI addresses, names of interfaces that are made
  MacAddress mac{};                      // tap, memif; all zero: made from the names
  std::string twin;                      // owned: the kernel's view of it; empty: none
  Place place;
};

// Start-up keys: a reload that changes one is refused by name.
struct Dataplane {
  std::optional<std::uint32_t> workers;       // nullopt: auto
  std::optional<std::uint64_t> memory_bytes;  // nullopt: auto
  std::uint64_t flows = 1'000'000;
  bool huge_pages = true;  // use them when there are any
  Idle idle = Idle::kSleep;
  std::string hash_key_file;  // 32 hex digits; empty: generated and kept 0600
  std::string socket = "/run/holdfast/dataplane.sock";
  std::string directory = "/var/lib/holdfast/dataplane";
  std::string state_file;  // empty: hugetlbfs, else /dev/shm
  std::string instance = "holdfast";
  std::map<std::string, Place> places;  // of the keys that the file sets
};

struct Control {
  std::string socket = "/run/holdfast/control.sock";
  std::string directory = "/var/lib/holdfast/control";
  std::string metrics = "127.0.0.1:9180";  // address:port; port 0 picks one; "none" for none
  // A reload may take more than half of a service's backends, or a service or VIP with flows.
  bool allow_large_change = false;
  std::map<std::string, Place> places;  // of the keys that the file sets
};

struct AddressRange {
  IpAddress first;
  IpAddress last;
};

struct Nat {
  std::vector<AddressRange> pool;
};

struct StatusRange {
  std::uint16_t first = 200;
  std::uint16_t last = 299;
};

// A check with every default filled in.
struct Check {
  std::string name;  // of the template; "" for an inline or default one
  CheckType type = CheckType::kTcp;
  std::chrono::milliseconds interval{1000};
  std::chrono::milliseconds timeout{500};
  std::uint32_t fall = 3;
  std::uint32_t rise = 3;
  std::uint16_t port = 0;                       // 0: the backend's
  std::string path = "/";                       // http
  std::string host;                             // http; empty: the backend's address
  std::string method = "GET";                   // http
  std::vector<StatusRange> status{{200, 299}};  // http
};

// Routes to the VIPs that are ready, in the kernel's tables, for a routing daemon.
struct Routes {
  std::string device = "holdfast";  // that is made for them
  std::uint8_t protocol = 240;      // by which the daemon knows them
  std::uint32_t table = 254;        // main
  Place place;
};

// One of two nodes that share their VIPs: the other one may have them now.
enum class Role : std::uint8_t { kActive, kStandby };
struct Pair {
  Role start = Role::kStandby;  // until somebody says which it is
  Place place;
};

// What a service's VIPs need of it to be offered to others.
struct Announce {
  std::uint32_t healthy = 1;  // backends that take new flows; 0: the service has no say
};

// The modes ipip, gue, gre and vxlan.
struct Tunnel {
  std::vector<IpAddress> source;  // of the outer header, one per family; else made from the client
  std::uint16_t port = 0;         // gue, vxlan; 0: 6080, with hops 19523; 4789
  std::uint8_t hops = 0;          // gue: backends that a hop list names beside the chosen one
  std::uint32_t vni = 0;          // vxlan
  MacAddress inner_mac = {0x02, 0x00, 0x5e, 0x10, 0x00, 0x02};  // vxlan: source of inner frames
};

// What becomes of the maximum segment size that a SYN announces.
enum class MssRule : std::uint8_t { kAuto, kKeep, kClamp };
struct Mss {
  MssRule rule = MssRule::kAuto;  // auto: clamp in `nat`, else keep
  std::uint16_t most = 0;         // clamp: never more than this; 0: as the way carries
};

struct Backend {
  std::string name;
  IpAddress address;
  std::uint16_t port = 0;      // 0: as the client asked
  std::uint32_t weight = 100;  // 0 to 65535
  std::uint8_t tier = 0;
  MacAddress inner_mac{};  // vxlan: of the interface behind the tunnel
  std::uint16_t mtu = 0;   // of the way there; 0: the port's
  Place place;
};

struct ServicePort {
  Protocol protocol = Protocol::kTcp;
  std::uint16_t first = 0;
  std::uint16_t last = 0;  // inclusive
  Place place;
};

struct Balance {
  std::uint32_t slots = 65537;  // prime, 4093 to 65537
  HashFields hash = HashFields::kFiveTuple;
};

struct Drain {
  std::chrono::milliseconds deadline{std::chrono::seconds(300)};
  DrainEnd then = DrainEnd::kReset;
};

// What an operator's verb has to leave of a service: members that take new flows, and their share
// of the configured weight.
struct MinCapacity {
  std::uint32_t members = 1;
  std::uint32_t percent = 0;
};

struct Timeouts {
  std::chrono::seconds half_open{10};
  std::chrono::seconds established{7440};
  std::chrono::seconds closing{60};
  std::chrono::seconds udp{300};
};

// How long a source prefix's newest flow binds its next ones to the same backend.
struct Affinity {
  std::chrono::seconds time{0};  // 0: none
  std::uint8_t prefix_v4 = 32;   // `prefix`
  std::uint8_t prefix_v6 = 64;   // `prefix6`: a host has a whole /64
};

// When a backend that falls again and again is held back (RFC 2439): each fall is worth 1000.
struct Damping {
  std::chrono::milliseconds half_life{60'000};
  std::uint32_t suppress = 2500;
  std::uint32_t reuse = 750;
  std::chrono::milliseconds max{300'000};  // after the last fall
};

struct Service {
  std::string name;
  std::vector<Vip> vips;
  std::vector<ServicePort> ports;
  Mode mode = Mode::kNat;
  Tunnel tunnel;
  Mss mss;
  Balance balance;
  Affinity affinity;
  Check check;
  bool has_check = true;  // `check: none` turns probing off: always up
  std::optional<Damping> damping = Damping();
  Drain drain;
  OnDown on_down = OnDown::kByProtocol;
  MinCapacity min_capacity;
  Announce announce;
  Timeouts timeouts;
  std::vector<Backend> backends;
  Place place;
};

// A file as it was read, so that a revision can be kept and parsed again (parse_sources).
struct SourceFile {
  std::string name;
  std::string text;
  bool operator==(const SourceFile&) const = default;
};

struct Config {
  int version = 1;
  Dataplane dataplane;
  std::vector<Port> ports;
  Nat nat;
  std::optional<Routes> routes;  // nullopt: none are made
  std::optional<Pair> pair;      // nullopt: the node is alone
  std::vector<Service> services;
  Control control;
  std::vector<std::string> files;    // the main file, then its includes, as read
  std::vector<SourceFile> sources;   // the same files with their text
  std::vector<Diagnostic> warnings;  // what is allowed, but looks like a mistake
};

}  // namespace holdfast::config
