// SPDX-License-Identifier: Apache-2.0
// See tap_device.h.
#include "dataplane/process/tap_device.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

namespace holdfast::dataplane {
namespace {

// The kernel's queue towards us. Its default of 500 frames is a burst of 5 ms at 100 kpps.
constexpr int kQueueFrames = 4096;
constexpr int kQueuePackets = 64;  // of a TUN: nobody waits for them
constexpr std::size_t kMostSegments = 16;

ifreq tap_request_for(const std::string& name) {
  ifreq request{};
  std::ranges::copy(std::string_view(name).substr(0, IFNAMSIZ - 1), request.ifr_name);
  return request;
}

// Only what differs is written: the kernel forgets an interface's neighbours when its MAC address
// is set, be it the same.
bool set_mac(int socket, ifreq request, const MacAddress& mac) {
  if (::ioctl(socket, SIOCGIFHWADDR, &request) != 0) {
    return false;
  }
  if (std::memcmp(request.ifr_hwaddr.sa_data, mac.data(), mac.size()) == 0) {
    return true;
  }
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  std::ranges::copy(mac, request.ifr_hwaddr.sa_data);
  return ::ioctl(socket, SIOCSIFHWADDR, &request) == 0;
}

bool bring_up(int socket, ifreq request) {
  if (::ioctl(socket, SIOCGIFFLAGS, &request) != 0) {
    return false;
  }
  request.ifr_flags |= IFF_UP;
  return ::ioctl(socket, SIOCSIFFLAGS, &request) == 0;
}

std::string why_no_device(TapPlan::Kind kind) {
  switch (errno) {
    case EPERM:
      return kind == TapPlan::Kind::kTun
                 ? "it needs CAP_NET_ADMIN"
                 : "it needs CAP_NET_ADMIN, or an interface made for this user (`ip tuntap add`)";
    case EBUSY:
      return "another process holds that interface";
    case EINVAL:
      return "there is another interface of that name: choose another name";
    default:
      return strerror(errno);
  }
}

}  // namespace

Result<TapDevice> TapDevice::open(const TapPlan& plan) {
  Descriptor fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) {
    return fail(ExitCode::kEnvironment,
                fmt::format("cannot open /dev/net/tun: {}: load the module tun, and let the "
                            "container have the device",
                            strerror(errno)));
  }
  ifreq request = tap_request_for(plan.name);
  request.ifr_flags =
      static_cast<short>((plan.kind == TapPlan::Kind::kTun ? IFF_TUN : IFF_TAP) | IFF_NO_PI);
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    return fail(
        ExitCode::kEnvironment,
        fmt::format("cannot make the interface {}: {}", plan.name, why_no_device(plan.kind)));
  }
  TapDevice device(std::move(fd));
  if (auto set = device.set_up(plan); !set) {
    return std::unexpected(set.error());
  }
  return device;
}

Result<TapDevice> TapDevice::adopt(const TapPlan& plan, Descriptor device) {
  TapDevice adopted(std::move(device));
  if (auto set = adopted.set_up(plan); !set) {
    return std::unexpected(set.error());
  }
  return adopted;
}

// Somebody may have made the TUN before, to stay: then it would keep its routes without us.
bool TapDevice::set_persistence(const TapPlan& plan) const {
  if (plan.stays || plan.kind == TapPlan::Kind::kTun) {
    return ::ioctl(fd_.get(), TUNSETPERSIST, plan.stays ? 1UL : 0UL) == 0;
  }
  return true;
}

Result<void> TapDevice::set_up(const TapPlan& plan) {
  const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const ifreq named = tap_request_for(plan.name);
  ifreq mtu = named;
  mtu.ifr_mtu = plan.mtu;
  ifreq queue = named;
  queue.ifr_qlen = plan.kind == TapPlan::Kind::kTun ? kQueuePackets : kQueueFrames;
  const bool set =
      set_persistence(plan) && (!plan.mac || set_mac(socket.get(), named, *plan.mac)) &&
      ::ioctl(socket.get(), SIOCSIFMTU, &mtu) == 0 &&
      ::ioctl(socket.get(), SIOCSIFTXQLEN, &queue) == 0 && bring_up(socket.get(), named);
  index_ = ::if_nametoindex(plan.name.c_str());
  if (!set || index_ == 0) {
    return fail(ExitCode::kEnvironment,
                fmt::format("cannot set up the interface {}: {}", plan.name, strerror(errno)));
  }
  return {};
}

rte_mbuf* TapDevice::receive(rte_mempool* pool) const {
  rte_mbuf* packet = rte_pktmbuf_alloc(pool);
  if (packet == nullptr) {
    return nullptr;
  }
  const ssize_t size =
      ::read(fd_.get(), rte_pktmbuf_mtod(packet, void*), rte_pktmbuf_tailroom(packet));
  if (size <= 0) {
    rte_pktmbuf_free(packet);
    return nullptr;
  }
  rte_pktmbuf_append(packet, static_cast<std::uint16_t>(size));
  return packet;
}

bool TapDevice::transmit(const rte_mbuf* packet) const {
  std::array<iovec, kMostSegments> pieces{};
  int count = 0;
  for (const rte_mbuf* segment = packet; segment != nullptr; segment = segment->next) {
    if (count == static_cast<int>(pieces.size())) {
      return false;
    }
    pieces[static_cast<std::size_t>(count++)] = {.iov_base = rte_pktmbuf_mtod(segment, void*),
                                                 .iov_len = segment->data_len};
  }
  return ::writev(fd_.get(), pieces.data(), count) >= 0;
}

void TapDevice::set_carrier(bool up) const {
  int carrier = up ? 1 : 0;
  ::ioctl(fd_.get(), TUNSETCARRIER, &carrier);
}

// A tap is writable while its interface is up (tun_chr_poll).
bool TapDevice::is_up() const {
  pollfd writable{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
  return ::poll(&writable, 1, 0) == 1 && (writable.revents & POLLOUT) != 0;
}

}  // namespace holdfast::dataplane
