// SPDX-License-Identifier: Apache-2.0
// A hundred thousand damaged frames through every stage, in bursts, in every mode and both
// directions, over tables that are full before long. After every burst the accounting is even, each
// slot has a verdict and each drop a name, the kernel gets what came, and nothing leaves for anyone
// but the members, the clients that were heard, and whoever asked. Buffers have the exact size, so
// the address sanitizer sees a read past the end.
//
// The seed is printed; HOLDFAST_MUTATION_SEED=N tells the same again.
#include "tests/packet/icmp_quote.h"
#include "tests/support/appliance.h"
#include "tests/support/mutation.h"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <iomanip>
#include <iostream>
#include <memory>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Burst;
using dataplane::Disposition;
using dataplane::Drop;
using dataplane::GenerationSpec;
using dataplane::kBurstSize;
using dataplane::kDropCount;
using dataplane::kNoRecord;
using dataplane::Mode;
using dataplane::Slot;
using dataplane::Solo;
using dataplane::Verdict;

constexpr std::size_t kMutations = 100'000;  // over all modes

std::uint64_t mutation_seed() {
  const char* const given = std::getenv("HOLDFAST_MUTATION_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
}

std::string hex(const Bytes& bytes) {
  std::ostringstream text;
  for (const std::uint8_t byte : bytes) {
    text << std::hex << std::setw(2) << std::setfill('0') << unsigned{byte};
  }
  return text.str();
}

// What clients, neighbours and backends send when nothing is wrong.
std::vector<Bytes> valid_frames() {
  std::vector<Bytes> frames;
  for (const auto& [client, vip] : {std::pair(kClient, kVip), std::pair(kClient6, kVip6)}) {
    const Endpoint dns = vip.at_port(53);
    frames.push_back(tcp(client, vip).syn().tcp_options({2, 4, 5, 0xb4}).bytes());
    frames.push_back(tcp(client, vip).ack().payload("hello").bytes());
    frames.push_back(tcp(client, vip).fin().ack().bytes());
    frames.push_back(tcp(client, vip).rst().bytes());
    frames.push_back(tcp(client, vip.at_port(443)).syn().bytes());
    frames.push_back(udp(client, dns).payload(1).bytes());
    frames.push_back(udp(client, dns).payload(1400).bytes());
    frames.push_back(echo_request(client, vip).payload("ping").bytes());
    const Endpoint& router = client.address.is_v4() ? kFarRouter : kFarRouter6;
    frames.push_back(too_big(router, vip, quote_of(tcp(vip, client).ack(), 8)).bytes());
    frames.push_back(too_big(router, dns, quote_of(udp(dns, client).payload(40), kWhole)).bytes());
  }
  const Endpoint pool = kPool.at_port(1024);
  frames.push_back(
      too_big(kBackend1, pool, quote_of(tcp(pool, kBackend1.at_port(80)).ack(), 8)).bytes());
  frames.push_back(tcp(kClient, kVip).options({1, 1, 1, 0}).syn().bytes());
  frames.push_back(udp(kClient, kVip.at_port(53)).no_checksum().payload("q").pad_to(60).bytes());
  frames.push_back(udp(kClient6, kVip6.at_port(53)).extension(0, 8).extension(60, 16).bytes());
  frames.push_back(tcp(kClient6, kVip6).fragment(0, false).syn().bytes());
  frames.push_back(tcp(kBackend1, kPool.at_port(1024)).syn().ack().bytes());
  frames.push_back(tcp(kBackend1, kClient).ack().bytes());
  frames.push_back(arp_request(kClient, kVip.address));
  const Endpoint group = solicited_nodes(kVip6.address);
  frames.push_back(neighbor_solicitation(kClient6, group, kVip6.address).bytes());
  return frames;
}

// The IP destination of a frame, outermost; nullopt for what is no IP.
std::optional<Address> destination_of(const Bytes& frame) {
  const std::size_t network = network_offset(frame);
  if (network + 40 <= frame.size() && frame[network] >> 4 == 6) {
    return Address::v6(std::as_bytes(std::span(frame)).data() + network + 24);
  }
  if (network + 20 <= frame.size() && frame[network] >> 4 == 4) {
    const std::size_t at = network + 16;
    return v4(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
  }
  return std::nullopt;
}

std::optional<Address> source_of(const Bytes& frame) {
  Bytes turned = frame;
  const std::size_t network = network_offset(frame);
  const bool v4 = network < frame.size() && frame[network] >> 4 == 4;
  const auto at = static_cast<std::ptrdiff_t>(network + (v4 ? 12U : 8U));
  const std::ptrdiff_t size = v4 ? 4 : 16;
  if (static_cast<std::size_t>(at + 2 * size) > frame.size()) {
    return std::nullopt;
  }
  std::rotate(turned.begin() + at, turned.begin() + at + size, turned.begin() + at + 2 * size);
  return destination_of(turned);
}

MacAddress mac_at(const Bytes& frame, std::size_t at) {
  MacAddress mac{};
  if (at + mac.size() <= frame.size()) {
    std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(at), mac.size(), mac.begin());
  }
  return mac;
}

// What a backend would send back: MACs, addresses and ports change places, and every checksum stays
// right by that.
Bytes answer_to(const Bytes& frame) {
  Bytes answer = frame;
  const std::size_t network = network_offset(frame);
  const bool v4 = network < frame.size() && frame[network] >> 4 == 4;
  const auto swap = [&](std::size_t at, std::size_t size) {
    if (at + 2 * size <= answer.size()) {
      const auto from = answer.begin() + static_cast<std::ptrdiff_t>(at);
      const auto half = static_cast<std::ptrdiff_t>(size);
      std::swap_ranges(from, from + half, from + half);
    }
  };
  swap(0, 6);
  swap(network + (v4 ? 12U : 8U), v4 ? 4 : 16);
  swap(network + (v4 ? 20U : 40U), 2);
  return answer;
}

GenerationSpec generation(Mode mode) {
  GenerationSpec spec = three_backends(mode);
  if (mode != Mode::kNat) {
    for (dataplane::ServiceSpec& service : spec.services) {
      set_mode(service, mode);
    }
  }
  return spec;
}

class Storm {
 public:
  Storm(Mode mode, std::uint64_t seed)
      : mutator_(seed),
        spec_(generation(mode)),
        solo_(Solo::create(spec_,
                           lab_neighborhood(),
                           {.key = {1, 2, 3}, .flows = 64, .check_macs = mutator_.below(2) == 0})
                  .value()) {
    for (const dataplane::ServiceSpec& service : spec_.services) {
      for (const dataplane::MemberSpec& member : service.members) {
        members_.insert(member.address);
        member_macs_.insert(solo_->neighborhood().resolve(member.address).destination);
      }
      for (const dataplane::BindingSpec& binding : service.bindings) {
        vips_.insert(binding.vip);
      }
    }
  }

  // One burst. True when everything held.
  bool run_burst();
  [[nodiscard]] const dataplane::WorkerStats& stats() { return solo_->worker().stats; }

 private:
  Bytes next_frame();
  void disturb();
  void run(Burst& burst);
  void check(const Burst& burst, Slot i, const Bytes& before);
  void check_forwarded(const Bytes& after);
  static void check_reply(const Bytes& before, const Bytes& after);

  Mutator mutator_;
  GenerationSpec spec_;
  std::unique_ptr<Solo> solo_;
  const std::vector<Bytes> valid_ = valid_frames();
  std::deque<Bytes> sent_;
  std::set<Address> members_;
  std::set<Address> vips_;
  std::set<Address> heard_;
  std::set<MacAddress> member_macs_;
  std::vector<std::unique_ptr<ExactBurst>> buffers_;  // while a frame of theirs is held
  Burst released_;
  std::uint64_t now_ms_ = 1'000'000;
};

Bytes Storm::next_frame() {
  const bool back = !sent_.empty() && mutator_.below(4) == 0;
  Bytes frame =
      back ? answer_to(sent_[mutator_.below(sent_.size())]) : valid_[mutator_.below(valid_.size())];
  const std::size_t port = network_offset(frame) + (frame[14] >> 4 == 4 ? 20U : 40U);
  if (!back && port < frame.size() && mutator_.below(2) == 0) {
    frame[port] ^= static_cast<std::uint8_t>(mutator_.below(256));  // of another flow
  }
  mutator_.mutate(frame);
  return frame;
}

// Time passes, and backends come and go.
void Storm::disturb() {
  now_ms_ += mutator_.below(8) == 0 ? mutator_.below(20'000) : mutator_.below(3);
  if (mutator_.below(16) == 0) {
    const auto& service = spec_.services[mutator_.below(spec_.services.size())];
    const auto& member = service.members[mutator_.below(service.members.size())];
    solo_->set_disposition(
        service.name, member.backend, static_cast<Disposition>(mutator_.below(4)));
  }
}

bool Storm::run_burst() {
  disturb();
  std::vector<Bytes> frames;
  while (frames.size() < kBurstSize) {
    frames.push_back(next_frame());
    if (const auto source = source_of(frames.back())) {
      heard_.insert(*source);
    }
  }
  auto burst = std::make_unique<ExactBurst>(
      frames,
      Room{.head = static_cast<std::uint16_t>(mutator_.below(2) == 0 ? 128 : mutator_.below(90)),
           .tail = static_cast<std::uint16_t>(mutator_.below(64)),
           .beyond = mutator_.below(8) == 0 ? 300U : 0U});
  for (Slot i = 0; i < kBurstSize; ++i) {
    burst->frame(i).port = mac_at(frames[i], 0) == kLanMac ? kLan : kWan;
  }
  run(**burst);
  buffers_.push_back(std::move(burst));
  while (solo_->take_released(released_)) {
    run(released_);
  }
  dataplane::WorkerStats& stats = solo_->worker().stats;
  if (stats.held.get() == stats.released.get()) {
    buffers_.clear();
  }
  stats.transmitted.set(stats.forwarded.get() + stats.replied.get());
  EXPECT_EQ(unaccounted(stats), 0U);
  solo_->worker().notices.clear();
  return !::testing::Test::HasFailure();
}

Bytes bytes_of(const dataplane::Frame& frame) {
  const auto* const at = reinterpret_cast<const std::uint8_t*>(frame.data);
  return {at, at + frame.contiguous};
}

void Storm::run(Burst& burst) {
  std::vector<Bytes> before;
  for (Slot i = 0; i < burst.size; ++i) {
    before.push_back(bytes_of(burst.frame[i]));
  }
  solo_->run(burst, now_ms_);
  for (Slot i = 0; i < burst.size; ++i) {
    SCOPED_TRACE("frame " + hex(before[i]) + " -> " + hex(bytes_of(burst.frame[i])));
    check(burst, i, before[i]);
  }
}

void Storm::check(const Burst& burst, Slot i, const Bytes& before) {
  const Bytes after = bytes_of(burst.frame[i]);
  switch (burst.verdict[i]) {
    case Verdict::kDrop:
      ASSERT_LT(burst.reason[i], Drop::kCount);
      EXPECT_FALSE(drop_name(burst.reason[i]).empty());
      return;
    case Verdict::kForward:
      EXPECT_TRUE(burst.record[i] == kNoRecord || translated_by_own_record(burst, i, *solo_));
      check_forwarded(after);
      sent_.push_back(after);
      if (sent_.size() > 32) {
        sent_.pop_front();
      }
      return;
    case Verdict::kReply:
      check_reply(before, after);
      return;
    case Verdict::kKernel:
    case Verdict::kHold:
      if (!solo_->forwarding().check_macs) {
        return;  // a frame to a group is then taken for one to us
      }
      EXPECT_EQ(after, before);
      return;
    case Verdict::kPending:
      break;
  }
  ADD_FAILURE() << "a slot without a verdict";
}

// To a member by its address, to a member by its MAC address, or to a client that was heard.
void Storm::check_forwarded(const Bytes& after) {
  const std::optional<Address> destination = destination_of(after);
  if (!destination) {
    ADD_FAILURE() << "forwarded what is no IP";
    return;
  }
  const MacAddress mac = mac_at(after, 0);
  if (members_.contains(*destination) || vips_.contains(*destination)) {
    EXPECT_TRUE(member_macs_.contains(mac));
  } else {
    EXPECT_TRUE(heard_.contains(*destination)) << "to " << destination->text();
    EXPECT_EQ(mac, kRouterMac);
  }
}

// To the station that asked: its address stands in the Ethernet header, in ARP or in the option of
// a solicitation; one that has no address yet is answered to all nodes (RFC 4861 §7.2.4).
void Storm::check_reply(const Bytes& before, const Bytes& after) {
  constexpr MacAddress kAllNodes = {0x33, 0x33, 0, 0, 0, 1};
  const MacAddress to = mac_at(after, 0);
  EXPECT_TRUE(to == kAllNodes || !std::ranges::search(before, to).empty())
      << "answered to somebody else";
}

// Reasons that only a missing neighbour, a full ring, a full pool or a reset member bring about.
constexpr std::size_t kReasonsExpected = 18;

TEST(Mutations, OfValidFramesAreAccountedForInEveryMode) {
  const std::uint64_t first = mutation_seed();
  std::cout << "HOLDFAST_MUTATION_SEED=" << first << '\n';
  std::array<std::uint64_t, kDropCount> drops{};
  std::uint64_t frames = 0;
  const auto modes = all_modes();
  for (const Mode mode : modes) {
    Storm storm(mode, first + static_cast<std::uint64_t>(mode));
    for (std::size_t done = 0; done < kMutations / modes.size() + kBurstSize; done += kBurstSize) {
      ASSERT_TRUE(storm.run_burst()) << mode_name(mode) << ", frame " << done;
    }
    frames += storm.stats().received.get();
    EXPECT_GT(storm.stats().forwarded.get(), 500U) << mode_name(mode);
    for (std::size_t i = 0; i < drops.size(); ++i) {
      drops[i] += storm.stats().drops[i].get();
    }
  }
  const auto reasons = std::ranges::count_if(drops, [](std::uint64_t count) { return count > 0; });
  std::cout << frames << " mutated frames, " << reasons << " reasons to drop\n";
  EXPECT_GE(frames, kMutations);
  EXPECT_GE(static_cast<std::size_t>(reasons), kReasonsExpected);
}

}  // namespace
}  // namespace holdfast::testing
