// SPDX-License-Identifier: Apache-2.0
// `holdfast trace`: one packet through the pipeline of a configuration, with everything that
// decided its way. The packet really runs through the stages; what explains the choice of a member
// is asked of the same functions and tables that the stages use. One thread.
#pragma once

#include "control/cli/offline.h"
#include "control/cli/trace_packet.h"
#include "control/cli/trace_tunnel.h"
#include "dataplane/choose.h"
#include "dataplane/solo.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

namespace holdfast::control {

// What the packet's destination is.
enum class TraceTarget : std::uint8_t {
  kService,  // a VIP and a port that a service has
  kVip,      // a VIP, but nothing listens there
  kPool,     // an address of the NAT pool
  kOther,    // none of ours
};

// A member that the packet did not go to although it comes before the chosen one.
struct PassedOver {
  std::string backend;
  std::string why;
};

struct TraceChoice {
  std::uint32_t slot = 0;
  std::uint32_t slots = 0;
  std::uint8_t tier = 0;
  dataplane::ChosenBy by = dataplane::ChosenBy::kSlot;
  dataplane::MemberSpec member;
};

// The fields that rewriting changes.
struct TraceHeaders {
  dataplane::FlowKey key;
  std::uint8_t ttl = 0;
  dataplane::MacAddress source_mac{};
  dataplane::MacAddress destination_mac{};
};

struct TraceReport {
  TraceTarget target = TraceTarget::kOther;
  std::string service;  // with kService; so are the next two
  dataplane::BindingSpec binding;
  dataplane::Mode mode = dataplane::Mode::kNat;
  bool decided = false;  // the packet came as far as the choice of a member; then what follows
  dataplane::HashFields fields = dataplane::HashFields::kFiveTuple;
  dataplane::AffinitySpec affinity;
  std::uint64_t hash = 0;     // of those fields
  std::uint32_t usable = 0;   // members that serve the packet's family and take new flows
  std::uint32_t members = 0;  // that serve the packet's family
  KeyOrigin key = KeyOrigin::kFixed;
  std::optional<TraceChoice> choice;
  std::vector<PassedOver> passed_over;

  TraceHeaders before;
  std::optional<TraceHeaders> after;     // when it is forwarded; in a tunnel mode the outer headers
  std::uint32_t overhead = 0;            // bytes of outer headers
  std::optional<TraceTunnel> tunnel;     // what else they say
  std::string port;                      // by which it leaves then
  dataplane::VlanTags vlan;              // the tags of that port
  std::optional<std::uint16_t> mss;      // what a SYN announces then
  std::optional<std::uint32_t> too_big;  // what its sender is told to be the longest packet
  dataplane::Verdict verdict = dataplane::Verdict::kPending;
  std::optional<dataplane::Drop> reason;  // with kDrop
};

// Requires: `offline` has seen no packet.
TraceReport trace_packet(const Offline& offline, const TracePacket& packet);

// Lines of `key   value`.
std::string trace_text(const TraceReport& report);
boost::json::object trace_json(const TraceReport& report);

}  // namespace holdfast::control
