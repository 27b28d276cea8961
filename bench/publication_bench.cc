// SPDX-License-Identifier: Apache-2.0
// Publication and dispositions by the product's publisher, with 1000 services of 10 members each,
// while a worker runs packets to all of them (plane.h). One member goes or comes back: how long
// until no worker sees the generation before, with and without its copy on disk; how long the worst
// burst of the worker took, in CPU time, beside as long a stretch without a publication; whether a
// packet was lost. All of it from nothing. And a disposition, from the call to the last of two
// workers.
#include "bench/plane.h"
#include "bench/report.h"

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

namespace holdfast::dataplane::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kBursts = 64;
constexpr std::uint64_t kFlows = 65'536;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

Shape shape_of(const Options& options) {
  return {.services = options.small ? 10U : 1000U, .bindings = 1, .members = 10};
}

// A stretch of `length`, with what `event` does at its begin.
template <typename Event>
Stretch stretch_with(Plane& plane, std::chrono::milliseconds length, const Event& event) {
  const auto end = Clock::now() + length;
  plane.begin_stretch();
  event();
  std::this_thread::sleep_until(end);
  return plane.end_stretch().front();
}

// The next specification, in which one service has a member less, or again.
void change_one(GenerationSpec& spec, const GenerationSpec& whole, int round) {
  const std::size_t which = static_cast<std::size_t>(round / 2) * 37 % whole.services.size();
  spec.services[which].members = whole.services[which].members;
  if (round % 2 == 0) {
    spec.services[which].members.pop_back();
  }
  ++spec.number;
}

void publish_one(Plane& plane, const GenerationSpec& spec, Report& report) {
  GenerationSpec copy = spec;
  const auto start = Clock::now();
  const auto done = plane.publisher().publish(std::move(copy));
  if (!done || !done->acknowledged) {
    std::cerr << (done ? "a worker has not come round" : done.error()) << "\n";
    std::exit(1);
  }
  report.add("publish.one_change.with_disk", "ms", ms_since(start));
  report.add(
      "publish.one_change", "ms", static_cast<double>(done->build_ns + done->swap_ns) * 1e-6);
}

void measure_changes(const Options& options, Report& report) {
  const Shape shape = shape_of(options);
  const GenerationSpec whole = build_specification(shape);
  Plane plane(whole, 1, kFlows);
  plane.start(1, kBursts, shape.services);
  GenerationSpec spec = whole;
  const std::chrono::milliseconds length(options.small ? 5 : 300);
  double lost = 0;
  for (int round = 0; round < options.rounds; ++round) {
    const Stretch idle = stretch_with(plane, length, [] {});
    change_one(spec, whole, round);
    const Stretch busy = stretch_with(plane, length, [&] { publish_one(plane, spec, report); });
    plane.publisher().settle();
    report.add("publish.worst_burst", "us", busy.worst_ns * 1e-3);
    report.add_beside("publish.worst_burst", idle.worst_ns * 1e-3);
    report.add("publish.worst_burst.over_idle", "ratio", busy.worst_ns / idle.worst_ns);
    lost += static_cast<double>(idle.packets_lost + busy.packets_lost);
  }
  report.add("publish.packets_lost", "packets", lost);
}

void measure_from_nothing(const Options& options, Report& report) {
  const GenerationSpec spec = build_specification(shape_of(options));
  for (int round = 0; round < (options.small ? 1 : 4); ++round) {
    const auto start = Clock::now();
    const Plane plane(spec, 1, kFlows);
    report.add("publish.everything", "ms", ms_since(start));
  }
}

void measure_dispositions(const Options& options, Report& report) {
  const Shape shape = shape_of(options);
  // On two cores a second one would measure the scheduler.
  const std::uint32_t workers = std::thread::hardware_concurrency() > 2 ? 2 : 1;
  Plane plane(build_specification(shape), workers, kFlows);
  plane.start(workers, kBursts, shape.services);
  for (int i = 0; i < 20 * options.rounds; ++i) {
    const std::string service = "service-" + std::to_string(i % static_cast<int>(shape.services));
    const Disposition wanted = i % 2 == 0 ? Disposition::kKeep : Disposition::kNew;
    const auto done = plane.publisher().set_disposition(service, "backend-1", wanted);
    if (!done) {
      std::cerr << done.error() << "\n";
      std::exit(1);
    }
    report.add("disposition.last_worker", "ms", static_cast<double>(done->visible_ns) * 1e-6);
  }
}

int run(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  Report report;
  if (options.only != "disposition") {
    measure_changes(options, report);
    measure_from_nothing(options, report);
  }
  if (options.only != "publish") {
    measure_dispositions(options, report);
  }
  report.print();
  return 0;
}

}  // namespace
}  // namespace holdfast::dataplane::bench

int main(int argc, char** argv) { return holdfast::dataplane::bench::run(argc, argv); }
