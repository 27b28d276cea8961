// SPDX-License-Identifier: Apache-2.0
// Dispositions by name, and drains that end by the clock.
#include "dataplane/dispositions.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

class Drains : public ::testing::Test {
 protected:
  Drains() {
    const ServiceSpec service{.name = "web"};
    for (const char* name : {"a", "b"}) {
      ids_.push_back(*members_.allocate(service, {.backend = name}));
      table_.set(ids_.back(), Disposition::kNew);
    }
  }
  void order(const char* backend, Disposition disposition, std::uint64_t deadline_ms) {
    ASSERT_EQ(set_disposition(members_, table_, "web", backend, {disposition, deadline_ms}), 1U);
  }
  std::vector<std::string> end(std::uint64_t now_ms) {
    return end_drains(members_, table_, now_ms);
  }

  std::vector<MemberRecord> records_ = std::vector<MemberRecord>(4);
  std::vector<DispositionTable::Cell> cells_ = std::vector<DispositionTable::Cell>(4);
  MemberRegistry members_{records_};
  DispositionTable::Version version_{0};
  DispositionTable table_{cells_, version_};
  std::vector<MemberId> ids_;
};

TEST_F(Drains, EndAtTheirDeadlineAndNotBefore) {
  order("a", Disposition::kKeep, 1000);
  EXPECT_TRUE(end(999).empty());
  EXPECT_EQ(table_.get(ids_[0]), Disposition::kKeep);
  EXPECT_EQ(end(1000), std::vector<std::string>{"web/a"});
  EXPECT_EQ(table_.get(ids_[0]), Disposition::kReset);
  EXPECT_EQ(table_.get(ids_[1]), Disposition::kNew);
  EXPECT_TRUE(end(2000).empty());
}

TEST_F(Drains, HaveNoDeadlineAnyMoreOnceTheMemberIsSetAnew) {
  order("a", Disposition::kKeep, 1000);
  order("a", Disposition::kNew, 0);
  order("a", Disposition::kKeep, 0);
  EXPECT_TRUE(end(2000).empty());
  EXPECT_EQ(table_.get(ids_[0]), Disposition::kKeep);
}

// A generation that arrived meanwhile may have made it new or avoided.
TEST_F(Drains, EndOnlyMembersThatKeepTheirFlows) {
  order("a", Disposition::kKeep, 1000);
  table_.set(ids_[0], Disposition::kNew);
  EXPECT_TRUE(end(2000).empty());
  table_.set(ids_[0], Disposition::kKeep);
  EXPECT_TRUE(end(2000).empty());  // it was over then
}

TEST_F(Drains, OfAMemberThatLeftTheConfigurationNeverEndItsFlows) {
  order("a", Disposition::kKeep, 1000);
  records_[ids_[0].index].state = RegistryState::kRetired;
  apply_dispositions({}, members_, table_);
  EXPECT_EQ(records_[ids_[0].index].drain_deadline_ms, 0U);
  EXPECT_TRUE(end(2000).empty());
}

}  // namespace
}  // namespace holdfast::dataplane
