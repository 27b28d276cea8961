// SPDX-License-Identifier: Apache-2.0
// See packet_ring.h.
#include "dataplane/process/packet_ring.h"

#include <array>
#include <cstddef>

#include <fmt/format.h>
#include <pcap/pcap.h>
#include <sys/mman.h>
#include <sys/resource.h>

namespace holdfast::dataplane {
namespace {

constexpr std::uint32_t kLeastSocketFrames = 128;

}  // namespace

Result<std::uint64_t> count_capture(const std::string& file) {
  std::array<char, PCAP_ERRBUF_SIZE> error{};
  pcap_t* capture = pcap_open_offline(file.c_str(), error.data());
  if (capture == nullptr) {
    return fail(ExitCode::kEnvironment, fmt::format("cannot read {}: {}", file, error.data()));
  }
  std::uint64_t count = 0;
  pcap_pkthdr* header = nullptr;
  const u_char* bytes = nullptr;
  while (pcap_next_ex(capture, &header, &bytes) == 1) {
    ++count;
  }
  pcap_close(capture);
  return count;
}

void raise_lock_limit() {
  const rlimit unlimited{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  rlimit limit{};
  if (::setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0 || ::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
    return;
  }
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_MEMLOCK, &limit);
}

// The kernel compares the length of each locked mapping with the limit, but charges a packet
// ring's pages to nobody: so a trial of that length, without access and therefore without pages,
// tells, and every port gets the same.
std::uint32_t affordable_ring_frames(std::uint32_t frame_bytes) {
  std::uint32_t frames = kRingFrames;
  while (frames > kLeastSocketFrames) {
    const std::size_t both_rings = 2 * std::size_t{frame_bytes} * frames;
    void* trial =
        ::mmap(nullptr, both_rings, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
    if (trial != MAP_FAILED) {
      ::munmap(trial, both_rings);
      break;
    }
    frames /= 2;
  }
  return frames;
}

}  // namespace holdfast::dataplane
