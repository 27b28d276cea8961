// SPDX-License-Identifier: Apache-2.0
// The systemd units, read by systemd's own checkers. Their programs are replaced by one that exists
// on every machine, because verify wants to find them.
#include "tests/support/temp_directory.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast {
namespace {

using ::testing::HasSubstr;

struct Said {
  int exit_code = -1;
  std::string text;
};

Said shell(const std::string& command) {
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "re");
  Said said;
  char part[4096];
  for (std::size_t got = 0; (got = std::fread(part, 1, sizeof part, pipe)) > 0;) {
    said.text.append(part, got);
  }
  said.exit_code = WEXITSTATUS(::pclose(pipe));
  return said;
}

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

class SystemdUnitTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (shell("command -v systemd-analyze").exit_code != 0) {
      GTEST_SKIP() << "no systemd-analyze: apt-get install systemd";
    }
    std::ifstream file(std::string(HOLDFAST_SOURCE_DIR "/packaging/systemd/") + GetParam());
    text_.assign(std::istreambuf_iterator<char>(file), {});
    ASSERT_FALSE(text_.empty());
    std::string local = replace_all(text_, "/usr/bin/holdfast-dataplane", "/bin/true");
    local = replace_all(local, "/usr/bin/holdfast", "/bin/true");
    std::ofstream(unit()) << local;
  }
  [[nodiscard]] std::string unit() const { return directory_.file(GetParam()); }

  testing::TempDirectory directory_;
  std::string text_;
};

TEST_P(SystemdUnitTest, IsUnderstoodBySystemd) {
  const Said said = shell("systemd-analyze verify --man=no '" + unit() + "'");
  EXPECT_EQ(said.exit_code, 0);
  EXPECT_THAT(said.text, Not(HasSubstr(GetParam())));
}

TEST_P(SystemdUnitTest, IsExposedByNoMoreThanThree) {
  const Said said =
      shell("systemd-analyze security --offline=true --threshold=30 --no-pager '" + unit() + "'");
  EXPECT_EQ(said.exit_code, 0) << said.text;
}

TEST_P(SystemdUnitTest, RequiresNoOtherUnitAndIsAlwaysStartedAgain) {
  for (const char* forbidden : {"Requires=", "BindsTo=", "PartOf=", "Requisite="}) {
    EXPECT_THAT(text_, Not(HasSubstr(forbidden)));
  }
  for (const char* wanted : {"Type=notify", "Restart=always", "WatchdogSec="}) {
    EXPECT_THAT(text_, HasSubstr(wanted));
  }
}

// getifaddrs() asks over netlink; without it no VIP is compared with the machine's addresses.
TEST_P(SystemdUnitTest, MayReadTheAddressesOfTheMachine) {
  const auto line = text_.find("\nRestrictAddressFamilies=");
  ASSERT_NE(line, std::string::npos);
  const std::string families = text_.substr(line + 1, text_.find('\n', line + 1) - line - 1);
  EXPECT_THAT(families + " ", HasSubstr(" AF_NETLINK "));
}

INSTANTIATE_TEST_SUITE_P(Units,
                         SystemdUnitTest,
                         ::testing::Values("holdfast-control.service",
                                           "holdfast-dataplane.service"),
                         [](const auto& unit) {
                           return std::string(unit.param).find("control") == std::string::npos
                                      ? "Dataplane"
                                      : "Control";
                         });

}  // namespace
}  // namespace holdfast
