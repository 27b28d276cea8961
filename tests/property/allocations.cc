// SPDX-License-Identifier: Apache-2.0
// The program's operator new, counted. Every form is here: a sanitizer's own would not call these
// ([new.delete]), and finds fault with memory that another form frees.
#include "tests/property/allocations.h"

#include <cstdlib>
#include <new>

namespace {

thread_local std::uint64_t count = 0;

void* allocate(std::size_t size) noexcept {
  ++count;
  return std::malloc(size == 0 ? 1 : size);
}

void* allocate(std::size_t size, std::align_val_t alignment) noexcept {
  ++count;
  const auto to = static_cast<std::size_t>(alignment);
  return std::aligned_alloc(to, (size + to - 1) / to * to);
}

void* not_null(void* memory) {
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

}  // namespace

std::uint64_t holdfast::testing::allocations() { return count; }

using Align = std::align_val_t;
using NoThrow = std::nothrow_t;

void* operator new(std::size_t size) { return not_null(allocate(size)); }
void* operator new[](std::size_t size) { return not_null(allocate(size)); }
void* operator new(std::size_t size, Align to) { return not_null(allocate(size, to)); }
void* operator new[](std::size_t size, Align to) { return not_null(allocate(size, to)); }
void* operator new(std::size_t size, const NoThrow&) noexcept { return allocate(size); }
void* operator new[](std::size_t size, const NoThrow&) noexcept { return allocate(size); }
void* operator new(std::size_t size, Align to, const NoThrow&) noexcept {
  return allocate(size, to);
}
void* operator new[](std::size_t size, Align to, const NoThrow&) noexcept {
  return allocate(size, to);
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, Align) noexcept { std::free(memory); }
void operator delete[](void* memory, Align) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, Align) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, Align) noexcept { std::free(memory); }
void operator delete(void* memory, const NoThrow&) noexcept { std::free(memory); }
void operator delete[](void* memory, const NoThrow&) noexcept { std::free(memory); }
void operator delete(void* memory, Align, const NoThrow&) noexcept { std::free(memory); }
void operator delete[](void* memory, Align, const NoThrow&) noexcept { std::free(memory); }
