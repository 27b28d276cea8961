// SPDX-License-Identifier: Apache-2.0
// Hostile frames, in sequences, through every stage: every mode, IPv4 and IPv6, with dispositions,
// generations and time changing between bursts. An input is a list of commands, so
// that mutations reach deep: frames come from templates that are then damaged, answer what was
// forwarded before, or are arbitrary bytes. Buffers have the exact size, and live for as long as a
// frame of theirs is held.
//
// Checked after every burst: each slot has a verdict, each drop a name, nothing is unaccounted,
// what was forwarded differs from what came in only where its mode allows, and what was translated
// went between the two ends of its own flow. After every input time passes until each flow has
// ended: then the tables must be empty. So one machine serves all inputs; a new one for each would
// cost far more than the frames.
#include "dataplane/checksum.h"
#include "dataplane/extension_headers.h"
#include "dataplane/parse.h"
#include "dataplane/solo.h"
#include "tests/fuzz/parse_checks.h"
#include "tests/packet/icmp_quote.h"
#include "tests/support/appliance.h"
#include "tests/support/fragmenting.h"
#include "tests/support/fuzz_input.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <utility>

namespace {

using namespace holdfast::dataplane;
using namespace holdfast::testing;

// The input, read as small integers; zeros when it has ended.
class Commands {
 public:
  Commands(const std::uint8_t* data, std::size_t size) : data_(data, size) {}
  [[nodiscard]] bool empty() const { return data_.empty(); }
  std::uint8_t byte() {
    if (data_.empty()) {
      return 0;
    }
    const std::uint8_t value = data_.front();
    data_ = data_.subspan(1);
    return value;
  }
  std::uint16_t word() {
    const unsigned high = byte();
    return static_cast<std::uint16_t>((high << 8) | byte());
  }
  Bytes bytes(std::size_t count) {
    const auto taken = data_.first(std::min(count, data_.size()));
    data_ = data_.subspan(taken.size());
    return {taken.begin(), taken.end()};
  }

 private:
  std::span<const std::uint8_t> data_;
};

Bytes piece(Packet packet, std::size_t begin, std::size_t end) {
  const Bytes whole = packet.payload(300).bytes();
  return fragment_of(whole, {.begin = begin, .end = end}, end < 300, 1);
}

const std::vector<Bytes>& templates() {
  static const std::vector<Bytes> kTemplates = {
      tcp(kClient, kVip).syn().bytes(),
      tcp(kClient, kVip).ack().payload("hello").bytes(),
      tcp(kClient, kVip).fin().ack().bytes(),
      tcp(kClient, kVip).rst().bytes(),
      udp(kClient, kVip.at_port(53)).payload("query").bytes(),
      udp(kClient, kVip.at_port(53)).no_checksum().payload("query").pad_to(60).bytes(),
      tcp(kClient, kVip).options({1, 1, 1, 0}).syn().bytes(),
      tcp(kClient, kVip).vlan(7).syn().bytes(),
      piece(tcp(kClient, kVip).syn(), 0, 64),
      piece(tcp(kClient, kVip).syn(), 64, 128),
      piece(tcp(kClient, kVip).syn(), 128, 320),
      piece(udp(kClient, kVip.at_port(53)), 0, 64),
      piece(udp(kClient, kVip.at_port(53)), 64, 308),
      piece(udp(kClient6, kVip6.at_port(53)), 0, 64),
      piece(udp(kClient6, kVip6.at_port(53)), 64, 308),
      echo_request(kClient, kVip).payload("ping").bytes(),
      arp_request(kClient, kVip.address),
      tcp(kClient6, kVip6).syn().bytes(),
      tcp(kClient6, kVip6).ack().payload("hello").bytes(),
      udp(kClient6, kVip6.at_port(53)).payload("query").bytes(),
      udp(kClient6, kVip6.at_port(53)).extension(60, 8).extension(43, 24).payload("x").bytes(),
      tcp(kClient6, kVip6).extension(0, 8).extension(44, 8).syn().bytes(),
      echo_request(kClient6, kVip6).payload("ping").bytes(),
      neighbor_solicitation(kClient6, solicited_nodes(kVip6.address), kVip6.address).bytes(),
      tcp(kBackend1, kPool.at_port(2000)).syn().ack().bytes(),
      udp(kBackend6, kPool6.at_port(2000)).payload("answer").bytes(),
      tcp(kBackend1, kClient).ack().bytes(),
      too_big(kFarRouter, kVip, quote_of(tcp(kVip, kClient).ack(), 8)).bytes(),
      too_big(kFarRouter6, kVip6, quote_of(udp(kVip6.at_port(53), kClient6), 8)).bytes(),
      too_big(kBackend1, kPool.at_port(1024), quote_of(tcp(kPool.at_port(1024), kBackend1), 20))
          .bytes(),
      tcp(kClient, {v4(203, 0, 113, 200), 4711, kVip.mac}).syn().bytes(),
      tcp(kClient, {v4(203, 0, 113, 201), 4711, kVip.mac}).ack().bytes(),
      udp(kClient6, {v6(2, 200), 4711, kVip.mac}).payload("query").bytes(),
      tcp(kClient6, {v6(2, 201), 4711, kVip.mac}).syn().bytes(),
  };
  return kTemplates;
}

// What a reload may do to a service. The lower five bits of the variant say what.
void vary(ServiceSpec& service, std::uint8_t variant) {
  if ((variant & 1) != 0) {
    service.members.erase(service.members.begin() + 1);
  }
  if ((variant & 2) != 0) {
    service.members.front().weight = 10;
  }
  if ((variant & 4) != 0) {
    std::ranges::reverse(service.members);
  }
  if ((variant & 16) != 0 && service.name != "mapped") {
    const auto modes = all_modes();
    set_mode(service, modes[(static_cast<std::size_t>(service.mode) + 1) % modes.size()]);
  }
}

// Prefixes of VIPs with any port.
ServiceSpec prefix_service() {
  ServiceSpec service = three_backends(Mode::kDsr).services.front();
  service.name = "prefix";
  service.bindings.clear();
  for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp}) {
    for (const Address& vip : {v4(203, 0, 113, 128), v6(2, 128)}) {
      service.bindings.push_back({.vip = vip,
                                  .protocol = protocol,
                                  .first_port = 1,
                                  .last_port = 65535,
                                  .prefix_bits = 121});
    }
  }
  return service;
}

