// SPDX-License-Identifier: Apache-2.0
#include "control/cli/spawn.h"

#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

// The attributes and file actions of one posix_spawn, released with it.
struct Settings {
  Settings() {
    ::posix_spawnattr_init(&attributes);
    ::posix_spawn_file_actions_init(&actions);
  }
  ~Settings() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  Settings(const Settings&) = delete;
  Settings& operator=(const Settings&) = delete;

  posix_spawnattr_t attributes{};
  posix_spawn_file_actions_t actions{};
};

void set_clean_slate(Settings& settings) {
  sigset_t held;  // until the child has a handler: a reload right after the start is not its end
  sigset_t all;
  ::sigemptyset(&held);
  ::sigaddset(&held, SIGHUP);
  ::sigfillset(&all);
  ::posix_spawnattr_setpgroup(&settings.attributes, 0);
  ::posix_spawnattr_setsigmask(&settings.attributes, &held);
  ::posix_spawnattr_setsigdefault(&settings.attributes, &all);
  ::posix_spawnattr_setflags(
      &settings.attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  ::posix_spawn_file_actions_addopen(&settings.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
}

// Without the name of a lock that is ours, not the child's.
std::vector<std::string> inherited_environment() {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!std::string_view(*variable).starts_with("HOLDFAST_CHILD_LOCK=")) {
      variables.emplace_back(*variable);
    }
  }
  return variables;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

std::expected<pid_t, std::string> spawn(const std::vector<std::string>& command,
                                        int kept_descriptor) {
  Settings settings;
  set_clean_slate(settings);
  if (kept_descriptor >= 0) {
    // Onto itself: that takes close-on-exec away in the child and nowhere else.
    ::posix_spawn_file_actions_adddup2(&settings.actions, kept_descriptor, kept_descriptor);
  }
  std::vector<std::string> variables = inherited_environment();
  if (kept_descriptor >= 0) {
    variables.push_back("HOLDFAST_CHILD_LOCK=" + std::to_string(kept_descriptor));
  }
  std::vector<std::string> words = command;
  const std::vector<char*> arguments = pointers_to(words);
  const std::vector<char*> environment = pointers_to(variables);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid,
                                  arguments[0],
                                  &settings.actions,
                                  &settings.attributes,
                                  arguments.data(),
                                  environment.data());
  if (error != 0) {
    return std::unexpected("cannot start " + command.front() + ": " +
                           std::generic_category().message(error));
  }
  return pid;
}

}  // namespace holdfast::control
