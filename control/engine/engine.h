// SPDX-License-Identifier: Apache-2.0
// The control plane itself: one object on one thread owns configuration, roster, orders and what
// the dataplane was told. Results, verbs, time and the connection's events come in; dispositions
// and generations go out. Disk and parsing run elsewhere (offload.h), so that probes stay on time.
//
//   engine.cc         life: start, adoption, results, passing time, stop
//   engine_reload.cc  a configuration becomes the running one, whole or not at all
//   engine_revisions.cc  those that were, and the way back to them; a file of the operator's
//   engine_plan.cc    what such a file would change
//   engine_trial.cc   a revision that is taken back unless it is confirmed
//   engine_verbs.cc   the operator's verbs on members, and their journal
//   engine_routes.cc  which VIPs are offered to others
//   engine_node.cc    what the node as a whole is told
//   engine_views.cc   what operators and metrics see
//   engine_flows.cc   the operator's verbs on flows
//   engine_ledger.cc  the events that can move flows, and what moved
#pragma once

#include "control/admin/operator.h"
#include "control/decide/ready_vips.h"
#include "control/engine/ebb.h"
#include "control/engine/event_log.h"
#include "control/engine/lateness.h"
#include "control/engine/ledger.h"
#include "control/engine/node_order.h"
#include "control/engine/plan.h"
#include "control/engine/revisions.h"
#include "control/engine/roster.h"
#include "control/engine/verb_plan.h"
#include "control/probe/prober.h"
#include "control/probe/scheduler.h"
#include "control/publish/forwarder.h"
#include "control/publish/publisher.h"
#include "control/publish/route_keeper.h"
#include "control/publish/tasks.h"

#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

