// SPDX-License-Identifier: Apache-2.0
// On shared ports the kernel sees VIP frames too, and would forward or answer them. A netdev table
// of our own drops VIP and pool destinations for it, behind the packet sockets. It is replaced
// whole with each generation, outlives a SIGKILL (so that nothing answers while we restart) and is
// removed at an orderly stop. Main thread.
#pragma once

#include "dataplane/process/interface.h"
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

class NftIngress {
 public:
// The name of an instance's table: the only owner is the process that holds it (lock.h).
std::string nft_table_of(const std::string& instance);

  // `interfaces` are those of the af_packet ports; with none, everything here does nothing.
  NftIngress(const std::string& instance, std::vector<GuardedInterface> interfaces);
  NftIngress(const NftIngress&) = delete;
  NftIngress& operator=(const NftIngress&) = delete;
  ~NftIngress();

  // The error says what nft said, and what follows from it.
  std::expected<void, std::string> replace(const GenerationSpec& spec);
  void remove();

  // The commands of one transaction. Pure.
  [[nodiscard]] std::string build_ruleset(const GenerationSpec& spec) const;

 private:
  std::expected<void, std::string> run(const std::string& commands);

  std::string table_;
  std::vector<GuardedInterface> interfaces_;
  nft_ctx* context_ = nullptr;
};

}  // namespace holdfast::dataplane
