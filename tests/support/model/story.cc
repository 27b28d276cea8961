// SPDX-License-Identifier: Apache-2.0
// Telling a story to both and comparing what they say.
#include "tests/support/model/story.h"

#include "tests/support/frame_difference.h"
#include "tests/support/model/digest.h"
#include "tests/support/model/subject.h"

#include <sstream>

namespace holdfast::testing {
namespace {

using dataplane::drop_name;

constexpr std::uint64_t kStartMs = 1'000'000;
constexpr std::uint64_t kWholeRoundMs = 2'000;  // worker_state.h: up to 4096 places go round in 2 s

std::string_view verdict_name(Verdict verdict) {
  static constexpr std::array<std::string_view, 6> kNames = {
      "pending", "forward", "reply", "kernel", "hold", "drop"};
  return kNames.at(static_cast<std::size_t>(verdict));
}

std::string outline(const Foretold& fate) {
  std::string text(verdict_name(fate.verdict));
  if (fate.reason) {
    text += " (" + std::string(drop_name(*fate.reason)) + ")";
  }
  if (fate.verdict == Verdict::kForward || fate.verdict == Verdict::kReply) {
    text += " by port " + std::to_string(fate.port);
  }
  return fate.backend.empty() ? text : text + " to " + fate.backend;
}

// Empty when they agree.
std::string difference_of(const Foretold& is, const Foretold& expected) {
  const bool leaves = expected.verdict == Verdict::kForward || expected.verdict == Verdict::kReply;
  if (is.verdict != expected.verdict || is.reason != expected.reason ||
      is.backend != expected.backend || (leaves && is.port != expected.port)) {
    return "it is " + outline(is) + ", expected " + outline(expected);
  }
  if (leaves && is.beyond != expected.beyond) {
    return std::to_string(is.beyond) + " bytes go on beyond, expected " +
           std::to_string(expected.beyond);
  }
  return expected.verdict == Verdict::kDrop ? "" : difference(is.bytes, expected.bytes);
}

// Says "name: is A, expected B" for each number that differs.
class Comparison {
 public:
  void number(std::string_view name, std::uint64_t is, std::uint64_t expected) {
    if (is != expected) {
      text_ << "  " << name << ": is " << is << ", expected " << expected << '\n';
    }
  }
  [[nodiscard]] std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
};

std::string difference_of(const Counts& is, const Counts& expected) {
  Comparison c;
  for (const WorkerCounter& counter : kCounters) {
    c.number(counter.name, is.*counter.ours, expected.*counter.ours);
  }
  for (std::size_t i = 0; i < is.drops.size(); ++i) {
    c.number(drop_name(static_cast<Drop>(i)), is.drops[i], expected.drops[i]);
  }
  return c.text();
}

std::string difference_of(const Member& is, const Member& expected) {
  Comparison c;
  if (is.service != expected.service || is.backend != expected.backend ||
      is.address != expected.address || is.port != expected.port || is.mode != expected.mode) {
    return "  is " + is.service + "/" + is.backend + " at " + is.address.text() + '\n';
  }
  c.number("active", is.active ? 1 : 0, expected.active ? 1 : 0);
  c.number("disposition",
           static_cast<std::uint64_t>(is.disposition),
           static_cast<std::uint64_t>(expected.disposition));
  for (const MemberCounter& counter : kMemberCounters) {
    c.number(counter.name, is.counts.*counter.ours, expected.counts.*counter.ours);
  }
  for (std::size_t i = 0; i < dataplane::kMoveCauses; ++i) {
    c.number(dataplane::kMoveCauseNames.at(i), is.moves.moved.at(i), expected.moves.moved.at(i));
  }
  c.number("flows reset", is.moves.reset, expected.moves.reset);
  c.number("untracked moves", is.moves.untracked, expected.moves.untracked);
  c.number("refusals", is.moves.refusals, expected.moves.refusals);
  return c.text();
}

std::string outline(const FlowName& name) {
  return name.client.text() + " port " + std::to_string(name.client_port) + " to " +
         name.vip.text() + " of binding " + std::to_string(name.binding) + " port " +
         std::to_string(name.service_port);
}

// Model and product on their way through one story.
class Both {
 public:
  explicit Both(const Story& story)
      : vlans_(story.vlans),
        tiny_(story.tiny_tables),
        crowd_(story.small_tables ? Crowd{.clients = 10, .ports = 4} : Crowd{}),
        model_({.key = {story.key}, .capacity = capacity_of(geometry_of(story))}),
        subject_({.key = {story.key}, .geometry = geometry_of(story)}) {
    std::uint32_t modes = story.modes;
    std::uint32_t affinities = story.affinities;
    for (std::size_t i = 0; i < kSiteServices; ++i) {
      site_.services.at(i).mode = static_cast<std::uint8_t>(modes % kSiteModes);
      modes /= kSiteModes;
      site_.services.at(i).tunnel = story.shape == 3 ? 4 : 0;
      site_.services.at(i).hash = static_cast<std::uint8_t>(story.shape == 3 ? i : 0);
      site_.services.at(i).affinity = static_cast<std::uint8_t>(affinities % kSiteAffinities);
      affinities /= kSiteAffinities;
      for (std::size_t j = 0; j < kSiteMembers; ++j) {
        SiteMember& member = site_.services.at(i).members.at(j);
        const bool first = j % 3 == 0;
        member.weight = story.shape != 1 ? 0 : first ? 4 : 2;  // 100, 250, 1
        member.tier = story.shape == 2 && !first ? 1 : 0;
      }
    }
    surround(0);
    publish();
    subject_.sweep(now_ms_);
  }

