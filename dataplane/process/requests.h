// SPDX-License-Identifier: Apache-2.0
// What the seam's requests do (dataplane.proto). Main thread; every request is answered at once.
#pragma once

#include "dataplane.pb.h"
#include "dataplane/process/counters.h"
#include "dataplane/process/flow_walks.h"
#include "dataplane/process/publisher.h"
#include "dataplane/process/server.h"
#include "dataplane/process/vip_routes.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace holdfast::dataplane {

// What a hello is answered with, besides what the publisher knows.
struct HelloFacts {
  StartupSpec startup;
  std::string version;
  std::uint64_t start_monotonic_ns = 0;
  AdoptionReport adoption;
  std::function<std::vector<std::string>()> notices;
};

class Requests {
 public:
  // `published` is called after each publication, before the reply.
  Requests(Publisher& publisher,
           Counters& counters,
           HelloFacts facts,
           std::function<void()> published);

  // `offer` brings the kernel's routes in line with the publisher's routed VIPs.
  void set_routes(const VipRoutes& routes, std::function<void()> offer);

  // `take` makes the node what it is told to be. Without it the node is alone.
  void set_roles(std::function<void(Role)> take) { take_role_ = std::move(take); }

  // Without it nothing is known of flows.
  void set_walks(FlowWalks& walks) { walks_ = &walks; }

  void handle(const seam::Request& request, Access access, seam::Reply& reply);

 private:
  void hello(Access access, seam::Reply& reply) const;
  void publish(const seam::Publish& request, seam::Reply& reply);
  void set_disposition(const seam::SetDisposition& request, seam::Reply& reply);
  void get_generation(seam::Reply& reply) const;
  void set_vips(const seam::SetRoutes& request, seam::Reply& reply);
  void set_role(const seam::SetRole& request, seam::Reply& reply);
  void walk(const seam::Request& request, seam::Reply& reply);

  Publisher& publisher_;
  Counters& counters_;
  HelloFacts facts_;
  std::function<void()> published_;
  const VipRoutes* routes_ = nullptr;  // null: the start-up specification has none
  std::function<void()> offer_routes_;
  std::function<void(Role)> take_role_;
  FlowWalks* walks_ = nullptr;
};

}  // namespace holdfast::dataplane
