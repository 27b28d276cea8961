// SPDX-License-Identifier: Apache-2.0
// Walks over the flows belong to the writer's session: a reader can neither begin, collect nor
// replace one, and they go with the connection, or with the process.
#include "tests/unit/process/running_dataplane.h"
#include "tests/unit/process/seam_helpers.h"

#include <chrono>
#include <csignal>
#include <optional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

using ::testing::HasSubstr;

seam::Reply begin(seam::Client& client, const char* backend = "") {
  seam::Request request;
  seam::FlowFilter& filter = *request.mutable_list_flows()->mutable_filter();
  filter.set_backend(backend);
  request.mutable_list_flows()->set_limit(10);
  return ask(client, request);
}

seam::Reply collect(seam::Client& client, std::uint64_t number) {
  seam::Request request;
  request.mutable_collect_flows()->set_number(number);
  return ask(client, request);
}

// Asks until it is over; 10 s at most.
seam::Reply finish(seam::Client& client, std::uint64_t number) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  seam::Reply reply = collect(client, number);
  while (reply.collect_flows().running() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
    reply = collect(client, number);
  }
  return reply;
}

TEST(FlowSessions, AWriterWalksAndAReaderNeitherCollectsNorReplacesIt) {
  const Instance instance;
  RunningDataplane dataplane(instance, instance.startup());
  seam::Client writer = dataplane.client(1);
  seam::Client reader = dataplane.client(0, true);
  ASSERT_TRUE(publish(writer, small_generation(1)).has_publish());
  const seam::Reply begun = begin(writer);
  ASSERT_TRUE(begun.has_flow_walk()) << begun.error().text();
  const std::uint64_t number = begun.flow_walk().number();
  EXPECT_THAT(collect(reader, number).error().text(), HasSubstr("for reading"));
  EXPECT_THAT(begin(reader).error().text(), HasSubstr("for reading"));
  const seam::Reply found = finish(writer, number);
  ASSERT_TRUE(found.has_collect_flows()) << found.error().text();
  EXPECT_FALSE(found.collect_flows().running());
  EXPECT_EQ(found.collect_flows().matched(), 0U);
  EXPECT_THAT(collect(writer, number).error().text(), HasSubstr("no such walk"));
}

TEST(FlowSessions, ANewWriterFindsTheWayFree) {
  const Instance instance;
  RunningDataplane dataplane(instance, instance.startup());
  seam::Client first = dataplane.client(1);
  ASSERT_TRUE(publish(first, small_generation(1)).has_publish());
  const std::uint64_t number = begin(first).flow_walk().number();
  seam::Client second = dataplane.client(2);
  EXPECT_THAT(collect(second, number).error().text(), HasSubstr("no such walk"));
  const seam::Reply begun = begin(second);
  ASSERT_TRUE(begun.has_flow_walk()) << begun.error().text();
  EXPECT_GT(begun.flow_walk().number(), number);
  EXPECT_TRUE(finish(second, begun.flow_walk().number()).has_collect_flows());
}

TEST(FlowSessions, AConnectionThatEndsTakesItsWalkAlong) {
  const Instance instance;
  RunningDataplane dataplane(instance, instance.startup());
  std::uint64_t number = 0;
  {
    seam::Client first = dataplane.client(1);
    ASSERT_TRUE(publish(first, small_generation(1)).has_publish());
    number = begin(first).flow_walk().number();
  }
  seam::Client second = dataplane.client(2);
  EXPECT_TRUE(begin(second).has_flow_walk());
  EXPECT_THAT(collect(second, number).error().text(), HasSubstr("no such walk"));
}

TEST(FlowSessions, AProcessAfterAnotherNumbersItsWalksAnew) {
  const Instance instance;
  std::uint64_t number = 0;
  {
    RunningDataplane first(instance, instance.startup());
    seam::Client client = first.client(1);
    ASSERT_TRUE(publish(client, small_generation(1)).has_publish());
    number = begin(client).flow_walk().number();
    first.end(SIGKILL);
  }
  RunningDataplane second(instance, instance.startup());
  seam::Client client = second.client(2);
  EXPECT_GT(begin(client).flow_walk().number(), number);
}

TEST(FlowSessions, WhatIsNoFilterIsRefused) {
  const Instance instance;
  RunningDataplane dataplane(instance, instance.startup());
  seam::Client client = dataplane.client(1);
  ASSERT_TRUE(publish(client, small_generation(1)).has_publish());
  EXPECT_THAT(begin(client, "z").error().text(), HasSubstr("no backend */z"));
  seam::Request request;
  request.mutable_list_flows()->mutable_filter()->set_source("abc");
  EXPECT_THAT(ask(client, request).error().text(), HasSubstr("source"));
  request.mutable_list_flows()->set_limit(10'001);
  EXPECT_TRUE(ask(client, request).has_error());
  request.mutable_reset_flows();
  EXPECT_THAT(ask(client, request).error().text(), HasSubstr("no filter"));
}

}  // namespace
}  // namespace holdfast::dataplane