  void go(const Command& command) {
    switch (command.what) {
      case Happening::kBurst:
        return burst(command.frames);
      case Happening::kWait:
        return wait(command.value);
      case Happening::kStall:
        return stall(command.value);
      case Happening::kDispose:
        return dispose(command);
      case Happening::kPublish:
        site_.change(command.part,
                     command.service,
                     command.member,
                     static_cast<std::uint8_t>(command.value));
        return command.part == Part::kDefect ? refuse() : publish();
      case Happening::kSurround:
        return surround(command.value % kSurroundingVariants);
      case Happening::kRestart:
        return restart();
    }
  }

  void compare_flows() {
    const auto translations = subject_.translations();
    if (translations.size() != model_.translations().size()) {
      throw Impossible("translations: " + std::to_string(translations.size()) + ", expected " +
                       std::to_string(model_.translations().size()));
    }
    for (const auto& [id, expected] : model_.translations()) {
      const auto found = translations.find(expected.reply);
      Translation stamped = expected;
      stamped.seen_s = expected.seen_s % 65536;
      stamped.burst = 0;
      if (found == translations.end() || found->second != stamped) {
        throw Impossible("the translation of " + outline(expected.name) + " differs");
      }
    }
    compare_entries();
    compare_memory();
  }

  // Over all lives.
  [[nodiscard]] Counts counts() const { return earlier_lives_ + model_.counts(); }
  // Where nothing is foretold any more.
  [[nodiscard]] bool crowded() const { return !tiny_ && subject_.crowded(); }
  [[nodiscard]] std::uint64_t digest() const { return digest_.value(); }

 private:
  static dataplane::StateGeometry geometry_of(const Story& story) {
    return {.workers = 1,
            .buckets_v4 = story.tiny_tables    ? 2U
                          : story.small_tables ? 512U
                                               : 2048U,
            .buckets_v6 = story.tiny_tables    ? 2U
                          : story.small_tables ? 256U
                                               : 1024U,
            .buckets_wide = story.tiny_tables    ? 2U
                            : story.small_tables ? 128U
                                                 : 1024U,
            .records_nat = story.tiny_tables    ? 16U
                           : story.small_tables ? 64U
                                                : 4096U};
  }
  static Capacity capacity_of(const dataplane::StateGeometry& geometry) {
    return {
        .entries = {geometry.buckets_v4 * 4, geometry.buckets_v6 * 4, geometry.buckets_wide * 4},
        .records = geometry.records_nat,
        .one_pair = geometry.buckets_v4 == 2 && geometry.buckets_v6 == 2};
  }

  // Who gave way in a full table shows only frame by frame.
  void burst(const std::vector<FrameOp>& ops) {
    if (!tiny_) {
      return burst_of(ops);
    }
    for (const FrameOp& op : ops) {
      burst_of({op});
    }
  }

