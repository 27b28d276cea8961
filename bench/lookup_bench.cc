// SPDX-License-Identifier: Apache-2.0
// What a lookup in the IPv4 flow table costs, alone: hash, prefetch and find over bursts of 32, as
// track does it, the stamp renewed. Hits in uniform and in Zipf order, and misses; from a thousand
// flows to a hundred million, at the load that the product plans with. Beside rte_hash's lookup in
// bulk over as many flows in the same order. A sample is the median over groups of bursts, so that
// one that was interrupted says nothing.
#include "bench/dpdk.h"
#include "bench/flows.h"
#include "bench/hash_peer.h"
#include "bench/report.h"
#include "bench/site.h"

#include <array>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <x86intrin.h>

namespace holdfast::dataplane::bench {
namespace {

constexpr std::size_t kCachedFlows = 4096;  // up to here track prefetches the first bucket alone
constexpr std::size_t kGroup = 512;         // lookups between two readings of the counter
constexpr std::uint64_t kMostFlowsOfPeer = 10'000'000;
constexpr std::uint32_t kPast = 3'000'000'000;  // flow numbers that are in no table
constexpr std::uint64_t kBytesPerFlow = 64;     // with the rounding of tables, and the peer's

struct Case {
  const char* name;
  Order order;
  bool hit;
};
constexpr std::array<Case, 3> kCases = {{{"hit.uniform", Order::kUniform, true},
                                         {"hit.zipf", Order::kZipf, true},
                                         {"miss.uniform", Order::kUniform, false}}};

using Keys = std::array<FlowKey, kGroup>;
using PeerKeys = std::array<HashPeer::Key, kGroup>;

std::size_t find_all(Site& site, std::uint16_t binding, const Keys& keys, Stamp now) {
  FlowTable4& table = site.worker().tables.v4;
  std::array<std::uint64_t, kBurstSize> hashes;
  std::size_t found = 0;
  for (std::size_t at = 0; at < keys.size(); at += kBurstSize) {
    for (std::size_t i = 0; i < kBurstSize; ++i) {
      hashes[i] = site.hasher()(keys[at + i]);
    }
    for (std::size_t i = 0; i < kBurstSize; ++i) {
      table.prefetch(hashes[i]);
    }
    for (std::size_t i = 0; i < kBurstSize && table.used() > kCachedFlows; ++i) {
      table.prefetch_rest(hashes[i], keys[at + i], binding);
    }
    for (std::size_t i = 0; i < kBurstSize; ++i) {
      if (FlowEntry4* entry = table.find(hashes[i], keys[at + i], binding)) {
        entry->stamp = now;
        ++found;
      }
    }
  }
  return found;
}

std::size_t find_all(const HashPeer& peer, const PeerKeys& keys) {
  std::size_t found = 0;
  for (std::size_t at = 0; at < keys.size(); at += kBurstSize) {
    found += peer.find(std::span(keys).subspan(at, kBurstSize));
  }
  return found;
}

class Lookups {
 public:
  Lookups(std::uint32_t flows, bool with_peer)
      : flows_(flows),
        site_(build_specification({}), geometry_for({}, flows)),
        peer_(with_peer ? HashPeer::create(flows) : nullptr) {
    if (fill_table(site_, 0, flows) < flows - flows / 1000) {
      std::cerr << "the table does not take the flows\n";
      std::exit(1);
    }
    for (std::uint32_t flow = 0; peer_ && flow < flows; ++flow) {
      if (!peer_->insert(HashPeer::Key::of(flow_key(flow)))) {
        std::cerr << "rte_hash does not take the flows\n";
        std::exit(1);
      }
    }
    binding_ = site_.generation().bindings().find(vip(0), Protocol::kTcp, kServicePort)->binding;
  }

  [[nodiscard]] bool has_peer() const { return peer_ != nullptr; }

  // ns per lookup of the subject, then of the peer (0 without one), over the same flows.
  std::pair<double, double> measure(const Case& which, std::uint64_t seed, int groups) {
    Draw draw(which.order, flows_, seed);
    std::vector<double> ours;
    std::vector<double> theirs;
    for (int group = 0; group < groups; ++group) {
      for (std::size_t i = 0; i < kGroup; ++i) {
        const std::uint32_t flow = draw();
        keys_[i] = flow_key(which.hit ? flow : kPast + flow);
        peer_keys_[i] = HashPeer::Key::of(keys_[i]);
      }
      std::uint64_t start = __rdtsc();
      found_ += find_all(site_, binding_, keys_, static_cast<Stamp>(group));
      ours.push_back(static_cast<double>(__rdtsc() - start));
      if (peer_) {
        start = __rdtsc();
        found_ += find_all(*peer_, peer_keys_);
        theirs.push_back(static_cast<double>(__rdtsc() - start));
      }
    }
    const double scale = nanoseconds_per_tick() / kGroup;
    return {median(ours) * scale, theirs.empty() ? 0 : median(theirs) * scale};
  }
  // So that nothing of it is left out as without effect.
  [[nodiscard]] std::size_t found() const { return found_; }

 private:
  std::uint32_t flows_;
  Site site_;
  std::unique_ptr<HashPeer> peer_;
  std::uint16_t binding_ = 0;
  Keys keys_{};
  PeerKeys peer_keys_{};
  std::size_t found_ = 0;
};

void measure_all(std::uint32_t flows, bool with_peer, const Options& options, Report& report) {
  Lookups lookups(flows, with_peer);
  report.remark("lookup.pages." + std::to_string(flows), pages_in_use());
  const int groups = options.small ? 4 : 400;
  for (int round = 0; round < options.rounds; ++round) {
    for (const Case& which : kCases) {
      const std::string name = std::string("lookup.") + which.name + "." + std::to_string(flows);
      const auto [ours, theirs] =
          lookups.measure(which, static_cast<std::uint64_t>(round) + 1, groups);
      report.add(name, "ns", ours);
      if (lookups.has_peer()) {
        report.add_beside(name, theirs);
      }
    }
  }
  if (lookups.found() == 0) {
    std::cerr << "nothing was found\n";
    std::exit(1);
  }
}

int run(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  Report report;
  const bool dpdk = start_dpdk(64);
  for (const std::uint32_t flows : {1'000U, 100'000U, 1'000'000U, 10'000'000U, 100'000'000U}) {
    if (flows > options.most_flows) {
      continue;
    }
    if (available_bytes() < 2 * kBytesPerFlow * flows) {
      report.remark("lookup.hit.uniform." + std::to_string(flows), "too little memory is free");
      continue;
    }
    measure_all(flows, dpdk && flows <= kMostFlowsOfPeer, options, report);
  }
  report.print();
  return 0;
}

}  // namespace
}  // namespace holdfast::dataplane::bench

int main(int argc, char** argv) { return holdfast::dataplane::bench::run(argc, argv); }
