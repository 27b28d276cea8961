// SPDX-License-Identifier: Apache-2.0
// The seam's asynchronous client against a scripted dataplane on a real Unix socket.
#include "control/publish/seam_forwarder.h"
#include "dataplane/api/codec.h"
#include "tests/support/temp_directory.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using asio::local::stream_protocol;
using ::testing::HasSubstr;

// Serves one session after the other; `script` answers a request, or says nothing by nullopt.
class ScriptedDataplane {
 public:
  using Script = std::function<std::optional<seam::Reply>(const seam::Request&)>;
  ScriptedDataplane(asio::io_context& context, const std::string& path, Script script)
      : acceptor_(context, stream_protocol::endpoint(path)), script_(std::move(script)) {
    asio::co_spawn(context, serve(), asio::detached);
  }
  std::vector<std::uint64_t> epochs;
  std::function<void(stream_protocol::socket&)> on_session;
  // How long an answer takes; later requests wait behind it.
  std::function<std::chrono::milliseconds(const seam::Request&)> work;
  void drop_session() { session_->close(); }

 private:
  asio::awaitable<void> serve() {
    while (true) {
      session_.emplace(co_await acceptor_.async_accept(asio::use_awaitable));
      try {
        if (on_session) {
          on_session(*session_);
        }
        co_await session();
      } catch (const boost::system::system_error&) {
        session_.reset();  // the peer went away
      }
    }
  }
  asio::awaitable<void> session() {
    seam::FrameDecoder decoder;
    std::vector<char> piece(4096);
    while (true) {
      const std::size_t size =
          co_await session_->async_read_some(asio::buffer(piece), asio::use_awaitable);
      decoder.feed({piece.data(), size});
      while (auto message = *decoder.next()) {
        seam::Request request;
        request.ParseFromString(*message);
        if (request.has_hello()) {
          epochs.push_back(request.hello().writer_epoch());
        }
        if (work) {
          asio::steady_timer timer(session_->get_executor(), work(request));
          co_await timer.async_wait(asio::use_awaitable);
        }
        auto reply = script_(request);
        if (reply) {
          reply->set_id(request.id());
          const std::string bytes = *seam::frame(*reply);
          co_await asio::async_write(*session_, asio::buffer(bytes), asio::use_awaitable);
        }
      }
    }
  }
  stream_protocol::acceptor acceptor_;
  std::optional<stream_protocol::socket> session_;
  Script script_;
};

class RecordingObserver final : public Forwarder::Observer {
 public:
  void on_connect() override { ++connects; }
  void on_disconnect(const std::string& reason) override { reasons.push_back(reason); }
  void on_event(const seam::Event& event) override { events.push_back(event.what()); }
  int connects = 0;
  std::vector<std::string> reasons;
  std::vector<std::string> events;
};

std::optional<seam::Reply> good(const seam::Request& request) {
  seam::Reply reply;
  if (request.has_hello()) {
    reply.mutable_hello()->set_version(1);
    reply.mutable_hello()->set_build("scripted");
  } else if (request.has_publish()) {
    reply.mutable_publish()->set_number(request.publish().generation().number());
  } else if (request.has_set_disposition()) {
    if (request.set_disposition().backend() == "nobody") {
      reply.mutable_error()->set_text("no such member");
    } else {
      reply.mutable_set_disposition()->set_members(1);
    }
  } else if (request.has_get_counters()) {
    reply.mutable_get_counters()->set_generation(5);
  } else {
    seam::MemberEntry& entry = *reply.mutable_get_generation()->add_members();
    entry.mutable_ref()->set_service("web");
    entry.mutable_ref()->set_address(std::string(16, '\1'));
    entry.set_disposition(2);
  }
  return reply;
}

