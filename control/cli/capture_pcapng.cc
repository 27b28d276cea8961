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
constexpr std::uint32_t kMostBody = 2 * kMaxCaptured;  // of a block that is read: room for options
constexpr std::size_t kMostInterfaces = 65'536;

bool is_read(std::uint32_t type) {
  return type == kInterfaceDescription || type == kObsoletePacket || type == kSimplePacket ||
         type == kEnhancedPacket;
}

struct Interface {
  LinkType link = 0;
  std::uint32_t snapshot_length = 0;  // 0: none
  CaptureClock clock;
};

struct Block {
  std::uint32_t type = 0;
  std::vector<std::byte> body;  // empty for types that are skipped
};

class PcapngReader final : public CaptureReader {
 public:
  explicit PcapngReader(CaptureStream stream) : stream_(stream) {}

  // Reads a section header behind its type.
  Result<void> begin_section();
  Result<std::optional<CaptureRecord>> next() override;
  [[nodiscard]] bool has_nanoseconds() const override { return nanoseconds_; }

 private:
  Result<std::optional<Block>> next_block();
  Result<Block> read_block(std::uint32_t type);
  Result<void> close_block(std::uint32_t length);
  Result<void> add_interface(Bytes body);
  [[nodiscard]] CaptureClock clock_of(Bytes options) const;
  [[nodiscard]] Result<CaptureRecord> packet(const Block& block) const;
  [[nodiscard]] Result<CaptureRecord> simple_packet(Bytes body) const;

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
  bool nanoseconds_ = false;
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
  return close_block(length);
}

Result<void> PcapngReader::close_block(std::uint32_t length) {
  std::array<std::byte, 4> again;
  if (stream_.read(again) != Got::kAll) {
    return failure("the file ends within a block");
  }
  if (integer<std::uint32_t>(again, 0) != length) {
    return failure("a block's two lengths differ");
  }
  return {};
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
  const std::uint32_t size = length - kAroundBody;
  Block block{.type = type, .body = {}};
  Got got = Got::kAll;
  if (!is_read(type)) {
    got = stream_.skip(size);
  } else if (size > kMostBody) {
    return failure("a packet's block claims " + std::to_string(length) + " bytes");
  } else {
    block.body.resize(size);
    got = stream_.read(block.body);
  }
  if (got != Got::kAll) {
    return failure("the file ends within a block");
  }
  if (auto closed = close_block(length); !closed) {
    return Failure(std::move(closed.error()));
  }
  return block;
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
  if (body.size() < kFields) {
    return failure("an interface description without its fields");
  }
  if (interfaces_.size() == kMostInterfaces) {
    return failure("more than 65536 interfaces");
  }
  interfaces_.push_back({.link = integer<std::uint16_t>(body, 0),
                         .snapshot_length = integer<std::uint32_t>(body, 4),
                         .clock = clock_of(body.subspan(kFields))});
  nanoseconds_ = nanoseconds_ || interfaces_.back().clock.finer_than_microseconds();
  return {};
}

// Enhanced packets, and the obsolete ones: the same fields, but for the interface's width.
Result<CaptureRecord> PcapngReader::packet(const Block& block) const {
  constexpr std::size_t kFields = 20;
  const Bytes body = block.body;
  if (body.size() < kFields) {
    return failure("a packet block without its fields");
  }
  const std::size_t index = block.type == kEnhancedPacket ? integer<std::uint32_t>(body, 0)
                                                          : integer<std::uint16_t>(body, 0);
  const auto captured = integer<std::uint32_t>(body, 12);
  if (index >= interfaces_.size()) {
    return failure("a packet of an interface that is not described");
  }
  if (captured > kMaxCaptured || captured > body.size() - kFields) {
    return failure("a packet claims " + std::to_string(captured) + " bytes");
  }
  const std::uint64_t ticks =
      (std::uint64_t{integer<std::uint32_t>(body, 4)} << 32) | integer<std::uint32_t>(body, 8);
  const Bytes bytes = body.subspan(kFields, captured);
  return CaptureRecord{.time = interfaces_[index].clock.time_of(ticks),
                       .link = interfaces_[index].link,
                       .original_length = std::max(captured, integer<std::uint32_t>(body, 16)),
                       .bytes = {bytes.begin(), bytes.end()}};
}

Result<CaptureRecord> PcapngReader::simple_packet(Bytes body) const {
  constexpr std::size_t kFields = 4;
  if (body.size() < kFields) {
    return failure("a packet block without its fields");
  }
  if (interfaces_.empty()) {
    return failure("a packet of an interface that is not described");
  }
  const auto original = integer<std::uint32_t>(body, 0);
  const std::uint32_t limit = interfaces_[0].snapshot_length;
  const std::uint32_t captured = limit == 0 ? original : std::min(original, limit);
  if (captured > kMaxCaptured || captured > body.size() - kFields) {
    return failure("a packet claims " + std::to_string(captured) + " bytes");
  }
  const Bytes bytes = body.subspan(kFields, captured);
  return CaptureRecord{.time = last_time_,
                       .link = interfaces_[0].link,
                       .original_length = original,
                       .bytes = {bytes.begin(), bytes.end()}};
}

Result<std::optional<CaptureRecord>> PcapngReader::next() {
  while (true) {
    const Result<std::optional<Block>> found = next_block();
    if (!found) {
      return Failure(found.error());
    }
    if (!*found) {
      return std::nullopt;
    }
    const Block& block = **found;
    if (block.type == kInterfaceDescription) {
      if (auto added = add_interface(block.body); !added) {
        return Failure(std::move(added.error()));
      }
    } else if (is_read(block.type)) {
      Result<CaptureRecord> record =
          block.type == kSimplePacket ? simple_packet(block.body) : packet(block);
      if (!record) {
        return Failure(std::move(record.error()));
      }
      last_time_ = record->time;
      return std::move(*record);
    }
  }
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
