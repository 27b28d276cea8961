// SPDX-License-Identifier: Apache-2.0
// When may an old generation die? Workers report a quiescent state after each burst and are offline
// while they sleep; the main thread swaps a pointer, takes a token, and frees what was replaced
// once every worker has passed it (rte_rcu_qsbr). Works without EAL.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <rte_rcu_qsbr.h>

namespace holdfast::dataplane {

class Quiescence {
 public:
  using Token = std::uint64_t;
  explicit Quiescence(std::uint32_t workers);
  Quiescence(const Quiescence&) = delete;
  Quiescence& operator=(const Quiescence&) = delete;

  // Workers, each with its own index.
  void online(std::uint32_t worker) { rte_rcu_qsbr_thread_online(variable_, worker); }
  void offline(std::uint32_t worker) { rte_rcu_qsbr_thread_offline(variable_, worker); }
  void quiescent(std::uint32_t worker) { rte_rcu_qsbr_quiescent(variable_, worker); }

  // Main thread.
  Token start() { return rte_rcu_qsbr_start(variable_); }
  [[nodiscard]] bool passed(Token token) {
    return rte_rcu_qsbr_check(variable_, token, false) != 0;
  }
  // Waits until every worker has passed `token`; false at the deadline.
  [[nodiscard]] bool wait(Token token, std::chrono::nanoseconds limit);

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> memory_;  // of the variable, whose size depends on the workers
  rte_rcu_qsbr* variable_;
};

}  // namespace holdfast::dataplane
