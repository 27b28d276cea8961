// SPDX-License-Identifier: Apache-2.0
// What the control plane tells the dataplane, as plain values: the start-up specification (once per
// process) and the generation specification (the whole derived forwarding state, sent whole).
// Written by control/publish, `holdfast replay` and tests; carried by dataplane/api; compiled into
// tables by generation.h. No DPDK, no protobuf, no YAML. Names are opaque labels here.
#pragma once

#include "dataplane/address.h"
#include "dataplane/prefix.h"
#include "dataplane/vlan.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::dataplane {

enum class Mode : std::uint8_t { kNat, kDsr, kIpip, kGue, kGre, kVxlan };

constexpr std::string_view mode_name(Mode mode) {
  constexpr std::array<std::string_view, 6> kNames = {"nat", "dsr", "ipip", "gue", "gre", "vxlan"};
  return mode <= Mode::kVxlan ? kNames[static_cast<std::size_t>(mode)] : "unknown";
}
// Whether packets go to the member whole, behind outer headers (encapsulate.h).
constexpr bool is_tunnel(Mode mode) { return mode >= Mode::kIpip; }

// What the fast path does with a member. One byte, written at any time, read per packet. Existing
// flows of those before kReset go on, except where a SYN begins them anew.
enum class Disposition : std::uint8_t {
  kNew,     // takes new flows
  kKeep,    // existing flows only
  kAvoid,   // existing flows; new ones go to the slot's alternative
  kReset,   // existing flows are reset, none are new
  kHold,    // frames of existing flows are held, new flows go to the alternative: not available yet
  kRehash,  // existing flows choose another member, none are new
  kRehashDatagrams,  // those of UDP do; the others as with kAvoid
  kCount
};
inline constexpr std::size_t kDispositions = static_cast<std::size_t>(Disposition::kCount);
inline constexpr std::array<std::string_view, kDispositions> kDispositionNames = {
    "new", "keep", "avoid", "reset", "hold", "rehash", "rehash_datagrams"};

