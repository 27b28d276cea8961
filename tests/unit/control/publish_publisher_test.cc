// SPDX-License-Identifier: Apache-2.0
// The publisher: one generation in flight, the newest next, dispositions at once and never undone
// by a generation that was built before them.
#include "control/publish/publisher.h"
#include "tests/support/fake_forwarder.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using dataplane::Disposition;
using dataplane::GenerationSpec;

GenerationSpec generation(std::uint32_t weight, Disposition disposition = Disposition::kNew) {
  GenerationSpec spec;
  dataplane::ServiceSpec service;
  service.name = "web";
  for (const char* name : {"a", "b"}) {
    dataplane::MemberSpec member;
    member.backend = name;
    member.weight = weight;
    member.disposition = disposition;
    service.members.push_back(member);
  }
  spec.services = {service};
  return spec;
}

class Observer final : public Forwarder::Observer {
 public:
  void on_connect() override {}
  void on_disconnect(const std::string&) override {}
  void on_event(const seam::Event&) override {}
};

class PublisherTest : public ::testing::Test {
 protected:
  PublisherTest() {
    forwarder.start(observer);
    forwarder.connect();
  }
  void run() {
    context.restart();
    context.poll();
  }
  std::vector<std::uint32_t> published_weights() const {
    std::vector<std::uint32_t> weights;
    for (const GenerationSpec& one : forwarder.publications) {
      weights.push_back(one.services[0].members[0].weight);
    }
    return weights;
  }

  using Visible = std::expected<void, Publisher::Undelivered>;
  std::shared_ptr<std::optional<Visible>> visible(std::uint64_t losses) {
    auto outcome = std::make_shared<std::optional<Visible>>();
    boost::asio::co_spawn(
        context,
        publisher.dispositions_visible(losses),
        [outcome](const std::exception_ptr&, Visible value) { *outcome = std::move(value); });
    run();
    return outcome;
  }

  boost::asio::io_context context{1};
  testing::FakeForwarder forwarder{context.get_executor()};
  Observer observer;
  Tasks tasks{context.get_executor()};
  std::vector<std::uint64_t> reported;
  std::vector<std::string> refused;
  Publisher publisher{forwarder,
                      tasks,
                      [this](std::uint64_t number, const Publisher::Outcome& o) {
                        reported.push_back(o ? number : 0);
                      },
                      [this](const std::vector<std::string>& one) { refused = one; }};
};

TEST_F(PublisherTest, SendsOnlyTheNewestOfWhatWasWantedMeanwhile) {
  forwarder.hold = true;
  publisher.want(generation(1));
  run();
  for (const std::uint32_t weight : {2U, 3U, 4U}) {
    publisher.want(generation(weight));
  }
  run();
  EXPECT_TRUE(publisher.busy());
  forwarder.release();
  run();
  EXPECT_EQ(published_weights(), (std::vector{1U, 4U}));
  EXPECT_EQ(reported, (std::vector<std::uint64_t>{1, 2}));
  EXPECT_TRUE(publisher.runs(generation(4)));
  EXPECT_FALSE(publisher.busy());
}

TEST_F(PublisherTest, ContinuesTheNumbersOfTheRunningGeneration) {
  RunningState running;
  running.generation = generation(1);
  running.generation.number = 41;
  publisher.adopt(running);
  EXPECT_TRUE(publisher.runs(generation(1, Disposition::kAvoid)));
  EXPECT_FALSE(publisher.runs(generation(2)));
  publisher.want(generation(2));
  run();
  EXPECT_EQ(publisher.acknowledged(), 42U);
}

TEST_F(PublisherTest, SendsADispositionBesideAPublicationInFlightAndItStands) {
  forwarder.hold = true;
  publisher.want(generation(1));
  run();
  publisher.set_disposition({"web", "a", Disposition::kAvoid});
  run();
  ASSERT_EQ(forwarder.changes.size(), 1U);
  // This fake takes the generation's dispositions when it is released, as the worst dataplane
  // could.
  forwarder.release();
  run();
  EXPECT_EQ((forwarder.shown[{"web", "a"}]), Disposition::kAvoid);
  EXPECT_EQ((forwarder.shown[{"web", "b"}]), Disposition::kNew);
}

