// SPDX-License-Identifier: Apache-2.0
// See worker.h.
#include "dataplane/process/worker.h"

#include "dataplane/headers.h"
#include "dataplane/process/clock.h"
#include "dataplane/process/mbuf_frame.h"
#include "dataplane/process/memory_plan.h"
#include "dataplane/process/privileges.h"
#include "dataplane/process/stats_rows.h"
#include "dataplane/respond.h"
#include "dataplane/rewrite.h"
#include "dataplane/vlan.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <utility>

#include <fmt/format.h>
#include <pthread.h>
#include <rte_lcore.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

constexpr std::align_val_t kRingAlignment{RTE_CACHE_LINE_SIZE};
constexpr std::uint64_t kTellAgainMs = 200;
constexpr std::uint64_t kTellRefusalAgainMs = 20;
constexpr std::size_t kAnnouncementsPerTurn = 16;
constexpr std::uint32_t kResetWindowMs = 2'000;

// Requires: `packet` is fresh, with the headroom of its pool.
void write_announcement(const Announcement& what, VlanTags tags, rte_mbuf* packet) {
  const std::span room(rte_pktmbuf_mtod(packet, std::byte*), rte_pktmbuf_tailroom(packet));
  const std::size_t length = what.address.is_v4()
                                 ? build_gratuitous_arp(room, what.mac, what.address)
                                 : build_unsolicited_advertisement(room, what.mac, what.address);
  rte_pktmbuf_append(packet, static_cast<std::uint16_t>(length));
  if (tags.any()) {
    Frame frame = to_frame(packet, what.port);
    put_tags(frame, sizeof(EthernetHeader), tags);
    to_packet(frame);
  }
}

// Requires: `packet` is fresh, with the headroom of its pool.
void write_question(const Question& question, const NextHop& hop, VlanTags tags, rte_mbuf* packet) {
  const std::span room(rte_pktmbuf_mtod(packet, std::byte*), rte_pktmbuf_tailroom(packet));
  const std::size_t length = build_question(room, question, hop.destination, hop.source);
  rte_pktmbuf_append(packet, static_cast<std::uint16_t>(length));
  if (tags.any()) {
    Frame frame = to_frame(packet, hop.port);
    put_tags(frame, sizeof(EthernetHeader), tags);
    to_packet(frame);
  }
}

std::vector<PolledQueue> queues_of(const WorkerSurroundings& surroundings, std::uint32_t worker) {
  std::vector<PolledQueue> queues;
  for (std::size_t i = 0; i < surroundings.ports.size(); ++i) {
    Port& port = *surroundings.ports[i];
    const std::uint16_t count = port.queues().receive;
    for (std::uint16_t queue = 0; queue < count; ++queue) {
      if (worker_of_queue(i, queue, count, surroundings.workers) == worker) {
        queues.push_back({.port = &port, .queue = queue});
      }
    }
  }
  return queues;
}

std::vector<Port*> ports_of(const WorkerSurroundings& surroundings, std::uint32_t worker) {
  std::vector<Port*> ports;
  for (std::size_t i = worker; i < surroundings.ports.size(); i += surroundings.workers) {
    ports.push_back(surroundings.ports[i].get());
  }
  return ports;
}

}  // namespace

std::unique_ptr<DispatchRings> DispatchRings::create(std::uint32_t workers) {
  std::unique_ptr<DispatchRings> rings(new DispatchRings(workers));
  const std::uint32_t frames = dispatch_ring_frames(workers);
  const auto bytes = static_cast<std::size_t>(rte_ring_get_memsize(frames));
  for (std::uint32_t from = 0; from < workers; ++from) {
    for (std::uint32_t to = 0; to < workers; ++to) {
      if (from == to) {
        continue;
      }
      auto* ring = static_cast<rte_ring*>(::operator new(bytes, kRingAlignment, std::nothrow));
      if (ring == nullptr) {
        return nullptr;
      }
      rte_ring_init(ring,
                    fmt::format("dispatch_{}_{}", from, to).c_str(),
                    frames,
                    RING_F_SP_ENQ | RING_F_SC_DEQ);
      rings->rings_[from * workers + to].reset(ring);
    }
  }
  return rings;
}