class SeamForwarderTest : public ::testing::Test {
 protected:
  SeamForwarder::Settings settings() {
    SeamForwarder::Settings settings;
    settings.socket = directory.file("seam.sock");
    settings.build = "test";
    settings.next_epoch = [this]() -> asio::awaitable<std::uint64_t> { co_return ++epoch; };
    settings.call_limit = 300ms;
    settings.retry_first = 1ms;
    settings.retry_most = 5ms;
    return settings;
  }
  void run_until(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!condition() && std::chrono::steady_clock::now() < end) {
      context.restart();
      context.run_one_for(1s);
    }
    EXPECT_TRUE(condition());
  }
  template <typename Value>
  std::expected<Value, std::string> get(Forwarder::Answer<Value> call) {
    std::optional<std::expected<Value, std::string>> result;
    asio::co_spawn(context,
                   std::move(call),
                   [&](const std::exception_ptr&, std::expected<Value, std::string> value) {
                     result = std::move(value);
                   });
    run_until([&] { return result.has_value(); });
    return result.value_or(std::unexpected("no end"));
  }
  void stop(SeamForwarder& forwarder) {
    bool stopped = false;
    asio::co_spawn(context, forwarder.stop(), [&](const std::exception_ptr&) { stopped = true; });
    run_until([&] { return stopped; });
  }

  testing::TempDirectory directory;
  asio::io_context context{1};
  RecordingObserver observer;
  std::uint64_t epoch = 0;
};

TEST_F(SeamForwarderTest, SaysHelloAndCarriesEveryCall) {
  const ScriptedDataplane dataplane(context, directory.file("seam.sock"), good);
  SeamForwarder forwarder(context, settings());
  forwarder.start(observer);
  run_until([&] { return forwarder.connected(); });
  EXPECT_EQ(forwarder.hello().build(), "scripted");
  dataplane::GenerationSpec generation;
  generation.number = 3;
  EXPECT_EQ(get(forwarder.publish(generation)).value().number(), 3U);
  EXPECT_EQ(get(forwarder.counters()).value().generation(), 5U);
  const auto running = get(forwarder.running());
  // This dataplane has no timeouts in its generation because it has no service.
  ASSERT_TRUE(running.has_value()) << running.error();
  EXPECT_EQ(running->members.at(0).disposition, dataplane::Disposition::kAvoid);
  const auto refused =
      get(forwarder.set_dispositions({{"web", "a", dataplane::Disposition::kKeep},
                                      {"web", "nobody", dataplane::Disposition::kNew}}));
  ASSERT_TRUE(refused.has_value()) << refused.error();
  EXPECT_EQ(*refused, (std::vector<std::string>{"no such member"}));
  stop(forwarder);
}

TEST_F(SeamForwarderTest, GivesAnOlderDataplaneOnlyWhatItUnderstands) {
  std::vector<std::uint64_t> published;
  std::uint32_t version = 1;
  ScriptedDataplane dataplane(
      context, directory.file("seam.sock"), [&](const seam::Request& request) {
        auto reply = good(request);
        if (request.has_hello()) {
          EXPECT_EQ(request.hello().version_min(), 1U);
          EXPECT_EQ(request.hello().version_max(), seam::kVersionMax);
          reply->mutable_hello()->set_version(version);
        } else if (request.has_publish()) {
          published.push_back(request.publish().generation().number());
        }
        return reply;
      });
  SeamForwarder forwarder(context, settings());
  forwarder.start(observer);
  run_until([&] { return forwarder.connected(); });
  dataplane::GenerationSpec plain;
  plain.number = 3;
  plain.services.push_back({.name = "web"});
  dataplane::GenerationSpec newer = plain;
  newer.number = 4;
  newer.services.front().affinity.seconds = 60;
  const auto refused = get(forwarder.publish(newer));
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error(), HasSubstr("service 'web' has affinity, which needs seam version 2"));
  EXPECT_TRUE(get(forwarder.publish(plain)).has_value());
  EXPECT_EQ(published, (std::vector<std::uint64_t>{3}));
  // It is replaced by one of this version.
  version = 2;
  dataplane.drop_session();
  run_until([&] { return observer.connects == 2; });
  EXPECT_TRUE(get(forwarder.publish(newer)).has_value());
  EXPECT_EQ(published, (std::vector<std::uint64_t>{3, 4}));
  stop(forwarder);
}

// A dataplane that agrees upon `version`, as it is then, and what it is told of dispositions.
auto of_version(const std::uint32_t& version,
                std::function<void(const seam::SetDisposition&)> told) {
  return [&version, told = std::move(told)](const seam::Request& request) {
    auto reply = good(request);
    if (request.has_hello()) {
      reply->mutable_hello()->set_version(version);
    } else if (request.has_set_disposition()) {
      told(request.set_disposition());
    }
    return reply;
  };
}

