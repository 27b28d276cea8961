// SPDX-License-Identifier: Apache-2.0
// Fragments through every stage, in every mode and both families. A slow receiver puts what came
// out together again: it must be the packet that a whole datagram would have become.
#include "dataplane/checksum.h"
#include "tests/packet/icmp_quote.h"
#include "tests/packet/nat_flow.h"
#include "tests/support/appliance.h"
#include "tests/support/fragmenting.h"

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <tuple>

#include <gmock/gmock.h>

namespace holdfast::testing {
namespace {

using dataplane::Disposition;
using dataplane::Drop;
using dataplane::GenerationSpec;
using dataplane::Mode;
using dataplane::Verdict;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Field;

constexpr std::size_t kLink = 14;

GenerationSpec site(Mode mode, bool member_v4) {
  GenerationSpec spec = three_backends(mode);
  for (dataplane::ServiceSpec& service : spec.services) {
    if (is_tunnel(mode)) {
      std::erase_if(service.members,
                    [&](const auto& member) { return member.address.is_v4() != member_v4; });
    }
    for (dataplane::MemberSpec& member : service.members) {
      member.inner_mac = {2, 0, 0, 0, 9, 1};
    }
    service.tunnel.vni = mode == Mode::kVxlan ? 77 : 0;
    service.tunnel.inner_source = {2, 0, 0, 0, 9, 0};
  }
  return spec;
}

// The client's packet in what was sent to the member, with the link header of that.
Bytes without_outer(const Bytes& sent, std::size_t overhead) {
  Bytes inner(sent.begin(), sent.begin() + kLink);
  inner.insert(
      inner.end(), sent.begin() + static_cast<std::ptrdiff_t>(kLink + overhead), sent.end());
  if (overhead > 0) {
    const bool v4 = inner[kLink] / 16 == 4;
    inner[12] = v4 ? 0x08 : 0x86;
    inner[13] = v4 ? 0x00 : 0xdd;
  }
  return inner;
}

using Parameters = std::tuple<Mode, bool, bool>;  // mode, client of IPv4, member of IPv4

class Fragments : public ::testing::TestWithParam<Parameters> {
 protected:
  [[nodiscard]] Mode mode() const { return std::get<0>(GetParam()); }
  [[nodiscard]] bool v4() const { return std::get<1>(GetParam()); }
  [[nodiscard]] bool member_v4() const { return std::get<2>(GetParam()); }
  [[nodiscard]] std::size_t overhead() const { return overhead_of(mode(), member_v4()); }
  [[nodiscard]] Endpoint client() const { return v4() ? kClient : kClient6; }
  [[nodiscard]] Endpoint vip(std::uint16_t port) const {
    return (v4() ? kVip : kVip6).at_port(port);
  }

  // What was forwarded, as the member's own packets.
  std::vector<Bytes> inner_of(const std::vector<Outcome>& outcomes) {
    std::vector<Bytes> all;
    for (const Outcome& outcome : outcomes) {
      EXPECT_EQ(outcome.verdict, Verdict::kForward)
          << (outcome.reason ? drop_name(*outcome.reason) : "");
      if (outcome.verdict == Verdict::kForward) {
        all.push_back(without_outer(outcome.bytes, overhead()));
        backends_.insert(outcome.backend);
      }
    }
    return all;
  }

  // What came out for these fragments is what comes out for the whole datagram.
  void expect_same_as_whole(const std::vector<Bytes>& came_out, const Bytes& whole) {
    const std::optional<Bytes> together = reassemble(came_out);
    ASSERT_TRUE(together.has_value());
    EXPECT_TRUE(checksums_hold(*together));
    const std::vector<Bytes> expected = inner_of({appliance_.send(whole)});
    ASSERT_EQ(expected.size(), 1U);
    EXPECT_EQ(*together, expected.front());
    EXPECT_EQ(backends_.size(), 1U) << "fragments of one datagram went to several backends";
  }

