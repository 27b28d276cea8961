// SPDX-License-Identifier: Apache-2.0
// Which service a packet's destination belongs to: (VIP, protocol, port) -> binding. Part of a
// Generation: built once, then read by every worker. Exact ports stand in an open-addressed hash;
// ranges in a short list per VIP, looked at only when no exact port matches.
#pragma once

#include "dataplane/address.h"
#include "dataplane/spec.h"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace holdfast::dataplane {

struct BoundService {
  std::uint16_t service = 0;  // index in the generation
  std::uint16_t binding = 0;  // id in the registry
};

class BindingTable {
 public:
  struct Row {
    BindingSpec spec;
    BoundService bound;
  };

  BindingTable() = default;
  // Requires: no two rows overlap in VIP, protocol and port.
  explicit BindingTable(std::span<const Row> rows);

  // The service at this destination, or nullptr. `port` in host order.
  [[nodiscard]] const BoundService* find(const Address& destination,
                                         Protocol protocol,
                                         std::uint16_t port) const;
  [[nodiscard]] bool is_vip(const Address& address) const { return vip_slot(address) != nullptr; }
  // Every VIP once.
  [[nodiscard]] std::span<const Address> vips() const { return vips_; }

 private:
  struct Exact {
    Address vip;
    std::uint16_t port = 0;
    Protocol protocol = Protocol::kTcp;
    bool used = false;
    BoundService bound;
  };
  struct Range {
    std::uint16_t first = 0;
    std::uint16_t last = 0;
    Protocol protocol = Protocol::kTcp;
    BoundService bound;
  };
  struct Vip {
    Address address;
    bool used = false;
    std::vector<Range> ranges;
  };

  void add_exact(const Row& row);
  Vip& vip_of(const Address& address);
  [[nodiscard]] const Vip* vip_slot(const Address& address) const;

  std::vector<Exact> exact_;
  std::vector<Vip> vip_;
  std::vector<Address> vips_;
};

}  // namespace holdfast::dataplane
