// SPDX-License-Identifier: Apache-2.0
// Bad configurations and exactly what is said about them. Each tests/golden/config/NAME.yaml has a
// NAME.expected beside it. To take over new texts after reading them: run this test with
// HOLDFAST_UPDATE_GOLDEN=1.
#include "config/load.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::config {
namespace {

namespace fs = std::filesystem;

std::string read_whole(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::string> names() {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(HOLDFAST_SOURCE_DIR "/tests/golden/config")) {
    if (entry.path().extension() == ".yaml") {
      found.push_back(entry.path().stem().string());
    }
  }
  std::ranges::sort(found);
  return found;
}

class ConfigGolden : public testing::TestWithParam<std::string> {};

TEST_P(ConfigGolden, SaysWhatIsExpected) {
  const fs::path base = fs::path(HOLDFAST_SOURCE_DIR "/tests/golden/config") / GetParam();
  const std::string text = read_whole(base.string() + ".yaml");
  const LoadResult result = parse_config(text, GetParam() + ".yaml");
  const std::string said = result ? render(result->warnings) + "valid\n" : render(result.error());
  const std::string expected_path = base.string() + ".expected";
  if (std::getenv("HOLDFAST_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(expected_path, std::ios::binary) << said;
  }
  EXPECT_EQ(said, read_whole(expected_path));
}

INSTANTIATE_TEST_SUITE_P(Files, ConfigGolden, testing::ValuesIn(names()), [](const auto& test) {
  return test.param;
});

}  // namespace
}  // namespace holdfast::config
