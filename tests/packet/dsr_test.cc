// SPDX-License-Identifier: Apache-2.0
// Mode `dsr` through every stage: what is forwarded, to whom, byte for byte.
#include "tests/support/appliance.h"
#include "tests/support/frame_difference.h"

#include <map>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Disposition;
using dataplane::Drop;
using dataplane::FlowState;
using dataplane::Mode;
using dataplane::Verdict;

const std::map<std::string, Endpoint>& backends() {
  static const std::map<std::string, Endpoint> by_name = {
      {"1", kBackend1}, {"2", kBackend2}, {"3", kBackend3}};
  return by_name;
}

// A client whose first SYN goes to `backend`.
Endpoint client_of(Appliance& appliance, const std::string& backend, std::uint16_t from = 20000) {
  for (std::uint16_t port = from; port < from + 500; ++port) {
    const Outcome outcome = appliance.send(tcp(kClient.at_port(port), kVip).syn());
    if (outcome.backend == backend) {
      return kClient.at_port(port);
    }
  }
  ADD_FAILURE() << "no flow reached " << backend;
  return kClient;
}

TEST(Dsr, ChangesNothingButMacAddresses) {
  Appliance appliance(three_backends(Mode::kDsr));
  Packet packet = tcp(kClient, kVip).syn().ttl(1).options({1, 1, 1, 0}).payload("first");
  const Outcome outcome = appliance.send(packet);
  ASSERT_EQ(outcome.verdict, Verdict::kForward);
  EXPECT_EQ(outcome.port, kLan);
  Endpoint source = kClient;
  source.mac = kLanMac;
  Endpoint destination = kVip;
  destination.mac = backends().at(outcome.backend).mac;
  expect_same(outcome.bytes, packet.from(source).to(destination).bytes());
}

TEST(Dsr, ForwardsIpv6AndUdp) {
  Appliance appliance(three_backends(Mode::kDsr));
  EXPECT_EQ(appliance.send(tcp(kClient6, kVip6).syn()).verdict, Verdict::kForward);
  EXPECT_EQ(appliance.send(udp(kClient6, kVip6.at_port(53)).payload(9)).verdict, Verdict::kForward);
  EXPECT_EQ(appliance.send(udp(kClient, kVip.at_port(53)).payload(9)).verdict, Verdict::kForward);
}

TEST(Dsr, KeepsAnEstablishedFlowWhenItsBackendDrains) {
  Appliance appliance(three_backends(Mode::kDsr));
  const Endpoint client = client_of(appliance, "2");
  appliance.send(tcp(client, kVip).ack());
  appliance.set("2", Disposition::kKeep);
  EXPECT_EQ(appliance.send(tcp(client, kVip).ack()).backend, "2");
  for (std::uint16_t port = 1; port < 200; ++port) {
    EXPECT_NE(appliance.send(tcp(kClient.at_port(port), kVip).syn()).backend, "2");
  }
}

TEST(Dsr, ChoosesAgainForASynWhoseHalfOpenBackendTakesNoNewFlows) {
  Appliance appliance(three_backends(Mode::kDsr));
  const Endpoint client = client_of(appliance, "2");
  appliance.set("2", Disposition::kAvoid);
  EXPECT_NE(appliance.send(tcp(client, kVip).syn()).backend, "2");
}

TEST(Dsr, ASynOnAnEstablishedFlowStaysUnlessTheBackendIsDown) {
  Appliance appliance(three_backends(Mode::kDsr));
  const Endpoint client = client_of(appliance, "3");
  appliance.send(tcp(client, kVip).ack());
  appliance.set("3", Disposition::kKeep);
  EXPECT_EQ(appliance.send(tcp(client, kVip).syn()).backend, "3");
  appliance.set("3", Disposition::kAvoid);
  EXPECT_NE(appliance.send(tcp(client, kVip).syn()).backend, "3");
}

// Opens the client's flow whole.
std::string establish_at(Appliance& appliance, const Endpoint& client) {
  const std::string backend = appliance.send(tcp(client, kVip).syn()).backend;
  appliance.send(tcp(client, kVip).ack());
  return backend;
}

