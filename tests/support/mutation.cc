// SPDX-License-Identifier: Apache-2.0
// Damage, one kind at a time. Everything checks sizes: a frame may already be cut. Tests only.
#include "tests/support/mutation.h"

#include <algorithm>
#include <array>

namespace holdfast::testing {
namespace {

constexpr std::size_t kMacs = 12;
constexpr std::size_t kLongest = 4000;

std::uint16_t get16_if_there(const Bytes& frame, std::size_t at) {
  return at + 2 > frame.size() ? 0 : static_cast<std::uint16_t>((frame[at] << 8) | frame[at + 1]);
}

void put16_if_there(Bytes& frame, std::size_t at, std::uint16_t value) {
  if (at + 2 <= frame.size()) {
    frame[at] = static_cast<std::uint8_t>(value >> 8);
    frame[at + 1] = static_cast<std::uint8_t>(value);
  }
}

void put(Bytes& frame, std::size_t at, const Bytes& bytes) {
  if (at + bytes.size() <= frame.size()) {
    std::ranges::copy(bytes, frame.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

bool is_v4(const Bytes& frame, std::size_t network) {
  return get16_if_there(frame, network - 2) == 0x0800;
}

// Where the upper header would be, without IPv6 extension headers.
std::size_t upper_offset(const Bytes& frame, std::size_t network) {
  if (!is_v4(frame, network)) {
    return network + 40;
  }
  return network < frame.size() ? network + std::size_t{frame[network] & 0x0fU} * 4 : network;
}

}  // namespace

std::size_t network_offset(const Bytes& frame) {
  std::size_t at = kMacs;
  for (int tags = 0;
       tags < 2 && (get16_if_there(frame, at) == 0x8100 || get16_if_there(frame, at) == 0x88a8);
       ++tags) {
    at += 4;
  }
  return at + 2;
}

void mend_ipv4_checksum(Bytes& frame) {
  const std::size_t network = network_offset(frame);
  if (network >= frame.size() || !is_v4(frame, network)) {
    return;
  }
  const std::size_t header = std::size_t{frame[network] & 0x0fU} * 4;
  if (header < 20 || network + header > frame.size()) {
    return;
  }
  put16_if_there(frame, network + 10, 0);
  const auto begin = frame.begin() + static_cast<std::ptrdiff_t>(network);
  const Bytes bytes(begin, begin + static_cast<std::ptrdiff_t>(header));
  put16_if_there(frame, network + 10, static_cast<std::uint16_t>(~ones_complement_sum(bytes)));
}

void Mutator::put_boundary(Bytes& frame, std::size_t at) {
  constexpr std::array<std::uint16_t, 10> kValues = {
      0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xfffe, 0xffff};
  put16_if_there(frame, at, kValues[below(kValues.size())]);
}

void Mutator::lie_about_a_length(Bytes& frame) {
  const std::size_t network = network_offset(frame);
  const std::array<std::size_t, 2> fields = {network + (is_v4(frame, network) ? 2U : 4U),
                                             upper_offset(frame, network) + 4};  // UDP's
  const std::size_t at = fields[below(fields.size())];
  const auto off = static_cast<std::uint16_t>(below(9) - 4);
  put16_if_there(frame, at, static_cast<std::uint16_t>(get16_if_there(frame, at) + off));
}

void Mutator::insert_tags(Bytes& frame) {
  if (frame.size() < kMacs + 2) {
    return;
  }
  for (std::size_t tags = 1 + below(3); tags > 0; --tags) {
    const bool service = below(2) == 0;
    const std::array<std::uint8_t, 4> ids = {0, 1, 7, 0xff};
    const Bytes tag = {static_cast<std::uint8_t>(service ? 0x88 : 0x81),
                       static_cast<std::uint8_t>(service ? 0xa8 : 0x00),
                       static_cast<std::uint8_t>(below(2) == 0 ? 0x00 : 0xef),
                       ids[below(ids.size())]};
    frame.insert(frame.begin() + kMacs, tag.begin(), tag.end());
  }
}

void Mutator::repeat_a_header(Bytes& frame) {
  const std::size_t network = network_offset(frame);
  const std::size_t upper = std::min(upper_offset(frame, network), frame.size());
  const std::array<std::pair<std::size_t, std::size_t>, 3> headers = {
      std::pair(std::size_t{0}, network),
      std::pair(network, upper),
      std::pair(upper, std::min(upper + 8, frame.size()))};
  const auto [from, to] = headers[below(headers.size())];
  if (from < to && to <= frame.size()) {
    const Bytes header(frame.begin() + static_cast<std::ptrdiff_t>(from),
                       frame.begin() + static_cast<std::ptrdiff_t>(to));
    frame.insert(frame.begin() + static_cast<std::ptrdiff_t>(to), header.begin(), header.end());
  }
}

void Mutator::apply(Bytes& frame, Mutation mutation) {
  const std::size_t network = network_offset(frame);
  // Mostly in the headers.
  const auto place = [&] {
    return below(below(4) == 0 ? frame.size() : std::min<std::size_t>(frame.size(), 80));
  };
  switch (mutation) {
    case Mutation::kBit:
      frame[place()] ^= static_cast<std::uint8_t>(1U << below(8));
      break;
    case Mutation::kByte:
      frame[place()] = static_cast<std::uint8_t>(below(256));
      break;
    case Mutation::kSwap:
      std::swap(frame[place()], frame[place()]);
      break;
    case Mutation::kBoundary:
      put_boundary(frame, place() & ~std::size_t{1});
      break;
    case Mutation::kCut:
      frame.resize(place());
      break;
    case Mutation::kGrown:
      frame.resize(std::min(frame.size() + below(100), kLongest), 0x5a);
      break;
    case Mutation::kLength:
      lie_about_a_length(frame);
      break;
    case Mutation::kHeaderBit: {
      const std::size_t at = below(2) == 0 ? network : upper_offset(frame, network) + 12;
      if (at < frame.size()) {
        frame[at] ^= static_cast<std::uint8_t>(1U << below(8));
      }
      break;
    }
    case Mutation::kTag:
      insert_tags(frame);
      break;
    case Mutation::kTwice:
      repeat_a_header(frame);
      break;
    case Mutation::kFragment:
      put16_if_there(frame, network + 6, static_cast<std::uint16_t>(below(4) << 13 | below(3)));
      break;
    case Mutation::kSource: {
      const std::array<Bytes, 5> v4s = {Bytes{127, 0, 0, 1},
                                        {0, 0, 0, 0},
                                        {255, 255, 255, 255},
                                        {203, 0, 113, 10},
                                        {10, 0, 3, 16}};
      put(frame, network + 12, v4s[below(v4s.size())]);
      break;
    }
    case Mutation::kNone:
    case Mutation::kCount:
      break;
  }
}

void Mutator::mutate(Bytes& frame) {
  for (std::size_t count = 1 + below(3); count > 0 && !frame.empty(); --count) {
    apply(frame, static_cast<Mutation>(below(static_cast<std::size_t>(Mutation::kCount))));
  }
  if (below(4) != 0) {
    mend_ipv4_checksum(frame);
  }
}

}  // namespace holdfast::testing
