// SPDX-License-Identifier: Apache-2.0
// See plane.h.
#include "bench/plane.h"

#include "bench/flows.h"
#include "bench/report.h"
#include "dataplane/process/clock.h"
#include "dataplane/process/waker.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <new>
#include <string>
#include <utility>

#include <stdlib.h>

namespace holdfast::dataplane::bench {

namespace {

constexpr std::uint32_t kFlowsOfWorker = 100'000'000;  // numbers of flows that no other has

StateGeometry geometry_of(std::uint32_t workers, std::uint64_t flows) {
  StateGeometry geometry = geometry_for({}, flows);
  geometry.workers = workers;
  return geometry;
}

// Bursts of frames that `dsr` leaves as they are, but for the MAC addresses.
class Traffic {
 public:
  Traffic(std::uint32_t first, std::size_t bursts, std::uint32_t bindings)
      : frames_(bursts), bursts_(bursts) {
    for (std::size_t b = 0; b < bursts; ++b) {
      for (Slot i = 0; i < kBurstSize; ++i) {
        const auto flow = static_cast<std::uint32_t>(first + b * kBurstSize + i);
        frames_.write(bursts_[b], i, {.key = flow_key(flow, true, bindings)}, b);
      }
    }
  }
  Burst& next() {
    at_ = at_ + 1 == bursts_.size() ? 0 : at_ + 1;
    bursts_[at_].begin(kBurstSize);
    return bursts_[at_];
  }

 private:
  Frames frames_;
  std::vector<Burst> bursts_;
  std::size_t at_ = 0;
};

}  // namespace

ScratchDirectory::ScratchDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "holdfast-bench-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    std::cerr << "no directory can be made in " << std::filesystem::temp_directory_path() << "\n";
    std::exit(1);
  }
  path_ = name;
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Plane::Plane(const GenerationSpec& spec, std::uint32_t workers, std::uint64_t flows)
    : geometry_(geometry_of(workers, flows)),
      region_(geometry_.bytes()),
      shared_(SharedState::format(
          region_.bytes().first(geometry_.bytes()), geometry_, kBenchKey, BootId{})),
      hasher_(kBenchKey),
      quiescence_(workers),
      rings_(DispatchRings::create(workers)),
      runners_(workers) {
  if (!rings_) {
    throw std::bad_alloc();
  }
  surroundings_.hasher = &hasher_;
  surroundings_.quiescence = &quiescence_;
  surroundings_.workers = workers;
  for (std::uint32_t i = 0; i < workers; ++i) {
    auto waker = Waker::create();
    if (!waker) {
      std::cerr << waker.error().text << "\n";
      std::exit(1);
    }
    surroundings_.wakers.push_back(std::move(*waker));
  }
  publisher_ = std::make_unique<Publisher>(
      shared_, surroundings_, GenerationStore(directory_.path()), build_neighborhood(), false);
  if (const auto started = publisher_->start(spec); !started) {
    std::cerr << started.error() << "\n";
    std::exit(1);
  }
  for (std::uint32_t i = 0; i < workers; ++i) {
    workers_.push_back(std::make_unique<Worker>(surroundings_, *rings_, shared_, i));
  }
  publisher_->set_workers(workers_);
}

Plane::~Plane() { stop(); }

void Plane::start(std::uint32_t count, std::size_t bursts, std::uint32_t bindings) {
  stop_.store(false);
  for (std::uint32_t i = 0; i < count; ++i) {
    runners_[i].seen.store(wanted_.load());
    runners_[i].thread = std::thread([this, i, bursts, bindings] { run(i, bursts, bindings); });
  }
  next_stretch();  // the first one is that of opening
}

void Plane::stop() {
  stop_.store(true);
  for (Runner& runner : runners_) {
    if (runner.thread.joinable()) {
      runner.thread.join();
    }
  }
}

void Plane::next_stretch() {
  const std::uint32_t number = wanted_.load() + 1;
  wanted_.store(number, std::memory_order_release);
  for (Runner& runner : runners_) {
    while (runner.thread.joinable() && runner.seen.load(std::memory_order_acquire) != number) {
      std::this_thread::yield();
    }
  }
}

void Plane::begin_stretch() { next_stretch(); }

std::vector<Stretch> Plane::end_stretch() {
  next_stretch();
  std::vector<Stretch> stretches;
  for (const Runner& runner : runners_) {
    if (runner.thread.joinable()) {
      stretches.push_back(runner.stretch);
    }
  }
  return stretches;
}

void Plane::run(std::uint32_t index, std::size_t bursts, std::uint32_t bindings) {
  Runner& runner = runners_[index];
  WorkerState& state = workers_[index]->state();
  Traffic traffic(index * kFlowsOfWorker, bursts, bindings);
  quiescence_.online(index);
  Stretch stretch;
  std::size_t opening = 3 * bursts;  // two packets make a flow; the third is in nobody's way
  double began = cpu_ns();
  double last = began;
  while (!stop_.load(std::memory_order_relaxed)) {
    Burst& burst = traffic.next();
    const Forwarding& forwarding = *surroundings_.forwarding.load(std::memory_order_acquire);
    const std::uint64_t now_ms = monotonic_ns() / 1'000'000;
    sweep(state, *forwarding.generation, now_ms);
    parse(burst);
    hash_keys(burst, hasher_);
    run_stages(burst, forwarding, state, now_ms);
    state.notices.clear();
    quiescence_.quiescent(index);
    const auto forwarded = std::ranges::count(burst.verdict, Verdict::kForward);
    stretch.packets_lost += kBurstSize - static_cast<std::uint64_t>(forwarded);
    const double now = cpu_ns();
    stretch.worst_ns = std::max(stretch.worst_ns, now - last);
    ++stretch.bursts;
    last = now;
    opening -= opening > 0 ? 1 : 0;
    const std::uint32_t wanted = wanted_.load(std::memory_order_acquire);
    if (opening == 0 && wanted != runner.seen.load(std::memory_order_relaxed)) {
      stretch.cpu_ns = now - began;
      runner.stretch = std::exchange(stretch, {});
      runner.seen.store(wanted, std::memory_order_release);
      last = began = cpu_ns();
    }
  }
  quiescence_.offline(index);
}

}  // namespace holdfast::dataplane::bench