// All modes at once, each but `nat` on VIPs of its own. A variant concerns the services of one
// mode, which the upper three bits say: the others keep their tables, which are what a publication
// costs.
GenerationSpec generation(std::uint8_t variant) {
  const auto modes = all_modes();
  const Mode varied = modes[(variant >> 5) % modes.size()];
  GenerationSpec spec = three_backends(Mode::kNat);
  for (const Mode mode : modes) {
    for (ServiceSpec service : three_backends(Mode::kDsr).services) {
      if (mode != Mode::kNat) {
        set_mode(service, mode);
        service.name += "-" + std::string(mode_name(mode));
        for (BindingSpec& binding : service.bindings) {
          binding.vip.bytes[15] ^= static_cast<std::uint8_t>(mode);
        }
        spec.services.push_back(service);
      }
    }
  }
  ServiceSpec prefix = prefix_service();
  set_mode(prefix, varied);
  if ((variant & 2) != 0) {
    prefix.affinity = {.seconds = 600, .prefix_v4 = 24, .prefix_v6 = 56};
  }
  spec.services.push_back(prefix);
  if ((variant & 8) != 0) {
    spec.services.erase(std::ranges::find(spec.services, varied, &ServiceSpec::mode));
  }
  for (ServiceSpec& service : spec.services) {
    if (service.mode == varied) {
      vary(service, variant);
    }
  }
  return spec;
}

void swap_bytes(Bytes& frame, std::size_t first, std::size_t second, std::size_t count) {
  if (std::max(first, second) + count <= frame.size()) {
    std::swap_ranges(frame.begin() + static_cast<std::ptrdiff_t>(first),
                     frame.begin() + static_cast<std::ptrdiff_t>(first + count),
                     frame.begin() + static_cast<std::ptrdiff_t>(second));
  }
}

// What the receiver of this frame would send back; no options or extensions, so that offsets hold.
Bytes answer_to(Bytes frame) {
  const bool v4 = frame.size() > 14 && frame[14] >> 4 == 4;
  swap_bytes(frame, 0, 6, 6);
  swap_bytes(frame, v4 ? 26 : 22, v4 ? 30 : 38, v4 ? 4 : 16);
  swap_bytes(frame, v4 ? 34 : 54, v4 ? 36 : 56, 2);
  return frame;
}

