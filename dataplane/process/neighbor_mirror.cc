// SPDX-License-Identifier: Apache-2.0
// See neighbor_mirror.h.
#include "dataplane/process/neighbor_mirror.h"

#include "dataplane/process/memory_plan.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace holdfast::dataplane {
namespace {

constexpr std::size_t kBufferBytes = 64U << 10U;
constexpr int kReceiveQueueBytes = 4 << 20;
constexpr int kMessagesPerRead = 256;  // then others get their turn
constexpr int kDumpTries = 3;          // in a row, while changes tear them
constexpr std::uint16_t kDiscardPort = 9;

constexpr unsigned kGroups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                             RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;

using Buffer = std::array<char, kBufferBytes>;

bool is_route(std::uint16_t type) { return type == RTM_NEWROUTE || type == RTM_DELROUTE; }

}  // namespace

void NeighborMirror::CloseSocket::operator()(mnl_socket* socket) const { mnl_socket_close(socket); }

NeighborMirror::NeighborMirror(std::vector<Link> links, std::span<LearnedEntry> learned)
    : links_(std::move(links)), learned_(learned) {
  for (const Link& link : links_) {
    limits_.push_back(
        {.mtu = ring_mtu(ring_frame_bytes(link.mtu)), .carrier = true, .interface_up = link.up});
  }
  for (LearnedEntry& entry : learned_) {
    if (entry.used != 0 && (entry.used != 1 || entry.port >= links_.size())) {
      entry = {};
    }
    learned_order_ = std::max(learned_order_, entry.order);
  }
}

NeighborMirror::~NeighborMirror() = default;

Result<std::unique_ptr<NeighborMirror>> NeighborMirror::open(std::vector<Link> links,
                                                             std::span<LearnedEntry> learned) {
  std::unique_ptr<NeighborMirror> mirror(new NeighborMirror(std::move(links), learned));
  mirror->events_.reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!mirror->events_ || mnl_socket_bind(mirror->events_.get(), kGroups, MNL_SOCKET_AUTOPID) < 0) {
    return fail(
        ExitCode::kEnvironment,
        fmt::format("cannot follow netlink (links, routes, neighbours): {}", strerror(errno)));
  }
  const int size = kReceiveQueueBytes;
  ::setsockopt(mirror->descriptor(), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
  if (!mirror->dump_all()) {
    return fail(
        ExitCode::kEnvironment,
        fmt::format("cannot read links, routes and neighbours from netlink: {}", strerror(errno)));
  }
  return mirror;
}

int NeighborMirror::descriptor() const { return mnl_socket_get_fd(events_.get()); }

// The kernel marks a dump during which something changed; the next one is mostly whole.
template <typename Parse>
auto NeighborMirror::dump(std::uint16_t type, const Parse& parse) {
  using Found = std::vector<typename decltype(parse(nullptr))::value_type>;
  for (int i = 0; i < kDumpTries; ++i) {
    Found found;
    const bool whole = dump_once(type, [&](const nlmsghdr* message) {
      if (const auto one = parse(message)) {
        found.push_back(*one);
      }
    });
    if (whole) {
      return std::optional(std::move(found));
    }
    if (errno != EINTR) {
      break;
    }
  }
  return std::optional<Found>();
}

// Nothing of before is given up before its successor is whole.
bool NeighborMirror::dump_all() {
  const auto links = dump(RTM_GETLINK, parse_link);
  const auto addresses = dump(RTM_GETADDR, parse_address);
  if (!links || !addresses) {
    return false;
  }
  std::ranges::for_each(*links, [this](const NetlinkLink& link) { take_link(link); });
  addresses_ = {addresses->begin(), addresses->end()};
  return dump_routes() && dump_neighbors();
}

bool NeighborMirror::dump_routes() {
  auto routes = dump(RTM_GETROUTE, [this](const nlmsghdr* message) {
    const std::vector<NetlinkRoute> hops = parse_route(message);
    const auto ours = std::ranges::find_if(hops, [this](const NetlinkRoute& hop) {
      return hop.refuses || link_of(hop.interface_index) != nullptr;
    });
    return ours == hops.end() ? std::nullopt : std::optional(*ours);
  });
  if (!routes) {
    return false;
  }
  routes_ = std::move(*routes);
  changed_ = true;
  return true;
}

// Each neighbour is taken as if an event told of it, and one that the dump does not name as one
// that the kernel forgot, so that the rules of take_neighbor() hold over a loss of events.
bool NeighborMirror::dump_neighbors() {
  auto told = dump(RTM_GETNEIGH, parse_neighbor);
  if (!told) {
    return false;
  }
  std::set<std::pair<Address, std::uint32_t>> named;
  for (const NetlinkNeighbor& neighbor : *told) {
    named.emplace(neighbor.address, neighbor.interface_index);
  }
  for (const auto& [key, known] : neighbors_) {
    if (!named.contains(key)) {
      told->push_back(
          {.address = key.first, .interface_index = key.second, .mac = std::nullopt, .gone = true});
    }
  }
  std::ranges::for_each(*told, [this](const NetlinkNeighbor& one) { take_neighbor(one); });
  return true;
}

