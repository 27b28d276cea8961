// SPDX-License-Identifier: Apache-2.0
// See vip_routes.h.
#include "dataplane/process/vip_routes.h"

#include "dataplane/prefix.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

constexpr std::size_t kDumpBytes = 64U << 10U;
// Answers to as many fit into a socket's receive queue of the usual size.
constexpr std::size_t kStepsPerMessage = 64;
constexpr int kPacketsPerCall = 64;
constexpr unsigned kRouteGroups = RTMGRP_LINK | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;

using DumpBuffer = std::array<char, kDumpBytes>;

// Whether the packet is for one station: the kernel's own questions on the link (multicast) are
// nobody's loss.
bool is_unicast(std::span<const unsigned char> packet) {
  if (packet.size() >= 20 && packet[0] >> 4U == 4) {
    return packet[16] < 224;
  }
  return packet.size() >= 40 && packet[0] >> 4U == 6 && packet[24] != 0xff;
}

}  // namespace

void VipRoutes::CloseSocket::operator()(mnl_socket* socket) const { mnl_socket_close(socket); }

VipRoutes::VipRoutes(RoutesSpec spec, TapDevice device)
    : spec_(std::move(spec)), index_(device.interface_index()), device_(std::move(device)) {}

VipRoutes::~VipRoutes() = default;

Result<std::unique_ptr<VipRoutes>> VipRoutes::open(const RoutesSpec& spec, Descriptor handed) {
  const TapPlan plan{.name = spec.device, .kind = TapPlan::Kind::kTun};
  auto device = handed.valid() ? TapDevice::adopt(plan, std::move(handed)) : TapDevice::open(plan);
  if (!device) {
    return fail(device.error().code, "routes: " + device.error().text);
  }
  std::unique_ptr<VipRoutes> routes(new VipRoutes(spec, std::move(*device)));
  if (auto opened = routes->open_sockets(); !opened) {
    return std::unexpected(opened.error());
  }
  return routes;
}

Result<void> VipRoutes::open_sockets() {
  requests_.reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  events_.reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK));
  const timeval limit{.tv_sec = 1, .tv_usec = 0};
  if (!requests_ || !events_ || mnl_socket_bind(requests_.get(), 0, MNL_SOCKET_AUTOPID) < 0 ||
      mnl_socket_bind(events_.get(), kRouteGroups, MNL_SOCKET_AUTOPID) < 0 ||
      ::setsockopt(
          mnl_socket_get_fd(requests_.get()), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) !=
          0) {
    return fail(ExitCode::kEnvironment,
                fmt::format("routes: cannot use netlink: {}", strerror(errno)));
  }
  return {};
}

std::expected<void, std::string> VipRoutes::set(std::set<VipPrefix> wanted) {
  wanted_ = std::move(wanted);
  std::vector<Step> steps;
  for (const VipPrefix& vip : installed_) {
    if (!wanted_.contains(vip)) {
      steps.push_back({.vip = vip, .change = Change::kRemove});
    }
  }
  for (const VipPrefix& vip : wanted_) {
    if (!installed_.contains(vip)) {
      steps.push_back({.vip = vip, .change = Change::kAdd});
    }
  }
  const auto done = carry_out(steps);
  problem_ = done ? "" : done.error();
  return done;
}

std::expected<void, std::string> VipRoutes::carry_out(std::span<const Step> steps) {
  std::expected<void, std::string> outcome;
  while (!steps.empty()) {
    const auto some = steps.first(std::min(steps.size(), kStepsPerMessage));
    steps = steps.subspan(some.size());
    if (auto done = send(some); !done && outcome) {
      outcome = std::move(done);
    }
  }
  return outcome;
}

std::expected<void, std::string> VipRoutes::send(std::span<const Step> steps) {
  DumpBuffer buffer{};
  std::size_t size = 0;
  const std::uint32_t first = sequence_ + 1;
  for (const Step& step : steps) {
    size += write(buffer.data() + size, step, ++sequence_);
  }
  if (mnl_socket_sendto(requests_.get(), buffer.data(), size) < 0) {
    return std::unexpected(fmt::format("the kernel takes no routes: {}", strerror(errno)));
  }
  return take_answers(steps, first);
}

std::size_t VipRoutes::write(char* at, const Step& step, std::uint32_t sequence) const {
  const bool v4 = step.vip.address.is_v4();
  const bool add = step.change == Change::kAdd;
  nlmsghdr* message = mnl_nlmsg_put_header(at);
  message->nlmsg_type = add ? RTM_NEWROUTE : RTM_DELROUTE;
  // Appended, so that another route of the same prefix is neither replaced nor an obstacle.
  const int creates = add ? NLM_F_CREATE | NLM_F_APPEND : 0;
  message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | creates);
  message->nlmsg_seq = sequence;
  auto* route = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(rtmsg)));
  route->rtm_family = v4 ? AF_INET : AF_INET6;
  route->rtm_dst_len = static_cast<std::uint8_t>(step.vip.bits - (v4 ? kMappedBits : 0));
  route->rtm_table = RT_TABLE_UNSPEC;
  route->rtm_protocol = spec_.protocol;
  route->rtm_scope = v4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  route->rtm_type = RTN_UNICAST;
  const auto bytes = std::span(step.vip.address.bytes).last(v4 ? 4 : 16);
  mnl_attr_put(message, RTA_DST, bytes.size(), bytes.data());
  mnl_attr_put_u32(message, RTA_OIF, index_);
  mnl_attr_put_u32(message, RTA_TABLE, spec_.table);
  return message->nlmsg_len;  // aligned, as every attribute is
}

