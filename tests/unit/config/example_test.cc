// SPDX-License-Identifier: Apache-2.0
// The example against the table of keys, and a thousand damaged copies of it.
#include "config/keys.h"
#include "config/load.h"

#include <fstream>
#include <map>
#include <random>
#include <set>
#include <span>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

namespace holdfast::config {
namespace {

std::string example() {
  std::ifstream in(HOLDFAST_SOURCE_DIR "/config/example.yaml");
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// The example with its commented-out settings ("# key: ...") taken in.
bool shows(const std::string& text, std::string_view key) {
  const std::string wanted = std::string(key) + ":";
  for (std::size_t at = text.find(wanted); at != std::string::npos;
       at = text.find(wanted, at + 1)) {
    if (at == 0 || std::string_view(" {,\n").find(text[at - 1]) != std::string_view::npos) {
      return true;
    }
  }
  return false;
}

TEST(Example, HasEveryKey) {
  const std::string text = example();
  const std::vector<std::span<const Key>> tables = {kRootKeys,
                                                    kIncludedKeys,
                                                    kDataplaneKeys,
                                                    kPortKeys,
                                                    kNatKeys,
                                                    kDefaultsKeys,
                                                    kCheckKeys,
                                                    kExpectKeys,
                                                    kServiceKeys,
                                                    kBalanceKeys,
                                                    kDrainKeys,
                                                    kTimeoutsKeys,
                                                    kBackendKeys,
                                                    kControlKeys};
  for (const std::span<const Key> table : tables) {
    for (const Key key : table) {
      EXPECT_TRUE(shows(text, key)) << key;
    }
  }
}

// Every key must be understood where it stands: with the comments in front of settings removed the
// example is still valid, apart from settings that exclude each other.
TEST(Example, IsValidWithItsCommentedSettings) {
  std::string text;
  std::istringstream lines(example());
  for (std::string line; std::getline(lines, line);) {
    const std::size_t comment = line.find("  # ");
    const bool setting =
        comment != std::string::npos && line.find_first_not_of(' ') == comment + 2 &&
        line.find(": ", comment) != std::string::npos && line.find(". ") == std::string::npos &&
        line.find("default:") == std::string::npos &&
        line.find("measurements:") == std::string::npos;
    const bool heads = line == "  # file0:";
    if (setting || heads) {
      line.erase(comment + 2, 2);
    }
    text += line + "\n";
  }
  const LoadResult result = parse_config(text, "example.yaml");
  ASSERT_TRUE(result) << render(result.error());
  EXPECT_EQ(result->ports.size(), 5U);
  EXPECT_FALSE(result->dataplane.state_file.empty());
  EXPECT_FALSE(result->dataplane.hash_key_file.empty());
}

std::string damaged(std::string text, std::mt19937& random) {
  static const std::string kBytes = "[]{}:,-#&*!|>'\"%@`?~<\n\t \r\\0159azs/.\x01\x7f\xc3\xff";
  const auto below = [&](std::size_t limit) { return random() % limit; };
  const std::size_t times = 1 + below(4);
  for (std::size_t i = 0; i < times && !text.empty(); ++i) {
    const std::size_t at = below(text.size());
    switch (below(5)) {
      case 0:
        text[at] = kBytes[below(kBytes.size())];
        break;
      case 1:
        text.insert(at, 1, kBytes[below(kBytes.size())]);
        break;
      case 2:
        text.erase(at, 1 + below(20));
        break;
      case 3:
        text.insert(below(text.size()), text.substr(at, below(200)));
        break;
      default:
        text.resize(at);
    }
  }
  return text;
}

TEST(Example, DamagedInAThousandWaysIsReadOrRefusedWithReason) {
  const std::string original = example();
  std::mt19937 random(1);
  std::size_t refused = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string text = damaged(original, random);
    const LoadResult result = parse_config(text, "damaged.yaml");
    if (!result) {
      ++refused;
      ASSERT_FALSE(result.error().empty());
      EXPECT_NE(render(result.error()).find("nothing was applied"), std::string::npos);
    }
  }
  EXPECT_GT(refused, 500U);
  EXPECT_LT(refused, 1000U);
}

}  // namespace
}  // namespace holdfast::config
