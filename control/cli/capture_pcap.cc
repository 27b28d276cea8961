// SPDX-License-Identifier: Apache-2.0
// The classic format: a header of 24 bytes, then records, each behind 16 bytes of its own.
#include "control/cli/capture_formats.h"

#include <span>
#include <utility>

namespace holdfast::control {
namespace {

using Got = CaptureStream::Got;

constexpr std::uint32_t kMicroseconds = 0xa1b2c3d4;
constexpr std::uint32_t kNanoseconds = 0xa1b23c4d;
constexpr std::uint16_t kMajorVersion = 2;
// Above the link type stand flags about a trailing checksum, which IP's length leaves out anyway.
constexpr std::uint32_t kLinkTypeMask = 0x03ffffff;

struct Flavour {
  ByteOrder order = ByteOrder::kLittle;
  bool nanoseconds = false;
};

std::optional<Flavour> flavour_of(const CaptureMagic& magic) {
  for (const ByteOrder order : {ByteOrder::kLittle, ByteOrder::kBig}) {
    const auto value = read_integer<std::uint32_t>(magic, 0, order);
    if (value == kMicroseconds || value == kNanoseconds) {
      return Flavour{.order = order, .nanoseconds = value == kNanoseconds};
    }
  }
  return std::nullopt;
}

class PcapReader final : public CaptureReader {
 public:
  PcapReader(CaptureStream stream, Flavour flavour, LinkType link)
      : stream_(stream), flavour_(flavour), link_(link) {}

  std::expected<std::optional<CaptureRecord>, std::string> next() override {
    std::array<std::byte, 16> header;
    switch (stream_.read(header)) {
      case Got::kNothing:
        return end();
      case Got::kPart:
        return std::unexpected(stream_.complaint("the file ends within a record's header"));
      case Got::kAll:
        break;
    }
    const auto field = [&](std::size_t offset) {
      return read_integer<std::uint32_t>(header, offset, flavour_.order);
    };
    const std::uint32_t captured = field(8);
    CaptureRecord record{.time = time_of(field(0), field(4)),
                         .link = link_,
                         .original_length = std::max(captured, field(12)),
                         .bytes = {}};
    read_bytes(record, captured);
    return record;
  }

  [[nodiscard]] bool has_nanoseconds() const override { return flavour_.nanoseconds; }

 private:
  void read_bytes(CaptureRecord& record, std::uint32_t captured) {
    if (captured > kMaxCaptured) {
      record.cut = true;
      record.damage = stream_.complaint("a record claims " + std::to_string(captured) + " bytes");
      stream_.skip(captured);
      return;
    }
    record.bytes = stream_.take(captured);
    if (record.bytes.size() < captured) {
      record.cut = true;
      record.damage = stream_.complaint("the file ends within a record");
    }
  }

  std::expected<std::optional<CaptureRecord>, std::string> end() {
    if (stream_.failed()) {
      return std::unexpected(stream_.complaint({}));
    }
    return std::nullopt;
  }

  [[nodiscard]] CaptureTime time_of(std::uint32_t seconds, std::uint32_t fraction) const {
    const std::uint64_t nanoseconds = std::uint64_t{fraction} * (flavour_.nanoseconds ? 1 : 1000);
    return {.seconds = seconds + nanoseconds / 1'000'000'000,
            .nanoseconds = static_cast<std::uint32_t>(nanoseconds % 1'000'000'000)};
  }

  CaptureStream stream_;
  Flavour flavour_;
  LinkType link_;
};

}  // namespace

bool is_pcap(const CaptureMagic& magic) { return flavour_of(magic).has_value(); }

OpenedCapture open_pcap(CaptureStream stream, const CaptureMagic& magic) {
  const std::optional<Flavour> flavour = flavour_of(magic);
  if (!flavour) {
    return std::unexpected("no pcap: it begins otherwise");
  }
  std::array<std::byte, 20> rest;
  if (stream.read(rest) != Got::kAll) {
    return std::unexpected(stream.complaint("no capture: it ends within its header"));
  }
  if (read_integer<std::uint16_t>(rest, 0, flavour->order) != kMajorVersion) {
    return std::unexpected("no capture that can be read: its version is not 2");
  }
  const auto link = read_integer<std::uint32_t>(rest, 16, flavour->order) & kLinkTypeMask;
  return std::make_unique<PcapReader>(stream, *flavour, link);
}

}  // namespace holdfast::control
