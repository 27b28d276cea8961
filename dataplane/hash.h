// SPDX-License-Identifier: Apache-2.0
// The keyed hash of a flow, the same on every node that has the key (P8). It chooses the owner
// worker, the bucket and the Maglev slot, so nobody without the key can aim at one of them.
//
// Built from the AES round (FIPS 197 §5.1: SubBytes, ShiftRows, MixColumns, AddRoundKey): a block
// is whitened, absorbed with two rounds between blocks, and closed by four rounds, after which no
// difference of two inputs survives with a probability above 2^-113. Round keys are the AES-128
// encryptions of 0, 1, 2, ... under the key, so they are independent of each other. Values are
// defined on bytes: the portable and the instruction form, little and big endian agree, and a
// golden test holds them fixed. Pure; any thread; about 1 ns per IPv4 key.
#pragma once

#include "dataplane/address.h"
#include "dataplane/burst.h"
#include "dataplane/prefix.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#ifdef __AES__
#include <wmmintrin.h>
#endif

namespace holdfast::dataplane {

using HashKey = std::array<std::uint8_t, 16>;

// The bytes at `from` as a little-endian integer. Requires: sizeof(Integer) readable bytes.
template <typename Integer>
Integer load_little(const void* from) {
  Integer value{};
  std::memcpy(&value, from, sizeof value);
  return std::endian::native == std::endian::little ? value : std::byteswap(value);
}

namespace aes {

// One block as 16 bytes; the constexpr form, for key expansion and machines without instructions.
struct Portable {
  using Block = std::array<std::uint8_t, 16>;

  static Block load(const std::uint8_t* from) {
    Block block;
    std::memcpy(block.data(), from, block.size());
    return block;
  }
  // Bytes 0..7 and 8..15, each as a little-endian integer.
  static constexpr Block make(std::uint64_t low, std::uint64_t high) {
    Block block{};
    for (unsigned i = 0; i < 8; ++i) {
      block[i] = static_cast<std::uint8_t>(low >> (8 * i));
      block[8 + i] = static_cast<std::uint8_t>(high >> (8 * i));
    }
    return block;
  }
  static constexpr Block mix(const Block& a, const Block& b) {
    Block block{};
    for (std::size_t i = 0; i < block.size(); ++i) {
      block[i] = a[i] ^ b[i];
    }
    return block;
  }
  static constexpr Block round(const Block& state, const Block& key);
  static constexpr std::uint64_t low(const Block& block) {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < 8; ++i) {
      value |= std::uint64_t{block[i]} << (8 * i);
    }
    return value;
  }
};

#ifdef __AES__
// The same by the processor's instruction.
struct Native {
  using Block = __m128i;

  static Block load(const std::uint8_t* from) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  }
  static Block make(std::uint64_t low, std::uint64_t high) {
    return _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
  }
  static Block mix(Block a, Block b) { return _mm_xor_si128(a, b); }
  static Block round(Block state, Block key) { return _mm_aesenc_si128(state, key); }
  static std::uint64_t low(Block block) {
    return static_cast<std::uint64_t>(_mm_cvtsi128_si64(block));
  }
};
using Best = Native;
#else
using Best = Portable;
#endif

// Multiplication by x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.
constexpr std::uint8_t times_x(std::uint8_t value) {
  return static_cast<std::uint8_t>((value << 1) ^ ((value >> 7) * 0x1b));
}

// FIPS 197 §5.1.1: the inverse, then the affine map. With g = 3, the inverse of g^i is g^(255-i).
constexpr std::array<std::uint8_t, 256> build_substitution() {
  std::array<std::uint8_t, 255> powers{};
  powers[0] = 1;
  for (std::size_t i = 1; i < powers.size(); ++i) {
    powers[i] = static_cast<std::uint8_t>(powers[i - 1] ^ times_x(powers[i - 1]));
  }
  std::array<std::uint8_t, 256> table{};
  table[0] = 0x63;
  for (std::size_t i = 0; i < powers.size(); ++i) {
    const std::uint8_t inverse = powers[(powers.size() - i) % powers.size()];
    table[powers[i]] =
        static_cast<std::uint8_t>(inverse ^ std::rotl(inverse, 1) ^ std::rotl(inverse, 2) ^
                                  std::rotl(inverse, 3) ^ std::rotl(inverse, 4) ^ 0x63);
  }
  return table;
}
inline constexpr std::array<std::uint8_t, 256> kSubstitution = build_substitution();

// SubBytes and ShiftRows at once: column c takes row r from column c + r.
constexpr Portable::Block substitute_and_shift(const Portable::Block& state) {
  Portable::Block result{};
  for (std::size_t column = 0; column < 4; ++column) {
    for (std::size_t row = 0; row < 4; ++row) {
      result[4 * column + row] = kSubstitution[state[4 * ((column + row) % 4) + row]];
    }
  }
  return result;
}

constexpr Portable::Block Portable::round(const Block& state, const Block& key) {
  const Block shifted = substitute_and_shift(state);
  Block result{};
  for (std::size_t column = 0; column < 16; column += 4) {
    for (std::size_t row = 0; row < 4; ++row) {
      const std::uint8_t here = shifted[column + row];
      const std::uint8_t next = shifted[column + (row + 1) % 4];
      result[column + row] = static_cast<std::uint8_t>(
          times_x(here) ^ times_x(next) ^ next ^ shifted[column + (row + 2) % 4] ^
          shifted[column + (row + 3) % 4] ^ key[column + row]);
    }
  }
  return result;
}