  Appliance appliance_{site(mode(), member_v4())};
  std::set<std::string> backends_;
};

TEST_P(Fragments, OfADatagramInOrderLeaveAsTheWholeWould) {
  const Bytes whole = udp(client(), vip(53)).payload(1200).bytes();
  std::vector<Bytes> came_out;
  for (const Bytes& fragment : fragments_of(whole, {400, 800}, 1)) {
    came_out.push_back(inner_of({appliance_.send(fragment)}).at(0));
  }
  expect_same_as_whole(came_out, whole);
}

TEST_P(Fragments, OfADatagramInReverseWaitForTheFirst) {
  const Bytes whole = udp(client(), vip(53)).payload(1200).bytes();
  const std::vector<Bytes> fragments = fragments_of(whole, {400, 800}, 1);
  EXPECT_EQ(appliance_.send(fragments[2]).verdict, Verdict::kHold);
  EXPECT_EQ(appliance_.send(fragments[1]).verdict, Verdict::kHold);
  std::vector<Bytes> came_out = inner_of({appliance_.send(fragments[0])});
  const std::vector<Outcome> released = appliance_.released();
  ASSERT_EQ(released.size(), 2U);
  std::ranges::move(inner_of(released), std::back_inserter(came_out));
  expect_same_as_whole(came_out, whole);
  EXPECT_EQ(appliance_.stats().held.get(), 2U);
  EXPECT_EQ(appliance_.stats().released.get(), 2U);
  EXPECT_EQ(appliance_.stats().fragments.get(), 3U);
}

TEST_P(Fragments, OfADatagramInOneBurstLeaveAsTheWholeWould) {
  const Bytes whole = udp(client(), vip(53)).payload(1200).bytes();
  std::vector<Bytes> fragments = fragments_of(whole, {8, 400, 808}, 1);
  std::swap(fragments[0], fragments[1]);
  std::vector<Outcome> outcomes = appliance_.send_burst(fragments);
  EXPECT_EQ(outcomes[0].verdict, Verdict::kHold);
  outcomes.erase(outcomes.begin());
  std::ranges::move(appliance_.released(), std::back_inserter(outcomes));
  expect_same_as_whole(inner_of(outcomes), whole);
}

TEST_P(Fragments, OfASynOpenAFlow) {
  const Bytes whole = tcp(client(), vip(80)).syn().payload(300).bytes();
  std::vector<Bytes> came_out;
  for (const Bytes& fragment : fragments_of(whole, {64, 128}, 1)) {
    came_out.push_back(inner_of({appliance_.send(fragment)}).at(0));
  }
  EXPECT_EQ(appliance_.stats().flows_inserted.get(), 1U);
  expect_same_as_whole(came_out, whole);
  EXPECT_EQ(appliance_.stats().flows_inserted.get(), 1U);
}

TEST_P(Fragments, OfInterleavedDatagramsDoNotMix) {
  const Bytes one = udp(client(), vip(53)).payload(1200).bytes();
  const Bytes other = udp(client().at_port(40001), vip(53)).payload(900).bytes();
  const std::vector<Bytes> ones = fragments_of(one, {400, 800}, 1);
  const std::vector<Bytes> others = fragments_of(other, {400, 800}, 2);
  std::vector<Outcome> of_one;
  std::vector<Outcome> of_other;
  for (std::size_t i = 0; i < 3; ++i) {
    of_one.push_back(appliance_.send(ones[i]));
    of_other.push_back(appliance_.send(others[i]));
  }
  const std::vector<Bytes> came_out = inner_of(of_other);
  backends_.clear();
  expect_same_as_whole(inner_of(of_one), one);
  EXPECT_TRUE(reassemble(came_out).has_value());
}

TEST_P(Fragments, OfOneIdentificationAndDifferentSourcesAreDifferentDatagrams) {
  Endpoint neighbour = client().at_port(41000);
  neighbour.address.bytes[15] ^= 1;
  const Bytes one = udp(client(), vip(53)).payload(1200).bytes();
  const Bytes other = udp(neighbour, vip(53)).payload(1200).bytes();
  const std::vector<Bytes> ones = fragments_of(one, {400}, 1);
  const std::vector<Bytes> others = fragments_of(other, {400}, 1);
  const std::vector<Outcome> of_one = {appliance_.send(ones[0])};
  EXPECT_EQ(appliance_.send(others[1]).verdict, Verdict::kHold);
  const std::vector<Outcome> rest = {of_one[0], appliance_.send(ones[1])};
  expect_same_as_whole(inner_of(rest), one);
  EXPECT_TRUE(appliance_.released().empty());
}

TEST_P(Fragments, AllTakeTheSameOuterEnds) {
  const Bytes whole = udp(client(), vip(53)).payload(1200).bytes();
  std::set<Bytes> ends;
  for (const Bytes& fragment : fragments_of(whole, {400, 800}, 1)) {
    const Outcome outcome = appliance_.send(fragment);
    ASSERT_EQ(outcome.verdict, Verdict::kForward);
    const std::size_t addresses = kLink + (member_v4() ? 12 : 8);
    const std::size_t ports = kLink + (member_v4() ? 20 : 40) + 4;
    const bool has_udp = mode() == Mode::kGue || mode() == Mode::kVxlan;
    const std::size_t end = has_udp ? ports : ports - 4;
    ends.insert(Bytes(outcome.bytes.begin() + static_cast<std::ptrdiff_t>(addresses),
                      outcome.bytes.begin() + static_cast<std::ptrdiff_t>(end)));
    if (overhead() > 0) {
      EXPECT_TRUE(checksums_hold(outcome.bytes)) << "outer checksums";
      if (member_v4()) {
        EXPECT_EQ(outcome.bytes[kLink + 6], 0x40) << "DF, and no fragment itself";
      }
      if (has_udp && !member_v4()) {
        EXPECT_NE(Bytes(outcome.bytes.begin() + 60, outcome.bytes.begin() + 62), (Bytes{0, 0}));
      }
    }
  }
  EXPECT_EQ(ends.size(), 1U);
}

TEST_P(Fragments, OfAnUnknownPortAreDroppedEach) {
  const std::vector<Bytes> all =
      fragments_of(udp(client(), vip(99)).payload(900).bytes(), {400}, 1);
  EXPECT_EQ(appliance_.send(all[1]).verdict, Verdict::kHold);
  EXPECT_EQ(appliance_.send(all[0]).reason, Drop::kNoService);
  EXPECT_THAT(appliance_.released(), ElementsAre(Field(&Outcome::reason, Drop::kNoService)));
}

TEST_P(Fragments, LaterOnesDoNotChangeAFlowsState) {
  appliance_.send(tcp(client(), vip(80)).syn());
  appliance_.send(tcp(client(), vip(80)).ack());
  const std::vector<Bytes> last_words =
      fragments_of(tcp(client(), vip(80)).fin().ack().payload(300).bytes(), {64}, 1);
  inner_of({appliance_.send(last_words[0])});
  appliance_.send(tcp(client(), vip(80)).syn());
  inner_of({appliance_.send(last_words[1])});
  const auto& tables = appliance_.solo().worker().tables;
  const auto doubtful = [](const auto& table) {
    std::size_t count = 0;
    for (const auto& bucket : table.buckets()) {
      count += static_cast<std::size_t>(std::ranges::count(
          bucket.way, dataplane::FlowState::kDoubtful, [](const auto& e) { return e.state; }));
    }
    return count;
  };
  EXPECT_EQ(tables.nat.half_open() + doubtful(tables.v4) + doubtful(tables.v6), 1U)
      << "the new connection is as new as before";
}

std::string name_of(const ::testing::TestParamInfo<Parameters>& test) {
  const auto [mode, v4, member_v4] = test.param;
  return std::string(dataplane::mode_name(mode)) + (v4 ? "_4" : "_6") +
         (member_v4 ? "_to_4" : "_to_6");
}

INSTANTIATE_TEST_SUITE_P(Plain,
                         Fragments,
                         ::testing::Values(Parameters{Mode::kNat, true, true},
                                           Parameters{Mode::kNat, false, false},
                                           Parameters{Mode::kDsr, true, true},
                                           Parameters{Mode::kDsr, false, false}),
                         name_of);
INSTANTIATE_TEST_SUITE_P(
    Tunnels,
    Fragments,
    ::testing::Combine(::testing::Values(Mode::kIpip, Mode::kGue, Mode::kGre, Mode::kVxlan),
                       ::testing::Bool(),
                       ::testing::Bool()),
    name_of);

// Replies of members to a pool address.
class FragmentedReplies : public ::testing::TestWithParam<bool> {
 protected:
  // The member's end of a flow, and the pool's.
  std::pair<Endpoint, Endpoint> open() {
    const bool v4 = GetParam();
    const Bytes sent =
        appliance_
            .send(udp(v4 ? kClient : kClient6, (v4 ? kVip : kVip6).at_port(53)).payload("question"))
            .bytes;
    const auto* ip = reinterpret_cast<const std::byte*>(sent.data()) + kLink;
    const std::size_t l4 = kLink + (v4 ? 20 : 40);
    const auto port = static_cast<std::uint16_t>(sent[l4] * 256 + sent[l4 + 1]);
    const Address pool = v4 ? Address::v4(dataplane::load<Be32>(ip + 12)) : Address::v6(ip + 8);
    const Address member = v4 ? Address::v4(dataplane::load<Be32>(ip + 16)) : Address::v6(ip + 24);
    return {{member, 53, kBackend1.mac}, {pool, port, kLanMac}};
  }

