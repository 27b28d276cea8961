// SPDX-License-Identifier: Apache-2.0
// The product in the model's words.
#include "tests/support/model/subject.h"

#include "dataplane/dispositions.h"

#include <algorithm>
#include <stdexcept>

namespace holdfast::testing {
namespace {

using dataplane::BindingRegistry;
using dataplane::BootId;
using dataplane::MemberRegistry;
using dataplane::RegistryState;
using dataplane::SharedState;
using dataplane::WorkerState;

// A flow has no place only where both of its buckets are full, and these may be any two.
template <typename Table>
bool may_lack_place(const Table& table) {
  const auto is_full = [](const auto& bucket) {
    return std::ranges::all_of(bucket.way,
                               [](const auto& entry) { return entry.state != FlowState::kFree; });
  };
  return std::ranges::count_if(table.buckets(), is_full) >= 2;
}

}  // namespace

Subject::Subject(const SubjectOptions& options)
    : options_(options),
      memory_(options.geometry.bytes() / sizeof(Line) + 1),
      hasher_(options.key) {
  const std::span region(reinterpret_cast<std::byte*>(memory_.data()), options.geometry.bytes());
  shared_ = std::make_unique<SharedState>(
      SharedState::format(region, options.geometry, options.key, BootId{}));
  start(0);
}

void Subject::start(std::uint64_t now_ms) {
  members_ = std::make_unique<MemberRegistry>(shared_->member_records());
  bindings_ = std::make_unique<BindingRegistry>(shared_->binding_records());
  worker_ = std::make_unique<WorkerState>(*shared_, 0, 1);
  worker_->sweep_position.last_ms = now_ms;
  worker_->resets.window_ms = kResetWindowMs;
  generation_.reset();
}

std::string Subject::publish(const dataplane::GenerationSpec& spec, std::uint64_t now_ms) {
  auto built = build_generation(spec, *members_, *bindings_, hasher_, generation_.get(), now_ms);
  if (!built) {
    return built.error();
  }
  apply_dispositions(spec, *members_, shared_->dispositions());
  generation_ = std::move(built->generation);
  spec_ = spec;
  refresh();
  return {};
}

void Subject::surround(const Surroundings& surroundings) {
  neighborhood_ = surroundings.compiled();
  forwarding_.standby = surroundings.standby;
  if (generation_ != nullptr) {
    refresh();
  }
}

void Subject::refresh() {
  hops_ = build_member_hops(*generation_, neighborhood_);
  forwarding_.generation = generation_.get();
  forwarding_.neighborhood = &neighborhood_;
  forwarding_.member_hops = hops_;
}

void Subject::set_disposition(const std::string& service,
                              const std::string& backend,
                              Disposition value) {
  dataplane::set_disposition(
      *members_, shared_->dispositions(), service, backend, {.disposition = value});
}

std::string Subject::restart(std::uint64_t now_ms) {
  const std::span region(reinterpret_cast<std::byte*>(memory_.data()), options_.geometry.bytes());
  auto adopted = SharedState::adopt(region, options_.geometry, options_.key, BootId{});
  if (!adopted) {
    return adopted.error();
  }
  *shared_ = *adopted;
  start(now_ms);
  auto built = build_generation(spec_, *members_, *bindings_, hasher_, nullptr, now_ms);
  if (!built) {
    return built.error();
  }
  generation_ = std::move(built->generation);
  refresh();
  validate_tables(worker_->tables, *generation_, shared_->dispositions());
  worker_->count_adopted();
  return {};
}

std::vector<Foretold> Subject::run(const std::vector<Arriving>& frames, std::uint64_t now_ms) {
  std::vector<Bytes> bytes;
  for (const Arriving& frame : frames) {
    bytes.push_back(frame.bytes);
  }
  if (!holds()) {
    buffers_.clear();
  }
  buffers_.push_back(
      std::make_unique<ExactBurst>(bytes, Room{.head = 130, .tail = 128, .beyond = 0}));
  burst_ = **buffers_.back();
  for (std::size_t i = 0; i < frames.size(); ++i) {
    burst_.frame[i].length += frames[i].beyond;
    burst_.frame[i].port = frames[i].port;
  }
  return run_burst(now_ms);
}

bool Subject::holds() const { return worker_->stats.held.get() != worker_->stats.released.get(); }

std::vector<Foretold> Subject::run_released(std::uint64_t now_ms) {
  burst_.begin(worker_->fragments.take_released(burst_.frame));
  return burst_.size == 0 ? std::vector<Foretold>{} : run_burst(now_ms);
}

std::vector<Foretold> Subject::run_burst(std::uint64_t now_ms) {
  dataplane::Burst& burst = burst_;
  worker_->notices.clear();
  parse(burst);
  hash_keys(burst, hasher_);
  run_stages(burst, forwarding_, *worker_, now_ms);
  std::vector<Foretold> fates(burst.size);
  std::uint64_t sent = 0;
  for (std::size_t i = 0; i < burst.size; ++i) {
    Foretold& fate = fates[i];
    fate.verdict = burst.verdict[i];
    if (fate.verdict == Verdict::kDrop) {
      fate.reason = burst.reason[i];
      continue;
    }
    const auto span = burst.frame[i].bytes();
    const auto* at = reinterpret_cast<const std::uint8_t*>(span.data());
    fate.bytes = {at, at + span.size()};
    fate.beyond = burst.frame[i].length - burst.frame[i].contiguous;
    fate.port = burst.frame[i].port;
    if (fate.verdict == Verdict::kForward) {
      fate.backend = member(burst.member[i].index).backend;
    }
    sent += fate.verdict == Verdict::kForward || fate.verdict == Verdict::kReply ? 1 : 0;
  }
  worker_->stats.transmitted.add(sent);
  return fates;
}

std::optional<PoolEndpoint> Subject::endpoint(std::size_t slot) const {
  const std::uint32_t index = burst_.record[slot];
  if (index == dataplane::kNoRecord) {
    return std::nullopt;
  }
  const dataplane::NatRecord& record = worker_->tables.nat.record(index);
  return PoolEndpoint{.address = record.pool, .port = record.pool_port.to_host()};
}

Hearsay Subject::hearsay() const {
  const dataplane::Notices& notices = worker_->notices;
  Hearsay all;
  for (std::size_t i = 0; i < notices.learned_count; ++i) {
    const auto& learned = notices.learned[i];
    all.learned.emplace_back(Told{learned.address, learned.mac}, learned.port);
  }
  all.unresolved.assign(notices.unresolved.begin(),
                        notices.unresolved.begin() + notices.unresolved_count);
  return all;
}

Counts Subject::counts() const {
  const dataplane::WorkerStats& s = worker_->stats;
  Counts counts;
  for (const WorkerCounter& counter : kCounters) {
    counts.*counter.ours = (s.*counter.theirs).get();
  }
  for (std::size_t i = 0; i < counts.drops.size(); ++i) {
    counts.drops[i] = s.drops[i].get();
  }
  return counts;
}

std::size_t Subject::member_count() const {
  const auto records = members_->records();
  const auto end =
      std::ranges::find(records, RegistryState::kFree, &dataplane::MemberRecord::state);
  return static_cast<std::size_t>(end - records.begin());
}

Member Subject::member(MemberIndex index) const {
  const dataplane::MemberRecord& record = members_->records()[index];
  const dataplane::MemberStats& s = worker_->members[index];
  Member member{
      .service = std::string(record.service.view()),
      .backend = std::string(record.backend.view()),
      .address = record.address,
      .port = record.port,
      .mode = record.mode,
      .active = record.state == RegistryState::kActive,
      .disposition = shared_->dispositions().get({static_cast<std::uint16_t>(index), record.epoch}),
      .counts = {}};
  for (const MemberCounter& counter : kMemberCounters) {
    member.counts.*counter.ours = (s.*counter.theirs).get();
  }
  const dataplane::MemberMoves& moves = worker_->moves[index];
  for (std::size_t why = 0; why < dataplane::kMoveCauses; ++why) {
    member.moves.moved.at(why) = moves.moved.at(why).get();
  }
  member.moves.reset = moves.reset.get();
  member.moves.untracked = moves.untracked.get();
  member.moves.refusals = worker_->refusals[index].get();
  return member;
}

// The registry also names services, which the model has no binding for.
std::size_t Subject::binding_number(std::uint16_t id) const {
  const auto before = bindings_->records().first(id);
  return id - static_cast<std::size_t>(std::ranges::count(
                  before, dataplane::kNoProtocol, &dataplane::BindingRecord::protocol));
}

template <typename Table>
void Subject::read_entries(const Table& table, std::map<FlowName, Entry>& into) const {
  for (const auto& bucket : table.buckets()) {
    for (const auto& entry : bucket.way) {
      if (entry.state == FlowState::kFree || entry.state == FlowState::kAffinity) {
        continue;
      }
      const FlowName name = {.binding = binding_number(entry.binding),
                             .vip = entry.destination_of(bindings_->records()[entry.binding].vip),
                             .client = entry.source_address(),
                             .client_port = Be16::from_wire(entry.source_port).to_host(),
                             .service_port = Be16::from_wire(entry.destination_port).to_host()};
      if (!into.emplace(name, Entry{entry.member, entry.state, entry.stamp}).second) {
        throw Impossible("a flow stands in the table twice");
      }
    }
  }
}

template <typename Table>
void Subject::read_memory(const Table& table, std::map<SourceName, Remembered>& into) const {
  for (const auto& bucket : table.buckets()) {
    for (const auto& entry : bucket.way) {
      if (entry.state != FlowState::kAffinity) {
        continue;
      }
      const auto& service = bindings_->records()[entry.binding].service;
      const SourceName name = {.service = std::string(service.view()),
                               .prefix = entry.source_address()};
      if (!into.emplace(name, Remembered{entry.member, entry.stamp}).second) {
        throw Impossible("a source is remembered twice");
      }
    }
  }
}

std::map<FlowName, Entry> Subject::entries() const {
  std::map<FlowName, Entry> all;
  read_entries(worker_->tables.v4, all);
  read_entries(worker_->tables.v6, all);
  read_entries(worker_->tables.wide, all);
  return all;
}

std::map<SourceName, Remembered> Subject::memory() const {
  std::map<SourceName, Remembered> all;
  read_memory(worker_->tables.v4, all);
  read_memory(worker_->tables.v6, all);
  read_memory(worker_->tables.wide, all);
  return all;
}

Translation Subject::translation(std::uint32_t index) const {
  const dataplane::NatRecord& record = worker_->tables.nat.record(index);
  const dataplane::MemberForward& member = *generation_->member({record.member, record.epoch});
  const dataplane::BindingForward& binding = *generation_->binding(record.binding);
  const Be16 port = member.port == Be16{} ? record.service_port : member.port;
  // One place for both: as long as the member has not answered, the client's numbers.
  const auto begins = static_cast<std::uint32_t>(record.sequence_delta[0]);
  const auto next = static_cast<std::uint32_t>(record.sequence_delta[1]);
  const bool asked = record.member_side == SideState::kIdle;
  return {.name = {.binding = binding_number(record.binding),
                   .vip = binding.prefix_bits == 128 ? binding.vip : worker_->tables.nat.vip(index),
                   .client = record.client,
                   .client_port = record.client_port.to_host(),
                   .service_port = record.service_port.to_host()},
          .reply = {.member = member.address,
                    .member_port = port.to_host(),
                    .pool = record.pool,
                    .pool_port = record.pool_port.to_host(),
                    .protocol = static_cast<std::uint8_t>(binding.protocol)},
          .member = record.member,
          .state = record.state,
          .client_side = record.client_side,
          .member_side = record.member_side,
          .client_closed_first = record.client_closed_first != 0,
          .detached = record.detached != 0,
          .ended = record.ended != 0,
          .client_begins = asked ? begins : 0,
          .client_next = asked ? next : 0,
          .member_begins = asked ? 0 : begins,
          .member_next = asked ? 0 : next,
          .seen_s = record.stamp};
}

std::map<ReplyName, Translation> Subject::translations() const {
  std::map<ReplyName, Translation> all;
  const auto records = worker_->tables.nat.records();
  for (std::uint32_t i = 0; i < records.size(); ++i) {
    if (records[i].state != FlowState::kFree) {
      const Translation flow = translation(i);
      if (!all.emplace(flow.reply, flow).second) {
        throw Impossible("two flows have one endpoint towards one member");
      }
    }
  }
  return all;
}

std::vector<ReplyName> Subject::half_open_after_restart() const {
  std::vector<ReplyName> all;
  const auto records = worker_->tables.nat.records();
  for (std::uint32_t i = 0; i < records.size(); ++i) {
    if (records[i].state == FlowState::kHalfOpen) {
      all.insert(all.begin(), translation(i).reply);  // the last place is the oldest
    }
  }
  return all;
}

bool Subject::crowded() const {
  return may_lack_place(worker_->tables.v4) || may_lack_place(worker_->tables.v6) ||
         may_lack_place(worker_->tables.wide);
}

}  // namespace holdfast::testing
