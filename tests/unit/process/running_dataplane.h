// SPDX-License-Identifier: Apache-2.0
// The real holdfast-dataplane as a child process over in-process ports, without root and huge
// pages, in a directory of its own. Used by the process tests.
#pragma once

#include "dataplane/api/client.h"
#include "dataplane/spec.h"

#include <chrono>
#include <optional>
#include <string>

#include <sys/types.h>

namespace holdfast::dataplane {

// A directory that goes with its owner, and the files of one instance in it.
class Instance {
 public:
  Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  ~Instance();

  // One null port, one worker, 1000 flows; everything in the directory.
  [[nodiscard]] StartupSpec startup() const;
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }

 private:
  std::string folder_;
};

// How a child ended.
struct Ending {
  int exit_code = -1;  // or minus the signal
  std::string error;   // what it wrote to standard error
};

class RunningDataplane {
 public:
  RunningDataplane(const Instance& instance, const StartupSpec& startup);
  RunningDataplane(const RunningDataplane&) = delete;
  RunningDataplane& operator=(const RunningDataplane&) = delete;
  ~RunningDataplane();

  // Connects once the socket answers; fails the test when it does not within 20 s.
  [[nodiscard]] seam::Client client(std::uint64_t writer_epoch, bool read_only = false) const;
  // Sends the signal (0: none) and waits for the end.
  Ending end(int signal);
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  std::string socket_;
  std::string error_file_;
  pid_t pid_ = -1;
};

std::string dataplane_binary();

}  // namespace holdfast::dataplane
