// SPDX-License-Identifier: Apache-2.0
// See text_diff.h.
#include "control/cli/text_diff.h"

#include "control/admin/file_descriptor.h"

#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

std::string last_error() { return std::generic_category().message(errno); }

bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return false;
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

// The text as an open file that a child inherits.
std::expected<FileDescriptor, std::string> open_text(const std::string& text) {
  FileDescriptor file(::memfd_create("holdfast-diff", 0));
  if (file.get() < 0 || !write_all(file.get(), text)) {
    return std::unexpected("cannot hold a text for diff: " + last_error());
  }
  return file;
}

std::string read_to_end(int descriptor) {
  std::string text;
  std::array<char, 65'536> chunk{};
  ssize_t size = 0;
  while ((size = ::read(descriptor, chunk.data(), chunk.size())) > 0 ||
         (size < 0 && errno == EINTR)) {
    text.append(chunk.data(), static_cast<std::size_t>(size > 0 ? size : 0));
  }
  return text;
}

// Starts diff(1) with its output into `output`; returns its pid.
std::expected<pid_t, std::string> start_diff(std::vector<std::string> words, int output) {
  std::vector<char*> arguments;
  for (std::string& word : words) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions{};
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  pid_t pid = 0;
  const int error =
      ::posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return std::unexpected("cannot start diff (package diffutils): " +
                           std::generic_category().message(error));
  }
  return pid;
}

std::string path_of(const FileDescriptor& file) {
  return "/proc/self/fd/" + std::to_string(file.get());
}

}  // namespace

std::expected<std::string, std::string> unified_diff(const NamedText& from, const NamedText& to) {
  const auto before = open_text(from.text);
  const auto after = open_text(to.text);
  if (!before || !after) {
    return std::unexpected(before ? after.error() : before.error());
  }
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return std::unexpected("cannot make a pipe: " + last_error());
  }
  const FileDescriptor reading(ends[0]);
  FileDescriptor writing(ends[1]);
  const auto pid = start_diff(
      {"diff", "-u", "--label", from.name, "--label", to.name, path_of(*before), path_of(*after)},
      writing.get());
  writing = FileDescriptor();
  if (!pid) {
    return std::unexpected(pid.error());
  }
  std::string text = read_to_end(reading.get());
  int status = 0;
  while (::waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) {
    return std::unexpected("diff failed");
  }
  return text;
}

}  // namespace holdfast::control
