// SPDX-License-Identifier: Apache-2.0
// "did you mean 'balance'?": the nearest of a few words. Pure.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace holdfast::config {

// Edits (insert, delete, replace, swap of neighbours; no substring edited twice) between two words,
// or `limit` + 1 when there are more. O(|a| x |b|).
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit);

// The candidate nearest to `word`, "" when none is near: more than a third of the word would have
// to change. The first of equals wins; of very many candidates only the first are looked at.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

// nearest() within a bound over many words: a file may misspell thousands, each among thousands.
class Suggestions {
 public:
  explicit Suggestions(std::size_t most_steps = 20'000'000) : steps_left_(most_steps) {}

  // The same; "" once the candidates before would have cost too many steps (pairs of letters).
  std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

 private:
  std::size_t steps_left_;
};

// "did you mean 'x'?", "" for no word.
std::string suggestion(std::string_view near);

}  // namespace holdfast::config