FlowState state_of_only_entry(Appliance& appliance) {
  for (const auto& bucket : appliance.solo().worker().tables.v4.buckets()) {
    for (const auto& entry : bucket.way) {
      if (entry.state != FlowState::kFree) {
        return entry.state;
      }
    }
  }
  return FlowState::kFree;
}

// Time passes, and the sweeper comes round.
void let_pass(Appliance& appliance, std::uint64_t seconds) {
  appliance.advance(seconds * 1000);
  for (int i = 0; i < 3; ++i) {
    appliance.send(tcp(kClient, kVip.at_port(81)).syn());  // nothing listens
    appliance.advance(2'000);
  }
}

TEST(Dsr, AForgedResetOrSynTakesNoLifeFromAFlowThatGoesOn) {
  Appliance appliance(three_backends(Mode::kDsr));
  establish_at(appliance, kClient);
  appliance.send(tcp(kClient, kVip).rst());
  appliance.send(tcp(kClient, kVip).syn());
  appliance.send(tcp(kClient, kVip).ack());
  EXPECT_EQ(state_of_only_entry(appliance), FlowState::kEstablished);
  let_pass(appliance, 3600);
  EXPECT_EQ(appliance.solo().worker().tables.v4.used(), 1U);
}

TEST(Dsr, AfterAResetNothingKeepsTheFlow) {
  Appliance appliance(three_backends(Mode::kDsr));
  establish_at(appliance, kClient);
  appliance.send(tcp(kClient, kVip).rst());
  appliance.send(tcp(kClient, kVip).rst().ack());
  let_pass(appliance, 61);
  EXPECT_EQ(appliance.solo().worker().tables.v4.used(), 0U);
}

TEST(Dsr, TheLastSegmentsOfAClosedFlowDoNotKeepIt) {
  Appliance appliance(three_backends(Mode::kDsr));
  establish_at(appliance, kClient);
  appliance.send(tcp(kClient, kVip).fin().ack());
  appliance.send(tcp(kClient, kVip).ack().payload(100));  // what was lost before
  appliance.send(tcp(kClient, kVip).fin().ack());
  appliance.send(tcp(kClient, kVip).ack());
  let_pass(appliance, 61);
  EXPECT_EQ(appliance.solo().worker().tables.v4.used(), 0U);
}

TEST(Dsr, AFlowWithAForgedFinLivesFromPacketToPacket) {
  Appliance appliance(three_backends(Mode::kDsr));
  const Endpoint client = client_of(appliance, "2");
  appliance.send(tcp(client, kVip).ack());
  appliance.send(tcp(client, kVip).fin().ack());
  appliance.set("2", Disposition::kKeep);
  for (int i = 0; i < 20; ++i) {
    let_pass(appliance, 50);
    EXPECT_EQ(appliance.send(tcp(client, kVip).ack()).backend, "2");
  }
}

TEST(Dsr, NoForgedFinOrResetAndSynMovesAFlowInUseFromADrainingBackend) {
  for (const bool with_reset : {false, true}) {
    Appliance appliance(three_backends(Mode::kDsr));
    const Endpoint client = client_of(appliance, "2");
    appliance.send(tcp(client, kVip).ack());
    appliance.set("2", Disposition::kKeep);
    for (int i = 0; i < 20; ++i) {
      const Packet end = tcp(client, kVip);
      appliance.send(with_reset ? Packet(end).rst() : Packet(end).fin().ack());
      appliance.send(tcp(client, kVip).syn());
      EXPECT_EQ(appliance.send(tcp(client, kVip).ack()).backend, "2");
      appliance.advance(4'000);
    }
  }
}

TEST(Dsr, AClosedFlowsPortIsUsedAgainElsewhereOnceItsBackendDrains) {
  Appliance appliance(three_backends(Mode::kDsr));
  const Endpoint client = client_of(appliance, "2");
  appliance.send(tcp(client, kVip).ack());
  appliance.send(tcp(client, kVip).fin().ack());
  appliance.set("2", Disposition::kKeep);
  appliance.advance(5'000);
  EXPECT_NE(appliance.send(tcp(client, kVip).syn()).backend, "2");
}

TEST(Dsr, AClosedFlowsPortIsUsedAgainAtOnceWhenItsBackendIsDown) {
  Appliance appliance(three_backends(Mode::kDsr));
  const Endpoint client = client_of(appliance, "2");
  appliance.send(tcp(client, kVip).ack());
  appliance.send(tcp(client, kVip).fin().ack());
  appliance.set("2", Disposition::kAvoid);
  EXPECT_NE(appliance.send(tcp(client, kVip).syn()).backend, "2");
}

TEST(Dsr, OnePacketIsNoFlowYetTwoAre) {
  struct Case {
    const char* what;
    Packet first;
    Packet second;
    std::size_t kept;  // after a minute
  };
  const Endpoint dns = kVip.at_port(53);
  const std::vector<Case> cases = {
      {"segments", tcp(kClient, kVip).ack(), tcp(kClient, kVip).ack(), 1},
      {"datagrams", udp(kClient, dns).payload(9), udp(kClient, dns).payload(9), 1},
      {"a FIN and the last ACK", tcp(kClient, kVip).fin().ack(), tcp(kClient, kVip).ack(), 0},
      {"resets", tcp(kClient, kVip).rst(), tcp(kClient, kVip).rst(), 0},
      {"a SYN and a reset", tcp(kClient, kVip).syn(), tcp(kClient, kVip).rst(), 0},
      {"SYNs", tcp(kClient, kVip).syn(), tcp(kClient, kVip).syn(), 0},
      {"SYN ACKs", tcp(kClient, kVip).syn().ack(), tcp(kClient, kVip).syn().ack(), 0}};
  for (const Case& one : cases) {
    Appliance appliance(three_backends(Mode::kDsr));
    const dataplane::FlowTable4& table = appliance.solo().worker().tables.v4;
    appliance.send(one.first);
    EXPECT_EQ(table.used(), 1U) << one.what;
    EXPECT_EQ(table.unproven() + table.half_open(), 1U) << one.what;
    appliance.send(one.second);
    EXPECT_EQ(table.unproven() + table.half_open(), 1U - one.kept) << one.what;
    let_pass(appliance, 60);
    EXPECT_EQ(table.used(), one.kept) << one.what;
  }
}

TEST(Dsr, ResetsTheNextPacketOfAFlowWhoseMemberIsReset) {
  Appliance appliance(three_backends(Mode::kDsr));
  const Endpoint client = client_of(appliance, "1");
  appliance.send(tcp(client, kVip).ack());
  appliance.set("1", Disposition::kReset);
  const Outcome outcome = appliance.send(tcp(client, kVip).ack().acknowledgment(777));
  EXPECT_EQ(outcome.verdict, Verdict::kReply);
  EXPECT_EQ(outcome.port, kWan);
  // Don't-fragment, id 0 and a closed window: what differs between the builder's packet and a
  // reset.
  Packet exact = tcp(kVip, client).flags(dataplane::kTcpRst).sequence(777).acknowledgment(0);
  exact.ip_byte(5, 0).ip_byte(6, 0x40).upper_byte(14, 0).upper_byte(15, 0);
  expect_same(outcome.bytes, exact.bytes());
  EXPECT_EQ(appliance.stats().resets_sent.get(), 1U);
  // Once reset, the flow is a new one.
  EXPECT_NE(appliance.send(tcp(client, kVip).syn()).backend, "1");
}

TEST(Dsr, DropsByNoBackendWhenNobodyTakesNewFlows) {
  Appliance appliance(three_backends(Mode::kDsr));
  for (const char* name : {"1", "2", "3"}) {
    appliance.set(name, Disposition::kAvoid);
  }
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).syn()).reason, Drop::kNoBackend);
}

