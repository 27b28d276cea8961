// SPDX-License-Identifier: Apache-2.0
// On shared ports the kernel sees VIP frames too, and would forward or answer them. A netdev table
// of our own drops VIP and pool destinations for it, behind the packet sockets. It is replaced
// whole with each generation, outlives a SIGKILL (so that nothing answers while we restart) and is
// removed at an orderly stop. Main thread.
#pragma once

#include "dataplane/spec.h"

#include <expected>
#include <string>
#include <vector>

struct nft_ctx;

namespace holdfast::dataplane {

class NftIngress {
 public:
  // `interfaces` are those of the af_packet ports; with none, everything here does nothing.
  NftIngress(const std::string& instance, std::vector<std::string> interfaces);
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
  std::vector<std::string> interfaces_;
  nft_ctx* context_ = nullptr;
};

}  // namespace holdfast::dataplane
