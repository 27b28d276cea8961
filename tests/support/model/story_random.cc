// SPDX-License-Identifier: Apache-2.0
// Random stories: mostly plain traffic of few clients, so that flows meet themselves again; now and
// then something odd, and something that happens to the balancer.
#include "tests/support/model/cutting.h"
#include "tests/support/model/story.h"

#include <random>

namespace holdfast::testing {
namespace {

class Author {
 public:
  explicit Author(std::uint64_t seed) : random_(seed) {}

  Story write(std::size_t commands) {
    Story story{.small_tables = below(4) == 0,
                .tiny_tables = below(6) == 0,
                .modes = modes(),
                .affinities = 0,
                .shape = static_cast<std::uint8_t>(below(4)),
                .vlans = static_cast<std::uint8_t>(below(2) == 0 ? 0 : below(kSiteVlans)),
                .key = byte(),
                .commands = {}};
    story.affinities = affinities(story.small_tables);
    for (std::size_t i = 0; i < commands; ++i) {
      story.commands.push_back(command());
    }
    return story;
  }

 private:
  std::uint32_t below(std::uint32_t limit) {
    return static_cast<std::uint32_t>(((random_() & 0xffffffff) * limit) >> 32);
  }
  // `nat` and `dsr` keep two thirds.
  std::uint16_t modes() {
    std::uint32_t digits = 0;
    for (std::size_t i = 0; i < kSiteServices; ++i) {
      digits = digits * kSiteModes + below(below(2) == 0 ? 2 : kSiteModes);
    }
    return static_cast<std::uint16_t>(digits);
  }
  // None in half of the stories; in small tables often one record for each address, which is what
  // fills their share.
  std::uint16_t affinities(bool small_tables) {
    constexpr std::uint16_t kByAddress = 2 * 0b0101010101;
    if (below(2) == 0) {
      return 0;
    }
    return small_tables && below(2) == 0
               ? kByAddress
               : static_cast<std::uint16_t>(below(1U << 2 * kSiteServices));
  }
  std::uint8_t byte() { return static_cast<std::uint8_t>(random_()); }

  Command command() {
    Command command;
    command.service = static_cast<std::uint8_t>(below(kSiteServices));
    command.member = static_cast<std::uint8_t>(below(kSiteMembers));
    const std::uint32_t what = below(64);
    flood_ -= flood_ > 0 ? 1 : 0;
    storm_ -= storm_ > 0 ? 1 : 0;
    if (flood_ > 0 || storm_ > 0 || what < 49) {
      return burst();
    }
    if (what == 49) {
      storm_ = below(3) == 0 ? 14 : 0;  // long enough for the limit of ICMP errors
      return burst();
    }
    if (what == 50) {
      flood_ = 26;  // long enough for the shares of small tables
      long_flood_ = below(3) == 0;
      return burst();
    }
    if (what < 57) {
      command.what = below(4) == 0 ? Happening::kStall : Happening::kWait;
      command.value = milliseconds();
    } else if (what < 60) {
      command.what = Happening::kDispose;
      command.value = below(4);
    } else if (what < 62) {
      command.what = Happening::kPublish;
      command.part = static_cast<Part>(below(static_cast<std::uint32_t>(Part::kCount)));
      command.value = below(3) == 0 ? 0 : below(16);
    } else if (what == 62) {
      command.what = Happening::kSurround;
      command.value = below(2) == 0 ? 0 : 1U << below(9);
    } else if (below(3) == 0) {
      command.what = Happening::kRestart;
    }
    return command;
  }

