// SPDX-License-Identifier: Apache-2.0
// The verb `upgrade`: the dataplane goes over to another program. That one says first, beside the
// running one, whether it could (holdfast-dataplane --rehearse). Then it becomes ready beside it
// and takes over (--succeed, dataplane/process/predecessor.h); under systemd as the unit's reload,
// so that it is of the unit. Where two processes cannot have the ports, the running one ends in
// order, and whoever runs it starts what stands in its place. What does not come up gives way to
// the program of before.
#include "control/cli/binary_swap.h"
#include "control/cli/options.h"
#include "control/cli/pidfd.h"
#include "control/cli/program.h"
#include "control/cli/spawn.h"
#include "control/cli/verb.h"
#include "dataplane/api/client.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kSucceed = "--succeed";
constexpr std::chrono::milliseconds kUpgradeLimit{1'000};
constexpr std::chrono::milliseconds kAskAgain{5};
constexpr std::chrono::milliseconds kRehearsalLimit{10'000};
// Whoever starts it has waited longer each time that the new one ended.
constexpr std::chrono::milliseconds kReturnLimit{30'000};

struct UpgradeOptions {
  Connection connection;
  std::string binary;
  std::chrono::milliseconds timeout{10'000};
  bool dry_run = false;
  bool restart = false;  // end the running one first
};

// A dataplane that answers.
struct Running {
  pid_t pid = 0;
  std::string build;
  std::uint64_t started_ns = 0;
  std::uint64_t generation = 0;
};

std::expected<Running, std::string> ask(const std::string& socket) {
  const auto client = seam::Client::connect(socket, 0, kUpgradeLimit);
  if (!client) {
    return std::unexpected(client.error());
  }
  const seam::HelloReply& hello = client->hello();
  return Running{.pid = static_cast<pid_t>(hello.pid()),
                 .build = hello.build(),
                 .started_ns = hello.start_monotonic_ns(),
                 .generation = hello.generation()};
}

// The texts of a file in /proc, each with a zero byte behind it; none when it cannot be read.
std::vector<std::string> texts_of(const std::string& pid, const std::string& name) {
  std::ifstream file("/proc/" + pid + "/" + name, std::ios::binary);
  std::vector<std::string> texts;
  for (std::string text; std::getline(file, text, '\0');) {
    texts.push_back(text);
  }
  return texts;
}

// The words that a process was started with, but for that it was to take over; none when it is
// gone.
std::vector<std::string> command_of(const std::string& pid) {
  std::vector<std::string> words = texts_of(pid, "cmdline");
  std::erase(words, kSucceed);
  return words;
}

// The systemd unit whose main process that is; empty: none's, or it is the child of `holdfast run`.
std::string unit_of(const std::string& pid) {
  bool notifies = false;
  for (const std::string& variable : texts_of(pid, "environ")) {
    if (variable.starts_with("HOLDFAST_CHILD_LOCK=")) {
      return "";
    }
    notifies = notifies || variable.starts_with("NOTIFY_SOCKET=");
  }
  std::ifstream file("/proc/" + pid + "/cgroup");
  for (std::string line; notifies && std::getline(file, line);) {
    const std::string name = line.substr(line.rfind('/') + 1);
    if (name.ends_with(".service")) {
      return name;
    }
  }
  return "";
}

// Whether builds for other processors than the base one stand beside the program, which it becomes
// (dataplane/process/level.h).
bool has_level_builds(const std::string& place) {
  namespace fs = std::filesystem;
  std::error_code none;
  const fs::path builds = fs::path(place).parent_path().parent_path() / "lib" / "holdfast";
  return fs::is_directory(builds, none) && !fs::is_empty(builds, none);
}

// The exit code of a command, whose words go where ours go; nullopt when it did not end by itself
// within the limit.
std::optional<int> run_command(const std::vector<std::string>& command,
                               std::chrono::milliseconds limit) {
  const auto pid = spawn(command, -1);
  if (!pid) {
    return std::nullopt;
  }
  const int handle = ::pidfd_open(*pid, 0);
  pollfd ended{handle, POLLIN, 0};
  if (::poll(&ended, 1, static_cast<int>(limit.count())) != 1) {
    ::kill(*pid, SIGKILL);
  }
  ::close(handle);
  int status = 0;
  ::waitpid(*pid, &status, 0);
  return WIFEXITED(status) ? std::optional(WEXITSTATUS(status)) : std::nullopt;
}

// Whether the program says that it could take over.
bool rehearse(std::vector<std::string> command, const std::string& binary) {
  command.front() = binary;
  command.emplace_back("--rehearse");
  return run_command(command, kRehearsalLimit) == kExitOk;
}

// Another one than `old`, that forwards.
std::optional<Running> wait_for_other(const std::string& socket,
                                      const Running& old,
                                      std::chrono::milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  while (Clock::now() < deadline) {
    const auto now = ask(socket);
    if (now && now->started_ns != old.started_ns && (now->generation != 0 || old.generation == 0)) {
      return *now;
    }
    std::this_thread::sleep_for(kAskAgain);
  }
  return std::nullopt;
}

// Whether the words end in that command; an interpreter may stand before it.
bool runs(const std::vector<std::string>& words, const std::vector<std::string>& command) {
  return words.size() >= command.size() &&
         std::equal(command.rbegin(), command.rend(), words.rbegin());
}

// Ends what runs by that very command: one that came up, but does not answer. Other instances have
// other start-up files.
void end_all_of(const std::vector<std::string>& command) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string pid = entry.path().filename();
    const bool is_process =
        std::ranges::all_of(pid, [](unsigned char c) { return std::isdigit(c) != 0; });
    if (is_process && runs(command_of(pid), command)) {
      ::kill(static_cast<pid_t>(std::stol(pid)), SIGKILL);
    }
  }
}

class Upgrade {
 public:
  Upgrade(const UpgradeOptions& options, std::string socket, Context& context)
      : options_(options), socket_(std::move(socket)), context_(context) {}

  void run() {
    const auto old = ask(socket_);
    if (!old) {
      context_.fail(kExitUnreachable, "the dataplane does not answer: " + old.error());
      return;
    }
    const std::vector<std::string> command = command_of(std::to_string(old->pid));
    if (command.empty() || !command.front().starts_with('/')) {
      context_.fail(kExitFailed,
                    "cannot see how process " + std::to_string(old->pid) +
                        " was started: upgrade on its machine, as root");
      return;
    }
    const std::string& place = command.front();
    if (!options_.binary.empty() && has_level_builds(place)) {
      context_.fail(kExitRefused,
                    "builds for this processor stand beside " + place +
                        ", which a single program does not replace: install the package, then "
                        "upgrade without --binary");
      return;
    }
    const std::string& binary = options_.binary.empty() ? place : options_.binary;
    if (!rehearse(command, binary)) {
      context_.fail(kExitRefused, binary + " could not take over: nothing was changed");
      return;
    }
    if (!options_.dry_run) {
      replace(*old, command);
    }
  }

 private:
  void replace(const Running& old, const std::vector<std::string>& command) {
    const std::string& place = command.front();
    std::optional<BinarySwap> swap;
    if (!options_.binary.empty()) {
      auto installed = BinarySwap::install(place, options_.binary);
      if (!installed) {
        context_.fail(kExitFailed, installed.error());
        return;
      }
      swap = std::move(*installed);
    }
    const Handed handed = options_.restart ? Handed::kCannot : hand_over(old, command);
    if (handed == Handed::kOver) {
      return;
    }
    if (handed == Handed::kFailed) {
      return return_to_before(old, command, swap);
    }
    restart(old, command, swap);
  }

  enum class Handed : std::uint8_t { kOver, kCannot, kFailed };

  // To the program that stands in the place of the running one's now, beside it.
  Handed hand_over(const Running& old, std::vector<std::string> command) {
    const std::string unit = unit_of(std::to_string(old.pid));
    command.emplace_back(kSucceed);
    const auto start = Clock::now();
    const auto code = run_command(
        unit.empty() ? command : std::vector<std::string>{"/usr/bin/systemctl", "reload", unit},
        options_.timeout);
    if (unit.empty() && code == kExitRefused) {
      context_.out << "so the running program ends before the other one starts\n";
      return Handed::kCannot;
    }
    const auto fresh =
        code == kExitOk ? wait_for_other(socket_, old, options_.timeout) : std::nullopt;
    if (!fresh) {
      context_.fail(kExitFailed,
                    unit.empty() ? command.front() + " did not take over"
                                 : unit + " did not reload: `journalctl -u " + unit +
                                       "` says why; `holdfast upgrade --restart` ends the running "
                                       "program first");
      return Handed::kFailed;
    }
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
    context_.out << "build " << old.build << " handed over to " << fresh->build << ", process "
                 << fresh->pid << ", after " << took.count() << " ms, through which it forwarded\n";
    return Handed::kOver;
  }

  void restart(const Running& old,
               const std::vector<std::string>& command,
               const std::optional<BinarySwap>& swap) {
    const auto ended = Clock::now();
    if (::kill(old.pid, SIGTERM) != 0) {
      context_.fail(kExitFailed, "may not end process " + std::to_string(old.pid));
      return_to_before(old, command, swap);
      return;
    }
    if (const auto fresh = wait_for_other(socket_, old, options_.timeout)) {
      const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - ended);
      context_.out << "build " << old.build << " gave way to " << fresh->build << ", process "
                   << fresh->pid << ", which answered after " << took.count() << " ms\n";
      return;
    }
    context_.fail(kExitFailed,
                  command.front() + " does not forward after " + duration_text(options_.timeout));
    return_to_before(old, command, swap);
  }

  void return_to_before(const Running& old,
                        const std::vector<std::string>& command,
                        const std::optional<BinarySwap>& swap) {
    const auto now = ask(socket_);
    const bool goes_on = now && now->started_ns == old.started_ns;
    if (!swap) {
      context_.error << (goes_on
                             ? "the running program goes on\n"
                             : "there is nothing to go back to: install the package of before\n");
      return;
    }
    if (const auto back = swap->take_back(); !back) {
      context_.error << back.error() << '\n';
      return;
    }
    if (goes_on) {
      context_.error << "the running program goes on\n";
      return;
    }
    end_all_of(command);
    const auto before = wait_for_other(socket_, old, std::max(options_.timeout, kReturnLimit));
    context_.error << (before ? "the program of before runs again\n"
                              : "the program of before does not come up either\n");
  }

  const UpgradeOptions& options_;
  std::string socket_;
  Context& context_;
};

void upgrade(const UpgradeOptions& options, Context& context) {
  if (const auto sockets = find_sockets(options.connection, context)) {
    Upgrade(options, sockets->dataplane, context).run();
  }
}

}  // namespace

void add_upgrade(CLI::App& app, Context& context) {
  auto options = std::make_shared<UpgradeOptions>();
  Verb verb(app, "upgrade", "Let the dataplane go over to another program, with its flows");
  verb.optional({"--binary",
                 "FILE",
                 "the program to put in place of the running one's; default: what stands there "
                 "now, as a package installed it"},
                options->binary);
  verb.flag({"--dry-run", "", "only ask that program whether it could"}, options->dry_run);
  verb.flag({"--restart", "", "end the running program first, instead of handing over"},
            options->restart);
  add_timeout(
      verb,
      "how long the new program has until it forwards; default " + duration_text(options->timeout),
      [options](std::chrono::milliseconds timeout) { options->timeout = timeout; });
  add_connection(verb, options->connection);
  verb.runs([options, &context] { upgrade(*options, context); });
}

}  // namespace holdfast::control