DispatchRings::~DispatchRings() {
  for (const auto& ring : rings_) {
    void* packet = nullptr;
    while (ring && rte_ring_sc_dequeue(ring.get(), &packet) == 0) {
      rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
    }
  }
}

void DispatchRings::FreeRing::operator()(rte_ring* ring) const {
  ::operator delete(ring, kRingAlignment);
}

Worker::Worker(WorkerSurroundings& surroundings,
               const DispatchRings& rings,
               const SharedState& shared,
               std::uint32_t index)
    : surroundings_(surroundings),
      index_(index),
      state_(std::make_unique<WorkerState>(shared, index, surroundings.workers)),
      queues_(queues_of(surroundings, index)),
      ports_(ports_of(surroundings, index)),
      handed_by_us_(surroundings.workers),
      outboxes_(surroundings.ports.size()),
      sleeper_(*surroundings.wakers[index],
               queues_,
               *surroundings.quiescence,
               index,
               surroundings.idle,
               state_->stats.woken),
      snapshot_(std::make_unique<WorkerStats>()) {
  state_->spread = surroundings.spread;
  state_->resets.window_ms = kResetWindowMs;
  from_kernel_.resize(ports_.size());
  for (std::uint32_t other = 0; other < surroundings.workers; ++other) {
    if (other != index) {
      handed_to_us_.push_back(rings.from_to(other, index));
      handed_by_us_[other] = rings.from_to(index, other);
    }
  }
}

Worker::~Worker() {
  free_held();
  for (Outbox& outbox : from_kernel_) {
    rte_pktmbuf_free_bulk(outbox.packets.data(), outbox.count);
  }
}

void Worker::run() {
  drop_thread_capabilities();
  ::pthread_setname_np(::pthread_self(), fmt::format("worker-{}", index_).c_str());
  ::prctl(PR_SET_TIMERSLACK, 1L);  // sleeps end on time, not 50 us later
  rte_thread_register();
  surroundings_.quiescence->online(index_);
  while (!surroundings_.stop.load(std::memory_order_relaxed)) {
    const bool busy = turn(monotonic_ns());
    surroundings_.quiescence->quiescent(index_);
    if (busy) {
      sleeper_.found_work();
    } else {
      sleeper_.rest();
    }
  }
  surroundings_.quiescence->offline(index_);
  free_held();
  rte_thread_unregister();
}

bool Worker::turn(std::uint64_t now_ns) {
  const std::uint64_t now_ms = now_ns / 1'000'000;
  // A turn with work is followed by the next one at once: so it lasted until now.
  state_->stats.busy_ns.add(busy_ ? now_ns - last_tick_ns() : 0);
  tick_ns_.store(now_ns, std::memory_order_relaxed);
  bool busy = false;
  for (const auto& port : surroundings_.ports) {
    busy |= port->retry(index_, now_ns);
  }
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    busy |= ports_[i]->twin() != nullptr && serve_kernel(i);
  }
  for (const PolledQueue& polled : queues_) {
    busy |= serve_queue(*polled.port, polled.queue, now_ms);
  }
  for (rte_ring* ring : handed_to_us_) {
    busy |= serve_ring(ring, now_ms);
  }
  busy |= announce();
  // Before the generation, which is then the walk's or a newer one.
  FlowWalk* const walk = walk_.load(std::memory_order_acquire);
  const Forwarding* forwarding = surroundings_.forwarding.load(std::memory_order_acquire);
  sweep(*state_, *forwarding->generation, now_ms);
  busy |= go_on_walking(walk, *forwarding->generation, now_ms);
  busy |= ask(*forwarding->neighborhood);
  serve_released(now_ms);
  state_->stats.polls.add(1);
  state_->stats.busy_polls.add(busy ? 1 : 0);
  busy_ = busy;
  leave_snapshot();
  return busy;
}

