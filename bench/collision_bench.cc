// SPDX-License-Identifier: Apache-2.0
// What 65 536 flows cost that were picked to collide (collisions.h), beside as many random ones, in
// turn: inserting them all into an empty table, then looking them up in random order, in bursts of
// 32. `keyed`: the flow tables and the NAT index with the hash that the product uses. `known`: the
// same flow table, and a table of chains, with the hash that the flows were picked for and no key.
// Printed: ns of CPU time per flow (the median over 128 parts) of the colliding ones beside the
// random ones, and the share of the colliding flows that got an entry.
#include "bench/collisions.h"
#include "bench/report.h"
#include "dataplane/flow_table.h"
#include "dataplane/hash.h"
#include "dataplane/nat_table.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace holdfast::dataplane::bench {
namespace {

constexpr std::size_t kFlows = 65'536;
constexpr unsigned kBucketBits = 15;  // of a flow table for so many flows
constexpr std::size_t kGroup = 512;   // flows between two readings of the clock, 0.3 us each
constexpr std::uint16_t kBinding = 1;
const Address kVip = *Address::parse("203.0.113.10");
const Address kVip6 = *Address::parse("2001:db8::10");

// A table under test. A burst is hashed and prefetched before it is looked at, as in track.
class Table {
 public:
  Table() = default;
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  virtual ~Table() = default;
  virtual void insert(std::span<const FlowKey> burst) = 0;
  virtual std::size_t find(std::span<const FlowKey> burst) = 0;
  // Flows at the end of the filling that are timed, and flows that are looked up.
  [[nodiscard]] virtual std::size_t sample() const { return kFlows; }
};

template <typename Entry, typename Hasher>
class Flow final : public Table {
 public:
  explicit Flow(const Hasher& hasher)
      : hasher_(hasher),
        buckets_(FlowTable<Entry>::buckets_for(kFlows)),
        table_(buckets_),
        vip_(sizeof(Entry) == 16 ? kVip : kVip6) {}

  void insert(std::span<const FlowKey> burst) override {
    hash(burst);
    for (std::size_t i = 0; i < burst.size(); ++i) {
      if (table_.find(hashes_[i], burst[i], kBinding) == nullptr) {
        enter(hashes_[i], burst[i]);
      }
    }
  }
  std::size_t find(std::span<const FlowKey> burst) override {
    hash(burst);
    std::size_t found = 0;
    for (std::size_t i = 0; i < burst.size(); ++i) {
      found += table_.find(hashes_[i], burst[i], kBinding) != nullptr ? 1U : 0U;
    }
    return found;
  }

 private:
  void hash(std::span<const FlowKey> burst) {
    for (std::size_t i = 0; i < burst.size(); ++i) {
      hashes_[i] = hasher_(burst[i]);
    }
    for (std::size_t i = 0; i < burst.size(); ++i) {
      table_.prefetch(hashes_[i]);
    }
  }
  void enter(std::uint64_t hash, const FlowKey& key) {
    Entry* entry = table_.make_room(
        hash,
        FlowState::kEstablished,
        [&](const Entry& resident) {
          return hasher_({.source = resident.source_address(),
                          .destination = vip_,
                          .source_port = Be16::from_wire(resident.source_port),
                          .destination_port = Be16::from_wire(resident.destination_port),
                          .protocol = Protocol::kTcp});
        },
        [](const Entry&) { return false; },
        [](const Entry&) {});
    if (entry != nullptr) {
      entry->set_key(key, kBinding);
      table_.set_state(*entry, FlowState::kEstablished);
    }
  }

  Hasher hasher_;
  std::vector<typename FlowTable<Entry>::Bucket> buckets_;
  FlowTable<Entry> table_;
  Address vip_;
  std::array<std::uint64_t, kBurstSize> hashes_{};
};

// The NAT index by the client's side.
template <typename Hasher>
class Nat final : public Table {
 public:
  explicit Nat(const Hasher& hasher)
      : hasher_(hasher),
        records_(kFlows),
        buckets_(NatIndex::buckets_for(kFlows)),
        index_(buckets_) {}

  void insert(std::span<const FlowKey> burst) override {
    hash(burst);
    for (std::size_t i = 0; i < burst.size(); ++i) {
      if (find_one(i, burst[i]) == kNoRecord && used_ < records_.size() &&
          index_.insert(hashes_[i], used_)) {
        NatRecord& record = records_[used_++];
        record.client = burst[i].source;
        record.client_port = burst[i].source_port;
        record.service_port = burst[i].destination_port;
        record.binding = kBinding;
      }
    }
  }
  std::size_t find(std::span<const FlowKey> burst) override {
    hash(burst);
    std::size_t found = 0;
    for (std::size_t i = 0; i < burst.size(); ++i) {
      found += find_one(i, burst[i]) != kNoRecord ? 1U : 0U;
    }
    return found;
  }

