// SPDX-License-Identifier: Apache-2.0
// Lengths, one byte at a time.
#include "tests/support/model/lengths.h"

#include "tests/support/model/octets.h"
#include "tests/support/model/writing.h"

#include <algorithm>
#include <vector>

namespace holdfast::testing {
namespace {

void append(Bytes& to, const Bytes& more) { to.insert(to.end(), more.begin(), more.end()); }

// The segment behind its pseudo header.
Bytes summed(const Bytes& bytes, const Reading& of) {
  Bytes all = pseudo_header(of.source, of.destination, of.protocol, of.end() - of.l4);
  append(all, part(bytes, of.l4, of.end()));
  return all;
}

// The checksum of the segment that `from` became: right again if it was, else as wrong as before.
void put_checksum(Bytes& bytes, const Reading& now, const Bytes& from, const Reading& then) {
  const std::size_t at = now.l4 + 16;
  if (then.end() <= from.size() && ones_complement_sum(summed(from, then)) == 0xffff) {
    put16(bytes, at, 0);
    put16(bytes, at, checksum_of(summed(bytes, now)));
    return;
  }
  const auto header = [](const Bytes& of, const Reading& at_reading) {
    const std::size_t size = std::size_t{of[at_reading.l4 + 12]} / 16 * 4;
    Bytes words = part(of, at_reading.l4, at_reading.l4 + size);
    words[16] = 0;
    words[17] = 0;
    words.resize(words.size() + 2);
    put16(words, words.size() - 2, at_reading.end() - at_reading.l4);
    return words;
  };
  put16(bytes, at, carried(number16(from, at), header(from, then), header(bytes, now)));
}

// Where the values of MSS options stand, and whether the options are sound as far as they were
// read.
struct Options {
  std::vector<std::size_t> values;
  bool sound = true;
};

Options read_options(const Bytes& bytes, const Reading& reading) {
  Options found;
  const std::size_t end = reading.l4 + std::size_t{bytes[reading.l4 + 12]} / 16 * 4;
  for (std::size_t at = reading.l4 + 20; at < end && bytes[at] != 0;) {
    if (bytes[at] == 1) {
      ++at;
      continue;
    }
    if (at + 1 == end || bytes[at + 1] < 2 || at + bytes[at + 1] > end) {
      found.sound = false;
      return found;
    }
    if (bytes[at] == 2) {
      bytes[at + 1] == 4 ? found.values.push_back(at + 2) : void(found.sound = false);
    }
    at += bytes[at + 1];
  }
  return found;
}

void insert_option(Arriving& frame, Reading& reading, std::size_t mss) {
  Bytes& bytes = frame.bytes;
  Bytes option = {2, 4, 0, 0};
  put16(option, 2, mss);
  bytes.insert(
      bytes.begin() + static_cast<std::ptrdiff_t>(reading.l4) + 20, option.begin(), option.end());
  bytes[reading.l4 + 12] = static_cast<std::uint8_t>(bytes[reading.l4 + 12] + 16);
  reading.packet += 4;
  if (!reading.v4) {
    return put16(bytes, reading.l3 + 4, reading.packet - 40);
  }
  put16(bytes, reading.l3 + 2, reading.packet);
  put16(bytes, reading.l3 + 10, 0);
  put16(bytes, reading.l3 + 10, checksum_of(part(bytes, reading.l3, reading.l4)));
}

// An IP header without options, back to where the packet came from.
Bytes answering_header(const Reading& reading, std::size_t behind) {
  Bytes ip(reading.v4 ? 20 : 40);
  const std::size_t size = reading.v4 ? 4 : 16;
  const auto put_address = [&](std::size_t at, const Address& address) {
    std::copy(address.bytes.end() - static_cast<std::ptrdiff_t>(size),
              address.bytes.end(),
              ip.begin() + static_cast<std::ptrdiff_t>(at));
  };
  put_address(reading.v4 ? 12 : 8, reading.destination);
  put_address(reading.v4 ? 16 : 24, reading.source);
  if (!reading.v4) {
    ip[0] = 0x60;
    put16(ip, 4, behind);
    ip[6] = 58;
    ip[7] = 64;
    return ip;
  }
  ip[0] = 0x45;
  put16(ip, 2, 20 + behind);
  ip[6] = 0x40;
  ip[8] = 64;
  ip[9] = 1;
  put16(ip, 10, checksum_of(ip));
  return ip;
}

}  // namespace

std::optional<std::size_t> mss_bound(const dataplane::MssSpec& rule, dataplane::Mode mode) {
  using Rule = dataplane::MssSpec::Rule;
  if (rule.rule == Rule::kKeep || (rule.rule == Rule::kAuto && mode != dataplane::Mode::kNat)) {
    return std::nullopt;
  }
  return rule.most == 0 ? 65535 : rule.most;
}

Clamped clamp_mss(Arriving& frame, Reading& reading, std::size_t bound, std::size_t mtu) {
  const std::size_t headers = reading.v4 ? 40 : 60;
  const std::size_t mss = std::min(bound, mtu > headers ? mtu - headers : 1);
  const Bytes came = frame.bytes;
  const Reading then = reading;
  const Options options = read_options(came, reading);
  for (const std::size_t at : options.values) {
    put16(frame.bytes, at, std::min<std::size_t>(mss, number16(came, at)));
  }
  if (frame.bytes != came) {
    put_checksum(frame.bytes, reading, came, then);
    return Clamped::kYes;
  }
  const std::size_t meant = reading.v4 ? 536 : 1220;
  if (!options.values.empty() || !options.sound || mss >= meant) {
    return Clamped::kNo;
  }
  if (came[reading.l4 + 12] >= 0xf0 || reading.packet + 4 > mtu) {
    return Clamped::kNoRoom;
  }
  insert_option(frame, reading, mss);
  put_checksum(frame.bytes, reading, came, then);
  return Clamped::kYes;
}

std::optional<Bytes> too_big_message(const Arriving& frame,
                                     const Reading& reading,
                                     std::size_t mtu) {
  const Bytes& bytes = frame.bytes;
  if (reading.v4 && bytes[reading.l3 + 6] / 64 % 2 == 0) {
    return std::nullopt;  // may be fragmented
  }
  Bytes message = {reading.v4 ? std::uint8_t{3} : std::uint8_t{2},
                   reading.v4 ? std::uint8_t{4} : std::uint8_t{0},
                   0,
                   0,
                   0,
                   0,
                   0,
                   0};
  put16(message, 6, std::max<std::size_t>(mtu, reading.v4 ? 68 : 1280));
  const std::size_t longest = reading.v4 ? 576 - 28 : 1280 - 48;
  append(message,
         part(bytes, reading.l3, std::min({bytes.size(), reading.end(), reading.l3 + longest})));
  Bytes all =
      reading.v4 ? Bytes{} : pseudo_header(reading.destination, reading.source, 58, message.size());
  append(all, message);
  put16(message, 2, checksum_of(all));
  Bytes out = part(bytes, 6, 12);
  append(out, part(bytes, 0, 6));
  append(out, part(bytes, 12, reading.l3));
  append(out, answering_header(reading, message.size()));
  append(out, message);
  return out;
}

bool MessageRate::Left::take(std::uint64_t quarters_each_ms,
                             std::uint64_t most,
                             std::uint64_t now_ms) {
  quarters = std::min(most, quarters + quarters_each_ms * (now_ms - last_ms));
  last_ms = now_ms;
  if (quarters < 4) {
    return false;
  }
  quarters -= 4;
  return true;
}

bool MessageRate::allows(std::uint64_t group, std::uint64_t now_ms) {
  Left& own = of_group_.try_emplace(group, Left{.quarters = 200}).first->second;
  return own.take(1, 200, now_ms) && all_.take(4, 800, now_ms);
}

}  // namespace holdfast::testing
