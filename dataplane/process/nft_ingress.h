// SPDX-License-Identifier: Apache-2.0
// On shared ports the kernel sees VIP frames too, and would forward or answer them. A netdev table
// of our own drops VIP and pool destinations for it, behind the packet sockets. It is replaced
// whole with each generation, outlives a SIGKILL (so that nothing answers while we restart) and is
// removed at an orderly stop. Others can take it away too, as every restart of a firewall that
// begins with `flush ruleset` does: so it is looked after. Main thread.
#pragma once

#include "dataplane/process/interface.h"
#include "dataplane/process/ruleset_number.h"
#include "dataplane/spec.h"

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <vector>

struct nft_ctx;

namespace holdfast::dataplane {

// A port's interface, and the VLANs on it whose interfaces are ports as well: their frames come by
// here on their way, look untagged to nft, and are left to those ports' own chains.
struct GuardedInterface {
  std::string name;
  std::vector<std::uint16_t> vlans;
  bool operator==(const GuardedInterface&) const = default;
};

// `vlan_of` is load_vlan(), or a test's.
using VlanOf = std::function<std::optional<VlanPlace>(const std::string&)>;
std::vector<GuardedInterface> guard(const std::vector<std::string>& interfaces,
                                    const VlanOf& vlan_of);

// The name of an instance's table: the only owner is the process that holds it (lock.h).
std::string nft_table_of(const std::string& instance);

class NftIngress {
 public:
  // `interfaces` are those of the af_packet ports; with none, everything here does nothing.
  NftIngress(const std::string& instance, std::vector<GuardedInterface> interfaces);
  NftIngress(const NftIngress&) = delete;
  NftIngress& operator=(const NftIngress&) = delete;
  ~NftIngress();

  // The error says what nft said, and what follows from it.
  std::expected<void, std::string> replace(const GenerationSpec& spec);
  // Whether the table is seen to be what the last replace() made it. Costs one question to the
  // kernel as long as nobody changes any table of this network namespace, else a listing of ours.
  // Requires: replace() succeeded.
  [[nodiscard]] bool in_force();
  void remove();

  // The commands of one transaction. Pure.
  [[nodiscard]] std::string build_ruleset(const GenerationSpec& spec) const;

 private:
  // What nft printed, or its error.
  std::expected<std::string, std::string> run(const std::string& commands);
  // Empty: there is no such table.
  std::string list();

  std::string table_;
  std::vector<GuardedInterface> interfaces_;
  nft_ctx* context_ = nullptr;
  RulesetNumber ruleset_;
  std::optional<std::uint32_t> number_;  // of the ruleset that `listing_` was seen in
  std::string listing_;                  // of our table as we made it
};

}  // namespace holdfast::dataplane