// That nobody takes new flows is remembered; that somebody does again, is seen by the next packet.
TEST(Dsr, TheFirstBackendThatTakesNewFlowsAgainIsFoundAtOnce) {
  Appliance appliance(three_backends(Mode::kDsr));
  const auto all = [&](Disposition disposition) {
    for (const char* name : {"1", "2", "3"}) {
      appliance.set(name, disposition);
    }
  };
  std::uint16_t port = 1;
  for (const char* name : {"1", "2", "3"}) {
    all(Disposition::kAvoid);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(appliance.send(tcp(kClient.at_port(port++), kVip).syn()).reason, Drop::kNoBackend);
    }
    appliance.set(name, Disposition::kNew);
    EXPECT_EQ(appliance.send(tcp(kClient.at_port(port++), kVip).syn()).backend, name);
  }
  all(Disposition::kAvoid);
  EXPECT_EQ(appliance.send(tcp(kClient.at_port(port++), kVip).syn()).reason, Drop::kNoBackend);
  dataplane::GenerationSpec spec = three_backends(Mode::kDsr);  // all kNew
  spec.number = 2;
  appliance.publish(spec);
  EXPECT_EQ(appliance.send(tcp(kClient.at_port(port++), kVip).syn()).verdict, Verdict::kForward);
}