  void burst_of(const std::vector<FrameOp>& ops) {
    std::vector<Arriving> frames;
    for (const FrameOp& op : ops) {
      frames.push_back(build_frame(op, model_, crowd_));
    }
    const std::vector<Foretold> is = subject_.run(frames, now_ms_);
    const std::vector<Foretold> expected = model_.run(
        frames,
        now_ms_,
        [&](std::size_t slot) { return subject_.endpoint(slot); },
        [&](const FlowName& name) { return subject_.entries().contains(name); },
        [&](const SourceName& name) { return subject_.memory().contains(name); },
        [&](const Translation& flow) { return stands(flow); });
    for (std::size_t i = 0; i < frames.size(); ++i) {
      digest_.add(is[i]);
      if (const std::string text = difference_of(is[i], expected[i]); !text.empty()) {
        throw Impossible("frame " + std::to_string(i) + ": " + text + as_it_came(frames[i]));
      }
    }
    compare_counts();
    if (subject_.hearsay() != model_.hearsay()) {
      throw Impossible("other neighbours were told of");
    }
    released();
  }

  // Frames that were held and come again.
  void released() {
    for (;;) {
      const std::vector<Foretold> is = subject_.run_released(now_ms_);
      const std::vector<Foretold> expected = model_.run_released(
          now_ms_,
          [&](std::size_t slot) { return subject_.endpoint(slot); },
          [&](const FlowName& name) { return subject_.entries().contains(name); },
          [&](const SourceName& name) { return subject_.memory().contains(name); },
          [&](const Translation& flow) { return stands(flow); });
      if (is.size() != expected.size()) {
        throw Impossible(std::to_string(is.size()) + " frames were released, expected " +
                         std::to_string(expected.size()));
      }
      if (is.empty()) {
        return;
      }
      for (std::size_t i = 0; i < is.size(); ++i) {
        digest_.add(is[i]);
        if (const std::string text = difference_of(is[i], expected[i]); !text.empty()) {
          throw Impossible("released frame " + std::to_string(i) + ": " + text);
        }
      }
      compare_counts();
      if (subject_.hearsay() != model_.hearsay()) {
        throw Impossible("other neighbours were told of");
      }
    }
  }

  // And not another one with its endpoint.
  [[nodiscard]] bool stands(const Translation& flow) const {
    const auto all = subject_.translations();
    const auto found = all.find(flow.reply);
    return found != all.end() && found->second.seen_s == flow.seen_s % 65536;
  }

  static std::string as_it_came(const Arriving& frame) {
    std::string text = "\nas it came by port " + std::to_string(frame.port) + ":\n";
    for (const Field& field : describe(frame.bytes)) {
      text += "  " + field.name + ": " + field.value + '\n';
    }
    return text;
  }

  void compare_counts() {
    if (const std::string text = difference_of(subject_.counts(), model_.counts()); !text.empty()) {
      throw Impossible("the worker's counters:\n" + text);
    }
    if (subject_.unaccounted() != 0) {
      throw Impossible("packets are unaccounted for");
    }
    if (subject_.member_count() != model_.members().size()) {
      throw Impossible("members: " + std::to_string(subject_.member_count()) + ", expected " +
                       std::to_string(model_.members().size()));
    }
    for (MemberIndex i = 0; i < model_.members().size(); ++i) {
      const Member& expected = model_.members()[i];
      if (const std::string text = difference_of(subject_.member(i), expected); !text.empty()) {
        throw Impossible("member " + expected.service + "/" + expected.backend + ":\n" + text);
      }
    }
  }

  void compare_entries() {
    const auto entries = subject_.entries();
    if (entries.size() != model_.entries().size()) {
      throw Impossible("entries: " + std::to_string(entries.size()) + ", expected " +
                       std::to_string(model_.entries().size()));
    }
    for (const auto& [name, expected] : model_.entries()) {
      const auto found = entries.find(name);
      Entry stamped = expected;
      stamped.seen_s = expected.seen_s % 65536;
      if (found == entries.end() || found->second != stamped) {
        throw Impossible("the entry of " + outline(name) + " differs");
      }
    }
  }

  void compare_memory() {
    const auto memory = subject_.memory();
    if (memory.size() != model_.memory().size()) {
      throw Impossible("sources remembered: " + std::to_string(memory.size()) + ", expected " +
                       std::to_string(model_.memory().size()));
    }
    for (const auto& [name, expected] : model_.memory()) {
      const auto found = memory.find(name);
      Remembered stamped = expected;
      stamped.seen_s = expected.seen_s % 65536;
      if (found == memory.end() || found->second != stamped) {
        throw Impossible("what " + name.service + " remembers of " + name.prefix.text() +
                         " differs");
      }
    }
  }

