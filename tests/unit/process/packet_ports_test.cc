// SPDX-License-Identifier: Apache-2.0
// The process on af_packet ports between network namespaces: real connections through it.
#include "dataplane/process/lock.h"
#include "tests/unit/process/network_lab.h"
#include "tests/unit/process/running_dataplane.h"
#include "tests/unit/process/seam_helpers.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

using ::testing::HasSubstr;

class PacketPorts : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = lab_obstacle(); !why.empty()) {
      GTEST_SKIP() << why;
    }
  }
};

StartupSpec packet_startup(const Instance& instance) {
  StartupSpec startup = instance.startup();
  startup.ports = {{.name = "wan", .device = PortDevice::kAfPacket, .interface = "wan0"},
                   {.name = "lan", .device = PortDevice::kAfPacket, .interface = "lan0"}};
  return startup;
}

GenerationSpec nat_generation(std::uint64_t number) {
  GenerationSpec spec = small_generation(number);
  ServiceSpec& web = spec.services[0];
  web.mode = Mode::kNat;
  web.members = {{.backend = "a", .address = address("10.0.3.11"), .port = 8080}};
  spec.pools = {{.first = address("10.0.3.16"), .last = address("10.0.3.31")}};
  return spec;
}

sockaddr_in socket_address(const char* host, std::uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  ::inet_pton(AF_INET, host, &result.sin_addr);
  return result;
}

// A TCP socket in the namespace, with 10 s for everything.
int tcp_socket(const NetworkNamespace& where) {
  int socket = -1;
  where.enter([&] { socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); });
  const timeval limit{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  return socket;
}

int listen_in(const NetworkNamespace& where) {
  const int listener = tcp_socket(where);
  const sockaddr_in here = socket_address("10.0.3.11", 8080);
  EXPECT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&here), sizeof(here)), 0);
  EXPECT_EQ(::listen(listener, 64), 0);
  return listener;
}

int connect_from(const NetworkNamespace& where, const char* host = "203.0.113.10") {
  const int socket = tcp_socket(where);
  const sockaddr_in vip = socket_address(host, 80);
  const int status = ::connect(socket, reinterpret_cast<const sockaddr*>(&vip), sizeof(vip));
  EXPECT_EQ(status, 0) << strerror(errno);
  return socket;
}

// Sends from one end to the other and back.
void exchange(int client, int backend) {
  char buffer[8] = {};
  ASSERT_EQ(::send(client, "ping", 4, MSG_NOSIGNAL), 4);
  ASSERT_EQ(::recv(backend, buffer, sizeof(buffer), 0), 4) << strerror(errno);
  ASSERT_EQ(::send(backend, "pong!", 5, MSG_NOSIGNAL), 5);
  ASSERT_EQ(::recv(client, buffer, sizeof(buffer), 0), 5) << strerror(errno);
}

std::string status_field(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":")) {
      return line.substr(name.size() + 2);
    }
  }
  return "?";
}

TEST_F(PacketPorts, TranslatedConnectionSurvivesSigkillOfTheDataplane) {
  in_new_network([] {
    const Lab lab;
    const Instance instance;
    const int listener = listen_in(lab.backend);
    int client = -1;
    int backend = -1;
    {
      RunningDataplane dataplane(instance, packet_startup(instance));
      seam::Client control = dataplane.client(1);
      ASSERT_TRUE(publish(control, nat_generation(1)).has_publish());
      client = connect_from(lab.client);
      backend = ::accept(listener, nullptr, nullptr);
      exchange(client, backend);
      const auto counters = get_counters(control);
      EXPECT_EQ(counters.workers(0).unaccounted(), 0);
      EXPECT_EQ(counters.members(0).flows(), 1U);
      EXPECT_GT(counters.members(0).last_new_flow_ns(), 0U);
      EXPECT_TRUE(counters.members(0).next_hop_resolved());
      EXPECT_EQ(counters.mbufs_available(), counters.mbufs_total());
      dataplane.end(SIGKILL);
    }
    RunningDataplane again(instance, packet_startup(instance));
    seam::Client control = again.client(2);
    EXPECT_EQ(control.hello().generation(), 1U);
    EXPECT_EQ(get_counters(control).members(0).flows(), 1U);
    exchange(client, backend);
    EXPECT_EQ(again.end(SIGTERM).exit_code, 0);
  });
}

