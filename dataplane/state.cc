// SPDX-License-Identifier: Apache-2.0
// Layout and validation of the shared state.
#include "dataplane/state.h"

#include "dataplane/flow_keys.h"
#include "dataplane/fnv.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <new>

namespace holdfast::dataplane {
namespace {

constexpr std::uint64_t kMagic = 0x31545346444c4f48;          // "HOLDFST1"
constexpr std::uint64_t kUnfilledMagic = 0x30545346444c4f48;  // "HOLDFST0"

struct Header {
  std::uint64_t magic = kMagic;
  std::uint32_t layout = kStateLayout;
  std::uint32_t registry_capacity = kRegistryCapacity;
  StateGeometry geometry;
  std::uint64_t key_id = 0;
  BootId boot{};
  std::uint64_t checksum = 0;  // of all above
};

static_assert(sizeof(Header) <= 3968);

std::uint64_t checksum_of(const Header& header) {
  return fnv1a(std::as_bytes(std::span(&header, 1)).first(offsetof(Header, checksum)));
}

// What can be mapped and indexed, whatever a damaged header says.
bool plausible(const StateGeometry& geometry) {
  constexpr std::uint32_t kMostWorkers = 1024;
  constexpr std::uint64_t kMostBuckets = std::uint64_t{1} << 32U;
  const auto buckets = [](std::uint64_t count) {
    return std::has_single_bit(count) && count >= 2 && count <= kMostBuckets;
  };
  return geometry.workers >= 1 && geometry.workers <= kMostWorkers &&
         buckets(geometry.buckets_v4) && buckets(geometry.buckets_v6) &&
         buckets(geometry.buckets_wide) && geometry.records_nat >= 1 &&
         geometry.records_nat < kNoRecord;
}

// The header of a state that this program can read; the error says why it cannot.
std::expected<Header, std::string> load_header(std::span<const std::byte> memory,
                                               const HashKey& key,
                                               const BootId& boot) {
  Header header;
  if (memory.size() < sizeof(header)) {
    return std::unexpected("shorter than its header");
  }
  std::memcpy(static_cast<void*>(&header), memory.data(), sizeof(header));
  if (header.magic == kUnfilledMagic) {
    return std::unexpected("its process ended while it moved the flows of before into it");
  }
  if (header.magic != kMagic) {
    return std::unexpected("not a state file");
  }
  if (header.layout != kStateLayout || header.registry_capacity != kRegistryCapacity) {
    return std::unexpected("written by another layout version");
  }
  if (header.checksum != checksum_of(header) || !plausible(header.geometry)) {
    return std::unexpected("damaged header");
  }
  if (header.key_id != key_id_of(key)) {
    return std::unexpected("written under another hash key");
  }
  if (header.boot != boot) {
    return std::unexpected("written before the machine last started: its times mean nothing now");
  }
  return header;
}

// Where each part stands, in bytes from the start; every part begins on a cache line.
struct Layout {
  std::size_t role = 3968;
  std::size_t owner_rule = 3976;
  std::size_t version = 4032;  // of the dispositions; the last line of the header's page
  std::size_t members = 4096;
  std::size_t bindings;
  std::size_t dispositions;
  std::size_t learned;
  std::size_t workers;
  std::size_t v4;  // within a worker's part
  std::size_t v6;
  std::size_t wide;
  std::size_t records;
  std::size_t vips;
  std::size_t forward;
  std::size_t reply;
  std::size_t index_buckets;
  std::size_t worker_bytes;

  static std::size_t on_line(std::size_t offset) { return (offset + 63) / 64 * 64; }

