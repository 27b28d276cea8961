// SPDX-License-Identifier: Apache-2.0
// What a frame for the kernel is to be lost for: nothing, before anything else is lost. Each class
// has a queue of its own, so that a flood of one takes no place from the others. Workers; pure.
#pragma once

#include "dataplane/address.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace holdfast::dataplane {

enum class KernelClass : std::uint8_t {
  kNeighbor,    // ARP; router and neighbour discovery
  kRouting,     // BGP, BFD, OSPF, VRRP and their like; multicast membership; LACP, LLDP, IS-IS
  kManagement,  // SSH
  kMember,      // from a member's address: answers to probes
  kOther,
  kCount,
};
inline constexpr std::size_t kKernelClasses = static_cast<std::size_t>(KernelClass::kCount);
inline constexpr std::array<std::string_view, kKernelClasses> kKernelClassNames = {
    "neighbor", "routing", "management", "member", "other"};

// `frame` from its Ethernet header on, as far as it is contiguous. Fragments and what is cut short
// are kOther: neither is how these protocols speak. Never kMember: that is AddressFilter's to say.
KernelClass kernel_class(std::span<const std::byte> frame);

// A set of addresses that is written by one thread while others read it. It may hold others too:
// with the 10 000 members of a full generation one in seven, with 100 one in 600. Who forges a
// member's address takes room from members only.
class AddressFilter {
 public:
  // Replaces the set; a reader meanwhile may miss some.
  void assign(std::span<const Address> addresses);
  [[nodiscard]] bool may_hold(const Address& address) const {
    const std::size_t bit = bit_of(address);
    return (words_[bit / 64].load(std::memory_order_relaxed) >> bit % 64 & 1U) != 0;
  }

 private:
  static constexpr std::size_t kBits = 65536;
  static std::size_t bit_of(const Address& address);
  std::array<std::atomic<std::uint64_t>, kBits / 64> words_{};
};

}  // namespace holdfast::dataplane
