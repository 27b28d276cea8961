// SPDX-License-Identifier: Apache-2.0
// Translated flows under random bursts on a table that is too small for them: whatever gives way,
// each frame bears what its own flow's record says. Appliance checks it for every burst.
#include "tests/support/appliance.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::Verdict;

// What a member got: enough to answer it.
struct Seen {
  Endpoint member;
  Endpoint pool;
  Endpoint client;
  bool tcp = true;
};

class Traffic {
 public:
  Traffic(std::uint64_t seed, std::uint64_t flows)
      : random_(seed), appliance_(three_backends(dataplane::Mode::kNat), flows) {}

  void burst() {
    std::vector<Arrival> arrivals;
    std::vector<Seen> asked;
    for (std::size_t i = 1 + random_() % dataplane::kBurstSize; i > 0; --i) {
      asked.push_back(seen_.empty() || random_() % 2 == 0 ? stranger()
                                                          : seen_[random_() % seen_.size()]);
      arrivals.push_back(asked.back().pool.port == 0 ? question(asked.back())
                                                     : answer(asked.back()));
    }
    const std::vector<Outcome> outcomes = appliance_.send_burst(arrivals);
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      if (outcomes[i].verdict == Verdict::kForward && outcomes[i].port == kLan) {
        remember(outcomes[i].bytes, asked[i]);
      }
    }
    appliance_.solo().worker().notices.clear();
    appliance_.advance(random_() % 8 == 0 ? random_() % 3000 : 0);
  }

 private:
  Seen stranger() {
    Endpoint client = kClient.at_port(static_cast<std::uint16_t>(1 + random_() % 60'000));
    client.address.bytes[15] = static_cast<std::uint8_t>(random_());
    return {.member = {}, .pool = {}, .client = client, .tcp = random_() % 4 != 0};
  }

  Arrival question(const Seen& seen) {
    return seen.tcp ? Arrival{tcp(seen.client, kVip).syn().bytes(), kWan}
                    : Arrival{udp(seen.client, kVip.at_port(53)).payload(4).bytes(), kWan};
  }

  Arrival answer(const Seen& seen) {
    if (!seen.tcp) {
      return random_() % 2 == 0 ? question(seen)
                                : Arrival{udp(seen.member, seen.pool).payload(4).bytes(), kLan};
    }
    switch (random_() % 8) {
      case 0:
        return {tcp(seen.client, kVip).rst().bytes(), kWan};
      case 1:
        return {tcp(seen.member, seen.pool).fin().ack().bytes(), kLan};
      case 2:
        return {tcp(seen.client, kVip).ack().bytes(), kWan};
      case 3:
        return question(seen);
      default:
        return {tcp(seen.member, seen.pool).syn().ack().bytes(), kLan};
    }
  }

  void remember(const Bytes& frame, Seen seen) {
    const auto* bytes = reinterpret_cast<const std::byte*>(frame.data());
    seen.pool = {dataplane::Address::v4(dataplane::load<Be32>(bytes + 26)),
                 dataplane::load<Be16>(bytes + 34).to_host(),
                 kLanMac};
    seen.member = {dataplane::Address::v4(dataplane::load<Be32>(bytes + 30)),
                   dataplane::load<Be16>(bytes + 36).to_host(),
                   kBackend1.mac};
    if (seen_.size() < 64) {
      seen_.push_back(seen);
    } else {
      seen_[random_() % seen_.size()] = seen;
    }
  }

  std::mt19937_64 random_;
  Appliance appliance_;
  std::vector<Seen> seen_;
};

TEST(NatBursts, TranslateEachFrameByItsOwnRecord) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Traffic traffic(seed, seed % 2 == 0 ? 64 : 200);
    for (int i = 0; i < 400 && !::testing::Test::HasFailure(); ++i) {
      traffic.burst();
    }
    ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace holdfast::testing