TEST(Dsr, RemovedBackendKeepsItsFlowsAndTakesNoNewOnes) {
  Appliance appliance(three_backends(Mode::kDsr));
  const Endpoint client = client_of(appliance, "2");
  appliance.send(tcp(client, kVip).ack());
  dataplane::GenerationSpec spec = three_backends(Mode::kDsr);
  spec.number = 2;
  for (dataplane::ServiceSpec& service : spec.services) {
    std::erase_if(service.members, [](const auto& member) { return member.backend == "2"; });
  }
  appliance.publish(spec);
  EXPECT_EQ(appliance.send(tcp(client, kVip).ack()).backend, "2");
  for (std::uint16_t port = 1; port < 200; ++port) {
    EXPECT_NE(appliance.send(tcp(kClient.at_port(port), kVip).syn()).backend, "2");
  }
}

TEST(Dsr, FlowsOutliveAChangeOfTheMode) {
  Appliance appliance(three_backends(Mode::kDsr));
  const Endpoint client = client_of(appliance, "2");
  const Bytes before = appliance.send(tcp(client, kVip).ack()).bytes;
  const Bytes before6 = appliance.send(udp(kClient6, kVip6.at_port(53)).payload(9)).bytes;
  dataplane::GenerationSpec spec = three_backends(Mode::kNat);
  spec.number = 2;
  appliance.publish(spec);
  expect_same(appliance.send(tcp(client, kVip).ack()).bytes, before);
  expect_same(appliance.send(udp(kClient6, kVip6.at_port(53)).payload(9)).bytes, before6);
  EXPECT_EQ(appliance.solo().worker().tables.nat.used(), 0U);
}

TEST(Dsr, APacketWithoutEntryGoesToNoMemberOfAnotherMode) {
  Appliance appliance(three_backends(Mode::kNat));
  dataplane::GenerationSpec spec = three_backends(Mode::kDsr);
  spec.number = 2;
  for (dataplane::ServiceSpec& service : spec.services) {
    std::erase_if(service.members, [](const auto& member) { return member.backend == "2"; });
  }
  appliance.publish(spec);
  for (std::uint16_t port = 1; port < 200; ++port) {
    EXPECT_NE(appliance.send(tcp(kClient.at_port(port), kVip).ack()).backend, "2");
  }
  EXPECT_EQ(appliance.stats().follow_previous.get(), 0U);
}

TEST(Dsr, APacketWithoutEntryFollowsThePreviousTable) {
  Appliance before(three_backends(Mode::kDsr));
  std::map<std::uint16_t, std::string> old_choice;
  for (std::uint16_t port = 1; port < 400; ++port) {
    old_choice[port] = before.send(tcp(kClient.at_port(port), kVip).ack()).backend;
  }
  // The same balancer without entries: a fourth backend comes while it knows no flow.
  Appliance appliance(three_backends(Mode::kDsr));
  dataplane::GenerationSpec spec = three_backends(Mode::kDsr);
  spec.number = 2;
  for (dataplane::ServiceSpec& service : spec.services) {
    service.members.push_back({.backend = "4", .address = v4(10, 0, 3, 14)});
  }
  appliance.publish(spec);
  for (const auto& [port, backend] : old_choice) {
    EXPECT_EQ(appliance.send(tcp(kClient.at_port(port), kVip).ack()).backend, backend);
  }
  EXPECT_GT(appliance.stats().follow_previous.get(), 20U);
}

