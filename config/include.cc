// SPDX-License-Identifier: Apache-2.0
// Plain POSIX calls: open without blocking, look what it is, read no more than allowed.
#include "config/include.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <system_error>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

namespace holdfast::config {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

std::string reason(int error) { return std::generic_category().message(error); }

std::unexpected<std::string> unreadable(int error) {
  return std::unexpected("cannot be read: " + reason(error));
}

std::string too_large(std::size_t max_bytes) {
  constexpr std::size_t kMebibyte = std::size_t{1} << 20U;
  return max_bytes % kMebibyte == 0 ? fmt::format("is larger than {} MiB", max_bytes / kMebibyte)
                                    : fmt::format("is larger than {} bytes", max_bytes);
}

}  // namespace

std::expected<std::string, std::string> read_file(const std::string& path, std::size_t max_bytes) {
  // O_NONBLOCK: a pipe without a writer must not stop us.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status{};
  if (file.get() < 0 || fstat(file.get(), &status) != 0) {
    return unreadable(errno);
  }
  if (!S_ISREG(status.st_mode)) {
    return std::unexpected(S_ISDIR(status.st_mode) ? "is a folder, not a file"
                                                   : "is not a regular file");
  }
  std::string text;
  std::array<char, 65536> buffer{};
  while (text.size() <= max_bytes) {
    const ssize_t count = read(file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno != EINTR) {
      return unreadable(errno);
    }
    if (count == 0) {
      return text;
    }
    text.append(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  }
  return std::unexpected(too_large(max_bytes));
}

bool is_pattern(std::string_view text) {
  return text.find_first_of("*?[") != std::string_view::npos;
}

Matches match_files(const std::string& folder, std::string_view pattern, std::size_t most) {
  Matches matches;
  const std::string place = join_path(folder, folder_of(pattern));
  if (is_pattern(folder_of(pattern))) {
    matches.problem = "has a wildcard in a folder's name: only the file's name may have them";
    return matches;
  }
  const std::string name(pattern.substr(pattern.rfind('/') + 1));
  const std::unique_ptr<DIR, CloseFolder> entries(opendir(place.empty() ? "." : place.c_str()));
  if (!entries) {
    matches.folder_missing = errno == ENOENT;
    matches.problem = "cannot be listed: " + reason(errno);
    return matches;
  }
  while (const dirent* entry = readdir(entries.get())) {
    if (fnmatch(name.c_str(), entry->d_name, FNM_PERIOD) == 0) {
      matches.paths.push_back(join_path(place, entry->d_name));
    }
    if (matches.paths.size() > most) {
      matches.paths.clear();
      matches.problem = fmt::format("matches more than {} files", most);
      return matches;
    }
  }
  std::ranges::sort(matches.paths);
  return matches;
}

std::string join_path(const std::string& folder, std::string_view path) {
  if (folder.empty() || path.starts_with('/')) {
    return std::string(path);
  }
  if (path.empty()) {
    return folder;
  }
  return folder.ends_with('/') ? folder + std::string(path) : folder + "/" + std::string(path);
}

std::string folder_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) {
    return "";
  }
  return std::string(path.substr(0, std::max<std::size_t>(slash, 1)));
}

bool same_file(const std::string& a, const std::string& b) {
  struct stat first{};
  struct stat second{};
  return stat(a.c_str(), &first) == 0 && stat(b.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

}  // namespace holdfast::config
