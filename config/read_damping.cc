// SPDX-License-Identifier: Apache-2.0
// Reads `damping`: when a backend that falls again and again is held back.
#include "config/rules.h"
#include "config/sections.h"

#include <chrono>
#include <cmath>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMostPenalty = 1'000'000;

// What no penalty exceeds, so that it has faded to `reuse` within `max`.
double ceiling(const Damping& damping) {
  return damping.reuse * std::exp2(std::chrono::duration<double>(damping.max) /
                                   std::chrono::duration<double>(damping.half_life));
}

}  // namespace

void read_damping(const Node& node,
                  std::string_view owner,
                  std::optional<Damping>& damping,
                  Journal& journal) {
  if (node.kind == Kind::kScalar && node.text == "none") {
    damping = std::nullopt;
    return;
  }
  Damping read = damping.value_or(Damping());
  const std::string what = fmt::format("'damping' of {}", owner);
  const Fields fields(node, what, kDampingKeys, journal);
  fields.set("half_life", read.half_life, duration(1s, 1h));
  fields.set("suppress", read.suppress, integer(1, kMostPenalty));
  fields.set("reuse", read.reuse, integer(1, kMostPenalty));
  fields.set("max", read.max, duration(1s, 24h));
  damping = read;
  if (read.reuse >= read.suppress) {
    journal.error(fields.where("reuse"),
                  fmt::format("'reuse' of {} must be less than its 'suppress', {} is not less "
                              "than {}",
                              what,
                              read.reuse,
                              read.suppress));
  } else if (ceiling(read) < read.suppress) {
    journal.error(fields.where("max"),
                  fmt::format("'max' of {} is too short for its 'half_life': no penalty may exceed "
                              "{:.0f}, so none reaches {}",
                              what,
                              std::floor(ceiling(read)),
                              read.suppress));
  }
}

}  // namespace holdfast::config
