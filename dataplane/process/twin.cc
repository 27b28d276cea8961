// SPDX-License-Identifier: Apache-2.0
// See twin.h.
#include "dataplane/process/twin.h"

#include "dataplane/headers.h"
#include "dataplane/process/mbuf_frame.h"
#include "dataplane/vlan.h"

#include <algorithm>

#include <fmt/format.h>

namespace holdfast::dataplane {
namespace {

constexpr unsigned kFramesPerRound = 64;       // of a class, and of what the kernel sends
constexpr unsigned kOtherFramesPerRound = 16;  // so that the classes before it come soon again

// Of class kOther: 120 Mb/s of full frames, and at 2 us each a fiftieth of a core.
constexpr std::uint64_t kOtherPerSecond = 10'000;
constexpr std::uint32_t kOtherBurst = kTwinQueueFrames;
constexpr std::uint64_t kNsPerOther = 1'000'000'000 / kOtherPerSecond;

constexpr std::array kGuaranteed = {
    KernelClass::kNeighbor, KernelClass::kRouting, KernelClass::kManagement, KernelClass::kMember};
static_assert(kGuaranteed.size() + 1 == kKernelClasses, "all classes but kOther");

void free_all(rte_ring* ring) {
  void* packet = nullptr;
  while (ring != nullptr && rte_ring_dequeue(ring, &packet) == 0) {
    rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
  }
  rte_ring_free(ring);
}

}  // namespace

Result<std::unique_ptr<Twin>> Twin::open(const std::string& name,
                                         const Link& link,
                                         rte_mempool* pool) {
  auto tap = TapDevice::open({.name = name, .mtu = link.mtu, .mac = link.mac, .stays = true});
  if (!tap) {
    return fail(tap.error().code,
                fmt::format("port {}: its twin: {}", link.name, tap.error().text));
  }
  std::unique_ptr<Twin> twin(new Twin(std::move(*tap), link, pool));
  if (auto created = twin->create_queues(); !created) {
    return std::unexpected(created.error());
  }
  return twin;
}

Twin::Twin(TapDevice tap, const Link& link, rte_mempool* pool)
    : tap_(std::move(tap)), link_(link), pool_(pool) {}

Twin::~Twin() {
  std::ranges::for_each(queues_, free_all);
  free_all(outgoing_);
}

Result<void> Twin::create_queues() {
  const auto create = [this](std::string_view what, unsigned flags) {
    return rte_ring_create(fmt::format("twin_{}_{}", link_.port, what).c_str(),
                           kTwinQueueFrames,
                           SOCKET_ID_ANY,
                           flags);
  };
  bool whole = true;
  for (std::size_t i = 0; i < kKernelClasses; ++i) {
    queues_[i] = create(kKernelClassNames[i], RING_F_SC_DEQ);
    whole = whole && queues_[i] != nullptr;
  }
  outgoing_ = create("outgoing", RING_F_SP_ENQ | RING_F_SC_DEQ);
  if (!whole || outgoing_ == nullptr) {
    return fail(ExitCode::kEnvironment,
                fmt::format("port {}: no memory for the queues of its twin", link_.name));
  }
  return {};
}

void Twin::offer(KernelClass kind, rte_mbuf* packet) {
  if (rte_ring_enqueue(queue(kind), packet) != 0) {
    rte_pktmbuf_free(packet);
    count_dropped(kind);
    return;
  }
  if (kernel_waker_ != nullptr) {
    kernel_waker_->wake();
  }
}

void Twin::count_dropped(KernelClass kind) {
  dropped_[static_cast<std::size_t>(kind)].fetch_add(1, std::memory_order_relaxed);
}

std::uint16_t Twin::take(std::span<rte_mbuf*> packets) {
  return static_cast<std::uint16_t>(
      rte_ring_sc_dequeue_burst(outgoing_,
                                reinterpret_cast<void**>(packets.data()),
                                static_cast<unsigned>(packets.size()),
                                nullptr));
}

bool Twin::deliver(std::uint64_t now_ns) {
  const std::uint64_t earned = (now_ns - budget_at_ns_) / kNsPerOther;
  budget_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(budget_ + earned, kOtherBurst));
  budget_at_ns_ = earned >= kOtherBurst ? now_ns : budget_at_ns_ + earned * kNsPerOther;
  bool any = false;
  for (const KernelClass kind : kGuaranteed) {
    any |= deliver_some(kind, kFramesPerRound);
  }
  return deliver_some(KernelClass::kOther, std::min(kOtherFramesPerRound, budget_)) || any;
}

bool Twin::deliver_some(KernelClass kind, unsigned most) {
  std::array<rte_mbuf*, kFramesPerRound> packets;
  const unsigned count = rte_ring_sc_dequeue_burst(
      queue(kind), reinterpret_cast<void**>(packets.data()), most, nullptr);
  for (rte_mbuf* packet : std::span(packets).first(count)) {
    if (tap_.transmit(packet)) {
      delivered_.add(1);
    } else {
      count_dropped(kind);
    }
    rte_pktmbuf_free(packet);
  }
  budget_ -= kind == KernelClass::kOther ? count : 0;
  return count > 0;
}

bool Twin::collect() {
  const unsigned most = std::min(rte_ring_free_count(outgoing_), kFramesPerRound);
  unsigned count = 0;
  for (; count < most; ++count) {
    rte_mbuf* packet = tap_.receive(pool_);
    if (packet == nullptr) {
      break;
    }
    if (link_.tags.any()) {
      Frame frame = to_frame(packet, link_.port);
      put_tags(frame, sizeof(EthernetHeader), link_.tags);
      to_packet(frame);
    }
    rte_ring_sp_enqueue(outgoing_, packet);
  }
  collected_.add(count);
  if (count > 0 && worker_waker_ != nullptr) {
    worker_waker_->wake();
  }
  return count > 0;
}

bool Twin::has_waiting(std::uint64_t now_ns) const {
  const bool may_other = budget_ > 0 || now_ns - budget_at_ns_ >= kNsPerOther;
  return (may_other && is_over_budget()) ||
         std::ranges::any_of(kGuaranteed,
                             [this](KernelClass kind) { return rte_ring_empty(queue(kind)) == 0; });
}

bool Twin::is_over_budget() const { return !rte_ring_empty(queue(KernelClass::kOther)); }

bool Twin::can_collect() const { return rte_ring_full(outgoing_) == 0; }

}  // namespace holdfast::dataplane