std::expected<void, std::string> VipRoutes::take_answers(std::span<const Step> steps,
                                                         std::uint32_t first) {
  DumpBuffer buffer;
  std::expected<void, std::string> outcome;
  for (std::size_t answered = 0; answered < steps.size();) {
    const ssize_t size = mnl_socket_recvfrom(requests_.get(), buffer.data(), buffer.size());
    if (size <= 0) {
      return std::unexpected(fmt::format("the kernel does not answer: {}", strerror(errno)));
    }
    int left = static_cast<int>(size);
    const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
    for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      const std::uint32_t place = message->nlmsg_seq - first;
      if (message->nlmsg_type != NLMSG_ERROR || place >= steps.size()) {
        continue;  // of a request that was given up
      }
      nlmsgerr answer{};
      std::memcpy(&answer, mnl_nlmsg_get_payload(message), sizeof(answer));
      if (auto done = note_done(steps[place], -answer.error); !done && outcome) {
        outcome = std::move(done);
      }
      ++answered;
    }
  }
  return outcome;
}

// What is there already, or already gone, is as it should be.
std::expected<void, std::string> VipRoutes::note_done(const Step& step, int error) {
  const bool add = step.change == Change::kAdd;
  if (error != 0 && error != (add ? EEXIST : ESRCH)) {
    return std::unexpected(fmt::format("cannot {} the route to {} on {}: {}",
                                       add ? "make" : "withdraw",
                                       prefix_text(step.vip.address, step.vip.bits),
                                       spec_.device,
                                       strerror(error)));
  }
  if (add) {
    installed_.insert(step.vip);
  } else {
    installed_.erase(step.vip);
    withdrawn_[step.vip] += error == 0 ? 1 : 0;
  }
  return {};
}

bool VipRoutes::mend() {
  const Loss loss = read_events();
  if (loss != Loss::kNone) {
    std::erase_if(installed_, [this](const VipPrefix& vip) { return wanted_.contains(vip); });
  }
  if (loss == Loss::kDevice && !make_device_again()) {
    return true;
  }
  if (installed_ != wanted_) {
    [[maybe_unused]] const auto outcome = set(std::exchange(wanted_, {}));
  }
  return loss != Loss::kNone && !wanted_.empty();
}

bool VipRoutes::make_device_again() {
  device_.reset();
  index_ = 0;
  auto device = TapDevice::open({.name = spec_.device, .kind = TapPlan::Kind::kTun});
  if (!device) {
    problem_ = device.error().text;
    return false;
  }
  index_ = device->interface_index();
  device_ = std::move(*device);
  return true;
}

VipRoutes::Loss VipRoutes::read_events() {
  Loss loss = device_ ? Loss::kNone : Loss::kDevice;
  DumpBuffer buffer;
  while (true) {
    const ssize_t size = mnl_socket_recvfrom(events_.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == ENOBUFS) {
      withdrawn_.clear();
      loss = std::max(loss, Loss::kRoutes);
      continue;
    }
    if (size <= 0) {
      break;
    }
    int left = static_cast<int>(size);
    const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
    for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      loss = std::max(loss, loss_in(message));
    }
  }
  return loss;
}

// A device that is set down loses its routes of IPv4 without a word of them; when it comes up again
// they are put back.
VipRoutes::Loss VipRoutes::loss_in(const nlmsghdr* message) {
  if (message->nlmsg_type == RTM_NEWLINK || message->nlmsg_type == RTM_DELLINK) {
    const auto link = parse_link(message);
    if (!link || link->index != index_ || index_ == 0) {
      return Loss::kNone;
    }
    if (link->gone) {
      return Loss::kDevice;
    }
    const bool came_up = link->up && !std::exchange(up_, link->up);
    up_ = link->up;
    return came_up ? Loss::kRoutes : Loss::kNone;
  }
  const auto gone = message->nlmsg_type == RTM_DELROUTE ? parse_route_name(message) : std::nullopt;
  if (!gone || gone->interface_index != index_) {
    return Loss::kNone;
  }
  const VipPrefix vip{
      gone->prefix,
      static_cast<std::uint8_t>(gone->length + (gone->prefix.is_v4() ? kMappedBits : 0))};
  if (const auto ours = withdrawn_.find(vip); ours != withdrawn_.end()) {
    if (--ours->second == 0) {
      withdrawn_.erase(ours);
    }
    return Loss::kNone;
  }
  return wanted_.contains(vip) ? Loss::kRoutes : Loss::kNone;
}

void VipRoutes::discard() {
  std::array<unsigned char, 64> start;  // the rest of a packet goes with it
  for (int i = 0; device_ && i < kPacketsPerCall; ++i) {
    const ssize_t size = ::read(device_->descriptor(), start.data(), start.size());
    if (size <= 0) {
      break;
    }
    discarded_ += is_unicast(std::span(start).first(static_cast<std::size_t>(size))) ? 1U : 0U;
  }
}

}  // namespace holdfast::dataplane