// One service of three backends, of which the last, with the highest index, is removed and its
// index freed, as the publisher does once nothing refers to it.
struct Freed {
  Appliance appliance;
  dataplane::GenerationSpec spec;
  std::vector<std::uint16_t> ports;  // of clients whose slot was the removed backend's

  static dataplane::GenerationSpec one_service() {
    dataplane::GenerationSpec spec = three_backends(Mode::kDsr);
    spec.services.pop_back();
    return spec;
  }
  [[nodiscard]] dataplane::MemberRegistry registry(std::size_t first) const {
    return dataplane::MemberRegistry(
        const_cast<Appliance&>(appliance).solo().shared().member_records().subspan(first));
  }

  Freed() : appliance(one_service()), spec(one_service()) {
    Appliance before(spec);
    for (std::uint16_t port = 1; port < 200; ++port) {
      if (before.send(tcp(kClient6.at_port(port), kVip6).ack()).backend == "3v6") {
        ports.push_back(port);
      }
    }
    EXPECT_GT(ports.size(), 20U);
    EXPECT_EQ(appliance.solo().member_record({.index = kHighest, .epoch = 1}).backend.view(),
              "3v6");
    spec.services[0].members.pop_back();
    spec.number = 2;
    appliance.publish(spec);
    registry(0).free(kHighest);
    spec.number = 3;
  }
  static constexpr std::uint16_t kHighest = 5;
};

TEST(Dsr, APacketWithoutEntryDoesNotFollowAMemberThatIsGone) {
  Freed freed;
  freed.appliance.publish(freed.spec);
  for (const std::uint16_t port : freed.ports) {
    const Outcome outcome = freed.appliance.send(tcp(kClient6.at_port(port), kVip6).ack());
    EXPECT_EQ(outcome.verdict, Verdict::kForward);
    EXPECT_NE(outcome.backend, "3v6");
  }
  EXPECT_EQ(freed.appliance.stats().follow_previous.get(), 0U);
}

TEST(Dsr, APacketWithoutEntryDoesNotFollowAnIndexInOtherHands) {
  Freed freed;
  dataplane::ServiceSpec other = freed.spec.services[0];
  other.name = "other";
  other.bindings = {{.vip = kVip6.address, .first_port = 99, .last_port = 99}};
  other.members = {{.backend = "stranger", .address = kBackend6.address}};
  ASSERT_TRUE(freed.registry(Freed::kHighest).allocate(other, other.members[0]).has_value());
  freed.spec.services.push_back(other);
  freed.appliance.publish(freed.spec);
  for (const std::uint16_t port : freed.ports) {
    EXPECT_NE(freed.appliance.send(tcp(kClient6.at_port(port), kVip6).ack()).backend, "stranger");
  }
}

void add_backend(Appliance& appliance) {
  dataplane::GenerationSpec spec = three_backends(Mode::kDsr);
  spec.number = 2;
  for (dataplane::ServiceSpec& service : spec.services) {
    service.members.push_back({.backend = "4", .address = v4(10, 0, 3, 14)});
  }
  appliance.publish(spec);
}

TEST(Dsr, ThePreviousTableIsFollowedNoLongerThanAFlowLives) {
  Appliance appliance(three_backends(Mode::kDsr));
  appliance.send(udp(kClient, kVip.at_port(53)).payload(9));
  add_backend(appliance);
  const std::uint64_t longest = dataplane::TimeoutSpec{}.established;
  appliance.advance(longest * 1000 - 1);
  for (std::uint16_t port = 1; port < 400; ++port) {
    appliance.send(tcp(kClient.at_port(port), kVip).ack());
  }
  const std::uint64_t followed = appliance.stats().follow_previous.get();
  EXPECT_GT(followed, 20U);
  appliance.advance(1);
  for (std::uint16_t port = 1000; port < 1400; ++port) {
    appliance.send(tcp(kClient.at_port(port), kVip).ack());
  }
  EXPECT_EQ(appliance.stats().follow_previous.get(), followed);
}