TEST_F(PublisherTest, PutsTheNewestDispositionsIntoAGenerationThatHadToWait) {
  forwarder.hold = true;
  publisher.want(generation(1));
  run();
  publisher.want(generation(2));
  publisher.set_disposition({"web", "b", Disposition::kKeep});
  forwarder.release();
  run();
  ASSERT_EQ(forwarder.publications.size(), 2U);
  EXPECT_EQ(forwarder.publications[1].services[0].members[1].disposition, Disposition::kKeep);
}

TEST_F(PublisherTest, TellsAWaiterThatItsGenerationWasRefused) {
  forwarder.refusal = "overlapping bindings";
  std::optional<Publisher::Outcome> outcome;
  boost::asio::co_spawn(context,
                        publisher.publish(generation(1)),
                        [&](const std::exception_ptr&, Publisher::Outcome one) { outcome = one; });
  run();
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->error(), "overlapping bindings");
  EXPECT_EQ(publisher.failures(), 1U);
  EXPECT_FALSE(publisher.runs(generation(1)));
}

TEST_F(PublisherTest, FailsWhatIsInFlightAndWaitingWhenTheConnectionEnds) {
  forwarder.hold = true;
  int ended = 0;
  for (const std::uint32_t weight : {1U, 2U}) {
    boost::asio::co_spawn(context,
                          publisher.publish(generation(weight)),
                          [&](const std::exception_ptr&, const Publisher::Outcome& outcome) {
                            EXPECT_FALSE(outcome.has_value());
                            ++ended;
                          });
    run();
  }
  forwarder.disconnect();
  publisher.disconnect("gone");
  run();
  EXPECT_EQ(ended, 2);
  EXPECT_EQ(tasks.running(), 0U);
}

TEST_F(PublisherTest, TellsWhoWaitsThatADispositionWasLostBeforeItWasSent) {
  forwarder.hold_dispositions = true;
  publisher.set_disposition({"web", "a", Disposition::kKeep});
  run();
  const std::uint64_t losses = publisher.losses();
  publisher.set_disposition({"web", "b", Disposition::kKeep});
  const auto outcome = visible(losses);
  forwarder.disconnect();
  publisher.disconnect("gone");
  run();
  ASSERT_TRUE(outcome->has_value());
  EXPECT_FALSE((*outcome)->has_value());
  EXPECT_FALSE((*outcome)->error().refused);
}

TEST_F(PublisherTest, TellsWhoWaitsThatADispositionWasRefusedAndSaysSo) {
  forwarder.unknown = {"b"};
  const std::uint64_t losses = publisher.losses();
  publisher.set_disposition({"web", "b", Disposition::kKeep});
  const auto outcome = visible(losses);
  ASSERT_TRUE(outcome->has_value());
  ASSERT_FALSE((*outcome)->has_value());
  EXPECT_TRUE((*outcome)->error().refused);
  EXPECT_EQ((*outcome)->error().reason, "no member web/b");
  EXPECT_EQ(refused, (std::vector<std::string>{"no member web/b"}));
  publisher.set_disposition({"web", "a", Disposition::kKeep});
  EXPECT_TRUE((*visible(publisher.losses()))->has_value());
}

TEST_F(PublisherTest, CountsAGenerationThatIsInForceAlthoughItsAnswerFailed) {
  forwarder.in_force = generation(1);
  forwarder.in_force.number = 1;
  forwarder.refusal = "worker 1 still sees the old generation";
  publisher.want(generation(1));
  run();
  EXPECT_EQ(publisher.acknowledged(), 1U);
  EXPECT_EQ(publisher.failures(), 0U);
}

}  // namespace
}  // namespace holdfast::control
