// SPDX-License-Identifier: Apache-2.0
// The dataplane without ports: the product's publisher and workers' states, and threads that run
// the stages over bursts of their own in `dsr`, whose frames can be used again and again. What a
// thread does is a worker's turn (process/worker.h) without receiving and transmitting: it loads
// the generation once per burst and reports that it has left it.
#pragma once

#include "bench/frames.h"
#include "bench/region.h"
#include "bench/site.h"
#include "dataplane/process/publisher.h"
#include "dataplane/process/quiescence.h"
#include "dataplane/process/worker.h"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

namespace holdfast::dataplane::bench {

// A directory that goes with the object.
class ScratchDirectory {
 public:
  ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ~ScratchDirectory();
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

// What is measured of a stretch of time, of one worker.
struct Stretch {
  std::uint64_t bursts = 0;
  std::uint64_t packets_lost = 0;
  double cpu_ns = 0;    // of its thread
  double worst_ns = 0;  // CPU time of the burst that took longest
};

class Plane {
 public:
  // Publishes the specification; no worker runs yet. Ends the process when it is wrong.
  Plane(const GenerationSpec& spec, std::uint32_t workers, std::uint64_t flows);
  Plane(const Plane&) = delete;
  Plane& operator=(const Plane&) = delete;
  ~Plane();

  [[nodiscard]] Publisher& publisher() { return *publisher_; }
  // Starts `count` workers over `bursts` bursts each, whose flows are spread over `bindings` VIPs,
  // and waits until each has opened its flows.
  void start(std::uint32_t count, std::size_t bursts, std::uint32_t bindings);
  void stop();
  // What each worker did between begin_stretch() and this. Requires: they run.
  void begin_stretch();
  std::vector<Stretch> end_stretch();

 private:
  // One thread's; asked for by the number of a stretch, which rises with each begin and end.
  struct alignas(64) Runner {
    std::thread thread;
    std::atomic<std::uint32_t> seen{0};  // the newest number that the thread has seen
    Stretch stretch;                     // of what began there; written before `seen`
  };
  void run(std::uint32_t index, std::size_t bursts, std::uint32_t bindings);
  void next_stretch();

  ScratchDirectory directory_;
  StateGeometry geometry_;
  Region region_;
  SharedState shared_;
  FlowHasher hasher_;
  Quiescence quiescence_;
  std::unique_ptr<DispatchRings> rings_;
  WorkerSurroundings surroundings_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Publisher> publisher_;
  std::vector<Runner> runners_;
  std::atomic<std::uint32_t> wanted_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace holdfast::dataplane::bench