TEST_F(PacketPorts, KernelDoesNotAnswerForTheVipAfterSigkillAndDoesAfterAnOrderlyStop) {
  in_new_network([] {
    const Lab lab;
    const Instance instance;
    RunningDataplane first(instance, packet_startup(instance));
    {
      seam::Client control = first.client(1);
      ASSERT_TRUE(publish(control, nat_generation(1)).has_publish());
    }
    first.end(SIGKILL);
    run_command("nft list table netdev holdfast_test | grep -q 203.0.113.10");
    run_command("nft list table netdev holdfast_test | grep -q 10.0.3.16");
    RunningDataplane second(instance, packet_startup(instance));
    {
      const seam::Client control = second.client(2);
    }
    second.end(SIGTERM);
    run_command("! nft list table netdev holdfast_test 2>/dev/null");
  });
}

// The one who is stopped has not even begun: the table is the killed one's.
TEST_F(PacketPorts, AStopDuringTheStartAfterSigkillLeavesNoTable) {
  in_new_network([] {
    const Lab lab;
    const Instance instance;
    const StartupSpec startup = packet_startup(instance);
    RunningDataplane first(instance, startup);
    {
      seam::Client control = first.client(1);
      ASSERT_TRUE(publish(control, nat_generation(1)).has_publish());
    }
    first.end(SIGKILL);
    run_command("nft list table netdev holdfast_test | grep -q 203.0.113.10");
    std::filesystem::remove(startup.socket);
    RunningDataplane second(instance, startup);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!std::filesystem::exists(startup.socket)) {  // DPDK and the ports are still to come
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::yield();
    }
    const Ending ending = second.end(SIGTERM);
    EXPECT_EQ(ending.exit_code, 0) << ending.error;
    EXPECT_THAT(ending.error, HasSubstr("during the start"));
    EXPECT_FALSE(std::filesystem::exists(startup.socket));
    run_command("! nft list table netdev holdfast_test 2>/dev/null");
  });
}

TEST_F(PacketPorts, PutsTheTableBackThatAFirewallFlushedAndCountsIt) {
  in_new_network([] {
    const Lab lab;
    const Instance instance;
    RunningDataplane dataplane(instance, packet_startup(instance));
    seam::Client control = dataplane.client(1);
    ASSERT_TRUE(publish(control, nat_generation(1)).has_publish());
    run_command("nft add table inet others");  // no loss: the table stands
    for (std::uint64_t lost = 1;
         const char* command :
         {"nft flush ruleset",
          "nft flush table netdev holdfast_test",
          "nft delete element netdev holdfast_test own4 '{ 203.0.113.10 }'"}) {
      run_command(command);
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
      while (get_counters(control).guard_losses() < lost) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline) << command;
        std::this_thread::yield();
      }
      run_command("nft list table netdev holdfast_test | grep -q 203.0.113.10");
      run_command("nft list table netdev holdfast_test | grep -q 'daddr @own4 drop'");
      EXPECT_EQ(get_counters(control).guard_losses(), lost++);
    }
  });
}

// Its socket bears an error from then on: 15 000 turns a second were counted, and 1000 without it.
TEST_F(PacketPorts, AnInterfaceThatWentDownDoesNotKeepTheWorkerAwake) {
  in_new_network([] {
    const Lab lab;
    const Instance instance;
    RunningDataplane dataplane(instance, packet_startup(instance));
    seam::Client control = dataplane.client(1);
    run_command("ip link set wan0 down");
    const auto polls = [&] { return value_of(get_counters(control).workers(0).values(), "polls"); };
    const std::uint64_t before = polls();
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    std::uint64_t after = before;
    while (std::chrono::steady_clock::now() < end) {
      after = polls();
    }
    EXPECT_GT(after, before);
    EXPECT_LT(after - before, 6000U);
  });
}

