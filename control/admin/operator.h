// SPDX-License-Identifier: Apache-2.0
// What an operator can see and do: the one interface behind the HTTP API, the CLI and the metrics.
// The engine implements it, tests fake it. Called on the control thread only; views are values.
#pragma once

#include "config/model.h"
#include "dataplane/flow_filter.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace holdfast::control {

// How a verb ended; numbers are the CLI's exit codes.
enum class Outcome : std::uint8_t {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  kInvalidConfiguration = 3,
  kUnreachable = 4,
  kRefused = 5,
  kTimedOut = 6,
};

struct NamedCount {
  std::string name;
  std::uint64_t value = 0;
};

struct VerbResult {
  Outcome outcome = Outcome::kOk;
  std::vector<std::string> lines;      // what happened, or why not: one sentence each
  std::vector<std::string> members{};  // that the objects stand for: "web/a"
  std::vector<NamedCount> counts{};    // of a verb on flows
};

struct CheckView {
  std::string type;          // tcp, http, none
  std::uint64_t passed = 0;  // results since start
  std::uint64_t failed = 0;
  std::uint64_t voided = 0;  // late by our own fault, or failed locally
  std::uint32_t streak = 0;  // equal results in a row
  std::string last_layer;    // L4 / L7 / local / ""
  std::string last_reason;   // ok, refused, timeout, status, ...
  double last_duration_s = 0;
};

// Where the operator's word stands instead of the file's.
struct DriftView {
  std::string what;  // draining, maintenance, removed, "weight 20"
  std::string file;  // enabled, "weight 100"
  std::string who;
  std::string reason;
  double age_s = 0;
  std::optional<double> deadline_s;  // until a drain's deadline; negative: it is over
  std::string then;                  // reset, keep, remove; of a drain
  std::optional<double> expires_s;   // until it ends by itself
};

struct BackendView {
  std::string service;
  std::string name;
  std::string address;
  std::uint16_t port = 0;
  std::uint32_t weight = 0;  // in force; 0 also while it is down for long
  std::uint8_t tier = 0;
  std::uint32_t file_weight = 0;
  std::string admin;          // enabled, draining, maintenance, removed
  std::string health;         // unknown, up, down, damped
  std::string disposition;    // new, keep, avoid, reset, hold
  std::string cause;          // of the last change
  double since_s = 0;         // seconds since the last change
  std::uint64_t changes = 0;  // state changes since start
  CheckView check;
  double penalty = 0;                 // of its falls, fading; 0: none, or no damping
  std::optional<double> held_left_s;  // until that holds it back no more
  std::vector<DriftView> drift;
  // Until the last flow of a drain ends, by the rate at which they have been ending.
  std::optional<double> drain_estimate_s;
  // The dataplane's counters; nullopt while it does not answer.
  std::optional<std::uint64_t> flows;
  std::optional<std::uint64_t> new_flows;
  std::optional<std::uint64_t> packets_to_member;
  std::optional<std::uint64_t> bytes_to_member;
  std::optional<std::uint64_t> packets_to_client;
  std::optional<std::uint64_t> bytes_to_client;
  std::optional<std::uint64_t> refusals;  // of flows by the backend, or errors that say so; `nat`
  std::optional<std::uint64_t> last_new_flow_unix_ns;  // 0: none yet
  bool retired = false;                                // no longer configured, its flows live on
};

// One result of a check.
struct ResultView {
  std::int64_t unix_ms = 0;
  std::string result;  // "L4 refused"
  double duration_s = 0;
  double lateness_s = 0;  // by which we were late ourselves
  bool is_void = false;   // by our own fault
};

// How a backend came to be what it is.
struct WhyView {
  BackendView backend;
  std::string check;                // "tcp 10.0.3.11:80 every 1s, timeout 500ms, fall 3, rise 3"
  std::vector<ResultView> results;  // the newest first
};

// What became of a service's flows beside their ordinary ends, since the dataplane's start.
struct MovesView {
  std::vector<NamedCount> moved;  // flows that went on at another member, by cause
  std::uint64_t untracked = 0;    // packets of flows without entry that went elsewhere
  std::uint64_t reset = 0;        // flows
  std::uint64_t asked = 0;        // idle flows that were to be reset: their clients were asked
  std::uint64_t unanswered = 0;   // of these, those that did not answer
  // Of these three: flows that an operator resets.
  std::uint64_t ordered_reset = 0;
  std::uint64_t ordered_asked = 0;
  std::uint64_t ordered_unanswered = 0;
};

