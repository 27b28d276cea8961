// SPDX-License-Identifier: Apache-2.0
// Keeps the dataplane at what the engine wants: one publication in flight, the newest wanted one
// next, each acknowledged; dispositions at once, beside it. The dataplane serves the seam in order,
// so a disposition sent after a publication also takes effect after it. Control thread only.
#pragma once

#include "control/publish/forwarder.h"
#include "control/publish/tasks.h"

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace holdfast::control {

class Publisher {
 public:
  using Outcome = std::expected<seam::PublishReply, std::string>;
  // Told the outcome of each publication, its number first.
  using Report = std::function<void(std::uint64_t, const Outcome&)>;
  // Told which dispositions the dataplane refused, one sentence each; never empty.
  using Refusals = std::function<void(const std::vector<std::string>&)>;
  // Why dispositions are not what the workers see.
  struct Undelivered {
    std::string reason;
    bool refused = false;  // else the connection was gone or ended: an adoption follows
  };

  // Requires: `forwarder` and `tasks` outlive it; `tasks` is joined before it goes.
  Publisher(Forwarder& forwarder, Tasks& tasks, Report report, Refusals refusals);

  // After a connect: what the dataplane runs now.
  void adopt(const RunningState& running);
  // After a disconnect: what was wanted or in flight has failed; the next adoption sorts it out.
  void disconnect(const std::string& reason);

  // Asks for this generation; its number is given when it is sent, its dispositions are the newest
  // that set_disposition() has seen since. Returns at once.
  void want(dataplane::GenerationSpec generation);
  // The same, and waits until it, or a newer one, is acknowledged or has failed.
  boost::asio::awaitable<Outcome> publish(dataplane::GenerationSpec generation);

  // A member that the running generation lacks gets it with the next one.
  void set_disposition(DispositionChange change);
  // Batches of dispositions that did not arrive, or not whole, so far.
  [[nodiscard]] std::uint64_t losses() const { return losses_; }
  // Returns when every disposition so far is visible to all workers, or why one is not.
  // Requires: `losses_before` is losses() from before the first disposition that is waited for.
  boost::asio::awaitable<std::expected<void, Undelivered>> dispositions_visible(
      std::uint64_t losses_before);

  // A publication is wanted or in flight.
  [[nodiscard]] bool busy() const { return publishing_; }
  // True when the dataplane runs exactly this, dispositions aside.
  [[nodiscard]] bool runs(const dataplane::GenerationSpec& generation) const;
  // The acknowledged generation; 0: none yet.
  [[nodiscard]] std::uint64_t acknowledged() const { return acknowledged_; }
  [[nodiscard]] std::uint64_t failures() const { return failures_; }
  // Why the newest publication failed; empty when it did not, or it does not matter any more.
  [[nodiscard]] const std::string& last_failure() const { return last_failure_; }
  void forget_failure() { last_failure_.clear(); }

 private:
  using Member = std::pair<std::string, std::string>;  // service, backend
  struct Told {
    dataplane::Disposition disposition = dataplane::Disposition::kNew;
    std::chrono::milliseconds reset_in{0};
  };
  using Dispositions = std::map<Member, Told>;

  boost::asio::awaitable<void> publish_loop();
  boost::asio::awaitable<void> disposition_loop();
  boost::asio::awaitable<Outcome> send(dataplane::GenerationSpec generation);
  void refresh_dispositions(dataplane::GenerationSpec& generation) const;
  void acknowledge(dataplane::GenerationSpec generation);
  void finish(std::uint64_t sequence, std::uint64_t number, Outcome outcome);
  void lose(Undelivered what);
  void set_running(std::optional<dataplane::GenerationSpec> generation);

  Forwarder& forwarder_;
  Tasks& tasks_;
  Report report_;
  Refusals refusals_;
  Condition changed_;
  std::optional<dataplane::GenerationSpec> wanted_;
  std::uint64_t wanted_sequence_ = 0;
  std::uint64_t finished_sequence_ = 0;
  Outcome last_outcome_;
  bool publishing_ = false;
  std::optional<dataplane::GenerationSpec> running_;  // dispositions normalised
  std::set<Member> running_members_;
  std::uint64_t number_ = 0;  // the highest seen or given
  std::uint64_t acknowledged_ = 0;
  Dispositions desired_;  // of every member of the newest wanted generation
  Dispositions pending_;  // to be sent
  bool sending_ = false;
  std::uint64_t losses_ = 0;
  Undelivered last_loss_;
  std::uint64_t failures_ = 0;
  std::string last_failure_;
};

}  // namespace holdfast::control
