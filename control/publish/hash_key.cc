// SPDX-License-Identifier: Apache-2.0
// See hash_key.h.
#include "control/publish/hash_key.h"

#include "control/admin/file_descriptor.h"
#include "control/publish/durable_file.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

namespace holdfast::control {
namespace {

constexpr std::size_t kMostKeyBytes = 256;

// Checks the file by its descriptor, so that nothing can be put in its place between.
std::expected<HashKey, std::string> read_key(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  struct stat info{};
  if (!file.valid() && errno == ENOENT) {
    return std::unexpected(path +
                           " does not exist: put the 32 hex digits of the other nodes there, " +
                           "or those of `openssl rand -hex 16`, with mode 0600");
  }
  if (!file.valid() || ::fstat(file.get(), &info) != 0) {
    return std::unexpected(path + ": " + std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    return std::unexpected(path + ": the hash key is no regular file");
  }
  if (info.st_uid != ::geteuid() && info.st_uid != 0) {
    return std::unexpected(path + ": the hash key belongs to uid " + std::to_string(info.st_uid) +
                           "; chown it to root or to the user that runs holdfast");
  }
  if ((info.st_mode & 027U) != 0) {
    return std::unexpected(path + ": others can read or change the hash key; chmod it to 0600");
  }
  std::array<char, kMostKeyBytes> bytes{};
  const ssize_t taken = ::read(file.get(), bytes.data(), bytes.size());
  if (taken < 0) {
    return std::unexpected(path + ": " + std::strerror(errno));
  }
  auto key = parse_hash_key({bytes.data(), static_cast<std::size_t>(taken)});
  if (!key) {
    return std::unexpected(path + ": " + key.error());
  }
  return key;
}

std::expected<std::string, std::string> random_hex() {
  HashKey key{};
  if (::getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size())) {
    return std::unexpected(std::string("getrandom: ") + std::strerror(errno));
  }
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : key) {
    text.push_back(kDigits[byte >> 4U]);
    text.push_back(kDigits[byte & 0xfU]);
  }
  return text + "\n";
}

int digit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace

std::string hash_key_path(const config::Dataplane& dataplane) {
  return dataplane.directory + "/hash_key";
}

std::expected<HashKey, std::string> parse_hash_key(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t first = std::min(text.find_first_not_of(kBlank), text.size());
  text.remove_prefix(first);
  text = text.substr(0, text.find_last_not_of(kBlank) + 1);
  HashKey key{};
  if (text.size() != 2 * key.size()) {
    return std::unexpected("the hash key has " + std::to_string(text.size()) +
                           " characters, not 32 hex digits");
  }
  for (std::size_t i = 0; i < key.size(); ++i) {
    const int high = digit(text[2 * i]);
    const int low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0) {
      return std::unexpected("the hash key has something else than hex digits");
    }
    key[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return key;
}

std::expected<HashKey, std::string> load_hash_key(const config::Dataplane& dataplane) {
  if (!dataplane.hash_key_file.empty()) {
    auto key = read_key(dataplane.hash_key_file);
    if (!key) {
      return std::unexpected("dataplane.hash_key_file " + key.error());
    }
    return key;
  }
  const std::string path = hash_key_path(dataplane);
  if (::access(path.c_str(), F_OK) != 0) {
    const auto text = random_hex();
    if (!text) {
      return std::unexpected(text.error());
    }
    if (auto made = make_directory(dataplane.directory); !made) {
      return std::unexpected(made.error());
    }
    // Two that start at once agree on the first one's key.
    if (auto created = create_durably(path, *text); !created) {
      return std::unexpected(created.error());
    }
  }
  return read_key(path);
}

}  // namespace holdfast::control
