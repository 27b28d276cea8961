// SPDX-License-Identifier: Apache-2.0
// See requests.h.
#include "dataplane/process/requests.h"

#include "dataplane/api/codec.h"
#include "dataplane/process/clock.h"
#include "dataplane/process/log.h"
#include "dataplane/registry_keys.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <rte_version.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

void refuse(seam::Reply& reply, const std::string& why) { reply.mutable_error()->set_text(why); }

}  // namespace

Requests::Requests(Publisher& publisher,
                   Counters& counters,
                   HelloFacts facts,
                   std::function<void()> published)
    : publisher_(publisher),
      counters_(counters),
      facts_(std::move(facts)),
      published_(std::move(published)) {}

void Requests::handle(const seam::Request& request, Access access, seam::Reply& reply) {
  const bool walks = request.has_list_flows() || request.has_reset_flows() ||
                     request.has_move_flows() || request.has_collect_flows();
  const bool writes = request.has_publish() || request.has_set_disposition() ||
                      request.has_set_routes() || request.has_set_role() || walks;
  if (writes && access != Access::kWrite) {
    return refuse(reply, "this session is for reading: another control is the writer");
  }
  switch (request.body_case()) {
    case seam::Request::kHello:
      return hello(access, reply);
    case seam::Request::kPublish:
      return publish(request.publish(), reply);
    case seam::Request::kSetDisposition:
      return set_disposition(request.set_disposition(), reply);
    case seam::Request::kGetGeneration:
      return get_generation(reply);
    case seam::Request::kGetCounters:
      return counters_.read(request.get_counters().members(), *reply.mutable_get_counters());
    case seam::Request::kSetRoutes:
      return set_vips(request.set_routes(), reply);
    case seam::Request::kSetRole:
      return set_role(request.set_role(), reply);
    case seam::Request::kListFlows:
    case seam::Request::kResetFlows:
    case seam::Request::kMoveFlows:
    case seam::Request::kCollectFlows:
      return walk(request, reply);
    case seam::Request::BODY_NOT_SET:
      break;
  }
  refuse(reply, "unknown request");
}

void Requests::set_routes(const VipRoutes& routes, std::function<void()> offer) {
  routes_ = &routes;
  offer_routes_ = std::move(offer);
}

void Requests::set_vips(const seam::SetRoutes& request, seam::Reply& reply) {
  const auto vips = seam::from_wire(request);
  if (!vips) {
    return refuse(reply, vips.error());
  }
  if (routes_ == nullptr) {
    return refuse(reply, "the dataplane was started without `routes`: restart it");
  }
  publisher_.set_routed_vips(*vips);
  offer_routes_();
  if (!routes_->problem().empty()) {
    return refuse(reply, routes_->problem());
  }
  reply.mutable_set_routes()->set_routes(static_cast<std::uint32_t>(routes_->size()));
}

void Requests::set_role(const seam::SetRole& request, seam::Reply& reply) {
  const auto role = seam::role_from_wire(request.role());
  if (!role || *role == Role::kAlone) {
    return refuse(reply, "a role is 1 (active) or 2 (standby)");
  }
  if (!take_role_) {
    return refuse(reply, "the dataplane was started without `pair`: restart it");
  }
  take_role_(*role);
  reply.mutable_set_role();
}

void Requests::walk(const seam::Request& request, seam::Reply& reply) {
  if (walks_ == nullptr) {
    return refuse(reply, "unknown request");
  }
  if (request.has_collect_flows()) {
    const seam::CollectFlows& collect = request.collect_flows();
    auto found =
        collect.forget() ? walks_->forget(collect.number()) : walks_->collect(collect.number());
    if (!found) {
      return refuse(reply, found.error());
    }
    *reply.mutable_collect_flows() = std::move(*found);
    return;
  }
  const auto begun = request.has_list_flows()    ? walks_->list(request.list_flows())
                     : request.has_reset_flows() ? walks_->reset(request.reset_flows())
                                                 : walks_->move(request.move_flows());
  if (!begun) {
    return refuse(reply, begun.error());
  }
  reply.mutable_flow_walk()->set_number(*begun);
}

