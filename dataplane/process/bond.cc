// SPDX-License-Identifier: Apache-2.0
// See bond.h.
#include "dataplane/process/bond.h"

#include "dataplane/process/eal.h"
#include "dataplane/process/port_device.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_eth_bond.h>
#include <rte_eth_bond_8023ad.h>
#include <rte_ethdev.h>

namespace holdfast::dataplane {
namespace {

constexpr std::uint8_t kCarrying = STATE_COLLECTING | STATE_DISTRIBUTING;

std::unexpected<Failure> refused(const PortSpec& spec, const std::string& what) {
  return fail(ExitCode::kEnvironment,
              fmt::format("port {}: {}: {}", spec.name, what, take_eal_log()));
}

bool has_link(std::uint16_t device) {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(device, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

}  // namespace

Result<Bond> Bond::create(const PortSpec& spec, const std::string& name) {
  Bond bond(spec.bond_mode);
  for (const std::string& link : spec.links) {
    const std::string tap = fmt::format("net_tap_{}_{}", name, bond.links_.size());
    if (auto opened = bond.open_link(spec, link, tap); !opened) {
      return std::unexpected(opened.error());
    }
  }
  const bool lacp = spec.bond_mode == BondMode::kLacp;
  const int made =
      rte_eth_bond_create(name.c_str(), lacp ? BONDING_MODE_8023AD : BONDING_MODE_ACTIVE_BACKUP, 0);
  if (made < 0) {
    return refused(spec, "DPDK makes no bond");
  }
  bond.device_ = static_cast<std::uint16_t>(made);
  for (const OpenLink& link : bond.links_) {
    if (rte_eth_bond_slave_add(bond.device_, link.device) != 0) {
      return refused(spec, fmt::format("DPDK takes {} into no bond", link.name));
    }
  }
  // Both directions of a flow, and all its packets, keep their order.
  rte_eth_bond_xmit_policy_set(bond.device_, BALANCE_XMIT_POLICY_LAYER34);
  if (!is_pci_address(spec.links.front())) {
    rte_ether_addr mac{};
    std::ranges::copy(spec.mac, mac.addr_bytes);
    rte_eth_bond_mac_address_set(bond.device_, &mac);
  }
  return bond;
}

// `name`: DPDK's, where the link is a tap.
Result<void> Bond::open_link(const PortSpec& spec,
                             const std::string& link,
                             const std::string& name) {
  std::string device = link;
  if (is_pci_address(link)) {
    if (auto probed = probe_card(spec.name, link); !probed) {
      return probed;
    }
  } else {
    device = name;
    if (rte_vdev_init(name.c_str(), ("iface=" + link).c_str()) != 0) {
      return refused(spec, fmt::format("DPDK makes no tap {}", link));
    }
  }
  OpenLink& open = links_.emplace_back(OpenLink{.name = link});
  if (rte_eth_dev_get_port_by_name(device.c_str(), &open.device) != 0) {
    return refused(spec, fmt::format("DPDK has no driver for {}", link));
  }
  return {};
}

void Bond::tend() const {
  const int primary = rte_eth_bond_primary_get(device_);
  if (mode_ != BondMode::kActiveBackup || primary < 0 ||
      has_link(static_cast<std::uint16_t>(primary))) {
    return;
  }
  const auto up = std::ranges::find_if(links_, has_link, &OpenLink::device);
  if (up != links_.end()) {
    rte_eth_bond_primary_set(device_, up->device);
  }
}

bool Bond::is_up() const {
  return std::ranges::any_of(links_, [this](const OpenLink& link) { return carries(link); });
}

std::vector<Bond::LinkState> Bond::links() const {
  std::vector<LinkState> states;
  for (const OpenLink& link : links_) {
    states.push_back({.name = link.name, .can_carry = carries(link)});
  }
  return states;
}

// A link with a carrier but without the switch's agreement carries nothing.
bool Bond::carries(const OpenLink& link) const {
  if (mode_ == BondMode::kActiveBackup) {
    return has_link(link.device);
  }
  struct rte_eth_bond_8023ad_slave_info info{};  // the function has that name too
  return rte_eth_bond_8023ad_slave_info(device_, link.device, &info) == 0 &&
         (info.actor_state & kCarrying) == kCarrying;
}

}  // namespace holdfast::dataplane
