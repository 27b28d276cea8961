// SPDX-License-Identifier: Apache-2.0
// A balancer for packet tests: two ports, routes and neighbours in place, one generation, one
// worker. send() pushes frames through every stage and checks the accounting of each burst.
// Tests only.
#pragma once

#include "dataplane/solo.h"
#include "tests/support/exact_burst.h"
#include "tests/support/frame_record.h"
#include "tests/support/packet.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::testing {

inline constexpr MacAddress kLanMac = {2, 0, 0, 0, 1, 0};
inline constexpr dataplane::PortIndex kWan = 0;
inline constexpr dataplane::PortIndex kLan = 1;
inline constexpr Endpoint kPool = {v4(10, 0, 3, 16), 0, kLanMac};
inline constexpr Endpoint kPool6 = {v6(3, 16), 0, kLanMac};

struct Arrival {
  Bytes frame;
  dataplane::PortIndex port = kWan;
};

// What became of a frame.
struct Outcome {
  dataplane::Verdict verdict = dataplane::Verdict::kPending;
  std::optional<dataplane::Drop> reason;
  dataplane::PortIndex port = 0;
  std::string backend;  // of the member, when one was involved
  Bytes bytes;
};

// Every mode there is.
std::vector<dataplane::Mode> all_modes();

// Three backends 1, 2, 3 of weight 100 (kBackend1.. and v6 counterparts), tcp/80, udp/53 and, in
// `nat`, tcp/443 -> 8080; VIPs kVip and kVip6.
dataplane::GenerationSpec three_backends(dataplane::Mode mode);

// Gives a service without ports of its own a mode and what the mode needs. In `gue` a service of
// datagrams gets a hop list, and with it no members of IPv6.
void set_mode(dataplane::ServiceSpec& service, dataplane::Mode mode);

class Appliance {
 public:
  explicit Appliance(const dataplane::GenerationSpec& spec, std::uint64_t flows = 4096);

  Outcome send(const Bytes& frame, dataplane::PortIndex port = kWan);
  Outcome send(const Packet& packet, dataplane::PortIndex port = kWan) {
    return send(packet.bytes(), port);
  }
  // All in one burst. Checks that each translated frame bears what its own flow's record says.
  std::vector<Outcome> send_burst(std::span<const Arrival> arrivals);
  std::vector<Outcome> send_burst(std::span<const Bytes> frames, dataplane::PortIndex port = kWan);
  // What became in the end of frames that were held, since the last call, in that order.
  std::vector<Outcome> released() { return std::exchange(released_, {}); }
  // Time passes without frames: what has waited too long is released.
  void wait(std::uint64_t milliseconds);

  void advance(std::uint64_t milliseconds) {
    now_ms_ += milliseconds;
    record_.pass(milliseconds);
  }
  void publish(const dataplane::GenerationSpec& spec);
  void set(std::string_view backend, dataplane::Disposition disposition);
  [[nodiscard]] dataplane::Solo& solo() { return *solo_; }
  [[nodiscard]] const dataplane::WorkerStats& stats() { return solo_->worker().stats; }
  // Flows that moved for that reason, away from any member.
  [[nodiscard]] std::uint64_t moved(dataplane::MoveCause why);

 private:
  // `came`: the frames as they came; none for released ones.
  std::vector<Outcome> outcomes(const dataplane::Burst& burst, std::span<const Bytes> came);
  void run_released();
  [[nodiscard]] std::string_view mode_of(const dataplane::Burst& burst, dataplane::Slot slot);

  std::unique_ptr<dataplane::Solo> solo_;
  SequenceRecord record_;
  std::vector<std::unique_ptr<ExactBurst>> kept_;  // the buffers of frames that were held
  std::vector<Outcome> released_;
  std::uint64_t now_ms_ = 1'000'000;
};

// The two links of every Appliance.
struct LabLinks {
  std::uint16_t wan_mtu = 1500;
  std::uint16_t lan_mtu = 1500;
  dataplane::VlanTags wan = {};
  dataplane::VlanTags lan = {};
};

// The links, routes and neighbours of every Appliance.
dataplane::Neighborhood lab_neighborhood(const LabLinks& of = {});
inline dataplane::Neighborhood lab_neighborhood(std::uint16_t wan_mtu, std::uint16_t lan_mtu) {
  return lab_neighborhood(LabLinks{.wan_mtu = wan_mtu, .lan_mtu = lan_mtu});
}

// True when a translated frame goes between the client and the pool endpoint of the record that its
// slot names, and came as that flow's frame. Requires: forwarded, record[slot] is not kNoRecord;
// the burst is the last that ran.
bool translated_by_own_record(const dataplane::Burst& burst,
                              dataplane::Slot slot,
                              dataplane::Solo& solo);

}  // namespace holdfast::testing
