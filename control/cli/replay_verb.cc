// SPDX-License-Identifier: Apache-2.0
// The verb `replay`: a capture file in, a capture of what would be transmitted and one verdict per
// record out. No daemon, no privilege, no DPDK.
#include "control/cli/capture.h"
#include "control/cli/capture_link.h"
#include "control/cli/capture_writer.h"
#include "control/cli/drop_text.h"
#include "control/cli/offline.h"
#include "control/cli/replay.h"
#include "control/cli/replay_lines.h"
#include "control/cli/verb.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <system_error>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace holdfast::control {
namespace {

namespace json = boost::json;
using dataplane::Verdict;

constexpr std::uint64_t kFlows = 65'536;
constexpr const char* kStandardStream = "-";
constexpr const char* kReplayHelp =
    "IN is a pcap or pcapng, in microseconds or nanoseconds, of Ethernet frames; raw IP, BSD\n"
    "loopback and Linux cooked captures get an Ethernet header. Each frame passes the pipeline\n"
    "alone, in order, at its time in the capture; time never runs backward, and a gap of more\n"
    "than 32768 s counts as that. Up to 65536 flows are tracked. '-' is standard input or output.\n"
    "\n"
    "Two kinds of records get a verdict without the pipeline. Those of another link type, or of\n"
    "an interface that IN does not describe, are the kernel's. Those with bytes that IN lacks (it\n"
    "ends within the record, the record is longer than its block) and those that claim more than\n"
    "262144 bytes are dropped as truncated. Of what is damaged the rest is replayed as long as "
    "the\n"
    "next record can be found.\n"
    "\n"
    "Every port has the MAC address 02:00:5e:10:00:01 and no limit on the size of a packet. "
    "Frames\n"
    "to backends leave by the second port, if there is one, those to clients by the first.\n"
    "\n"
    "OUT is a pcap with IN's times, in nanoseconds when IN has them or is a pcapng; a fragment\n"
    "that waited for the first one of its datagram has the time at which that came. A line of V\n"
    "belongs to one record of IN, in IN's order:\n"
    "  frame    its number, from 0\n"
    "  verdict  forward, reply, kernel or drop, in the end; hold: a fragment still waits\n"
    "  reason   of a drop (docs/drops.md explains each), else null\n"
    "  service, backend   null when there is none\n"
    "  out      numbers of OUT's records that came of it, from 0\n"
    "  icmp_error   only of an ICMP error: the flow that it is about\n"
    "\n"
    "At the end it prints the number of each verdict and, for every reason of a drop that there\n"
    "was, the number and what it means.\n"
    "\n"
    "Exit codes: 1 IN is damaged (what could be read is done) or an output cannot be written,\n"
    "3 the configuration is invalid.";

struct ReplayOptions {
  OfflineOptions offline{.flows = kFlows};
  std::string in;
  std::string out;
  std::string verdicts;  // empty: none
};

// A file, or a standard stream for '-'.
class Output {
 public:
  Output(const std::string& path, Context& context)
      : stream_(path == kStandardStream ? &context.out : &file_), path_(path) {
    if (path != kStandardStream) {
      file_.open(path, std::ios::binary | std::ios::trunc);
    }
  }

  [[nodiscard]] std::ostream& stream() { return *stream_; }
  // True when everything so far could be written.
  [[nodiscard]] bool good() {
    stream_->flush();
    return stream_->good();
  }
  [[nodiscard]] std::string complaint() const {
    return "cannot write " + path_ + ": " + std::strerror(errno);
  }

 private:
  std::ofstream file_;
  std::ostream* stream_;
  std::string path_;
};

struct Tally {
  std::uint64_t frames = 0;
  std::array<std::uint64_t, 6> verdicts{};
  std::array<std::uint64_t, dataplane::kDropCount> drops{};