// What a router says to who sent this frame. Requires: as answer_to().
Bytes error_about(const Bytes& frame, std::uint8_t kind) {
  const bool v4_frame = frame.size() > 14 && frame[14] >> 4 == 4;
  const std::size_t least = v4_frame ? 42 : 62;
  if (frame.size() < least) {
    return frame;
  }
  Endpoint sender = v4_frame ? kFarRouter : kFarRouter6;
  const auto* const source = reinterpret_cast<const std::byte*>(&frame[v4_frame ? 26 : 22]);
  sender.address = v4_frame ? Address::v4(load<Be32>(source)) : Address::v6(source);
  std::copy_n(frame.begin() + 6, 6, sender.mac.begin());
  const std::size_t end = std::min(frame.size(), least + kind % 64U);
  return too_big(v4_frame ? kFarRouter : kFarRouter6,
                 sender,
                 {frame.begin() + 14, frame.begin() + static_cast<std::ptrdiff_t>(end)})
      .bytes();
}

void set_be16(Bytes& frame, std::size_t at, std::uint16_t value) {
  frame[at] = static_cast<std::uint8_t>(value >> 8);
  frame[at + 1] = static_cast<std::uint8_t>(value);
}

// Makes the IPv4 header's checksum right again, so that damage behind it is reached.
void mend_ipv4(Bytes& frame) {
  const std::size_t header = frame.size() > 14 ? std::size_t{frame[14] & 0x0fU} * 4 : 0;
  if (header < 20 || frame.size() < 14 + header || frame[14] >> 4 != 4) {
    return;
  }
  set_be16(frame, 24, 0);
  const auto bytes = std::as_bytes(std::span(frame)).subspan(14, header);
  set_be16(frame, 24, ChecksumSum(bytes).checksum().to_host());
}

constexpr unsigned kMostPublications = 2;  // of an input: each costs as much as thousands of frames

class Machine {
 public:
  Machine()
      : solo_(Solo::create(
                  generation(0), lab_neighborhood(), {.key = {}, .flows = 64, .check_macs = true})
                  .value()) {}

  void run(Commands commands) {
    room_ = replay_room(commands.byte());
    while (!commands.empty()) {
      step(commands);
    }
    restore();
  }

 private:
  Bytes frame(Commands& commands) {
    const std::uint8_t kind = commands.byte();
    const auto& all = templates();
    Bytes bytes;
    if (kind % 40 < all.size()) {
      bytes = all[kind % 40];
    } else if (kind % 40 < 37 && !sent_.empty()) {
      bytes = answer_to(sent_[commands.byte() % sent_.size()]);
    } else if (kind % 32 < 30 && !sent_.empty()) {
      const Bytes& about = sent_[commands.byte() % sent_.size()];
      const std::uint8_t how = commands.byte();
      bytes = error_about(how % 2 == 0 ? about : answer_to(about), how);
    } else {
      bytes = commands.bytes(commands.word() % 2048);
    }
    const std::uint8_t damage = commands.byte();
    if ((damage & 1) != 0 && bytes.size() >= 42) {  // another client
      bytes[bytes[14] >> 4 == 4 ? 29 : 37] = commands.byte();
    }
    if ((damage & 2) != 0 && bytes.size() >= 54) {  // another mode's VIP
      bytes[bytes[14] >> 4 == 4 ? 33 : 53] ^= commands.byte() % 8;
    }
    for (unsigned patches = (damage >> 2) & 3; patches > 0 && !bytes.empty(); --patches) {
      bytes[commands.word() % bytes.size()] = commands.byte();
    }
    if ((damage & 16) != 0) {
      bytes.resize(commands.word() % (bytes.size() + 1));
    }
    if ((damage & kReplayUnmended) == 0) {
      mend_ipv4(bytes);
    }
    return bytes;
  }

  // Most commands are bursts.
  void step(Commands& commands) {
    const std::uint8_t command = commands.byte();
    if (command < kReplayDisposition) {
      now_ms_ += std::uint64_t{commands.word()} << command;
    } else if (command < kReplayPublish) {
      set_disposition(command, commands.byte());
    } else if (command < kReplayPublish + 2 && published_ < kMostPublications) {
      ++published_;
      publish(commands.byte());
    } else {
      run_burst(commands, 1 + command % kReplayMost);
    }
  }

