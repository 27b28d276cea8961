// SPDX-License-Identifier: Apache-2.0
// Asks for a cache line ahead of its use. The stages ask for a whole burst's lines before they look
// at the first, so that their misses overlap. Pure; workers.
#pragma once

namespace holdfast::dataplane {

// The empty statement keeps the call: GCC 12 takes a function that only prefetches for one without
// effect, and leaves it out, its callers too.
inline void prefetch(const void* at) {
  __builtin_prefetch(at, 1);
  asm volatile("" : : "r"(at));
}

}  // namespace holdfast::dataplane
