// SPDX-License-Identifier: Apache-2.0
// The verb `upgrade`: the dataplane goes over to another program. That one says first, beside the
// running one, whether it could (holdfast-dataplane --rehearse); then the running one ends in
// order, whoever runs it (systemd, `holdfast run`) starts what stands in its place, and the state
// file passes by its lock. What does not come up gives way to the program of before.
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

constexpr std::chrono::milliseconds kAnswerLimit{1'000};
constexpr std::chrono::milliseconds kAskAgain{5};
constexpr std::chrono::milliseconds kRehearsalLimit{10'000};
// Whoever starts it has waited longer each time that the new one ended.
constexpr std::chrono::milliseconds kReturnLimit{30'000};

struct Options {
  Connection connection;
  std::string binary;
  std::chrono::milliseconds timeout{10'000};
  bool dry_run = false;
};

// A dataplane that answers.
struct Running {
  pid_t pid = 0;
  std::string build;
  std::uint64_t started_ns = 0;
  std::uint64_t generation = 0;
};

std::expected<Running, std::string> ask(const std::string& socket) {
  const auto client = seam::Client::connect(socket, 0, kAnswerLimit);
  if (!client) {
    return std::unexpected(client.error());
  }
  const seam::HelloReply& hello = client->hello();
  return Running{.pid = static_cast<pid_t>(hello.pid()),
                 .build = hello.build(),
                 .started_ns = hello.start_monotonic_ns(),
                 .generation = hello.generation()};
}

// The words that a process was started with; none when it is gone.
std::vector<std::string> command_of(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/cmdline", std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(file, word, '\0');) {
    words.push_back(word);
  }
  return words;
}

// Whether the program says that it could take over. Its words go where ours go.
bool rehearse(std::vector<std::string> command, const std::string& binary) {
  command.front() = binary;
  command.emplace_back("--rehearse");
  const auto pid = spawn(command, -1);
  if (!pid) {
    return false;
  }
  const int handle = ::pidfd_open(*pid, 0);
  pollfd ended{handle, POLLIN, 0};
  if (::poll(&ended, 1, static_cast<int>(kRehearsalLimit.count())) != 1) {
    ::kill(*pid, SIGKILL);
  }
  ::close(handle);
  int status = 0;
  ::waitpid(*pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
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

// Ends whatever runs that program as a dataplane: one that came up, but does not answer.
void end_all_of(const std::string& program) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string pid = entry.path().filename();
    if (!std::ranges::all_of(pid, [](unsigned char c) { return std::isdigit(c) != 0; })) {
      continue;
    }
    const std::vector<std::string> words = command_of(pid);
    if (std::ranges::count(words, program) != 0 && std::ranges::count(words, "--startup") != 0) {
      ::kill(static_cast<pid_t>(std::stol(pid)), SIGKILL);
    }
  }
}

class Upgrade {
 public:
  Upgrade(const Options& options, std::string socket, Context& context)
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
    const std::string& binary = options_.binary.empty() ? place : options_.binary;
    if (!rehearse(command, binary)) {
      context_.fail(kExitRefused, binary + " could not take over: nothing was changed");
      return;
    }
    if (!options_.dry_run) {
      replace(*old, place);
    }
  }

 private:
  void replace(const Running& old, const std::string& place) {
    std::optional<BinarySwap> swap;
    if (!options_.binary.empty()) {
      auto installed = BinarySwap::install(place, options_.binary);
      if (!installed) {
        context_.fail(kExitFailed, installed.error());
        return;
      }
      swap = std::move(*installed);
    }
    const auto ended = Clock::now();
    if (::kill(old.pid, SIGTERM) != 0) {
      context_.fail(kExitFailed, "may not end process " + std::to_string(old.pid));
      return_to_before(old, place, swap);
      return;
    }
    if (const auto fresh = wait_for_other(socket_, old, options_.timeout)) {
      const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - ended);
      context_.out << "build " << old.build << " gave way to " << fresh->build << ", process "
                   << fresh->pid << ", which answered after " << took.count() << " ms\n";
      return;
    }
    context_.fail(kExitFailed,
                  place + " does not forward after " + duration_text(options_.timeout));
    return_to_before(old, place, swap);
  }

  void return_to_before(const Running& old,
                        const std::string& place,
                        const std::optional<BinarySwap>& swap) {
    if (!swap) {
      context_.error << "there is nothing to go back to: install the package of before\n";
      return;
    }
    if (const auto back = swap->take_back(); !back) {
      context_.error << back.error() << '\n';
      return;
    }
    if (const auto now = ask(socket_); now && now->started_ns == old.started_ns) {
      return;  // it was never ended
    }
    end_all_of(place);
    const auto before = wait_for_other(socket_, old, std::max(options_.timeout, kReturnLimit));
    context_.error << (before ? "the program of before runs again\n"
                              : "the program of before does not come up either\n");
  }

  const Options& options_;
  std::string socket_;
  Context& context_;
};

void upgrade(const Options& options, Context& context) {
  if (const auto sockets = find_sockets(options.connection, context)) {
    Upgrade(options, sockets->dataplane, context).run();
  }
}

}  // namespace

void add_upgrade(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  Verb verb(app, "upgrade", "Let the dataplane go over to another program, with its flows");
  verb.optional({"--binary",
                 "FILE",
                 "the program to put in place of the running one's; default: what stands there "
                 "now, as a package installed it"},
                options->binary);
  verb.flag({"--dry-run", "", "only ask that program whether it could"}, options->dry_run);
  add_timeout(
      verb,
      "how long the new program has until it forwards; default " + duration_text(options->timeout),
      [options](std::chrono::milliseconds timeout) { options->timeout = timeout; });
  add_connection(verb, options->connection);
  verb.runs([options, &context] { upgrade(*options, context); });
}

}  // namespace holdfast::control