bool Worker::serve_queue(Port& port, std::uint16_t queue, std::uint64_t now_ms) {
  std::array<rte_mbuf*, kBurstSize> packets;
  const std::uint16_t count = port.receive(queue, packets);
  if (count == 0) {
    return false;
  }
  for (std::uint16_t i = 0; i < count; ++i) {
    packets[i]->port = port.link().port;
  }
  begin(std::span(packets).first(count), Origin::kPort);
  if (surroundings_.workers > 1) {
    dispatch();
  }
  process(now_ms);
  serve_released(now_ms);
  return true;
}

bool Worker::serve_kernel(std::size_t place) {
  Port& port = *ports_[place];
  Outbox& outbox = from_kernel_[place];
  const std::span all(outbox.packets);
  outbox.count += port.twin()->take(all.subspan(outbox.count));
  if (outbox.count == 0) {
    return false;
  }
  const std::uint16_t taken = port.transmit(index_, all.first(outbox.count));
  std::copy(all.begin() + taken, all.begin() + outbox.count, all.begin());
  outbox.count = static_cast<std::uint16_t>(outbox.count - taken);
  return taken > 0;
}

bool Worker::serve_ring(rte_ring* ring, std::uint64_t now_ms) {
  std::array<rte_mbuf*, kBurstSize> packets;
  const unsigned count = rte_ring_sc_dequeue_burst(
      ring, reinterpret_cast<void**>(packets.data()), kBurstSize, nullptr);
  if (count == 0) {
    return false;
  }
  state_->stats.taken_over.add(count);
  begin(std::span(packets).first(count), Origin::kWorker);
  process(now_ms);
  serve_released(now_ms);
  return true;
}

// Frames that were held, on their way to the owner or through the stages.
void Worker::serve_released(std::uint64_t now_ms) {
  while (const std::uint16_t count = state_->fragments.take_released(burst_.frame)) {
    burst_.begin(count);
    parse(burst_);
    hash_keys(burst_, *surroundings_.hasher);
    if (surroundings_.workers > 1) {
      dispatch();
    }
    process(now_ms);
  }
}

void Worker::begin(std::span<rte_mbuf*> packets, Origin origin) {
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const auto port = static_cast<PortIndex>(packets[i]->port);
    // Made in its place: assigned, it would be copied, and wait for its small stores.
    ::new (&burst_.frame[i]) Frame(to_frame(packets[i], port));
    if (origin == Origin::kWorker) {
      burst_.frame[i].note = note_of(packets[i]);
    }
  }
  burst_.begin(static_cast<std::uint16_t>(packets.size()));
  parse(burst_);
  hash_keys(burst_, *surroundings_.hasher);
}

void Worker::dispatch() {
  const Forwarding* forwarding = surroundings_.forwarding.load(std::memory_order_acquire);
  std::array<bool, kBurstSize> gone{};
  std::uint64_t owners = 0;
  const Ownership ownership{surroundings_.workers, surroundings_.spread};
  for (const Slot slot : burst_.live_slots()) {
    const std::uint32_t owner = owner_of(burst_, slot, *forwarding->generation, index_, ownership);
    if (owner != index_) {
      hand_over(slot, owner);
      gone[slot] = true;
      owners |= 1ULL << owner;
    }
  }
  if (owners != 0) {
    wake(owners);
    keep_own(gone);
  }
}

// A frame that does not fit is dropped here, and counted as received (or released) here.
void Worker::hand_over(Slot slot, std::uint32_t owner) {
  const FragmentNote& note = burst_.frame[slot].note;
  rte_mbuf* packet = to_packet(burst_.frame[slot]);
  set_note(packet, note);
  if (rte_ring_sp_enqueue(handed_by_us_[owner], packet) == 0) {
    state_->stats.handed_over.add(1);
    return;
  }
  rte_pktmbuf_free(packet);
  const bool released = note.what != FragmentNote::What::kNothing;
  (released ? state_->stats.released : state_->stats.received).add(1);
  state_->stats.drops[static_cast<std::size_t>(Drop::kDispatchFull)].add(1);
}

// Bit n is worker n.
void Worker::wake(std::uint64_t owners) {
  for (; owners != 0; owners &= owners - 1) {
    surroundings_.wakers[static_cast<std::size_t>(std::countr_zero(owners))]->wake();
  }
}