  explicit Layout(const StateGeometry& geometry) {
    bindings = members + kRegistryCapacity * sizeof(MemberRecord);
    dispositions = bindings + kRegistryCapacity * sizeof(BindingRecord);
    learned = dispositions + kRegistryCapacity * sizeof(DispositionTable::Cell);
    workers = learned + kLearnedCapacity * sizeof(LearnedEntry);
    index_buckets = NatIndex::buckets_for(geometry.records_nat);
    v4 = 0;
    v6 = v4 + geometry.buckets_v4 * sizeof(FlowTable4::Bucket);
    wide = v6 + geometry.buckets_v6 * sizeof(FlowTable6::Bucket);
    records = wide + geometry.buckets_wide * sizeof(FlowTableWide::Bucket);
    vips = records + geometry.records_nat * sizeof(NatRecord);
    forward = on_line(vips + geometry.records_nat * sizeof(Address));
    reply = forward + index_buckets * sizeof(NatIndex::Bucket);
    worker_bytes = reply + index_buckets * sizeof(NatIndex::Bucket);
  }
};

template <typename T>
std::span<T> part(std::span<std::byte> memory, std::size_t offset, std::size_t count) {
  return {reinterpret_cast<T*>(memory.data() + offset), count};
}

// Whether a flow of that binding, or an affinity record, may lead to that member: both are of one
// service. A retired binding of a service that goes on does not say of which.
bool belongs(MemberId id, std::uint16_t of_binding, const Generation& generation) {
  const MemberForward* member = generation.member(id);
  const BindingForward* binding = generation.binding(of_binding);
  return member != nullptr && binding != nullptr &&
         (binding->service == kNoService || binding->service == member->service);
}

// Whether a restart takes up a flow of that member. One that is reset ends with the process, but
// what an operator resets has to be: it is asked again.
bool is_kept(MemberId id, const Generation& generation, const DispositionTable& dispositions) {
  return dispositions.get(id) != Disposition::kReset || generation.member(id)->copy;
}

template <typename Table>
void validate_flow_table(Table& table,
                         const Generation& generation,
                         const DispositionTable& dispositions,
                         AdoptionReport& report) {
  for (std::size_t i = 0; i < table.buckets().size(); ++i) {
    for (auto& entry : table.buckets()[i].way) {
      if (entry.state == FlowState::kFree) {
        continue;
      }
      const MemberId member{entry.member, entry.epoch};
      const std::optional<std::uint64_t> place = place_of_entry(entry, generation);
      const bool good = place.has_value() && entry.state <= kLastFlowState &&
                        belongs(member, entry.binding, generation) &&
                        is_kept(member, generation, dispositions) &&
                        (table.first_bucket(*place) == i || table.second_bucket(*place) == i);
      if (!good) {
        entry = {};
      }
      ++(good ? report.kept : report.dropped);
    }
  }
  table.recount();
}

bool plausible(const NatTable& nat,
               std::uint32_t index,
               const Generation& generation,
               const DispositionTable& dispositions) {
  const NatRecord& record = nat.record(index);
  const MemberId member{record.member, record.epoch};
  const std::optional<FlowKey> key = client_key_of(nat, index, generation);
  return record.state <= FlowState::kUdp && record.client_side <= SideState::kReset &&
         record.member_side <= SideState::kReset && record.client_closed_first <= 1 &&
         record.detached <= 1 && record.ended <= 1 &&
         record.client.is_v4() == record.pool.is_v4() && key && reply_key_of(record, generation) &&
         belongs(member, record.binding, generation) &&
         plausible_handshake(record, key->protocol) && is_kept(member, generation, dispositions);
}

void validate_nat(NatTable& nat,
                  const Generation& generation,
                  const DispositionTable& dispositions,
                  AdoptionReport& report) {
  nat.forward().clear();
  nat.reply().clear();
  for (std::size_t i = 0; i < nat.records().size(); ++i) {
    NatRecord& record = nat.records()[i];
    if (record.state == FlowState::kFree) {
      continue;
    }
    const auto index = static_cast<std::uint32_t>(i);
    bool good = plausible(nat, index, generation, dispositions);
    if (good) {
      const std::uint64_t reply = generation.hasher()(*reply_key_of(record, generation));
      const std::uint64_t forward = generation.hasher()(*client_key_of(nat, index, generation));
      // Of two records with one endpoint one would get the other's replies.
      good = find_reply(nat, generation, reply, *reply_key_of(record, generation)) == kNoRecord &&
             nat.reply().insert(reply, index);
      if (good && !record.detached && !nat.forward().insert(forward, index)) {
        nat.reply().erase(reply, index);
        good = false;
      }
    }
    if (!good) {
      record = NatRecord{};
    }
    ++(good ? report.kept : report.dropped);
  }
  nat.rebuild_lists();
}

}  // namespace

StateGeometry StateGeometry::from(std::uint64_t flows, std::uint32_t workers) {
  const std::uint64_t share = std::max<std::uint64_t>((flows + workers - 1) / workers, 64);
  return {.workers = workers,
          .reserved = 0,
          .buckets_v4 = FlowTable4::buckets_for(share),
          .buckets_v6 = FlowTable6::buckets_for(share / 2),
          .buckets_wide = FlowTableWide::buckets_for(share / 8),
          .records_nat = share};
}

std::size_t StateGeometry::bytes() const {
  const Layout layout(*this);
  return layout.workers + workers * layout.worker_bytes;
}

std::uint64_t key_id_of(const HashKey& key) {
  return FlowHasher(key).words(0x6b65792d6964, kStateLayout);
}

SharedState SharedState::format(std::span<std::byte> memory,
                                const StateGeometry& geometry,
                                const HashKey& key,
                                const BootId& boot) {
  std::ranges::fill(memory.first(geometry.bytes()), std::byte{0});
  Header header{.geometry = geometry, .key_id = key_id_of(key), .boot = boot};
  header.checksum = checksum_of(header);
  std::memcpy(memory.data(), &header, sizeof(header));
  return {memory, geometry};
}

std::expected<SharedState, std::string> SharedState::adopt(std::span<std::byte> memory,
                                                           const StateGeometry& geometry,
                                                           const HashKey& key,
                                                           const BootId& boot) {
  auto state = adopt_resized(memory, key, boot);
  if (state && (state->geometry() != geometry)) {
    return std::unexpected("other sizes: worker count or `flows` changed");
  }
  return state;
}

std::expected<SharedState, std::string> SharedState::attach(std::span<std::byte> memory,
                                                            const StateGeometry& geometry,
                                                            const HashKey& key,
                                                            const BootId& boot) {
  const auto found = examine(memory, memory.size(), key, boot);
  if (!found) {
    return std::unexpected(found.error());
  }
  if (*found != geometry) {
    return std::unexpected("other sizes: worker count or `flows` changed");
  }
  return SharedState(memory, *found);
}

std::expected<SharedState, std::string> SharedState::adopt_resized(std::span<std::byte> memory,
                                                                   const HashKey& key,
                                                                   const BootId& boot) {
  const auto geometry = examine(memory, memory.size(), key, boot);
  if (!geometry) {
    return std::unexpected(geometry.error());
  }
  SharedState state(memory, *geometry);
  state.mend_dispositions();
  return state;
}

std::expected<StateGeometry, std::string> SharedState::examine(std::span<std::byte> front,
                                                               std::size_t size,
                                                               const HashKey& key,
                                                               const BootId& boot) {
  const auto header = load_header(front, key, boot);
  if (!header) {
    return std::unexpected(header.error());
  }
  if (size < header->geometry.bytes() || front.size() < front_bytes()) {
    return std::unexpected("shorter than its tables");
  }
  const SharedState state(front, header->geometry);
  if (!std::ranges::all_of(state.member_records(), &MemberRecord::plausible) ||
      !std::ranges::all_of(state.binding_records(), &BindingRecord::plausible)) {
    return std::unexpected("damaged registry");
  }
  return header->geometry;
}

std::size_t SharedState::front_bytes() { return Layout(StateGeometry{}).workers; }

void SharedState::begin_as(const SharedState& former) {
  std::memcpy(memory_.data(), &kUnfilledMagic, sizeof(kUnfilledMagic));
  const Layout layout(geometry_);
  const std::size_t size = layout.workers - layout.role;
  std::memcpy(memory_.data() + layout.role, former.memory_.data() + layout.role, size);
  mended_dispositions_ = former.mended_dispositions_;
}

void SharedState::complete() {
  std::atomic_signal_fence(std::memory_order_release);  // a kill leaves what was written before
  std::memcpy(memory_.data(), &kMagic, sizeof(kMagic));
}

bool SharedState::is_unfilled(std::span<const std::byte> memory) {
  return memory.size() >= sizeof(kUnfilledMagic) &&
         std::memcmp(memory.data(), &kUnfilledMagic, sizeof(kUnfilledMagic)) == 0;
}

void SharedState::mend_dispositions() {
  const std::span<const MemberRecord> records = member_records();
  const auto cells =
      part<DispositionTable::Cell>(memory_, Layout(geometry_).dispositions, kRegistryCapacity);
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (records[i].state == RegistryState::kFree) {
      continue;
    }
    const std::uint16_t cell = cells[i].load(std::memory_order_relaxed);
    const auto disposition = static_cast<Disposition>(cell & 0xff);
    if (cell >> 8 != records[i].epoch || disposition >= Disposition::kCount ||
        disposition == Disposition::kHold) {
      dispositions().set({static_cast<std::uint16_t>(i), records[i].epoch}, Disposition::kKeep);
      ++mended_dispositions_;
    }
  }
}

