// SPDX-License-Identifier: Apache-2.0
// The verbs that read configurations: `check`, `startup`, and what `control` starts from.
#include "control/cli/control_start.h"
#include "control/cli/program.h"
#include "control/engine/orders.h"
#include "control/engine/revisions.h"
#include "control/publish/durable_file.h"
#include "dataplane/api/codec.h"
#include "tests/support/contents.h"
#include "tests/support/site_config.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/cli/run_program.h"
#include "tests/unit/cli/scripted_dataplane.h"

#include <algorithm>
#include <cstdint>
#include <expected>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace holdfast::control {
namespace {

namespace json = boost::json;
using testing::contents;
using ::testing::HasSubstr;
using testing::TempDirectory;

constexpr const char* kExample = HOLDFAST_SOURCE_DIR "/config/example.yaml";

TEST(CheckVerb, CountsWhatAValidConfigurationHolds) {
  const Ran ran = run({"check", kExample});
  EXPECT_EQ(ran.exit_code, 0) << ran.error;
  EXPECT_THAT(ran.out, HasSubstr(std::string(kExample) + ": ok ("));
}

TEST(CheckVerb, PrintsEveryMistakeWithItsPlace) {
  const TempDirectory directory;
  std::ofstream(directory.file("bad.yaml")) << "version: 1\nservces: []\n";
  const Ran ran = run({"check", directory.file("bad.yaml"), kExample});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_THAT(ran.error, HasSubstr("bad.yaml:2:1: error: "));
  EXPECT_THAT(ran.error, HasSubstr("did you mean 'services'?"));
  EXPECT_THAT(ran.out, HasSubstr("example.yaml: ok ("));
}

TEST(CheckVerb, SaysThatAFileIsMissing) {
  const Ran ran = run({"check", "/nowhere/site.yaml"});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_THAT(ran.error, HasSubstr("/nowhere/site.yaml"));
}

TEST(CheckVerb, PrintsJson) {
  const TempDirectory directory;
  std::ofstream(directory.file("bad.yaml")) << "version: 1\nservces: []\n";
  const Ran ran = run({"check", "-o", "json", kExample, directory.file("bad.yaml")});
  EXPECT_EQ(ran.exit_code, 3);
  const json::value results = json::parse(ran.out);
  EXPECT_EQ(results.at(0).at("ok"), true);
  EXPECT_EQ(results.at(1).at("ok"), false);
  const json::array& diagnostics = results.at(1).at("diagnostics").as_array();
  const auto misspelt = std::ranges::find(diagnostics, 2, [](const json::value& diagnostic) {
    return diagnostic.at("line").to_number<int>();
  });
  ASSERT_NE(misspelt, diagnostics.end());
  EXPECT_EQ(misspelt->at("help"), "did you mean 'services'?");
}

TEST(StartupVerb, WritesWhatTheDataplaneIsStartedWith) {
  const TempDirectory directory;
  const std::string config = directory.file("site.yaml");
  const std::string out = directory.file("new/startup");
  std::ofstream(config) << testing::site_config(directory, "web");
  const Ran ran = run({"startup", "--config", config, "--out", out});
  ASSERT_EQ(ran.exit_code, 0) << ran.error;
  seam::Startup message;
  ASSERT_TRUE(message.ParseFromString(contents(out)));
  const auto spec = seam::from_wire(message);
  ASSERT_TRUE(spec) << spec.error();
  EXPECT_EQ(spec->flows, 64'000U);
  EXPECT_EQ(spec->socket, directory.file("dataplane.sock"));
  struct stat file{};
  ASSERT_EQ(::stat(out.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777U, 0600U);  // it holds the hash key
}

TEST(StartupVerb, LeavesAnOlderFileAloneWhenTheConfigurationIsInvalid) {
  const TempDirectory directory;
  std::ofstream(directory.file("site.yaml")) << "version: 1\nservces: []\n";
  std::ofstream(directory.file("startup")) << "older";
  const Ran ran =
      run({"startup", "--config", directory.file("site.yaml"), "--out", directory.file("startup")});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_THAT(ran.error, HasSubstr("site.yaml:2:1: error: "));
  EXPECT_EQ(contents(directory.file("startup")), "older");
}

class ControlStartTest : public ::testing::Test {
 protected:
  void write(const std::string& text) { std::ofstream(path_) << text; }
  void accept(std::uint64_t number, const std::string& text, const std::string& name) {
    ASSERT_TRUE(make_directory(directory_.file("control")));
    ASSERT_TRUE(save_revision(directory_.file("control"),
                              {.number = number, .about = {}, .sources = {{name, text}}}));
  }
  static std::string service_of(const ControlStart& start) {
    return start.engine.config.services.at(0).name;
  }

  TempDirectory directory_;
  std::string path_ = directory_.file("site.yaml");
  std::string link_ = directory_.file("last");
};

TEST_F(ControlStartTest, TakesTheFileWhenNothingWasAcceptedYet) {
  write(testing::site_config(directory_, "web"));
  const auto start =
      load_control_start({.config = path_, .directory = "", .last_directory = link_});
  ASSERT_TRUE(start) << start.error().text;
  EXPECT_EQ(service_of(*start), "web");
  EXPECT_EQ(start->engine.revision, 0U);
  EXPECT_EQ(start->engine.directory, directory_.file("control"));
  EXPECT_EQ(start->dataplane_socket, directory_.file("dataplane.sock"));
}

TEST_F(ControlStartTest, PrefersTheAcceptedRevisionToTheFile) {
  write(testing::site_config(directory_, "newer"));
  accept(7, testing::site_config(directory_, "accepted"), path_);
  const auto start =
      load_control_start({.config = path_, .directory = "", .last_directory = link_});
  ASSERT_TRUE(start) << start.error().text;
  EXPECT_EQ(service_of(*start), "accepted");
  EXPECT_EQ(start->engine.revision, 7U);
}

TEST_F(ControlStartTest, StartsOnTheAcceptedRevisionWhenTheFileIsInvalid) {
  write("version: 1\nservces: []\n");
  accept(7, testing::site_config(directory_, "accepted"), path_);
  const auto start = load_control_start(
      {.config = path_, .directory = directory_.file("control"), .last_directory = ""});
  ASSERT_TRUE(start) << start.error().text;
  EXPECT_EQ(service_of(*start), "accepted");
  EXPECT_EQ(start->settings.socket, directory_.file("control.sock"));
}

TEST_F(ControlStartTest, FindsTheRevisionByTheDirectoryThatABrokenFileStillNames) {
  write(testing::site_config(directory_, "web") + "servces: []\n");
  accept(7, testing::site_config(directory_, "accepted"), path_);
  const auto start = load_control_start({.config = path_, .directory = "", .last_directory = ""});
  ASSERT_TRUE(start) << start.error().text;
  EXPECT_EQ(service_of(*start), "accepted");
}

TEST_F(ControlStartTest, FindsTheRevisionByTheLastStartWhenTheFileIsNoYaml) {
  write(testing::site_config(directory_, "web"));
  ASSERT_TRUE(load_control_start({.config = path_, .directory = "", .last_directory = link_}));
  accept(7, testing::site_config(directory_, "accepted"), path_);
  write("services: [\n");
  const auto start =
      load_control_start({.config = path_, .directory = "", .last_directory = link_});
  ASSERT_TRUE(start) << start.error().text;
  EXPECT_EQ(service_of(*start), "accepted");
}

TEST_F(ControlStartTest, ListensWhereTheFileSaysAndNotWhereTheRevisionDid) {
  write(testing::site_config(directory_, "web"));
  std::string other = testing::site_config(directory_, "accepted");
  other.replace(other.find("control.sock"), 12, "elsewhere.sock");
  accept(7, other, path_);
  const auto start = load_control_start({.config = path_, .directory = "", .last_directory = ""});
  ASSERT_TRUE(start) << start.error().text;
  EXPECT_EQ(start->settings.socket, directory_.file("control.sock"));
  EXPECT_EQ(start->engine.config.control.socket, directory_.file("control.sock"));
}

TEST_F(ControlStartTest, LeavesARevisionOfAnotherFileAlone) {
  write("version: 1\nservces: []\n");
  accept(7, testing::site_config(directory_, "accepted"), "/etc/holdfast/other.yaml");
  const auto start = load_control_start(
      {.config = path_, .directory = directory_.file("control"), .last_directory = ""});
  ASSERT_FALSE(start);
  EXPECT_EQ(start.error().exit_code, kExitInvalidConfiguration);
  EXPECT_THAT(start.error().text, HasSubstr("site.yaml:2:1: error: "));
}

TEST_F(ControlStartTest, BringsBackTheOrdersAndSaysWhatIsDamaged) {
  write(testing::site_config(directory_, "web"));
  ASSERT_TRUE(make_directory(directory_.file("control")));
  const WeightOrder order{.weight = 7, .stamp = {5, {}, "uid=0(root)", "disk"}};
  const Orders orders = {{{"web", "a"}, {.state = {}, .weight = order}}};
  std::ofstream(directory_.file("control/orders")) << journal_of(orders) << "nonsense\n";
  const auto start =
      load_control_start({.config = path_, .directory = "", .last_directory = link_});
  ASSERT_TRUE(start) << start.error().text;
  EXPECT_EQ(start->engine.orders, orders);
  EXPECT_TRUE(start->engine.journal_damaged);
  ASSERT_EQ(start->engine.notices.size(), 1U);
  EXPECT_THAT(start->engine.notices[0], HasSubstr("/orders: line 3: is no order: refused"));
}

TEST_F(ControlStartTest, TellsASecondInstanceWhatToDo) {
  write(testing::site_config(directory_, "web"));
  const auto first =
      load_control_start({.config = path_, .directory = "", .last_directory = link_});
  ASSERT_TRUE(first);
  const auto second =
      load_control_start({.config = path_, .directory = "", .last_directory = link_});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().exit_code, kExitRefused);
  EXPECT_THAT(second.error().text,
              HasSubstr("stop it, or give this one another control.directory"));
}

// A start from a file whose VIP is an address of the machine, on a port that its kernel sees.
class LocalVipTest : public ControlStartTest {
 protected:
  LocalVipTest() { write(on_device("af_packet, interface: wan0")); }
  std::string on_device(const std::string& device) const {
    std::string text = testing::site_config(directory_, "web");
    return text.replace(text.find("'null'"), 6, device);
  }
  std::expected<void, StartFailure> start(const std::vector<config::LocalAddress>& here) const {
    const auto loaded =
        load_control_start({.config = path_, .directory = "", .last_directory = link_});
    return loaded ? refuse_local_addresses(*loaded, here) : std::unexpected(loaded.error());
  }
  // What the dataplane's socket for readers says to a hello.
  std::unique_ptr<ScriptedDataplane> at_generation(std::uint64_t number) const {
    return std::make_unique<ScriptedDataplane>(socket_,
                                               [number](const seam::Request&, seam::Reply& reply) {
                                                 reply.mutable_hello()->set_generation(number);
                                               });
  }

  std::string socket_ = directory_.file("dataplane.sock.ro");
  std::vector<config::LocalAddress> vip_ = {{{false, {203, 0, 113, 10}}, "lo"}};
};

TEST_F(LocalVipTest, IsRefusedWhenThereIsNoDataplane) {
  const auto refused = start(vip_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().exit_code, kExitInvalidConfiguration);
  EXPECT_THAT(refused.error().text, HasSubstr("203.0.113.10 is an address of this machine"));
}

TEST_F(LocalVipTest, IsRefusedWhenADataplaneLeftItsSocketBehind) {
  std::ofstream(socket_) << "";  // connect(2) says what it says of a socket without a listener
  EXPECT_FALSE(start(vip_));
}

TEST_F(LocalVipTest, IsRefusedWhenTheDataplaneHasNoGeneration) {
  const auto dataplane = at_generation(0);
  EXPECT_FALSE(start(vip_));
}

TEST_F(LocalVipTest, StartsBesideADataplaneThatForwards) {
  const auto dataplane = at_generation(3);
  EXPECT_TRUE(start(vip_));
}

TEST_F(LocalVipTest, StartsBesideADataplaneThatCannotBeAsked) {
  const ScriptedDataplane dataplane(socket_, [](const seam::Request&, seam::Reply& reply) {
    reply.mutable_error()->set_text("no common version");
  });
  EXPECT_TRUE(start(vip_));
}

TEST_F(LocalVipTest, StartsOnARevisionSoThatACorrectedFileIsTaken) {
  accept(7, on_device("af_packet, interface: wan0"), path_);
  EXPECT_TRUE(start(vip_));
}

TEST_F(LocalVipTest, StartsWhenThisMachineDoesNotHaveIt) { EXPECT_TRUE(start({})); }

TEST_F(LocalVipTest, StartsWhenNoPortHasAKernelThatCouldAnswer) {
  write(on_device("'null'"));
  EXPECT_TRUE(start(vip_));
}

}  // namespace
}  // namespace holdfast::control