// Frames that stay close ranks and are parsed again: cheaper than moving everything parse wrote.
void Worker::keep_own(const std::array<bool, kBurstSize>& gone) {
  std::uint16_t kept = 0;
  for (std::uint16_t i = 0; i < burst_.size; ++i) {
    if (!gone[i]) {
      burst_.frame[kept++] = burst_.frame[i];
    }
  }
  burst_.begin(kept);
  parse(burst_);
  hash_keys(burst_, *surroundings_.hasher);
}

void Worker::process(std::uint64_t now_ms) {
  const Forwarding* forwarding = surroundings_.forwarding.load(std::memory_order_acquire);
  run_stages(burst_, *forwarding, *state_, now_ms);
  finish();
  flush();
  forward_notices(now_ms);
}

void Worker::finish() {
  for (std::uint16_t i = 0; i < burst_.size; ++i) {
    const Verdict verdict = burst_.verdict[i];
    if (verdict == Verdict::kForward || verdict == Verdict::kReply) {
      enqueue(burst_.frame[i].port, to_packet(burst_.frame[i]));
    } else if (verdict == Verdict::kKernel &&
               surroundings_.ports[burst_.frame[i].port]->twin() != nullptr) {
      give_to_kernel(static_cast<Slot>(i));
    } else if (verdict != Verdict::kHold) {  // of shared ports the kernel has its own copy
      rte_pktmbuf_free(static_cast<rte_mbuf*>(burst_.frame[i].handle));
    }
  }
}

// The twin bears what the port's tags carry; other tags than a tagged port's are not its.
void Worker::give_to_kernel(Slot slot) {
  Frame& frame = burst_.frame[slot];
  const Port& port = *surroundings_.ports[frame.port];
  const bool tagged = port.link().tags.any();
  const bool fits = frame.contiguous >= sizeof(EthernetHeader) && !(tagged && burst_.tagged[slot]);
  if (!fits || (tagged && !put_tags(frame, burst_.l3_offset[slot], {}))) {
    rte_pktmbuf_free(static_cast<rte_mbuf*>(frame.handle));
    port.twin()->count_dropped(KernelClass::kOther);
    return;
  }
  KernelClass kind = kernel_class(frame.bytes());
  if (kind == KernelClass::kOther && burst_.kind[slot] == Kind::kTransport &&
      surroundings_.members.may_hold(burst_.key[slot].source)) {
    kind = KernelClass::kMember;
  }
  port.twin()->offer(kind, to_packet(frame));
}

// Counted as held, which they stay.
void Worker::free_held() {
  std::array<Frame, kBurstSize> frames;
  state_->fragments.abandon();
  while (const std::uint16_t count = state_->fragments.take_released(frames)) {
    for (std::uint16_t i = 0; i < count; ++i) {
      rte_pktmbuf_free(static_cast<rte_mbuf*>(frames[i].handle));
    }
  }
}

void Worker::enqueue(PortIndex port, rte_mbuf* packet) {
  Outbox& outbox = outboxes_[port];
  outbox.packets[outbox.count++] = packet;
}

void Worker::flush() {
  for (std::size_t i = 0; i < outboxes_.size(); ++i) {
    Outbox& outbox = outboxes_[i];
    if (outbox.count == 0) {
      continue;
    }
    const std::span packets = std::span(outbox.packets).first(outbox.count);
    const std::uint16_t taken = surroundings_.ports[i]->transmit(index_, packets);
    state_->stats.transmitted.add(taken);
    if (taken < outbox.count) [[unlikely]] {
      state_->stats.transmit_full.add(static_cast<std::uint64_t>(outbox.count - taken));
      rte_pktmbuf_free_bulk(packets.data() + taken, static_cast<unsigned>(outbox.count - taken));
    }
    outbox.count = 0;
  }
}