// The next round key of AES-128, FIPS 197 §5.2.
constexpr Portable::Block next_round_key(const Portable::Block& key, std::uint8_t constant) {
  Portable::Block next = key;
  for (std::size_t i = 0; i < 4; ++i) {
    next[i] ^= kSubstitution[key[12 + (i + 1) % 4]];
  }
  next[0] ^= constant;
  for (std::size_t i = 4; i < next.size(); ++i) {
    next[i] ^= next[i - 4];
  }
  return next;
}

// AES-128 of one block. For key expansion; not constant in time, not for secrets of others.
constexpr Portable::Block encrypt(const HashKey& key, const Portable::Block& plain) {
  Portable::Block round_key = key;
  Portable::Block state = Portable::mix(plain, round_key);
  std::uint8_t constant = 1;
  for (int round = 1; round < 10; ++round, constant = times_x(constant)) {
    round_key = next_round_key(round_key, constant);
    state = Portable::round(state, round_key);
  }
  return Portable::mix(substitute_and_shift(state), next_round_key(round_key, constant));
}

}  // namespace aes

// Everything a hash needs of its key.
struct alignas(64) HashSchedule {
  std::array<HashKey, 4> closing;    // the last four rounds
  std::array<HashKey, 4> absorbing;  // two rounds after each but the last block
  HashKey whiten_v4;
  HashKey whiten_v6;
  HashKey whiten_pair;
  HashKey whiten_words;

  static constexpr HashSchedule from(const HashKey& key) {
    HashSchedule schedule{};
    std::uint64_t counter = 0;
    const auto next = [&] { return aes::encrypt(key, aes::Portable::make(counter++, 0)); };
    for (HashKey& round : schedule.closing) {
      round = next();
    }
    for (HashKey& round : schedule.absorbing) {
      round = next();
    }
    schedule.whiten_v4 = next();
    schedule.whiten_v6 = next();
    schedule.whiten_pair = next();
    schedule.whiten_words = next();
    return schedule;
  }
};

// The hashes over either form of AES; FlowHasher takes the best one of this machine.
template <typename Aes>
struct BasicHash {
  using Block = typename Aes::Block;

  // Two rounds, then the next block. `step` is 0 after the first block, 1 after the second.
  static Block absorb(const HashSchedule& keys, Block state, std::size_t step, Block block) {
    state = Aes::round(state, Aes::load(keys.absorbing[2 * step].data()));
    state = Aes::round(state, Aes::load(keys.absorbing[2 * step + 1].data()));
    return Aes::mix(state, block);
  }
  static std::uint64_t close(const HashSchedule& keys, Block state) {
    for (const HashKey& key : keys.closing) {
      state = Aes::round(state, Aes::load(key.data()));
    }
    return Aes::low(state);
  }

  // Ports as on the wire, then the protocol.
  static std::uint64_t ports_and_protocol(const FlowKey& key) {
    const auto wire = [](Be16 port) {
      const std::uint16_t raw = port.wire();
      return std::uint64_t{std::endian::native == std::endian::little ? raw : std::byteswap(raw)};
    };
    return wire(key.source_port) | (wire(key.destination_port) << 16) |
           (std::uint64_t{static_cast<std::uint8_t>(key.protocol)} << 32);
  }

  static std::uint64_t flow(const HashSchedule& keys, const FlowKey& key) {
    const std::uint64_t tail = ports_and_protocol(key);
    if (key.destination.is_v4()) [[likely]] {
      const std::uint64_t source = load_little<std::uint32_t>(key.source.bytes.data() + 12);
      const std::uint64_t target = load_little<std::uint32_t>(key.destination.bytes.data() + 12);
      const Block block = Aes::make(source | (target << 32), tail);
      return close(keys, Aes::mix(block, Aes::load(keys.whiten_v4.data())));
    }
    Block state = Aes::mix(Aes::load(key.source.bytes.data()), Aes::load(keys.whiten_v6.data()));
    state = absorb(keys, state, 0, Aes::load(key.destination.bytes.data()));
    return close(keys, absorb(keys, state, 1, Aes::make(tail, 0)));
  }

  static std::uint64_t pair(const HashSchedule& keys, const Address& first, const Address& second) {
    const Block state = Aes::mix(Aes::load(first.bytes.data()), Aes::load(keys.whiten_pair.data()));
    return close(keys, absorb(keys, state, 0, Aes::load(second.bytes.data())));
  }

  static std::uint64_t words(const HashSchedule& keys, std::uint64_t first, std::uint64_t second) {
    return close(keys, Aes::mix(Aes::make(first, second), Aes::load(keys.whiten_words.data())));
  }
};

// The hash in use. Immutable after construction; shared by all threads.
class FlowHasher {
 public:
  explicit FlowHasher(const HashKey& key) : schedule_(HashSchedule::from(key)) {}

  // Of the 5-tuple. Requires: both addresses of one family.
  std::uint64_t operator()(const FlowKey& key) const {
    return BasicHash<aes::Best>::flow(schedule_, key);
  }
  // Of two addresses in this order, whatever their family.
  [[nodiscard]] std::uint64_t address_pair(const Address& first, const Address& second) const {
    return BasicHash<aes::Best>::pair(schedule_, first, second);
  }
  // Of who sends, for bounds per source: an IPv4 address, or the /64 of an IPv6 one, in which a
  // single host may take any address it likes (RFC 8981, RFC 7934 §6).
  [[nodiscard]] std::uint64_t source(const Address& address) const {
    const Address one = address.is_v4() ? address : masked(address, 64);
    return address_pair(one, one);
  }
  // Of two integers: table seeds, permutations, rehashes of a hash.
  [[nodiscard]] std::uint64_t words(std::uint64_t first, std::uint64_t second) const {
    return BasicHash<aes::Best>::words(schedule_, first, second);
  }

 private:
  HashSchedule schedule_;
};

}  // namespace holdfast::dataplane