void Requests::hello(Access access, seam::Reply& reply) const {
  seam::HelloReply& hello = *reply.mutable_hello();
  StartupSpec startup = facts_.startup;
  if (access == Access::kRead) {
    startup.hash_key = {};  // a secret: readers do not need it
  }
  hello.set_startup(seam::to_wire(startup).SerializeAsString());
  hello.set_build(facts_.version);
  hello.set_generation(publisher_.acknowledged());
  hello.set_pid(static_cast<std::uint64_t>(::getpid()));
  hello.set_start_monotonic_ns(facts_.start_monotonic_ns);
  hello.set_dpdk(rte_version());
  hello.set_flows_kept(facts_.adoption.kept);
  hello.set_flows_forgotten(facts_.adoption.dropped);
  for (const std::string& notice : facts_.notices()) {
    hello.add_notices(notice);
  }
}

void Requests::publish(const seam::Publish& request, seam::Reply& reply) {
  auto spec = seam::from_wire(request.generation());
  if (!spec) {
    return refuse(reply, spec.error());
  }
  const std::uint64_t before = publisher_.generation().number();
  const auto done = publisher_.publish(std::move(*spec));
  if (!done) {
    log_line(LogLevel::kError, "generation.refused", done.error());
    return refuse(reply, done.error());
  }
  published_();
  if (done->acknowledged) {
    log_line(LogLevel::kInfo,
             "generation.published",
             fmt::format("{} after {}, built in {} us, seen by all workers in {} us",
                         done->number,
                         before,
                         done->build_ns / 1000,
                         done->swap_ns / 1000));
  } else {
    log_line(LogLevel::kError,
             "generation.unacknowledged",
             fmt::format("{} after {} is in force, but a worker has not left {} within {} ms",
                         done->number,
                         before,
                         before,
                         done->swap_ns / 1'000'000));
  }
  seam::PublishReply& out = *reply.mutable_publish();
  out.set_number(done->number);
  out.set_build_ns(done->build_ns);
  out.set_swap_ns(done->swap_ns);
  out.set_unacknowledged(!done->acknowledged);
  for (const ServiceChange& change : done->changes) {
    seam::SlotsMoved& moved = *out.add_slots_moved();
    moved.set_service(change.service);
    moved.set_moved(change.change.moved);
    moved.set_least(change.change.least);
    moved.set_slots(change.slots);
  }
}

void Requests::set_disposition(const seam::SetDisposition& request, seam::Reply& reply) {
  const auto disposition = seam::disposition_from_wire(request.disposition());
  if (!disposition) {
    return refuse(reply, disposition.error());
  }
  constexpr std::uint64_t kYearMs = 365ULL * 24 * 3'600'000;
  if (request.reset_in_ms() > kYearMs) {
    return refuse(reply, "a deadline is more than a year away");
  }
  const auto done = publisher_.set_disposition(
      request.service(), request.backend(), *disposition, request.reset_in_ms());
  if (!done) {
    return refuse(reply, done.error());
  }
  log_line(LogLevel::kInfo,
           "disposition.set",
           fmt::format("{}/{} is {}: {} members, seen by all workers in {} us",
                       request.service(),
                       request.backend(),
                       seam::disposition_name(*disposition),
                       done->members,
                       done->visible_ns / 1000));
  reply.mutable_set_disposition()->set_members(static_cast<std::uint32_t>(done->members));
  reply.mutable_set_disposition()->set_visible_ns(done->visible_ns);
}

void Requests::get_generation(seam::Reply& reply) const {
  seam::GetGenerationReply& out = *reply.mutable_get_generation();
  *out.mutable_generation() = seam::to_wire(publisher_.spec());
  out.set_role(static_cast<std::uint32_t>(publisher_.role()));
  const std::span<const MemberRecord> records = publisher_.members().records();
  const std::uint64_t now_ms = monotonic_ns() / 1'000'000;
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (!is_meant(records[i])) {
      continue;
    }
    const MemberId id{static_cast<std::uint16_t>(i), records[i].epoch};
    seam::MemberEntry& entry = *out.add_members();
    to_wire(records[i], *entry.mutable_ref());
    entry.set_index(id.index);
    entry.set_epoch(id.epoch);
    entry.set_disposition(static_cast<std::uint32_t>(publisher_.dispositions().get(id)));
    entry.set_retired(records[i].state == RegistryState::kRetired);
    if (const std::uint64_t deadline = records[i].drain_deadline_ms; deadline != 0) {
      entry.set_reset_in_ms(std::max(deadline, now_ms + 1) - now_ms);
    }
  }
}

}  // namespace holdfast::dataplane
