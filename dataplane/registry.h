// SPDX-License-Identifier: Apache-2.0
// The registries of the shared state: which member or binding each 16-bit index of a flow entry
// means. They outlive the process and every generation, so that an entry written under one
// configuration is understood under the next. Written by the main thread only; workers never look
// here (a Generation holds what they need).
//
// A member is (service, backend, address, port, mode): a changed address is a new member (a changed
// weight or mtu is none), and the old one is retired: it takes no new flows and is freed, with its
// epoch raised, once nothing refers to it.
//
// A copy of a member (member_copies.h) holds those of its flows that an operator resets. It is
// retired from the beginning, and no specification means it.
#pragma once

#include "dataplane/address.h"
#include "dataplane/spec.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace holdfast::dataplane {

inline constexpr std::size_t kRegistryCapacity = 16384;  // 10 000 configured, the rest retired
inline constexpr std::size_t kLabelBytes = 64;           // names are at most 63 bytes

// Of a record that stands for a whole service.
inline constexpr auto kNoProtocol = Protocol{0};

enum class RegistryState : std::uint8_t { kFree, kActive, kRetired };

// A name in fixed memory, NUL-padded.
struct Label {
  std::array<char, kLabelBytes> text{};
  [[nodiscard]] std::string_view view() const;
  static Label of(std::string_view name);  // cuts what is longer
  bool operator==(const Label&) const = default;
};

struct MemberRecord {
  Label service;
  Label backend;
  Address address;
  std::uint16_t port = 0;
  Mode mode = Mode::kNat;
  RegistryState state = RegistryState::kFree;
  std::uint8_t epoch = 0;
  std::uint8_t copy = 0;  // 1: of flows that are reset by order
  std::uint16_t mtu = 0;  // as last configured: its flows keep it when it is retired
  // Monotonic clock of the boot that the state's header names; 0: none. Room for holds that end on
  // time, so that the layout stays: always 0 now.
  std::uint64_t hold_deadline_ms = 0;
  std::uint64_t drain_deadline_ms = 0;  // then a member that keeps its flows is reset
  // Of service, backend, address, port, mode, epoch and copy: in a damaged one flows would go
  // astray.
  std::uint64_t checksum = 0;

  [[nodiscard]] std::uint64_t build_checksum() const;
  // True when the record, as read from a file that may be damaged, can be used.
  [[nodiscard]] bool plausible() const;
};
static_assert(sizeof(MemberRecord) == 176);

// A binding, or with kNoProtocol and nothing else what affinity records name a service by.
struct BindingRecord {
  Label service;
  Address vip;
  std::uint16_t first_port = 0;
  std::uint16_t last_port = 0;
  Protocol protocol = Protocol::kTcp;
  RegistryState state = RegistryState::kFree;
  std::uint8_t prefix_bits = kWholeAddress;
  std::uint8_t routed = 0;     // 1: its VIP has a route (routed.h)
  std::uint64_t checksum = 0;  // of all above but the state and `routed`

  [[nodiscard]] std::uint64_t build_checksum() const;
  [[nodiscard]] bool plausible() const;
};
static_assert(sizeof(BindingRecord) == 96);

// Finds and hands out indexes in a span of records. O(records) per call that allocates; lookups of
// a whole generation go through an index built once (generation.cc).
class MemberRegistry {
 public:
  explicit MemberRegistry(std::span<MemberRecord> records) : records_(records) {}

  [[nodiscard]] std::span<MemberRecord> records() const { return records_; }
  // Takes a free record and raises its epoch. Returns nullopt when all are in use.
  std::optional<MemberId> allocate(const ServiceSpec& service, const MemberSpec& member);
  // Likewise for a copy of a member, which is retired.
  std::optional<MemberId> allocate_copy(std::uint16_t of);
  void free(std::uint16_t index) { records_[index].state = RegistryState::kFree; }

 private:
  std::span<MemberRecord> records_;
  std::size_t cursor_ = 0;  // indexes are handed out in turn, so that reuse is as late as possible
};

class BindingRegistry {
 public:
  explicit BindingRegistry(std::span<BindingRecord> records) : records_(records) {}

  [[nodiscard]] std::span<BindingRecord> records() const { return records_; }
  std::optional<std::uint16_t> allocate(const ServiceSpec& service, const BindingSpec& binding);
  void free(std::uint16_t index) { records_[index].state = RegistryState::kFree; }

 private:
  std::span<BindingRecord> records_;
  std::size_t cursor_ = 0;
};

}  // namespace holdfast::dataplane
