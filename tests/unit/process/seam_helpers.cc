// SPDX-License-Identifier: Apache-2.0
// See seam_helpers.h.
#include "tests/unit/process/seam_helpers.h"

#include "dataplane/api/codec.h"

namespace holdfast::dataplane {
namespace {

constexpr std::chrono::seconds kLimit{10};

}  // namespace

Address address(const char* text) { return *Address::parse(text); }

GenerationSpec small_generation(std::uint64_t number) {
  ServiceSpec web{.name = "web", .mode = Mode::kDsr, .slots = 4093};
  web.bindings = {{.vip = address("203.0.113.10"), .first_port = 80, .last_port = 80}};
  web.members = {{.backend = "a", .address = address("10.0.3.11")},
                 {.backend = "b", .address = address("10.0.3.12")}};
  return {.number = number, .services = {web}, .pools = {}};
}

seam::Reply ask(seam::Client& client, const seam::Request& request) {
  auto reply = client.call(request, kLimit);
  if (!reply) {
    seam::Reply failed;
    failed.mutable_error()->set_text(reply.error());
    return failed;
  }
  return *reply;
}

seam::Reply publish(seam::Client& client, const GenerationSpec& spec) {
  seam::Request request;
  *request.mutable_publish()->mutable_generation() = seam::to_wire(spec);
  return ask(client, request);
}

seam::Reply set_disposition(seam::Client& client, const char* backend, Disposition disposition) {
  seam::Request request;
  request.mutable_set_disposition()->set_service("web");
  request.mutable_set_disposition()->set_backend(backend);
  request.mutable_set_disposition()->set_disposition(static_cast<std::uint32_t>(disposition));
  return ask(client, request);
}

seam::GetGenerationReply get_generation(seam::Client& client) {
  seam::Request request;
  request.mutable_get_generation();
  return ask(client, request).get_generation();
}

seam::GetCountersReply get_counters(seam::Client& client) {
  seam::Request request;
  request.mutable_get_counters()->set_members(true);
  return ask(client, request).get_counters();
}

}  // namespace holdfast::dataplane