struct ServiceMovesView {
  std::string service;
  MovesView moves;
};

// Frames that were held back, came again, and were dropped, for whatever reason; over all workers.
struct FramesView {
  std::uint64_t held = 0;
  std::uint64_t released = 0;
  std::uint64_t dropped = 0;
};

// An entry of the ledger (engine/ledger.h): an event, and what has come of it so far.
struct EventView {
  std::uint64_t number = 0;
  std::uint64_t change = 0;  // number of its last change
  std::int64_t unix_ms = 0;
  std::string kind;
  std::string object;
  std::string who;
  std::string reason;
  std::optional<std::uint64_t> forgotten{};  // flows that a restart could not keep
  std::vector<ServiceMovesView> services{};  // those of which anything moved
  FramesView frames{};
  bool settled = false;  // nothing has come of it for a while
};

struct EventsView {
  std::uint64_t life = 0;    // which run of control numbers them
  std::uint64_t change = 0;  // number of the last change
  bool gap = false;          // some that were asked for are kept no more
  bool over = false;         // control is stopping
  std::vector<EventView> events;
};

struct ServiceView {
  std::string name;
  std::string mode;
  std::vector<std::string> vips;
  std::vector<std::string> ports;  // "tcp/80", "udp/5000-5010", "tcp/any"
  std::uint32_t slots = 0;
  std::uint32_t backends = 0;
  std::uint32_t usable = 0;  // taking new flows, with a weight
  // Over all members, retired ones too; nullopt while the dataplane does not answer.
  std::optional<std::uint64_t> flows = 0;
  std::optional<std::uint64_t> new_flows = 0;
  std::string affinity;  // "10m /24 /56": time and the prefixes of IPv4 and IPv6; empty: none
  std::optional<MovesView> moves{};  // nullopt while the dataplane does not answer
};

struct WorkerView {
  std::uint32_t worker = 0;
  std::vector<NamedCount> counters;
  std::vector<NamedCount> drops;
  std::vector<NamedCount> generated;
  std::vector<NamedCount> flows;         // by table: v4, v6, prefix_v6, nat
  std::vector<NamedCount> capacity;      // by table
  std::int64_t unaccounted = 0;          // P5; anything but 0 is a defect
  std::vector<NamedCount> affinities{};  // records, by the table whose room they share
  double busy_ratio = 0;  // of the last second, 0 to 1: the time that bursts with frames took
  double silent_s = 0;    // since its loop had last come round, when it was asked
};

struct PortView {
  std::string name;
  bool link_up = false;
  std::vector<NamedCount> counters;
};

struct ReloadView {
  std::string result;  // "", applied, unchanged, refused
  double age_s = 0;
  std::vector<std::string> lines;
};

// A revision that is taken back unless it is confirmed.
struct TrialView {
  std::uint64_t falls_back_to = 0;  // revision
  double left_s = 0;
};

struct StatusView {
  std::string version;
  std::string dataplane_version;
  bool dataplane_connected = false;
  std::uint64_t revision = 0;
  std::optional<TrialView> trial;  // of the revision
  std::uint64_t reloads_applied = 0;
  std::uint64_t reloads_refused = 0;
  std::uint64_t reloads_unchanged = 0;
  ReloadView last_reload;
  double adopted_ms = -1;  // how long the last adoption took; -1: none yet
  std::uint64_t adoption_state_changes = 0;
  std::uint64_t publish_failures = 0;
  std::uint64_t disk_errors = 0;
  double probe_lateness_p99_s = 0;
  std::uint64_t probes_skipped = 0;        // the one before was still in flight
  std::uint64_t log_lines_suppressed = 0;  // too many at once
  std::uint64_t log_lines_dropped = 0;     // written nowhere: stderr took them too slowly
  double uptime_s = 0;
  // What the dataplane says; nullopt or empty while it does not answer.
  std::optional<std::uint64_t> generation;  // acknowledged; 0: none yet
  std::optional<std::uint64_t> mbufs_available;
  std::optional<std::uint64_t> mbufs_total;
  std::optional<std::uint64_t> state_bytes;
  std::optional<std::uint64_t> guard_losses;  // of the nft table, found and put back
  std::optional<std::uint64_t> routes;  // to VIPs, as the kernel has them; nullopt: none are made
  std::optional<std::uint64_t> routes_discarded;  // packets that the machine sent to VIPs
  std::optional<DriftView> drained;               // the node as a whole
  std::string role;           // of one of a pair: active, standby; empty: alone, or not known
  std::string not_in_force;   // why the configuration is not; empty: it is
  double counters_age_s = 0;  // of the buffers, workers and ports
  std::vector<WorkerView> workers;
  std::vector<PortView> ports;
  std::vector<std::string> notices;  // degraded modes, drift: one line each
};

