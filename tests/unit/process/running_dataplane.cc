// SPDX-License-Identifier: Apache-2.0
// See running_dataplane.h.
#include "tests/unit/process/running_dataplane.h"

#include "dataplane/api/codec.h"
#include "tests/support/contents.h"

#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

using holdfast::testing::contents;

constexpr std::chrono::seconds kPatience{20};

}  // namespace

Instance::Instance() {
  std::string name = std::filesystem::temp_directory_path() / "holdfast-process-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) {
    throw std::runtime_error("no temporary directory");
  }
  folder_ = name;
}

Instance::~Instance() {
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
}

StartupSpec Instance::startup() const {
  StartupSpec startup;
  startup.ports = {{.name = "one", .device = PortDevice::kNull}};
  startup.workers = 1;
  startup.flows = 1000;
  startup.huge_pages = false;
  startup.hash_key = {1, 2, 3};
  startup.socket = path("dataplane.sock");
  startup.directory = path("persisted");
  startup.state_file = path("flows.state");
  startup.instance = "test";
  return startup;
}

std::string dataplane_binary() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "holdfast-dataplane";
}

RunningDataplane::RunningDataplane(const Instance& instance, const StartupSpec& startup)
    : socket_(startup.socket), error_file_(instance.path("stderr")) {
  const std::string message = instance.path("startup");
  std::ofstream(message, std::ios::binary) << seam::to_wire(startup).SerializeAsString();
  const std::string binary = dataplane_binary();
  pid_ = ::fork();
  if (pid_ == 0) {
    const int error = ::open(error_file_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(error, STDERR_FILENO);
    ::execl(binary.c_str(), binary.c_str(), "--startup", message.c_str(), nullptr);
    ::_exit(126);
  }
}

RunningDataplane::~RunningDataplane() {
  if (pid_ > 0) {
    end(SIGKILL);
  }
}

seam::Client RunningDataplane::client(std::uint64_t writer_epoch, bool read_only) const {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  const std::string path = read_only ? socket_ + ".ro" : socket_;
  while (true) {
    auto connected = seam::Client::connect(path, writer_epoch, std::chrono::seconds(5));
    if (connected) {
      return std::move(*connected);
    }
    if (std::chrono::steady_clock::now() > deadline || ::waitpid(pid_, nullptr, WNOHANG) != 0) {
      throw std::runtime_error("no dataplane: " + connected.error() +
                               "; it said: " + contents(error_file_));
    }
    std::this_thread::yield();
  }
}

Ending RunningDataplane::end(int signal) {
  Ending ending;
  int status = 0;
  if (signal != 0) {
    ::kill(pid_, signal);
  }
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  ending.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  ending.error = contents(error_file_);
  return ending;
}

}  // namespace holdfast::dataplane
