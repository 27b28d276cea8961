// SPDX-License-Identifier: Apache-2.0
// A thousand damaged states: cut, zeroed from some offset on, with lines of garbage or of another
// place, with a damaged header, of another layout, key or boot, or with bytes changed where flows
// stand; each found by a process of one to five workers, while three wrote it. A state is refused
// with a reason, or it is used: then every flow that is still there goes to its own backend, and
// every other one to a backend of its service. Memory has the exact size, so the address sanitizer
// sees a read past the end.
//
// An entry of a flow has no checksum of its own: what changes just the member in it, to another one
// of the same service, is found by nobody. That one kind is therefore judged by the service alone.
//
// The seed is printed; HOLDFAST_STATE_SEED=N tells the same again.
#include "tests/support/life.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::testing {
namespace {

using dataplane::GenerationSpec;
using dataplane::Mode;
using dataplane::SharedState;
using dataplane::StateGeometry;
using dataplane::Verdict;

constexpr int kDamagedStates = 1000;  // over both modes
constexpr std::uint16_t kEach = 12;   // flows of a kind
constexpr std::uint32_t kWriters = 3;
constexpr std::uint64_t kFlows = 512;
constexpr std::uint64_t kNow = 1'000'000;
constexpr std::size_t kLine = 64;

enum class Damage : std::uint8_t {
  kCut,       // the file ends early
  kZeroes,    // nothing was written behind an offset
  kGarbage,   // lines of anything
  kMoved,     // lines of another place
  kHeader,    // a byte of the header
  kLayout,    // written by another version
  kKey,       // under another key
  kBoot,      // before the last boot
  kRegistry,  // a byte of what members and bindings are
  kEntries,   // bytes of flows
  kCount
};

std::uint64_t state_seed() {
  const char* const given = std::getenv("HOLDFAST_STATE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
}

class DamagedStates : public ::testing::TestWithParam<Mode> {
 protected:
  void SetUp() override {
    const std::uint64_t used = state_seed();
    std::cout << "HOLDFAST_STATE_SEED=" << used << "\n";
    random_.seed(used);
    spec_ = three_backends(GetParam());
    const StateGeometry geometry = StateGeometry::from(kFlows, kWriters);
    whole_ = std::make_unique<StateMemory>(geometry.bytes());
    const SharedState state =
        SharedState::format(whole_->bytes(), geometry, kApplianceKey, kApplianceBoot);
    Life life(state, spec_);
    ASSERT_TRUE(life.ok());
    life.set_dispositions(spec_);
    flows_ = open_flows(life, kEach, kNow);
    const std::span<std::byte> bytes = whole_->bytes();
    tables_ = static_cast<std::size_t>(state.memory_of(0).data() - bytes.data());
    for (std::size_t at = 0; at + kLine <= bytes.size(); at += kLine) {
      const auto line = bytes.subspan(at, kLine);
      if (std::ranges::any_of(line, [](std::byte byte) { return byte != std::byte{0}; })) {
        (at < 4096 ? header_ : at < tables_ ? registry_ : entries_).push_back(at);
      }
    }
  }

  std::size_t below(std::size_t bound) { return random_() % bound; }
  std::size_t one_of(const std::vector<std::size_t>& lines) { return lines[below(lines.size())]; }
  std::byte any_byte() { return static_cast<std::byte>(random_()); }
  std::size_t any_line() {
    switch (below(4)) {
      case 0:
        return one_of(registry_);
      case 1:
        return below(whole_->bytes().size() / kLine) * kLine;
      default:
        return one_of(entries_);
    }
  }

  // A copy, damaged. Its size is that of the damaged file.
  std::unique_ptr<StateMemory> damaged(Damage damage) {
    const std::span<std::byte> from = whole_->bytes();
    const std::size_t size = damage == Damage::kCut ? below(from.size()) : from.size();
    auto copy = std::make_unique<StateMemory>(size);
    std::memcpy(copy->bytes().data(), from.data(), size);
    apply(damage, copy->bytes());
    return copy;
  }

  void apply(Damage damage, std::span<std::byte> bytes) {
    const std::size_t times = 1 + below(20);
    switch (damage) {
      case Damage::kZeroes:
        std::ranges::fill(bytes.subspan(any_line() + below(kLine)), std::byte{0});
        break;
      case Damage::kGarbage:
        for (std::size_t i = 0; i < times; ++i) {
          std::ranges::generate(bytes.subspan(any_line(), kLine), [&] { return any_byte(); });
        }
        break;
      case Damage::kMoved:
        for (std::size_t i = 0; i < times; ++i) {
          std::memmove(&bytes[any_line()], &whole_->bytes()[any_line()], kLine);
        }
        break;
      case Damage::kHeader:
        bytes[below(128)] ^= static_cast<std::byte>(1 + below(255));
        break;
      case Damage::kLayout:
        bytes[8] ^= std::byte{1};
        break;
      case Damage::kRegistry:
        bytes[one_of(registry_) + below(kLine)] ^= static_cast<std::byte>(1 + below(255));
        break;
      case Damage::kEntries:
        for (std::size_t i = 0; i < times; ++i) {
          bytes[one_of(entries_) + below(kLine)] = any_byte();
        }
        break;
      case Damage::kCut:
      case Damage::kKey:
      case Damage::kBoot:
      case Damage::kCount:
        break;
    }
  }

  // What a process of so many workers makes of it; empty: it was used.
  std::string next_life(Damage damage, StateMemory& file, std::uint32_t workers) {
    dataplane::HashKey key = kApplianceKey;
    key[0] ^= std::uint8_t{damage == Damage::kKey};
    dataplane::BootId boot = kApplianceBoot;
    boot[0] ^= std::uint8_t{damage == Damage::kBoot};
    const auto former = SharedState::adopt_resized(file.bytes(), key, boot);
    if (!former) {
      return former.error();
    }
    const StateGeometry geometry = StateGeometry::from(kFlows, workers);
    StateMemory memory(geometry.bytes());
    SharedState state = *former;
    if (former->geometry() != geometry) {
      state = SharedState::format(memory.bytes(), geometry, key, boot);
      state.begin_as(*former);
    }
    Life life(state, spec_);
    if (!life.ok()) {
      return "the registries are full";
    }
    if (former->geometry() != geometry) {
      rehash_tables(*former, state, life.generation(), life.ownership(), dataplane::stamp_of(kNow));
      state.complete();
    }
    life.adopt();
    check_flows(life, damage);
    for (std::uint32_t worker = 0; worker < workers; ++worker) {
      sweep(life.worker(worker), life.generation(), kNow + 1);
      sweep(life.worker(worker), life.generation(), kNow + 4'000'000);
    }
    return {};
  }

  void check_flows(Life& life, Damage damage) {
    for (const KnownFlow& flow : flows_) {
      const Fate fate = life.send(flow.next(), kWan, kNow + 1);
      EXPECT_NE(fate.verdict, Verdict::kPending);
      if (fate.verdict != Verdict::kForward) {
        ++lost_;
      } else if (!fate.began && damage != Damage::kEntries) {
        EXPECT_EQ(fate.backend, flow.fate.backend);
        ++kept_;
      } else {
        EXPECT_EQ(fate.backend.size() > 1, !flow.client.address.is_v4());
        EXPECT_TRUE(fate.backend[0] >= '1' && fate.backend[0] <= '3') << fate.backend;
        ++lost_;
      }
      if (flow.fate.pool_port != 0) {
        EXPECT_NE(life.send(flow.reply(), kLan, kNow + 1).verdict, Verdict::kPending);
      }
    }
  }

  std::mt19937_64 random_;
  GenerationSpec spec_;
  std::unique_ptr<StateMemory> whole_;
  std::vector<KnownFlow> flows_;
  std::size_t tables_ = 0;
  std::vector<std::size_t> header_, registry_, entries_;  // lines in use
  std::uint64_t kept_ = 0;
  std::uint64_t lost_ = 0;
};

TEST_P(DamagedStates, AreRefusedWithAReasonOrLoseOnlyWhatIsDamaged) {
  std::map<std::string, int> refused;
  int used = 0;
  for (int i = 0; i < kDamagedStates / 2; ++i) {
    const auto damage = static_cast<Damage>(below(static_cast<std::size_t>(Damage::kCount)));
    const std::unique_ptr<StateMemory> file = damaged(damage);
    const std::string reason = next_life(damage, *file, 1 + static_cast<std::uint32_t>(below(5)));
    ++(reason.empty() ? used : refused[reason]);
  }
  for (const auto& [reason, times] : refused) {
    std::cout << times << " refused: " << reason << "\n";
  }
  std::cout << used << " used: " << kept_ << " flows kept, " << lost_ << " not\n";
  RecordProperty("states used", used);
  RecordProperty("states refused", kDamagedStates / 2 - used);
  EXPECT_GT(used, 0);
  EXPECT_GT(kept_, 0U);
  EXPECT_GE(refused.size(), 5U);
}

INSTANTIATE_TEST_SUITE_P(EveryKindOfTable,
                         DamagedStates,
                         ::testing::Values(Mode::kDsr, Mode::kNat),
                         [](const auto& mode) { return std::string(mode_name(mode.param)); });

}  // namespace
}  // namespace holdfast::testing