  void wait(std::uint32_t milliseconds) {
    now_ms_ += milliseconds;
    subject_.sweep(now_ms_);
    const auto entries = subject_.entries();
    const auto memory = subject_.memory();
    const auto translations = subject_.translations();
    model_.sweep(
        now_ms_,
        milliseconds >= kWholeRoundMs,
        [&](const FlowName& name) { return entries.contains(name); },
        [&](const SourceName& name) { return memory.contains(name); },
        [&](const ReplyName& name) { return translations.contains(name); });
    released();
    compare_counts();
    compare_flows();
  }

  // In larger tables what is over would fill buckets, of which the model does not know.
  void stall(std::uint32_t milliseconds) {
    if (!tiny_) {
      return wait(milliseconds);
    }
    now_ms_ += milliseconds;
  }

  void dispose(const Command& command) {
    const std::string service = service_name(command.service);
    const std::string backend = backend_name(command.member);
    const auto value = any_disposition(command.value);
    subject_.set_disposition(service, backend, value);
    model_.set_disposition(service, backend, value);
  }

  void publish() {
    const dataplane::GenerationSpec spec = site_.specification();
    if (const std::string why = subject_.publish(spec, now_ms_); !why.empty()) {
      throw Impossible("the specification was refused: " + why);
    }
    model_.publish(spec, now_ms_);
    compare_counts();
  }

  void refuse() {
    dataplane::GenerationSpec spec = site_.specification();
    spec.services.emplace_back();  // without a name
    if (subject_.publish(spec, now_ms_).empty()) {
      throw Impossible("a service without a name was taken");
    }
    compare_counts();
  }

  void surround(std::uint32_t variant) {
    subject_.surround(site_surroundings(variant, vlans_));
    model_.surround(site_surroundings(variant, vlans_));
  }

  void restart() {
    if (const std::string why = subject_.restart(now_ms_); !why.empty()) {
      throw Impossible("the state was not adopted: " + why);
    }
    earlier_lives_ = counts();
    model_.restart(subject_.half_open_after_restart());
    compare_counts();
    compare_flows();
  }

  std::uint64_t now_ms_ = kStartMs;
  Counts earlier_lives_;
  Digest digest_;
  std::uint32_t vlans_;
  Site site_;
  bool tiny_;
  Crowd crowd_;
  Model model_;
  Subject subject_;
};

}  // namespace

Telling tell(const Story& story) {
  Telling telling;
  Both both(story);
  std::size_t number = 0;
  try {
    for (const Command& command : story.commands) {
      both.go(command);
      ++number;
    }
    both.compare_flows();
  } catch (const Impossible& impossible) {
    telling.crowded = both.crowded();
    if (!telling.crowded) {
      telling.difference = "command " + std::to_string(number) + ": " + impossible.what();
    }
  }
  telling.counts = both.counts();
  telling.digest = both.digest();
  return telling;
}

std::ostream& operator<<(std::ostream& out, const Command& command) {
  switch (command.what) {
    case Happening::kBurst:
      out << "burst";
      for (const FrameOp& op : command.frames) {
        out << "\n    " << op;
      }
      return out;
    case Happening::kWait:
      return out << "wait " << command.value << " ms";
    case Happening::kStall:
      return out << "wait " << command.value << " ms, in tiny tables without the sweeper";
    case Happening::kDispose:
      return out
             << "disposition of " << service_name(command.service) << '/'
             << backend_name(command.member) << " to "
             << dataplane::kDispositionNames[std::to_underlying(any_disposition(command.value))];
    case Happening::kPublish:
      return out << "publish: part " << int(command.part) << " of " << service_name(command.service)
                 << '/' << backend_name(command.member) << " to " << command.value;
    case Happening::kSurround:
      return out << "surroundings " << command.value;
    case Happening::kRestart:
      return out << "restart";
  }
  return out;
}

std::ostream& operator<<(std::ostream& out, const Story& story) {
  out << "modes " << int(story.modes) << ", affinities " << int(story.affinities) << ", key "
      << int(story.key) << (story.small_tables ? ", small tables" : "")
      << (story.tiny_tables ? ", tiny tables" : "") << ", shape " << int(story.shape) << ", vlans "
      << int(story.vlans) << '\n';
  for (std::size_t i = 0; i < story.commands.size(); ++i) {
    out << "  " << i << ": " << story.commands[i] << '\n';
  }
  return out;
}

}  // namespace holdfast::testing
