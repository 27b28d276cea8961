// SPDX-License-Identifier: Apache-2.0
// See quiescence.h.
#include "dataplane/process/quiescence.h"

#include <new>
#include <thread>

namespace holdfast::dataplane {

Quiescence::Quiescence(std::uint32_t workers)
    : memory_((rte_rcu_qsbr_get_memsize(workers) + sizeof(Line) - 1) / sizeof(Line)),
      variable_(reinterpret_cast<rte_rcu_qsbr*>(memory_.data())) {
  if (rte_rcu_qsbr_init(variable_, workers) != 0) {
    throw std::bad_alloc();
  }
  for (std::uint32_t worker = 0; worker < workers; ++worker) {
    rte_rcu_qsbr_thread_register(variable_, worker);
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
