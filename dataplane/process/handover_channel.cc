// SPDX-License-Identifier: Apache-2.0
// See handover_channel.h.
#include "dataplane/process/handover_channel.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

constexpr std::uint64_t kWireMagic = 0x31564f4846444c48;  // the layout of Wire, in every build

struct Wire {
  std::uint64_t magic = kWireMagic;
  std::uint32_t step = 0;
  std::uint32_t handed_over = 0;  // bit n: descriptor n is among those beside it
  std::uint64_t startup_id = 0;
  std::array<char, 1024> text{};  // NUL-padded
};

// Room for all descriptors as a control message.
struct alignas(cmsghdr) Control {
  std::array<std::byte, CMSG_SPACE(kHandedOverCount * sizeof(int))> bytes{};
};

// Those that came, in their places; more or fewer than were announced are closed.
bool take_descriptors(msghdr& header, std::uint32_t announced, HandedOverDescriptors& into) {
  std::array<Descriptor, kHandedOverCount> came;
  std::size_t count = 0;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= part->cmsg_len; at += sizeof(int)) {
      int descriptor = -1;
      std::memcpy(&descriptor, reinterpret_cast<const std::byte*>(part) + at, sizeof(int));
      Descriptor owned(descriptor);
      if (count < came.size()) {
        came[count++] = std::move(owned);
      }
    }
  }
  std::size_t next = 0;
  for (std::size_t i = 0; i < into.size(); ++i) {
    if ((announced & (1U << i)) != 0 && next < count) {
      into[i] = std::move(came[next++]);
    }
  }
  return next == count && (header.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) == 0;
}

}  // namespace

std::string handover_path(const std::string& socket) { return socket + ".next"; }

bool HandoverChannel::send(HandoverStep step,
                           std::uint64_t startup_id,
                           std::string_view text,
                           const std::array<int, kHandedOverCount>* descriptors) const {
  Wire wire{.step = static_cast<std::uint32_t>(step), .startup_id = startup_id};
  std::ranges::copy(text.substr(0, wire.text.size() - 1), wire.text.begin());
  std::array<int, kHandedOverCount> beside{};
  std::size_t count = 0;
  for (std::size_t i = 0; descriptors != nullptr && i < descriptors->size(); ++i) {
    if ((*descriptors)[i] >= 0) {
      wire.handed_over |= 1U << i;
      beside[count++] = (*descriptors)[i];
    }
  }
  Control control;
  iovec part{.iov_base = &wire, .iov_len = sizeof(wire)};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (count > 0) {
    header.msg_control = control.bytes.data();
    header.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(count * sizeof(int));
    std::memcpy(CMSG_DATA(rights), beside.data(), count * sizeof(int));
  }
  return ::sendmsg(socket_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(sizeof(wire));
}

std::optional<HandoverMessage> HandoverChannel::receive(std::chrono::milliseconds limit) const {
  pollfd readable{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&readable, 1, static_cast<int>(limit.count())) != 1) {
    return std::nullopt;
  }
  Wire wire;
  Control control;
  iovec part{.iov_base = &wire, .iov_len = sizeof(wire)};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes.data();
  header.msg_controllen = control.bytes.size();
  constexpr int kFlags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
  ssize_t size = ::recvmsg(socket_.get(), &header, kFlags);
  if (size < 0 && errno == ECONNRESET) {  // it did not read us to the end; what it said is behind
    size = ::recvmsg(socket_.get(), &header, kFlags);
  }
  HandoverMessage message;
  const bool whole = size == static_cast<ssize_t>(sizeof(wire)) && wire.magic == kWireMagic &&
                     wire.step <= static_cast<std::uint32_t>(HandoverStep::kForwards);
  // Whatever came is ours to close.
  const bool matched = size >= 0 && take_descriptors(header, wire.handed_over, message.descriptors);
  if (!whole || !matched) {
    return std::nullopt;
  }
  message.step = static_cast<HandoverStep>(wire.step);
  message.startup_id = wire.startup_id;
  wire.text.back() = '\0';
  message.text = wire.text.data();
  return message;
}

bool HandoverChannel::peer_gone() const {
  pollfd end{.fd = socket_.get(), .events = 0, .revents = 0};
  return ::poll(&end, 1, 0) != 0;  // POLLHUP, POLLERR
}

int HandoverChannel::peer() const {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  return ::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0
             ? credentials.pid
             : 0;
}

bool HandoverChannel::peer_is_ours() const {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  return ::getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 &&
         (credentials.uid == 0 || credentials.uid == ::geteuid());
}

}  // namespace holdfast::dataplane