struct Caller {
  std::string who;     // from SO_PEERCRED: "uid=1000(ops)"
  std::string reason;  // --reason, may be empty
};

enum class AdminVerb : std::uint8_t {
  kDrain,
  kUndrain,
  kMaintenance,
  kEnable,
  kWeight,
  kMigrate,
  kClearDamping,
  kCount
};
inline constexpr std::array<std::string_view, static_cast<std::size_t>(AdminVerb::kCount)>
    kAdminVerbNames = {
        "drain", "undrain", "maintenance", "enable", "weight", "migrate", "clear-damping"};
constexpr std::string_view verb_name(AdminVerb verb) {
  return kAdminVerbNames[std::to_underlying(verb)];
}

// A verb on members. Objects: SERVICE/BACKEND, BACKEND (in every service), host:ADDRESS,
// tier:SERVICE/N, node (all there are). A migration has two: from, and to.
struct AdminRequest {
  AdminVerb verb = AdminVerb::kDrain;
  std::vector<std::string> objects;
  Caller caller;
  std::optional<std::chrono::milliseconds> deadline;  // drain, migrate; nullopt: the service's
  std::optional<config::DrainEnd> then;               // drain, migrate; nullopt: the service's
  std::optional<std::uint32_t> weight;                // weight; nullopt: the file's
  std::chrono::milliseconds ttl{0};                   // drain, maintenance, weight; 0: until undone
  bool dry_run = false;                               // say what would change
  bool force = false;                                 // below the floor too
};

// What the node as a whole is told.
enum class NodeVerb : std::uint8_t { kDrain, kUndrain, kActive, kStandby, kCount };
inline constexpr std::array<std::string_view, static_cast<std::size_t>(NodeVerb::kCount)>
    kNodeVerbNames = {"drain", "undrain", "active", "standby"};
constexpr std::string_view verb_name(NodeVerb verb) {
  return kNodeVerbNames[std::to_underlying(verb)];
}
struct NodeRequest {
  NodeVerb verb = NodeVerb::kDrain;
  Caller caller;
};

// A configuration that was accepted, as `holdfast history` lists it.
struct RevisionView {
  std::uint64_t number = 0;
  std::int64_t unix_ms = 0;  // 0: not known
  std::string who;
  std::string reason;
  std::string origin;    // "reload", "rollback to 3"; empty: not known
  bool running = false;  // what is wanted now
  std::string problem;   // why it cannot be read; empty: it can
};

// What a configuration was read of.
struct SourcesView {
  std::string name;  // "revision 3", or the main file's path
  std::vector<config::SourceFile> files;
};

struct RollbackRequest {
  std::optional<std::uint64_t> revision;  // nullopt: the one before
  Caller caller;
  bool force = false;  // also where much goes at once (control.allow_large_change)
};

// A file that is to become the configuration, instead of the one that control reads.
struct ApplyRequest {
  std::string path;  // absolute, of a file that control can read
  Caller caller;
  std::chrono::milliseconds confirm{0};  // taken back unless confirmed by then; 0: it stays
  bool force = false;                    // as of a rollback
};

struct ConfirmRequest {
  std::optional<std::uint64_t> revision;  // nullopt: whatever is in force
  Caller caller;
};

// Flows that are meant. What is not given is any.
struct FlowSelection {
  std::string service;  // a name; empty: any
  std::string backend;  // likewise, in the service
  dataplane::FlowFilter filter;
  std::string text;  // as it was given, for the log; empty: all flows
};

