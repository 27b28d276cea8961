// SPDX-License-Identifier: Apache-2.0
// See quiescence.h.
#include "dataplane/process/quiescence.h"

#include <new>
#include <thread>

namespace holdfast::dataplane {

Quiescence::Quiescence(std::uint32_t workers) {
  const std::size_t size = (rte_rcu_qsbr_get_memsize(workers) + 63) / 64 * 64;
  variable_.reset(static_cast<rte_rcu_qsbr*>(std::aligned_alloc(64, size)));
  if (!variable_ || rte_rcu_qsbr_init(variable_.get(), workers) != 0) {
    throw std::bad_alloc();
  }
  for (std::uint32_t worker = 0; worker < workers; ++worker) {
    rte_rcu_qsbr_thread_register(variable_.get(), worker);
  }
}

bool Quiescence::wait(Token token, std::chrono::nanoseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!passed(token)) {
    if (std::chrono::steady_clock::now() > deadline) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(10));
  }
  return true;
}

}  // namespace holdfast::dataplane
