// SPDX-License-Identifier: Apache-2.0
// A kernel TAP (or TUN) interface and our end of it, made through /dev/net/tun: what is written
// here the kernel receives, what it sends is read here. Opened by the main thread; then each
// direction belongs to one thread.
//
// Ours, and not DPDK's exception paths: net_virtio_user needs vhost-net, which not every kernel
// has, and net_tap wakes its queues by signals, replaces the interface's qdiscs and asks for its
// link by name, which ends when the interface moves to another namespace. Both cost the same system
// call per frame.
#pragma once

#include "dataplane/address.h"
#include "dataplane/process/descriptor.h"
#include "dataplane/process/failure.h"

#include <cstdint>
#include <optional>
#include <string>

#include <rte_mbuf.h>
#include <rte_mempool.h>

namespace holdfast::dataplane {

struct TapPlan {
  enum class Kind : std::uint8_t { kTap, kTun };  // frames, or packets without a link header
  std::string name;
  Kind kind = Kind::kTap;
  std::uint16_t mtu = 1500;
  std::optional<MacAddress> mac;  // of the interface; nullopt: the kernel chooses
  // Whether it stays, with its addresses and routes, when the process ends. A TUN never does.
  bool stays = false;
};

class TapDevice {
 public:
  // Makes the interface, or takes over one of that name, and brings it up. Needs CAP_NET_ADMIN.
  static Result<TapDevice> open(const TapPlan& plan);

  // One that another process has made, and hands over.
  static Result<TapDevice> adopt(const TapPlan& plan, Descriptor device);

  // Readable when the kernel has sent something.
  [[nodiscard]] int descriptor() const { return fd_.get(); }
  [[nodiscard]] std::uint32_t interface_index() const { return index_; }

  // The next frame that the kernel sent; nullptr: none. Frames longer than `pool`'s buffers are cut
  // by the kernel. Requires: the pool is not empty, or the frame stays where it is.
  [[nodiscard]] rte_mbuf* receive(rte_mempool* pool) const;
  // Gives the kernel a copy of the frame; false: it does not take it.
  [[nodiscard]] bool transmit(const rte_mbuf* packet) const;

  // What the kernel sees of the link behind us. Needs no capability.
  void set_carrier(bool up) const;
  // Whether the kernel's end is up, in whatever namespace it is.
  [[nodiscard]] bool is_up() const;

 private:
  explicit TapDevice(Descriptor fd) : fd_(std::move(fd)) {}
  Result<void> set_up(const TapPlan& plan);
  [[nodiscard]] bool set_persistence(const TapPlan& plan) const;

  Descriptor fd_;
  std::uint32_t index_ = 0;
};

}  // namespace holdfast::dataplane
