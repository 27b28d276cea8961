// SPDX-License-Identifier: Apache-2.0
// Which service a packet's destination belongs to: (VIP, protocol, port) -> binding. Part of a
// Generation: built once, then read by every worker. Exact ports stand in an open-addressed hash
// for each family, where a whole IPv4 destination is one word; ranges in a sorted list per VIP,
// looked at only when no exact port matches.
//
// Single VIPs have one such table, prefixes one per distinct length; these are asked from the
// longest to the shortest, and only when there is any and no single VIP matched. What is bound does
// not overlap, so that the order decides nothing but how long it takes.
#pragma once

#include "dataplane/address.h"
#include "dataplane/address_mix.h"
#include "dataplane/spec.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace holdfast::dataplane {

struct BoundService {
  std::uint16_t service = 0;  // index in the generation
  std::uint16_t binding = 0;  // id in the registry
  bool prefixed = false;      // its VIPs are a prefix
  bool translated = false;    // the service's mode is `nat`
};

class BindingTable {
 public:
  struct Row {
    BindingSpec spec;
    BoundService bound;
  };

  BindingTable() = default;
  // Requires: no two rows overlap in VIP, protocol and port; prefixes have no bit behind their
  // leading ones.
  explicit BindingTable(std::span<const Row> rows);

  // The service at this destination, or nullptr. `port` in host order. O(distinct lengths of
  // prefixes of the family).
  [[nodiscard]] const BoundService* find(const Address& destination,
                                         Protocol protocol,
                                         std::uint16_t port) const {
    if (const BoundService* bound = single_.find(destination, protocol, port)) [[likely]] {
      return bound;
    }
    return has_prefixes_ ? find_by_prefix(destination, protocol, port) : nullptr;
  }
  // Begins to load what find() will look at first. Worth it while more is bound than stays in the
  // first-level cache: is_large().
  void prefetch(const Address& destination, Protocol protocol, std::uint16_t port) const {
    single_.prefetch(destination, protocol, port);
  }
  [[nodiscard]] bool is_large() const { return single_.bytes() > kCachedBytes; }
  [[nodiscard]] bool is_vip(const Address& address) const {
    return single_.has(address) || (has_prefixes_ && is_in_prefix(address));
  }
  [[nodiscard]] bool is_single_vip(const Address& address) const { return single_.has(address); }
  // Every single VIP once.
  [[nodiscard]] std::span<const Address> vips() const { return single_.vips(); }

 private:
  // What is bound to addresses of one length.
  class Level {
   public:
    Level() = default;
    // Takes the rows of that length.
    Level(std::span<const Row> rows, std::uint8_t bits);
    [[nodiscard]] const BoundService* find(const Address& vip,
                                           Protocol protocol,
                                           std::uint16_t port) const {
      if (vip.is_v4() && !exact4_.empty()) [[likely]] {
        const std::uint64_t wanted = word_of(vip, protocol, port);
        for (std::size_t at = place_of(wanted);; ++at) {
          const Exact4& exact = exact4_[at & (exact4_.size() - 1)];
          if (exact.word == wanted) [[likely]] {
            return &exact.bound;
          }
          if (exact.word == 0) {
            break;
          }
        }
      }
      return find_other(vip, protocol, port);
    }
    void prefetch(const Address& vip, Protocol protocol, std::uint16_t port) const {
      const bool v4 = vip.is_v4();
      const std::size_t at =
          v4 ? place_of(word_of(vip, protocol, port)) : mix_address(vip, salt_of(protocol, port));
      const void* const place =
          v4 ? static_cast<const void*>(exact4_.data() + (at & (exact4_.size() - 1)))
             : static_cast<const void*>(exact6_.data() + (at & (exact6_.size() - 1)));
      __builtin_prefetch(place);
    }
    [[nodiscard]] std::size_t bytes() const {
      return exact4_.size() * sizeof(Exact4) + exact6_.size() * sizeof(Exact6);
    }
    [[nodiscard]] bool has(const Address& vip) const { return slot_of(vip) != nullptr; }
    [[nodiscard]] std::span<const Address> vips() const { return vips_; }
    [[nodiscard]] std::uint8_t bits() const { return bits_; }

   private:
    // 0: free. No protocol of ours is 0.
    struct Exact4 {
      std::uint64_t word = 0;
      BoundService bound;
    };
    static_assert(sizeof(Exact4) == 16);
    struct Exact6 {
      Address vip;
      std::uint16_t port = 0;
      Protocol protocol = Protocol::kTcp;
      bool used = false;
      BoundService bound;
    };
    struct Range {
      Protocol protocol = Protocol::kTcp;
      std::uint16_t first = 0;
      std::uint16_t last = 0;
      BoundService bound;
    };
    struct Vip {
      Address address;
      bool used = false;
      std::vector<Range> ranges;  // by protocol, then port
    };

    static std::uint64_t word_of(const Address& vip, Protocol protocol, std::uint16_t port) {
      return std::uint64_t{vip.v4_bits().wire()} << 32 |
             std::uint64_t{static_cast<std::uint8_t>(protocol)} << 16 | port;
    }
    static std::size_t place_of(std::uint64_t word) {
      return mix_address(std::array<std::uint64_t, 2>{word, 0}, 0);
    }

    static std::uint32_t salt_of(Protocol protocol, std::uint16_t port) {
      return (static_cast<std::uint32_t>(protocol) << 16) | port;
    }

    void add_exact(const Row& row);
    // Exact ports of IPv6, and ranges.
    [[nodiscard]] const BoundService* find_other(const Address& vip,
                                                 Protocol protocol,
                                                 std::uint16_t port) const;
    Vip& vip_of(const Address& address);
    [[nodiscard]] const Vip* slot_of(const Address& address) const;

    std::uint8_t bits_ = kWholeAddress;
    std::vector<Exact4> exact4_;
    std::vector<Exact6> exact6_;
    std::vector<Vip> vip_;
    std::vector<Address> vips_;
  };

  [[nodiscard]] const std::vector<Level>& levels_of(const Address& address) const {
    return address.is_v4() ? prefixes_v4_ : prefixes_v6_;
  }
  [[nodiscard]] const BoundService* find_by_prefix(const Address& destination,
                                                   Protocol protocol,
                                                   std::uint16_t port) const;
  [[nodiscard]] bool is_in_prefix(const Address& address) const;

  static constexpr std::size_t kCachedBytes = 16'384;

  Level single_;
  bool has_prefixes_ = false;
  std::vector<Level> prefixes_v4_;  // longest first
  std::vector<Level> prefixes_v6_;
};

}  // namespace holdfast::dataplane
