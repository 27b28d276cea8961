// SPDX-License-Identifier: Apache-2.0
// The mirror of the kernel's view around our ports: links, addresses, routes of the main table and
// neighbours, dumped at start and followed by netlink; plus the neighbours that the kernel does not
// know, learned from frames. The publisher gets a Neighborhood built from it. Main thread.
//
// Flows bypass the kernel, so it cannot know that a neighbour is in use, and its questions get lost
// like other frames. So an address that it resolved stays until it resolves another one: also while
// its own attempts fail, and, as learned, when it forgets a neighbour that had not failed (its
// cache is full, the interface was touched). A frame to a dead neighbour's last address harms
// nobody.
//
// The kernel resolves neighbours for us: after the privilege drop we cannot add entries, so a small
// UDP datagram to port 9 makes it ask, for members and gateways only, never for a client's address.
#pragma once

#include "dataplane/generation.h"
#include "dataplane/neighborhood.h"
#include "dataplane/process/descriptor.h"
#include "dataplane/process/failure.h"
#include "dataplane/process/netlink.h"
#include "dataplane/state.h"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

struct mnl_socket;

namespace holdfast::dataplane {

class NeighborMirror {
 public:
  // `links` are those of all ports, by index. Subscribes first and dumps then, so nothing is
  // missed. To be opened before the af_packet ports: starting one makes DPDK set the interface's
  // own MAC address again, upon which the kernel forgets every neighbour there.
  static Result<std::unique_ptr<NeighborMirror>> open(std::vector<Link> links,
                                                      std::span<LearnedEntry> learned);
  ~NeighborMirror();

  // Readable when there is something to read().
  [[nodiscard]] int descriptor() const;
  // Takes what netlink has. What a loss of events or a changed route made stale is dumped again;
  // until a dump succeeds, what was known stays, and stale() asks for another read().
  void read();
  [[nodiscard]] bool stale() const { return everything_stale_ || routes_stale_; }

  // A neighbour learned from a frame (address, MAC, port): taken when it is on-link there and the
  // kernel does not know it. When all places are taken, the one learned longest ago gives way.
  void learn(const LearnedEntry& told, const Neighborhood& neighborhood);

  // What is known of a port once it is open: its MAC address, and the twin's interface, whose
  // addresses, routes and neighbours the next read() takes.
  void attach(const Link& link);
  // The state of an owned port's own link. The interface has to be up as well.
  void set_carrier(PortIndex port, bool up);

  // True once after anything that a Neighborhood is built from has changed.
  bool take_changed() { return std::exchange(changed_, false); }
  [[nodiscard]] Neighborhood build() const;
  // Links that came up or went down since the last call, in order.
  struct LinkChange {
    PortIndex port = 0;
    bool up = false;
  };
  std::vector<LinkChange> take_link_changes() { return std::exchange(link_changes_, {}); }

  // The gateways of the routes over our ports, each once.
  [[nodiscard]] std::set<Address> gateways() const;
  // The interface behind which a gateway of ours is; 0 when there is no such gateway.
  [[nodiscard]] std::uint32_t interface_of_gateway(const Address& gateway) const;

  // The first VIP or pool that contains an address of this machine, as a sentence; empty: none
  // does.
  [[nodiscard]] std::string local_address_in(const GenerationSpec& spec) const;

 private:
  struct CloseSocket {
    void operator()(mnl_socket* socket) const;
  };
  using Socket = std::unique_ptr<mnl_socket, CloseSocket>;
  struct Resolved {
    MacAddress mac;
    bool failed = false;  // the last attempt to resolve it again
  };

  NeighborMirror(std::vector<Link> links, std::span<LearnedEntry> learned);
  bool dump_all();
  bool dump_routes();
  bool dump_neighbors();
  // What `parse` makes of a whole dump; nullopt when it failed or changes tore it again and again.
  template <typename Parse>
  static auto dump(std::uint16_t type, const Parse& parse);
  // Calls `take` for each message.
  using Take = std::function<void(const nlmsghdr*)>;
  static bool dump_once(std::uint16_t type, const Take& take);
  void refresh();
  void take(const nlmsghdr* message);
  void take_link(const NetlinkLink& link);
  void take_address(const NetlinkAddress& address);
  void take_neighbor(const NetlinkNeighbor& neighbor);
  [[nodiscard]] Link* link_of(std::uint32_t interface_index);
  [[nodiscard]] const Link* link_of(std::uint32_t interface_index) const;
  void remember(const LearnedEntry& told);
  [[nodiscard]] LearnedEntry& place_for(const Address& address, PortIndex port);

  void set_up(Link& link, bool up);

  // Of a port: what its buffers hold, and what each of its two sides says of the link.
  struct Limits {
    std::uint16_t mtu = 0;
    bool carrier = true;
    bool interface_up = true;
  };
  std::vector<Link> links_;
  std::vector<Limits> limits_;  // by port
  std::span<LearnedEntry> learned_;
  std::uint64_t learned_order_ = 0;
  Socket events_;
  std::vector<NetlinkRoute> routes_;
  std::set<NetlinkAddress> addresses_;
  std::map<std::uint32_t, std::string> interface_names_;
  std::map<std::pair<Address, std::uint32_t>, Resolved> neighbors_;  // by interface index
  std::vector<LinkChange> link_changes_;
  bool routes_stale_ = false;
  bool everything_stale_ = false;
  bool changed_ = true;
};

// Makes the kernel resolve next hops, within bounds: each address once a second, at most 64 a
// second.
class ResolutionProbe {
 public:
  ResolutionProbe();
  // `interface_index` matters for link-local addresses only.
  // Requires: the address is a member's next hop or a gateway; the caller has checked it.
  void provoke(const Address& next_hop, std::uint32_t interface_index, std::uint64_t now_ms);

 private:
  static constexpr std::size_t kOutstanding = 64;
  std::map<Address, std::uint64_t> asked_;  // when, in ms
  Descriptor v4_;
  Descriptor v6_;
};

}  // namespace holdfast::dataplane
