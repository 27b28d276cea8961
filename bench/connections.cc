// SPDX-License-Identifier: Apache-2.0
// See connections.h.
#include "bench/connections.h"

#include "bench/flows.h"
#include "dataplane/headers.h"

#include <array>
#include <span>

namespace holdfast::dataplane::bench {
namespace {

constexpr std::uint8_t kTcpPush = 0x08;

enum class From : std::uint8_t { kClient, kMember };

struct Step {
  From from;
  std::uint8_t flags;
  std::uint8_t sent;      // of its own sequence space before this packet: the SYN, the FIN
  std::uint8_t received;  // of the other's, acknowledged by it
};

constexpr std::array<Step, 8> kBothSides = {{{From::kClient, kTcpSyn, 0, 0},
                                             {From::kMember, kTcpSyn | kTcpAck, 0, 1},
                                             {From::kClient, kTcpAck, 1, 1},
                                             {From::kClient, kTcpAck | kTcpPush, 1, 1},
                                             {From::kMember, kTcpAck | kTcpPush, 1, 1},
                                             {From::kClient, kTcpAck | kTcpFin, 1, 1},
                                             {From::kMember, kTcpAck | kTcpFin, 1, 2},
                                             {From::kClient, kTcpAck, 2, 2}}};
constexpr std::array<Step, 5> kClientSide = {{{From::kClient, kTcpSyn, 0, 0},
                                              {From::kClient, kTcpAck, 1, 1},
                                              {From::kClient, kTcpAck | kTcpPush, 1, 1},
                                              {From::kClient, kTcpAck | kTcpFin, 1, 1},
                                              {From::kClient, kTcpAck, 2, 2}}};

std::span<const Step> steps_of(Connections::Sides sides) {
  if (sides == Connections::Sides::kBoth) {
    return kBothSides;
  }
  return kClientSide;
}

// Initial sequence numbers: anything that differs between connections and sides.
std::uint32_t client_sequence(std::uint32_t number) { return number * 0x9e3779b1U; }
std::uint32_t member_sequence(std::uint32_t number) { return ~client_sequence(number); }

}  // namespace

Connections::Connections(Sides sides, std::uint32_t in_flight) : sides_(sides), all_(in_flight) {
  for (std::size_t i = 0; i < all_.size(); ++i) {
    begin(all_[i]);
    all_[i].waits = static_cast<std::uint8_t>(i % steps_of(sides).size());
  }
}

void Connections::begin(Connection& connection) {
  connection.number = begun_++;
  connection.client = flow_key(connection.number);
  connection.step = 0;
}

TcpFrame Connections::next() {
  while (all_[to_send_].waits > 0) {
    --all_[to_send_].waits;
    to_send_ = to_send_ + 1 == all_.size() ? 0 : to_send_ + 1;
  }
  const Connection& connection = all_[to_send_];
  sent_.push_back(static_cast<std::uint32_t>(to_send_));
  to_send_ = to_send_ + 1 == all_.size() ? 0 : to_send_ + 1;
  const Step& step = steps_of(sides_)[connection.step];
  const bool of_client = step.from == From::kClient;
  const std::uint32_t own =
      of_client ? client_sequence(connection.number) : member_sequence(connection.number);
  const std::uint32_t other =
      of_client ? member_sequence(connection.number) : client_sequence(connection.number);
  return {.key = of_client ? connection.client : connection.member,
          .flags = step.flags,
          .sequence = own + step.sent,
          .acknowledgment = (step.flags & kTcpAck) != 0 ? other + step.received : 0};
}

void Connections::seen(const Burst& burst, Slot slot) {
  Connection& connection = all_[sent_[to_see_++]];
  if (to_see_ == sent_.size()) {
    sent_.clear();
    to_see_ = 0;
  }
  if (burst.verdict[slot] != Verdict::kForward) {
    ++failed_;
    begin(connection);
    return;
  }
  if (connection.step == 0 && sides_ == Sides::kBoth) {
    learn_member(connection, burst.frame[slot]);
  }
  if (++connection.step == steps_of(sides_).size()) {
    ++completed_;
    begin(connection);
  }
}

void Connections::learn_member(Connection& connection, const Frame& syn) {
  const std::byte* at = syn.data + sizeof(EthernetHeader);
  const auto ip = load<Ipv4Header>(at);
  const auto tcp = load<TcpHeader>(at + ip.header_length());
  connection.member = {.source = Address::v4(ip.destination),
                       .destination = Address::v4(ip.source),
                       .source_port = tcp.destination_port,
                       .destination_port = tcp.source_port,
                       .protocol = Protocol::kTcp};
}

}  // namespace holdfast::dataplane::bench
