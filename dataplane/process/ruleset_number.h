// SPDX-License-Identifier: Apache-2.0
// The number of the nft ruleset of this network namespace, which the kernel raises with every
// change by whomever: equal numbers mean that nobody touched any table. One small question to the
// kernel. Main thread; needs CAP_NET_ADMIN.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

struct mnl_socket;

namespace holdfast::dataplane {

class RulesetNumber {
 public:
  // nullopt when the kernel does not say.
  std::optional<std::uint32_t> read();

 private:
  struct CloseSocket {
    void operator()(mnl_socket* socket) const;
  };
  std::unique_ptr<mnl_socket, CloseSocket> socket_;  // opened with the first question
  std::uint32_t sequence_ = 0;
};

}  // namespace holdfast::dataplane
