// SPDX-License-Identifier: Apache-2.0
// When each flow of a member that is being reset has its turn. Resets that all come at once bring
// all clients back at once; so they are spread over a window, by the flow's hash: until its turn a
// TCP flow goes on at its member, as does what is said about it. The window begins when the sweeper
// finds that the member is being reset. On the worker that owns the flows; no allocation once made.
#pragma once

#include "dataplane/generation.h"
#include "dataplane/registry.h"
#include "dataplane/spec.h"
#include "dataplane/state.h"

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace holdfast::dataplane {

// Milliseconds from the beginning of a window to the turn of the flow whose client's packets have
// this hash. By other bits of the product than any that choose a worker, a bucket or a slot.
constexpr std::uint32_t turn_within(std::uint32_t window_ms, std::uint64_t hash) {
  return static_cast<std::uint32_t>(((hash * 0xff51afd7ed558ccd) >> 48) * window_ms >> 16);
}

class ResetSpread {
 public:
  // 0: every flow's turn is at once, and nothing has to be looked at.
  std::uint32_t window_ms = 0;
  // Of the burst that is going through the stages.
  std::uint64_t now_ms = 0;

  // Notes which members are being reset since this look, if any disposition has changed.
  void look(const DispositionTable& dispositions,
            const Generation& generation,
            std::uint64_t at_ms);

  // Since when the sweeper knows that the member is being reset; nullopt: it is not.
  [[nodiscard]] std::optional<std::uint64_t> since(MemberId member) const {
    const Since& since = members_[member.index];
    return since.resets && since.epoch == member.epoch ? std::optional(since.at_ms) : std::nullopt;
  }
  // When the newest of these began, once; 0: none has since.
  std::uint64_t take_newest() { return std::exchange(newest_ms_, 0); }
  // Requires: the member is being reset.
  [[nodiscard]] bool has_turn(MemberId member, std::uint64_t hash) const {
    if (window_ms == 0) {
      return true;
    }
    const std::optional<std::uint64_t> begun = since(member);
    return begun && now_ms >= *begun + turn_within(window_ms, hash);
  }

 private:
  struct Since {
    std::uint64_t at_ms = 0;
    std::uint8_t epoch = 0;
    bool resets = false;
  };

  std::vector<Since> members_ = std::vector<Since>(kRegistryCapacity);
  std::uint64_t seen_version_ = 0;
  bool looked_ = false;
  std::uint64_t newest_ms_ = 0;
};

}  // namespace holdfast::dataplane
