// SPDX-License-Identifier: Apache-2.0
// A program's file replaced by another one, in one step and with the way back. Used by `upgrade`;
// reads and writes the folder that the program stands in.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace holdfast::control {

class BinarySwap {
 public:
  // Puts a copy of `fresh` at `place`; what stood there stands at `<place>.before`. The error says
  // what could not be done; then nothing has changed.
  static std::expected<BinarySwap, std::string> install(const std::string& place,
                                                        const std::string& fresh);

  // Puts back what stood there. The error is a sentence.
  [[nodiscard]] std::expected<void, std::string> take_back() const;

 private:
  explicit BinarySwap(std::string place) : place_(std::move(place)) {}
  std::string place_;
};

}  // namespace holdfast::control