 private:
  void hash(std::span<const FlowKey> burst) {
    for (std::size_t i = 0; i < burst.size(); ++i) {
      hashes_[i] = hasher_(burst[i]);
      index_.prefetch(hashes_[i]);
    }
  }
  [[nodiscard]] std::uint32_t find_one(std::size_t i, const FlowKey& key) const {
    return index_.find(hashes_[i], [&](std::uint32_t candidate) {
      const NatRecord& record = records_[candidate];
      return record.binding == kBinding && record.client_port == key.source_port &&
             record.service_port == key.destination_port && record.client == key.source;
    });
  }

  Hasher hasher_;
  std::vector<NatRecord> records_;
  std::vector<NatIndex::Bucket> buckets_;
  NatIndex index_;
  std::uint32_t used_ = 0;
  std::array<std::uint64_t, kBurstSize> hashes_{};
};

// One chain per bucket, which no flow is refused: what becomes long is the chain.
template <typename Hasher>
class Chains final : public Table {
 public:
  explicit Chains(const Hasher& hasher)
      : hasher_(hasher), heads_(std::size_t{1} << kBucketBits, kNone) {
    nodes_.reserve(kFlows);
  }
  void insert(std::span<const FlowKey> burst) override {
    for (const FlowKey& key : burst) {
      std::uint32_t& head = heads_[hasher_(key) % heads_.size()];
      // The filling before the sample would take hours: all of it is new.
      if (nodes_.size() < kFlows - sample() || !holds(head, key)) {
        nodes_.push_back({.key = key, .next = head});
        head = static_cast<std::uint32_t>(nodes_.size() - 1);
      }
    }
  }
  std::size_t find(std::span<const FlowKey> burst) override {
    return static_cast<std::size_t>(std::ranges::count_if(burst, [&](const FlowKey& key) {
      return holds(heads_[hasher_(key) % heads_.size()], key);
    }));
  }
  [[nodiscard]] std::size_t sample() const override { return 1024; }

 private:
  static constexpr std::uint32_t kNone = 0xffffffff;
  struct Node {
    FlowKey key;
    std::uint32_t next = kNone;
  };
  [[nodiscard]] bool holds(std::uint32_t at, const FlowKey& key) const {
    while (at != kNone && !(nodes_[at].key == key)) {
      at = nodes_[at].next;
    }
    return at != kNone;
  }

  Hasher hasher_;
  std::vector<std::uint32_t> heads_;
  std::vector<Node> nodes_;
};

struct Cost {
  double insert_ns = 0;
  double find_ns = 0;
  double tracked = 0;
};

// ns per flow, the median over groups of bursts.
template <typename Work>
double timed(std::span<const FlowKey> flows, const Work& work) {
  std::vector<double> times;
  for (std::size_t at = 0; at + kGroup <= flows.size(); at += kGroup) {
    const double start = cpu_ns();
    for (std::size_t i = 0; i < kGroup; i += kBurstSize) {
      work(flows.subspan(at + i, kBurstSize));
    }
    times.push_back((cpu_ns() - start) / static_cast<double>(kGroup));
  }
  return median(std::move(times));
}

Cost measure(Table& table, const Flows& flows, const Flows& shuffled) {
  Cost cost;
  const std::span<const FlowKey> all(flows);
  const std::size_t before = kFlows - table.sample();
  for (std::size_t at = 0; at < before; at += kBurstSize) {
    table.insert(all.subspan(at, kBurstSize));
  }
  cost.insert_ns = timed(all.subspan(before), [&](auto burst) { table.insert(burst); });
  std::size_t found = 0;
  cost.find_ns = timed(std::span(shuffled).first(table.sample()),
                       [&](auto burst) { found += table.find(burst); });
  cost.tracked = static_cast<double>(found) / static_cast<double>(table.sample());
  return cost;
}

using Maker = std::function<std::unique_ptr<Table>()>;

struct Case {
  std::string name;
  Maker make;
  const Flows* random;
  const Flows* colliding;
};

Flows shuffled(Flows flows) {
  std::mt19937_64 random(9);
  std::ranges::shuffle(flows, random);
  return flows;
}

// Random and colliding flows in turn.
void run(const Case& one, int rounds, Report& report) {
  const Flows random_order = shuffled(*one.random);
  const Flows colliding_order = shuffled(*one.colliding);
  for (int round = 0; round < rounds; ++round) {
    const Cost random = measure(*one.make(), *one.random, random_order);
    const Cost colliding = measure(*one.make(), *one.colliding, colliding_order);
    report.add(one.name + ".insert", "ns/flow", colliding.insert_ns);
    report.add_beside(one.name + ".insert", random.insert_ns);
    report.add(one.name + ".find", "ns/flow", colliding.find_ns);
    report.add_beside(one.name + ".find", random.find_ns);
    report.add(one.name + ".tracked", "%", 100 * colliding.tracked);
  }
}

// The sets, checked: a set that does not collide would measure nothing.
struct Sets {
  Flows random = random_flows(kVip, kFlows, 1);
  Flows random6 = random_flows(kVip6, kFlows, 2);
  Flows crc = crc_collisions(kVip, kFlows, 3);
  Flows jhash = jhash_collisions(kVip, kFlows, kBucketBits, 4);
  Flows jhash6 = jhash_collisions6(kVip6, kFlows, 5);

