// SPDX-License-Identifier: Apache-2.0
// The state file: adopted when it fits, put aside with a reason when not, whatever stands in it.
#include "dataplane/process/state_file.h"

#include "dataplane/generation.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/process/seam_helpers.h"

#include <filesystem>
#include <random>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

using holdfast::testing::TempDirectory;
using ::testing::Contains;
using ::testing::HasSubstr;

struct Files {
  TempDirectory folder;
  StartupSpec startup;
  MemoryPlan plan;

  explicit Files(std::uint64_t flows = 1000) {
    startup.flows = flows;
    startup.state_file = folder.file("flows.state");
    startup.hash_key = {7};
    plan.geometry = StateGeometry::from(flows, 1);
    plan.state_bytes = plan.geometry.bytes();
  }
  void change(std::uint64_t flows, std::uint32_t workers) {
    plan.geometry = StateGeometry::from(flows, workers);
    plan.state_bytes = plan.geometry.bytes();
  }
  [[nodiscard]] Result<StateFile> open() const { return StateFile::open(startup, plan); }
};

MemberId add_member(const SharedState& state) {
  const auto id =
      MemberRegistry(state.member_records()).allocate({.name = "web"}, {.backend = "a"});
  state.dispositions().set(id.value(), Disposition::kNew);
  return id.value();
}

TEST(StateFile, IsAdoptedByTheNextProcess) {
  const Files files;
  {
    const auto first = files.open();
    ASSERT_TRUE(first.has_value()) << first.error().text;
    EXPECT_FALSE(first->adopted());
    add_member(first->state());
  }
  const auto second = files.open();
  ASSERT_TRUE(second.has_value());
  EXPECT_TRUE(second->adopted());
  EXPECT_EQ(second->state().member_records()[0].state, RegistryState::kActive);
  const auto mode = std::filesystem::status(files.startup.state_file).permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(StateFile, IsFoundWithTheMemoryItHolds) {
  const Files files;
  EXPECT_EQ(load_states_found(files.startup).ordinary.file_bytes, 0U);
  ASSERT_TRUE(files.open().has_value());
  const StateFound found = load_states_found(files.startup).ordinary;
  EXPECT_EQ(found.file_bytes, files.plan.state_file_bytes());
  EXPECT_GE(found.held_bytes, files.plan.state_bytes);
}

TEST(StateFile, IsFoundInItsDefaultPlaceByTheNextProcess) {
  Files files;
  files.startup.state_file.clear();
  files.startup.instance = "state-file-test-" + std::to_string(::getpid());
  std::string path;
  {
    const auto first = files.open();
    ASSERT_TRUE(first.has_value()) << first.error().text;
    path = first->path();
  }
  EXPECT_EQ(path, default_state_path(files.startup.instance, false));
  EXPECT_EQ(load_states_found(files.startup).ordinary.file_bytes, files.plan.state_file_bytes());
  const auto second = files.open();
  ASSERT_TRUE(second.has_value());
  EXPECT_TRUE(second->adopted());
  std::filesystem::remove(path);
}

TEST(StateFile, SaysThatDispositionsWereDamaged) {
  const Files files;
  {
    const auto first = files.open();
    ASSERT_TRUE(first.has_value());
    const MemberId member = add_member(first->state());
    first->state().dispositions().set(member, static_cast<Disposition>(99));
  }
  const auto second = files.open();
  ASSERT_TRUE(second.has_value());
  EXPECT_TRUE(second->adopted());
  EXPECT_THAT(second->notices(), Contains(HasSubstr("dispositions of 1 members")));
}

TEST(StateFile, HasOneOwner) {
  const Files files;
  const auto first = files.open();
  const auto second = files.open();
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ExitCode::kRefused);
  EXPECT_THAT(second.error().text, HasSubstr("process " + std::to_string(::getpid())));
}

