// SPDX-License-Identifier: Apache-2.0
// The journal of what operators ordered: it says what was written, whatever the words hold, and a
// damaged or torn one loses only what it lost.
#include "control/engine/orders.h"

#include "control/publish/durable_file.h"
#include "tests/support/temp_directory.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

MemberOrders drained(const std::string& reason, config::DrainEnd then = config::DrainEnd::kReset) {
  StateOrder order;
  order.stamp = {1'700'000'000'123, 0ms, "uid=1000(ops)", reason};
  order.drain = {.deadline = 30s, .then = then};
  return {.state = order, .weight = {}};
}

MemberOrders weighed(std::uint32_t weight) {
  return {.state = {}, .weight = WeightOrder{weight, {-5, 1h, "", ""}}};
}

Orders sample_orders() {
  Orders orders = {
      {{"web", "a"}, drained("kernel 6.1 = 100 %\nand more", config::DrainEnd::kRemove)},
      {{"web", "b"}, drained("")},
      {{"d\xc3\xa9mo", "c"}, weighed(0)}};
  orders[{"web", "b"}].state->maintenance = true;
  orders[{"web", "b"}].weight = weighed(65'535).weight;
  orders[{"web", "z"}].slots = SlotsOrder{"a key", "a", {7, {}, "uid=0(root)", "moved"}};
  return orders;
}

TEST(OrdersJournal, SaysWhatWasWrittenWhateverTheWordsHold) {
  const OrdersRead read = read_journal(journal_of(sample_orders()));
  EXPECT_EQ(read.orders, sample_orders());
  EXPECT_EQ(read.refusals, 0U);
  EXPECT_EQ(read.lines, 6U);
  EXPECT_EQ(journal_of({}), "");
}

TEST(OrdersJournal, TakesTheLastWordAndForgetsWhatIsOver) {
  const MemberName name{"web", "a"};
  MemberOrders both = drained("x");
  both.weight = weighed(7).weight;
  const std::string done(kJournalDone);
  std::string text = journal_lines(name, {}, drained("first")) + done;
  text += journal_lines(name, drained("first"), both) + done;
  EXPECT_EQ(read_journal(text).orders, (Orders{{name, both}}));
  text += journal_lines(name, both, weighed(7)) + done;
  EXPECT_EQ(read_journal(text).orders, (Orders{{name, weighed(7)}}));
  text += journal_lines(name, weighed(7), {}) + done;
  EXPECT_TRUE(read_journal(text).orders.empty());
  EXPECT_EQ(journal_lines(name, both, both), "");
}

TEST(OrdersJournal, RefusesLinesThatAreNoneByTheirPlaceAndKeepsTheOthers) {
  const std::string good = journal_lines({"web", "a"}, {}, drained("x"));
  const OrdersRead read = read_journal(good +
                                       "nonsense\nstate web b draining x 0 0 reset who why\n"
                                       "weight web c 65536 0 0 who why\nweight web c 1 0 -1 w y\n"
                                       "state web d draining 0 0 0 reset %4 why\n\ndone\n");
  EXPECT_EQ(read.orders.size(), 1U);
  EXPECT_EQ(read.refusals, 5U);
  EXPECT_EQ(read.refused.front(), "line 2: is no order");
  EXPECT_EQ(read.refused.back(), "line 6: is no order");
}

TEST(OrdersJournal, NamesTenRefusedLinesAndCountsTheRest) {
  std::string text;
  for (int i = 0; i < 100; ++i) {
    text += "x\n";
  }
  const OrdersRead read = read_journal(text);
  EXPECT_EQ(read.refused.size(), kRefusalsKept);
  EXPECT_EQ(read.refusals, 100U);
}

// All or nothing: of a verb on many members that was torn by a crash nothing stands.
TEST(OrdersJournal, CutAtAnyByteHoldsWholeVerbsOnly) {
  const std::string first = journal_of({{{"web", "z"}, drained("first")}});
  const std::string text = first + journal_of(sample_orders());
  for (std::size_t cut = first.size(); cut < text.size(); ++cut) {
    const OrdersRead read = read_journal(text.substr(0, cut));
    ASSERT_EQ(read.orders, (Orders{{{"web", "z"}, drained("first")}})) << cut;
  }
  const OrdersRead torn = read_journal(text.substr(0, text.size() - kJournalDone.size()));
  EXPECT_THAT(torn.refused, ElementsAre("line 3: begins a change that was not finished"));
}

TEST(OrdersJournal, GrowsOnDiskAndNeverThroughALink) {
  const testing::TempDirectory directory;
  const std::string path = directory.file("orders");
  ASSERT_TRUE(append_durably(path, "one\n"));
  ASSERT_TRUE(append_durably(path, "two\n"));
  EXPECT_EQ(read_whole(path, 100).value(), "one\ntwo\n");
  ASSERT_EQ(::symlink(path.c_str(), directory.file("link").c_str()), 0);
  EXPECT_FALSE(append_durably(directory.file("link"), "x"));
  EXPECT_FALSE(append_durably(directory.file("missing/orders"), "x"));
}

}  // namespace
}  // namespace holdfast::control
