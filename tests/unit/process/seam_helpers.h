// SPDX-License-Identifier: Apache-2.0
// Requests of the seam in one line each, for the process tests.
#pragma once

#include "dataplane/api/client.h"
#include "dataplane/spec.h"

#include <string>

namespace holdfast::dataplane {

Address address(const char* text);

// One service "web" in mode dsr: 203.0.113.10 tcp/80 over a and b.
GenerationSpec small_generation(std::uint64_t number);

// An error of the stream comes back as an Error reply.
seam::Reply ask(seam::Client& client, const seam::Request& request);
seam::Reply publish(seam::Client& client, const GenerationSpec& spec);
seam::Reply set_disposition(seam::Client& client, const char* backend, Disposition disposition);
seam::GetGenerationReply get_generation(seam::Client& client);
seam::GetCountersReply get_counters(seam::Client& client);

// The counter of that name; 0 when there is none.
template <typename Values>
std::uint64_t value_of(const Values& values, std::string_view name) {
  for (const auto& value : values) {
    if (value.name() == name) {
      return value.value();
    }
  }
  return 0;
}

}  // namespace holdfast::dataplane
