// SPDX-License-Identifier: Apache-2.0
// The API over a real Unix socket on a thread of its own, with a fake operator behind it.
#pragma once

#include "control/admin/server.h"
#include "tests/support/event_thread.h"
#include "tests/support/fake_operator.h"
#include "tests/support/temp_directory.h"

#include <memory>
#include <string>

#include <gtest/gtest.h>

namespace holdfast::control {

class AdminFixture : public ::testing::Test {
 protected:
  void start(HttpLimits limits = {}) {
    thread_.run([&] {
      server_ = std::make_unique<AdminServer>(thread_.context().get_executor(), operator_, limits);
      const auto listening = server_->listen(path_);
      ASSERT_TRUE(listening) << listening.error();
    });
  }
  void TearDown() override {
    thread_.run([&] { server_.reset(); });
  }

  testing::TempDirectory directory_;
  std::string path_ = directory_.file("run/control.sock");
  testing::FakeOperator operator_;
  testing::EventThread thread_;
  std::unique_ptr<AdminServer> server_;
};

}  // namespace holdfast::control
