// SPDX-License-Identifier: Apache-2.0
// UTF-8 after the table of RFC 3629 §4 (Unicode Table 3-7).
#include "config/utf8.h"

namespace holdfast::config {
namespace {

unsigned char byte_at(std::string_view text, std::size_t at) {
  return static_cast<unsigned char>(text[at]);
}

bool is_continuation(unsigned char byte) { return (byte & 0xc0U) == 0x80; }

// The second byte decides about overlong forms, surrogates and what lies beyond U+10FFFF; after
// 0xc2 it also tells the C1 controls.
bool second_byte_fits(unsigned char lead, unsigned char second) {
  switch (lead) {
    case 0xc2:
    case 0xe0:
      return second >= 0xa0 && second <= 0xbf;
    case 0xed:
      return second >= 0x80 && second <= 0x9f;
    case 0xf0:
      return second >= 0x90 && second <= 0xbf;
    case 0xf4:
      return second >= 0x80 && second <= 0x8f;
    default:
      return is_continuation(second);
  }
}

}  // namespace

std::size_t printable_length(std::string_view text, std::size_t at) {
  const unsigned char lead = byte_at(text, at);
  if (lead < 0x80) {
    return lead < 0x20 || lead == 0x7f ? 0 : 1;
  }
  if (lead < 0xc2 || lead > 0xf4) {
    return 0;
  }
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (at + length > text.size() || !second_byte_fits(lead, byte_at(text, at + 1))) {
    return 0;
  }
  for (std::size_t i = 2; i < length; ++i) {
    if (!is_continuation(byte_at(text, at + i))) {
      return 0;
    }
  }
  return length;
}

std::size_t character_boundary(std::string_view text, std::size_t at) {
  while (at < text.size() && is_continuation(byte_at(text, at))) {
    ++at;
  }
  return at;
}

}  // namespace holdfast::config