TEST(Dsr, AHandshakeWithoutRoomForItsSynStaysWithOneBackendAfterAReload) {
  Appliance appliance(three_backends(Mode::kDsr), 1000);
  add_backend(appliance);
  const auto& table = appliance.solo().worker().tables.v4;
  for (std::uint32_t i = 0; i < 10 * table.capacity(); ++i) {
    Endpoint attacker = kClient;
    attacker.address = v4(100,
                          static_cast<std::uint8_t>(i >> 16),
                          static_cast<std::uint8_t>(i >> 8),
                          static_cast<std::uint8_t>(i));
    appliance.send(tcp(attacker, kVip).syn());
    if (i % 16 == 0) {  // in between, honest clients
      const Endpoint client = kClient.at_port(static_cast<std::uint16_t>(1 + i / 16));
      const std::uint64_t untracked = appliance.stats().flows_untracked.get();
      const std::string backend = appliance.send(tcp(client, kVip).syn()).backend;
      if (appliance.stats().flows_untracked.get() != untracked) {
        ASSERT_EQ(appliance.send(tcp(client, kVip).ack()).backend, backend) << i;
      }
    }
  }
  EXPECT_GT(appliance.stats().flows_untracked.get(), 0U);
}

// As long as unproven flows have their whole share: a flow from before still follows the previous
// table, though it gets no entry.
TEST(Dsr, AFloodOfSegmentsKeepsNoFlowFromItsPreviousTable) {
  Appliance before(three_backends(Mode::kDsr));
  Appliance appliance(three_backends(Mode::kDsr), 1000);
  const auto& table = appliance.solo().worker().tables.v4;
  add_backend(appliance);
  for (std::uint32_t i = 0; !table.unproven_full(); ++i) {
    Endpoint attacker = kClient;
    attacker.address = v4(100, 1, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i));
    appliance.send(tcp(attacker, kVip).ack());
  }
  const std::uint64_t followed = appliance.stats().follow_previous.get();
  for (std::uint16_t port = 1; port < 200; ++port) {
    const Endpoint client = kClient.at_port(port);
    const std::string backend = before.send(tcp(client, kVip).ack()).backend;
    EXPECT_EQ(appliance.send(tcp(client, kVip).ack()).backend, backend);
    EXPECT_EQ(appliance.send(tcp(client, kVip).ack()).backend, backend);
  }
  EXPECT_GT(appliance.stats().follow_previous.get(), followed + 20);
  EXPECT_GE(appliance.stats().flows_untracked.get(), 398U);
}

TEST(Dsr, AddingABackendMovesNoEstablishedFlow) {
  Appliance appliance(three_backends(Mode::kDsr));
  std::map<std::uint16_t, std::string> chosen;
  for (std::uint16_t port = 1; port < 500; ++port) {
    chosen[port] = appliance.send(tcp(kClient.at_port(port), kVip).syn()).backend;
    appliance.send(tcp(kClient.at_port(port), kVip).ack());
  }
  dataplane::GenerationSpec spec = three_backends(Mode::kDsr);
  spec.number = 2;
  for (dataplane::ServiceSpec& service : spec.services) {
    service.members.push_back({.backend = "4", .address = v4(10, 0, 3, 14)});
  }
  appliance.publish(spec);
  for (const auto& [port, backend] : chosen) {
    EXPECT_EQ(appliance.send(tcp(kClient.at_port(port), kVip).ack()).backend, backend);
  }
}

TEST(Dsr, DropsWhatIsTooLongForTheEgressPort) {
  Appliance appliance(three_backends(Mode::kDsr));
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).ack().payload(1461)).reason, Drop::kMtu);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).ack().payload(1460)).verdict, Verdict::kForward);
}

