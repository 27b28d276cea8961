// SPDX-License-Identifier: Apache-2.0
// The parser alone, at its own speed. libFuzzer runs one input at a time and takes microseconds for
// each, so an input here is a frame from which thousands are derived: cut, with bits turned, bytes
// swapped, boundary values written and, mostly, the IPv4 checksum mended. What is derived depends
// on the input alone. Each frame ends where a page ends that the next page, which nobody may touch,
// guards: reading one byte too many is a fault without any sanitizer's help.
//
// At the end: how many frames parse() was given, and how many of them per second of the whole run.
#include "dataplane/checksum.h"
#include "dataplane/parse.h"
#include "tests/fuzz/parse_checks.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>

#include <sys/mman.h>

namespace holdfast::testing {
namespace {

using dataplane::Burst;
using dataplane::ChecksumSum;
using dataplane::kBurstSize;
using dataplane::Slot;

constexpr std::size_t kPage = 4096;
constexpr std::size_t kBurstsOfAnInput = 128;
constexpr std::size_t kHeaders = 96;  // where damage is worth most

// A page for each slot, each before one that faults.
class GuardedPages {
 public:
  GuardedPages()
      : memory_(static_cast<std::byte*>(::mmap(
            nullptr, kBurstSize * 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    require(memory_ != MAP_FAILED);
    for (Slot slot = 0; slot < kBurstSize; ++slot) {
      require(::mprotect(end(slot) - kPage, kPage, PROT_READ | PROT_WRITE) == 0);
    }
  }
  [[nodiscard]] std::byte* end(Slot slot) const { return memory_ + (2 * slot + 1) * kPage; }

 private:
  std::byte* memory_;
};

// Frames parsed, and how fast; told when the program ends.
class Tally {
 public:
  void add(std::uint64_t frames) { frames_ += frames; }
  ~Tally() {
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin_;
    std::fprintf(stderr,
                 "frames parsed: %llu, %.2f million per second\n",
                 static_cast<unsigned long long>(frames_),
                 static_cast<double>(frames_) / time.count() / 1e6);
  }

 private:
  std::uint64_t frames_ = 0;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// xorshift64 (Marsaglia 2003), seeded by the input's bytes (FNV-1a).
class Chance {
 public:
  explicit Chance(std::span<const std::byte> input) {
    for (const std::byte byte : input) {
      state_ = (state_ ^ static_cast<std::uint8_t>(byte)) * 0x100000001b3;
    }
    state_ |= 1;
  }
  std::size_t below(std::size_t bound) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<std::size_t>((state_ >> 32) % bound);
  }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325;
};

void damage(std::span<std::byte> frame, Chance& chance) {
  if (frame.empty()) {
    return;
  }
  const auto place = [&] { return chance.below(std::min(frame.size(), kHeaders)); };
  constexpr std::array<std::uint8_t, 8> kBoundaries = {0, 1, 4, 5, 6, 17, 0x7f, 0xff};
  for (std::size_t count = chance.below(4); count > 0; --count) {
    std::byte& byte = frame[place()];
    switch (chance.below(4)) {
      case 0:
        byte ^= std::byte{1} << chance.below(8);
        break;
      case 1:
        byte = std::byte{kBoundaries[chance.below(kBoundaries.size())]};
        break;
      case 2:
        std::swap(byte, frame[place()]);
        break;
      default:
        byte = static_cast<std::byte>(chance.below(256));
        break;
    }
  }
}

void mend_ipv4(std::span<std::byte> frame) {
  constexpr std::size_t kLink = 14;
  constexpr std::size_t kChecksum = kLink + 10;
  if (frame.size() < kLink + 20 || frame[12] != std::byte{0x08} || frame[13] != std::byte{0}) {
    return;
  }
  const std::size_t header = (std::to_integer<std::size_t>(frame[kLink]) & 0x0f) * 4;
  if (header >= 20 && kLink + header <= frame.size()) {
    frame[kChecksum] = frame[kChecksum + 1] = std::byte{0};
    dataplane::store(frame.data() + kChecksum,
                     ChecksumSum(frame.subspan(kLink, header)).checksum());
  }
}

class Machine {
 public:
  void run(std::span<const std::byte> input) {
    Chance chance(input);
    for (std::size_t bursts = 0; bursts < kBurstsOfAnInput; ++bursts) {
      for (Slot slot = 0; slot < kBurstSize; ++slot) {
        derive(input, slot, chance);
      }
      burst_.begin(kBurstSize);
      parse(burst_);
      tally_.add(kBurstSize);
      for (Slot slot = 0; slot < kBurstSize; ++slot) {
        check_parsed(burst_, slot);
      }
    }
  }

 private:
  void derive(std::span<const std::byte> input, Slot slot, Chance& chance) {
    const bool cut = chance.below(8) == 0;
    const std::size_t size = cut ? chance.below(input.size() + 1) : input.size();
    const std::span<std::byte> frame(pages_.end(slot) - size, size);
    std::copy_n(input.begin(), size, frame.begin());
    damage(frame, chance);
    if (chance.below(8) != 0) {
      mend_ipv4(frame);
    }
    // Sometimes more of the frame stands elsewhere.
    const auto beyond = static_cast<std::uint32_t>(chance.below(16) == 0 ? 300 : 0);
    burst_.frame[slot] = {.data = frame.data(),
                          .length = static_cast<std::uint32_t>(size) + beyond,
                          .contiguous = static_cast<std::uint16_t>(size),
                          .headroom = 0,
                          .tailroom = 0,
                          .port = 0,
                          .handle = nullptr};
  }

  GuardedPages pages_;
  Burst burst_{};
  Tally tally_;
};

}  // namespace
}  // namespace holdfast::testing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static holdfast::testing::Machine machine;
  if (size <= holdfast::testing::kPage) {
    machine.run(std::as_bytes(std::span(data, size)));
  }
  return 0;
}
