// SPDX-License-Identifier: Apache-2.0
// pcapng: blocks of {type, length, body, length again}. Read are section headers (each sets the
// byte order and forgets the interfaces), interface descriptions (link type, clock) and the three
// kinds of packet blocks; every other block is skipped.
#include "control/cli/capture_clock.h"
#include "control/cli/capture_formats.h"

#include <string_view>
#include <utility>

namespace holdfast::control {
namespace {

using Got = CaptureStream::Got;
using Failure = std::unexpected<std::string>;
template <typename T>
using Result = std::expected<T, std::string>;
using Bytes = std::span<const std::byte>;

constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a;  // reads the same in both orders
constexpr std::uint32_t kInterfaceDescription = 1;
constexpr std::uint32_t kObsoletePacket = 2;
constexpr std::uint32_t kSimplePacket = 3;
constexpr std::uint32_t kEnhancedPacket = 6;
constexpr std::uint32_t kByteOrderMark = 0x1a2b3c4d;
constexpr std::uint16_t kEndOfOptions = 0;
constexpr std::uint16_t kResolutionOption = 9;
constexpr std::uint16_t kOffsetOption = 14;

constexpr std::uint32_t kAroundBody = 12;              // type and both lengths
constexpr std::uint32_t kMostBody = 2 * kMaxCaptured;  // of a block that is kept: room for options
constexpr std::size_t kMostInterfaces = 65'536;
constexpr std::size_t kPacketFields = 20;
constexpr std::size_t kSimplePacketFields = 4;

constexpr std::string_view kTwoLengths = "a block's two lengths differ";

bool is_packet(std::uint32_t type) {
  return type == kObsoletePacket || type == kSimplePacket || type == kEnhancedPacket;
}

struct Interface {
  LinkType link = 0;
  std::uint32_t snapshot_length = 0;  // 0: none
  CaptureClock clock;
};

struct Block {
  std::uint32_t type = 0;
  std::uint32_t size = 0;       // of its body
  std::vector<std::byte> body;  // at most kMostBody bytes; empty for types that are skipped
  std::string damage = {};      // why no other block can be found behind it
  std::string oddity = {};      // what is wrong, though the next block is there
};

// What stands in a packet block before the packet.
struct PacketFields {
  std::size_t size = 0;
  std::size_t interface = 0;
  std::uint32_t captured = 0;
  std::uint32_t original = 0;
  std::optional<std::uint64_t> ticks = std::nullopt;
};

class PcapngReader final : public CaptureReader {
 public:
  explicit PcapngReader(CaptureStream stream) : stream_(stream) {}

  // Reads a section header behind its type.
  Result<void> begin_section();
  Result<std::optional<CaptureRecord>> next() override;
  [[nodiscard]] bool has_nanoseconds() const override { return true; }

 private:
  Result<std::optional<Block>> next_block();
  Result<Block> read_block(std::uint32_t type);
  void read_body(Block& block);
  // Whether the block's second length is its first.
  Result<bool> closes(std::uint32_t length);
  Result<void> add_interface(Bytes body);
  [[nodiscard]] CaptureClock clock_of(Bytes options) const;
  Result<CaptureRecord> packet(const Block& block);
  Result<std::optional<CaptureRecord>> packet_and_oddity(const Block& block);
  void note(const std::string& oddity) { oddity_ = oddity_.empty() ? oddity : oddity_; }
  [[nodiscard]] PacketFields fields_of(const Block& block) const;
  [[nodiscard]] PacketFields simple_fields_of(Bytes body) const;

  template <typename Integer>
  [[nodiscard]] Integer integer(Bytes bytes, std::size_t offset) const {
    return read_integer<Integer>(bytes, offset, order_);
  }
  [[nodiscard]] Failure failure(std::string_view what) const {
    return Failure(stream_.complaint(what));
  }