TEST(Dsr, ForwardsNothingThatStandsBehindTheIpPacket) {
  for (const std::size_t payload : {std::size_t{0}, std::size_t{1460}}) {
    Appliance appliance(three_backends(Mode::kDsr));
    Packet packet = tcp(kClient, kVip).ack().payload(payload);
    const std::size_t bare = packet.bytes().size();
    const Outcome outcome = appliance.send(packet.pad_to(bare + 40));
    ASSERT_EQ(outcome.verdict, Verdict::kForward);
    EXPECT_EQ(outcome.bytes.size(), bare);
  }
}

TEST(Dsr, AsksForTheNeighbourOfABackendItCannotReach) {
  dataplane::GenerationSpec spec = three_backends(Mode::kDsr);
  for (dataplane::ServiceSpec& service : spec.services) {
    service.members = {{.backend = "far", .address = v4(10, 0, 3, 99)}};
  }
  Appliance appliance(spec);
  EXPECT_EQ(appliance.send(tcp(kClient, kVip).syn()).reason, Drop::kNoNeighbor);
  const dataplane::Notices& notices = appliance.solo().worker().notices;
  ASSERT_EQ(notices.unresolved_count, 1);
  EXPECT_EQ(notices.unresolved[0], v4(10, 0, 3, 99));
}

TEST(Dsr, TwoPacketsOfANewFlowInOneBurstShareOneEntry) {
  Appliance appliance(three_backends(Mode::kDsr));
  const std::vector<Bytes> frames = {tcp(kClient, kVip).syn().bytes(),
                                     tcp(kClient, kVip).ack().bytes()};
  const auto outcomes = appliance.send_burst(frames);
  EXPECT_EQ(outcomes[0].backend, outcomes[1].backend);
  EXPECT_EQ(appliance.stats().flows_inserted.get(), 1U);
}

TEST(Dsr, AFloodOfSynsNeverTakesMoreThanItsShareAndLosesNoEstablishedFlow) {
  Appliance appliance(three_backends(Mode::kDsr), 1000);
  std::map<std::uint16_t, std::string> established;
  for (std::uint16_t port = 1; port <= 500; ++port) {
    established[port] = appliance.send(tcp(kClient.at_port(port), kVip).syn()).backend;
    appliance.send(tcp(kClient.at_port(port), kVip).ack());
  }
  const auto& table = appliance.solo().worker().tables.v4;
  for (std::uint32_t i = 0; i < 10 * table.capacity(); ++i) {
    Endpoint attacker = kClient;
    attacker.address = v4(100,
                          static_cast<std::uint8_t>(i >> 16),
                          static_cast<std::uint8_t>(i >> 8),
                          static_cast<std::uint8_t>(i));
    ASSERT_EQ(appliance.send(tcp(attacker, kVip).syn()).verdict, Verdict::kForward);
  }
  EXPECT_LE(table.half_open(), table.capacity() / 4);
  EXPECT_GT(appliance.stats().flows_untracked.get(), 0U);
  dataplane::GenerationSpec spec = three_backends(Mode::kDsr);
  spec.number = 2;
  for (dataplane::ServiceSpec& service : spec.services) {
    service.members.push_back({.backend = "4", .address = v4(10, 0, 3, 14)});
  }
  appliance.publish(spec);
  for (const auto& [port, backend] : established) {
    EXPECT_EQ(appliance.send(tcp(kClient.at_port(port), kVip).ack()).backend, backend);
  }
}

TEST(Dsr, EndsAnIdleFlowAfterItsTimeout) {
  Appliance appliance(three_backends(Mode::kDsr));
  appliance.send(tcp(kClient, kVip).syn());
  EXPECT_EQ(appliance.solo().worker().tables.v4.used(), 1U);
  for (int i = 0; i < 60; ++i) {
    appliance.advance(1000);
    appliance.send(tcp(kClient, kVip.at_port(81)).syn());  // nothing listens; time passes
  }
  EXPECT_EQ(appliance.solo().worker().tables.v4.used(), 0U);
  EXPECT_EQ(appliance.stats().flows_ended.get(), 1U);
}

}  // namespace
}  // namespace holdfast::testing
