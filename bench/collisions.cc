// SPDX-License-Identifier: Apache-2.0
// Colliding flows. Sources: CRC32C in RFC 3720 §12.1 (Castagnoli); lookup3 by Bob Jenkins, 2006,
// burtleburtle.net/bob/hash/doobs.html.
#include "bench/collisions.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <random>
#include <set>

#include <nmmintrin.h>

namespace holdfast::dataplane::bench {
namespace {

constexpr std::uint16_t kFirstPort = 80;  // its last two bits are 0: kPorts may vary them
constexpr std::uint16_t kPorts = 4;
constexpr std::uint16_t kFirstClientPort = 1024;

bool can_be_sent(std::uint32_t source, std::uint16_t port) {
  const std::uint32_t network = source >> 24;
  return network != 0 && network != 127 && network < 224 && port >= kFirstClientPort;
}

FlowKey flow4(const Address& vip, std::uint32_t source, std::uint16_t port, std::uint16_t service) {
  return {.source = Address::v4(Be32::from_host(source)),
          .destination = vip,
          .source_port = Be16::from_host(port),
          .destination_port = Be16::from_host(service),
          .protocol = Protocol::kTcp};
}

// --- lookup3 -------------------------------------------------------------------------------------

struct Words {
  std::uint32_t a = 0;
  std::uint32_t b = 0;
  std::uint32_t c = 0;
};

constexpr std::uint32_t start_value(std::size_t bytes) {
  return 0xdeadbeef + static_cast<std::uint32_t>(bytes);
}

constexpr Words mix(Words w) {
  w.a = (w.a - w.c) ^ std::rotl(w.c, 4);
  w.c += w.b;
  w.b = (w.b - w.a) ^ std::rotl(w.a, 6);
  w.a += w.c;
  w.c = (w.c - w.b) ^ std::rotl(w.b, 8);
  w.b += w.a;
  w.a = (w.a - w.c) ^ std::rotl(w.c, 16);
  w.c += w.b;
  w.b = (w.b - w.a) ^ std::rotl(w.a, 19);
  w.a += w.c;
  w.c = (w.c - w.b) ^ std::rotl(w.b, 4);
  w.b += w.a;
  return w;
}

constexpr Words unmix(Words w) {
  w.b -= w.a;
  w.c = (w.c ^ std::rotl(w.b, 4)) + w.b;
  w.a -= w.c;
  w.b = (w.b ^ std::rotl(w.a, 19)) + w.a;
  w.c -= w.b;
  w.a = (w.a ^ std::rotl(w.c, 16)) + w.c;
  w.b -= w.a;
  w.c = (w.c ^ std::rotl(w.b, 8)) + w.b;
  w.a -= w.c;
  w.b = (w.b ^ std::rotl(w.a, 6)) + w.a;
  w.c -= w.b;
  w.a = (w.a ^ std::rotl(w.c, 4)) + w.c;
  return w;
}

constexpr Words finish(Words w) {
  w.c = (w.c ^ w.b) - std::rotl(w.b, 14);
  w.a = (w.a ^ w.c) - std::rotl(w.c, 11);
  w.b = (w.b ^ w.a) - std::rotl(w.a, 25);
  w.c = (w.c ^ w.b) - std::rotl(w.b, 16);
  w.a = (w.a ^ w.c) - std::rotl(w.c, 4);
  w.b = (w.b ^ w.a) - std::rotl(w.a, 14);
  w.c = (w.c ^ w.b) - std::rotl(w.b, 24);
  return w;
}

constexpr Words unfinish(Words w) {
  w.c = (w.c + std::rotl(w.b, 24)) ^ w.b;
  w.b = (w.b + std::rotl(w.a, 14)) ^ w.a;
  w.a = (w.a + std::rotl(w.c, 4)) ^ w.c;
  w.c = (w.c + std::rotl(w.b, 16)) ^ w.b;
  w.b = (w.b + std::rotl(w.a, 25)) ^ w.a;
  w.a = (w.a + std::rotl(w.c, 11)) ^ w.c;
  w.c = (w.c + std::rotl(w.b, 14)) ^ w.b;
  return w;
}

constexpr std::uint32_t jhash3(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  const std::uint32_t start = start_value(12);
  return finish({start + a, start + b, start + c}).c;
}

constexpr std::uint32_t jhash2(std::uint32_t a, std::uint32_t b) {
  const std::uint32_t start = start_value(8);
  return finish({start + a, start + b, start}).c;
}

constexpr std::uint32_t jhash4(const std::array<std::uint32_t, 4>& words) {
  const std::uint32_t start = start_value(16);
  Words state = mix({start + words[0], start + words[1], start + words[2]});
  state.a += words[3];
  return finish(state).c;
}

// What rte_jhash_3words(), rte_jhash_2words() and rte_jhash_32b() of DPDK 22.11 return.
static_assert(jhash3(1, 2, 3) == 0xa46158f5);
static_assert(jhash2(1, 2) == 0x8b4c7979);
static_assert(jhash4({0x04030201, 0x08070605, 0x0c0b0a09, 0x100f0e0d}) == 0x29fb5548);

std::array<std::uint32_t, 4> words_of(const Address& address) {
  std::array<std::uint32_t, 4> words{};
  std::memcpy(words.data(), address.bytes.data(), sizeof words);
  return words;
}

std::uint32_t ports_of(const FlowKey& key) {
  return (std::uint32_t{key.destination_port.wire()} << 16) | key.source_port.wire();
}

// --- CRC32C --------------------------------------------------------------------------------------

// The bits that the attacker has: 32 of the source, 16 of its port, 2 of the service's.
constexpr unsigned kFreeBits = 50;

FlowKey flow_of_bits(const Address& vip, std::uint64_t bits) {
  return flow4(vip,
               static_cast<std::uint32_t>(bits),
               static_cast<std::uint16_t>(bits >> 32),
               static_cast<std::uint16_t>(kFirstPort + (bits >> 48) % kPorts));
}

// The combinations of free bits that do not change the CRC: by Gaussian elimination.
std::vector<std::uint64_t> crc_kernel(const Address& vip) {
  struct Row {
    std::uint32_t image = 0;
    std::uint64_t bits = 0;
  };
  std::vector<Row> pivots;
  std::vector<std::uint64_t> kernel;
  const std::uint32_t origin = crc32c_of(flow_of_bits(vip, 0));
  for (unsigned bit = 0; bit < kFreeBits; ++bit) {
    Row row{.image = crc32c_of(flow_of_bits(vip, std::uint64_t{1} << bit)) ^ origin,
            .bits = std::uint64_t{1} << bit};
    for (const Row& pivot : pivots) {
      if ((row.image & std::bit_floor(pivot.image)) != 0) {
        row = {.image = row.image ^ pivot.image, .bits = row.bits ^ pivot.bits};
      }
    }
    if (row.image == 0) {
      kernel.push_back(row.bits);
    } else {
      pivots.push_back(row);
    }
  }
  return kernel;
}

}  // namespace

std::uint32_t crc32c_of(const FlowKey& key) {
  const std::uint64_t addresses =
      key.source.v4_bits().wire() | (std::uint64_t{key.destination.v4_bits().wire()} << 32);
  auto crc = static_cast<std::uint32_t>(_mm_crc32_u64(0, addresses));
  crc = _mm_crc32_u32(crc, ports_of(key));
  return _mm_crc32_u8(crc, static_cast<std::uint8_t>(key.protocol));
}

std::uint32_t jhash_of(const FlowKey& key) {
  return key.source.is_v4()
             ? jhash3(key.source.v4_bits().wire(), key.destination.v4_bits().wire(), ports_of(key))
             : jhash2(jhash4(words_of(key.source)), ports_of(key));
}

Flows random_flows(const Address& vip, std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Flows flows;
  while (flows.size() < count) {
    const std::uint64_t bits = random();
    if (!vip.is_v4()) {
      FlowKey flow = flow_of_bits(vip, bits);
      std::array<std::uint64_t, 2> address = {random(), random()};
      std::memcpy(flow.source.bytes.data(), address.data(), sizeof address);
      flow.source.bytes[0] = 0x20;
      flows.push_back(flow);
    } else if (can_be_sent(static_cast<std::uint32_t>(bits),
                           static_cast<std::uint16_t>(bits >> 32))) {
      flows.push_back(flow_of_bits(vip, bits));
    }
  }
  return flows;
}

Flows crc_collisions(const Address& vip, std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const std::vector<std::uint64_t> kernel = crc_kernel(vip);
  Flows flows;
  std::uint64_t bits = random();
  // Gray code: each step changes one member of the base, and all combinations come once.
  for (std::uint64_t step = 1; flows.size() < count && step >> kernel.size() == 0; ++step) {
    if (can_be_sent(static_cast<std::uint32_t>(bits), static_cast<std::uint16_t>(bits >> 32))) {
      flows.push_back(flow_of_bits(vip, bits));
    }
    bits ^= kernel[static_cast<unsigned>(std::countr_zero(step))];
  }
  std::ranges::shuffle(flows, random);
  return flows;
}

Flows jhash_collisions(const Address& vip, std::size_t count, unsigned bits, std::uint64_t seed) {
  constexpr std::size_t kBlock = 4096;  // sources at a time: a loop that the compiler vectorises
  std::mt19937_64 random(seed);
  const std::uint32_t mask = (1U << bits) - 1;
  const auto target = static_cast<std::uint32_t>(random()) & mask;
  Flows flows;
  std::array<std::uint32_t, kBlock> hashes{};
  while (flows.size() < count) {
    const auto source = static_cast<std::uint32_t>(random());
    const FlowKey one = flow4(vip,
                              source,
                              static_cast<std::uint16_t>(kFirstClientPort + random() % 60'000),
                              static_cast<std::uint16_t>(kFirstPort + random() % kPorts));
    const std::uint32_t ports = ports_of(one);
    const std::uint32_t destination = vip.v4_bits().wire();
    for (std::uint32_t i = 0; i < kBlock; ++i) {
      hashes[i] = jhash3(source + i, destination, ports) & mask;
    }
    for (std::uint32_t i = 0; i < kBlock && flows.size() < count; ++i) {
      FlowKey flow = one;
      flow.source = Address::v4(Be32::from_wire(source + i));
      if (hashes[i] == target && can_be_sent(flow.source.v4_bits().to_host(), kFirstClientPort)) {
        flows.push_back(flow);
      }
    }
  }
  std::ranges::shuffle(flows, random);
  return flows;
}

Flows jhash_collisions6(const Address& vip, std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const std::uint32_t start = start_value(16);
  const auto target = static_cast<std::uint32_t>(random());
  FlowKey flow = flow_of_bits(vip, std::uint64_t{40'000} << 32);
  Flows flows;
  while (flows.size() < count) {
    const auto last = static_cast<std::uint32_t>(random());
    Words state = unfinish(
        {static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random()), target});
    state.a -= last;
    state = unmix(state);
    const std::array<std::uint32_t, 4> words = {
        state.a - start, state.b - start, state.c - start, last};
    std::memcpy(flow.source.bytes.data(), words.data(), sizeof words);
    if ((flow.source.bytes[0] & 0xe0) == 0x20) {  // 2000::/3, global unicast
      flows.push_back(flow);
    }
  }
  return flows;
}

}  // namespace holdfast::dataplane::bench
