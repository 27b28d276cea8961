// SPDX-License-Identifier: Apache-2.0
// See binary_swap.h.
#include "control/cli/binary_swap.h"

#include <filesystem>
#include <system_error>

namespace holdfast::control {
namespace {

namespace fs = std::filesystem;

std::string before(const std::string& place) { return place + ".before"; }

std::unexpected<std::string> failed(const std::string& what, const std::error_code& error) {
  return std::unexpected("cannot " + what + ": " + error.message());
}

}  // namespace

std::expected<BinarySwap, std::string> BinarySwap::install(const std::string& place,
                                                           const std::string& fresh) {
  const std::string beside = place + ".new";
  std::error_code error;
  fs::copy_file(fresh, beside, fs::copy_options::overwrite_existing, error);
  if (error) {
    return failed("copy " + fresh + " to " + beside, error);
  }
  fs::remove(before(place), error);
  fs::create_hard_link(place, before(place), error);
  if (error) {
    return failed("keep " + place + " as " + before(place), error);
  }
  fs::rename(beside, place, error);
  if (error) {
    return failed("replace " + place, error);
  }
  return BinarySwap(place);
}

std::expected<void, std::string> BinarySwap::take_back() const {
  std::error_code error;
  fs::rename(before(place_), place_, error);
  if (error) {
    return failed("put " + before(place_) + " back", error);
  }
  return {};
}

}  // namespace holdfast::control
