// SPDX-License-Identifier: Apache-2.0
// The mirror beside the real kernel: what happens to an entry there, and what is left of it here.
#include "dataplane/process/neighbor_mirror.h"

#include "dataplane/process/interface.h"
#include "tests/unit/process/network_lab.h"
#include "tests/unit/process/seam_helpers.h"

#include <array>
#include <chrono>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

namespace holdfast::dataplane {
namespace {

constexpr MacAddress kFirstMac = {2, 0, 0, 0, 0, 1};
constexpr MacAddress kSecondMac = {2, 0, 0, 0, 0, 2};

class MirroredPort {
 public:
  MirroredPort() : mirror_(open(learned_)) {}

  // Makes the kernel lose events of ours. What happens from here on is known by dumps only.
  void overflow() {
    const int least = 1;
    ::setsockopt(mirror_->descriptor(), SOL_SOCKET, SO_RCVBUF, &least, sizeof(least));
    run_command(
        "for i in $(seq 100); do echo neigh replace 10.0.3.$((i + 100)) lladdr 02:00:00:00:01:01 "
        "nud reachable dev lan0; done | ip -batch -");
  }
  NextHop read() {
    mirror_->read();
    return mirror_->build().resolve(address("10.0.3.11"));
  }

  // Runs a command and takes what the kernel says about it. Returns the hop to the backend.
  NextHop after(const std::string& command) {
    run_command(command);
    pollfd waiting{mirror_->descriptor(), POLLIN, 0};
    EXPECT_EQ(::poll(&waiting, 1, 5000), 1);
    mirror_->read();
    return mirror_->build().resolve(address("10.0.3.11"));
  }

 private:
  static std::unique_ptr<NeighborMirror> open(std::span<LearnedEntry> learned) {
    const auto facts = load_interface("lan0");
    auto mirror = NeighborMirror::open({link_of(*facts, 0, "lan")}, learned);
    EXPECT_TRUE(mirror);
    return std::move(*mirror);
  }

  std::array<LearnedEntry, 4> learned_{};
  std::unique_ptr<NeighborMirror> mirror_;
};

class NeighborMirrorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = lab_obstacle(); !why.empty()) {
      GTEST_SKIP() << why;
    }
  }
};

TEST_F(NeighborMirrorTest, KeepsTheAddressWhileTheKernelFailsToResolveItAgain) {
  in_new_network([] {
    const Lab lab;
    MirroredPort port;
    const auto resolved = NextHop::State::kResolved;
    const NextHop hop =
        port.after("ip neigh replace 10.0.3.11 lladdr 02:00:00:00:00:01 nud reachable dev lan0");
    ASSERT_EQ(hop.state, resolved);
    EXPECT_EQ(hop.destination, kFirstMac);
    EXPECT_EQ(port.after("ip neigh change 10.0.3.11 nud failed dev lan0").destination, kFirstMac);
    EXPECT_EQ(
        port.after("ip neigh replace 10.0.3.11 lladdr 02:00:00:00:00:02 nud reachable dev lan0")
            .destination,
        kSecondMac);
  });
}

TEST_F(NeighborMirrorTest, KeepsAnAddressThatTheKernelForgetsWithTheInterfacesOwn) {
  in_new_network([] {
    const Lab lab;
    MirroredPort port;
    port.after("ip neigh replace 10.0.3.11 lladdr 02:00:00:00:00:01 nud reachable dev lan0");
    EXPECT_EQ(port.after("ip link set dev lan0 address 02:00:00:00:00:aa").destination, kFirstMac);
  });
}

TEST_F(NeighborMirrorTest, KeepsTheAddressOfAFailedNeighbourOverALossOfEvents) {
  in_new_network([] {
    const Lab lab;
    MirroredPort port;
    port.after("ip neigh replace 10.0.3.11 lladdr 02:00:00:00:00:01 nud reachable dev lan0");
    port.after("ip neigh change 10.0.3.11 nud failed dev lan0");
    port.overflow();
    EXPECT_EQ(port.read().destination, kFirstMac);
  });
}

