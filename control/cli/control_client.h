// SPDX-License-Identifier: Apache-2.0
// The CLI's end of the API: one request over control's Unix socket, with a deadline, and if wanted
// one for all of a verb's requests together. Blocking, one at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <boost/json/object.hpp>

namespace holdfast::control {

struct ClientFailure {
  int exit_code = 0;  // kExitUnreachable or kExitTimedOut
  std::string text;   // one sentence that says what to do
};

class ControlClient {
 public:
  // `in_all` bounds all requests together, from now on.
  explicit ControlClient(std::string socket,
                         std::optional<std::chrono::milliseconds> in_all = std::nullopt)
      : socket_(std::move(socket)), in_all_(in_all) {}

  // The body of the answer, whatever its status: a refused verb is an answer.
  std::expected<boost::json::object, ClientFailure> get(const std::string& target,
                                                        std::chrono::milliseconds limit) const;
  std::expected<boost::json::object, ClientFailure> post(const std::string& target,
                                                         const boost::json::object& body,
                                                         std::chrono::milliseconds limit) const;
  // The text after the head of an endless answer, piece by piece as it comes, until `take` says
  // false or the connection ends; then why it ended. One that is silent for `limit` has ended.
  // `more` are header lines, each with its end.
  ClientFailure follow(const std::string& target,
                       const std::string& more,
                       const std::function<bool(std::string_view)>& take,
                       std::chrono::milliseconds limit) const;

 private:
  // What is left of `in_all`, at most `limit`.
  [[nodiscard]] std::chrono::milliseconds left(std::chrono::milliseconds limit) const;

  std::string socket_;
  std::optional<std::chrono::milliseconds> in_all_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace holdfast::control
