// SPDX-License-Identifier: Apache-2.0
// How diagnostics are printed, and which word is suggested.
#include "config/diagnostic.h"

#include "config/journal.h"
#include "config/suggest.h"

#include <array>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::config {
namespace {

Diagnostic unknown_key() {
  return {.place = {"site.yaml", 12, 5},
          .length = 6,
          .message = "unknown key 'blance' in service 'web'",
          .help = "did you mean 'balance'?",
          .line = "    blance: maglev",
          .line_column = 5};
}

TEST(Render, LooksLikeACompilersMessage) {
  EXPECT_EQ(render(unknown_key()),
            "site.yaml:12:5: error: unknown key 'blance' in service 'web'\n"
            "   12 |     blance: maglev\n"
            "      |     ^~~~~~ did you mean 'balance'?\n");
}

TEST(Render, LeavesOutWhatIsNotThere) {
  EXPECT_EQ(render(Diagnostic{.place = {"a.yaml", 0, 0}, .message = "the file is empty"}),
            "a.yaml: error: the file is empty\n");
  EXPECT_EQ(render(Diagnostic{.place = {"a.yaml", 0, 0}, .message = "m", .help = "h"}),
            "a.yaml: error: m\n      = h\n");
}

TEST(Render, ClosesWithCountsOfBothKinds) {
  std::vector<Diagnostic> all(3);
  all[2].severity = Severity::kWarning;
  EXPECT_EQ(closing_line(all), "2 errors, 1 warning; nothing was applied");
  EXPECT_EQ(closing_line(std::span(all).first(1)), "1 error; nothing was applied");
  EXPECT_EQ(closing_line(std::span(all).last(1)), "1 warning");
  EXPECT_EQ(closing_line({}), "");
}

TEST(Render, LetsNoControlSequenceThrough) {
  Diagnostic hostile = unknown_key();
  hostile.line = "a\x1b[31m\tb\xc2\x9b\xff";
  hostile.message = "m\x1b]0;x\x07";
  hostile.help = "h\n";
  hostile.place.file = "evil\x1b.yaml";
  const std::string text = render(hostile);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\x07'), std::string::npos);
  EXPECT_EQ(text.find("\xc2\x9b"), std::string::npos);
  EXPECT_EQ(text.find('\xff'), std::string::npos);
  EXPECT_NE(text.find("a?[31m b???"), std::string::npos) << text;
}

TEST(Render, PutsTheCaretUnderCharactersNotBytes) {
  const Diagnostic diagnostic{.place = {"a.yaml", 1, 6},
                              .length = 1,
                              .message = "m",
                              .line = "\xc3\xbc: 'x'",
                              .line_column = 5};
  EXPECT_EQ(render(diagnostic), "a.yaml:1:6: error: m\n    1 | \xc3\xbc: 'x'\n      |    ^\n");
}

TEST(Quoted, EscapesAndCuts) {
  EXPECT_EQ(quote("a\x01\xff"), "'a\\x01\\xff'");
  EXPECT_EQ(quote(std::string(100, 'x')), "'" + std::string(80, 'x') + "...'");
}

TEST(Journal, OrdersByPlaceAndKeepsABoundedNumber) {
  Journal journal(2);
  const std::uint16_t file = journal.add_file("a.yaml", "one\ntwo\nthree\n");
  journal.error({file, 3, 1, 5}, "third");
  journal.error({file, 1, 2, 1}, "first");
  journal.error({file, 2, 1, 1}, "not kept");
  EXPECT_EQ(journal.errors(), 3U);
  const std::vector<Diagnostic> taken = journal.take();
  ASSERT_EQ(taken.size(), 3U);
  EXPECT_EQ(taken[0].message, "first");
  EXPECT_EQ(taken[0].line, "one");
  EXPECT_EQ(taken[1].line, "three");
  EXPECT_EQ(taken[2].message, "3 errors in all; only the first 2 found are shown");
}

TEST(Journal, KeepsAWindowOfALongLine) {
  const std::string line = std::string(5000, 'a') + "X" + std::string(5000, 'b');
  Journal journal(9);
  journal.error({journal.add_file("a.yaml", line), 1, 5001, 1}, "m");
  const Diagnostic diagnostic = journal.take().front();
  EXPECT_LT(diagnostic.line.size(), 200U);
  EXPECT_EQ(diagnostic.line[static_cast<std::size_t>(diagnostic.line_column) - 1], 'X');
}

TEST(Suggest, CountsEditsAndSwaps) {
  EXPECT_EQ(edit_distance("", "", 9), 0U);
  EXPECT_EQ(edit_distance("abc", "abc", 9), 0U);
  EXPECT_EQ(edit_distance("abc", "acb", 9), 1U);
  EXPECT_EQ(edit_distance("blance", "balance", 9), 1U);
  EXPECT_EQ(edit_distance("kitten", "sitting", 9), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting", 2), 3U);
  EXPECT_EQ(edit_distance("a", "abcdefgh", 3), 4U);
}

TEST(Suggest, FindsNearWordsOnly) {
  constexpr std::array<std::string_view, 4> kWords = {"balance", "backends", "mode", "rx"};
  EXPECT_EQ(nearest("blance", kWords), "balance");
  EXPECT_EQ(nearest("backend", kWords), "backends");
  EXPECT_EQ(nearest("mdoe", kWords), "mode");
  EXPECT_EQ(nearest("rxx", kWords), "rx");
  EXPECT_EQ(nearest("zz", kWords), "");
  EXPECT_EQ(nearest("something", kWords), "");
  EXPECT_EQ(nearest(std::string(100000, 'x'), kWords), "");
}

TEST(Suggest, LooksForNoMoreWordsOnceItsStepsAreUsedUp) {
  constexpr std::array<std::string_view, 2> kWords = {"balance", "backends"};
  Suggestions suggestions(300);
  EXPECT_EQ(suggestions.nearest("blance", kWords), "balance");
  EXPECT_EQ(suggestions.nearest("zzzzzz", kWords), "") << "none has a letter of it";
  EXPECT_EQ(suggestions.nearest("blance", kWords), "");
}

}  // namespace
}  // namespace holdfast::config
