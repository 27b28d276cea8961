// SPDX-License-Identifier: Apache-2.0
// See generation_store.h.
#include "dataplane/process/generation_store.h"

#include "dataplane/api/codec.h"
#include "dataplane/api/framing.h"
#include "dataplane/fnv.h"
#include "dataplane/process/descriptor.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

// The file: this, the FNV-1a sum of the message as 8 bytes, the message.
constexpr std::string_view kMagic = "holdfast generation 1\n";
constexpr std::size_t kSumBytes = 8;
constexpr std::size_t kHeaderBytes = kMagic.size() + kSumBytes;

std::string sum_of(std::string_view bytes) {
  const std::uint64_t sum = fnv1a(bytes);
  std::string text;
  for (unsigned i = 0; i < kSumBytes; ++i) {
    text += static_cast<char>(static_cast<std::uint8_t>(sum >> (8 * i)));
  }
  return text;
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written <= 0) {
      return false;
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

// The file's bytes; an empty optional when it does not exist.
std::expected<std::optional<std::string>, std::string> read_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status{};
  if (!file.valid()) {
    return errno == ENOENT ? std::expected<std::optional<std::string>, std::string>(std::nullopt)
                           : std::unexpected(std::string(strerror(errno)));
  }
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) ||
      static_cast<std::size_t>(status.st_size) > seam::kMaxMessageBytes + kHeaderBytes) {
    return std::unexpected("no regular file, or too long");
  }
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::read(file.get(), bytes.data() + done, bytes.size() - done);
    if (got <= 0) {
      return std::unexpected("cut short");
    }
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

std::expected<GenerationSpec, std::string> decode(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes || !bytes.starts_with(kMagic)) {
    return std::unexpected("not a generation");
  }
  const std::string_view message = bytes.substr(kHeaderBytes);
  if (bytes.substr(kMagic.size(), kSumBytes) != sum_of(message)) {
    return std::unexpected("damaged");
  }
  seam::Generation generation;
  if (!generation.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return std::unexpected("damaged");
  }
  return seam::from_wire(generation);
}

}  // namespace

std::string GenerationStore::path(std::string_view name) const {
  return fmt::format("{}/generation.{}", directory_, name);
}

std::expected<void, std::string> GenerationStore::save(const GenerationSpec& spec) const {
  const std::string message = seam::to_wire(spec).SerializeAsString();
  const std::string bytes = fmt::format("{}{}{}", kMagic, sum_of(message), message);
  const std::string fresh = path("new");
  ::unlink(fresh.c_str());
  const Descriptor file(
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid() || !write_all(file.get(), bytes) || ::fsync(file.get()) != 0) {
    return std::unexpected(fmt::format("cannot write {}: {}", fresh, strerror(errno)));
  }
  // A second name for the current one, so that it stands there until the new one replaces it.
  const std::string old = path("old");
  ::unlink(old.c_str());
  const bool kept = ::link(path("current").c_str(), old.c_str()) == 0;
  if (::rename(fresh.c_str(), path("current").c_str()) != 0) {
    return std::unexpected(fmt::format("cannot rename {}: {}", fresh, strerror(errno)));
  }
  if (kept) {
    ::rename(old.c_str(), path("previous").c_str());
  }
  const Descriptor folder(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.valid()) {
    ::fsync(folder.get());
  }
  return {};
}

GenerationStore::Loaded GenerationStore::load() const {
  Loaded loaded;
  for (const std::string_view name : {"current", "previous"}) {
    auto bytes = read_file(path(name));
    std::string fault = bytes ? std::string() : bytes.error();
    const std::optional<std::string> text = bytes ? std::move(*bytes) : std::nullopt;
    if (text) {
      auto spec = decode(*text);
      if (spec) {
        loaded.spec = std::move(*spec);
        return loaded;
      }
      fault = spec.error();
    }
    if (!fault.empty()) {
      loaded.notice +=
          fmt::format("{}{} is not used: {}", loaded.notice.empty() ? "" : "; ", path(name), fault);
    }
  }
  return loaded;
}

}  // namespace holdfast::dataplane
