// SPDX-License-Identifier: Apache-2.0
// The shared state: everything that must outlive the dataplane process, as one region of memory
// without pointers (design.md §2, "The state file"). A header, the member and binding registries,
// the dispositions, the node's role, learned neighbours, and one set of flow tables per worker. The
// process maps it from a file; tests and replay use the heap. The registries, dispositions and
// learned neighbours are written by the main thread, each worker's tables by that worker;
// dispositions are read by all. Pure.
#pragma once

#include "dataplane/address.h"
#include "dataplane/flow_table.h"
#include "dataplane/generation.h"
#include "dataplane/hash.h"
#include "dataplane/nat_table.h"
#include "dataplane/registry.h"
#include "dataplane/spec.h"

#include <atomic>
#include <cstdint>
#include <expected>
#include <span>
#include <string>

namespace holdfast::dataplane {

inline constexpr std::uint32_t kStateLayout = 5;
inline constexpr std::size_t kLearnedCapacity = 4096;

// Which boot's monotonic clock the stamps and deadlines in a state count on. All zero: unknown.
using BootId = std::array<std::uint8_t, 16>;

// Sizes that fix the layout. A file of another geometry is not used as it is.
struct StateGeometry {
  std::uint32_t workers = 1;
  std::uint32_t reserved = 0;
  std::uint64_t buckets_v4 = 2;  // per worker; powers of two
  std::uint64_t buckets_v6 = 2;
  std::uint64_t buckets_wide = 2;
  std::uint64_t records_nat = 16;  // per worker
  bool operator==(const StateGeometry&) const = default;

  // Each worker's share of `flows`, for IPv4 and for `nat` alike, half as many for IPv6 and an
  // eighth for IPv6 flows of prefixes: what the traffic will be is not known at start.
  static StateGeometry from(std::uint64_t flows, std::uint32_t workers);
  [[nodiscard]] std::size_t bytes() const;
};

// Disposition and epoch of each member, one atomic word per registry index. Their version rises
// with each change, behind it: what was found out under a version holds as long as that does not
// change.
class DispositionTable {
 public:
  using Cell = std::atomic<std::uint16_t>;
  using Version = std::atomic<std::uint64_t>;
  DispositionTable(std::span<Cell> cells, Version& version) : cells_(cells), version_(&version) {}

