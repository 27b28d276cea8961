// SPDX-License-Identifier: Apache-2.0
// What happens to control over a long time, in virtual time: it crashes over and over, finds one
// damaged file after the other, and the machine's clock is set.
#include "config/load.h"
#include "tests/unit/control/engine_fixture.h"

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;
using Members = std::set<std::tuple<std::string, std::string, std::uint32_t>>;

class ContinuityTest : public EngineTest {
 protected:
  // What the dataplane forwards by.
  [[nodiscard]] Members in_force() const {
    Members members;
    for (const dataplane::ServiceSpec& service : forwarder->in_force.services) {
      for (const dataplane::MemberSpec& member : service.members) {
        members.emplace(service.name, member.backend, member.weight);
      }
    }
    return members;
  }
};

Members members_of(const config::Config& config) {
  Members members;
  for (const config::Service& service : config.services) {
    for (const config::Backend& backend : service.backends) {
      members.emplace(service.name, backend.name, backend.weight);
    }
  }
  return members;
}

TEST_F(ContinuityTest, AControlThatCrashesForTenMinutesChangesNothing) {
  begin_up();
  prober.dead = {12};
  pass(12s);
  AdminRequest request = asked(AdminVerb::kDrain, "web/c");
  request.deadline = 1h;
  ASSERT_EQ(change(request).outcome, Outcome::kOk);
  stop();
  const auto generation = dataplane->in_force;
  const auto shown_before = dataplane->shown;
  int lives = 0;
  std::mt19937 random(1);
  for (std::chrono::milliseconds passed = 0ms; passed < 10min; ++lives) {
    const std::chrono::milliseconds life{random() % 300 * 10};
    begin(written().orders);
    forwarder->connect();
    pass(life);
    EXPECT_TRUE(forwarder->publications.empty());
    EXPECT_TRUE(forwarder->changes.empty());
    stop();
    const std::chrono::milliseconds gone = life + 100ms;  // until it is started again
    passed += gone;
    unix_ms += gone.count();
    clock.advance(100ms);
    dataplane->resets.at({"web", "c"}) -= gone;  // its own clock goes on
  }
  EXPECT_EQ(dataplane->in_force, generation);
  EXPECT_EQ(dataplane->shown, shown_before);
  begin(written().orders);
  forwarder->connect();
  pass(2s);
  EXPECT_EQ(engine->status().adoption_state_changes, 0U);
  EXPECT_EQ(view("c").admin, "draining");
  RecordProperty("crashes", lives);
}

// Bytes changed, lines gone, twice or swapped, the end missing: an editor's, a template's or a
// disk's work.
std::string damaged(std::string text, std::mt19937& random) {
  const auto below = [&](std::size_t bound) { return random() % bound; };
  for (std::size_t times = 1 + below(3); times > 0 && !text.empty(); --times) {
    const std::size_t at = below(text.size());
    const std::size_t line = text.rfind('\n', at) == std::string::npos ? 0 : text.rfind('\n', at);
    const std::size_t end = std::min(text.find('\n', line + 1), text.size());
    switch (below(6)) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text[at] = "0123456789:-[]{},\"# \n"[below(21)];
        break;
      case 2:
        text.erase(at, 1 + below(4));
        break;
      case 3:
        text.erase(line, end - line);
        break;
      case 4:
        text.insert(line, text.substr(line, end - line));
        break;
      default:
        text.resize(at);
        break;
    }
  }
  return text;
}

TEST_F(ContinuityTest, OfAThousandDamagedFilesEachIsRefusedOrAppliedWhole) {
  begin_up();
  std::mt19937 random(2);
  const std::string whole = yaml(kThree + ", " + member("d", 14, 50));
  int applied = 0;
  int refused = 0;
  for (int i = 0; i < 1000; ++i) {
    const Members before = in_force();
    const std::uint64_t revision = engine->status().revision;
    write(damaged(whole, random));
    const VerbResult result = reload();
    pass(20ms);
    if (result.outcome == Outcome::kOk) {
      const auto read = config::load_config(path());
      ASSERT_TRUE(read.has_value());
      EXPECT_EQ(in_force(), members_of(*read));
      ++applied;
    } else {
      EXPECT_FALSE(result.lines.empty());
      EXPECT_EQ(in_force(), before);
      EXPECT_EQ(engine->status().revision, revision);
      ++refused;
    }
  }
  EXPECT_GT(applied, 10);
  EXPECT_GT(refused, 500);
  RecordProperty("applied whole", applied);
  RecordProperty("refused", refused);
}

TEST_F(ContinuityTest, AFlappingBackendTouchesNoOtherAndRebuildsNoTable) {
  begin_up();
  const std::size_t publications = forwarder->publications.size();
  const std::size_t changes = forwarder->changes.size();
  for (std::chrono::milliseconds passed = 0ms; passed < 60s; passed += 150ms) {
    prober.dead = prober.dead.empty() ? std::set<std::uint8_t>{12} : std::set<std::uint8_t>{};
    pass(150ms);
  }
  EXPECT_EQ(forwarder->publications.size(), publications);
  for (std::size_t i = changes; i < forwarder->changes.size(); ++i) {
    EXPECT_EQ(forwarder->changes[i].backend, "b");
  }
  EXPECT_EQ(view("a").changes, 1U);
  RecordProperty("changes of its own in 60 s",
                 static_cast<int>(forwarder->changes.size() - changes));
}

TEST_F(ContinuityTest, AClockThatIsSetAnHourEitherWayEndsNothingAndFailsNoProbe) {
  begin_up();
  AdminRequest request = asked(AdminVerb::kDrain, "web/a");
  request.deadline = 30min;
  ASSERT_EQ(change(request).outcome, Outcome::kOk);
  request = asked(AdminVerb::kMaintenance, "web/b");
  request.ttl = 30min;
  ASSERT_EQ(change(request).outcome, Outcome::kOk);
  const auto generation = forwarder->in_force;
  const std::size_t changes = forwarder->changes.size();
  for (const std::chrono::milliseconds step : {1h, -2h, 1h}) {
    unix_ms += step.count();
    pass(10s);
    EXPECT_EQ(forwarder->changes.size(), changes);
    EXPECT_EQ(forwarder->in_force, generation);
    EXPECT_EQ(view("a").admin, "draining");
    EXPECT_EQ(view("b").admin, "maintenance");
    EXPECT_EQ(view("c").health, "up");
    EXPECT_EQ(view("c").changes, 1U);
  }
  pass(30min);
  EXPECT_EQ(shown("b"), kNew);
}

}  // namespace
}  // namespace holdfast::control