bool NeighborMirror::dump_once(std::uint16_t type, const Take& take) {
  const Socket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  const timeval limit{.tv_sec = 2, .tv_usec = 0};
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0 ||
      ::setsockopt(
          mnl_socket_get_fd(socket.get()), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0) {
    return false;
  }
  Buffer buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = type;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request->nlmsg_seq = 1;
  // The longest of the headers that these requests take; all zero: every family.
  mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg));
  if (mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0) {
    return false;
  }
  const auto each = [](const nlmsghdr* message, void* call) {
    (*static_cast<const Take*>(call))(message);
    return MNL_CB_OK;
  };
  int status = MNL_CB_OK;
  while (status > MNL_CB_STOP) {
    const ssize_t size = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
    if (size <= 0) {
      return false;
    }
    status = mnl_cb_run(buffer.data(),
                        static_cast<std::size_t>(size),
                        1,
                        mnl_socket_get_portid(socket.get()),
                        each,
                        const_cast<Take*>(&take));
  }
  return status == MNL_CB_STOP;
}

void NeighborMirror::read() {
  Buffer buffer;
  for (int i = 0; i < kMessagesPerRead; ++i) {
    const ssize_t size = mnl_socket_recvfrom(events_.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == ENOBUFS) {
      everything_stale_ = true;  // what is still queued is older than the dump: taken before it
      continue;
    }
    if (size <= 0) {
      break;
    }
    int left = static_cast<int>(size);
    const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
    for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      // A changed multipath or replaced route cannot be told from an added one: read them all
      // again.
      if (is_route(message->nlmsg_type)) {
        routes_stale_ = true;
      } else {
        take(message);
      }
    }
  }
  refresh();
}

void NeighborMirror::refresh() {
  if (everything_stale_) {
    everything_stale_ = !dump_all();
    routes_stale_ = everything_stale_;
  } else if (routes_stale_) {
    routes_stale_ = !dump_routes();
  }
}

void NeighborMirror::take(const nlmsghdr* message) {
  switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      if (const auto link = parse_link(message)) {
        take_link(*link);
      }
      break;
    case RTM_NEWADDR:
    case RTM_DELADDR:
      if (const auto address = parse_address(message)) {
        take_address(*address);
      }
      break;
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      if (const auto neighbor = parse_neighbor(message)) {
        take_neighbor(*neighbor);
      }
      break;
    default:
      break;
  }
}

void NeighborMirror::take_link(const NetlinkLink& told) {
  interface_names_[told.index] = told.name;
  Link* link = link_of(told.index);
  if (link == nullptr) {
    return;
  }
  Limits& limits = limits_[link->port];
  limits.interface_up = told.up && !told.gone;
  // The buffers were made for the MTU at start: what they cannot hold must not be sent.
  const std::uint16_t mtu = std::min(told.mtu, limits.mtu);
  changed_ |= link->mac != told.mac || link->mtu != mtu;
  link->mac = told.mac;
  link->mtu = mtu;
  set_up(*link, limits.carrier && limits.interface_up);
}

void NeighborMirror::set_up(Link& link, bool up) {
  if (link.up != up) {
    link.up = up;
    link_changes_.push_back({.port = link.port, .up = up});
    changed_ = true;
  }
}

void NeighborMirror::attach(const Link& link) {
  links_[link.port] = link;
  limits_[link.port] = {.mtu = link.mtu, .carrier = link.up, .interface_up = link.up};
  changed_ = true;
  everything_stale_ |= link.interface_index != 0;
}

void NeighborMirror::set_carrier(PortIndex port, bool up) {
  limits_[port].carrier = up;
  set_up(links_[port], up && limits_[port].interface_up);
}

void NeighborMirror::take_address(const NetlinkAddress& address) {
  NetlinkAddress key = address;
  key.gone = false;
  if (address.gone) {
    addresses_.erase(key);
  } else {
    addresses_.insert(key);
  }
}

void NeighborMirror::take_neighbor(const NetlinkNeighbor& neighbor) {
  const Link* link = link_of(neighbor.interface_index);
  if (link == nullptr) {
    return;
  }
  const auto key = std::pair(neighbor.address, neighbor.interface_index);
  const auto found = neighbors_.find(key);
  if (neighbor.mac) {
    changed_ |= found == neighbors_.end() || found->second.mac != *neighbor.mac;
    neighbors_[key] = {.mac = *neighbor.mac};
  } else if (found != neighbors_.end() && neighbor.gone) {
    if (!found->second.failed) {
      remember({.address = neighbor.address, .mac = found->second.mac, .port = link->port});
    }
    neighbors_.erase(found);
    changed_ = true;
  } else if (found != neighbors_.end()) {
    found->second.failed = true;
  }
}

Link* NeighborMirror::link_of(std::uint32_t interface_index) {
  const auto found = std::ranges::find(links_, interface_index, &Link::interface_index);
  return interface_index == 0 || found == links_.end() ? nullptr : &*found;
}

