// SPDX-License-Identifier: Apache-2.0
// Numbers to ICMP errors.
#include "tests/support/model/traffic_errors.h"

#include "tests/support/appliance.h"

#include <algorithm>
#include <iterator>

namespace holdfast::testing {
namespace {

// The packet that could not be delivered: whose, to whom.
struct Lost {
  Endpoint from;
  Endpoint to;
  bool tcp = true;
};

enum class Quirk : std::uint8_t {
  kFirstFragment,
  kLaterFragment,
  kOptions,
  kManyExtensions,
  kPing,
  kOtherProtocol,
  kBackwards,
  kVersion,
  kHeaderLength,
  kDamaged,
  kNoChecksum,
  kExtended,
  kNoPort,
  kSmallMtu,
  kOtherType,
  kMapped,
  kNone
};

Quirk quirk_of(const FrameOp& op) {
  return op.oddity == Oddity::kNone && op.argument % 64 < 16 ? static_cast<Quirk>(op.argument % 64)
                                                             : Quirk::kNone;
}

template <typename Map>
const typename Map::value_type* picked(const FrameOp& op, const Map& flows) {
  return flows.empty()
             ? nullptr
             : &*std::next(flows.begin(), static_cast<std::ptrdiff_t>(op.pick % flows.size()));
}

Lost answer_of(const FlowName& name, const Model& model) {
  const Binding& binding = model.bindings()[name.binding];
  return {.from = {name.vip, name.service_port, kOurMac},
          .to = {name.client, name.client_port, kRouterMac},
          .tcp = binding.spec.protocol == Protocol::kTcp};
}

Lost lost_outside(const FrameOp& op, const Model& model, const Somebody& somebody) {
  if (op.target % 4 != 3) {
    if (const auto* entry = picked(op, model.entries());
        entry != nullptr && (op.target % 2 == 0 || model.translations().empty())) {
      return answer_of(entry->first, model);
    }
    if (const auto* flow = picked(op, model.translations()); flow != nullptr) {
      return answer_of(flow->second.name, model);
    }
  }
  return {.from = somebody.vip, .to = somebody.client, .tcp = somebody.tcp};
}

Lost lost_inside(const FrameOp& op, const Model& model) {
  if (const auto* flow = picked(op, model.translations()); flow != nullptr && op.target % 8 != 7) {
    const ReplyName& reply = flow->second.reply;
    return {.from = {reply.pool, reply.pool_port, kLanMac},
            .to = {reply.member, reply.member_port, {}},
            .tcp = reply.protocol == 6};
  }
  const auto port = static_cast<std::uint16_t>(1020 + op.pick % 16);
  return op.client % 2 == 0 ? Lost{.from = kPool.at_port(port), .to = kBackend1.at_port(80)}
                            : Lost{.from = kPool6.at_port(port), .to = kBackend6.at_port(80)};
}

void make_quirky(Packet& packet, Quirk quirk, const FrameOp& op, bool v4_packet) {
  const auto number = static_cast<std::uint8_t>(op.argument / 64);
  switch (quirk) {
    case Quirk::kFirstFragment:
      packet.fragment(0, true);
      break;
    case Quirk::kLaterFragment:
      packet.fragment(static_cast<std::uint16_t>(8 + number * 8), number % 2 == 0);
      break;
    case Quirk::kOptions:
    case Quirk::kManyExtensions:
      if (v4_packet) {
        packet.options(Bytes(1U + number % 40U, 1));
        break;
      }
      for (int i = 0; i < (quirk == Quirk::kOptions ? 1 + number % 4 : 3 + number % 4); ++i) {
        packet.extension(i == 0 ? 0 : i == 1 ? 43 : i == 2 ? 51 : 60, 8U + 8U * (number % 10U));
      }
      break;
    case Quirk::kOtherProtocol:
      packet.next_protocol(number);
      break;
    case Quirk::kVersion:
      packet.ip_byte(0, static_cast<std::uint8_t>(number * 16 + 5));
      break;
    case Quirk::kHeaderLength:
      packet.ip_byte(0, static_cast<std::uint8_t>(0x40 + number % 16));
      break;
    case Quirk::kDamaged:
      packet.byte(packet.l3_offset() + number % 28, op.flags);
      break;
    case Quirk::kNoChecksum:
      packet.no_checksum();
      break;
    default:
      break;
  }
}

Packet lost_packet(const Lost& lost, Quirk quirk, const FrameOp& op) {
  Lost as = quirk == Quirk::kBackwards ? Lost{lost.to, lost.from, lost.tcp} : lost;
  (op.flags % 2 == 0 ? as.from : as.to).port *= quirk == Quirk::kNoPort ? 0 : 1;
  Packet packet = quirk == Quirk::kPing ? echo_reply(as.from, as.to)
                  : as.tcp              ? tcp(as.from, as.to).ack()
                                        : udp(as.from, as.to);
  packet.payload(op.oddity == Oddity::kLong ? 400U + op.argument % 1000U : op.size % 64U);
  make_quirky(packet, quirk, op, lost.from.address.is_v4());
  return packet;
}

// Half of the quotes have the eight bytes that suffice, others any length, a few one too small.
Bytes quote_of(const Packet& packet, Quirk quirk, const FrameOp& op) {
  const Bytes frame = packet.bytes();
  std::size_t end = frame.size();
  if (op.oddity != Oddity::kLong && op.size % 2 == 0) {
    end = packet.l4_offset() + 8;
  } else if (op.size % 16 == 1) {
    end = packet.l3_offset() + op.pick % 80;
  } else if (op.size % 16 == 3) {
    end = packet.l4_offset() + 8 + op.flags % 14;
  }
  Bytes quote(frame.begin() + static_cast<std::ptrdiff_t>(packet.l3_offset()),
              frame.begin() +
                  static_cast<std::ptrdiff_t>(std::clamp(end, packet.l3_offset(), frame.size())));
  if (quirk == Quirk::kExtended) {
    quote.resize(128);
    quote.insert(quote.end(), {0x20, 0, 0, 0, 0, 8, 1, 1, op.flags, 0, 0, 1});
  }
  if (quirk == Quirk::kMapped && quote.size() >= 40) {
    std::ranges::copy(kClient.address.bytes, quote.begin() + 24);
  }
  return quote;
}

struct Message {
  std::uint8_t type;
  std::uint8_t code;
  std::uint32_t rest;
};

Message message_of(const FrameOp& op, Quirk quirk, bool v4_error) {
  static constexpr std::array<Message, 6> kMessages4 = {Message{.type = 3, .code = 4, .rest = 1400},
                                                        {.type = 3, .code = 1, .rest = 0},
                                                        {.type = 11, .code = 0, .rest = 0},
                                                        {.type = 12, .code = 0, .rest = 0},
                                                        {.type = 3, .code = 4, .rest = 0},
                                                        {.type = 3, .code = 3, .rest = 100}};
  static constexpr std::array<Message, 6> kMessages6 = {Message{.type = 2, .code = 0, .rest = 1280},
                                                        {.type = 1, .code = 4, .rest = 0},
                                                        {.type = 3, .code = 0, .rest = 0},
                                                        {.type = 4, .code = 1, .rest = 6},
                                                        {.type = 2, .code = 0, .rest = 9000},
                                                        {.type = 1, .code = 0, .rest = 0}};
  Message message = (v4_error ? kMessages4 : kMessages6).at(op.flags % 6);
  if (quirk == Quirk::kSmallMtu) {
    message = {.type = static_cast<std::uint8_t>(v4_error ? 3 : 2),
               .code = static_cast<std::uint8_t>(v4_error ? 4 : 0),
               .rest = (v4_error ? 545U : 1273U) + op.flags % 16U};
  }
  if (quirk == Quirk::kOtherType) {
    message.type = static_cast<std::uint8_t>(op.pick % 14);
  }
  return message;
}

// Routers on the way, and the receiver itself.
Endpoint teller_of(const FrameOp& op, const Lost& lost) {
  const bool v4_lost = lost.from.address.is_v4();
  const auto host = static_cast<std::uint8_t>(op.client_port % 8);
  if (op.kind == FrameKind::kErrorInside) {
    const MacAddress mac = {2, 0, 0, 0, 1, host};
    const Address router = v4_lost ? v4(10, 0, 3, 100) : v6(3, 100);
    return {host == 0 ? router : lost.to.address, 0, mac};
  }
  const Address router =
      v4_lost ? v4(192, 0, 2, static_cast<std::uint8_t>(60 + host)) : v6(9, host);
  return {host == 7 ? lost.to.address : router, 0, kRouterMac};
}

}  // namespace

Packet build_error(const FrameOp& op, const Model& model, const Somebody& somebody) {
  const Lost lost = op.kind == FrameKind::kErrorInside ? lost_inside(op, model)
                                                       : lost_outside(op, model, somebody);
  const bool v4_error = lost.from.address.is_v4();
  const Quirk quirk = quirk_of(op);
  const Message message = message_of(op, quirk, v4_error);
  Packet packet(teller_of(op, lost), lost.from, v4_error ? Protocol::kIcmp : Protocol::kIcmp6);
  return packet.icmp(message.type, message.code, message.rest)
      .payload(quote_of(lost_packet(lost, quirk, op), quirk, op));
}

}  // namespace holdfast::testing
