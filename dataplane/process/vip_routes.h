// SPDX-License-Identifier: Apache-2.0
// The kernel's routes to the VIPs that this node offers, for a routing daemon to redistribute: one
// for each VIP, under a protocol number of our own, on a TUN device of this process. The device is
// not persistent, so the kernel takes it away together with all routes in the moment in which the
// process is gone, by whatever end. A VIP's packets do not come this way: frames reach us by the
// ports. Only what the machine itself sends to a VIP ends in the device, counted and dropped.
//
// Main thread. Changing routes needs CAP_NET_ADMIN as long as this lives.
#pragma once

#include "dataplane/process/failure.h"
#include "dataplane/process/netlink.h"
#include "dataplane/process/tap_device.h"
#include "dataplane/spec.h"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>

struct mnl_socket;

namespace holdfast::dataplane {

class VipRoutes {
 public:
  // Makes the device, without routes, or takes over a predecessor's, with those that it has: what
  // is wanted no more of them stays until that device ends. Requires: spec.device is not empty.
  static Result<std::unique_ptr<VipRoutes>> open(const RoutesSpec& spec, Descriptor device = {});
  ~VipRoutes();

  // Brings the kernel's routes in line with `wanted`: those that go first. The error is what the
  // kernel said of the first route that it refused; mend() tries it again.
  std::expected<void, std::string> set(std::set<VipPrefix> wanted);

  // Puts back what others took away (a flushed table, a device that was set down or deleted), and
  // tries again what failed. True when others had. Call about twice a second.
  bool mend();

  // Ends what the machine sends to VIPs, at most a few packets a call: the device's short queue
  // holds no more, and the kernel drops the rest. Call a hundred times a second.
  void discard();

  // -1 while there is none.
  [[nodiscard]] int descriptor() const { return device_ ? device_->descriptor() : -1; }
  [[nodiscard]] std::size_t size() const { return installed_.size(); }
  [[nodiscard]] std::uint64_t discarded() const { return discarded_; }
  // Why the kernel's routes are not those that are wanted; empty: they are.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  struct CloseSocket {
    void operator()(mnl_socket* socket) const;
  };
  using Socket = std::unique_ptr<mnl_socket, CloseSocket>;
  enum class Change : std::uint8_t { kAdd, kRemove };
  struct Step {
    VipPrefix vip;
    Change change = Change::kAdd;
  };

  VipRoutes(RoutesSpec spec, TapDevice device);
  Result<void> open_sockets();
  std::expected<void, std::string> carry_out(std::span<const Step> steps);
  std::expected<void, std::string> send(std::span<const Step> steps);
  std::size_t write(char* at, const Step& step, std::uint32_t sequence) const;
  // Takes the kernel's answers to `steps`, whose sequence numbers begin at `first`.
  std::expected<void, std::string> take_answers(std::span<const Step> steps, std::uint32_t first);
  std::expected<void, std::string> note_done(const Step& step, int error);
  // What events tell: nothing, that routes of ours may be missing, that the device is gone.
  enum class Loss : std::uint8_t { kNone, kRoutes, kDevice };
  Loss read_events();
  Loss loss_in(const nlmsghdr* message);
  bool make_device_again();

  RoutesSpec spec_;
  std::uint32_t index_ = 0;  // of the device; 0: there is none
  std::optional<TapDevice> device_;
  Socket requests_;
  Socket events_;
  std::uint32_t sequence_ = 0;
  std::set<VipPrefix> wanted_;
  std::set<VipPrefix> installed_;
  std::map<VipPrefix, int> withdrawn_;  // by ourselves, and the event not read yet
  std::string problem_;
  std::uint64_t discarded_ = 0;
  bool up_ = true;  // the device, as last told
};

}  // namespace holdfast::dataplane
