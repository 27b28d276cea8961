// SPDX-License-Identifier: Apache-2.0
// Waiting for what another process or thread brings about.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace holdfast::testing {

// True once the condition holds, which is asked every millisecond for 20 s at most.
inline bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return condition();
}

}  // namespace holdfast::testing
