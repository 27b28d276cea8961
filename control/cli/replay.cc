// SPDX-License-Identifier: Apache-2.0
#include "control/cli/replay.h"

#include "control/cli/capture_link.h"
#include "control/cli/offline.h"
#include "control/cli/trace_packet.h"

#include <algorithm>
#include <memory>

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

// A record's bytes laid out as the process would.
class FrameBuffer {
 public:
  explicit FrameBuffer(const CaptureRecord& record)
      : memory_(new std::byte[record.bytes.size() + std::size_t{2} * kRoom]),
        captured_(record.bytes.size()),
        contiguous_(std::min(captured_, kMostContiguous)) {
    std::ranges::copy(record.bytes, memory_.get() + kRoom);
  }

  [[nodiscard]] Frame frame(const CaptureRecord& record, dataplane::PortIndex port) const {
    return {.data = memory_.get() + kRoom,
            .length = record.original_length,
            .contiguous = static_cast<std::uint16_t>(contiguous_),
            .headroom = kRoom,
            .tailroom = captured_ == contiguous_ ? kRoom : std::uint16_t{0},
            .port = port,
            .handle = nullptr};
  }

  // What stands there after the pipeline: with its tail, unless the frame was made anew.
  [[nodiscard]] ReplayedFrame taken(const Frame& frame) const {
    const std::size_t beyond = frame.length - frame.contiguous;  // less, when padding was cut
    const std::size_t tail = std::min(captured_ - contiguous_, beyond);
    return {.bytes = {frame.data, frame.data + frame.contiguous + tail},
            .original_length = frame.length,
            .port = frame.port};
  }

 private:
  std::unique_ptr<std::byte[]> memory_;
  std::size_t captured_;
  std::size_t contiguous_;
};

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

ReplayResult Replay::push(CaptureRecord record) {
  if (const auto decided = without_pipeline(record)) {
    return *decided;
  }
  make_ethernet(record, kOurMac, kNextHopMac);
  pass_time(clock_.advance(record.time));
  const FrameBuffer buffer(record);
  burst_.frame[0] = buffer.frame(record, entry_);
  burst_.begin(1);
  solo_.run(burst_, now_ms_);

  ReplayResult result{.verdict = burst_.verdict[0]};
  if (result.verdict == Verdict::kDrop) {
    const Drop reason = burst_.reason[0];
    // The stages take missing headers for ones behind a long chain, since nothing else is cut so
    // early in the process.
    result.reason =
        reason == Drop::kExtensionChain && is_cut_in_headers(record) ? Drop::kTruncated : reason;
  }
  if (result.verdict == Verdict::kForward || result.verdict == Verdict::kReply) {
    result.sent.push_back(buffer.taken(burst_.frame[0]));
    solo_.worker().stats.transmitted.add(1);
  }
  name_flow(result);
  solo_.worker().notices.clear();
  return result;
}

void Replay::pass_time(std::uint64_t until_ms) {
  while (now_ms_ + kStepMs < until_ms) {
    now_ms_ += kStepMs;
    burst_.begin(0);
    solo_.run(burst_, now_ms_);
  }
  now_ms_ = until_ms;
}

void Replay::name_flow(ReplayResult& result) const {
  if (burst_.kind[0] == dataplane::Kind::kIcmpError) {
    result.icmp_error = flow_text(burst_.key[0]);
  }
  if (burst_.known[0] || burst_.chosen_slot[0] != dataplane::kNoFlow) {
    const dataplane::MemberRecord& member = solo_.member_record(burst_.member[0]);
    result.service = member.service.view();
    result.backend = member.backend.view();
  } else if (burst_.service[0] != dataplane::kNoService) {
    result.service = solo_.generation().service(burst_.service[0]).name;
  }
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