TEST_F(SeamForwarderTest, TellsAnOlderDataplaneNoDeadlineAndSaysSo) {
  std::vector<std::uint64_t> deadlines;
  std::uint32_t version = 1;
  ScriptedDataplane dataplane(
      context, directory.file("seam.sock"), of_version(version, [&](const auto& set) {
        deadlines.push_back(set.reset_in_ms());
      }));
  SeamForwarder forwarder(context, settings());
  forwarder.start(observer);
  run_until([&] { return forwarder.connected(); });
  const DispositionChange drain = {"web", "a", dataplane::Disposition::kKeep, 5s};
  EXPECT_TRUE(get(forwarder.set_dispositions({drain})).value().empty());
  EXPECT_EQ(forwarder.hello().notices_size(), 1);
  // It is replaced by one of this version.
  version = 2;
  dataplane.drop_session();
  run_until([&] { return observer.connects == 2; });
  EXPECT_TRUE(get(forwarder.set_dispositions({drain})).value().empty());
  EXPECT_EQ(forwarder.hello().notices_size(), 0);
  EXPECT_EQ(deadlines, (std::vector<std::uint64_t>{0, 5000}));
  stop(forwarder);
}

TEST_F(SeamForwarderTest, TellsAnOlderDataplaneOfADeadMemberWhatItKnows) {
  std::vector<std::uint32_t> told;
  std::uint32_t version = 3;
  ScriptedDataplane dataplane(
      context, directory.file("seam.sock"), of_version(version, [&](const auto& set) {
        told.push_back(set.disposition());
      }));
  SeamForwarder forwarder(context, settings());
  forwarder.start(observer);
  run_until([&] { return forwarder.connected(); });
  const DispositionChange dead = {"web", "a", dataplane::Disposition::kRehash, 0s};
  EXPECT_TRUE(get(forwarder.set_dispositions({dead})).value().empty());
  version = 4;
  dataplane.drop_session();
  run_until([&] { return observer.connects == 2; });
  EXPECT_TRUE(get(forwarder.set_dispositions({dead})).value().empty());
  EXPECT_EQ(told, (std::vector<std::uint32_t>{1, 5}));
  stop(forwarder);
}

TEST_F(SeamForwarderTest, AsksAnOlderDataplaneNothingOfItsFlows) {
  std::size_t asked = 0;
  std::uint32_t version = 4;
  ScriptedDataplane dataplane(
      context, directory.file("seam.sock"), [&](const seam::Request& request) {
        auto reply = good(request);
        if (request.has_hello()) {
          reply->mutable_hello()->set_version(version);
        } else if (request.has_list_flows()) {
          ++asked;
          reply->mutable_flow_walk()->set_number(77);
        } else if (request.has_collect_flows()) {
          reply->mutable_collect_flows()->set_matched(request.collect_flows().number());
        }
        return reply;
      });
  SeamForwarder forwarder(context, settings());
  forwarder.start(observer);
  run_until([&] { return forwarder.connected(); });
  seam::Request list;
  list.mutable_list_flows();
  EXPECT_THAT(get(forwarder.begin_walk(list)).error(), HasSubstr("older than control"));
  version = 5;
  dataplane.drop_session();
  run_until([&] { return observer.connects == 2; });
  EXPECT_EQ(get(forwarder.begin_walk(list)).value(), 77U);
  EXPECT_EQ(asked, 1U);
  seam::CollectFlows collect;
  collect.set_number(77);
  EXPECT_EQ(get(forwarder.collect_walk(collect)).value().matched(), 77U);
  stop(forwarder);
}

