// SPDX-License-Identifier: Apache-2.0
// Numbers to frames.
#include "tests/support/model/traffic.h"

#include "tests/support/appliance.h"
#include "tests/support/model/cutting.h"
#include "tests/support/model/traffic_errors.h"

#include <algorithm>
#include <iterator>
#include <ostream>
#include <random>
#include <utility>

namespace holdfast::testing {
namespace {

struct Target {
  std::uint8_t vip = 10;
  std::uint16_t port = 0;
  bool tcp = true;
  bool prefix = false;  // one of two VIPs
};

Target target_of(const FrameOp& op) {
  static constexpr std::array<Target, 16> kTargets = {
      Target{.vip = 10, .port = 80},
      {.vip = 10, .port = 443},
      {.vip = 11, .port = 8000},
      {.vip = 11, .port = 8003},
      {.vip = 10, .port = 53, .tcp = false},
      {.vip = 11, .port = 8000, .tcp = false},
      {.vip = 11, .port = 8002, .tcp = false},
      {.vip = 10, .port = 81},
      {.vip = 3, .port = 1500, .prefix = true},
      {.vip = 10, .port = 1500, .prefix = true},
      {.vip = 33, .port = 22, .prefix = true},
      {.vip = 33, .port = 80, .prefix = true},
      {.vip = 41, .port = 80, .prefix = true},
      {.vip = 33, .port = 53, .tcp = false, .prefix = true},
      {.vip = 41, .port = 53, .tcp = false, .prefix = true},
      {.vip = 41, .port = 7000, .tcp = false, .prefix = true}};
  return kTargets.at(op.target % kTargets.size());
}

// IPv4 for even numbers, IPv6 for odd ones; two in seven are on our own link.
Endpoint client_of(const FrameOp& op, const Crowd& crowd) {
  const auto number = static_cast<std::uint8_t>(op.client % crowd.clients);
  const bool v4_client = number % 2 == 0;
  const bool on_link = number % 7 >= 5;
  const auto port = static_cast<std::uint16_t>(40000 + op.client_port % crowd.ports);
  const MacAddress mac = on_link ? MacAddress{2, 0, 0, 0, 5, number} : kRouterMac;
  if (v4_client) {
    const auto host = static_cast<std::uint8_t>(on_link ? 45 + number : 7 + number);
    return {on_link ? v4(192, 0, 2, host) : v4(198, 51, 100, host), port, mac};
  }
  return {v6(on_link ? 2 : 1, static_cast<std::uint8_t>(100 + number)), port, mac};
}

Endpoint vip_of(const FrameOp& op, bool v4_vip) {
  const Target target = target_of(op);
  const bool other = target.prefix && op.client_port % 128 >= 64;
  const auto host = static_cast<std::uint8_t>(target.vip + (other ? 1 : 0));
  return {v4_vip ? v4(203, 0, 113, host) : v6(2, host), target.port, kOurMac};
}

std::uint8_t flags_of(const FrameOp& op) {
  static constexpr std::array<std::uint8_t, 12> kFlags = {
      0x02, 0x10, 0x18, 0x11, 0x12, 0x04, 0x14, 0xc2, 0x02, 0x10, 0x31, 0x10};
  return op.flags < 250 ? kFlags.at(op.flags % kFlags.size()) : static_cast<std::uint8_t>(op.pick);
}

std::uint8_t ttl_of(const FrameOp& op) {
  static constexpr std::array<std::uint8_t, 4> kFew = {2, 1, 0, 255};
  return op.ttl < 240 ? 64 : kFew.at(op.ttl % kFew.size());
}

// An MSS option: what hosts send, and what none should.
Bytes mss_option(const FrameOp& op) {
  static constexpr std::array<std::uint16_t, 8> kValues = {
      1460, 1440, 8960, 536, 500, 0, 65535, 921};
  const std::uint16_t value = kValues.at(op.argument / 8 % kValues.size());
  return {2, 4, static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
}

// Lengths of 0 and 1, past the end, of no MSS, cut off; a second MSS, one behind the last option.
Bytes odd_options(const FrameOp& op) {
  const Bytes mss = mss_option(op);
  switch (op.argument % 8) {
    case 0:
      return {2, 0, 5, 0xb4};
    case 1:
      return {1, 1, 2, 1, 5, 0xb4, 2, 4};
    case 2:
      return {2, 4, mss[2], mss[3], 3, 60, 7, 7};
    case 3:
      return {2, 3, 5, 2, 4, mss[2], mss[3], 1};
    case 4:
      return {1, 1, 1, 2};
    case 5:
      return {2, 4, mss[2], mss[3], 1, 2, 4, mss[2], mss[3], 1, 1, 1};
    case 6:
      return {0, 2, 4, mss[2], mss[3], 0, 0, 0};
    default:
      return {5, 1, 2, 4, mss[2], mss[3], 1, 1};
  }
}

// None for half of the segments.
Bytes tcp_options_of(const FrameOp& op) {
  Bytes options;
  switch (op.size % 8) {
    case 3:
      return odd_options(op);
    case 4:  // at an odd place, before other options
      options = mss_option(op);
      options.insert(options.begin(), 1);
      options.insert(options.end(), {3, 3, 7});
      return options;
    case 5:
    case 6:
      return mss_option(op);
    case 7:
      return Bytes(op.size % 40, 1);
    default:
      return {};
  }
}

Packet transport(const Endpoint& from, const Endpoint& to, bool is_tcp, const FrameOp& op) {
  if (!is_tcp) {
    return udp(from, to).payload(std::size_t{op.size} % 64);
  }
  Packet packet = tcp(from, to).flags(flags_of(op)).payload(std::size_t{op.size} % 32);
  packet.sequence(op.pick * 70001U).acknowledgment(op.argument * 90001U);
  const Bytes options = tcp_options_of(op);
  return options.empty() ? packet : packet.tcp_options(options);
}

// The flow that a reply belongs to; nullptr when there is none yet.
const Translation* picked(const FrameOp& op, const Model& model) {
  const auto& flows = model.translations();
  if (flows.empty()) {
    return nullptr;
  }
  // Those that were opened last are answered most.
  const std::size_t back = op.pick % std::min<std::size_t>(flows.size(), 64);
  return &std::prev(flows.end(), static_cast<std::ptrdiff_t>(back) + 1)->second;
}

// One of both, or now and then the number beside.
std::uint32_t near(const FrameOp& op, std::uint32_t begins, std::uint32_t next) {
  return (op.argument % 4 == 1 ? next : begins) + (op.argument % 32 == 3 ? 1U : 0U) -
         (op.argument % 32 == 7 ? 1U : 0U);
}

// Three of four segments of a client acknowledge what the member of its half-open flow has sent, or
// the number beside; so flows come to stand.
Packet client_segment(const FrameOp& op, const Model& model, const Endpoint& client) {
  const Endpoint vip = vip_of(op, client.address.is_v4());
  Packet packet = transport(client, vip, target_of(op).tcp, op);
  for (const auto& [id, flow] : model.translations()) {
    if (flow.name.client == client.address && flow.name.client_port == client.port &&
        flow.name.vip == vip.address && flow.name.service_port == vip.port &&
        flow.state == FlowState::kHalfOpen && op.argument % 4 != 0) {
      packet.acknowledgment(near(op, flow.member_begins, flow.member_next));
    }
  }
  return packet;
}

Endpoint lan_end(const Address& address, std::uint16_t port) {
  return {address, port, {2, 0, 0, 0, 1, address.bytes[15]}};
}

// Two bytes of payload that make the checksum 0 once the reply is translated.
Packet zero_sum(const Translation& flow, const Model& model, Packet packet) {
  Arriving trial{.bytes = packet.payload(Bytes{0, 0}).bytes(), .beyond = 0, .port = kLan};
  const Reading reading = read_frame(trial);
  translate(trial, reading, model.ends_of(flow, true));
  return packet.payload(Bytes{trial.bytes[reading.l4 + 6], trial.bytes[reading.l4 + 7]});
}

// Three of four answers to a client's SYN acknowledge it, or the number beside.
Packet reply(const FrameOp& op, const Model& model) {
  if (const Translation* flow = picked(op, model)) {
    Packet packet = transport(lan_end(flow->reply.member, flow->reply.member_port),
                              {flow->reply.pool, flow->reply.pool_port, kLanMac},
                              flow->reply.protocol == 6,
                              op);
    if (flow->state == FlowState::kHalfOpen && flow->reply.protocol == 6 && op.argument % 4 != 0) {
      packet.acknowledgment(near(op, flow->client_begins, flow->client_next));
    }
    return op.oddity == Oddity::kZeroSum && flow->reply.protocol == 17
               ? zero_sum(*flow, model, packet)
               : packet;
  }
  return transport(lan_end(v4(10, 0, 3, 11), 80), {kPool.address, 1024, kLanMac}, true, op);
}

Packet stray(const FrameOp& op) {
  const auto host = static_cast<std::uint8_t>(16 + op.client % 4);
  const auto port = static_cast<std::uint16_t>(1020 + op.pick % 16);
  const bool v4_pool = op.argument % 2 == 0;
  return transport(lan_end(v4_pool ? v4(10, 0, 3, 11) : v6(3, 14), 80),
                   {v4_pool ? v4(10, 0, 3, host) : v6(3, host), port, kLanMac},
                   op.target % 2 == 0,
                   op);
}

Packet other(const FrameOp& op, const Endpoint& client) {
  const Endpoint station = {client.address.is_v4() ? v4(192, 0, 2, 9) : v6(2, 99), 22, kOurMac};
  return op.flags % 3 == 0 ? echo_request(client, station)
                           : transport(client, station, op.target % 2 == 0, op);
}

// What RFC 4861 §7.1.1 refuses, and another option.
void mistake_solicitation(Packet& packet, const FrameOp& op) {
  switch (op.size) {
    case 240:
      packet.ttl(254);
      break;
    case 241:
      packet.upper_byte(1, 1);  // code
      break;
    case 242:
      packet.upper_byte(8, 0xff);  // a group as target
      break;
    case 243:
      packet.upper_byte(24, 2);  // the option of the target's address
      break;
    case 244:
    case 245:
      packet.upper_byte(25, op.size == 244 ? 0 : 2);  // length of the option
      break;
    default:
      break;
  }
}

Packet solicitation(const FrameOp& op, const Endpoint& client) {
  const Address target =
      v6(op.target % 3 == 2 ? 3 : 2, static_cast<std::uint8_t>(8 + op.pick % 32));
  Endpoint from = client;
  if (from.address.is_v4()) {
    from.address = v6(2, client.address.bytes[15]);
  }
  if (op.flags % 4 == 3) {
    from.address = Address{};
  }
  const bool direct = op.flags % 4 == 1;
  Packet packet = neighbor_solicitation(
      from, direct ? Endpoint{target, 0, kOurMac} : solicited_nodes(target), target);
  mistake_solicitation(packet, op);
  return packet;
}

Packet flood(const FrameOp& op) {
  const auto network = static_cast<std::uint8_t>(100 + op.argument % 4);
  const Endpoint client = {v4(198, 51, network, static_cast<std::uint8_t>(100 + op.client % 128)),
                           static_cast<std::uint16_t>(1024 + op.pick % 60'000),
                           kRouterMac};
  FrameOp to = op;
  to.target = op.target % 4;
  return tcp(client, vip_of(to, true)).syn();
}

bool is_error(const FrameOp& op) {
  return op.kind == FrameKind::kError || op.kind == FrameKind::kErrorInside;
}

Packet base_packet(const FrameOp& op, const Model& model, const Crowd& crowd) {
  const Endpoint client = client_of(op, crowd);
  const Endpoint vip = vip_of(op, client.address.is_v4());
  switch (op.kind) {
    case FrameKind::kReply:
      return reply(op, model);
    case FrameKind::kEcho:
      return echo_request(client, vip).payload(std::size_t{op.size});
    case FrameKind::kSolicitation:
      return solicitation(op, client);
    case FrameKind::kStray:
      return stray(op);
    case FrameKind::kOther:
      return other(op, client);
    case FrameKind::kFlood:
      return flood(op);
    case FrameKind::kError:
    case FrameKind::kErrorInside:
      return build_error(op, model, {client, vip, target_of(op).tcp});
    default:
      return client_segment(op, model, client);
  }
}

Bytes arp_frame(const FrameOp& op, const Crowd& crowd) {
  Endpoint client = client_of(op, crowd);
  if (!client.address.is_v4() || op.client % 2 == 1) {
    client.address = v4(192, 0, 2, static_cast<std::uint8_t>(40 + op.client % 8));
  }
  if (op.flags % 4 == 3) {
    client.address = v4(0, 0, 0, 0);
  }
  const std::uint8_t host = static_cast<std::uint8_t>(8 + op.pick % 32);
  const Address target = op.target % 3 == 2 ? v4(10, 0, 3, host) : v4(203, 0, 113, host);
  if (op.flags % 8 == 6) {
    return arp_reply(client, {target, 0, kOurMac});
  }
  return op.flags % 8 == 5 ? arp_request({target, 0, client.mac}, target)
                           : arp_request(client, target);
}

std::uint8_t number8(std::uint16_t argument, unsigned shift) {
  return static_cast<std::uint8_t>(argument >> shift);
}

// What follows the two bytes that all extension headers share: type and segments left, or the
// fragment's offset and flags.
Bytes extension_body(std::uint8_t kind, std::uint16_t argument) {
  const auto odd = static_cast<std::uint8_t>(argument % 16 == 5 ? 1 : 0);
  return kind == 44 ? Bytes{0, odd} : Bytes{number8(argument, 12), odd};
}

void add_extension(Packet& packet, std::uint16_t argument) {
  static constexpr std::array<std::uint8_t, 5> kKinds = {60, 0, 43, 44, 51};
  const std::uint8_t kind = kKinds.at(argument % kKinds.size());
  const std::size_t eights = (argument & 0x80) != 0 ? 30 + argument / 256 % 5  // about 256 bytes
                                                    : 1 + argument / 256 % 12;
  packet.extension(kind, kind == 44 ? 8 : 8 * eights, extension_body(kind, argument));
}

void add_chain(Packet& packet, std::uint16_t argument) {
  static constexpr std::array<std::uint8_t, 6> kKinds = {60, 43, 51, 44, 60, 60};
  if (argument % 3 == 0) {
    packet.extension(0, 8);
  }
  for (std::size_t i = 0; i < 2U + argument / 4 % 5; ++i) {
    packet.extension(kKinds.at(i), 8, extension_body(kKinds.at(i), argument));
  }
}

void add_extensions(Packet& packet, const FrameOp& op, bool v4_packet) {
  if (v4_packet) {
    packet.options(Bytes(1U + op.argument % 40U, number8(op.argument, 8)));
  } else if (op.oddity == Oddity::kOptions) {
    add_extension(packet, op.argument);
  } else {
    add_chain(packet, op.argument);
  }
}

void mistake_addresses(Packet& packet, const FrameOp& op, const Endpoint& client) {
  static const std::array<Address, 7> bad4 = {v4(127, 0, 0, 1),
                                              v4(169, 254, 3, 4),
                                              v4(0, 1, 2, 3),
                                              v4(224, 0, 0, 5),
                                              v4(203, 0, 113, 10),
                                              v4(203, 0, 113, 11),
                                              v4(203, 0, 113, 60)};
  static const std::array<Address, 7> bad6 = {address("::1"),
                                              address("ff02::5"),
                                              address("fe80::1"),
                                              address("::"),
                                              v6(2, 10),
                                              v6(2, 11),
                                              v6(2, 60)};
  const bool v4_client = client.address.is_v4();
  Endpoint from = client;
  from.address =
      v4_client ? bad4.at(op.argument % bad4.size()) : bad6.at(op.argument % bad6.size());
  packet.from(from);
}

// What else than the tags of its port a frame may have; `vlan` here with the priority.
std::vector<Tag> odd_tags(std::vector<Tag> own, std::uint16_t argument) {
  const auto high = static_cast<std::uint16_t>(argument & 0xf000);
  const auto type = static_cast<std::uint16_t>((argument & 0x100) != 0 ? 0x8100 : 0x88a8);
  switch (argument % 8) {
    case 0:
      return {};
    case 1:
      return {{.type = type, .vlan = high}};
    case 2:
      own.insert(own.begin(), {.type = type, .vlan = high});
      return own;
    case 3:
      for (Tag& tag : own) {
        tag.vlan = static_cast<std::uint16_t>(tag.vlan | high);
      }
      return own;
    case 4:
      if (!own.empty()) {
        own.at(argument / 8 % own.size()).vlan ^= 1U << (argument >> 12);
      }
      return own;
    case 5:
      if (!own.empty()) {
        own.at(argument / 8 % own.size()).type ^= 0x8100 ^ 0x88a8;
      }
      return own;
    case 6:
      own.push_back({.type = type, .vlan = 100});
      return own;
    default:
      return {{.type = type, .vlan = 200}, {.type = 0x8100, .vlan = 100}};
  }
}

// Half of them make packets that just fit a link or a backend's way, or just do not.
std::size_t long_payload(const FrameOp& op, bool v4_packet) {
  static constexpr std::array<std::size_t, 8> kMtus = {1500, 1400, 1280, 900, 600, 576, 520, 1500};
  if (op.argument % 2 == 0) {
    return 400U + op.argument % 1300U;
  }
  const std::size_t headers = (v4_packet ? 20U : 40U) + (target_of(op).tcp ? 20U : 8U);
  return kMtus.at(op.argument / 16 % kMtus.size()) - headers - 5 + op.argument / 128 % 7;
}

void insert_tags(Bytes& bytes, const std::vector<Tag>& tags) {
  Bytes between;
  for (const Tag& tag : tags) {
    for (const std::uint16_t word : {tag.type, tag.vlan}) {
      between.push_back(number8(word, 8));
      between.push_back(number8(word, 0));
    }
  }
  bytes.insert(bytes.begin() + 12, between.begin(), between.end());
}

// Oddities that the builder knows how to make.
void make_odd(Packet& packet, const FrameOp& op, const Endpoint& client) {
  switch (op.oddity) {
    case Oddity::kPadded:
      packet.pad_to(60U + op.argument % 64U);
      break;
    case Oddity::kOptions:
    case Oddity::kChain:
      add_extensions(packet, op, client.address.is_v4());
      break;
    case Oddity::kAddresses:
      mistake_addresses(packet, op, client);
      break;
    case Oddity::kNoChecksum:
      op.argument % 2 == 0 ? packet.no_checksum() : packet.surplus(1 + op.argument / 2 % 40);
      break;
    case Oddity::kLong:
      packet.payload(long_payload(op, client.address.is_v4()));
      if (op.argument % 4 != 0) {
        packet.dont_fragment();
      }
      break;
    default:
      break;
  }
}

void change_link(Bytes& bytes, std::uint16_t argument) {
  static constexpr std::array<MacAddress, 5> kMacs = {MacAddress{2, 0, 0, 0, 7, 7},
                                                      kOurMac,
                                                      kLanMac,
                                                      {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
                                                      {0x33, 0x33, 0, 0, 0, 1}};
  std::ranges::copy(kMacs.at(argument % kMacs.size()), bytes.begin() + (argument / 8 % 2) * 6);
}

// Oddities of the finished frame.
void spoil(Arriving& frame, const FrameOp& op, std::size_t l4) {
  Bytes& bytes = frame.bytes;
  const std::uint16_t argument = op.argument;
  switch (op.oddity) {
    case Oddity::kCut:
      bytes.resize(argument % (bytes.size() + 1));
      break;
    case Oddity::kByte:
      bytes[argument % bytes.size()] = number8(op.pick, 0);
      break;
    case Oddity::kBeyond: {
      const std::size_t kept = std::min(bytes.size(), l4 + argument % 64);
      frame.beyond = static_cast<std::uint32_t>(bytes.size() - kept + argument / 64 % 4 * 33);
      bytes.resize(kept);
      break;
    }
    case Oddity::kChecksum:
      bytes[std::min(l4 + 16 + argument % 2, bytes.size() - 1)] ^= number8(argument, 4);
      break;
    case Oddity::kPorts:
      if (l4 + 4 <= bytes.size()) {
        std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(l4) + argument % 2 * 2, 2, 0);
      }
      break;
    case Oddity::kLink:
      change_link(bytes, argument);
      break;
    case Oddity::kNoise: {
      std::minstd_rand random(1U + argument + 65536U * op.pick);
      for (std::size_t i = argument % 2 == 0 ? 14 : 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<std::uint8_t>(random() >> 7);
      }
      break;
    }
    default:
      break;
  }
}

// Whether make_odd() has a say.
bool is_odd(const FrameOp& op, bool from_lan) {
  if (is_error(op)) {
    return op.oddity != Oddity::kLong;  // its quote is
  }
  return !from_lan || op.oddity == Oddity::kLong || op.oddity == Oddity::kPadded ||
         op.oddity == Oddity::kNoChecksum;
}

Endpoint sender_of(const Packet& packet, const FrameOp& op, const Crowd& crowd) {
  if (is_error(op)) {  // of the flow's family
    return number16(packet.bytes(), 12) == 0x0800 ? kClient : kClient6;
  }
  return op.kind == FrameKind::kSolicitation ? kClient6
         : op.kind == FrameKind::kFlood      ? kClient
                                             : client_of(op, crowd);
}

}  // namespace

Arriving build_frame(const FrameOp& op, const Model& model, const Crowd& crowd) {
  const bool from_lan = op.kind == FrameKind::kReply || op.kind == FrameKind::kStray ||
                        op.kind == FrameKind::kErrorInside;
  Arriving frame{.bytes = {}, .beyond = 0, .port = from_lan ? kLan : kWan};
  std::size_t l4 = 14;
  if (op.kind == FrameKind::kArp) {
    frame.port = op.size % 4 == 3 ? kLan : kWan;
    frame.bytes = arp_frame(op, crowd);
  } else {
    Packet packet = base_packet(op, model, crowd);
    if (op.kind != FrameKind::kSolicitation) {
      packet.ttl(ttl_of(op));
    }
    if (is_odd(op, from_lan)) {
      make_odd(packet, op, sender_of(packet, op, crowd));
    }
    const bool cut = op.oddity == Oddity::kFragment && op.kind != FrameKind::kSolicitation;
    frame.bytes = cut ? cut_fragment(op, packet, packet.is_v4()) : packet.bytes();
    l4 = packet.l4_offset();
  }
  std::vector<Tag> tags = model.surroundings().tags_of(frame.port);
  if (op.oddity == Oddity::kTagged) {
    tags = odd_tags(std::move(tags), op.argument);
  }
  insert_tags(frame.bytes, tags);
  spoil(frame, op, l4 + 4 * tags.size());
  return frame;
}

std::ostream& operator<<(std::ostream& out, const FrameOp& op) {
  return out << "{kind " << int(op.kind) << ", oddity " << int(op.oddity) << '(' << op.argument
             << "), client " << int(op.client) << ':' << int(op.client_port) << ", target "
             << int(op.target) << ", flags " << int(op.flags) << ", size " << int(op.size)
             << ", ttl " << int(op.ttl) << ", pick " << op.pick << '}';
}

}  // namespace holdfast::testing
