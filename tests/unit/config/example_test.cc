// SPDX-License-Identifier: Apache-2.0
// The example against the table of keys, and a thousand damaged copies of it.
#include "config/keys.h"
#include "config/load.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::config {
namespace {

std::string example() {
  std::ifstream in(HOLDFAST_SOURCE_DIR "/config/example.yaml");
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::size_t indentation(std::string_view line) {
  return std::min(line.find_first_not_of(' '), line.size());
}

// The key at the start of `text`, "" when it starts with something else.
std::string leading_key(std::string_view text) {
  const std::size_t end = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789");
  const bool is_key = end != std::string_view::npos && end > 0 && text[end] == ':';
  return is_key ? std::string(text.substr(0, end)) : "";
}

// The example's lines, with those taken in that are commented-out settings ("# key: ...").
std::vector<std::string> lines_of_example() {
  std::vector<std::string> lines;
  std::istringstream text(example());
  for (std::string line; std::getline(text, line);) {
    const std::size_t at = indentation(line);
    if (line.substr(at).starts_with("# ")) {
      const std::string rest = line.substr(at + 2);
      if (!leading_key(std::string_view(rest).substr(indentation(rest))).empty()) {
        line.erase(at, 2);
      }
    }
    lines.push_back(line);
  }
  return lines;
}

// Adds the keys of a map written in braces, but for those of maps within it.
void add_inline_keys(std::string_view line, std::set<std::string>& keys) {
  int depth = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    depth += line[i] == '{' ? 1 : line[i] == '}' ? -1 : 0;
    if (depth == 1 && (line[i] == '{' || (line[i] == ' ' && line[i - 1] == ','))) {
      keys.insert(leading_key(line.substr(i + 1)));
    }
  }
}

// The keys of the maps whose first line starts with `head`, "" for the top.
std::set<std::string> keys_below(const std::string& head) {
  std::set<std::string> keys;
  bool inside = head.empty();
  std::size_t depth = 0;  // of the keys; known from the first line on
  for (const std::string& line : lines_of_example()) {
    const std::size_t at = indentation(line);
    if (!head.empty() && line.starts_with(head)) {
      inside = true;
      depth = 0;
      add_inline_keys(line, keys);
      keys.insert(leading_key(std::string_view(line).substr(line.find_first_not_of(" -"))));
    } else if (inside && at < line.size() && line[at] != '#') {
      depth = depth == 0 && !head.empty() ? at : depth;
      inside = head.empty() || at > indentation(head);
      if (inside && at == depth) {
        keys.insert(leading_key(std::string_view(line).substr(at)));
      }
    }
  }
  return keys;
}

constexpr std::array<Key, 2> kInterfaceKeys = {"device", "interface"};
constexpr std::array<Key, 4> kNicKeys = {"address", "mtu", "vlan", "twin"};
constexpr std::array<Key, 4> kMemifKeys = {"socket", "role", "id", "mac"};
constexpr std::array<Key, 3> kFileKeys = {"rx", "tx", "repeat"};
constexpr std::array<Key, 2> kBondKeys = {"mode", "links"};
static_assert(kInterfaceKeys.size() + kNicKeys.size() + kBondKeys.size() + kMemifKeys.size() +
                  kFileKeys.size() ==
              kPortKeys.size());

TEST(Example, HasEveryKeyInItsSection) {
  const std::vector<std::pair<std::string, std::span<const Key>>> tables = {
      {"", kRootKeys},
      {"", kIncludedKeys},
      {"dataplane:", kDataplaneKeys},
      {"  wan0:", kInterfaceKeys},
      {"  nic0:", kNicKeys},
      {"  bond0:", kBondKeys},
      {"  memif0:", kMemifKeys},
      {"  file0:", kFileKeys},
      {"nat:", kNatKeys},
      {"routes:", kRoutesKeys},
      {"pair:", kPairKeys},
      {"defaults:", kDefaultsKeys},
      {"  web:", kCheckKeys},
      {"    expect:", kExpectKeys},
      {"  - name:", kServiceKeys},
      {"    tunnel:", kTunnelKeys},
      {"    balance:", kBalanceKeys},
      {"    affinity:", kAffinityKeys},
      {"    announce:", kAnnounceKeys},
      {"    damping:", kDampingKeys},
      {"    drain:", kDrainKeys},
      {"    timeouts:", kTimeoutsKeys},
      {"      - {name:", kBackendKeys},
      {"control:", kControlKeys}};
  for (const auto& [head, table] : tables) {
    const std::set<std::string> keys = keys_below(head);
    for (const Key key : table) {
      EXPECT_TRUE(keys.contains(std::string(key))) << key << " below '" << head << "'";
    }
  }
  EXPECT_FALSE(keys_below("control:").contains("port"));
  EXPECT_FALSE(keys_below("dataplane:").contains("interface"));
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
        line.find("measurements:") == std::string::npos;
    const bool heads = line == "  # nic0:" || line == "  # bond0:" || line == "  # memif0:" ||
                       line == "  # file0:";
    if (setting || heads) {
      line.erase(comment + 2, 2);
    }
    text += line + "\n";
  }
  const LoadResult result = parse_config(text, "example.yaml");
  ASSERT_TRUE(result) << render(result.error());
  EXPECT_EQ(result->ports.size(), 10U);
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