  Appliance appliance_{three_backends(Mode::kNat)};
};

TEST_P(FragmentedReplies, ReachTheClientAsTheWholeWould) {
  const auto [member, pool] = open();
  const Bytes whole = udp(member, pool).payload(1300).bytes();
  std::vector<Bytes> fragments = fragments_of(whole, {400, 800}, 1);
  std::ranges::reverse(fragments);
  std::vector<Bytes> came_out;
  for (const Bytes& fragment : fragments) {
    const Outcome outcome = appliance_.send(fragment, kLan);
    if (outcome.verdict == Verdict::kForward) {
      EXPECT_EQ(outcome.port, kWan);
      came_out.push_back(outcome.bytes);
    }
  }
  for (const Outcome& outcome : appliance_.released()) {
    EXPECT_EQ(outcome.verdict, Verdict::kForward);
    came_out.push_back(outcome.bytes);
  }
  const std::optional<Bytes> together = reassemble(came_out);
  ASSERT_TRUE(together.has_value());
  EXPECT_TRUE(checksums_hold(*together));
  EXPECT_EQ(*together, appliance_.send(whole, kLan).bytes);
}

TEST_P(FragmentedReplies, OfNoFlowAreDroppedEach) {
  auto [member, pool] = open();
  pool.port ^= 1;
  const std::vector<Bytes> all = fragments_of(udp(member, pool).payload(900).bytes(), {400}, 1);
  EXPECT_EQ(appliance_.send(all[0], kLan).reason, Drop::kNoNatFlow);
  EXPECT_EQ(appliance_.send(all[1], kLan).reason, Drop::kNoNatFlow);
}

std::string reply_family_of(const ::testing::TestParamInfo<bool>& test) {
  return test.param ? "v4" : "v6";
}

INSTANTIATE_TEST_SUITE_P(Families, FragmentedReplies, ::testing::Bool(), reply_family_of);

TEST(FragmentsOfNat, OfAnUnknownConnectionAreAnsweredOnce) {
  Appliance appliance(three_backends(Mode::kNat));
  const std::vector<Bytes> all =
      fragments_of(tcp(kClient, kVip).ack().payload(300).bytes(), {64, 128}, 1);
  EXPECT_EQ(appliance.send(all[0]).verdict, Verdict::kReply);
  EXPECT_EQ(appliance.send(all[1]).reason, Drop::kNoFlow);
  EXPECT_EQ(appliance.send(all[2]).reason, Drop::kNoFlow);
  EXPECT_EQ(appliance.stats().resets_sent.get(), 1U);
}

// Of an IPv6 fragment without other extension headers.
std::uint32_t id_of(const Bytes& frame) {
  const std::byte* const ip = reinterpret_cast<const std::byte*>(frame.data()) + kLink;
  return frame.at(12) == 0x08 ? dataplane::load<Be16>(ip + 4).to_host()
                              : dataplane::load<Be32>(ip + 44).to_host();
}

// Those of one client's datagrams with the ids 0 to 299, as they leave to the backend.
std::vector<std::uint32_t> ids_behind(Appliance& appliance, const Endpoint& client) {
  const Endpoint& vip = client.address.is_v4() ? kVip : kVip6;
  const Bytes whole = udp(client, vip.at_port(53)).payload(900).bytes();
  std::vector<std::uint32_t> ids;
  for (std::uint16_t id = 0; id < 300; ++id) {
    const std::vector<Bytes> all = fragments_of(whole, {400}, id);
    const Outcome first = appliance.send(all[0]);
    const Outcome second = appliance.send(all[1]);
    EXPECT_EQ(id_of(first.bytes), id_of(second.bytes));
    ids.push_back(id_of(first.bytes));
  }
  return ids;
}

class FragmentsOfNatIn : public ::testing::TestWithParam<bool> {};

TEST_P(FragmentsOfNatIn, OfClientsThatCountInStepAreNotTakenForEachOthers) {
  Appliance appliance(three_backends(Mode::kNat));
  Endpoint other = GetParam() ? kClient : kClient6;
  const std::vector<std::uint32_t> one = ids_behind(appliance, other);
  other.address.bytes[15] ^= 15;
  const std::vector<std::uint32_t> another = ids_behind(appliance, other);
  EXPECT_EQ(std::set(one.begin(), one.end()).size(), 300U) << "two of one client are one";
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_NE(one[i], another[i]) << i;
  }
}

TEST(FragmentsOfNat, AreQuotedAsTheirSenderSentThem) {
  Appliance appliance(three_backends(Mode::kNat));
  const Bytes whole = udp(kClient, kVip.at_port(53)).payload(900).bytes();
  const Bytes first = fragments_of(whole, {400}, 7).front();
  const Bytes sent = appliance.send(first).bytes;
  ASSERT_NE(id_of(sent), 7);
  const Endpoint pool = {Address::v4(dataplane::load<Be32>(
                             reinterpret_cast<const std::byte*>(sent.data()) + kLink + 12)),
                         0,
                         kLanMac};
  const Outcome error =
      appliance.send(too_big(kBackend1, pool, Bytes(sent.begin() + kLink, sent.end())), kLan);
  ASSERT_EQ(error.verdict, Verdict::kForward);
  const Bytes quote(error.bytes.begin() + kLink + 28, error.bytes.end());
  EXPECT_EQ(quote.at(4) * 256 + quote.at(5), 7);
  // But for the TTL, which the sender's first router took from as well.
  Bytes as_sent(first.begin() + kLink, first.end());
  as_sent.at(8) = quote.at(8);
  as_sent.at(10) = quote.at(10);
  as_sent.at(11) = quote.at(11);
  EXPECT_EQ(quote, as_sent);
}

INSTANTIATE_TEST_SUITE_P(Families, FragmentsOfNatIn, ::testing::Bool(), reply_family_of);

// As above; a fragment header has no checksum of its own, the message covers it.
TEST(FragmentsOfNat, AreQuotedInIpv6AsTheirSenderSentThem) {
  Appliance appliance(three_backends(Mode::kNat));
  const Packet packet = udp(kClient6, kVip6.at_port(53)).payload(900).extension(60, 8);
  for (const std::size_t unfragmentable : {0U, 8U}) {  // options before the fragment header
    const Bytes whole = packet.bytes();
    const Bytes first =
        fragments_of(
            whole, {400}, static_cast<std::uint32_t>(0x70007 + unfragmentable), unfragmentable)
            .front();
    const Bytes sent = appliance.send(first).bytes;
    const std::size_t id = kLink + 40 + unfragmentable + 4;
    EXPECT_FALSE(std::equal(first.begin() + static_cast<int>(id),
                            first.begin() + static_cast<int>(id) + 4,
                            sent.begin() + static_cast<int>(id)));
    const std::byte* const ip = reinterpret_cast<const std::byte*>(sent.data()) + kLink;
    const Endpoint pool = {Address::v6(ip + 8), 0, kLanMac};
    const Endpoint backend = {Address::v6(ip + 24), 0, kBackend6.mac};
    const Outcome error =
        appliance.send(too_big(backend, pool, Bytes(sent.begin() + kLink, sent.end())), kLan);
    ASSERT_EQ(error.verdict, Verdict::kForward);
    Bytes quote(error.bytes.begin() + kLink + 48, error.bytes.end());
    Bytes as_sent(first.begin() + kLink, first.end());
    as_sent.at(7) = quote.at(7);
    EXPECT_EQ(quote, as_sent);
    const auto* const at = reinterpret_cast<const std::byte*>(error.bytes.data()) + kLink;
    const std::size_t size = error.bytes.size() - kLink - 40;
    EXPECT_TRUE((dataplane::pseudo_header(Address::v6(at + 8),
                                          Address::v6(at + 24),
                                          dataplane::Protocol::kIcmp6,
                                          static_cast<std::uint32_t>(size)) +
                 dataplane::ChecksumSum(std::span(at + 40, size)))
                    .verifies());
  }
}

TEST(FragmentsOfNat, EachPayWithTheirOwnTtl) {
  Appliance appliance(three_backends(Mode::kNat));
  const std::vector<Bytes> all =
      fragments_of(udp(kClient, kVip.at_port(53)).payload(300).bytes(), {64}, 1);
  const std::vector<Bytes> dying =
      fragments_of(udp(kClient, kVip.at_port(53)).payload(300).ttl(1).bytes(), {64}, 1);
  EXPECT_EQ(appliance.send(all[0]).verdict, Verdict::kForward);
  EXPECT_EQ(appliance.send(dying[1]).reason, Drop::kTtlExpired);
}

TEST(FragmentsOfAFlowThatIsReset, AreAnsweredOnce) {
  Appliance appliance(three_backends(Mode::kDsr));
  ASSERT_EQ(appliance.send(tcp(kClient, kVip).syn()).verdict, Verdict::kForward);
  appliance.send(tcp(kClient, kVip).ack());
  const std::vector<Bytes> all =
      fragments_of(tcp(kClient, kVip).ack().payload(300).bytes(), {64, 128}, 1);
  EXPECT_EQ(appliance.send(all[0]).verdict, Verdict::kForward);
  for (const char* backend : {"1", "2", "3"}) {
    appliance.set(backend, Disposition::kReset);
  }
  EXPECT_EQ(appliance.send(all[1]).reason, Drop::kMemberReset);
}

TEST(FragmentsForTheKernel, StayWithIt) {
  Appliance appliance(three_backends(Mode::kNat));
  const Endpoint station = {v4(192, 0, 2, 9), 22, kOurMac};
  for (const Bytes& fragment : fragments_of(udp(kClient, station).payload(900).bytes(), {400}, 1)) {
    EXPECT_EQ(appliance.send(fragment).verdict, Verdict::kKernel);
  }
  EXPECT_EQ(appliance.stats().fragments.get(), 0U);
}

TEST(FragmentsOfAPing, AreDropped) {
  Appliance appliance(three_backends(Mode::kNat));
  for (const Bytes& fragment :
       fragments_of(echo_request(kClient, kVip).payload(900).bytes(), {400}, 1)) {
    EXPECT_EQ(appliance.send(fragment).reason, Drop::kFragment);
  }
}

TEST(FragmentsOfAnotherStation, CondemnNothing) {
  Appliance appliance(three_backends(Mode::kDsr));
  const Bytes whole = udp(kClient, kVip.at_port(53)).payload(900).bytes();
  std::vector<Bytes> all = fragments_of(whole, {400}, 1);
  Bytes foreign = fragment_of(whole, {.begin = 392, .end = 600}, true, 1);
  foreign[5] ^= 0x40;
  Bytes tagged = udp(kClient, kVip.at_port(53)).vlan(7).fragment(8, true).payload(64).bytes();
  EXPECT_EQ(appliance.send(all[0]).verdict, Verdict::kForward);
  EXPECT_EQ(appliance.send(foreign).reason, Drop::kNotOurMac);
  EXPECT_EQ(appliance.send(tagged).reason, Drop::kVlanUnknown);
  EXPECT_EQ(appliance.send(all[1]).verdict, Verdict::kForward);
}

TEST(FragmentsOfIpv6, BehindAChainAndWithHeadersWithinGoTogether) {
  Appliance appliance(three_backends(Mode::kNat));
  const Bytes whole =
      udp(kClient6, kVip6.at_port(53)).extension(0, 8).extension(60, 16).payload(1000).bytes();
  std::vector<Bytes> fragments = fragments_of(whole, {64, 512}, 0x10002, 8);
  std::ranges::reverse(fragments);
  std::vector<Bytes> came_out;
  for (const Bytes& fragment : fragments) {
    const Outcome outcome = appliance.send(fragment);
    if (outcome.verdict == Verdict::kForward) {
      came_out.push_back(outcome.bytes);
    }
  }
  for (const Outcome& outcome : appliance.released()) {
    came_out.push_back(outcome.bytes);
  }
  const std::optional<Bytes> together = reassemble(came_out);
  ASSERT_TRUE(together.has_value());
  EXPECT_TRUE(checksums_hold(*together));
  EXPECT_EQ(*together, appliance.send(whole).bytes);
}

}  // namespace
}  // namespace holdfast::testing
