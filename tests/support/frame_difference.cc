// SPDX-License-Identifier: Apache-2.0
// A small decoder of its own: it shares no code with parse, and prints what it can. Tests only.
#include "tests/support/frame_difference.h"

#include <algorithm>
#include <cstdio>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

std::string hex(const Bytes& bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) {
    std::array<char, 4> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", byte);
    text += digits.data();
  }
  return text;
}

// Takes bytes from the front and names them.
class Reader {
 public:
  explicit Reader(Bytes frame) : left_(std::move(frame)) {}

  Bytes take(const std::string& name, std::size_t size) {
    const auto end = left_.begin() + static_cast<std::ptrdiff_t>(std::min(size, left_.size()));
    Bytes taken(left_.begin(), end);
    left_.erase(left_.begin(), end);
    if (size > 0) {
      fields_.push_back({name, hex(taken)});
    }
    taken.resize(size);
    return taken;
  }
  std::uint32_t number(const std::string& name, std::size_t size) {
    std::uint32_t value = 0;
    for (const std::uint8_t byte : take(name, size)) {
      value = value << 8 | byte;
    }
    fields_.back().value = std::to_string(value);
    return value;
  }
  void address(const std::string& name, std::size_t size) {
    const Bytes taken = take(name, size);
    Address address = v4(0, 0, 0, 0);
    std::ranges::copy(taken, address.bytes.end() - static_cast<std::ptrdiff_t>(size));
    fields_.back().value = address.text();
  }
  [[nodiscard]] std::size_t left() const { return left_.size(); }
  std::vector<Field> finish() {
    take("payload", left_.size());
    return std::move(fields_);
  }

 private:
  Bytes left_;
  std::vector<Field> fields_;
};

void read_tcp(Reader& reader) {
  reader.number("tcp.source_port", 2);
  reader.number("tcp.destination_port", 2);
  reader.number("tcp.sequence", 4);
  reader.number("tcp.acknowledgment", 4);
  const std::uint32_t words = reader.number("tcp.data_offset", 1) >> 4;
  reader.take("tcp.flags", 1);
  reader.number("tcp.window", 2);
  reader.take("tcp.checksum", 2);
  reader.take("tcp.urgent", 2);
  reader.take("tcp.options", words > 5 ? words * 4 - 20 : 0);
}

void read_udp(Reader& reader) {
  reader.number("udp.source_port", 2);
  reader.number("udp.destination_port", 2);
  reader.number("udp.length", 2);
  reader.take("udp.checksum", 2);
}

void read_icmp(Reader& reader) {
  const std::uint32_t type = reader.number("icmp.type", 1);
  reader.number("icmp.code", 1);
  reader.take("icmp.checksum", 2);
  reader.take("icmp.rest", 4);
  if (type == 135 || type == 136) {
    reader.address("icmp.target", 16);
  }
}

void read_upper(Reader& reader, std::uint32_t protocol) {
  if (reader.left() == 0) {
    return;
  }
  if (protocol == 6) {
    read_tcp(reader);
  } else if (protocol == 17) {
    read_udp(reader);
  } else if (protocol == 1 || protocol == 58) {
    read_icmp(reader);
  }
}

void read_ipv4(Reader& reader) {
  const std::uint32_t first = reader.number("ip.version_and_length", 1);
  reader.take("ip.service", 1);
  reader.number("ip.total_length", 2);
  reader.take("ip.identification", 2);
  reader.take("ip.fragment", 2);
  reader.number("ip.ttl", 1);
  const std::uint32_t protocol = reader.number("ip.protocol", 1);
  reader.take("ip.checksum", 2);
  reader.address("ip.source", 4);
  reader.address("ip.destination", 4);
  const std::size_t words = first & 0x0f;
  reader.take("ip.options", words > 5 ? words * 4 - 20 : 0);
  read_upper(reader, protocol);
}

void read_ipv6(Reader& reader) {
  reader.take("ip.version_class_flow", 4);
  reader.number("ip.payload_length", 2);
  const std::uint32_t protocol = reader.number("ip.next_header", 1);
  reader.number("ip.hop_limit", 1);
  reader.address("ip.source", 16);
  reader.address("ip.destination", 16);
  read_upper(reader, protocol);
}

void read_arp(Reader& reader) {
  reader.take("arp.formats", 6);
  reader.number("arp.operation", 2);
  reader.take("arp.sender_mac", 6);
  reader.address("arp.sender", 4);
  reader.take("arp.target_mac", 6);
  reader.address("arp.target", 4);
}

// A field in both frames; one that comes again (the tags) goes on with its next value.
struct Difference {
  std::string name;
  std::string is;
  std::string expected;
};

Difference& of_name(std::vector<Difference>& fields, const std::string& name) {
  const auto found = std::ranges::find(fields, name, &Difference::name);
  return found == fields.end() ? fields.emplace_back(name, "", "") : *found;
}

}  // namespace

std::vector<Field> describe(const Bytes& frame) {
  Reader reader(frame);
  reader.take("ethernet.destination", 6);
  reader.take("ethernet.source", 6);
  std::uint32_t type = reader.number("ethernet.type", 2);
  while ((type == 0x8100 || type == 0x88a8) && reader.left() > 0) {
    reader.number("vlan.control", 2);
    type = reader.number("vlan.type", 2);
  }
  if (type == 0x0800) {
    read_ipv4(reader);
  } else if (type == 0x86dd) {
    read_ipv6(reader);
  } else if (type == 0x0806) {
    read_arp(reader);
  }
  return reader.finish();
}

std::string difference(const Bytes& actual, const Bytes& expected) {
  if (actual == expected) {
    return {};
  }
  std::vector<Difference> fields;
  for (const Field& field : describe(actual)) {
    of_name(fields, field.name).is += field.value;
  }
  for (const Field& field : describe(expected)) {
    of_name(fields, field.name).expected += field.value;
  }
  std::string lines = "frames differ: " + std::to_string(actual.size()) + " bytes, expected " +
                      std::to_string(expected.size()) + '\n';
  for (const Difference& field : fields) {
    if (field.is != field.expected) {
      lines += "  " + field.name + ": is '" + field.is + "', expected '" + field.expected + "'\n";
    }
  }
  return lines;
}

void expect_same(const Bytes& actual, const Bytes& expected) {
  if (const std::string text = difference(actual, expected); !text.empty()) {
    ADD_FAILURE() << text;
  }
}

}  // namespace holdfast::testing
