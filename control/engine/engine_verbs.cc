// SPDX-License-Identifier: Apache-2.0
// See engine.h. The operator's verbs on members: plan, write down, act, wait until every worker
// sees it. One at a time, because a plan holds only for the roster it was made for.
#include "control/engine/engine.h"
#include "control/publish/durable_file.h"
#include "control/publish/offload.h"

#include <algorithm>
#include <utility>

namespace holdfast::control {

namespace asio = boost::asio;

namespace {

constexpr const char* kOrderLater = ": it takes effect when the dataplane is connected";

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) {
    all += (all.empty() ? "" : "; ") + text;
  }
  return all;
}

VerbResult rehearsed(const VerbPlan& plan) {
  VerbResult result{plan.outcome, plan.lines, plan.members};
  for (const std::string& objection : plan.overridden) {
    result.lines.push_back("forced: " + objection);
  }
  for (const PlannedChange& change : plan.changes) {
    result.lines.push_back(label(change.name) + " would be " + change.line);
  }
  return result;
}

}  // namespace

asio::awaitable<VerbResult> Engine::change(AdminRequest request) {
  while (verb_busy_) {
    co_await changed_.wait();
  }
  VerbPlan plan = plan_verb(roster_, request, parts_.unix_ms());
  if (plan.outcome != Outcome::kOk || request.dry_run || plan.changes.empty()) {
    co_return rehearsed(plan);
  }
  VerbRun run{.verb = verb_name(request.verb),
              .caller = std::move(request.caller),
              .changes = std::move(plan.changes),
              .overridden = joined(plan.overridden),
              .result = {Outcome::kOk, std::move(plan.lines), std::move(plan.members)}};
  for (const std::string& objection : plan.overridden) {
    run.result.lines.push_back("forced: " + objection);
  }
  verb_busy_ = true;
  co_await carry_out(&run);
  verb_busy_ = false;
  changed_.notify();
  co_return std::move(run.result);
}

asio::awaitable<void> Engine::carry_out(VerbRun* run) {
  std::string lines;
  for (const PlannedChange& change : run->changes) {
    lines += journal_lines(change.name, change.before, change.order.orders);
    if (change.order.orders.empty()) {
      orders_.erase(change.name);
    } else {
      orders_[change.name] = change.order.orders;
    }
  }
  const std::string disk_error = co_await save_orders(std::move(lines));
  if (!disk_error.empty()) {
    run->result.outcome = Outcome::kFailed;
    run->result.lines.push_back(
        "in force, but not written down: a restart before that succeeds forgets it: " + disk_error);
  }
  const std::uint64_t losses = publisher_.losses();
  enter_verb(*run);
  act_on_orders(*run);
  co_await deliver(losses, &run->result);
}

void Engine::act_on_orders(VerbRun& run) {
  for (const PlannedChange& change : run.changes) {
    const auto place = roster_.find(change.name);
    if (!place) {
      continue;
    }
    const Roster::Outcome outcome = roster_.apply(*place, change.order, now());
    act_on(outcome);
    if (outcome.changes.empty() && change.order.event) {
      tell(*place);  // the terms alone changed
    }
    run.result.lines.push_back(label(change.name) + " is " + change.line);
    parts_.log.event(Severity::kInfo,
                     run.verb,
                     {{"service", change.name.first},
                      {"backend", change.name.second},
                      {"now", change.line},
                      {"who", run.caller.who},
                      {"reason", run.caller.reason},
                      {"forced", run.overridden}});
  }
}

// Dispositions first, since they stop new flows at once; a generation takes a table to build.
asio::awaitable<void> Engine::deliver(std::uint64_t losses_before, VerbResult* result) {
  const auto visible = co_await publisher_.dispositions_visible(losses_before);
  if (!visible) {
    const auto& [reason, refused] = visible.error();
    result->outcome = refused ? Outcome::kRefused : Outcome::kUnreachable;
    result->lines.push_back(refused
                                ? "the dataplane refused it until its next generation: " + reason
                                : reason + kOrderLater);
    co_return;
  }
  while (publishing_reload_) {
    co_await changed_.wait();
  }
  dataplane::GenerationSpec wanted = build_wanted();
  if (!adopted_ || publisher_.runs(wanted)) {
    co_return;
  }
  const Publisher::Outcome published = co_await publisher_.publish(std::move(wanted));
  if (!published) {
    result->outcome = Outcome::kUnreachable;
    result->lines.push_back("the dataplane does not have the new weights yet: " +
                            published.error());
  }
}

void Engine::end_expired_orders() {
  if (verb_busy_ || stopping_) {
    return;
  }
  std::vector<PlannedChange> over = plan_expiry(roster_, now());
  if (!over.empty()) {
    verb_busy_ = true;
    tasks_.spawn(expire(std::move(over)));
  }
}

asio::awaitable<void> Engine::expire(std::vector<PlannedChange> changes) {
  VerbRun run{.verb = "expired",
              .caller = {.who = "ttl", .reason = ""},
              .changes = std::move(changes),
              .overridden = "",
              .result = {}};
  co_await carry_out(&run);
  verb_busy_ = false;
  changed_.notify();
}

asio::awaitable<std::string> Engine::save_orders(std::string lines) {
  const bool whole =
      std::exchange(journal_stale_, false) || journal_lines_ > kJournalSlack + 3 * orders_.size();
  std::string text = whole ? journal_of(orders_) : std::move(lines) + std::string(kJournalDone);
  const auto count = static_cast<std::size_t>(std::ranges::count(text, '\n'));
  journal_lines_ = whole ? count : journal_lines_ + count;
  auto save = [path = directory_ + "/orders", text = std::move(text), whole] {
    return whole ? write_durably(path, text) : append_durably(path, text);
  };
  const auto saved = co_await offload(parts_.disk, std::move(save));
  orders_unsaved_ = saved ? "" : saved.error();
  if (!saved) {
    journal_stale_ = true;
    orders_again_ = parts_.clock.now() + kSaveAgain;
    note_disk(saved.error());
  }
  co_return orders_unsaved_;
}

asio::awaitable<void> Engine::save_orders_again() {
  if (co_await save_orders(""); orders_unsaved_.empty()) {
    parts_.log.event(Severity::kInfo, "orders.saved", {});
  }
}

}  // namespace holdfast::control