  CaptureStream stream_;
  ByteOrder order_ = ByteOrder::kLittle;
  std::vector<Interface> interfaces_;
  CaptureTime last_time_;  // simple packets have none of their own
  bool lost_ = false;      // no other block can be found
  std::string oddity_;     // of blocks before, which no record has told yet
};

Result<void> PcapngReader::begin_section() {
  constexpr std::uint32_t kFields = 8;
  constexpr std::uint32_t kLeast = 28;
  std::array<std::byte, kFields> fields;
  if (stream_.read(fields) != Got::kAll) {
    return failure("the file ends within a section header");
  }
  const auto mark = read_integer<std::uint32_t>(fields, 4, ByteOrder::kLittle);
  if (mark != kByteOrderMark && std::byteswap(mark) != kByteOrderMark) {
    return failure("a section header without its byte order mark");
  }
  order_ = mark == kByteOrderMark ? ByteOrder::kLittle : ByteOrder::kBig;
  const auto length = integer<std::uint32_t>(fields, 0);
  if (length < kLeast || length % 4 != 0) {
    return failure("a section header of an impossible length");
  }
  interfaces_.clear();
  if (stream_.skip(length - kAroundBody - sizeof(kByteOrderMark)) != Got::kAll) {
    return failure("the file ends within a section header");
  }
  const Result<bool> closed = closes(length);
  if (!closed) {
    return Failure(closed.error());
  }
  return *closed ? Result<void>() : failure(kTwoLengths);
}

Result<bool> PcapngReader::closes(std::uint32_t length) {
  std::array<std::byte, 4> again;
  if (stream_.read(again) != Got::kAll) {
    return failure("the file ends within a block");
  }
  return integer<std::uint32_t>(again, 0) == length;
}

Result<Block> PcapngReader::read_block(std::uint32_t type) {
  std::array<std::byte, 4> field;
  if (stream_.read(field) != Got::kAll) {
    return failure("the file ends within a block's header");
  }
  const auto length = integer<std::uint32_t>(field, 0);
  if (length < kAroundBody || length % 4 != 0) {
    return failure("a block of an impossible length");
  }
  Block block{.type = type, .size = length - kAroundBody, .body = {}};
  read_body(block);
  lost_ = !block.damage.empty();
  return block;
}

void PcapngReader::read_body(Block& block) {
  std::uint32_t kept = 0;
  if (is_packet(block.type) || block.type == kInterfaceDescription) {
    kept = std::min(block.size, kMostBody);
    block.body = stream_.take(kept);
  }
  if (block.body.size() < kept || stream_.skip(block.size - kept) != Got::kAll) {
    block.damage = stream_.complaint("the file ends within a block");
  } else if (const auto closed = closes(block.size + kAroundBody); !closed) {
    block.damage = closed.error();
  } else if (!*closed) {
    block.oddity = stream_.complaint(kTwoLengths);
  }
}

Result<std::optional<Block>> PcapngReader::next_block() {
  while (true) {
    std::array<std::byte, 4> field;
    const Got got = stream_.read(field);
    if (got == Got::kNothing && !stream_.failed()) {
      return std::nullopt;
    }
    if (got != Got::kAll) {
      return failure("the file ends within a block's header");
    }
    const auto type = integer<std::uint32_t>(field, 0);
    if (type != kSectionHeader) {
      return read_block(type);
    }
    if (auto begun = begin_section(); !begun) {
      return Failure(std::move(begun.error()));
    }
  }
}

CaptureClock PcapngReader::clock_of(Bytes options) const {
  CaptureClock clock;
  std::uint64_t offset = 0;
  while (options.size() >= 4) {
    const auto code = integer<std::uint16_t>(options, 0);
    const std::size_t size = integer<std::uint16_t>(options, 2);
    const std::size_t padded = (size + 3) / 4 * 4;
    if (code == kEndOfOptions || padded > options.size() - 4) {
      break;
    }
    if (code == kResolutionOption && size == 1) {
      clock = CaptureClock::from_option(std::to_integer<std::uint8_t>(options[4]));
    } else if (code == kOffsetOption && size == sizeof offset) {
      offset = integer<std::uint64_t>(options, 4);
    }
    options = options.subspan(4 + padded);
  }
  clock.offset = offset;
  return clock;
}

Result<void> PcapngReader::add_interface(Bytes body) {
  constexpr std::size_t kFields = 8;
  if (interfaces_.size() == kMostInterfaces) {
    return failure("more than 65536 interfaces");
  }
  if (body.size() < kFields) {
    interfaces_.push_back({.link = kUnknownLink});  // the next one keeps its number
    return {};
  }
  interfaces_.push_back({.link = integer<std::uint16_t>(body, 0),
                         .snapshot_length = integer<std::uint32_t>(body, 4),
                         .clock = clock_of(body.subspan(kFields))});
  return {};
}

// Of enhanced packets, and of the obsolete ones: the same, but for the interface's width.
// Requires: the fields are there.
PacketFields PcapngReader::fields_of(const Block& block) const {
  const Bytes body = block.body;
  const std::uint64_t high = integer<std::uint32_t>(body, 4);
  return {.size = kPacketFields,
          .interface = block.type == kEnhancedPacket ? integer<std::uint32_t>(body, 0)
                                                     : integer<std::uint16_t>(body, 0),
          .captured = integer<std::uint32_t>(body, 12),
          .original = integer<std::uint32_t>(body, 16),
          .ticks = (high << 32) | integer<std::uint32_t>(body, 8)};
}

PacketFields PcapngReader::simple_fields_of(Bytes body) const {
  const auto original = integer<std::uint32_t>(body, 0);
  const std::uint32_t limit = interfaces_.empty() ? 0 : interfaces_[0].snapshot_length;
  return {.size = kSimplePacketFields,
          .captured = limit == 0 ? original : std::min(original, limit),
          .original = original};
}

// What is there of a packet. An error when the file ends within its fields.
Result<CaptureRecord> PcapngReader::packet(const Block& block) {
  const bool simple = block.type == kSimplePacket;
  if (block.body.size() < (simple ? kSimplePacketFields : kPacketFields)) {
    if (!block.damage.empty()) {
      return Failure(block.damage);
    }
    return CaptureRecord{.link = kUnknownLink,
                         .cut = true,
                         .damage = stream_.complaint("a packet block without its fields")};
  }
  const PacketFields fields = simple ? simple_fields_of(block.body) : fields_of(block);
  const std::size_t most = std::min<std::size_t>(block.body.size() - fields.size, kMaxCaptured);
  const Bytes bytes =
      Bytes(block.body).subspan(fields.size, std::min<std::size_t>(fields.captured, most));
  CaptureRecord record{.time = last_time_,
                       .link = kUnknownLink,
                       .original_length = std::max(fields.captured, fields.original),
                       .bytes = {bytes.begin(), bytes.end()},
                       .cut = fields.captured > most,
                       .damage = block.damage};
  if (fields.interface < interfaces_.size()) {
    const Interface& interface = interfaces_[fields.interface];
    record.link = interface.link;
    record.time = fields.ticks ? interface.clock.time_of(*fields.ticks) : last_time_;
  }
  if (record.link == kUnknownLink) {
    record.damage = stream_.complaint("a packet of an interface that is not described");
  } else if (record.cut && block.damage.empty()) {
    record.damage =
        stream_.complaint("a packet claims " + std::to_string(fields.captured) + " bytes");
  }
  last_time_ = record.time;
  return record;
}

// The record says too what was odd before it, and with its own block.
Result<std::optional<CaptureRecord>> PcapngReader::packet_and_oddity(const Block& block) {
  note(block.oddity);
  Result<CaptureRecord> record = packet(block);
  if (!record) {
    return Failure(std::move(record.error()));
  }
  if (record->damage.empty()) {
    record->damage = std::exchange(oddity_, {});
  }
  return std::move(*record);
}

Result<std::optional<CaptureRecord>> PcapngReader::next() {
  while (!lost_) {
    const Result<std::optional<Block>> found = next_block();
    if (!found) {
      return Failure(found.error());
    }
    const std::optional<Block>& next = *found;
    if (!next) {
      break;
    }
    const Block& block = *next;
    if (is_packet(block.type)) {
      return packet_and_oddity(block);
    }
    if (!block.damage.empty()) {
      return Failure(block.damage);
    }
    note(block.oddity);
    if (block.type == kInterfaceDescription) {
      if (auto added = add_interface(block.body); !added) {
        return Failure(std::move(added.error()));
      }
    }
  }
  if (!oddity_.empty()) {
    return Failure(std::exchange(oddity_, {}));
  }
  return std::nullopt;
}

}  // namespace

bool is_pcapng(const CaptureMagic& magic) {
  return read_integer<std::uint32_t>(magic, 0, ByteOrder::kLittle) == kSectionHeader;
}

OpenedCapture open_pcapng(CaptureStream stream) {
  auto reader = std::make_unique<PcapngReader>(stream);
  if (auto begun = reader->begin_section(); !begun) {
    return std::unexpected(std::move(begun.error()));
  }
  return reader;
}

}  // namespace holdfast::control
