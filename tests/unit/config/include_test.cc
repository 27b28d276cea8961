// SPDX-License-Identifier: Apache-2.0
// Files and their includes, in a folder that the test makes.
#include "config/include.h"

#include "config/load.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace holdfast::config {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string service(const std::string& name, int host) {
  return "services:\n  - {name: " + name + ", vips: [203.0.113." + std::to_string(host) +
         "], ports: [tcp/80], mode: dsr, backends: [{name: a, address: 10.0.3.11}]}\n";
}

class ConfigFiles : public testing::Test {
 protected:
  ConfigFiles() {
    std::string pattern = (fs::temp_directory_path() / "holdfast-config-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    fs::create_directory(folder_ / "conf.d");
  }
  ~ConfigFiles() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  void write_main(const std::string& include, const std::string& rest = "") const {
    write("site.yaml", "version: 1\nports: {a: {device: null}}\ninclude: " + include + "\n" + rest);
  }
  [[nodiscard]] LoadResult load(const LoadOptions& options = {}) const {
    return load_config((folder_ / "site.yaml").string(), options);
  }
  [[nodiscard]] std::string complaints(const LoadOptions& options = {}) const {
    const LoadResult result = load(options);
    return result ? "valid" : render(result.error());
  }

  fs::path folder_;
};

TEST_F(ConfigFiles, AddServicesAndChecksInOrderOfTheirNames) {
  write_main("[conf.d/*.yaml, more.yaml]", service("main", 1));
  write("conf.d/b.yaml", service("b", 2));
  write("conf.d/a.yaml", service("a", 3) + "checks: {web: {type: http}}\n");
  write("conf.d/.hidden.yaml", "nonsense");
  write("conf.d/c.yaml~", "nonsense");
  write("more.yaml", service("more", 4));
  const LoadResult result = load();
  ASSERT_TRUE(result) << render(result.error());
  std::vector<std::string> names;
  for (const Service& each : result->services) {
    names.push_back(each.name);
  }
  EXPECT_THAT(names, ElementsAre("main", "a", "b", "more"));
  EXPECT_THAT(result->files,
              ElementsAre((folder_ / "site.yaml").string(),
                          (folder_ / "conf.d/a.yaml").string(),
                          (folder_ / "conf.d/b.yaml").string(),
                          (folder_ / "more.yaml").string()));
  const LoadResult again = parse_sources(result->sources);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->services.size(), 4U);
}

TEST_F(ConfigFiles, MayMatchNothing) {
  write_main("[conf.d/*.yaml]", "services: []\n");
  const LoadResult result = load();
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->warnings.empty());
}

TEST_F(ConfigFiles, WarnAboutAMissingFolder) {
  write_main("[gone.d/*.yaml]", "services: []\n");
  const LoadResult result = load();
  ASSERT_TRUE(result);
  EXPECT_THAT(render(result->warnings), HasSubstr("the folder of 'gone.d/*.yaml' does not exist"));
}

TEST_F(ConfigFiles, ReportErrorsOfAllFilesInOneRun) {
  write_main("[conf.d/*.yaml, missing.yaml]", "blah: 1\n");
  write("conf.d/a.yaml", service("a", 1) + "nat: {pool: [10.0.0.1]}\nchekcs: {}\n");
  write("conf.d/b.yaml", service("a", 2) + "  - {name: \"x\n");
  write("conf.d/c.yaml", "");
  EXPECT_THAT(complaints(),
              AllOf(HasSubstr("site.yaml:3:26: error: " + (folder_ / "missing.yaml").string() +
                              " cannot be read: No such file or directory"),
                    HasSubstr("site.yaml:4:1: error: unknown key 'blah'"),
                    HasSubstr("conf.d/a.yaml:3:1: error: key 'nat' belongs into the main file"),
                    HasSubstr("conf.d/a.yaml:4:1: error: unknown key 'chekcs' in an included file"),
                    HasSubstr("conf.d/b.yaml:2:12: error: repeated service 'a' (first at "),
                    HasSubstr("conf.d/b.yaml:3:12: error: this quoted text does not end"),
                    HasSubstr("conf.d/c.yaml: error: the file is empty")));
}