  void set_disposition(std::uint8_t which, std::uint8_t what) {
    const auto services = solo_->generation().services();
    const CompiledService& service = services[which % services.size()];
    const MemberSpec& member = service.members[(what >> 3) % service.members.size()];
    solo_->set_disposition(service.name, member.backend, static_cast<Disposition>((what & 7) % 5));
    disposed_.emplace(service.name, member.backend);
  }

  void publish(std::uint8_t variant) {
    if (variant != variant_) {
      GenerationSpec spec = generation(variant);
      spec.number = ++number_;
      require(solo_->publish(spec).has_value());
      variant_ = variant;
    }
  }

  // Everything as it was before the first input, but for what the registries have seen.
  void restore() {
    publish(0);
    published_ = 0;
    for (const auto& [service, backend] : disposed_) {
      solo_->set_disposition(service, backend, Disposition::kNew);
    }
    disposed_.clear();
    sent_.clear();
    end_flows();
  }

  void end_flows() {
    for (int rounds = 0; rounds < 4; ++rounds) {
      now_ms_ += 8'000'000;  // more than any timeout, and than a sweep of the whole table takes
      Burst nothing{};
      nothing.begin(0);
      solo_->run(nothing, now_ms_);
      run_released();
    }
    require(held_.empty());
    kept_.clear();
    const WorkerTables& tables = solo_->worker().tables;
    require(tables.v4.used() == 0 && tables.v6.used() == 0 && tables.wide.used() == 0 &&
            tables.nat.used() == 0);
    for (std::size_t id = 0; id < solo_->generation().members().size(); ++id) {
      require(solo_->worker().members[id].live_flows.get() == 0);
    }
  }

  void run_burst(Commands& commands, std::size_t count) {
    std::vector<Bytes> frames;
    while (frames.size() < count) {
      frames.push_back(frame(commands));
    }
    kept_.push_back(std::make_unique<ExactBurst>(frames, room_));
    ExactBurst& burst = *kept_.back();
    for (Slot i = 0; i < count; ++i) {
      const bool to_lan = std::ranges::equal(
          std::span(frames[i]).first(std::min<std::size_t>(6, frames[i].size())), kLanMac);
      burst.frame(i).port = to_lan ? kLan : kWan;
    }
    solo_->run(*burst, now_ms_);
    for (Slot i = 0; i < count; ++i) {
      if (burst->verdict[i] == Verdict::kHold) {
        require(bytes_of(burst.frame(i)) == frames[i]);
        require(held_.emplace(burst.frame(i).data, frames[i]).second);
      } else {
        check(*burst, i, frames[i]);
      }
    }
    account();
    run_released();
    if (held_.empty()) {
      kept_.clear();
    }
  }

  void run_released() {
    Burst burst{};
    while (solo_->take_released(burst)) {
      std::vector<Bytes> before;
      for (Slot i = 0; i < burst.size; ++i) {
        const auto held = held_.find(burst.frame[i].data);
        require(held != held_.end());
        before.push_back(held->second);
        held_.erase(held);
      }
      solo_->run(burst, now_ms_);
      for (Slot i = 0; i < burst.size; ++i) {
        check(burst, i, before[i]);
      }
      account();
    }
  }

  void account() {
    WorkerStats& stats = solo_->worker().stats;
    stats.transmitted.set(stats.forwarded.get() + stats.replied.get());
    require(unaccounted(stats) == 0);
    solo_->worker().notices.clear();
  }

  static Bytes bytes_of(const Frame& frame) {
    const auto* at = reinterpret_cast<const std::uint8_t*>(frame.data);
    return {at, at + frame.contiguous};
  }

  void check(const Burst& burst, Slot i, const Bytes& before) {
    const Bytes after = bytes_of(burst.frame[i]);
    switch (burst.verdict[i]) {
      case Verdict::kDrop:
        require(burst.reason[i] < Drop::kCount && !drop_name(burst.reason[i]).empty());
        break;
      case Verdict::kForward:
        check_forwarded(burst, i, before, after);
        require(burst.record[i] == kNoRecord || translated_by_own_record(burst, i, *solo_));
        remember(after);
        break;
      case Verdict::kReply:
        require(after.size() <= before.size() + room_.head + room_.tail);
        break;
      case Verdict::kKernel:
        require(after == before);
        break;
      case Verdict::kHold:
      case Verdict::kPending:
        std::abort();
    }
  }

  // Where the packet began, behind tags that may be gone.
  [[nodiscard]] std::size_t packet_begin(const Bytes& before) const {
    ExactBurst came(before, room_);
    parse(*came);
    return came->l3_offset[0];
  }

