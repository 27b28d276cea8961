// SPDX-License-Identifier: Apache-2.0
// Damerau-Levenshtein distance, the optimal string alignment variant, with three rows.
#include "config/suggest.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr std::size_t kLongestWord = 64;
constexpr std::size_t kMostCandidates = 2000;
constexpr std::size_t kStepsOfLetters = 64;  // what letters_apart() costs, about

std::size_t difference(std::size_t a, std::size_t b) { return a > b ? a - b : b - a; }

// How many letters of the one the other has not: never more than the edits between them.
std::size_t letters_apart(std::string_view a, std::string_view b) {
  std::array<std::int16_t, 256> surplus{};
  for (const char letter : a) {
    ++surplus[static_cast<unsigned char>(letter)];
  }
  for (const char letter : b) {
    --surplus[static_cast<unsigned char>(letter)];
  }
  std::size_t more = 0;
  std::size_t less = 0;
  for (const std::int16_t one : surplus) {
    more += static_cast<std::size_t>(std::max<std::int16_t>(one, 0));
    less += static_cast<std::size_t>(std::max<std::int16_t>(static_cast<std::int16_t>(-one), 0));
  }
  return std::max(more, less);
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  if (difference(a.size(), b.size()) > limit) {
    return limit + 1;
  }
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> now(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    last[j] = j;
  }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        now[j] = std::min(now[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, now);
  }
  return std::min(last[b.size()], limit + 1);
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  return Suggestions().nearest(word, candidates);
}

std::string_view Suggestions::nearest(std::string_view word,
                                      std::span<const std::string_view> candidates) {
  if (word.size() > kLongestWord) {
    return "";
  }
  std::size_t best = std::max<std::size_t>(1, word.size() / 3) + 1;
  std::string_view found;
  for (const std::string_view candidate :
       candidates.first(std::min(candidates.size(), kMostCandidates))) {
    if (difference(word.size(), candidate.size()) >= best) {
      continue;
    }
    const std::size_t steps = word.size() * candidate.size() + kStepsOfLetters;
    if (steps > steps_left_) {
      return "";
    }
    const bool far = letters_apart(word, candidate) >= best;
    steps_left_ -= far ? kStepsOfLetters : steps;
    const std::size_t distance = far ? best : edit_distance(word, candidate, best - 1);
    // One edit of a single letter would match anything.
    if (distance < best && distance < std::max(word.size(), candidate.size())) {
      best = distance;
      found = candidate;
    }
  }
  return found;
}

std::string suggestion(std::string_view near) {
  return near.empty() ? "" : fmt::format("did you mean '{}'?", near);
}

}  // namespace holdfast::config
