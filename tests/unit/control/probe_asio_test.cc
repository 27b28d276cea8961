// SPDX-License-Identifier: Apache-2.0
// Probes over real loopback sockets: good servers, and every hostile one that the design names.
// Each probe ends by its deadline, says layer and reason, and leaves nothing behind.
#include "control/judge/judge.h"
#include "control/probe/asio_clock.h"
#include "control/probe/asio_prober.h"
#include "tests/support/scripted_server.h"

#include <optional>
#include <string>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <sys/resource.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;
using testing::ScriptedServer;

CheckSpec loopback(std::uint16_t port, config::CheckType type) {
  CheckSpec check;
  check.type = type;
  check.address.bytes = {127, 0, 0, 1};
  check.port = port;
  check.timeout = 200ms;
  check.method = "GET";
  check.path = "/";
  check.status = {{200, 299}};
  return check;
}

ProbeResult probe(const CheckSpec& check) {
  boost::asio::io_context context{1};
  AsioClock clock(context);
  AsioProber prober(context, clock);
  std::optional<ProbeResult> result;
  prober.start(1, check, clock.now(), [&](const ProbeResult& one) { result = one; });
  while (!result && context.run_one_for(5s) > 0) {
  }
  EXPECT_EQ(prober.in_flight(), 0U);
  return result.value_or(ProbeResult{.layer = Layer::kLocal, .reason = Reason::kLocal});
}

ProbeResult probe_http(ScriptedServer::Script script) {
  const ScriptedServer server(std::move(script));
  return probe(loopback(server.port(), config::CheckType::kHttp));
}

void expect(const ProbeResult& result, Layer layer, Reason reason) {
  EXPECT_EQ(layer_name(result.layer), layer_name(layer));
  EXPECT_EQ(reason_name(result.reason), reason_name(reason));
  EXPECT_LT(result.duration, 2s);
}

TEST(AsioProber, PassesATcpTargetThatAccepts) {
  const ScriptedServer server([](const ScriptedServer& s, int c) { s.wait_end(c); });
  expect(probe(loopback(server.port(), config::CheckType::kTcp)), Layer::kL4, Reason::kOk);
}

TEST(AsioProber, SaysRefusedForAClosedPort) {
  std::uint16_t port = 0;
  {
    const ScriptedServer server([](const ScriptedServer&, int) {});
    port = server.port();
  }
  expect(probe(loopback(port, config::CheckType::kTcp)), Layer::kL4, Reason::kRefused);
  expect(probe(loopback(port, config::CheckType::kHttp)), Layer::kL4, Reason::kRefused);
}