struct FlowsQuery {
  FlowSelection which;
  std::uint32_t limit = 1'000;  // flows that are told; all are counted
  bool count = false;           // none are told
};

struct FlowView {
  std::string service;
  std::string backend;
  std::string client;
  std::uint16_t client_port = 0;
  std::string vip;
  std::uint16_t port = 0;
  std::string protocol;  // tcp, udp
  std::string mode;
  std::string state;            // of kFlowStateNames
  std::uint32_t age_s = 0;      // since its last packet from the client; in nat of either side
  std::string pool;             // nat: the address and port that the backend knows it by
  std::uint16_t pool_port = 0;  // likewise
};

struct FlowsView {
  VerbResult result;  // not ok: nothing else is known
  std::uint64_t matched = 0;
  std::vector<FlowView> flows;
};

struct FlowsReset {
  FlowSelection which;
  Caller caller;
  bool all = false;      // whichever there are: only so without a selection
  bool dry_run = false;  // only count
};

struct FlowsMove {
  std::string service;
  std::string from;
  std::string to;
  Caller caller;
  bool dry_run = false;  // only check and count
  bool force = false;    // also to a backend that is not up or not enabled
};

class Operator {
 public:
  virtual ~Operator() = default;

  // Views are fresh to within one counter poll (<= 500 ms); they never wait for the dataplane.
  virtual StatusView status() = 0;
  virtual std::vector<ServiceView> services() = 0;
  virtual std::vector<BackendView> backends() = 0;
  // Of "SERVICE/BACKEND"; nullopt: there is none.
  virtual std::optional<WhyView> why(std::string_view object) = 0;
  // Asks the dataplane for fresh counters first, for at most `limit`.
  virtual boost::asio::awaitable<bool> refresh(std::chrono::milliseconds limit) = 0;

  // The ledger's entries that have changed since that change, at once or when there are any, but
  // within `limit`. Of another life's change: all.
  virtual boost::asio::awaitable<EventsView> events(std::uint64_t life,
                                                    std::uint64_t change,
                                                    std::chrono::milliseconds limit) = 0;

  // What the dataplane's tables have at this time.
  virtual boost::asio::awaitable<FlowsView> flows(FlowsQuery query) = 0;
  // Returns when it is known which flows are reset; that takes some seconds more.
  virtual boost::asio::awaitable<VerbResult> reset_flows(FlowsReset request) = 0;
  // Returns when they are at the other backend.
  virtual boost::asio::awaitable<VerbResult> move_flows(FlowsMove request) = 0;

  // All or nothing, idempotent. Returns when every worker sees it.
  virtual boost::asio::awaitable<VerbResult> change(AdminRequest request) = 0;
  // Idempotent. Returns when the dataplane has done it. A drain is written down, a role is not.
  virtual boost::asio::awaitable<VerbResult> order_node(NodeRequest request) = 0;
  // Re-reads the configuration; returns when the dataplane acknowledged it or it was refused.
  virtual boost::asio::awaitable<VerbResult> reload(Caller caller) = 0;

  // The revisions kept, the newest first.
  virtual boost::asio::awaitable<std::vector<RevisionView>> history() = 0;
  // Of a revision; nullopt: of the files on disk, as far as they can be read.
  virtual boost::asio::awaitable<std::expected<SourcesView, std::string>> sources(
      std::optional<std::uint64_t> revision) = 0;
  // Applies an earlier revision as a new one, whole or not at all. The file on disk stays as it is,
  // set aside until it changes or a reload is asked for.
  virtual boost::asio::awaitable<VerbResult> roll_back(RollbackRequest request) = 0;
  // What that file would change, and whether it would be refused; changes nothing.
  virtual boost::asio::awaitable<VerbResult> plan(std::string path) = 0;
  // Applies a file as a reload does, setting the one on disk aside where it is another.
  virtual boost::asio::awaitable<VerbResult> apply(ApplyRequest request) = 0;
  // What was applied to be confirmed stays. Asked again when that could not be written down, it
  // tries again.
  virtual boost::asio::awaitable<VerbResult> confirm(ConfirmRequest request) = 0;
};

}  // namespace holdfast::control
