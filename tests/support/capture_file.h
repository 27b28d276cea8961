// SPDX-License-Identifier: Apache-2.0
// Builds capture files byte by byte, in either byte order: pcap and pcapng, valid and not. Shares
// nothing with the readers and writers of the product.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::testing {

inline std::vector<std::byte> bytes_of(std::string_view text) {
  std::vector<std::byte> bytes(text.size());
  std::ranges::transform(text, bytes.begin(), [](char c) { return static_cast<std::byte>(c); });
  return bytes;
}

struct InterfaceOptions {
  std::optional<std::uint8_t> resolution = std::nullopt;  // if_tsresol
  bool leading_option = false;                            // a name before it
};

class FileBytes {
 public:
  explicit FileBytes(bool big_endian) : big_(big_endian) {}

  FileBytes& word(std::uint32_t value, unsigned size = 4) {
    for (unsigned i = 0; i < size; ++i) {
      text_.push_back(static_cast<char>(value >> (8 * (big_ ? size - 1 - i : i))));
    }
    return *this;
  }
  FileBytes& words(const std::vector<std::uint32_t>& values) {
    for (const std::uint32_t value : values) {
      word(value);
    }
    return *this;
  }
  FileBytes& raw(std::string_view bytes) {
    text_.append(bytes);
    return *this;
  }

  FileBytes& pcap_header(std::uint32_t magic, std::uint32_t link) {
    return word(magic).word(2, 2).word(4, 2).words({0, 0, 262'144, link});
  }
  FileBytes& pcap_record(std::uint32_t seconds,
                         std::uint32_t fraction,
                         std::string_view data,
                         std::uint32_t original) {
    return words({seconds, fraction, static_cast<std::uint32_t>(data.size()), original}).raw(data);
  }

  FileBytes& section() {
    return words({0x0a0d0d0a, 28, 0x1a2b3c4d})
        .word(1, 2)
        .word(0, 2)
        .words({0xffffffff, 0xffffffff, 28});
  }
  // A block of any type; the body is padded to four bytes.
  FileBytes& block(std::uint32_t type, std::string_view body) {
    const std::string padding((4 - body.size() % 4) % 4, '\0');
    const auto size = static_cast<std::uint32_t>(12 + body.size() + padding.size());
    return words({type, size}).raw(body).raw(padding).word(size);
  }
  FileBytes& interface(std::uint16_t link,
                       std::uint32_t snapshot_length,
                       InterfaceOptions options = {}) {
    FileBytes body(big_);
    body.word(link, 2).word(0, 2).word(snapshot_length);
    if (options.leading_option) {
      body.word(2, 2).word(5, 2).raw("wan00").raw(std::string_view("\0\0\0", 3));
    }
    if (options.resolution) {
      body.word(9, 2).word(1, 2);
      body.text_.push_back(static_cast<char>(*options.resolution));
      body.raw(std::string_view("\0\0\0", 3)).word(0);
    }
    return block(1, body.text_);
  }
  FileBytes& enhanced_packet(std::uint32_t interface,
                             std::uint64_t ticks,
                             std::string_view data,
                             std::uint32_t original) {
    FileBytes body(big_);
    body.word(interface);
    return block(6, body.packet(ticks, data, original));
  }
  FileBytes& obsolete_packet(std::uint16_t interface,
                             std::uint64_t ticks,
                             std::string_view data,
                             std::uint32_t original) {
    FileBytes body(big_);
    body.word(interface, 2).word(0xffff, 2);
    return block(2, body.packet(ticks, data, original));
  }
  FileBytes& simple_packet(std::string_view data, std::uint32_t original) {
    FileBytes body(big_);
    return block(3, body.word(original).raw(data).text_);
  }

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  const std::string& packet(std::uint64_t ticks, std::string_view data, std::uint32_t original) {
    words({static_cast<std::uint32_t>(ticks >> 32), static_cast<std::uint32_t>(ticks)});
    return words({static_cast<std::uint32_t>(data.size()), original}).raw(data).text_;
  }

  bool big_;
  std::string text_;
};

}  // namespace holdfast::testing