TEST_F(ConfigFiles, RefuseRepeatedAndCircularIncludes) {
  write_main("[site.yaml, a.yaml, ./a.yaml, '*.yaml']");
  write("a.yaml", service("a", 1) + "include: [site.yaml]\n");
  const std::string said = complaints();
  EXPECT_THAT(
      said,
      AllOf(HasSubstr("3:11: error: " + (folder_ / "site.yaml").string() + " includes itself"),
            HasSubstr("a.yaml is included twice"),
            HasSubstr("a.yaml:3:1: error: key 'include' belongs into the main file")));
}

TEST_F(ConfigFiles, MustBeRegularFiles) {
  fs::create_directory(folder_ / "folder.yaml");
  ASSERT_EQ(mkfifo((folder_ / "pipe.yaml").c_str(), 0600), 0);
  write_main("[folder.yaml, pipe.yaml, /dev/zero]", "services: []\n");
  EXPECT_THAT(complaints(),
              AllOf(HasSubstr("folder.yaml is a folder, not a file"),
                    HasSubstr("pipe.yaml is not a regular file"),
                    HasSubstr("/dev/zero is not a regular file")));
  EXPECT_THAT(render(load_config(folder_.string()).error()), HasSubstr("is a folder"));
  EXPECT_EQ(render(load_config("/nonexistent/x.yaml").error()),
            "/nonexistent/x.yaml: error: cannot be read: No such file or directory\n"
            "1 error; nothing was applied\n");
}

TEST_F(ConfigFiles, AreBoundedInNumberAndSize) {
  write_main("[conf.d/*.yaml]", "services: []\n");
  for (int i = 1; i <= 5; ++i) {
    write("conf.d/" + std::to_string(i) + ".yaml", service("s" + std::to_string(i), i));
  }
  EXPECT_EQ(complaints({.max_files = 6}), "valid");
  EXPECT_THAT(complaints({.max_files = 5}), HasSubstr("more than 5 files"));
  EXPECT_THAT(complaints({.max_files = 4}), HasSubstr("matches more than 4 files"));
  EXPECT_THAT(complaints({.max_bytes = 300}), HasSubstr("is larger than"));
  write("site.yaml", std::string(2'000'000, '#'));
  EXPECT_THAT(complaints({.max_bytes = 1U << 20U}), HasSubstr("is larger than 1 MiB"));
}

TEST_F(ConfigFiles, TakeWildcardsInTheNameOnly) {
  write_main("['*/x.yaml', 'conf.d/[ab].yaml']", "services: []\n");
  write("conf.d/a.yaml", service("a", 1));
  EXPECT_THAT(complaints(), HasSubstr("has a wildcard in a folder's name"));
}

TEST_F(ConfigFiles, RefuseAPathThatANulWouldCut) {
  write_main("[\"a.yaml\\0.disabled\", \"*.y\\0*\"]", "services: []\n");
  write("a.yaml", service("a", 1));
  EXPECT_THAT(
      complaints(),
      AllOf(HasSubstr("site.yaml:3:11: error: include 'a.yaml\\x00.disabled' has a control "
                      "character in it"),
            HasSubstr("site.yaml:3:32: error: include '*.y\\x00*' has a control character")));
}

TEST(Paths, AreJoinedToTheFilesFolder) {
  EXPECT_EQ(folder_of("site.yaml"), "");
  EXPECT_EQ(folder_of("/site.yaml"), "/");
  EXPECT_EQ(folder_of("a/b/site.yaml"), "a/b");
  EXPECT_EQ(join_path("", "x"), "x");
  EXPECT_EQ(join_path("/", "x"), "/x");
  EXPECT_EQ(join_path("a", "x"), "a/x");
  EXPECT_EQ(join_path("a", "/x"), "/x");
}

}  // namespace
}  // namespace holdfast::config