TEST_F(NeighborMirrorTest, KeepsWhatItKnowsWhileADumpFailsAndDumpsAgain) {
  in_new_network([] {
    const Lab lab;
    MirroredPort port;
    port.after("ip neigh replace 10.0.3.11 lladdr 02:00:00:00:00:01 nud reachable dev lan0");
    port.overflow();
    run_command("ip neigh replace 10.0.3.11 lladdr 02:00:00:00:00:02 nud reachable dev lan0");
    rlimit descriptors{};
    ::getrlimit(RLIMIT_NOFILE, &descriptors);
    const rlimit none{.rlim_cur = 0, .rlim_max = descriptors.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
    EXPECT_EQ(port.read().destination, kFirstMac);
    ::setrlimit(RLIMIT_NOFILE, &descriptors);
    EXPECT_EQ(port.read().destination, kSecondMac);
  });
}

TEST_F(NeighborMirrorTest, APrefixThatTheKernelRefusesHasNoRoute) {
  in_new_network([] {
    const Lab lab;
    MirroredPort port;
    EXPECT_NE(port.after("ip route add default via 10.0.3.254 dev lan0").state,
              NextHop::State::kNoRoute);
    for (const char* kind : {"blackhole", "unreachable", "prohibit", "throw"}) {
      const std::string route = std::string(kind) + " 10.0.3.0/28";
      EXPECT_EQ(port.after("ip route add " + route).state, NextHop::State::kNoRoute) << kind;
      EXPECT_EQ(port.after("ip route del " + route).state, NextHop::State::kNoNeighbor) << kind;
    }
  });
}

TEST_F(NeighborMirrorTest, TakesTheRoutesOfATwinThatIsAttachedLater) {
  in_new_network([] {
    const Lab lab;
    std::array<LearnedEntry, 4> learned{};
    auto mirror = NeighborMirror::open({{.port = 0, .name = "lan", .up = false}}, learned);
    ASSERT_TRUE(mirror);
    run_command("ip neigh replace 10.0.3.11 lladdr 02:00:00:00:00:01 nud reachable dev lan0");
    EXPECT_EQ((*mirror)->build().resolve(address("10.0.3.11")).state, NextHop::State::kNoRoute);
    (*mirror)->attach(link_of(*load_interface("lan0"), 0, "lan"));
    (*mirror)->read();
    const NextHop hop = (*mirror)->build().resolve(address("10.0.3.11"));
    EXPECT_EQ(hop.state, NextHop::State::kResolved);
    EXPECT_EQ(hop.destination, kFirstMac);
  });
}

TEST_F(NeighborMirrorTest, CallsALinkUpWhenThePortAndItsInterfaceAre) {
  in_new_network([] {
    const Lab lab;
    std::array<LearnedEntry, 4> learned{};
    auto mirror = NeighborMirror::open({link_of(*load_interface("lan0"), 0, "lan")}, learned);
    ASSERT_TRUE(mirror);
    const auto last_change = [&] {
      const auto changes = (*mirror)->take_link_changes();
      return changes.empty() ? std::nullopt : std::optional(changes.back().up);
    };
    last_change();
    (*mirror)->set_carrier(0, false);
    EXPECT_EQ(last_change(), false);
    (*mirror)->set_carrier(0, true);
    EXPECT_EQ(last_change(), true);
    EXPECT_TRUE((*mirror)->build().links()[0].up);
  });
}

TEST_F(NeighborMirrorTest, ForgetsWhatTheOperatorDeletes) {
  in_new_network([] {
    const Lab lab;
    MirroredPort port;
    port.after("ip neigh replace 10.0.3.11 lladdr 02:00:00:00:00:01 nud reachable dev lan0");
    EXPECT_EQ(port.after("ip neigh del 10.0.3.11 dev lan0").state, NextHop::State::kNoNeighbor);
  });
}

}  // namespace
}  // namespace holdfast::dataplane
