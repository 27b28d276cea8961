// SPDX-License-Identifier: Apache-2.0
// The CLI's end of the API: one request over control's Unix socket, with a deadline. Blocking, one
// at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>

#include <boost/json/object.hpp>

namespace holdfast::control {

struct ClientFailure {
  int exit_code = 0;  // kExitUnreachable or kExitTimedOut
  std::string text;   // one sentence that says what to do
};

class ControlClient {
 public:
  explicit ControlClient(std::string socket) : socket_(std::move(socket)) {}

  // The body of the answer, whatever its status: a refused verb is an answer.
  std::expected<boost::json::object, ClientFailure> get(const std::string& target,
                                                        std::chrono::milliseconds limit) const;
  std::expected<boost::json::object, ClientFailure> post(const std::string& target,
                                                         const boost::json::object& body,
                                                         std::chrono::milliseconds limit) const;

 private:
  std::string socket_;
};

}  // namespace holdfast::control
