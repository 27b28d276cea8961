// SPDX-License-Identifier: Apache-2.0
// Registry records: labels, plausibility, allocation.
#include "dataplane/registry.h"

#include "dataplane/fnv.h"

#include <algorithm>
#include <atomic>

namespace holdfast::dataplane {
namespace {

// The next free record after `cursor`, which moves behind it.
template <typename Record>
std::optional<std::uint16_t> take_free(std::span<Record> records, std::size_t& cursor) {
  for (std::size_t tried = 0; tried < records.size(); ++tried) {
    const std::size_t index = (cursor + tried) % records.size();
    if (records[index].state == RegistryState::kFree) {
      cursor = index + 1;
      return static_cast<std::uint16_t>(index);
    }
  }
  return std::nullopt;
}

bool known(RegistryState state) { return state <= RegistryState::kRetired; }

template <typename... Fields>
std::uint64_t checksum_over(const Fields&... fields) {
  std::uint64_t hash = kFnvStart;
  ((hash = fnv1a(std::as_bytes(std::span(&fields, 1)), hash)), ...);
  return hash;
}

// The last write of a new record, so that a kill leaves a whole one or none.
template <typename Record>
void put_in_force(Record& record, RegistryState state) {
  record.checksum = record.build_checksum();
  std::atomic_signal_fence(std::memory_order_release);
  record.state = state;
}

}  // namespace

std::string_view Label::view() const {
  return {text.data(), static_cast<std::size_t>(std::ranges::find(text, '\0') - text.begin())};
}

Label Label::of(std::string_view name) {
  Label label;
  std::ranges::copy(name.substr(0, kLabelBytes - 1), label.text.begin());
  return label;
}

std::uint64_t MemberRecord::build_checksum() const {
  constexpr std::uint64_t kOfCopies = 0x636f7079;  // what no copy is has the sum of before
  return checksum_over(service, backend, address, port, mode, epoch) ^ (copy == 0 ? 0 : kOfCopies);
}

bool MemberRecord::plausible() const {
  if (state == RegistryState::kFree) {
    return true;
  }
  return known(state) && mode <= Mode::kVxlan && copy <= 1 &&
         (mtu == 0 || mtu >= least_mtu(true)) && service.text.back() == '\0' &&
         backend.text.back() == '\0' && checksum == build_checksum();
}

std::uint64_t BindingRecord::build_checksum() const {
  return checksum_over(service, vip, first_port, last_port, protocol, prefix_bits);
}

bool BindingRecord::plausible() const {
  if (state == RegistryState::kFree) {
    return true;
  }
  const bool binds = protocol == Protocol::kTcp || protocol == Protocol::kUdp;
  return known(state) && (binds || protocol == kNoProtocol) && service.text.back() == '\0' &&
         first_port <= last_port && prefix_bits <= kWholeAddress &&
         masked(vip, prefix_bits) == vip && checksum == build_checksum();
}

std::optional<MemberId> MemberRegistry::allocate(const ServiceSpec& service,
                                                 const MemberSpec& member) {
  const std::optional<std::uint16_t> index = take_free(records_, cursor_);
  if (!index) {
    return std::nullopt;
  }
  MemberRecord& record = records_[*index];
  record.service = Label::of(service.name);
  record.backend = Label::of(member.backend);
  record.address = member.address;
  record.port = member.port;
  record.mode = service.mode;
  record.copy = 0;
  record.mtu = 0;
  record.hold_deadline_ms = 0;
  record.drain_deadline_ms = 0;
  ++record.epoch;
  put_in_force(record, RegistryState::kActive);
  return MemberId{*index, record.epoch};
}

std::optional<MemberId> MemberRegistry::allocate_copy(std::uint16_t of) {
  const std::optional<std::uint16_t> index = take_free(records_, cursor_);
  if (!index) {
    return std::nullopt;
  }
  MemberRecord& record = records_[*index];
  const MemberRecord& original = records_[of];
  record.service = original.service;
  record.backend = original.backend;
  record.address = original.address;
  record.port = original.port;
  record.mode = original.mode;
  record.copy = 1;
  record.mtu = original.mtu;
  record.hold_deadline_ms = 0;
  record.drain_deadline_ms = 0;
  ++record.epoch;
  put_in_force(record, RegistryState::kRetired);
  return MemberId{*index, record.epoch};
}

std::optional<std::uint16_t> BindingRegistry::allocate(const ServiceSpec& service,
                                                       const BindingSpec& binding) {
  const std::optional<std::uint16_t> index = take_free(records_, cursor_);
  if (!index) {
    return std::nullopt;
  }
  BindingRecord& record = records_[*index];
  record.service = Label::of(service.name);
  record.vip = binding.vip;
  record.first_port = binding.first_port;
  record.last_port = binding.last_port;
  record.protocol = binding.protocol;
  record.prefix_bits = binding.prefix_bits;
  record.routed = 0;
  put_in_force(record, RegistryState::kActive);
  return index;
}

}  // namespace holdfast::dataplane
