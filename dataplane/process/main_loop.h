// SPDX-License-Identifier: Apache-2.0
// The running process: workers, and on the main thread everything that they must not wait for: the
// seam, netlink, the nft table, announcements, resolution, liveness, systemd. Built from what
// boot.h left; ends at SIGTERM or SIGINT.
#pragma once

#include "dataplane/process/announcer.h"
#include "dataplane/process/boot.h"
#include "dataplane/process/counters.h"
#include "dataplane/process/flow_walks.h"
#include "dataplane/process/handover.h"
#include "dataplane/process/kernel_thread.h"
#include "dataplane/process/neighbor_mirror.h"
#include "dataplane/process/nft_ingress.h"
#include "dataplane/process/poll_loop.h"
#include "dataplane/process/process.h"
#include "dataplane/process/publisher.h"
#include "dataplane/process/quiescence.h"
#include "dataplane/process/requests.h"
#include "dataplane/process/server.h"
#include "dataplane/process/vip_routes.h"
#include "dataplane/process/worker.h"
#include "dataplane/receive_spread.h"
#include "dataplane/rehash.h"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace holdfast::dataplane {

class MainLoop {
 public:
  // What needs no tables. Requires: `booted` as boot() left it.
  static Result<std::unique_ptr<MainLoop>> create(const ProcessOptions& options, Booted booted);
  ~MainLoop();

  // Frees what has come by the ports: it is the predecessor's. Before the workers run.
  void discard_received();
  // The generation of before and the flows are in force; no worker runs.
  void take_tables();
  // Each has come round once. Once they run without one.
  void start_workers();
  // Answers the seam, netlink and signals from run() on. Requires: take_tables() has run.
  void serve();
  // Starts the workers that do not run, serves until a signal, stops in order.
  void run();

 private:
  MainLoop(const ProcessOptions& options, Booted booted);
  Result<void> open_descriptors();

  void start_publisher();
  void foresee_queues();
  [[nodiscard]] Ownership ownership() const;
  void take_former();
  void follow_cards();
  void note_ended(const RehashReport& report, std::string_view changed);
  void adopt_tables();
  void start_server();
  Result<void> start_kernel_thread();
  void pin_workers();
  void stop_workers();
  void watch_everything();
  void await_successor();
  [[nodiscard]] std::string objection_to_handover() const;
  [[nodiscard]] std::array<int, kHandedOverCount> handed_over() const;

  [[nodiscard]] std::vector<Link> port_links() const;

  [[nodiscard]] std::vector<std::string> notices() const;
  void published();
  void note_members();
  void protect_addresses();
  void begin_role();
  void take_role(Role role);
  void offer_routes();
  void note_routes_problem();
  void mend_routes();
  void withdraw_routes();
  void watch_guard();
  void take_worker_notices();
  void tell_refusal(MemberId id);
  void take_netlink();
  void take_link_changes();
  void watch_links();
  void tend_bonds() const;
  void refresh_neighborhood();
  void take_unresolved(const Address& next_hop);
  enum class Ask : std::uint8_t { kMissing, kAll };
  void resolve_next_hops(Ask ask);
  void tick();
  void check_liveness();
  void end_drains();

  const ProcessOptions options_;
  Booted booted_;
  FlowHasher hasher_;
  std::unique_ptr<const ReceiveSpread> spread_;  // null where no card's queues are foreseen
  Quiescence quiescence_;
  WorkerSurroundings surroundings_;
  Descriptor signals_;
  Descriptor wake_;
  std::unique_ptr<NeighborMirror> mirror_;  // null where the kernel has no interface of ours
  std::vector<bool> carriers_;              // by port, as the twins were told
  std::unique_ptr<Publisher> publisher_;
  std::unique_ptr<DispatchRings> rings_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Counters> counters_;
  std::unique_ptr<FlowWalks> walks_;
  std::unique_ptr<VipRoutes> routes_;  // null without `routes`
  NftIngress nft_;
  Announcer announcer_;
  ResolutionProbe resolution_;
  PollLoop loop_;
  std::unique_ptr<Requests> requests_;
  std::unique_ptr<SeamServer> server_;
  std::unique_ptr<Handover> handover_;
  std::vector<std::thread> threads_;
  std::unique_ptr<KernelThread> kernel_thread_;  // null without twins
  AdoptionReport adoption_;
  std::uint64_t start_ns_ = 0;
  std::uint64_t last_refresh_ns_ = 0;
  std::uint64_t last_liveness_ns_ = 0;
  std::uint64_t alive_since_ns_ = 0;     // workers are not judged on silence before this
  std::uint64_t announce_again_ns_ = 0;  // 0: not
  bool stuck_ = false;                   // a worker has not come round for too long
  std::string nft_notice_;
  std::string routes_notice_;
  std::string persisted_notice_;
};

}  // namespace holdfast::dataplane
