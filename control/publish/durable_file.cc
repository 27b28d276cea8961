// SPDX-License-Identifier: Apache-2.0
// See durable_file.h.
#include "control/publish/durable_file.h"

#include "control/admin/file_descriptor.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

std::unexpected<std::string> failure(const std::string& path) {
  return std::unexpected(path + ": " + std::strerror(errno));
}

std::string directory_of(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

// The rename itself is only durable once the directory is.
std::expected<void, std::string> sync_directory(const std::string& path) {
  const FileDescriptor directory(
      ::open(directory_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || ::fsync(directory.get()) != 0) {
    return failure(directory_of(path));
  }
  return {};
}

std::expected<void, std::string> write_all(const FileDescriptor& file,
                                           const std::string& path,
                                           std::string_view contents) {
  while (!contents.empty()) {
    const ssize_t written = ::write(file.get(), contents.data(), contents.size());
    if (written < 0 && errno != EINTR) {
      return failure(path);
    }
    contents.remove_prefix(written > 0 ? static_cast<std::size_t>(written) : 0);
  }
  if (::fsync(file.get()) != 0) {
    return failure(path);
  }
  return {};
}

std::expected<std::string, std::string> write_beside(const std::string& path,
                                                     std::string_view contents) {
  std::string beside = path + ".new";
  ::unlink(beside.c_str());  // left over by a crash
  const FileDescriptor file(
      ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) {
    return failure(beside);
  }
  if (auto written = write_all(file, beside, contents); !written) {
    ::unlink(beside.c_str());
    return std::unexpected(written.error());
  }
  return beside;
}

}  // namespace

std::expected<void, std::string> make_directory(const std::string& path) {
  const std::string parent = directory_of(path);
  if (::mkdir(path.c_str(), 0750) == 0) {
    return {};
  }
  if (errno == ENOENT && parent != path && parent != ".") {
    if (auto made = make_directory(parent); !made) {
      return made;
    }
    if (::mkdir(path.c_str(), 0750) == 0) {
      return {};
    }
  }
  struct stat info{};
  if (errno != EEXIST || ::stat(path.c_str(), &info) != 0) {
    return failure(path);
  }
  if (!S_ISDIR(info.st_mode)) {
    return std::unexpected(path + ": is no directory");
  }
  return {};
}

std::expected<void, std::string> write_durably(const std::string& path, std::string_view contents) {
  const auto beside = write_beside(path, contents);
  if (!beside) {
    return std::unexpected(beside.error());
  }
  if (::rename(beside->c_str(), path.c_str()) != 0) {
    auto error = failure(path);
    ::unlink(beside->c_str());
    return error;
  }
  return sync_directory(path);
}

std::expected<void, std::string> append_durably(const std::string& path,
                                                std::string_view contents) {
  const FileDescriptor file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
  struct stat before{};
  if (!file.valid() || ::fstat(file.get(), &before) != 0) {
    return failure(path);
  }
  if (auto written = write_all(file, path, contents); !written) {
    // What stands there in part must not become the head of the next line.
    return ::ftruncate(file.get(), before.st_size) == 0
               ? written
               : std::unexpected(written.error() + "; what was written is still there");
  }
  return before.st_size == 0 ? sync_directory(path) : std::expected<void, std::string>();
}

std::expected<bool, std::string> create_durably(const std::string& path,
                                                std::string_view contents) {
  const auto beside = write_beside(path, contents);
  if (!beside) {
    return std::unexpected(beside.error());
  }
  const bool created = ::link(beside->c_str(), path.c_str()) == 0;
  const int error = errno;
  ::unlink(beside->c_str());
  if (!created && error != EEXIST) {
    errno = error;
    return failure(path);
  }
  if (auto synced = sync_directory(path); !synced) {
    return std::unexpected(synced.error());
  }
  return created;
}

std::expected<std::optional<std::string>, std::string> read_whole(const std::string& path,
                                                                  std::size_t max_bytes) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) {
    if (errno == ENOENT) {
      return std::nullopt;
    }
    return failure(path);
  }
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) {
    return failure(path);
  }
  if (!S_ISREG(info.st_mode)) {
    return std::unexpected(path + ": is no regular file");
  }
  std::string contents;
  std::array<char, 65536> piece;
  while (true) {
    const ssize_t taken = ::read(file.get(), piece.data(), piece.size());
    if (taken == 0) {
      return contents;
    }
    if (taken < 0 && errno != EINTR) {
      return failure(path);
    }
    contents.append(piece.data(), taken > 0 ? static_cast<std::size_t>(taken) : 0);
    if (contents.size() > max_bytes) {
      return std::unexpected(path + ": is longer than " + std::to_string(max_bytes) + " bytes");
    }
  }
}

}  // namespace holdfast::control