  void add(const ReplayResult& result) {
    ++frames;
    count(result);
  }
  // The end of a frame that was held.
  void settle(const ReplayResult& result) {
    --verdicts[static_cast<std::size_t>(Verdict::kHold)];
    count(result);
  }
  void count(const ReplayResult& result) {
    ++verdicts[static_cast<std::size_t>(result.verdict)];
    if (result.reason) {
      ++drops[static_cast<std::size_t>(*result.reason)];
    }
  }
  [[nodiscard]] std::string text() const;
  // A line for each reason that there was, with its words.
  [[nodiscard]] std::string reasons() const;
};

std::string Tally::text() const {
  std::string text = std::to_string(frames) + " frames:";
  for (const Verdict verdict :
       {Verdict::kForward, Verdict::kReply, Verdict::kKernel, Verdict::kHold, Verdict::kDrop}) {
    text.append(verdict == Verdict::kForward ? " " : ", ")
        .append(verdict_name(verdict))
        .append(" ")
        .append(std::to_string(verdicts[static_cast<std::size_t>(verdict)]));
  }
  std::string_view separator = " (";
  for (std::size_t i = 0; i < drops.size(); ++i) {
    if (drops[i] > 0) {
      text.append(separator)
          .append(dataplane::kDropNames[i])
          .append(" ")
          .append(std::to_string(drops[i]));
      separator = ", ";
    }
  }
  return text + (separator == ", " ? ")" : "");
}

std::string Tally::reasons() const {
  std::string text;
  for (const DropText& drop : kDropTexts) {
    const std::uint64_t count = drops[static_cast<std::size_t>(drop.reason)];
    if (count > 0) {
      text.append("  ")
          .append(drop_name(drop.reason))
          .append(" ")
          .append(std::to_string(count))
          .append(": ")
          .append(drop.meaning)
          .append("\n");
    }
  }
  return text;
}

json::value text_or_null(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

std::string verdict_line(std::uint64_t frame, const ReplayResult& result, std::uint64_t first_out) {
  json::array out;
  for (std::size_t i = 0; i < result.sent.size(); ++i) {
    out.emplace_back(first_out + i);
  }
  json::value reason = nullptr;
  if (result.reason) {
    reason = dataplane::drop_name(*result.reason);
  }
  json::object line = {{"frame", frame},
                       {"verdict", verdict_name(result.verdict)},
                       {"reason", std::move(reason)},
                       {"service", text_or_null(result.service)},
                       {"backend", text_or_null(result.backend)},
                       {"out", std::move(out)}};
  if (!result.icmp_error.empty()) {
    line["icmp_error"] = result.icmp_error;
  }
  return json::serialize(line);
}

// One run: from here on only the files and the pipeline matter.
class ReplayRun {
 public:
  ReplayRun(Offline offline, std::unique_ptr<CaptureReader> reader, Context& context)
      : offline_(std::move(offline)),
        replay_(*offline_.solo, offline_.entry),
        reader_(std::move(reader)),
        context_(context) {}

  void run(const ReplayOptions& options);

 private:
  void push(CaptureRecord record, CaptureWriter& writer);
  std::string write_sent(std::uint64_t frame,
                         const ReplayResult& result,
                         CaptureTime time,
                         CaptureWriter& writer);
  // The next record; nullopt at the end, and where no other can be found.
  std::optional<CaptureRecord> next();
  void note_damage(const std::string& what);
  void note_link(LinkType link);
  void account();

  Offline offline_;
  Replay replay_;
  std::unique_ptr<CaptureReader> reader_;
  Context& context_;
  Tally tally_;
  VerdictLines lines_;
  std::uint64_t damages_ = 0;
  std::string first_damage_;
  bool link_noted_ = false;
};

std::optional<CaptureRecord> ReplayRun::next() {
  auto record = reader_->next();
  if (!record) {
    note_damage(record.error());
    return std::nullopt;
  }
  return std::move(*record);
}

void ReplayRun::note_damage(const std::string& what) {
  if (++damages_ == 1) {
    first_damage_ = "frame " + std::to_string(tally_.frames) + ": " + what;
  }
}

void ReplayRun::note_link(LinkType link) {
  if (!link_noted_) {
    context_.error << "holdfast: note: frame " << tally_.frames << ": " << unsupported_link(link)
                   << '\n';
    link_noted_ = true;
  }
}

// Returns the line.
std::string ReplayRun::write_sent(std::uint64_t frame,
                                  const ReplayResult& result,
                                  CaptureTime time,
                                  CaptureWriter& writer) {
  std::string line = verdict_line(frame, result, writer.count());
  for (const ReplayedFrame& sent : result.sent) {
    writer.write(time, sent.bytes, sent.original_length);
  }
  return line;
}

void ReplayRun::push(CaptureRecord record, CaptureWriter& writer) {
  const CaptureTime time = record.time;
  if (!record.damage.empty()) {
    note_damage(record.damage);
  } else if (!is_supported_link(record.link)) {
    note_link(record.link);
  }
  const ReplayResult result = replay_.push(std::move(record));
  std::string line = write_sent(tally_.frames, result, time, writer);
  lines_.add(result.verdict == Verdict::kHold ? std::nullopt : std::optional(std::move(line)));
  tally_.add(result);
  for (const ReleasedRecord& released : replay_.released()) {
    lines_.settle(released.number, write_sent(released.number, released.result, time, writer));
    tally_.settle(released.result);
  }
}

void ReplayRun::account() {
  context_.error << "holdfast: " << tally_.text() << '\n' << tally_.reasons();
  if (damages_ > 0) {
    const std::string more =
        damages_ > 1 ? "; " + std::to_string(damages_) + " places are damaged in all" : "";
    context_.fail(kExitFailed, first_damage_ + more);
  }
  if (const std::uint64_t lost = unaccounted(offline_.solo->worker().stats); lost != 0) {
    context_.fail(kExitFailed, "defect: " + std::to_string(lost) + " frames are not accounted for");
  }
}

void ReplayRun::run(const ReplayOptions& options) {
  Output out(options.out, context_);
  CaptureWriter writer(out.stream(),
                       reader_->has_nanoseconds() ? CaptureResolution::kNanoseconds
                                                  : CaptureResolution::kMicroseconds);
  std::optional<Output> verdicts;
  if (!options.verdicts.empty()) {
    verdicts.emplace(options.verdicts, context_);
    lines_.write_to(verdicts->stream());
  }
  while (out.stream().good() && (!verdicts || verdicts->stream().good())) {
    std::optional<CaptureRecord> record = next();
    if (!record) {
      break;
    }
    push(std::move(*record), writer);
  }
  lines_.finish(
      [](std::uint64_t frame) { return verdict_line(frame, {.verdict = Verdict::kHold}, 0); });
  if (!out.good()) {
    context_.fail(kExitFailed, out.complaint());
    context_.output_lost = options.out == kStandardStream;
  } else if (verdicts && !verdicts->good()) {
    context_.fail(kExitFailed, verdicts->complaint());
  }
  account();
}

// True when both names lead to one file that would be read and written, or written twice.
bool collide(const std::string& first, const std::string& second) {
  std::error_code ignored;
  return !second.empty() &&
         (first == second || std::filesystem::equivalent(first, second, ignored));
}

void replay(const ReplayOptions& options, Context& context) {
  const bool in_place = options.in != kStandardStream &&
                        (collide(options.in, options.out) || collide(options.in, options.verdicts));
  if (in_place || collide(options.out, options.verdicts)) {
    context.fail(kExitUsage, "--in, --out and --verdicts must be different files");
    return;
  }
  auto offline = set_up_offline(options.offline, context);
  if (!offline) {
    return;
  }
  std::ifstream file;
  if (options.in != kStandardStream) {
    file.open(options.in, std::ios::binary);
    if (!file) {
      context.fail(kExitFailed, "cannot read " + options.in + ": " + std::strerror(errno));
      return;
    }
  }
  auto reader = open_capture(options.in == kStandardStream ? std::cin : file);
  if (!reader) {
    context.fail(kExitFailed, options.in + ": " + reader.error());
    return;
  }
  ReplayRun(std::move(*offline), std::move(*reader), context).run(options);
}

}  // namespace

void add_replay(CLI::App& app, Context& context) {
  auto options = std::make_shared<ReplayOptions>();
  Verb verb(app, "replay", "Run a capture file through the forwarding");
  add_offline(verb, options->offline);
  verb.required({"--in", "FILE", "capture of what is received"}, options->in)
      .required({"--out", "FILE", "pcap of what would be transmitted"}, options->out)
      .optional({"--verdicts", "FILE", "one JSON object per record"}, options->verdicts)
      .optional({"--port", "NAME", "port that frames enter; default: the first"},
                options->offline.port)
      .flag({"--match-mac", "", "drop frames to other stations than " + mac_text(kOurMac)},
            options->offline.match_mac)
      .read({"--next-hop-mac",
             "MAC",
             "MAC address of every next hop; default " + mac_text(kNextHopMac)},
            [options](const std::string& text) {
              const auto mac = parse_mac(text);
              options->offline.next_hop = mac.value_or(kNextHopMac);
              return mac ? "" : "'" + text + "' is no MAC address: write 02:00:5e:20:00:01";
            })
      .footer(kReplayHelp)
      .runs([options, &context] { replay(*options, context); });
}

}  // namespace holdfast::control
