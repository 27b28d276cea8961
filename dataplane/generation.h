// SPDX-License-Identifier: Apache-2.0
// A generation: the derived forwarding state, immutable, built beside the live one off the workers,
// swapped in by one pointer. Services that did not change share their tables with the generation
// before. Built by the main thread (or replay); read by every worker.
#pragma once

#include "dataplane/binding_table.h"
#include "dataplane/burst.h"
#include "dataplane/hash.h"
#include "dataplane/maglev.h"
#include "dataplane/registry.h"
#include "dataplane/spec.h"

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::dataplane {

// The members of one tier, and the table that spreads new flows of one family over them. `nat` and
// `dsr` keep a packet's family; in the tunnel modes both families have the same table.
struct TierTable {
  std::uint8_t tier = 0;
  bool v4 = true;
  std::vector<std::uint16_t> members;  // registry indexes with weight > 0, in order of their keys
  std::vector<std::uint16_t> slots;    // Maglev table of registry indexes
};
using Tiers = std::shared_ptr<const std::vector<TierTable>>;

// A table that was replaced: the first tier's of its family. Its members may be gone since and
// their indexes in other hands, hence ids: look them up by Generation::member().
struct FormerTable {
  std::uint8_t tier = 0;
  bool v4 = true;
  std::vector<MemberId> slots;
};
using FormerTables = std::shared_ptr<const std::vector<FormerTable>>;

struct CompiledService {
  std::string name;
  Mode mode = Mode::kNat;
  HashFields hash = HashFields::kFiveTuple;
  std::uint32_t slots = 0;
  TimeoutSpec timeouts;
  AffinitySpec affinity;
  std::uint16_t affinity_binding = kNoService;  // what affinity records name the service by
  Tiers tiers;                                  // tiers ascending; never null
  // Before the last change that moved slots; null when there was none. Followed until then by
  // packets without entry: for as long as the service's longest timeout after the change, when
  // every flow that was open then has ended or has shown itself.
  FormerTables previous;
  std::uint64_t previous_until_ms = 0;
  std::vector<MemberSpec> members;  // as given, to recognise that nothing changed
};

inline constexpr std::uint16_t kNoTunnel = 0xffff;

// What the fast path needs of a member, by registry index.
struct MemberForward {
  Address address;
  Be16 port;  // 0 keeps the destination port
  Mode mode = Mode::kNat;
  std::uint8_t epoch = 0;
  bool live = false;       // false: no such member
  bool has_share = false;  // its service's tables have a place for it: weight is not 0
  bool copy = false;       // of flows that are reset by order (member_copies.h)
  MacAddress inner_mac{};
  std::uint16_t service = kNoService;  // whose it is; kNoService once that is gone
  std::uint16_t tunnel = kNoTunnel;    // index in Generation::tunnels()
  std::uint16_t mtu = 0;               // of the way there; 0: as the port. See build_member_hops()
  std::uint16_t most_mss = 0;          // that a SYN may announce, the MTU aside; 0: what it likes

  // Whether one is a copy of the other, or both are of one: no flow moves between them.
  [[nodiscard]] bool is_copy_of_same(const MemberForward& other) const {
    return (copy || other.copy) && address == other.address && port == other.port &&
           mode == other.mode && service == other.service;
  }
};

// What the fast path needs of a binding, by registry index. A retired one (its VIP or port is no
// longer configured) has no service, but its flows are still told apart. One with kNoProtocol is
// what affinity records name a service by.
struct BindingForward {
  Address vip;
  Protocol protocol = Protocol::kTcp;
  bool live = false;
  std::uint8_t prefix_bits = kWholeAddress;
  std::uint16_t service = kNoService;

  [[nodiscard]] bool prefixed() const { return prefix_bits != kWholeAddress; }
};

class Generation {
 public:
  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] const FlowHasher& hasher() const { return *hasher_; }
  [[nodiscard]] const BindingTable& bindings() const { return bindings_; }
  [[nodiscard]] std::span<const CompiledService> services() const { return services_; }
  [[nodiscard]] const CompiledService& service(std::uint16_t index) const {
    return services_[index];
  }
  // nullptr when no member has this id (any more).
  [[nodiscard]] const MemberForward* member(MemberId id) const {
    if (id.index >= members_.size()) {
      return nullptr;
    }
    const MemberForward& member = members_[id.index];
    return member.live && member.epoch == id.epoch ? &member : nullptr;
  }
  [[nodiscard]] std::span<const MemberForward> members() const { return members_; }
  // nullptr when no binding has this id (any more).
  [[nodiscard]] const BindingForward* binding(std::uint16_t id) const {
    return id < binding_.size() && binding_[id].live ? &binding_[id] : nullptr;
  }
  // Whether any service has affinity.
  [[nodiscard]] bool has_affinity() const { return has_affinity_; }
  [[nodiscard]] std::span<const TunnelSpec> tunnels() const { return tunnels_; }
  [[nodiscard]] std::span<const PoolSpec> pools() const { return pools_; }
  // Nearly always not, which one comparison tells.
  [[nodiscard]] bool in_pool(const Address& address) const {
    const bool near = address.low_bits().to_host() - pools_begin_ < pools_span_;
    if (!near && !has_pools_v6_) {
      return false;
    }
    return (near && pools_gapless_ && address.is_v4()) || is_in_a_pool(address);
  }
  // The pool addresses of one family, one by one.
  [[nodiscard]] std::span<const Address> pool_addresses(bool v4) const {
    return v4 ? pool_v4_ : pool_v6_;
  }
  // A VIP or a pool address: what the dataplane answers for.
  [[nodiscard]] bool is_ours(const Address& address) const {
    return bindings_.is_vip(address) || in_pool(address);
  }

 private:
  friend class GenerationBuilder;
  [[nodiscard]] bool is_in_a_pool(const Address& address) const;

  std::uint64_t number_ = 0;
  const FlowHasher* hasher_ = nullptr;
  bool has_affinity_ = false;
  BindingTable bindings_;
  std::vector<CompiledService> services_;
  std::vector<MemberForward> members_;
  std::vector<BindingForward> binding_;
  std::vector<TunnelSpec> tunnels_;
  std::vector<PoolSpec> pools_;
  // All pools of IPv4 lie within so many addresses from this one, in host order; 0: there are none.
  std::uint32_t pools_begin_ = 0;
  std::uint64_t pools_span_ = 0;
  bool pools_gapless_ = false;  // every address within is of a pool
  bool has_pools_v6_ = false;
  std::vector<Address> pool_v4_;
  std::vector<Address> pool_v6_;
};

// How far a service's table moved against the generation before.
struct ServiceChange {
  std::string service;
  TableChange change;
  std::uint32_t slots = 0;  // of all its tables
};

struct BuiltGeneration {
  std::unique_ptr<const Generation> generation;
  std::vector<ServiceChange> changes;  // services that existed before
};

// Checks the whole specification, gives its members and bindings their ids, and compiles it. On an
// error nothing has changed, and the text says what is wrong. `previous` may be null. `hasher` must
// outlive the result. Members of `previous` that are missing now are retired: known, but without
// new flows. `now_ms` is the workers' clock. Main thread; milliseconds.
std::expected<BuiltGeneration, std::string> build_generation(const GenerationSpec& spec,
                                                             MemberRegistry& members,
                                                             BindingRegistry& bindings,
                                                             const FlowHasher& hasher,
                                                             const Generation* previous,
                                                             std::uint64_t now_ms);

}  // namespace holdfast::dataplane