namespace holdfast::control {

// What the engine begins with.
struct EngineStart {
  config::Config config;
  std::uint64_t revision = 0;          // of `config`; 0: it was not accepted before, and is saved
  std::uint64_t highest_revision = 0;  // number ever given
  RevisionAbout about;                 // of the revision
  Orders orders;
  std::size_t journal_lines = 0;      // of the orders, on disk
  bool journal_damaged = false;       // it is written anew with the next change
  std::optional<OrderStamp> drained;  // the node as a whole
  std::vector<std::string> notices;   // degraded modes found so far, for the status
  std::string config_path;
  std::string directory;
};

// What the engine stands on. Everything outlives it.
struct EngineParts {
  boost::asio::any_io_executor executor;  // the control thread
  boost::asio::any_io_executor disk;      // where blocking work runs
  boost::asio::any_io_executor reckon;    // where what takes long is reckoned
  Clock& clock;
  Prober& prober;
  Forwarder& forwarder;
  EventLog& log;
  std::function<std::int64_t()> unix_ms;
  std::function<std::uint64_t()> log_lines_dropped;  // by where the log goes; may be empty
  // For the service manager; may be empty.
  std::function<void()> on_reload_begin;
  std::function<void(const std::string& status)> on_reload_end;
};

class Engine final : public Operator, private Forwarder::Observer {
 public:
  static constexpr std::chrono::milliseconds kTick{250};
  // Probes wait for the adoption this long, so that it finds their members unjudged.
  static constexpr std::chrono::milliseconds kAdoptionWait{1'000};
  // A generation that failed is tried again after this.
  static constexpr std::chrono::seconds kPublishAgain{5};
  // A file that the dataplane refused when control itself asked is tried again after this.
  static constexpr std::chrono::seconds kFileAgain{5};
  // Orders, or a revision, that could not be written down are tried again after this.
  static constexpr std::chrono::seconds kSaveAgain{5};
  // A reload waits so long for the first counters of a connection.
  static constexpr std::chrono::seconds kCountersWait{1};
  // A reload whose answer was lost waits this long for the dataplane to come back and judge it.
  static constexpr std::chrono::seconds kVerdictWait{10};
  // It is sent so often at most: one that breaks the connection each time must not do so for ever.
  static constexpr int kSends = 2;
  // The orders' journal is written anew when it has this many lines more than it needs.
  static constexpr std::size_t kJournalSlack = 1'000;
  // An adoption that failed is tried again after the first, then later and later up to the most.
  static constexpr std::chrono::milliseconds kAdoptAgainFirst{250};
  static constexpr std::chrono::milliseconds kAdoptAgainMost{5'000};
  // Whatever a file says: a year.
  static constexpr std::uint64_t kMostConfirmMs = 365ULL * 24 * 3'600'000;

  Engine(EngineParts parts, EngineStart start);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  // Requires: stop() has returned, or the executor runs no more.
  ~Engine() override;

  // Connects, adopts, then probes and takes the file on disk as a reload.
  void start();
  // Ends everything of its own; the dataplane goes on.
  boost::asio::awaitable<void> stop();
  // SIGHUP: a reload that nobody waits for. At most one runs and one waits.
  void request_reload(Caller caller) { static_cast<void>(plan_reload(std::move(caller))); }

  StatusView status() override;
  std::vector<ServiceView> services() override;
  std::vector<BackendView> backends() override;
  std::optional<WhyView> why(std::string_view object) override;
  boost::asio::awaitable<bool> refresh(std::chrono::milliseconds limit) override;
  boost::asio::awaitable<EventsView> events(std::uint64_t life,
                                            std::uint64_t change,
                                            std::chrono::milliseconds limit) override;
  boost::asio::awaitable<FlowsView> flows(FlowsQuery query) override;
  boost::asio::awaitable<VerbResult> reset_flows(FlowsReset request) override;
  boost::asio::awaitable<VerbResult> move_flows(FlowsMove request) override;
  boost::asio::awaitable<VerbResult> change(AdminRequest request) override;
  boost::asio::awaitable<VerbResult> order_node(NodeRequest request) override;
  boost::asio::awaitable<VerbResult> reload(Caller caller) override;
  boost::asio::awaitable<std::vector<RevisionView>> history() override;
  boost::asio::awaitable<std::expected<SourcesView, std::string>> sources(
      std::optional<std::uint64_t> revision) override;
  boost::asio::awaitable<VerbResult> roll_back(RollbackRequest request) override;
  boost::asio::awaitable<VerbResult> plan(std::string path) override;
  boost::asio::awaitable<VerbResult> apply(ApplyRequest request) override;
  boost::asio::awaitable<VerbResult> confirm(ConfirmRequest request) override;

 private:
  // Who asks for the reload of the start, and after a restart of the dataplane: control itself.
  static constexpr std::string_view kStart = "start";
  static constexpr std::string_view kDataplane = "dataplane";
  // How a reload's line ends that holds until what is wanted runs.
  static constexpr std::string_view kDeliveredLater = ": it gets this when it is";

  struct ReloadRun {
    Caller caller;
    std::optional<std::uint64_t> back_to;  // a revision
    std::string path;                      // of a file that is applied
    std::chrono::milliseconds confirm{0};  // of an apply; 0: it stays
    bool force = false;                    // of both
    std::uint64_t ends_trial_of = 0;       // the revision that is taken back, while it is in force
    bool done = false;
    VerbResult result;
    // Neither of the two: the file on disk is read again.
    [[nodiscard]] bool of_the_file() const { return !back_to && path.empty(); }
  };
  // What a run read: a configuration, and how it becomes a revision.
  struct Candidate {
    config::Config config;
    RevisionAbout about;
    std::vector<std::string> notes{};  // for the answer
  };
  using ReadCandidate = std::expected<Candidate, VerbResult>;
  // What services can take by the file's weights: of members that are not down. One that nobody has
  // judged yet counts. An operator's drain changes nothing here.
  using Capacities = std::map<std::string, std::uint64_t>;
  // The revision in force stays only if somebody confirms it before the deadline, and no service
  // loses more than a fifth of what it could take meanwhile.
  struct Trial {
    Clock::TimePoint deadline;
    std::optional<Capacities> capacities;  // nullopt: not all members are judged yet
    std::string why;                       // it is taken back; empty: it is not
    bool ending = false;                   // the way back runs
    Clock::TimePoint again;                // one that failed is tried
  };

  // engine.cc
  void on_connect() override;
  void on_disconnect(const std::string& reason) override;
  void on_event(const seam::Event& event) override;
  void on_refusal(std::string_view member);
  [[nodiscard]] Instant now() const;
  boost::asio::awaitable<void> begin();
  boost::asio::awaitable<void> adopt();
  void finish_adoption(const RunningState& running);
  std::size_t take_over(const RunningState& running);
  void on_result(const CheckSpec& check, const ProbeResult& result);
  void tick();
  void plan_tick();
  void poll_counters();
  boost::asio::awaitable<void> poll_loop();
  void note_ebbs();
  void act_on(const Roster::Outcome& outcome);
  // Tells the dataplane what a member is to be, and when its drain ends.
  void tell(MemberPlace place);
  // Until the dataplane itself resets what is left of a drain; 0: never.
  [[nodiscard]] std::chrono::milliseconds reset_in(const Member& member) const;
  [[nodiscard]] dataplane::GenerationSpec build_wanted() const;
  void publish_if_needed();
  // What is wanted runs: nothing is owed any more, and no failure matters.
  void note_delivery();
  void report_publication(std::uint64_t number, const Publisher::Outcome& outcome);
  // Waits for changed_, but no longer than until `deadline`.
  boost::asio::awaitable<void> wait_until(Clock::TimePoint deadline);
  void note_disk(const std::string& error);

  // engine_reload.cc
  std::shared_ptr<ReloadRun> plan_reload(Caller caller);
  void enqueue(std::shared_ptr<ReloadRun> run);
  boost::asio::awaitable<VerbResult> result_of(std::shared_ptr<ReloadRun> run);
  boost::asio::awaitable<void> reload_loop();
  boost::asio::awaitable<VerbResult> reload_once(Caller caller);
  // What of `wanted` cannot run here without a restart, one sentence each.
  [[nodiscard]] std::vector<std::string> needing_restart(const config::Config& wanted) const;
  // What `wanted` takes away that it must say it means; empty: nothing, or it says so.
  [[nodiscard]] std::vector<std::string> large_changes_of(const config::Config& wanted);
  // Why it is refused for that.
  [[nodiscard]] std::vector<std::string> refused_as_large(const config::Config& wanted);
  boost::asio::awaitable<VerbResult> take(Candidate candidate, Caller caller);
  // The generation of `config` by what is known now.
  [[nodiscard]] dataplane::GenerationSpec build_candidate(const config::Config& config) const;
  // Publishes until the dataplane has judged it: an answer that is lost with the connection is
  // looked for in what runs after the next adoption. The error is what the verb answers.
  // Requires: `config` outlives the call.
  using Judged = std::expected<seam::PublishReply, VerbResult>;
  boost::asio::awaitable<Judged> publish_judged(const config::Config* config);
  boost::asio::awaitable<void> commit(Candidate candidate, VerbResult* result);
  // Of the dataplane that is connected.
  [[nodiscard]] std::optional<dataplane::StartupSpec> running_startup() const;
  // True when the dataplane was started with this configuration's start-up keys.
  [[nodiscard]] bool started_with(const config::Config& config) const;
  // Writes down the revision that is in force, now or, where that fails, some time later.
  boost::asio::awaitable<void> save_running();
  // Control asked, and nobody waits for the answer.
  static bool is_automatic(const Caller& caller);
  // Control asks again for a file that the dataplane refused: it is never taken unjudged, and the
  // service manager hears of it only when it ends otherwise.
  [[nodiscard]] bool is_retry(const Caller& caller) const;
  // Takes what the dataplane said of the file that control asked for itself.
  void note_refusal(const VerbResult& result, const Caller& caller);
  VerbResult finish_reload(std::string_view kind, VerbResult result, const Caller& caller);

  // engine_revisions.cc
  // A rollback, or an apply.
  boost::asio::awaitable<VerbResult> install_once(std::shared_ptr<ReloadRun> run);
  // Reads and judges what the run names.
  boost::asio::awaitable<ReadCandidate> read_candidate(std::shared_ptr<ReloadRun> run);
  // The error: what it would fall back to could not be taken.
  boost::asio::awaitable<ReadCandidate> put_on_trial(Candidate candidate,
                                                     std::chrono::milliseconds term);
  // Why `config` cannot be taken by that run; what its force overrode goes into `notes`.
  [[nodiscard]] std::expected<std::vector<std::string>, VerbResult> objections_to(
      const config::Config& config, const ReloadRun& run);
  [[nodiscard]] RevisionAbout about_now(std::string origin, const Caller& caller) const;
  // Whether control, whom nobody asked, leaves this file alone because it was set aside.
  [[nodiscard]] bool leaves_alone(const config::Config& file, const Caller& caller) const;

  // engine_plan.cc
  boost::asio::awaitable<VerbResult> plan_of(config::Config wanted);
  [[nodiscard]] MemberFlowsOf flows_by_member();

  // engine_trial.cc
  [[nodiscard]] Capacities capacities_by_name() const;
  // Of the revision that has just come in force, if it was applied to be confirmed. What was not
  // healthy `before` cannot be lost.
  void begin_trial(const Capacities& before);
  // Of the one that control starts with, whose members have to be judged first.
  void resume_trial();
  void watch_trial();
  // Why a trial ends now; empty: it does not.
  [[nodiscard]] std::string why_taken_back(const Trial& trial) const;
  [[nodiscard]] std::string trial_text(const Trial& trial) const;
  void end_trial(const Caller& caller);

  // engine_verbs.cc
  // Who asked for changes, by what, and how they ended.
  struct VerbRun {
    std::string_view verb;
    Caller caller;
    std::vector<PlannedChange> changes;
    std::string overridden;  // what `force` overrode
    VerbResult result;
  };
  // Writes the orders down, acts on those members that are still there, and waits until every
  // worker sees it. Requires: `run` outlives the call; verb_busy_.
  boost::asio::awaitable<void> carry_out(VerbRun* run);
  void act_on_orders(VerbRun& run);
  boost::asio::awaitable<void> deliver(std::uint64_t losses_before, VerbResult* result);
  void end_expired_orders();
  boost::asio::awaitable<void> expire(std::vector<PlannedChange> changes);
  // Appends the lines, or writes all orders where that is due. Returns why not, or nothing; what
  // failed is tried again until it succeeds.
  boost::asio::awaitable<std::string> save_orders(std::string lines);
  boost::asio::awaitable<void> save_orders_again();

  // engine_routes.cc
  [[nodiscard]] std::vector<OfferedService> offered_services() const;
  // Tells the dataplane which VIPs are to have a route, where it does not know.
  void offer_vips();
  void report_routes(std::size_t now, std::size_t before);
  void add_routes(std::vector<std::string>& notices) const;

  // engine_node.cc
  boost::asio::awaitable<VerbResult> take_role(NodeRequest request);
  boost::asio::awaitable<VerbResult> drain_node(NodeRequest request);
  boost::asio::awaitable<void> save_node_order();
  // After an adoption: the newest word holds, whoever has it.
  void settle_role(dataplane::Role running);
  boost::asio::awaitable<void> tell_role();

  // engine_flows.cc
  // A walk of the dataplane's over its flows, one after the other; waiting for its turn and walking
  // together have a deadline. What it makes happen is entered as `event`, if there is one.
  using Walked = std::expected<seam::CollectFlowsReply, VerbResult>;
  class WalkTurn;
  boost::asio::awaitable<Walked> walk(seam::Request request, std::optional<LedgerEvent> event);
  boost::asio::awaitable<Walked> collect(std::uint64_t number, Clock::TimePoint deadline);
  [[nodiscard]] VerbResult unwalked(const std::string& why) const;
  // Why flows should not be moved there; empty: they may.
  [[nodiscard]] std::string objection_to(const FlowsMove& request) const;

  // engine_views.cc
  // `counters`: the member's, or nullptr when there are none.
  [[nodiscard]] BackendView view_of(MemberPlace place, const seam::MemberCounters* counters) const;
  // The newest counters of this connection; an empty reply when there are none.
  [[nodiscard]] const seam::GetCountersReply& counted() const;
  void add_counters(StatusView& view) const;
  [[nodiscard]] std::vector<std::string> build_notices() const;
  // Why what is wanted is not what the dataplane forwards by; empty: it is, or nobody knows yet.
  [[nodiscard]] std::string not_in_force() const;
  void add_drift(std::vector<std::string>& notices) const;

  // engine_ledger.cc
  void enter(LedgerEvent event);
  // A member came, went or was reset by itself, and not because an operator said so.
  void enter(const StateChange& change);
  void enter_connection();
  void enter_verb(const VerbRun& run);
  void enter_reload(const Caller& caller);
  void count_moves();

  EngineParts parts_;
  std::string config_path_;
  std::string directory_;
  config::Config config_;
  std::uint64_t revision_ = 0;
  std::uint64_t highest_revision_ = 0;
  RevisionAbout about_;         // of revision_
  std::optional<Trial> trial_;  // of revision_
  // One plan at a time is made. Its coroutine may end later than the engine.
  std::shared_ptr<bool> planning_ = std::make_shared<bool>(false);
  std::string revision_unsaved_;  // why; empty: it is on disk
  Clock::TimePoint revision_again_ = Clock::TimePoint::max();
  Orders orders_;
  std::string orders_unsaved_;  // why; empty: they are on disk
  Clock::TimePoint orders_again_ = Clock::TimePoint::max();
  std::size_t journal_lines_ = 0;
  bool journal_stale_ = false;  // the next save writes it whole
  Roster roster_;
  std::vector<std::string> notices_;

  Tasks tasks_;
  Condition changed_;  // something that a coroutine of ours waits for
  Publisher publisher_;
  RouteKeeper routes_;
  std::optional<OrderStamp> drained_;  // the node as a whole
  std::string node_unsaved_;           // why; empty: it is on disk
  Clock::TimePoint node_again_ = Clock::TimePoint::max();
  std::optional<dataplane::Role> role_;  // as last told or found; nullopt: alone, or not known
  Scheduler scheduler_;
  Clock::Ticket tick_;
  bool stopping_ = false;

  Clock::TimePoint started_;
  Clock::TimePoint connected_at_;
  bool adopted_ = false;          // since the last connect
  std::uint64_t breaks_ = 0;      // of the connection, so far
  std::string adoption_failure_;  // of this connection; empty: none
  double adopted_ms_ = -1;
  std::uint64_t adoption_changes_ = 0;
  seam::HelloReply hello_;

  // The first one runs. One for the file that waits is for all who asked since the last one began.
  std::deque<std::shared_ptr<ReloadRun>> reloads_;
  bool startup_refused_ = false;  // the last reload, for its start-up keys
  // Why the dataplane refused a file that control asked for itself; empty: it did not, or an
  // operator's reload came since. Tried again, because nobody waits for the answer.
  std::string file_refusal_;
  Clock::TimePoint retry_file_ = Clock::TimePoint::max();
  std::string failure_logged_;  // of the publication that is tried again and again
  bool publishing_reload_ = false;
  bool generation_stale_ = false;  // what is wanted may differ from what runs
  Clock::TimePoint retry_publication_ = Clock::TimePoint::max();
  std::uint64_t reloads_applied_ = 0;
  std::uint64_t reloads_refused_ = 0;
  std::uint64_t reloads_unchanged_ = 0;
  ReloadView last_reload_;
  Clock::TimePoint last_reload_at_;
  bool verb_busy_ = false;
  bool walking_ = false;

  std::optional<seam::GetCountersReply> counters_;  // of this connection
  Clock::TimePoint counters_at_;
  std::map<MemberName, Ebb> ebbs_;  // of members with a drain or in maintenance
  bool polling_ = false;
  std::uint64_t polls_wanted_ = 0;
  std::uint64_t polls_begun_ = 0;
  std::uint64_t polls_answered_ = 0;  // the last one that was

  Ledger ledger_;
  std::uint64_t dataplane_pid_ = 0;       // of the one that was connected last; 0: none yet
  std::uint64_t dataplane_start_ns_ = 0;  // likewise
  Lateness lateness_;
  std::uint64_t disk_errors_ = 0;
};

}  // namespace holdfast::control