void Worker::forward_notices(std::uint64_t now_ms) {
  Notices& noticed = state_->notices;
  for (std::uint8_t i = 0; i < noticed.learned_count; ++i) {
    const Notices::Learned& learned = noticed.learned[i];
    tell({.what = Notice::What::kLearned,
          .port = learned.port,
          .mac = learned.mac,
          .address = learned.address},
         now_ms);
  }
  for (std::uint8_t i = 0; i < noticed.unresolved_count; ++i) {
    tell({.what = Notice::What::kUnresolved, .address = noticed.unresolved[i]}, now_ms);
  }
  for (std::uint8_t i = 0; i < noticed.refusing_count; ++i) {
    tell_refusal(noticed.refusing[i], now_ms);
  }
  noticed.clear();
}

void Worker::tell(const Notice& notice, std::uint64_t now_ms) {
  std::uint64_t low = 0;
  std::memcpy(&low, notice.address.bytes.data() + 8, sizeof(low));
  const std::uint64_t mixed = (low ^ notice.mac[5]) * 0x9e3779b97f4a7c15U;
  Told& told = told_[(mixed >> 56U) % kToldEntries];
  if (told.address == notice.address && now_ms - told.at_ms < kTellAgainMs) {
    return;
  }
  told = {.address = notice.address, .at_ms = now_ms};
  push(notice);
}

void Worker::tell_refusal(MemberId member, std::uint64_t now_ms) {
  ToldRefusal& told = told_refusals_[member.index % kToldRefusals];
  if (told.member == member && now_ms - told.at_ms < kTellRefusalAgainMs) {
    return;
  }
  told = {.member = member, .at_ms = now_ms};
  push({.what = Notice::What::kRefusal, .member = member});
}

void Worker::push(const Notice& notice) {
  const bool asleep = notices.empty();
  if (notices.push(notice) && asleep && surroundings_.wake_main >= 0) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(surroundings_.wake_main, &one, sizeof(one));
  }
}

bool Worker::announce() {
  bool any = false;
  for (std::size_t i = 0; i < kAnnouncementsPerTurn; ++i) {
    const std::optional<Announcement> next = announcements.pop();
    if (!next) {
      break;
    }
    any = true;
    rte_mbuf* packet = rte_pktmbuf_alloc(surroundings_.pool);
    if (packet == nullptr) {
      state_->stats.no_buffer.add(1);
      continue;
    }
    write_announcement(*next, surroundings_.ports[next->port]->link().tags, packet);
    state_->stats.generated[static_cast<std::size_t>(Generated::kAnnouncement)].add(1);
    enqueue(next->port, packet);
    flush();
  }
  return any;
}

// Questions to clients, by the way that packets to them would go. Who cannot be reached is not
// asked.
bool Worker::ask(const Neighborhood& neighborhood) {
  const std::size_t count = std::exchange(state_->questions.count, 0);
  for (const Question& question : std::span(state_->questions.all).first(count)) {
    const NextHop hop = hop_to_client(question.key.source, neighborhood, state_->notices);
    if (hop.state != NextHop::State::kResolved) {
      continue;
    }
    rte_mbuf* packet = rte_pktmbuf_alloc(surroundings_.pool);
    if (packet == nullptr) {
      state_->stats.no_buffer.add(1);
      continue;
    }
    write_question(question, hop, surroundings_.ports[hop.port]->link().tags, packet);
    state_->stats.generated[static_cast<std::size_t>(Generated::kQuestion)].add(1);
    enqueue(hop.port, packet);
  }
  if (count > 0) {
    flush();
  }
  return count > 0;
}

void Worker::begin_walk(FlowWalk& walk) {
  walk_.store(&walk, std::memory_order_release);
  surroundings_.wakers[index_]->wake();
}

// A worker that walks does not rest.
bool Worker::go_on_walking(FlowWalk* walk, const Generation& generation, std::uint64_t now_ms) {
  if (walk == nullptr) [[likely]] {
    return false;
  }
  if (walk_some(*walk, *state_, generation, now_ms)) {
    walk_.store(nullptr, std::memory_order_release);
  }
  return true;
}

void Worker::leave_snapshot() {
  if (snapshot_wanted_.load(std::memory_order_acquire)) [[unlikely]] {
    copy_stats(state_->stats, *snapshot_);
    snapshot_wanted_.store(false, std::memory_order_release);
  }
}

}  // namespace holdfast::dataplane
