// SPDX-License-Identifier: Apache-2.0
// The verb `check` on a machine that has an address of the configuration: a network namespace in a
// process of its own. Skipped where none can be made.
#include "control/cli/program.h"
#include "tests/support/temp_directory.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

using ::testing::HasSubstr;
using testing::TempDirectory;

constexpr const char* kExampleFile = HOLDFAST_SOURCE_DIR "/config/example.yaml";
constexpr int kNoNamespace = 77;

bool enter_empty_network() {
  return ::unshare(CLONE_NEWNET) == 0 || ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

bool give_address_to_loopback(const char* text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, text, &address.sin_addr);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  std::memcpy(&request.ifr_addr, &address, sizeof address);
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return ::ioctl(socket, SIOCSIFADDR, &request) == 0;
}

struct Checked {
  int exit_code = -1;
  std::string error;
};

// `check FILE` in a network of its own, where nothing but `address` is a local address.
Checked check_where_local(const char* address, const std::string& file) {
  const TempDirectory directory;
  const pid_t child = ::fork();
  if (child == 0) {
    if (!enter_empty_network() || !give_address_to_loopback(address)) {
      ::_exit(kNoNamespace);
    }
    std::ostringstream out;
    std::ostringstream error;
    Context context{.out = out, .error = error, .program = "holdfast"};
    const int exit_code = run_program({"check", file}, context);
    std::ofstream(directory.file("error")) << error.str();
    ::_exit(exit_code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  std::ifstream error(directory.file("error"));
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1,
          {std::istreambuf_iterator<char>(error), {}}};
}

TEST(CheckVerb, RefusesVipsThatThisMachineHas) {
  const Checked ran = check_where_local("203.0.113.10", kExampleFile);
  if (ran.exit_code == kNoNamespace) {
    GTEST_SKIP() << "no network namespace can be made here";
  }
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_THAT(ran.error, HasSubstr("error: VIP 203.0.113.10 is an address of this machine"));
  EXPECT_THAT(ran.error, HasSubstr("(on 'lo')"));
  EXPECT_THAT(ran.error, HasSubstr("1 error, "));
}

TEST(CheckVerb, RefusesPoolsThatHoldAnAddressOfThisMachine) {
  const Checked ran = check_where_local("10.0.3.20", kExampleFile);
  if (ran.exit_code == kNoNamespace) {
    GTEST_SKIP() << "no network namespace can be made here";
  }
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_THAT(ran.error, HasSubstr("error: the nat pool holds 10.0.3.20, an address of this"));
}

TEST(CheckVerb, TakesAConfigurationOfOtherAddresses) {
  const Checked ran = check_where_local("192.0.2.1", kExampleFile);
  if (ran.exit_code == kNoNamespace) {
    GTEST_SKIP() << "no network namespace can be made here";
  }
  EXPECT_EQ(ran.exit_code, 0) << ran.error;
}

}  // namespace
}  // namespace holdfast::control