  // Behind outer headers stands the client's packet, byte for byte.
  void check_wrapped(const Bytes& before, const Bytes& after) const {
    ExactBurst came(before, room_);
    parse(*came);
    const std::size_t from = came->l3_offset[0];
    const std::size_t carried = std::min(before.size() - from, std::size_t{came->l3_length[0]});
    require(after.size() >= carried + sizeof(EthernetHeader) + sizeof(Ipv4Header));
    require(std::equal(after.end() - static_cast<std::ptrdiff_t>(carried),
                       after.end(),
                       before.begin() + static_cast<std::ptrdiff_t>(from)));
  }

  // Whether the byte is of the id of the fragment whose IP header begins at `header`.
  static bool is_of_id(std::byte* ip, std::size_t header, bool v4, std::size_t at) {
    if (v4) {
      return at == header + 4 || at == header + 5;
    }
    const std::byte* const id = parsing::find_identification(ip + header);
    return id != nullptr && ip + at >= id && ip + at < id + 4;
  }

  // Bytes of a packet, counted from its IP header, that translation changes: IP addresses, TTL,
  // ports and checksums, which in an ICMP error stand in the quote, the MSS of a SYN, and the id of
  // a fragment, quoted or not.
  static bool may_change(const Burst& b, Slot i, std::size_t at) {
    const bool v4 = b.key[i].source.is_v4();
    const bool error = b.kind[i] == Kind::kIcmpError;
    const std::size_t l4 = std::size_t{b.l4_offset[i]} - b.l3_offset[i];
    const std::size_t ports = error ? std::size_t{b.quoted_l4_offset[i]} - b.l3_offset[i] : l4;
    const std::size_t checksum = ports + (b.key[i].protocol == Protocol::kTcp ? 16 : 6);
    const std::size_t quote = l4 + 8;
    const bool ip = v4 ? at == 8 || (at >= 10 && at < 20) : at == 7 || (at >= 8 && at < 40);
    const bool upper = b.piece[i] != Piece::kLater &&
                       ((at >= ports && at < ports + 4) || (at >= checksum && at < checksum + 2));
    const bool quoted = error && (at == l4 + 2 || at == l4 + 3 ||
                                  (at >= quote + (v4 ? 10 : 8) && at < quote + (v4 ? 20 : 40)));
    const bool option = !error && (b.tcp_flags[i] & kTcpSyn) != 0 && at >= l4 + 20 && at < l4 + 60;
    const bool fragment = (error || b.piece[i] != Piece::kWhole) &&
                          is_of_id(b.frame[i].data + b.l3_offset[i], error ? quote : 0, v4, at);
    return ip || upper || quoted || option || fragment;
  }

  // In `dsr` only the link header changes.
  void check_forwarded(const Burst& b, Slot i, const Bytes& before, const Bytes& after) const {
    const bool translated = b.record[i] != kNoRecord;
    require(b.frame[i].length >= after.size());
    if (!is_of_flow(b.kind[i])) {
      return;
    }
    if (!translated && solo_->generation().members()[b.member[i].index].tunnel != kNoTunnel) {
      check_wrapped(before, after);
      return;
    }
    const std::size_t from = packet_begin(before);
    const std::size_t l3 = b.l3_offset[i];
    require(after.size() - l3 == std::min<std::size_t>(before.size() - from, b.l3_length[i]));
    for (std::size_t at = 0; l3 + at < after.size(); ++at) {
      require(before[from + at] == after[l3 + at] || (translated && may_change(b, i, at)));
    }
  }

  void remember(Bytes bytes) {
    sent_.push_back(std::move(bytes));
    if (sent_.size() > 16) {
      sent_.pop_front();
    }
  }

  std::unique_ptr<Solo> solo_;
  Room room_{};
  std::uint64_t now_ms_ = 1'000'000;
  std::uint64_t number_ = 1;
  std::uint8_t variant_ = 0;
  unsigned published_ = 0;  // by this input
  std::set<std::pair<std::string, std::string>> disposed_;
  std::deque<Bytes> sent_;
  std::vector<std::unique_ptr<ExactBurst>> kept_;  // buffers
  std::map<const std::byte*, Bytes> held_;         // frames as they came, by their first byte
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Machine machine;
  machine.run(Commands(data, size));
  return 0;
}
