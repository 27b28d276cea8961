// SPDX-License-Identifier: Apache-2.0
#include "control/cli/replay.h"

#include "control/cli/capture_link.h"
#include "control/cli/offline.h"
#include "control/cli/trace_packet.h"

#include <algorithm>
#include <array>

namespace holdfast::control {
namespace {

using dataplane::Drop;
using dataplane::Frame;
using dataplane::Verdict;

constexpr std::uint16_t kRoom = 128;
constexpr std::size_t kMostContiguous = 65'535 - kRoom;  // headers may come in front
// The process makes this much of every frame contiguous; only a cut record has less.
constexpr std::size_t kHeaderBytes = 256;
// Steps of time in which 65 536 flows, 4096 a step, are swept before their stamps wrap.
constexpr std::uint64_t kStepMs = 2'048'000;

std::optional<ReplayResult> without_pipeline(const CaptureRecord& record) {
  if (record.cut) {
    return ReplayResult{.verdict = Verdict::kDrop, .reason = Drop::kTruncated};
  }
  if (!is_supported_link(record.link)) {
    return ReplayResult{.verdict = Verdict::kKernel};
  }
  return std::nullopt;
}

bool is_cut_in_headers(const CaptureRecord& record) {
  return record.bytes.size() < std::min<std::size_t>(record.original_length, kHeaderBytes);
}

// "tcp 198.51.100.7:40000 > 203.0.113.10:80", as the flow's packets come from the same side.
std::string flow_text(const dataplane::FlowKey& key) {
  return (key.protocol == dataplane::Protocol::kTcp ? "tcp " : "udp ") +
         endpoint_text(key.source, key.source_port.to_host()) + " > " +
         endpoint_text(key.destination, key.destination_port.to_host());
}

}  // namespace

// A record's bytes laid out as the process would.
struct Replay::Buffer {
  Buffer(const CaptureRecord& record, std::uint64_t record_number)
      : number(record_number),
        memory(new std::byte[record.bytes.size() + std::size_t{2} * kRoom]),
        captured(record.bytes.size()),
        contiguous(std::min(captured, kMostContiguous)),
        cut_in_headers(is_cut_in_headers(record)) {
    std::ranges::copy(record.bytes, memory.get() + kRoom);
  }

  [[nodiscard]] Frame frame(const CaptureRecord& record, dataplane::PortIndex port) {
    return {.data = memory.get() + kRoom,
            .length = record.original_length,
            .contiguous = static_cast<std::uint16_t>(contiguous),
            .headroom = kRoom,
            .tailroom = captured == contiguous ? kRoom : std::uint16_t{0},
            .port = port,
            .note = {},
            .handle = this};
  }

  // What stands there after the pipeline: with its tail, unless the frame was made anew.
  [[nodiscard]] ReplayedFrame taken(const Frame& frame) const {
    const std::size_t beyond = frame.length - frame.contiguous;  // less, when padding was cut
    const std::size_t tail = std::min(captured - contiguous, beyond);
    return {.bytes = {frame.data, frame.data + frame.contiguous + tail},
            .original_length = frame.length,
            .port = frame.port};
  }

  std::uint64_t number;
  std::unique_ptr<std::byte[]> memory;
  std::size_t captured;
  std::size_t contiguous;
  bool cut_in_headers;
};

Replay::Replay(dataplane::Solo& solo, dataplane::PortIndex entry) : solo_(solo), entry_(entry) {}

Replay::~Replay() {
  // The frames' buffers go; the pipeline must not give one back to somebody else.
  std::array<Frame, dataplane::kBurstSize> frames;
  solo_.worker().fragments.abandon();
  while (solo_.worker().fragments.take_released(frames) > 0) {
  }
}

ReplayResult Replay::push(CaptureRecord record) {
  const std::uint64_t number = pushed_++;
  if (const auto decided = without_pipeline(record)) {
    return *decided;
  }
  make_ethernet(record, kOurMac, kNextHopMac, solo_.neighborhood().link(entry_).tags);
  pass_time(clock_.advance(record.time));
  auto buffer = std::make_unique<Buffer>(record, number);
  burst_.frame[0] = buffer->frame(record, entry_);
  burst_.begin(1);
  solo_.run(burst_, now_ms_);
  ReplayResult result = result_of(burst_, 0);
  if (result.verdict == Verdict::kHold) {
    held_.emplace(buffer.get(), std::move(buffer));
  }
  run_released();
  return result;
}

void Replay::run_released() {
  while (solo_.take_released(burst_)) {
    solo_.run(burst_, now_ms_);
    for (std::uint16_t i = 0; i < burst_.size; ++i) {
      const auto held = held_.find(burst_.frame[i].handle);
      released_.push_back({.number = held->second->number,
                           .result = result_of(burst_, static_cast<dataplane::Slot>(i))});
      held_.erase(held);
    }
  }
  solo_.worker().notices.clear();
}

void Replay::pass_time(std::uint64_t until_ms) {
  while (now_ms_ + kStepMs < until_ms) {
    now_ms_ += kStepMs;
    burst_.begin(0);
    solo_.run(burst_, now_ms_);
    run_released();
  }
  now_ms_ = until_ms;
}

ReplayResult Replay::result_of(const dataplane::Burst& burst, dataplane::Slot slot) const {
  const auto& buffer = *static_cast<const Buffer*>(burst.frame[slot].handle);
  ReplayResult result{.verdict = burst.verdict[slot]};
  if (result.verdict == Verdict::kDrop) {
    const Drop reason = burst.reason[slot];
    // The stages take missing headers for ones behind a long chain, since nothing else is cut so
    // early in the process.
    result.reason =
        reason == Drop::kExtensionChain && buffer.cut_in_headers ? Drop::kTruncated : reason;
  }
  if (result.verdict == Verdict::kForward || result.verdict == Verdict::kReply) {
    result.sent.push_back(buffer.taken(burst.frame[slot]));
    solo_.worker().stats.transmitted.add(1);
  }
  if (burst.kind[slot] == dataplane::Kind::kIcmpError) {
    result.icmp_error = flow_text(burst.key[slot]);
  }
  if (burst.known[slot] || burst.chosen_slot[slot] != dataplane::kNoSlot) {
    const dataplane::MemberRecord& member = solo_.member_record(burst.member[slot]);
    result.service = member.service.view();
    result.backend = member.backend.view();
  } else if (burst.service[slot] != dataplane::kNoService) {
    result.service = solo_.generation().service(burst.service[slot]).name;
  }
  return result;
}

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kForward:
      return "forward";
    case Verdict::kReply:
      return "reply";
    case Verdict::kKernel:
      return "kernel";
    case Verdict::kHold:
      return "hold";
    case Verdict::kDrop:
    case Verdict::kPending:
      break;
  }
  return "drop";
}

}  // namespace holdfast::control