TEST(StateFile, OfOtherSizesGivesItsMembersAtOnceAndItsFlowsUntilTheyAreSettled) {
  Files files;
  {
    add_member(files.open()->state());
  }
  files.change(5000, 3);
  {
    auto other = files.open();
    ASSERT_TRUE(other.has_value());
    EXPECT_FALSE(other->adopted());
    ASSERT_NE(other->former(), nullptr);
    EXPECT_EQ(other->former()->geometry().workers, 1U);
    EXPECT_EQ(other->state().member_records()[0].backend.view(), "a");
    EXPECT_FALSE(files.open().has_value()) << "one owner";
    other->settle();
    EXPECT_EQ(other->former(), nullptr);
  }
  EXPECT_FALSE(std::filesystem::exists(files.startup.state_file + ".aside"));
  const auto third = files.open();
  ASSERT_TRUE(third.has_value());
  EXPECT_TRUE(third->adopted());
}

TEST(StateFile, OfOtherSizesIsStillThereAfterAProcessThatEndedInBetween) {
  Files files;
  {
    add_member(files.open()->state());
  }
  for (const std::uint32_t workers : {2U, 3U}) {
    files.change(1000, workers);
    const auto killed = files.open();
    ASSERT_TRUE(killed.has_value());
    ASSERT_NE(killed->former(), nullptr) << workers;
    EXPECT_EQ(killed->former()->geometry().workers, 1U);
  }
  files.change(1000, 1);
  const auto back = files.open();
  ASSERT_TRUE(back.has_value());
  EXPECT_TRUE(back->adopted());
  EXPECT_EQ(back->state().member_records()[0].backend.view(), "a");
}

TEST(StateFile, UnderAnotherHashKeyIsPutAside) {
  Files files;
  ASSERT_TRUE(files.open().has_value());
  files.startup.hash_key = {8};
  const auto other = files.open();
  ASSERT_TRUE(other.has_value());
  EXPECT_THAT(other->notices(), Contains(HasSubstr("another hash key")));
}

TEST(StateFile, IsExaminedBesideItsOwner) {
  Files files;
  const auto none = examine_state(files.startup);
  ASSERT_TRUE(none.has_value());
  EXPECT_THAT(*none, HasSubstr("there are no flows"));
  const auto owner = files.open();
  ASSERT_TRUE(owner.has_value());
  add_member(owner->state());
  const auto said = examine_state(files.startup);
  ASSERT_TRUE(said.has_value()) << said.error().text;
  EXPECT_THAT(*said, HasSubstr("of 1 workers, go on"));
  files.startup.hash_key = {8};
  const auto refused = examine_state(files.startup);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ExitCode::kRefused);
  EXPECT_THAT(refused.error().text, HasSubstr("would be lost: written under another hash key"));
}

TEST(StateFile, FollowsNoLink) {
  const Files files;
  std::filesystem::create_symlink("/etc/passwd", files.startup.state_file);
  const auto opened = files.open();
  ASSERT_FALSE(opened.has_value());
  EXPECT_THAT(opened.error().text, HasSubstr("flows.state"));
}

TEST(StateFile, WithDamageIsRefusedOrValidatedNeverTrusted) {
  const Files files(200);
  ASSERT_TRUE(files.open().has_value());
  const FlowHasher hasher(files.startup.hash_key);
  std::mt19937_64 random(4711);
  for (int round = 0; round < 40; ++round) {
    const int file = ::open(files.startup.state_file.c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_GE(file, 0);
    for (int i = 0; i < 2000; ++i) {
      // Half the hits in the tables at the end, half anywhere.
      const std::size_t span = files.plan.state_bytes / (i % 2 == 0 ? 1 : 50);
      const std::size_t at = files.plan.state_bytes - 1 - random() % span;
      const auto byte = static_cast<char>(random());
      ASSERT_EQ(::pwrite(file, &byte, 1, static_cast<off_t>(at)), 1);
    }
    ::close(file);
    const auto opened = files.open();
    ASSERT_TRUE(opened.has_value()) << opened.error().text;
    MemberRegistry members(opened->state().member_records());
    BindingRegistry bindings(opened->state().binding_records());
    const auto built = build_generation(small_generation(1), members, bindings, hasher, nullptr, 0);
    if (built) {
      WorkerTables tables = opened->state().tables(0);
      validate_tables(tables, *built->generation, opened->state().dispositions());
      EXPECT_LE(tables.nat.used(), tables.nat.records().size());
    }
  }
}

}  // namespace
}  // namespace holdfast::dataplane
