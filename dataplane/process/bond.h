// SPDX-License-Identifier: Apache-2.0
// A bond: several links as one DPDK device, by DPDK's net_bonding. The switch's side of `lacp` is
// IEEE 802.1AX-2020, clause 6; its frames are the driver's business, as long as the bond is looked
// into and sent to at least each 100 ms (rte_eth_bond_8023ad.h).
//
// A link is a card, or for machines without one a tap of DPDK's (net_tap), whose other end stays in
// this network namespace.
#pragma once

#include "dataplane/process/failure.h"
#include "dataplane/spec.h"

#include <cstdint>
#include <string>
#include <vector>

namespace holdfast::dataplane {

inline constexpr std::uint64_t kBondHeartbeatNs = 10'000'000;  // a tenth of what the driver wants

class Bond {
 public:
  // Opens the links and makes the device `name` of them, not started. The failure names the link.
  // Main thread.
  static Result<Bond> create(const PortSpec& spec, const std::string& name);

  // Of `active-backup`: takes another link when the one in use is down. The driver does so itself
  // when a link's driver tells of the change; net_tap's tells nobody. Often; main thread.
  void tend() const;
  // Whether frames can leave and arrive.
  [[nodiscard]] bool is_up() const;
  struct LinkState {
    std::string name;
    bool can_carry = false;
  };
  [[nodiscard]] std::vector<LinkState> links() const;
  // Whether the driver has to be called when there is nothing to send.
  [[nodiscard]] bool has_heartbeat() const { return mode_ == BondMode::kLacp; }

 private:
  struct OpenLink {
    std::string name;
    std::uint16_t device = 0;  // DPDK's number of it
  };
  explicit Bond(BondMode mode) : mode_(mode) {}
  Result<void> open_link(const PortSpec& spec, const std::string& link, const std::string& name);
  [[nodiscard]] bool carries(const OpenLink& link) const;

  BondMode mode_;
  std::uint16_t device_ = 0;
  std::vector<OpenLink> links_;
};

}  // namespace holdfast::dataplane
