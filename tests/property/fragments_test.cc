// SPDX-License-Identifier: Apache-2.0
// A datagram of any size, cut anywhere, in any order and in bursts of any size, through every mode:
// each fragment reaches the same backend, and a receiver makes of them what a whole datagram would
// have become, with the same checksums.
#include "tests/support/appliance.h"
#include "tests/support/fragmenting.h"

#include <algorithm>
#include <random>
#include <set>

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace holdfast::testing {
namespace {

using dataplane::Mode;
using dataplane::Verdict;

struct SplitWay {
  Mode mode = Mode::kNat;
  bool v4 = true;
  bool member_v4 = true;
  bool tcp = false;
  std::size_t in_front = 0;  // bytes of extension headers before the cut
  std::size_t within = 0;    // and behind it
};

dataplane::GenerationSpec site(const SplitWay& way) {
  dataplane::GenerationSpec spec = three_backends(way.mode);
  for (dataplane::ServiceSpec& service : spec.services) {
    if (is_tunnel(way.mode)) {
      std::erase_if(service.members,
                    [&](const auto& member) { return member.address.is_v4() != way.member_v4; });
    }
    for (dataplane::MemberSpec& member : service.members) {
      member.inner_mac = {2, 0, 0, 0, 9, 1};
    }
    service.tunnel.vni = way.mode == Mode::kVxlan ? 77 : 0;
    service.tunnel.inner_source = {2, 0, 0, 0, 9, 0};
  }
  return spec;
}

// What follows the outer headers, behind the outer link header.
Bytes inner_of(const Bytes& sent, std::size_t overhead) {
  Bytes inner(sent.begin(), sent.begin() + 14);
  inner.insert(inner.end(), sent.begin() + static_cast<std::ptrdiff_t>(14 + overhead), sent.end());
  const bool v4 = inner[14] / 16 == 4;
  inner[12] = v4 ? 0x08 : 0x86;
  inner[13] = v4 ? 0x00 : 0xdd;
  return inner;
}

SplitWay any_way() {
  SplitWay way{.mode = *rc::gen::element(
                   Mode::kNat, Mode::kDsr, Mode::kIpip, Mode::kGue, Mode::kGre, Mode::kVxlan),
               .v4 = *rc::gen::arbitrary<bool>(),
               .tcp = *rc::gen::arbitrary<bool>()};
  way.member_v4 = is_tunnel(way.mode) ? *rc::gen::arbitrary<bool>() : way.v4;
  if (!way.v4) {
    way.in_front = *rc::gen::element(0U, 8U, 24U);
    way.within = *rc::gen::element(0U, 16U);
  }
  return way;
}

Bytes any_datagram(const SplitWay& way) {
  const Endpoint client = way.v4 ? kClient : kClient6;
  const Endpoint vip = (way.v4 ? kVip : kVip6).at_port(way.tcp ? 80 : 53);
  Packet packet = way.tcp ? tcp(client, vip).syn().tcp_options(Bytes(12, 1)) : udp(client, vip);
  if (way.in_front > 0) {
    packet.extension(60, way.in_front);
  }
  if (way.within > 0) {
    packet.extension(60, way.within);
  }
  return packet.payload(*rc::gen::inRange<std::size_t>(200, 1300)).bytes();
}

// Places to cut behind the headers; at most `most` fragments, so that all but one may wait.
std::vector<std::size_t> any_cuts(const Bytes& whole, const SplitWay& way, std::size_t most) {
  const std::size_t size = fragmentable_size(whole, way.in_front);
  const std::size_t headers = way.within + (way.tcp ? 32 : 8);
  const auto places =
      *rc::gen::container<std::set<std::size_t>>(rc::gen::inRange(headers / 8, (size - 1) / 8 + 1));
  std::vector<std::size_t> cuts;
  for (const std::size_t place : places) {
    if (cuts.size() + 1 < most) {
      cuts.push_back(place * 8);
    }
  }
  return cuts;
}

void any_order(std::vector<Bytes>& fragments) {
  std::minstd_rand random(*rc::gen::arbitrary<unsigned>() % 2'000'000'000U + 1U);
  std::ranges::shuffle(fragments, random);
}

TEST(AnyFragments, ReachOneBackendAndMakeTheWholePacket) {
  ASSERT_TRUE(rc::check("fragments go as the whole goes", [] {
    const SplitWay way = any_way();
    Appliance appliance(site(way));
    const Bytes whole = any_datagram(way);
    const std::vector<std::size_t> cuts = any_cuts(whole, way, dataplane::kHeldPerDatagram + 1);
    RC_PRE(!cuts.empty());
    std::vector<Bytes> fragments = fragments_of(whole, cuts, 1, way.in_front);
    any_order(fragments);
    std::vector<Outcome> sent;
    for (std::size_t at = 0; at < fragments.size();) {
      const std::size_t count =
          std::min(*rc::gen::inRange<std::size_t>(1, 6), fragments.size() - at);
      for (Outcome& outcome : appliance.send_burst(std::span(fragments).subspan(at, count))) {
        if (outcome.verdict != Verdict::kHold) {
          sent.push_back(std::move(outcome));
        }
      }
      std::ranges::move(appliance.released(), std::back_inserter(sent));
      at += count;
    }
    std::set<std::string> backends;
    std::vector<Bytes> inner;
    for (const Outcome& outcome : sent) {
      RC_ASSERT(outcome.verdict == Verdict::kForward);
      RC_ASSERT(checksums_hold(outcome.bytes));
      backends.insert(outcome.backend);
      inner.push_back(inner_of(outcome.bytes, overhead_of(way.mode, way.member_v4)));
    }
    RC_ASSERT(backends.size() == 1U);
    const std::optional<Bytes> together = reassemble(inner);
    RC_ASSERT(together.has_value());
    RC_ASSERT(checksums_hold(*together));
    RC_ASSERT(*together ==
              inner_of(appliance.send(whole).bytes, overhead_of(way.mode, way.member_v4)));
  }));
}

}  // namespace
}  // namespace holdfast::testing
