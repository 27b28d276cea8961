// SPDX-License-Identifier: Apache-2.0
// See publisher.h.
#include "control/publish/publisher.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace holdfast::control {

namespace asio = boost::asio;
using dataplane::Disposition;
using dataplane::GenerationSpec;

namespace {

// What two generations are compared by.
GenerationSpec normalised(GenerationSpec generation) {
  generation.number = 0;
  for (dataplane::ServiceSpec& service : generation.services) {
    for (dataplane::MemberSpec& member : service.members) {
      member.disposition = Disposition::kNew;
    }
  }
  return generation;
}

}  // namespace

Publisher::Publisher(Forwarder& forwarder, Tasks& tasks, Report report, Refusals refusals)
    : forwarder_(forwarder),
      tasks_(tasks),
      report_(std::move(report)),
      refusals_(std::move(refusals)),
      changed_(tasks.executor()),
      last_outcome_(std::unexpected("nothing was published yet")) {}

void Publisher::adopt(const RunningState& running) {
  number_ = std::max(number_, running.generation.number);
  acknowledged_ = running.generation.number;
  set_running(running.generation.number == 0 ? std::nullopt : std::optional(running.generation));
  desired_.clear();
  pending_.clear();
  for (const RunningMember& member : running.members) {
    if (!member.retired) {
      desired_[{member.service, member.backend}] = {member.disposition, member.reset_in};
    }
  }
}

void Publisher::disconnect(const std::string& reason) {
  set_running(std::nullopt);
  if (!std::exchange(pending_, {}).empty()) {
    lose({.reason = "the dataplane's connection ended: " + reason});
  }
}

void Publisher::lose(Undelivered what) {
  ++losses_;
  last_loss_ = std::move(what);
}

void Publisher::want(GenerationSpec generation) {
  desired_.clear();
  for (const dataplane::ServiceSpec& service : generation.services) {
    for (const dataplane::MemberSpec& member : service.members) {
      desired_[{service.name, member.backend}] = {member.disposition, {}};
    }
  }
  ++wanted_sequence_;
  wanted_ = std::move(generation);
  if (!publishing_) {
    publishing_ = true;
    tasks_.spawn(publish_loop());
  }
}

asio::awaitable<Publisher::Outcome> Publisher::publish(GenerationSpec generation) {
  want(std::move(generation));
  const std::uint64_t mine = wanted_sequence_;
  while (finished_sequence_ < mine) {
    co_await changed_.wait();
  }
  co_return last_outcome_;
}

asio::awaitable<void> Publisher::publish_loop() {
  while (wanted_) {
    GenerationSpec generation = std::move(*wanted_);
    wanted_.reset();
    const std::uint64_t sequence = wanted_sequence_;
    if (!forwarder_.connected()) {
      finish(sequence, 0, std::unexpected("the dataplane is not connected"));
      continue;
    }
    generation.number = ++number_;
    refresh_dispositions(generation);
    Outcome outcome = co_await send(std::move(generation));
    finish(sequence, number_, std::move(outcome));
  }
  publishing_ = false;
}

// A publication whose acknowledgement failed may be in force all the same: then it counts.
asio::awaitable<Publisher::Outcome> Publisher::send(GenerationSpec generation) {
  Outcome outcome = co_await forwarder_.publish(generation);
  if (!outcome && forwarder_.connected()) {
    const auto running = co_await forwarder_.running();
    if (running && running->generation.number == generation.number) {
      outcome = seam::PublishReply();
      outcome->set_number(generation.number);
    }
  }
  if (outcome) {
    acknowledge(std::move(generation));
  }
  co_return outcome;
}

void Publisher::refresh_dispositions(GenerationSpec& generation) const {
  for (dataplane::ServiceSpec& service : generation.services) {
    for (dataplane::MemberSpec& member : service.members) {
      const auto desired = desired_.find({service.name, member.backend});
      if (desired != desired_.end()) {
        member.disposition = desired->second.disposition;
      }
    }
  }
}

void Publisher::acknowledge(GenerationSpec generation) {
  acknowledged_ = generation.number;
  set_running(generation);
  // What changed while it was on its way.
  for (const dataplane::ServiceSpec& service : generation.services) {
    for (const dataplane::MemberSpec& member : service.members) {
      const auto desired = desired_.find({service.name, member.backend});
      if (desired != desired_.end() && desired->second.disposition != member.disposition) {
        const auto [disposition, reset_in] = desired->second;
        set_disposition({service.name, member.backend, disposition, reset_in});
      }
    }
  }
}

void Publisher::set_running(std::optional<GenerationSpec> generation) {
  running_members_.clear();
  running_.reset();
  if (!generation) {
    return;
  }
  for (const dataplane::ServiceSpec& service : generation->services) {
    for (const dataplane::MemberSpec& member : service.members) {
      running_members_.insert({service.name, member.backend});
    }
  }
  running_ = normalised(std::move(*generation));
}

void Publisher::finish(std::uint64_t sequence, std::uint64_t number, Outcome outcome) {
  if (!outcome) {
    ++failures_;
    last_failure_ = outcome.error();
  } else {
    last_failure_.clear();
  }
  last_outcome_ = std::move(outcome);
  finished_sequence_ = sequence;
  report_(number, last_outcome_);
  changed_.notify();
}

void Publisher::set_disposition(DispositionChange change) {
  const Member member{std::move(change.service), std::move(change.backend)};
  desired_[member] = {change.disposition, change.reset_in};
  if (!forwarder_.connected() || (running_ && !running_members_.contains(member))) {
    return;
  }
  pending_[member] = {change.disposition, change.reset_in};
  if (!sending_) {
    sending_ = true;
    tasks_.spawn(disposition_loop());
  }
}

asio::awaitable<void> Publisher::disposition_loop() {
  while (!pending_.empty()) {
    std::vector<DispositionChange> batch;
    for (const auto& [member, told] : std::exchange(pending_, {})) {
      batch.push_back({member.first, member.second, told.disposition, told.reset_in});
    }
    const auto refused = co_await forwarder_.set_dispositions(std::move(batch));
    if (!refused) {
      lose({.reason = refused.error()});
    } else if (!refused->empty()) {
      refusals_(*refused);
      // Of a member that is being published: acknowledge() sends it again.
      if (!publishing_) {
        lose({.reason = refused->front(), .refused = true});
      }
    }
  }
  sending_ = false;
  changed_.notify();
}

asio::awaitable<std::expected<void, Publisher::Undelivered>> Publisher::dispositions_visible(
    std::uint64_t losses_before) {
  while (sending_) {
    co_await changed_.wait();
  }
  if (losses_ != losses_before) {
    co_return std::unexpected(last_loss_);
  }
  if (!forwarder_.connected()) {
    co_return std::unexpected(Undelivered{.reason = "the dataplane is not connected"});
  }
  co_return std::expected<void, Undelivered>();
}

bool Publisher::runs(const GenerationSpec& generation) const {
  return running_ && *running_ == normalised(generation);
}

}  // namespace holdfast::control