TEST(AsioProber, ReadsTheStatusOfAnHttpAnswer) {
  const auto answer = [](std::string head) {
    return [head](const ScriptedServer& s, int c) {
      if (s.wait_request(c) && ScriptedServer::send(c, head)) {
        s.wait_end(c);
      }
    };
  };
  const ProbeResult good = probe_http(answer("HTTP/1.1 204 No Content\r\n\r\n"));
  expect(good, Layer::kL7, Reason::kOk);
  EXPECT_EQ(good.detail, 204);
  const ProbeResult bad = probe_http(answer("HTTP/1.1 503 Busy\r\n\r\n"));
  expect(bad, Layer::kL7, Reason::kStatus);
  EXPECT_EQ(bad.detail, 503);
  expect(probe_http(answer("HTTP/1.1 -200 OK\r\n\r\n")), Layer::kL7, Reason::kGarbage);
  expect(probe_http(answer(std::string(70'000, '\0'))), Layer::kL7, Reason::kGarbage);
}

TEST(AsioProber, EndsByTheDeadlineWhenTheServerIsSilent) {
  const ProbeResult result = probe_http([](const ScriptedServer& s, int c) { s.wait_end(c); });
  expect(result, Layer::kL7, Reason::kTimeout);
  EXPECT_GE(result.duration, 200ms);
}

TEST(AsioProber, EndsByTheDeadlineWhenTheServerTricklesAByteAtATime) {
  expect(probe_http([](const ScriptedServer& s, int c) {
           // Waits 10 ms for the peer's end between bytes.
           while (!s.stopping() && ScriptedServer::send(c, "H")) {
             char byte = 0;
             if (ScriptedServer::readable(c, 10) && ::recv(c, &byte, 1, 0) <= 0) {
               return;
             }
           }
         }),
         Layer::kL7,
         Reason::kGarbage);
  expect(probe_http([](const ScriptedServer& s, int c) {
           const std::string head = "HTTP/1.1 200 OK\r\nX: " + std::string(10'000, 'y');
           for (std::size_t i = 0; i < head.size() && !s.stopping(); ++i) {
             char byte = 0;
             if (!ScriptedServer::send(c, head.substr(i, 1)) ||
                 (ScriptedServer::readable(c, 10) && ::recv(c, &byte, 1, 0) <= 0)) {
               return;
             }
           }
         }),
         Layer::kL7,
         Reason::kTimeout);
}

TEST(AsioProber, ReadsAtMostSixtyFourKibibytesOfAnEndlessHead) {
  expect(probe_http([](const ScriptedServer& s, int c) {
           const std::string piece(16'384, 'x');
           bool open = ScriptedServer::send(c, "HTTP/1.1 200 OK\r\nX: ");
           while (open && !s.stopping()) {
             open = ScriptedServer::send(c, piece);
           }
         }),
         Layer::kL7,
         Reason::kGarbage);
}

TEST(AsioProber, PassesAServerWhoseBodyNeverEndsAsSoonAsItsHeadIsWhole) {
  const ProbeResult result = probe_http([](const ScriptedServer& s, int c) {
    const std::string piece(16'384, 'x');
    bool open = ScriptedServer::send(c, "HTTP/1.1 200 OK\r\n\r\n");
    while (open && !s.stopping()) {
      open = ScriptedServer::send(c, piece);
    }
  });
  expect(result, Layer::kL7, Reason::kOk);
}

TEST(AsioProber, TellsACloseFromAReset) {
  expect(probe_http([](const ScriptedServer& s, int c) {
           if (s.wait_request(c)) {
             char request[4096];
             static_cast<void>(::recv(c, request, sizeof(request), 0));
             static_cast<void>(ScriptedServer::send(c, "HTTP/1.1 200"));
           }
         }),
         Layer::kL7,
         Reason::kClosed);
  expect(probe_http([](const ScriptedServer& s, int c) {
           if (s.wait_request(c)) {
             const linger reset{.l_onoff = 1, .l_linger = 0};
             ::setsockopt(c, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
           }
         }),
         Layer::kL7,
         Reason::kReset);
}

TEST(AsioProber, CallsAnExhaustedDescriptorTableALocalFailure) {
  const ScriptedServer server([](const ScriptedServer& s, int c) { s.wait_end(c); });
  boost::asio::io_context context{1};
  AsioClock clock(context);
  AsioProber prober(context, clock);
  std::optional<ProbeResult> result;
  const auto probe = [&](std::uint16_t port) {
    result.reset();
    context.restart();
    prober.start(
        1, loopback(port, config::CheckType::kTcp), clock.now(), [&](auto& one) { result = one; });
    while (!result && context.run_one_for(5s) > 0) {
    }
  };
  // A sanitizer's first look at each class takes descriptors, too: those of a probe that fails.
  probe(1);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  const int next = ::dup(0);
  ::close(next);
  const rlimit none{.rlim_cur = static_cast<rlim_t>(next), .rlim_max = old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  probe(server.port());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  ASSERT_TRUE(result.has_value());
  expect(*result, Layer::kLocal, Reason::kLocal);
  EXPECT_EQ(result->detail, EMFILE);
}

TEST(AsioProber, MeasuresHowLateItStartedItself) {
  const ScriptedServer server([](const ScriptedServer& s, int c) { s.wait_end(c); });
  boost::asio::io_context context{1};
  AsioClock clock(context);
  AsioProber prober(context, clock);
  std::optional<ProbeResult> result;
  prober.start(1,
               loopback(server.port(), config::CheckType::kTcp),
               clock.now() - 700ms,
               [&](const ProbeResult& one) { result = one; });
  while (!result && context.run_one_for(5s) > 0) {
  }
  ASSERT_TRUE(result.has_value());
  EXPECT_GE(result->lateness, 700ms);
}

TEST(AsioProber, StopsEveryProbeAndWaitsForItsEnd) {
  const ScriptedServer server([](const ScriptedServer& s, int c) { s.wait_end(c); });
  boost::asio::io_context context{1};
  AsioClock clock(context);
  AsioProber prober(context, clock);
  bool called = false;
  bool stopped = false;
  for (std::uint64_t id = 1; id <= 50; ++id) {
    CheckSpec check = loopback(server.port(), config::CheckType::kHttp);
    check.timeout = 1h;
    prober.start(id, check, clock.now(), [&](const ProbeResult&) { called = true; });
  }
  prober.cancel(7);
  prober.cancel(700);
  context.poll();
  boost::asio::co_spawn(context, prober.stop(), [&](const std::exception_ptr&) { stopped = true; });
  while (!stopped && context.run_one_for(5s) > 0) {
  }
  EXPECT_TRUE(stopped);
  EXPECT_FALSE(called);
  EXPECT_EQ(prober.in_flight(), 0U);
}

TEST(AsioClock, RunsTasksInOrderAndForgetsCancelledOnes) {
  boost::asio::io_context context{1};
  AsioClock clock(context);
  std::string order;
  const auto start = clock.now();
  clock.at(start + 20ms, [&] { order += "c"; });
  clock.at(start + 10ms, [&] { order += "a"; });
  clock.at(start + 10ms, [&] { order += "b"; });
  const Clock::Ticket gone = clock.at(start + 1ms, [&] { order += "x"; });
  clock.cancel(gone);
  clock.cancel(Clock::Ticket{});
  context.run_for(5s);
  EXPECT_EQ(order, "abc");
}

TEST(ProbeErrors, OfThisHostAloneProveNothingOfTheTarget) {
  for (const int error : {EMFILE, EADDRNOTAVAIL, ENETUNREACH, ENETDOWN}) {
    const ProbeResult result = result_of_error(Layer::kL4, error);
    EXPECT_EQ(result.reason, Reason::kLocal) << error;
    EXPECT_EQ(evidence_of(result, 200ms), Evidence::kVoid) << error;
  }
  EXPECT_EQ(result_of_error(Layer::kL4, EHOSTUNREACH).reason, Reason::kUnreachable);
  EXPECT_EQ(evidence_of(result_of_error(Layer::kL4, EHOSTUNREACH), 200ms), Evidence::kDefinitive);
}

}  // namespace
}  // namespace holdfast::control