const Link* NeighborMirror::link_of(std::uint32_t interface_index) const {
  return const_cast<NeighborMirror*>(this)->link_of(interface_index);
}

LearnedEntry& NeighborMirror::place_for(const Address& address, PortIndex port) {
  LearnedEntry* oldest = &learned_[0];
  for (LearnedEntry& entry : learned_) {
    if (entry.used != 0 && entry.address == address && entry.port == port) {
      return entry;
    }
    const auto age = [](const LearnedEntry& of) { return of.used == 0 ? 0 : of.order; };
    if (age(entry) < age(*oldest)) {
      oldest = &entry;
    }
  }
  return *oldest;
}

void NeighborMirror::learn(const LearnedEntry& told, const Neighborhood& neighborhood) {
  const PortIndex port = told.port;
  if (port >= links_.size() || links_[port].interface_index == 0 ||
      neighbors_.contains({told.address, links_[port].interface_index}) ||
      !neighborhood.on_link(told.address, port)) {
    return;
  }
  remember(told);
}

void NeighborMirror::remember(const LearnedEntry& told) {
  if (is_group(told.mac) || told.mac == MacAddress{}) {
    return;
  }
  LearnedEntry& entry = place_for(told.address, told.port);
  changed_ |= entry.used == 0 || entry.address != told.address || entry.port != told.port ||
              entry.mac != told.mac;
  entry = told;
  entry.used = 1;
  entry.order = ++learned_order_;
}

Neighborhood NeighborMirror::build() const {
  std::vector<Route> routes;
  for (const NetlinkRoute& route : routes_) {
    const Link* link = link_of(route.interface_index);
    if (route.refuses || link != nullptr) {
      routes.push_back({.prefix = route.prefix,
                        .length = route.length,
                        .gateway = route.gateway,
                        .port = link == nullptr ? PortIndex{0} : link->port,
                        .metric = route.metric,
                        .refuses = route.refuses});
    }
  }
  std::vector<Neighbor> neighbors;
  for (const LearnedEntry& entry : learned_) {
    if (entry.used != 0) {
      neighbors.push_back({.address = entry.address, .mac = entry.mac, .port = entry.port});
    }
  }
  // The kernel's come last: they win.
  for (const auto& [key, known] : neighbors_) {
    if (const Link* link = link_of(key.second)) {
      neighbors.push_back({.address = key.first, .mac = known.mac, .port = link->port});
    }
  }
  return Neighborhood(links_, routes, neighbors);
}

std::set<Address> NeighborMirror::gateways() const {
  std::set<Address> found;
  for (const NetlinkRoute& route : routes_) {
    if (!route.refuses && link_of(route.interface_index) != nullptr) {
      found.insert(route.gateway);
    }
  }
  found.erase(Address{});
  return found;
}

std::uint32_t NeighborMirror::interface_of_gateway(const Address& gateway) const {
  const auto found = std::ranges::find(routes_, gateway, &NetlinkRoute::gateway);
  return found == routes_.end() ? 0 : found->interface_index;
}

std::string NeighborMirror::local_address_in(const GenerationSpec& spec) const {
  const auto sentence = [&](const NetlinkAddress& local, const char* what) {
    const auto name = interface_names_.find(local.interface_index);
    const std::string interface =
        name == interface_names_.end() ? std::to_string(local.interface_index) : name->second;
    return fmt::format(
        "{} {} is an address of this machine, on {}: the kernel would answer for it; "
        "remove it there (`ip addr del`) or choose another",
        what,
        local.address.text(),
        interface);
  };
  for (const NetlinkAddress& local : addresses_) {
    for (const ServiceSpec& service : spec.services) {
      if (std::ranges::any_of(service.bindings, [&](const BindingSpec& binding) {
            return holds(binding.vip, binding.prefix_bits, local.address);
          })) {
        return fmt::format("service {}: {}", service.name, sentence(local, "VIP"));
      }
    }
    for (const PoolSpec& pool : spec.pools) {
      if (pool.first <= local.address && local.address <= pool.last) {
        return sentence(local, "NAT pool address");
      }
    }
  }
  return {};
}

ResolutionProbe::ResolutionProbe()
    : v4_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
      v6_(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {}

void ResolutionProbe::provoke(const Address& next_hop,
                              std::uint32_t interface_index,
                              std::uint64_t now_ms) {
  std::erase_if(asked_, [&](const auto& entry) { return now_ms - entry.second >= 1000; });
  if (asked_.size() >= kOutstanding || asked_.contains(next_hop)) {
    return;
  }
  asked_.emplace(next_hop, now_ms);
  if (next_hop.is_v4()) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(kDiscardPort);
    to.sin_addr.s_addr = next_hop.v4_bits().wire();
    ::sendto(v4_.get(), "", 0, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&to), sizeof(to));
    return;
  }
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(kDiscardPort);
  to.sin6_scope_id = interface_index;
  std::memcpy(&to.sin6_addr, next_hop.bytes.data(), next_hop.bytes.size());
  ::sendto(v6_.get(), "", 0, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&to), sizeof(to));
}

}  // namespace holdfast::dataplane
