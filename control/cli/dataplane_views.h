// SPDX-License-Identifier: Apache-2.0
// What `status`, `services` and `backends` show while control does not answer: the dataplane's own
// view, over its read-only socket, in the API's JSON without the keys that control alone knows.
#pragma once

#include "dataplane.pb.h"

#include <chrono>
#include <expected>
#include <string>

#include <boost/json/object.hpp>

namespace holdfast::control {

// What the dataplane answered. Building the views from it is pure.
struct DataplaneAnswers {
  seam::HelloReply hello;
  seam::GetCountersReply counters;
  seam::GetGenerationReply generation;
};

// Blocking, at most about `limit` per request. The error is one sentence.
std::expected<DataplaneAnswers, std::string> ask_dataplane(const std::string& socket,
                                                           std::chrono::milliseconds limit);

boost::json::object dataplane_status(const DataplaneAnswers& answers);
boost::json::object dataplane_services(const DataplaneAnswers& answers);
boost::json::object dataplane_backends(const DataplaneAnswers& answers);

}  // namespace holdfast::control