std::span<MemberRecord> SharedState::member_records() const {
  return part<MemberRecord>(memory_, Layout(geometry_).members, kRegistryCapacity);
}

std::span<BindingRecord> SharedState::binding_records() const {
  return part<BindingRecord>(memory_, Layout(geometry_).bindings, kRegistryCapacity);
}

DispositionTable SharedState::dispositions() const {
  const Layout layout(geometry_);
  return {part<DispositionTable::Cell>(memory_, layout.dispositions, kRegistryCapacity),
          part<DispositionTable::Version>(memory_, layout.version, 1).front()};
}

Role SharedState::role() const {
  const Role role = part<Role>(memory_, Layout(geometry_).role, 1).front();
  return role <= Role::kStandby ? role : Role::kAlone;
}

void SharedState::set_role(Role role) const {
  part<Role>(memory_, Layout(geometry_).role, 1).front() = role;
}

std::uint64_t SharedState::owner_rule() const {
  return part<std::uint64_t>(memory_, Layout(geometry_).owner_rule, 1).front();
}

void SharedState::set_owner_rule(std::uint64_t rule) const {
  part<std::uint64_t>(memory_, Layout(geometry_).owner_rule, 1).front() = rule;
}

std::span<LearnedEntry> SharedState::learned() const {
  return part<LearnedEntry>(memory_, Layout(geometry_).learned, kLearnedCapacity);
}

