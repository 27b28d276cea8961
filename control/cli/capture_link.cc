// SPDX-License-Identifier: Apache-2.0
// Other link headers to Ethernet, after the tcpdump.org registry of link types.
#include "control/cli/capture_link.h"

#include "control/cli/capture_stream.h"
#include "control/cli/frame_tags.h"

#include <array>
#include <optional>
#include <span>

namespace holdfast::control {
namespace {

using dataplane::Be16;
using dataplane::EthernetHeader;
using dataplane::MacAddress;
using Bytes = std::span<const std::byte>;

constexpr LinkType kEthernet = 1;
constexpr LinkType kNull = 0;    // address family in the byte order of the machine that captured
constexpr LinkType kLoop = 108;  // the same, big endian
constexpr std::array<LinkType, 3> kRawIp = {101, 12, 14};  // 12 and 14: how some systems write it
constexpr LinkType kRawIpv4 = 228;
constexpr LinkType kRawIpv6 = 229;
constexpr LinkType kCooked = 113;
constexpr LinkType kCooked2 = 276;

bool is_raw_ip(LinkType link) {
  return std::ranges::find(kRawIp, link) != kRawIp.end() || link == kRawIpv4 || link == kRawIpv6;
}

// What a link header of another kind tells.
struct Network {
  std::size_t header = 0;  // its size
  Be16 type;
  std::optional<MacAddress> source = std::nullopt;
};

Be16 type_of_ip(Bytes packet) {
  const bool v6 = !packet.empty() && std::to_integer<unsigned>(packet[0]) >> 4 == 6;
  return v6 ? dataplane::kEtherIpv6 : dataplane::kEtherIpv4;
}

Network loopback(Bytes bytes) {
  constexpr std::uint32_t kInet = 2;  // everywhere; IPv6's number differs from system to system
  const auto little = read_integer<std::uint32_t>(bytes, 0, ByteOrder::kLittle);
  const auto big = read_integer<std::uint32_t>(bytes, 0, ByteOrder::kBig);
  const bool v4 = little == kInet || big == kInet;
  return {.header = 4, .type = v4 ? dataplane::kEtherIpv4 : type_of_ip(bytes.subspan(4))};
}

std::optional<MacAddress> cooked_source(Bytes bytes,
                                        std::size_t length_at,
                                        std::size_t address_at) {
  // The length has 16 bits in version 1 and 8 in version 2; its low byte stands here in both.
  if (std::to_integer<unsigned>(bytes[length_at]) != sizeof(MacAddress)) {
    return std::nullopt;
  }
  return dataplane::load<MacAddress>(bytes.data() + address_at);
}

Network cooked(Bytes bytes) {
  return {.header = 16,
          .type = dataplane::load<Be16>(bytes.data() + 14),
          .source = cooked_source(bytes, 5, 6)};
}

Network cooked2(Bytes bytes) {
  return {.header = 20,
          .type = dataplane::load<Be16>(bytes.data()),
          .source = cooked_source(bytes, 11, 12)};
}

// nullopt when the record is cut within its link header.
std::optional<Network> read_link(LinkType link, Bytes bytes) {
  if (is_raw_ip(link)) {
    return Network{.header = 0, .type = type_of_ip(bytes)};
  }
  switch (link) {
    case kNull:
    case kLoop:
      return bytes.size() < 4 ? std::nullopt : std::optional(loopback(bytes));
    case kCooked:
      return bytes.size() < 16 ? std::nullopt : std::optional(cooked(bytes));
    default:
      return bytes.size() < 20 ? std::nullopt : std::optional(cooked2(bytes));
  }
}

}  // namespace

bool is_supported_link(LinkType link) {
  return link == kEthernet || is_raw_ip(link) || link == kNull || link == kLoop ||
         link == kCooked || link == kCooked2;
}

std::string unsupported_link(LinkType link) {
  return "link type " + std::to_string(link) +
         " cannot be replayed; Ethernet, raw IP, BSD loopback and Linux cooked captures can";
}

void make_ethernet(CaptureRecord& record,
                   const MacAddress& destination,
                   const MacAddress& source,
                   dataplane::VlanTags tags) {
  if (record.link == kEthernet) {
    return;
  }
  const std::optional<Network> network = read_link(record.link, record.bytes);
  record.link = kEthernet;
  if (!network) {
    record.bytes.clear();
    return;
  }
  const EthernetHeader header{.destination = destination,
                              .source = network->source.value_or(source),
                              .type = network->type};
  std::array<std::byte, sizeof header> ethernet;
  dataplane::store(ethernet.data(), header);
  const auto begin = record.bytes.begin();
  record.bytes.erase(begin, begin + static_cast<std::ptrdiff_t>(network->header));
  record.bytes.insert(record.bytes.begin(), ethernet.begin(), ethernet.end());
  std::uint64_t length = std::uint64_t{record.original_length} - network->header + sizeof header;
  if (network->type != dataplane::kEtherVlan && network->type != dataplane::kEtherServiceVlan) {
    tag_frame(record.bytes, tags);
    length += tags.count() * dataplane::kVlanTagSize;
  }
  record.original_length = static_cast<std::uint32_t>(std::min<std::uint64_t>(length, 0xffffffff));
}

}  // namespace holdfast::control
