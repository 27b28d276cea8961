// SPDX-License-Identifier: Apache-2.0
// The real API server with a fake operator behind it, for verbs that talk to control. Tests only.
#pragma once

#include "control/admin/server.h"
#include "tests/support/event_thread.h"
#include "tests/support/fake_operator.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/cli/run_program.h"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::control {

class CliVerbFixture : public ::testing::Test {
 protected:
  void start() {
    thread_.run([&] {
      server_ = std::make_unique<AdminServer>(thread_.context().get_executor(), operator_);
      ASSERT_TRUE(server_->listen(path_));
    });
  }
  ~CliVerbFixture() override {
    thread_.run([&] { server_.reset(); });
  }
  Ran run_with_socket(std::vector<std::string> words) const {
    words.insert(words.end(), {"--socket", path_});
    return run(words);
  }
  std::vector<testing::FakeOperator::Call> calls() {
    return thread_.run([&] { return operator_.calls; });
  }

  testing::TempDirectory directory_;
  std::string path_ = directory_.file("control.sock");
  testing::FakeOperator operator_;
  testing::EventThread thread_;
  std::unique_ptr<AdminServer> server_;
};

}  // namespace holdfast::control