TEST_F(PacketPorts, ASecondInstanceOfTheSameNameIsRefusedAndLeavesTheTableOfTheFirst) {
  in_new_network([] {
    const Lab lab;
    const Instance instance;
    const Instance elsewhere;
    RunningDataplane first(instance, packet_startup(instance));
    seam::Client control = first.client(1);
    ASSERT_TRUE(publish(control, nat_generation(1)).has_publish());
    const Ending ending = RunningDataplane(elsewhere, packet_startup(elsewhere)).end(0);
    EXPECT_EQ(ending.exit_code, 5) << ending.error;
    EXPECT_THAT(ending.error, HasSubstr("dataplane.instance test"));
    EXPECT_THAT(ending.error, HasSubstr("process " + std::to_string(first.pid())));
    for (int i = 0; i < 200; ++i) {  // it makes room for whoever asks
      EXPECT_FALSE(acquire_name("holdfast_test", "the name").has_value()) << i;
    }
    run_command("nft list table netdev holdfast_test | grep -q 203.0.113.10");
    StartupSpec named = packet_startup(elsewhere);
    named.instance = "other";
    RunningDataplane second(elsewhere, named);
    EXPECT_EQ(second.client(1).hello().generation(), 0U);
    EXPECT_EQ(second.end(SIGTERM).exit_code, 0);
  });
}

TEST_F(PacketPorts, RefusesAVipThatIsALocalAddress) {
  in_new_network([] {
    const Lab lab;
    const Instance instance;
    RunningDataplane dataplane(instance, packet_startup(instance));
    seam::Client control = dataplane.client(1);
    GenerationSpec spec = nat_generation(1);
    spec.services[0].bindings[0].vip = address("10.0.1.1");
    const seam::Reply reply = publish(control, spec);
    EXPECT_THAT(reply.error().text(), HasSubstr("10.0.1.1"));
    EXPECT_THAT(reply.error().text(), HasSubstr("wan0"));
    spec = nat_generation(1);
    spec.pools[0].first = address("10.0.3.1");
    EXPECT_THAT(publish(control, spec).error().text(), HasSubstr("lan0"));
  });
}

TEST_F(PacketPorts, KeepsOnlyTheCapabilitiesOfTheTable) {
  in_new_network([] {
    const Lab lab;
    const Instance instance;
    RunningDataplane dataplane(instance, packet_startup(instance));
    const seam::Client control = dataplane.client(1);
    const std::string process = "/proc/" + std::to_string(dataplane.pid());
    EXPECT_EQ(status_field(process + "/status", "CapPrm"), "0000000000001000");  // NET_ADMIN
    EXPECT_EQ(status_field(process + "/status", "NoNewPrivs"), "1");
    int others = 0;
    for (const auto& task : std::filesystem::directory_iterator(process + "/task")) {
      const std::string status = task.path() / "status";
      EXPECT_EQ(status_field(status, "CapBnd"), "0000000000000000") << status;
      if (task.path().filename() != std::to_string(dataplane.pid())) {
        ++others;
        EXPECT_EQ(status_field(status, "CapPrm"), "0000000000000000")
            << status_field(status, "Name");
      }
    }
    EXPECT_GE(others, 1);
  });
}

TEST_F(PacketPorts, AnswersArpForVipsOnLinkAndAnnouncesThem) {
  in_new_network([] {
    const Lab lab;
    const Instance instance;
    RunningDataplane dataplane(instance, packet_startup(instance));
    seam::Client control = dataplane.client(1);
    GenerationSpec spec = nat_generation(1);
    spec.services[0].bindings[0].vip = address("10.0.1.10");
    ASSERT_TRUE(publish(control, spec).has_publish());
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (value_of(get_counters(control).workers(0).generated(), "announcement") < 17) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::yield();
    }
    const int listener = listen_in(lab.backend);
    const int client = connect_from(lab.client, "10.0.1.10");
    exchange(client, ::accept(listener, nullptr, nullptr));
    EXPECT_GT(value_of(get_counters(control).workers(0).values(), "replied"), 0U);
    EXPECT_EQ(get_counters(control).workers(0).unaccounted(), 0);
  });
}

}  // namespace
}  // namespace holdfast::dataplane