WorkerTables SharedState::tables(std::uint32_t worker) const {
  const Layout layout(geometry_);
  const std::size_t base = layout.workers + worker * layout.worker_bytes;
  return {
      .v4 = FlowTable4(part<FlowTable4::Bucket>(memory_, base + layout.v4, geometry_.buckets_v4)),
      .v6 = FlowTable6(part<FlowTable6::Bucket>(memory_, base + layout.v6, geometry_.buckets_v6)),
      .wide = FlowTableWide(
          part<FlowTableWide::Bucket>(memory_, base + layout.wide, geometry_.buckets_wide)),
      .nat = NatTable(part<NatRecord>(memory_, base + layout.records, geometry_.records_nat),
                      part<Address>(memory_, base + layout.vips, geometry_.records_nat),
                      part<NatIndex::Bucket>(memory_, base + layout.forward, layout.index_buckets),
                      part<NatIndex::Bucket>(memory_, base + layout.reply, layout.index_buckets))};
}

std::span<std::byte> SharedState::memory_of(std::uint32_t worker) const {
  const Layout layout(geometry_);
  return memory_.subspan(layout.workers + worker * layout.worker_bytes, layout.worker_bytes);
}

AdoptionReport validate_tables(WorkerTables& tables,
                               const Generation& generation,
                               const DispositionTable& dispositions) {
  AdoptionReport report;
  validate_flow_table(tables.v4, generation, dispositions, report);
  validate_flow_table(tables.v6, generation, dispositions, report);
  validate_flow_table(tables.wide, generation, dispositions, report);
  validate_nat(tables.nat, generation, dispositions, report);
  return report;
}

}  // namespace holdfast::dataplane