  void set(MemberId id, Disposition disposition) {
    cells_[id.index].store(
        static_cast<std::uint16_t>((unsigned{id.epoch} << 8) | static_cast<unsigned>(disposition)),
        std::memory_order_release);
    version_->store(version_->load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  [[nodiscard]] std::uint64_t version() const { return version_->load(std::memory_order_acquire); }
  // kReset for an epoch that is no longer in force: nothing new, nothing kept.
  [[nodiscard]] Disposition get(MemberId id) const {
    const std::uint16_t cell = cells_[id.index].load(std::memory_order_relaxed);
    return (cell >> 8) == id.epoch ? static_cast<Disposition>(cell & 0xff) : Disposition::kReset;
  }

 private:
  std::span<Cell> cells_;
  Version* version_;
};
static_assert(DispositionTable::Cell::is_always_lock_free);
static_assert(DispositionTable::Version::is_always_lock_free);

// A neighbour learned from ARP, ND or a client's own frames, not known to the kernel.
struct LearnedEntry {
  Address address;
  MacAddress mac{};
  std::uint8_t port = 0;
  std::uint8_t used = 0;
  std::uint64_t order = 0;  // of learning; the smallest gives way when all are in use
};
static_assert(sizeof(LearnedEntry) == 32);

// Hash of a hash key: tells two keys apart without telling the key.
std::uint64_t key_id_of(const HashKey& key);

// One worker's tables, as views into the region.
struct WorkerTables {
  FlowTable4 v4;
  FlowTable6 v6;
  FlowTableWide wide;
  NatTable nat;

  // Calls `use` with the table of such flows.
  template <typename Use>
  auto with_table(bool of_v4, bool prefixed, const Use& use) {
    if (prefixed) [[unlikely]] {
      return of_v4 ? use(v6) : use(wide);
    }
    return of_v4 ? use(v4) : use(v6);
  }
  template <typename Use>
  auto with_table(bool of_v4, bool prefixed, const Use& use) const {
    if (prefixed) [[unlikely]] {
      return of_v4 ? use(v6) : use(wide);
    }
    return of_v4 ? use(v4) : use(v6);
  }
};

// What validation of an old region kept and dropped.
struct AdoptionReport {
  std::uint64_t kept = 0;
  std::uint64_t dropped = 0;
};

// A view of the region; copies refer to the same memory, which must outlive them.
class SharedState {
 public:
  // Makes `memory` an empty state. Requires: memory.size() >= geometry.bytes(), 64-byte aligned.
  static SharedState format(std::span<std::byte> memory,
                            const StateGeometry& geometry,
                            const HashKey& key,
                            const BootId& boot);
  // Uses what an earlier process left. The error says why it cannot be used: another layout,
  // geometry, key or boot, or a damaged header or registry. A member's disposition that is none,
  // not available or of another epoch becomes kKeep.
  static std::expected<SharedState, std::string> adopt(std::span<std::byte> memory,
                                                       const StateGeometry& geometry,
                                                       const HashKey& key,
                                                       const BootId& boot);

  // The same for one that another process of this program is writing to: nothing is mended.
  static std::expected<SharedState, std::string> attach(std::span<std::byte> memory,
                                                        const StateGeometry& geometry,
                                                        const HashKey& key,
                                                        const BootId& boot);

  // The same as adopt() for a state of whatever sizes, which its header tells.
  static std::expected<SharedState, std::string> adopt_resized(std::span<std::byte> memory,
                                                               const HashKey& key,
                                                               const BootId& boot);

  // Says whether the next process of this program could use a state of `size` bytes, by its first
  // front_bytes(): its sizes, or the error of adopt_resized().
  static std::expected<StateGeometry, std::string> examine(std::span<std::byte> front,
                                                           std::size_t size,
                                                           const HashKey& key,
                                                           const BootId& boot);
  static std::size_t front_bytes();

  // Takes over what no worker owns: role, rule, registries, dispositions, learned neighbours. Until
  // complete() nobody adopts this state, so that a process which ends meanwhile leaves the flows
  // where they were.
  void begin_as(const SharedState& former);
  void complete();
  // Whether that is a state between begin_as() and complete().
  static bool is_unfilled(std::span<const std::byte> memory);

  [[nodiscard]] std::span<MemberRecord> member_records() const;
  [[nodiscard]] std::span<BindingRecord> binding_records() const;
  [[nodiscard]] DispositionTable dispositions() const;
  [[nodiscard]] std::span<LearnedEntry> learned() const;
  // The role that the node was told; kAlone: none yet.
  [[nodiscard]] Role role() const;
  void set_role(Role role) const;
  // The rule that put the flows where they are (id_of() in receive_spread.h).
  [[nodiscard]] std::uint64_t owner_rule() const;
  void set_owner_rule(std::uint64_t rule) const;
  [[nodiscard]] WorkerTables tables(std::uint32_t worker) const;
  // All that tables() looks at.
  [[nodiscard]] std::span<std::byte> memory_of(std::uint32_t worker) const;
  [[nodiscard]] const StateGeometry& geometry() const { return geometry_; }
  // Dispositions that adopt() had to mend.
  [[nodiscard]] std::size_t mended_dispositions() const { return mended_dispositions_; }

 private:
  SharedState(std::span<std::byte> memory, const StateGeometry& geometry)
      : memory_(memory), geometry_(geometry) {}
  void mend_dispositions();

  std::span<std::byte> memory_;
  StateGeometry geometry_;
  std::size_t mended_dispositions_ = 0;
};

// Checks every entry of a worker's tables against the generation: its binding and member are
// known and of one family, it stands in the table of such flows, within its binding's prefix, its
// member is not to be reset (but by an operator's order), its state is one (and of a handshake one
// that segments lead to), and its key hashes to where it stands. What fails is dropped. Rebuilds
// the indexes and counts. Run before the worker starts.
AdoptionReport validate_tables(WorkerTables& tables,
                               const Generation& generation,
                               const DispositionTable& dispositions);

}  // namespace holdfast::dataplane