  std::uint32_t milliseconds() {
    switch (below(8)) {
      case 0:
        return below(100);
      case 1:
        return below(15'000);
      case 2:
        return below(90'000);
      case 3:
        return below(4) == 0 ? below(9'000'000) : 2'000;
      default:
        return below(3'000);
    }
  }

  Command burst() {
    Command command;
    const std::uint32_t size = below(4) == 0 ? 1 + below(32) : 32;
    const std::uint32_t kind = below(32);
    if (kind == 0 && comb_ == 0 && below(3) == 0) {
      comb_ = 96;
      tooth_ = frame();
    }
    for (std::uint32_t i = 0; i < size; ++i) {
      command.frames.push_back(comb_ > 0 && below(8) != 0 ? comb() : kind < 6 ? piece() : frame());
    }
    return command;
  }

  // One fragment of few datagrams, so that they meet.
  FrameOp piece() {
    FrameOp op = frame();
    if (below(4) == 0) {
      return op;
    }
    op.kind = below(4) == 0 ? FrameKind::kReply : FrameKind::kQuestion;
    op.oddity = Oddity::kFragment;
    op.client = static_cast<std::uint8_t>(below(3));
    op.client_port = static_cast<std::uint8_t>(below(2));
    op.target = static_cast<std::uint8_t>(below(3) + (below(2) == 0 ? 0 : 4));
    op.ttl = static_cast<std::uint8_t>(below(16) == 0 ? byte() : 8 + below(5));
    op.pick = static_cast<std::uint16_t>(below(3));
    if (below(8) != 0) {
      op.argument = regular_fragment(static_cast<std::uint16_t>(below(kRegularFragments)));
    }
    return op;
  }

  // The next fragment of a datagram of very many, the first one among the first.
  FrameOp comb() {
    FrameOp op = tooth_;
    const auto number = static_cast<std::uint16_t>(96 - comb_--);
    op.kind = FrameKind::kQuestion;
    op.oddity = Oddity::kFragment;
    op.ttl = 12;
    op.argument = number == tooth_.argument % 3
                      ? regular_fragment(0)
                      : comb_fragment(static_cast<std::uint16_t>(number + 6));
    return op;
  }

  FrameKind kind() {
    static constexpr std::array<FrameKind, 32> kKinds = {FrameKind::kReply,
                                                         FrameKind::kReply,
                                                         FrameKind::kReply,
                                                         FrameKind::kReply,
                                                         FrameKind::kReply,
                                                         FrameKind::kReply,
                                                         FrameKind::kReply,
                                                         FrameKind::kReply,
                                                         FrameKind::kEcho,
                                                         FrameKind::kArp,
                                                         FrameKind::kStray,
                                                         FrameKind::kSolicitation,
                                                         FrameKind::kOther,
                                                         FrameKind::kError,
                                                         FrameKind::kError,
                                                         FrameKind::kErrorInside};
    return kKinds.at(below(kKinds.size()));  // the rest are questions
  }

  FrameOp frame() {
    FrameOp op;
    op.kind = flood_ > 0 && below(4) != 0   ? FrameKind::kFlood
              : storm_ > 0 && below(4) != 0 ? FrameKind::kError
                                            : kind();
    if (below(5) == 0) {
      op.oddity = static_cast<Oddity>(below(static_cast<std::uint32_t>(Oddity::kCount)));
    } else if (below(16) == 0) {
      op.oddity = Oddity::kLong;
    }
    op.client = byte();
    op.client_port = byte();
    op.target = static_cast<std::uint8_t>(below(16));
    op.flags = byte();
    op.size = static_cast<std::uint8_t>(below(8) == 0 ? 240 + below(16) : below(256));
    op.ttl = byte();
    op.argument = static_cast<std::uint16_t>(random_());
    op.pick = static_cast<std::uint16_t>(below(2) == 0 ? below(8) : below(65536));
    if (long_flood_ && op.kind == FrameKind::kFlood) {  // more than may be answered
      op.oddity = Oddity::kLong;
      op.argument = 1298;
    }
    return op;
  }

  std::mt19937_64 random_;
  int flood_ = 0;  // commands of it to come
  int storm_ = 0;  // likewise, of ICMP errors
  bool long_flood_ = false;
  std::uint32_t comb_ = 0;  // fragments of it to come
  FrameOp tooth_{};
};

}  // namespace

Story random_story(std::uint64_t seed, std::size_t commands) {
  return Author(seed).write(commands);
}

}  // namespace holdfast::testing