// Which parts of the 5-tuple choose the Maglev slot. But for the 5-tuple neither the VIP nor the
// protocol has a part: a client meets the same member at each address of a service.
enum class HashFields : std::uint8_t {
  kFiveTuple,
  kSource,           // the client's address
  kSourceAndPort,    // the client's address and the destination port
  kDestinationPort,  // the destination port alone
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

// Which end of a memif makes the socket.
enum class MemifRole : std::uint8_t { kServer, kClient };

// A member's name in the registry: an index that may be reused and the epoch that tells its uses
// apart.
struct MemberId {
  std::uint16_t index = 0;
  std::uint8_t epoch = 0;
  constexpr bool operator==(const MemberId&) const = default;
};

struct MemberSpec {
  std::string backend;  // stable key within the service
  Address address;
  std::uint16_t port = 0;      // host order; 0 keeps the destination port
  std::uint32_t weight = 100;  // 0 takes no new flows
  std::uint8_t tier = 0;       // 0 is used first
  MacAddress inner_mac{};      // vxlan: of the interface behind the tunnel
  std::uint16_t mtu = 0;       // longest packet that the way there carries; 0: as the port
  Disposition disposition = Disposition::kNew;
  std::string slot_key;  // what Maglev permutes it by, unique in the service; empty: its name
  [[nodiscard]] const std::string& maglev_key() const {
    return slot_key.empty() ? backend : slot_key;
  }
  constexpr bool operator==(const MemberSpec&) const = default;
};

// One (VIP or prefix of VIPs, protocol, port rule). Ports are host order and inclusive.
struct BindingSpec {
  Address vip;  // of a prefix: no bit is set behind its leading ones
  Protocol protocol = Protocol::kTcp;
  std::uint16_t first_port = 0;
  std::uint16_t last_port = 0;
  std::uint8_t prefix_bits = kWholeAddress;  // as in prefix.h
  constexpr bool operator==(const BindingSpec&) const = default;
};

// A VIP or a prefix of them.
struct VipPrefix {
  Address address;                    // no bit is set behind the leading ones
  std::uint8_t bits = kWholeAddress;  // as in prefix.h
  constexpr auto operator<=>(const VipPrefix&) const = default;
};

// Prefixes of VIPs, in bits of the family: /8 to /32 and /16 to /128.
inline constexpr std::uint8_t kLeastPrefix4 = 8;
inline constexpr std::uint8_t kLeastPrefix6 = 16;

// Stamps are seconds modulo 2^16, and the sweeper comes round within a minute: what is older than
// this could look young again before it is seen.
inline constexpr std::uint16_t kLongestTimeout = 64'800;  // 18 h

// Idle times after which a flow entry ends, in seconds, at most kLongestTimeout.
struct TimeoutSpec {
  std::uint16_t half_open = 10;
  std::uint16_t established = 7440;  // RFC 5382 REQ-5: at least 2 h 4 min
  std::uint16_t closing = 60;
  std::uint16_t udp = 300;  // RFC 4787 REQ-5: 5 min recommended
  constexpr bool operator==(const TimeoutSpec&) const = default;
};

// Source-address affinity (affinity.h): how long the member of a source prefix's newest flow is
// remembered for the next one, and how many bits of the source are that prefix.
struct AffinitySpec {
  std::uint16_t seconds = 0;  // at most kLongestTimeout; 0: nothing is remembered
  std::uint8_t prefix_v4 = 32;
  std::uint8_t prefix_v6 = 128;
  constexpr bool operator==(const AffinitySpec&) const = default;
};

inline constexpr std::size_t kMaxHops = 4;  // of a GUE hop list

// How a tunnel mode wraps packets.
struct TunnelSpec {
  Address source_v4;  // outer source; all zero: made from the client's address and port
  Address source_v6;
  std::uint16_t port = 0;  // gue, vxlan: the member's UDP port; 0: default_tunnel_port()
  std::uint8_t hops = 0;   // gue: most members that a hop list names beside the first; 0: no list
  std::uint32_t vni = 0;   // vxlan, 24 bits
  MacAddress inner_source{};  // vxlan
  constexpr bool operator==(const TunnelSpec&) const = default;
};

// Katran's and GitHub's glb-director's ports for GUE, IANA's for VXLAN; 0 for modes without UDP.
constexpr std::uint16_t default_tunnel_port(Mode mode, bool hop_list) {
  switch (mode) {
    case Mode::kGue:
      return hop_list ? 19523 : 6080;
    case Mode::kVxlan:
      return 4789;
    default:
      return 0;
  }
}

// What becomes of the maximum segment size that a SYN announces (mss.h).
struct MssSpec {
  enum class Rule : std::uint8_t {
    kAuto,   // `nat`: as kClamp; else as kKeep
    kKeep,   // announced as it came
    kClamp,  // at most what the way carries
  };
  Rule rule = Rule::kAuto;
  std::uint16_t most = 0;  // kClamp: never more than this either; 0: no such bound
  constexpr bool operator==(const MssSpec&) const = default;
};
inline constexpr std::uint16_t kLeastMss = 536;  // a bound below the default of IPv4 helps nobody
inline constexpr std::uint16_t kMostMss = 65'495;

// Of a member's mtu: what every host takes (RFC 1122 §3.3.2, RFC 8200 §5).
constexpr std::uint16_t least_mtu(bool v4) { return v4 ? 576 : 1280; }

// Of a port without a network device behind it.
inline constexpr std::uint16_t kDefaultPortMtu = 1500;
inline constexpr std::uint16_t kLeastPortMtu = 576;
inline constexpr std::uint16_t kMostPortMtu = 9216;

struct ServiceSpec {
  std::string name;
  Mode mode = Mode::kNat;
  std::uint32_t slots = 65537;  // prime
  HashFields hash = HashFields::kFiveTuple;
  TimeoutSpec timeouts;
  TunnelSpec tunnel;
  MssSpec mss;
  AffinitySpec affinity;
  std::vector<BindingSpec> bindings;
  std::vector<MemberSpec> members;
  bool operator==(const ServiceSpec&) const = default;
};

// Inclusive range of addresses of one family that `nat` translates to.
struct PoolSpec {
  Address first;
  Address last;
  constexpr bool operator==(const PoolSpec&) const = default;
};

struct GenerationSpec {
  std::uint64_t number = 0;  // rises with each publication
  std::vector<ServiceSpec> services;
  std::vector<PoolSpec> pools;
  bool operator==(const GenerationSpec&) const = default;
};

struct PortSpec {
  std::string name;
  PortDevice device = PortDevice::kNull;
  std::string interface;                 // af_packet, af_xdp: the netdev; tap: the one we make
  std::string receive_file;              // pcap
  std::string transmit_file;             // pcap
  bool repeat = false;                   // pcap: read the file endlessly
  std::uint16_t mtu = kDefaultPortMtu;   // af_packet, af_xdp: unused, it is the netdev's
  VlanTags vlan = {};                    // all but af_packet
  std::string pci_address;               // pci: 0000:65:00.0
  std::string socket;                    // memif
  MemifRole role = MemifRole::kClient;   // memif
  std::uint32_t memif_id = 0;            // memif
  BondMode bond_mode = BondMode::kLacp;  // bond
  std::vector<std::string> links;        // bond: PCI addresses, names of taps
  MacAddress mac{};                      // tap, memif; all zero: made from the names
  std::string twin;                      // owned: the kernel's view of the port; empty: none
  bool operator==(const PortSpec&) const = default;
};

// Whether this node speaks for its addresses: answers ARP and ND for VIPs and pools, announces
// them, makes routes to VIPs. Of a pair one does; the other forwards what comes nevertheless.
enum class Role : std::uint8_t { kAlone, kActive, kStandby };

constexpr std::string_view role_name(Role role) {
  constexpr std::array<std::string_view, 3> kNames = {"alone", "active", "standby"};
  return role <= Role::kStandby ? kNames[static_cast<std::size_t>(role)] : "unknown";
}

// Where the routes to VIPs are made (process/vip_routes.h).
struct RoutesSpec {
  std::string device;           // a TUN device of that name; empty: there are no routes
  std::uint8_t protocol = 240;  // rtm_protocol
  std::uint32_t table = 254;    // the main one
  bool operator==(const RoutesSpec&) const = default;
};

// What workers do while no frames come: sleep until some do, or look for them without a rest.
enum class Idle : std::uint8_t { kSleep, kPoll };

// Fixed for the life of the dataplane process.
struct StartupSpec {
  std::vector<PortSpec> ports;
  std::uint32_t workers = 0;        // 0: one per usable core less one, 1 to 64
  std::uint64_t memory_bytes = 0;   // 0: from flows
  std::uint64_t flows = 1'000'000;  // capacity over all workers
  bool huge_pages = true;           // use them when there are any
  Idle idle = Idle::kSleep;
  RoutesSpec routes;
  Role role = Role::kAlone;  // of one of a pair: until it is told
  std::array<std::uint8_t, 16> hash_key{};
  std::string socket;      // writer's seam; "<socket>.ro" is read-only
  std::string directory;   // persisted generations
  std::string state_file;  // empty: hugetlbfs when mounted, else /dev/shm
  std::string instance;    // label that keeps two instances of one machine apart
  bool operator==(const StartupSpec&) const = default;
};

}  // namespace holdfast::dataplane
