// SPDX-License-Identifier: Apache-2.0
// Single values: the one form that is taken, and what is said about the near misses.
#include "config/scalar.h"

#include <chrono>
#include <string>

#include <gtest/gtest.h>

namespace holdfast::config {
namespace {

using namespace std::chrono_literals;

Node plain(std::string text) { return {.kind = Kind::kScalar, .text = std::move(text)}; }
Node in_quotes(std::string text) {
  return {.kind = Kind::kScalar, .quoted = true, .text = std::move(text)};
}

TEST(Looks, TakesForANumberWhatYamlDoes) {
  for (const char* text : {"0",
                           "42",
                           "010",
                           "0x1f",
                           "0o17",
                           "0b10",
                           "1_000",
                           "1.5",
                           ".5",
                           "1e3",
                           "1.5e-3",
                           "+1",
                           "-1",
                           ".inf",
                           "-.INF",
                           ".nan"}) {
    EXPECT_EQ(looks_like(text), Looks::kNumber) << text;
  }
}

TEST(Looks, TakesNamesAndAddressesForText) {
  for (const char* text : {"a",
                           "1a",
                           "10.0.0.1",
                           "203.0.113",
                           "2001:db8::1",
                           "tcp/80",
                           "5s",
                           "200-299",
                           "1-2",
                           "e5",
                           "-",
                           ".",
                           "0x",
                           "nope",
                           "10.0.3.16-10.0.3.31"}) {
    EXPECT_EQ(looks_like(text), Looks::kText) << text;
  }
}

TEST(Looks, KnowsBooleansAndNothing) {
  for (const char* text : {"true", "False", "yes", "NO", "on", "Off"}) {
    EXPECT_EQ(looks_like(text), Looks::kBoolean) << text;
  }
  for (const char* text : {"", "~", "null", "NULL"}) {
    EXPECT_EQ(looks_like(text), Looks::kNull) << text;
  }
}

TEST(Integer, TakesPlainDecimalDigitsInItsRange) {
  EXPECT_EQ(read_integer(plain("0"), {}), 0U);
  EXPECT_EQ(read_integer(plain("65535"), {0, 65535}), 65535U);
  EXPECT_EQ(read_integer(plain("18446744073709551615"), {}), 18446744073709551615U);
}

TEST(Integer, RefusesEveryOtherForm) {
  for (const char* text :
       {"", "010", "00", "0x10", "1_000", "1e3", "1.0", "+1", "-1", "1 ", "one", "١"}) {
    EXPECT_FALSE(read_integer(plain(text), {})) << text;
  }
  EXPECT_FALSE(read_integer(in_quotes("5"), {}));
  EXPECT_FALSE(read_integer({.kind = Kind::kMap}, {}));
}

TEST(Integer, DoesNotWrapAround) {
  EXPECT_FALSE(read_integer(plain("18446744073709551616"), {0, 65535}));
  EXPECT_FALSE(read_integer(plain(std::string(1000, '9')), {0, 65535}));
}

TEST(Boolean, IsTrueOrFalseOnly) {
  EXPECT_EQ(read_boolean(plain("true")), true);
  EXPECT_EQ(read_boolean(plain("false")), false);
  for (const char* text : {"True", "yes", "on", "1", "", "t"}) {
    EXPECT_FALSE(read_boolean(plain(text))) << text;
  }
  EXPECT_FALSE(read_boolean(in_quotes("true")));
}

TEST(Duration, NeedsAUnit) {
  const DurationRange range{0ms, 24h};
  EXPECT_EQ(read_duration(plain("250ms"), range), 250ms);
  EXPECT_EQ(read_duration(plain("5s"), range), 5s);
  EXPECT_EQ(read_duration(in_quotes("1m"), range), 60s);
  EXPECT_EQ(read_duration(plain("1h"), range), 3600s);
  const auto bare = read_duration(plain("5"), range);
  ASSERT_FALSE(bare);
  EXPECT_EQ(bare.error().message, "'5' has no unit: write '5s' or '5ms'");
}

TEST(Duration, RefusesOtherFormsAndOverflow) {
  const DurationRange range{1ms, 24h};
  for (const char* text : {"",
                           "s",
                           "1.5s",
                           "1_0s",
                           "5 s",
                           "05s",
                           "5S",
                           "5sec",
                           "1h30m",
                           "-1s",
                           "0ms",
                           "25h",
                           "9223372036854775808h",
                           "1e3ms",
                           "0x5s"}) {
    EXPECT_FALSE(read_duration(plain(text), range)) << text;
  }
}

TEST(Size, IsBinaryOnly) {
  EXPECT_EQ(read_size(plain("512MiB"), {}), 536870912U);
  EXPECT_EQ(read_size(plain("2GiB"), {}), 2147483648U);
  EXPECT_EQ(read_size(plain("1TiB"), {}), 1099511627776U);
  for (const char* text : {"512", "512MB", "512M", "512mib", "512 MiB", "1.5GiB", "0x1MiB"}) {
    EXPECT_FALSE(read_size(plain(text), {})) << text;
  }
  EXPECT_FALSE(read_size(plain("99999999999TiB"), {0, std::uint64_t{1} << 40U}));
}

TEST(Count, MayUseThousandsAndMillions) {
  EXPECT_EQ(read_count(plain("1M"), {}), 1'000'000U);
  EXPECT_EQ(read_count(plain("64k"), {}), 64'000U);
  EXPECT_EQ(read_count(plain("1500"), {}), 1500U);
  for (const char* text : {"1m", "1K", "1G", "1.5M", "1_000", "0x10", "1e6", "M"}) {
    EXPECT_FALSE(read_count(plain(text), {})) << text;
  }
}

TEST(Name, AllowsNothingThatSeparatesNames) {
  EXPECT_EQ(read_name(plain("web-1.a_b")), "web-1.a_b");
  EXPECT_EQ(read_name(plain(std::string(63, 'a'))), std::string(63, 'a'));
  for (const char* text : {"", "a/b", "a:b", ".a", "-a", "_a", "a b", "ä", "a\n", "42", "yes"}) {
    EXPECT_FALSE(read_name(plain(text))) << text;
  }
  EXPECT_FALSE(read_name(plain(std::string(64, 'a'))));
  EXPECT_EQ(read_name(in_quotes("42")), "42");
}

TEST(Texts, ShowValuesInTheirLargestExactUnit) {
  EXPECT_EQ(duration_text(1500ms), "1500ms");
  EXPECT_EQ(duration_text(90s), "90s");
  EXPECT_EQ(duration_text(2h), "2h");
  EXPECT_EQ(size_text(536870912), "512MiB");
  EXPECT_EQ(size_text(1000), "1000 bytes");
}

}  // namespace
}  // namespace holdfast::config
