// SPDX-License-Identifier: Apache-2.0
// `upgrade` without a dataplane, and the file that it puts in a program's place. What it does to a
// running one: tests/end_to_end/test_upgrade.py.
#include "control/cli/binary_swap.h"
#include "tests/support/contents.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/cli/run_program.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using ::testing::HasSubstr;

class BinarySwapTest : public ::testing::Test {
 protected:
  BinarySwapTest() {
    write("program", "old");
    write("fresh", "new");
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder.file(name)) << text;
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    return testing::contents(folder.file(name));
  }
  testing::TempDirectory folder;
};

TEST_F(BinarySwapTest, PutsACopyInPlaceAndKeepsWhatStoodThere) {
  std::filesystem::permissions(folder.file("fresh"), std::filesystem::perms::owner_all);
  write("program.before", "older");
  ASSERT_TRUE(BinarySwap::install(folder.file("program"), folder.file("fresh")).has_value());
  EXPECT_EQ(read("program"), "new");
  EXPECT_EQ(read("program.before"), "old");
  EXPECT_EQ(read("fresh"), "new");
  EXPECT_EQ(std::filesystem::status(folder.file("program")).permissions(),
            std::filesystem::perms::owner_all);
}

TEST_F(BinarySwapTest, PutsBackWhatStoodThere) {
  const auto swap = BinarySwap::install(folder.file("program"), folder.file("fresh"));
  ASSERT_TRUE(swap.has_value());
  EXPECT_TRUE(swap->take_back().has_value());
  EXPECT_EQ(read("program"), "old");
  EXPECT_FALSE(swap->take_back().has_value()) << "only once";
}

TEST_F(BinarySwapTest, ThatCannotBeCopiedChangesNothing) {
  const auto swap = BinarySwap::install(folder.file("program"), folder.file("nothing"));
  ASSERT_FALSE(swap.has_value());
  EXPECT_THAT(swap.error(), HasSubstr("nothing"));
  EXPECT_EQ(read("program"), "old");
}

TEST(Upgrade, WithoutADataplaneIsToldAndDoesNothing) {
  const testing::TempDirectory folder;
  const Ran ran = run({"upgrade", "--socket", folder.file("control.sock")});
  EXPECT_EQ(ran.exit_code, kExitUnreachable);
  EXPECT_THAT(ran.error, HasSubstr("the dataplane does not answer"));
}

}  // namespace
}  // namespace holdfast::control