  Sets() {
    constexpr std::uint32_t kLowBits = (1U << kBucketBits) - 1;
    require(crc, &crc32c_of, ~0U);
    require(jhash, &jhash_of, kLowBits);
    require(jhash6, &jhash_of, ~0U);
  }
  static void require(const Flows& flows,
                      std::uint32_t (*hash)(const FlowKey&),
                      std::uint32_t bits) {
    const bool collide = std::ranges::all_of(flows, [&](const FlowKey& flow) {
      return ((hash(flow) ^ hash(flows.front())) & bits) == 0;
    });
    if (flows.size() != kFlows || !collide) {
      std::cerr << "the flows do not collide\n";
      std::abort();
    }
  }
};

template <typename Product>
Maker make() {
  return [] { return std::make_unique<Product>(FlowHasher(HashKey{1})); };
}

// Without a key. Plain structs, so that they are inlined like the product's hash.
struct Crc {
  std::uint64_t operator()(const FlowKey& key) const { return crc32c_of(key); }
};
struct Jhash {
  std::uint64_t operator()(const FlowKey& key) const { return jhash_of(key); }
};
template <typename Known, typename Hasher>
Maker make_known() {
  return [] { return std::make_unique<Known>(Hasher{}); };
}

void run_all(const Sets& sets, const Options& options, Report& report) {
  using Keyed4 = Flow<FlowEntry4, FlowHasher>;
  using Keyed6 = Flow<FlowEntry6, FlowHasher>;
  using KeyedNat = Nat<FlowHasher>;
  const std::vector<Case> cases = {
      {"keyed.flow4.crc32c", make<Keyed4>(), &sets.random, &sets.crc},
      {"keyed.flow4.jhash", make<Keyed4>(), &sets.random, &sets.jhash},
      {"keyed.flow6.jhash", make<Keyed6>(), &sets.random6, &sets.jhash6},
      {"keyed.nat.crc32c", make<KeyedNat>(), &sets.random, &sets.crc},
      {"keyed.nat.jhash", make<KeyedNat>(), &sets.random, &sets.jhash},
      {"keyed.nat6.jhash", make<KeyedNat>(), &sets.random6, &sets.jhash6},
      {"known.flow4.crc32c", make_known<Flow<FlowEntry4, Crc>, Crc>(), &sets.random, &sets.crc},
      {"known.flow4.jhash",
       make_known<Flow<FlowEntry4, Jhash>, Jhash>(),
       &sets.random,
       &sets.jhash},
      {"known.flow6.jhash",
       make_known<Flow<FlowEntry6, Jhash>, Jhash>(),
       &sets.random6,
       &sets.jhash6},
      {"known.chains.crc32c", make_known<Chains<Crc>, Crc>(), &sets.random, &sets.crc},
      {"known.chains.jhash", make_known<Chains<Jhash>, Jhash>(), &sets.random, &sets.jhash},
      {"known.chains6.jhash", make_known<Chains<Jhash>, Jhash>(), &sets.random6, &sets.jhash6},
  };
  for (const Case& one : cases) {
    if (one.name.starts_with(options.only)) {
      run(one, options.rounds, report);
    }
  }
}

int run(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  const Sets sets;
  Report report;
  run_all(sets, options, report);
  report.print();
  return 0;
}

}  // namespace
}  // namespace holdfast::dataplane::bench

int main(int argc, char** argv) { return holdfast::dataplane::bench::run(argc, argv); }