TEST_F(SeamForwarderTest, ConnectsAgainWithAHigherEpochWhenTheConnectionBreaks) {
  ScriptedDataplane dataplane(context, directory.file("seam.sock"), good);
  SeamForwarder forwarder(context, settings());
  forwarder.start(observer);
  run_until([&] { return observer.connects == 1; });
  dataplane.drop_session();
  run_until([&] { return observer.connects == 2; });
  EXPECT_EQ(dataplane.epochs, (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(observer.reasons.size(), 1U);
  stop(forwarder);
}

TEST_F(SeamForwarderTest, SaysOnceWhyItCannotConnectAndGoesOnTrying) {
  SeamForwarder forwarder(context, settings());
  forwarder.start(observer);
  const auto end = std::chrono::steady_clock::now() + 50ms;
  while (std::chrono::steady_clock::now() < end) {
    context.run_one_for(10ms);
  }
  ASSERT_EQ(observer.reasons.size(), 1U);
  EXPECT_THAT(observer.reasons[0], HasSubstr("seam.sock"));
  const ScriptedDataplane dataplane(context, directory.file("seam.sock"), good);
  run_until([&] { return forwarder.connected(); });
  stop(forwarder);
}

TEST_F(SeamForwarderTest, GivesUpAConnectionThatDoesNotAnswerAndFailsTheCall) {
  const ScriptedDataplane dataplane(
      context, directory.file("seam.sock"), [](const seam::Request& request) {
        return request.has_hello() ? good(request) : std::nullopt;
      });
  SeamForwarder forwarder(context, settings());
  forwarder.start(observer);
  run_until([&] { return forwarder.connected(); });
  EXPECT_THAT(get(forwarder.counters()).error(), HasSubstr("did not answer within 300 ms"));
  run_until([&] { return observer.connects == 2; });
  EXPECT_EQ(observer.reasons.at(0), "the dataplane did not answer within 300 ms");
  stop(forwarder);
}

TEST_F(SeamForwarderTest, GivesACallItsWholeTimeAfterThePublicationThatItWaitedBehind) {
  ScriptedDataplane dataplane(context, directory.file("seam.sock"), good);
  dataplane.work = [](const seam::Request& request) { return request.has_publish() ? 700ms : 0ms; };
  SeamForwarder forwarder(context, settings());
  forwarder.start(observer);
  run_until([&] { return forwarder.connected(); });
  std::optional<bool> published;
  asio::co_spawn(
      context, forwarder.publish({}), [&](const std::exception_ptr&, const auto& outcome) {
        published = outcome.has_value();
      });
  context.poll();
  EXPECT_TRUE(get(forwarder.counters()).has_value());
  EXPECT_EQ(published, true);
  EXPECT_TRUE(get(forwarder.set_dispositions({{"web", "a", dataplane::Disposition::kKeep}})));
  EXPECT_EQ(observer.connects, 1);
  EXPECT_TRUE(observer.reasons.empty());
  stop(forwarder);
}

TEST_F(SeamForwarderTest, FailsEveryCallInFlightWhenTheConnectionEnds) {
  ScriptedDataplane dataplane(
      context, directory.file("seam.sock"), [&](const seam::Request& request) {
        return request.has_hello() ? good(request) : std::nullopt;
      });
  SeamForwarder forwarder(context, settings());
  forwarder.start(observer);
  run_until([&] { return forwarder.connected(); });
  int failed = 0;
  for (int i = 0; i < 3; ++i) {
    asio::co_spawn(
        context, forwarder.publish({}), [&](const std::exception_ptr&, const auto& outcome) {
          failed += outcome ? 0 : 1;
        });
  }
  context.poll();
  dataplane.drop_session();
  run_until([&] { return failed == 3; });
  EXPECT_FALSE(get(forwarder.counters()).has_value());
  stop(forwarder);
}

TEST_F(SeamForwarderTest, TreatsRefusalGarbageAndOtherVersionsAsNoDataplane) {
  std::vector<std::optional<seam::Reply>> answers;
  seam::Reply refusal;
  refusal.mutable_error()->set_text("a newer control has written");
  seam::Reply future;
  future.mutable_hello()->set_version(99);
  seam::Reply other;
  other.mutable_get_counters();
  answers = {refusal, future, other};
  ScriptedDataplane dataplane(
      context, directory.file("seam.sock"), [&](const seam::Request& request) {
        if (answers.empty()) {
          return good(request);
        }
        auto answer = answers.front();
        answers.erase(answers.begin());
        return answer;
      });
  int sessions = 0;
  dataplane.on_session = [&](stream_protocol::socket& socket) {
    if (++sessions == 1) {
      asio::write(socket, asio::buffer(std::string(64, '\xff')));
    }
  };
  SeamForwarder forwarder(context, settings());
  forwarder.start(observer);
  run_until([&] { return forwarder.connected(); });
  EXPECT_GE(observer.reasons.size(), 3U);
  EXPECT_EQ(observer.connects, 1);
  stop(forwarder);
}

TEST_F(SeamForwarderTest, StopsWhateverItIsDoing) {
  {
    SeamForwarder never(context, settings());
    never.start(observer);
    stop(never);
  }
  const ScriptedDataplane silent(
      context, directory.file("seam.sock"), [](const seam::Request&) { return std::nullopt; });
  SeamForwarder greeting(context, settings());
  greeting.start(observer);
  context.poll();
  stop(greeting);
  EXPECT_EQ(observer.connects, 0);
}

}  // namespace
}  // namespace holdfast::control
