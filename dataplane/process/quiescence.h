// SPDX-License-Identifier: Apache-2.0
// When may an old generation die? Workers report a quiescent state after each burst and are offline
// while they sleep; the main thread swaps a pointer, takes a token, and frees what was replaced
// once every worker has passed it (rte_rcu_qsbr). Works without EAL.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include <rte_rcu_qsbr.h>

namespace holdfast::dataplane {

class Quiescence {
 public:
  using Token = std::uint64_t;
  explicit Quiescence(std::uint32_t workers);

  // Workers, each with its own index.
  void online(std::uint32_t worker) { rte_rcu_qsbr_thread_online(variable_.get(), worker); }
  void offline(std::uint32_t worker) { rte_rcu_qsbr_thread_offline(variable_.get(), worker); }
  void quiescent(std::uint32_t worker) { rte_rcu_qsbr_quiescent(variable_.get(), worker); }

  // Main thread.
  Token start() { return rte_rcu_qsbr_start(variable_.get()); }
  [[nodiscard]] bool passed(Token token) {
    return rte_rcu_qsbr_check(variable_.get(), token, false) != 0;
  }
  // Waits until every worker has passed `token`; false at the deadline.
  [[nodiscard]] bool wait(Token token, std::chrono::nanoseconds limit);

 private:
  struct Free {
    void operator()(rte_rcu_qsbr* variable) const { std::free(variable); }
  };
  std::unique_ptr<rte_rcu_qsbr, Free> variable_;
};

}  // namespace holdfast::dataplane
