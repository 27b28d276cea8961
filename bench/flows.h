// SPDX-License-Identifier: Apache-2.0
// Flows by number, and the orders in which their packets come: each flow as likely as any other, or
// by Zipf's law with exponent 1, as a few clients of a real service send most of its packets. Pure.
#pragma once

#include "dataplane/burst.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace holdfast::dataplane::bench {

inline constexpr std::uint16_t kServicePort = 80;
inline constexpr std::uint32_t kFirstVip = 0xc6120000;     // 198.18.0.0, one VIP after the other
inline constexpr std::uint32_t kFirstClient = 0x0b000000;  // 11.0.0.0
inline constexpr std::uint32_t kPortsPerClient = 50'000;

inline Address v4(std::uint32_t host_order) { return Address::v4(Be32::from_host(host_order)); }
// The IPv6 address whose last word is `last`, below 2001:db8::/32 and `network`.
inline Address v6(std::uint32_t network, std::uint32_t last) {
  Address address = v4(last);
  const std::array<std::uint8_t, 12> front = {
      0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, static_cast<std::uint8_t>(network), 0, 0, 0, 0};
  std::ranges::copy(front, address.bytes.begin());
  return address;
}
inline Address vip(std::uint32_t binding, bool of_v4 = true) {
  return of_v4 ? v4(kFirstVip + binding) : v6(1, kFirstVip + binding);
}

// The key of a flow's packets from the client, to one of `bindings` VIPs in turn.
inline FlowKey flow_key(std::uint32_t flow, bool of_v4 = true, std::uint32_t bindings = 1) {
  const std::uint32_t client = kFirstClient + flow / kPortsPerClient;
  const auto port = static_cast<std::uint16_t>(1024 + flow % kPortsPerClient);
  return {.source = of_v4 ? v4(client) : v6(2, client),
          .destination = vip(bindings == 1 ? 0 : flow % bindings, of_v4),
          .source_port = Be16::from_host(port),
          .destination_port = Be16::from_host(kServicePort),
          .protocol = Protocol::kTcp};
}

enum class Order : std::uint8_t { kUniform, kZipf };

// Draws flows of [0, count). Zipf by rejection-inversion (Hörmann and Derflinger, ACM TOMACS 6,
// 1996), whose hat function is 1/x here, so that its integral is the logarithm.
class Draw {
 public:
  Draw(Order order, std::uint32_t count, std::uint64_t seed)
      : order_(order),
        count_(count),
        random_(seed),
        first_(std::log(1.5) - 1),
        last_(std::log(count + 0.5)),
        accept_(2 - std::exp(std::log(2.5) - 0.5)) {}

  std::uint32_t operator()() { return order_ == Order::kUniform ? uniform() : zipf(); }

 private:
  std::uint32_t uniform() { return static_cast<std::uint32_t>(((random_() >> 32) * count_) >> 32); }
  std::uint32_t zipf() {
    for (;;) {
      const double u = last_ + std::uniform_real_distribution<double>()(random_) * (first_ - last_);
      const double x = std::exp(u);
      const double k = std::clamp(std::round(x), 1.0, static_cast<double>(count_));
      if (k - x <= accept_ || u >= std::log(k + 0.5) - 1 / k) {
        return static_cast<std::uint32_t>(k) - 1;
      }
    }
  }

  Order order_;
  std::uint64_t count_;
  std::mt19937_64 random_;
  double first_;
  double last_;
  double accept_;
};

}  // namespace holdfast::dataplane::bench
